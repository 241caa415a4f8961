"""The data directory: what lies where, its format, and the installation's secret."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from ..engine.stores import Places
from ..foundation.disk import Disk, write_whole
from ..foundation.errors import Broken, LogClosed
from ..foundation.rng import entropy
from ..privacy.subjects import DAYS, SUBJECTS
from ..privacy.vault import mark_of
from .belonging import installation_of, proved_by_audit
from .migration.ready import read_ready

FORMAT = 2
LOGS = ("log", "quarantine", "audit")
"""Folders that are logs: a backup copies each up to a whole record."""
FILES = ("moved", "cold", "configurations", "models")
"""Folders of files that only grow: a backup copies them as long as they are then, after the checkpoint."""
KEY_FILES = (SUBJECTS, DAYS)
UNFINISHED = "unfinished.json"
"""Lies in a directory that is being restored, until it is whole."""
MIGRATING = "migrating"
READY = "ready.json"
"""Lies in `MIGRATING` from when the folders of an older format are replaced until that is done."""
_SECRET_BYTES = 32
_READ_BYTES = 4_096


class _Marker(msgspec.Struct, frozen=True, omit_defaults=True):
    """DIR/instanter.json. New fields go last and have defaults."""

    format: int
    installation: str = ""
    """Whose it is, see `belonging.installation_of`; "" in one from before, of which that is not proved."""
    key_files: dict[str, str] = {}
    """By name of a file of keys: what its first slot is known by."""


class DataDirectory(Places):
    """Paths below DIR. `open` makes what is missing and refuses what a newer version wrote."""

    def __init__(self, disk: Disk, root: Path, *, keys: str = "") -> None:
        """`keys` is the folder of the keys where it is not DIR/keys."""
        super().__init__(root, keys=Path(keys) if keys else None)
        self.disk = disk
        self.jobs = root / "jobs"
        self._marker = root / "instanter.json"
        self._secret = self.keys / "installation.key"

    def open(self) -> bytes:
        """Create or check the directory; the installation's secret, by which people's ids are hashed."""
        self.refuse_unfinished()
        if self._marker.name not in self.disk.list(self.root):
            for directory in (self.root, self.keys):
                self.disk.make_directory(directory)
            self._create()
        return self._checked(self._own_secret())

    def _create(self) -> None:
        """Make key and marker, the marker last. Two processes that start at once must not make two keys."""
        try:
            lock = self.disk.lock(self.keys / "lock")
        except BlockingIOError:
            raise LogClosed(f"another process is making {self.root}") from None
        try:
            if self._marker.name in self.disk.list(self.root):
                return
            for part in (*LOGS, *FILES, "checkpoints"):
                if self.disk.list(self.root / part):
                    raise Broken(f"{self.root} holds {part}/ but no {self._marker.name}: it is not whole")
            if SUBJECTS in self.disk.list(self.keys):
                raise Broken(f"{self.keys} holds keys of people, and {self.root} is empty: what they open is missing")
            secret = entropy(_SECRET_BYTES)
            write_whole(self.disk, self._secret, secret.hex().encode())
            self._write(_Marker(FORMAT, installation_of(secret)))
        finally:
            lock.release()

    def is_there(self) -> bool:
        """Whether there is a directory of today's format, and no migration on its way."""
        if self._marker.name not in self.disk.list(self.root) or READY in self.disk.list(self.root / MIGRATING):
            return False
        return self.format() == FORMAT

    def refuse_unfinished(self) -> None:
        """`Broken` if a restore into this directory did not come to its end."""
        if UNFINISHED in self.disk.list(self.root):
            raise Broken(f"{self.root} is not whole: a restore into it did not come to its end; run it again")

    @property
    def marker(self) -> Path:
        """DIR/instanter.json, which names the format."""
        return self._marker

    def format(self) -> int:
        """The format of the directory; `Broken` if it is none, or one that this program does not read."""
        return self._read().format

    def check(self) -> bytes:
        """The secret of an existing directory, whose keys are its own; nothing is written. `Broken` for others, and
        `Corrupt` for files of keys that are none."""
        return self._checked(self.check_installation())

    def check_installation(self) -> bytes:
        """As `check`, but for the files of keys: `strange_key_files` says what is wrong with these."""
        self.check_startable()
        if READY in self.disk.list(self.root / MIGRATING):
            raise Broken(f"{self.root} is on its way to a new format: start the server, or run instanter migrate")
        return self._own_secret()

    def check_startable(self) -> None:
        """`Broken` or `Corrupt` where not even a start, which goes on with a migration, could open what is here."""
        self.refuse_unfinished()
        self.format()
        if READY in self.disk.list(self.root / MIGRATING):
            read_ready(self.disk, self.root / MIGRATING / READY)
        self._own_secret()

    def strange_key_files(self) -> list[str]:
        """Files of keys that are there and are not those that the directory was begun with, in sentences. `Corrupt` for
        one that is damaged where it begins."""
        there, found = self.disk.list(self.keys), []
        for name, known in self._read().key_files.items():
            if name in there and mark_of(self.disk, self.keys / name) not in ("", known):
                found.append(
                    f"{self.keys / name} is not the one that {self.root} was begun with: it was replaced by another "
                    "one. Put back the one of this installation; if it is lost for good, move this one away and give "
                    "its keys up with serve --accept-loss"
                )
        return found

    @property
    def installation(self) -> str:
        """Whose the directory is, by its own word; "" where it does not say."""
        return self._read().installation

    def lacks_marks(self) -> bool:
        """Whether the directory does not say yet whose it is, or which its files of keys are."""
        marker = self._read()
        return not marker.installation or set(KEY_FILES) - marker.key_files.keys() != set()

    def own(self, installation: str, files: Iterable[str] = ()) -> None:
        """Write down whose the directory is, and that these files of keys belong to it. Durable on return."""
        before = self._read()
        marks = {name: mark_of(self.disk, self.keys / name) for name in files}
        self._change(before, installation=installation, key_files={**before.key_files, **marks})

    def disown_missing(self) -> tuple[str, ...]:
        """Forget what files of keys were known by that are not there, or hold nothing yet; these: they will be made."""
        before, there = self._read(), self.disk.list(self.keys)
        made = tuple(name for name in KEY_FILES if name not in there or not mark_of(self.disk, self.keys / name))
        self._change(before, key_files={name: mark for name, mark in before.key_files.items() if name not in made})
        return made

    def mark(self, format: int) -> None:
        """Say that the directory is of this format; durable on return. What it held was said in another format's
        positions, and counts no more."""
        if self.holdings.name in self.disk.list(self.root):
            self.disk.unlink(self.holdings)
        there = self._marker.name in self.disk.list(self.root)
        self._write(msgspec.structs.replace(self._read(), format=format) if there else _Marker(format))

    def _checked(self, secret: bytes) -> bytes:
        if strange := self.strange_key_files():
            raise Broken(strange[0])
        return secret

    def _own_secret(self) -> bytes:
        """The secret that lies with the keys; `Broken` for another installation's."""
        secret, known = secret_in(self.disk, self.keys), self._read().installation
        found = installation_of(secret)
        if known and found != known:
            raise Broken(
                f"{self.keys} holds the keys of installation {found}, and {self.root} is of installation {known}: put "
                "the keys of that one there; under others nobody would be known"
            )
        if not known and proved_by_audit(self.disk, self.audit, secret) is False:
            raise Broken(
                f"{self._secret} is not the key under which the audit record in {self.audit} was written: put the keys "
                "of this installation there; under others nobody would be known"
            )
        return secret

    def _read(self) -> _Marker:
        if self._marker.name not in self.disk.list(self.root):
            raise Broken(f"{self.root} is not a data directory: it has no {self._marker.name}")
        try:
            found = msgspec.json.decode(self.disk.read(self._marker, 0, _READ_BYTES), type=_Marker)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Broken(f"{self.root} cannot be opened: {self._marker.name}: {error}") from None
        if found.format > FORMAT:
            raise Broken(f"{self.root} has format {found.format}; this program reads up to {FORMAT}")
        if found.format < 1:
            raise Broken(f"{self.root} cannot be opened: {self._marker.name} says format {found.format}, 1 is least")
        return found

    def _change(self, before: _Marker, **changes: Any) -> None:
        if (after := msgspec.structs.replace(before, **changes)) != before:
            self._write(after)

    def _write(self, marker: _Marker) -> None:
        write_whole(self.disk, self._marker, msgspec.json.encode(marker))


def secret_in(disk: Disk, keys: Path) -> bytes:
    """The installation's secret in a folder of keys; `Broken` without it."""
    path = keys / "installation.key"
    if path.name not in disk.list(keys):
        raise Broken(f"{keys.parent} cannot be opened: its keys are not in {keys}")
    try:
        secret = bytes.fromhex(disk.read(path, 0, _READ_BYTES).decode())
    except ValueError as error:
        raise Broken(f"{keys.parent} cannot be opened: {path.name}: {error}") from None
    if len(secret) != _SECRET_BYTES:
        raise Broken(f"{path} does not hold a key of {_SECRET_BYTES} bytes")
    return secret
