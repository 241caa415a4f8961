"""The data directory: what lies where, its format, and the installation's secret."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ..engine.stores import Places
from ..foundation.disk import Disk, write_whole
from ..foundation.errors import Broken, LogClosed
from ..foundation.rng import entropy
from ..privacy.subjects import SUBJECTS

FORMAT = 2
LOGS = ("log", "quarantine", "audit")
"""Folders that are logs: a backup copies each up to a whole record."""
FILES = ("moved", "cold", "configurations", "models")
"""Folders of files that only grow: a backup copies them as long as they are then, after the checkpoint."""
UNFINISHED = "unfinished.json"
"""Lies in a directory that is being restored, until it is whole."""
MIGRATING = "migrating"
READY = "ready.json"
"""Lies in `MIGRATING` from when the folders of an older format are replaced until that is done."""
_SECRET_BYTES = 32
_READ_BYTES = 4_096


class _Marker(msgspec.Struct):
    """DIR/instanter.json."""

    format: int


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
        self.format()
        return secret_in(self.disk, self.keys)

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
            write_whole(self.disk, self._secret, entropy(_SECRET_BYTES).hex().encode())
            write_whole(self.disk, self._marker, msgspec.json.encode(_Marker(FORMAT)))
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
        """The format of the directory; `Broken` if it is none, or a newer one than this program reads."""
        if self._marker.name not in self.disk.list(self.root):
            raise Broken(f"{self.root} is not a data directory: it has no {self._marker.name}")
        try:
            found = msgspec.json.decode(self.disk.read(self._marker, 0, _READ_BYTES), type=_Marker).format
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Broken(f"{self.root} cannot be opened: {self._marker.name}: {error}") from None
        if found > FORMAT:
            raise Broken(f"{self.root} has format {found}; this program reads up to {FORMAT}")
        return found

    def check(self) -> bytes:
        """The secret of an existing directory; nothing is written."""
        self.refuse_unfinished()
        self.format()
        if READY in self.disk.list(self.root / MIGRATING):
            raise Broken(f"{self.root} is on its way to a new format: start the server, or run instanter migrate")
        return secret_in(self.disk, self.keys)

    def mark(self, format: int) -> None:
        """Say that the directory is of this format; durable on return. What it held was said in another format's
        positions, and counts no more."""
        if self.holdings.name in self.disk.list(self.root):
            self.disk.unlink(self.holdings)
        write_whole(self.disk, self._marker, msgspec.json.encode(_Marker(format)))


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
