"""The master key, under which the keys of people are wrapped: given by environment or file, or made for `--dev`."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ..foundation.disk import Disk, write_whole
from ..foundation.errors import ConfigRejected
from ..foundation.rng import entropy
from ..privacy.vault import KEY_BYTES

log = logging.getLogger("instanter.serve")

VARIABLE: Final = "INSTANTER_MASTER_KEY"
MADE_NAME: Final = "master.key"
_READ_BYTES: Final = 4_096


def master_key(
    disk: Disk, keys: Path, *, file: str, may_make: bool, environment: Mapping[str, str] = os.environ
) -> bytes:
    """The key: of the environment, else of `file`, else the one that was made in the folder `keys`.

    With `may_make` one is made there if there is none. It lies beside what it protects then: good for trying out.
    Raises `ConfigRejected` when none is given, or what is given is none.
    """
    if environment.get(VARIABLE):
        return _parsed(environment[VARIABLE], VARIABLE)
    if file:
        return _parsed(_read(disk, Path(file)), file)
    made = keys / MADE_NAME
    if made.name in disk.list(keys):
        return _parsed(_read(disk, made), str(made))
    if not may_make:
        raise ConfigRejected(
            "no master key is given, and what is personal is sealed under it",
            suggestion=f"set {VARIABLE} to 64 hexadecimal digits, or [privacy] master_key_file to a file of them; "
                       "--dev makes one",
        )  # fmt: skip
    disk.make_directory(keys)
    write_whole(disk, made, entropy(KEY_BYTES).hex().encode())
    log.warning("a master key was made; it lies beside the keys it protects, which is good for trying out only",
                extra={"file": str(made)})
    return _parsed(_read(disk, made), str(made))


def _read(disk: Disk, path: Path) -> str:
    try:
        return disk.read(path, 0, _READ_BYTES).decode("ascii", "replace")
    except OSError as error:
        raise ConfigRejected(f"the master key cannot be read: {error.strerror}", file=str(path)) from None


def _parsed(text: str, where: str) -> bytes:
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigRejected(f"a master key is {2 * KEY_BYTES} hexadecimal digits", file=where,
                             suggestion="openssl rand -hex 32 makes one")
    return key
