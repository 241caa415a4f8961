"""Where trained models are kept: one file each, named by the hash of its bytes, put in its place whole or not at all.

One process at a time writes; any may read. A file with the right name whose bytes do not make that name is damaged
and never served.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Final

import msgspec

from ..foundation.disk import Disk, write_whole
from ..foundation.errors import Broken, Corrupt, DiskFull, Overloaded, RequestRejected, Unavailable
from ..foundation.limits import MODEL_BYTES_MAX, MODELS_KEPT_MAX
from .artefact import Artefact, Window, decode, encode, identify

_SUFFIX: Final = ".model"
_ID: Final = re.compile(r"[0-9a-f]{32}")


class Described(msgspec.Struct, frozen=True):
    """A kept model in short."""

    id: str
    size_bytes: int
    kind: str = ""
    tenant: str = ""
    placement: str = ""
    made_ms: int = 0
    metrics: dict[str, float] = {}
    parent: str = ""
    damage: str = ""
    """Why it cannot be used; nothing else is known of it then."""
    window: Window = Window()
    """What part of the log it was made of."""
    lists: int = 0
    rows: int = 0


class ModelStore:
    """The models in one directory."""

    def __init__(self, disk: Disk, directory: Path) -> None:
        self._disk = disk
        self._directory = directory
        self._described: dict[str, Described] = {}

    def put(self, artefact: Artefact) -> str:
        """Keep a model, durably, and return its id; the same model again is the same file.

        `Overloaded` once `MODELS_KEPT_MAX` are kept (see `prune`), `DiskFull`, or `Unavailable` for another fault of
        the disk; then nothing was kept.
        """
        raw = encode(artefact)
        if len(raw) > MODEL_BYTES_MAX:
            raise RequestRejected("model_too_large", f"a model has at most {MODEL_BYTES_MAX} bytes, not {len(raw)}")
        decode(raw)
        model_id = identify(raw)
        kept = self._ids()
        if model_id in kept and self._read(model_id) == raw:
            return model_id
        if model_id not in kept and len(kept) >= MODELS_KEPT_MAX:
            raise Overloaded(f"{MODELS_KEPT_MAX} models are kept already; prune first")
        try:
            self._disk.make_directory(self._directory)
            self._remove_unfinished()
            write_whole(self._disk, self._path(model_id), raw)
        except OSError as error:
            kind = DiskFull if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else Unavailable
            raise kind(f"the model was not kept: {error}") from None
        return model_id

    def get(self, model_id: str) -> Artefact:
        """A kept model. `RequestRejected` if there is none, `Corrupt` or `Broken` if it cannot be used."""
        return self._decoded(model_id, self._read(model_id))

    def list(self) -> Sequence[Described]:
        """All that are kept, the newest first. Reads each file once in the life of this store."""
        self._described = {
            one: described for one in self._ids()
            if (described := self._described.get(one) or self._describe(one)) is not None
        }  # fmt: skip
        return sorted(self._described.values(), key=lambda one: (one.made_ms, one.id), reverse=True)

    def remove(self, model_id: str) -> None:
        """Forget a model, durably; `RequestRejected` if there is none."""
        if model_id not in self._ids():
            raise _unknown(model_id)
        self._disk.unlink(self._path(model_id))
        self._disk.sync_directory(self._directory)
        self._described.pop(model_id, None)

    def prune(self, keep: Set[str], *, spare: Set[str] = frozenset(), room: int = 1) -> Sequence[str]:
        """Remove the oldest, damaged ones first, until there is room for so many more: never one in `keep`, and one in
        `spare` only when no other is left. The ids of the removed."""
        kept = self.list()
        beyond = max(len(kept) + room - MODELS_KEPT_MAX, 0)
        free = [one.id for one in reversed(kept) if one.id not in keep]
        removed = sorted(free, key=lambda one: one in spare)[:beyond]
        for model_id in removed:
            self.remove(model_id)
        return removed

    def _ids(self) -> Sequence[str]:
        names = (name.removesuffix(_SUFFIX) for name in self._disk.list(self._directory) if name.endswith(_SUFFIX))
        return [name for name in names if _ID.fullmatch(name)]

    def _path(self, model_id: str) -> Path:
        return self._directory / f"{model_id}{_SUFFIX}"

    def _read(self, model_id: str) -> bytes:
        if model_id not in self._ids():
            raise _unknown(model_id)
        try:
            return self._disk.read(self._path(model_id), 0, MODEL_BYTES_MAX + 1)
        except FileNotFoundError:
            raise _unknown(model_id) from None
        except OSError as error:
            raise Corrupt(file=str(self._path(model_id)), offset=0, reason=f"cannot be read: {error}") from None

    def _decoded(self, model_id: str, raw: bytes) -> Artefact:
        file = str(self._path(model_id))
        artefact = decode(raw, file=file)
        if identify(raw) != model_id:
            raise Corrupt(file=file, offset=0, reason="the file has the name of another model")
        return artefact

    def _describe(self, model_id: str) -> Described | None:
        """None if another process removed it meanwhile."""
        raw = b""
        try:
            raw = self._read(model_id)
            artefact = self._decoded(model_id, raw)
        except RequestRejected:
            return None
        except Broken as error:
            return Described(model_id, len(raw), damage=str(error))
        return Described(
            model_id, len(raw), artefact.kind, artefact.tenant, artefact.placement, artefact.made_ms, artefact.metrics,
            artefact.parent, window=artefact.window, lists=artefact.lists, rows=artefact.rows,
        )  # fmt: skip

    def _remove_unfinished(self) -> None:
        """What a killed writer left behind."""
        for name in self._disk.list(self._directory):
            if name.endswith(".tmp"):
                self._disk.unlink(self._directory / name)


def _unknown(model_id: str) -> RequestRejected:
    return RequestRejected("unknown_model", f"no model {model_id} is kept", status=404)
