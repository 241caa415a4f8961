"""The data directory: what lies where, its format, and the installation's secret."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ..foundation.disk import Disk
from ..foundation.errors import Broken, LogClosed
from ..foundation.rng import entropy

FORMAT = 1
_SECRET_BYTES = 32
_READ_BYTES = 4_096


class _Marker(msgspec.Struct):
    """DIR/instanter.json."""

    format: int


class DataDirectory:
    """Paths below DIR. `open` makes what is missing and refuses what a newer version wrote."""

    def __init__(self, disk: Disk, root: Path) -> None:
        self.disk = disk
        self.root = root
        self.log = root / "log"
        self.quarantine = root / "quarantine"
        self.checkpoints = root / "checkpoints"
        self.audit = root / "audit"
        self.acts = self.audit / "acts"
        self._marker = root / "instanter.json"
        self._secret = root / "keys" / "installation.key"

    def open(self) -> bytes:
        """Create or check the directory; the installation's secret, by which people's ids are hashed."""
        for directory in (self.root, self._secret.parent, self.checkpoints):
            self.disk.make_directory(directory)
        if self._marker.name not in self.disk.list(self.root):
            self._create()
        return self.check()

    def _create(self) -> None:
        """Make key and marker, the marker last. Two processes that start at once must not make two keys."""
        try:
            lock = self.disk.lock(self._secret.parent / "lock")
        except BlockingIOError:
            raise LogClosed(f"another process is making {self.root}") from None
        try:
            if self._marker.name in self.disk.list(self.root):
                return
            if self.disk.list(self.log):
                raise Broken(f"{self.root} holds a log but no {self._marker.name}: it is not whole")
            self._write(self._secret, entropy(_SECRET_BYTES).hex().encode())
            self._write(self._marker, msgspec.json.encode(_Marker(FORMAT)))
        finally:
            lock.release()

    def check(self) -> bytes:
        """The secret of an existing directory; nothing is written."""
        if self._marker.name not in self.disk.list(self.root):
            raise Broken(f"{self.root} is not a data directory: it has no {self._marker.name}")
        try:
            marker = msgspec.json.decode(self.disk.read(self._marker, 0, _READ_BYTES), type=_Marker)
            secret = bytes.fromhex(self.disk.read(self._secret, 0, _READ_BYTES).decode())
        except (msgspec.MsgspecError, ValueError, FileNotFoundError) as error:
            raise Broken(f"{self.root} cannot be opened: {error}") from None
        if marker.format > FORMAT:
            raise Broken(f"{self.root} has format {marker.format}; this program reads up to {FORMAT}")
        if len(secret) != _SECRET_BYTES:
            raise Broken(f"{self._secret} does not hold a key of {_SECRET_BYTES} bytes")
        return secret

    def _write(self, path: Path, content: bytes) -> None:
        """Write a small file whole or not at all."""
        unfinished = path.with_suffix(".tmp")
        if unfinished.name in self.disk.list(path.parent):
            self.disk.unlink(unfinished)
        file = self.disk.open(unfinished)
        file.write(content)
        file.sync()
        file.close()
        self.disk.rename(unfinished, path)
        self.disk.sync_directory(path.parent)
