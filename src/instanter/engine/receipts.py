"""Receipts of decisions on their way into the log: sealed, and appended. Also of those that another process made."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from ..decisions.decide import Promised
from ..events.envelope import Decided
from ..events.subjects import NOBODY, Sealed
from ..foundation.clock import Clock
from ..foundation.errors import RequestRejected, Unavailable
from ..foundation.measure import Meter
from ..privacy.subjects import KeyStore
from .calibrations import Calibrations
from .journal import Journal
from .models import ServedModels


class DecidedElsewhere(msgspec.Struct, array_like=True, frozen=True):
    """A decision of another process, as the writer needs it."""

    record: Decided
    """With the receipt, and what lies beside it, not sealed yet."""
    promised: tuple[Promised, ...] = ()
    """For the calibration of models; empty where nobody may learn from it."""
    faults: tuple[tuple[str, str, str], ...] = ()
    """(placement, name of the ranker, reason) of rankers that did not do their work."""


class Receipts:
    """The writer's side of decisions. Used on the loop's thread."""

    def __init__(
        self, *, journal: Journal, subjects: KeyStore, models: ServedModels, calibrations: Calibrations, clock: Clock,
        meter: Meter, partitions: int,
    ) -> None:  # fmt: skip
        self._journal = journal
        self._subjects = subjects
        self._models = models
        self._calibrations = calibrations
        self._clock = clock
        self._meter = meter
        self._partitions = partitions

    def keep(self, record: Decided, seal: Callable[[bytes], bytes]) -> None:
        """Append a decision whose receipt is not sealed yet; durable a moment later. One that the log does not take is
        counted as lost."""
        record = msgspec.structs.replace(
            record, receipt=seal(record.receipt), enclosed=seal(record.enclosed) if record.enclosed else b""
        )
        try:
            self._journal.append(record, self._clock.now_ms(), partition=record.key % self._partitions)
        except (Unavailable, RequestRejected):
            self._meter.count("receipts_lost")

    def keep_elsewhere(self, told: DecidedElsewhere) -> None:
        """The same for a decision of another process. Of somebody who was erased meanwhile nothing is kept."""
        record = told.record
        if record.key and not self._subjects.has([record.key]):
            self._meter.count("receipts_lost")
            return
        if told.faults:
            self._models.note_elsewhere(record.tenant, told.faults)
        self.keep(record, partial(self._subjects.seal, record.key or NOBODY, Sealed.RECEIPT, record.at_ms))
        if told.promised:
            self._calibrations.show(record.decision_id, record.tenant, record.key, record.at_ms, told.promised)
