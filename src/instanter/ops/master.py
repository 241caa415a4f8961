"""The master key, under which the keys of people are wrapped.

One rule for every command, in whatever order they are run: a data directory is opened with the key that it was begun
with. That is the one of the environment, else of the file that the configuration names, else `keys/master.key`, which
`serve --dev`, `demo` and `import` make in a directory that has no keys yet and for which none is given.
"""

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
_BEGUN: Final = "subjects.keys"
"""Lies in a folder of keys since something was sealed."""
RULE: Final = (
    f"give the one it was begun with: {VARIABLE}, else [privacy] master_key_file, else {MADE_NAME} in the folder of "
    "the keys"
)


def master_key(
    disk: Disk, keys: Path, *, file: str, may_make: bool, environment: Mapping[str, str] = os.environ
) -> bytes:
    """The key: of the environment, else of `file`, else the one that was made in the folder `keys`.

    With `may_make` one is made there if there is none and the folder holds no keys yet: another one than those were
    wrapped with would open nothing. It lies beside what it protects then: good for trying out.
    Raises `ConfigRejected` when none is given, or what is given is none.
    """
    if environment.get(VARIABLE):
        return _parsed(environment[VARIABLE], VARIABLE)
    if file:
        return _parsed(_read(disk, Path(file)), file)
    made = keys / MADE_NAME
    there = disk.list(keys)
    if made.name in there:
        return _parsed(_read(disk, made), str(made))
    if _BEGUN in there:
        raise ConfigRejected(f"no master key is given, and {keys} was begun with one", suggestion=RULE)
    if not may_make:
        raise ConfigRejected(
            "no master key is given, and what is personal is sealed under it",
            suggestion=f"set {VARIABLE} to 64 hexadecimal digits, or [privacy] master_key_file to a file of them; "
                       "serve --dev and import make one in a new directory, for trying out",
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
