"""What an engine keeps its data in: where each store lies, and the one way to open them all."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import msgspec

from ..foundation.disk import Disk
from ..foundation.ids import References
from ..foundation.limits import QUARANTINE_BYTES_MAX
from ..foundation.rng import entropy
from ..log.moved import MovedPositions
from ..log.segment_log import SegmentLog
from ..models.attention import NO_NETS, Nets
from ..models.store import ModelStore
from ..privacy.audit import Trail, open_trail
from ..privacy.erasures import ERASURES, NOTHING_KNOWN, ErasureList
from ..privacy.subjects import KeyStore
from ..privacy.user_tokens import SigningSecrets
from ..state.cold_files import ColdPlace
from ..state.schema import Schema
from .holdings import AUDIT, LOG, QUARANTINE
from .holdings import FILE as HOLDINGS
from .models import StoredModels
from .partition import Partition
from .recovery import Progress, Recovery, recover
from .replay import Models

reports = logging.getLogger("instanter.engine")

KEYS: Final = "keys"
MEBIBYTE: Final = 1024 * 1024


class Places:
    """Paths below the directory of an engine's data. Nothing is made or looked at."""

    def __init__(self, root: Path, *, keys: Path | None = None) -> None:
        """`keys` is the folder of the keys where it is not ROOT/keys."""
        self.root = root
        self.log = root / LOG
        self.quarantine = root / QUARANTINE
        self.audit = root / AUDIT
        self.acts = self.audit / "acts"
        self.checkpoints = root / "checkpoints"
        self.moved = root / "moved"
        self.cold = root / "cold"
        self.configurations = root / "configurations"
        self.models = root / "models"
        self.holdings = root / HOLDINGS
        self.keys = root / KEYS if keys is None else keys
        """No backup holds it."""
        self.erasures = self.keys / ERASURES


class StoreSizes(msgspec.Struct, frozen=True):
    """When the logs begin another file, and how large the quarantine gets."""

    log_segment_bytes: int = 64 * MEBIBYTE
    quarantine_segment_bytes: int = QUARANTINE_BYTES_MAX // 8
    quarantine_bytes_max: int = QUARANTINE_BYTES_MAX
    audit_segment_bytes: int = 8 * MEBIBYTE


DEFAULT_SIZES: Final = StoreSizes()


class OpenSubjects(Protocol):
    """Opens a key store in a folder."""

    def __call__(self, disk: Disk, directory: Path, *, secret: bytes, master: bytes) -> KeyStore: ...


class Stores(NamedTuple):
    """What an engine keeps its data in, opened."""

    disk: Disk
    places: Places
    log: SegmentLog
    quarantine: SegmentLog
    trail: Trail
    subjects: KeyStore
    erasures: ErasureList
    signing: SigningSecrets
    moved: MovedPositions
    """Where a migration has put the receipts of decisions that were made before it."""
    models: Models
    nets: Nets = NO_NETS
    """Where nets of the models run."""

    def recover(
        self, schema: Schema, *, progress: Progress | None = None, cold: ColdPlace | None = None,
        references: References | None = None,
    ) -> tuple[Partition, Recovery]:  # fmt: skip
        """The partition at the end of the log, as `recovery.recover`."""
        start, end = self.log.extent
        return recover(
            schema, self.log, log_start=start, log_end=end, disk=self.disk, checkpoints=self.places.checkpoints,
            progress=progress, cold=cold, references=references,
        )  # fmt: skip


def open_stores(
    places: Places, *, disk: Disk, secret: bytes, master: bytes, opened: ExitStack, sizes: StoreSizes = DEFAULT_SIZES,
    reaching: Mapping[str, int] = NOTHING_KNOWN, open_subjects: OpenSubjects = KeyStore,
    source: Callable[[int], bytes] = entropy, models: Models | None = None, nets: Nets = NO_NETS,
) -> Stores:  # fmt: skip
    """Open everything; what was opened is closed by `opened` if the rest fails.

    `secret` is the installation's, under `master` the keys of people are wrapped; `source` gives the bytes of signing
    secrets, and `models` are those of `places` unless told otherwise; their nets run in `nets`. `Lost`, and nothing
    is cut off, if a log ends before where it is known to be `reaching`. `LogClosed` where another process has a store
    open.
    """
    opened.callback(nets.close)
    subjects = open_subjects(disk, places.keys, secret=secret, master=master)
    opened.callback(subjects.close)
    signing = SigningSecrets(disk, places.keys, master=master, source=source)
    erasures = ErasureList(disk, places.erasures, reaches=reaching)
    opened.callback(erasures.close)
    log = SegmentLog(disk, places.log, segment_bytes=sizes.log_segment_bytes, reaches=reaching.get(LOG, 0))
    opened.callback(log.close)
    quarantine = SegmentLog(
        disk, places.quarantine, segment_bytes=sizes.quarantine_segment_bytes,
        size_bytes_max=sizes.quarantine_bytes_max, reaches=reaching.get(QUARANTINE, 0),
    )  # fmt: skip
    opened.callback(quarantine.close)
    audit = SegmentLog(disk, places.audit, segment_bytes=sizes.audit_segment_bytes, reaches=reaching.get(AUDIT, 0))
    opened.callback(audit.close)
    for cut in (log.opened.cut, quarantine.opened.cut, audit.opened.cut):
        if cut is not None:
            reports.warning("an unfinished write was taken away", extra={"reason": str(cut)})
    return Stores(
        disk, places, log, quarantine, open_trail(audit, secret), subjects, erasures, signing,
        MovedPositions(disk, places.moved), models or StoredModels(ModelStore(disk, places.models), nets), nets,
    )  # fmt: skip
