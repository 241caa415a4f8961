"""The one replay: fold the log again, stop where a decision stood, and see exactly what it saw.

Serves receipts that are recomputed, training sets, values at a point in time, and what-if. Stands on the nearest
checkpoint before the first stop, and goes on from stop to stop, so stops come in the order of the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from ..decisions.decide import Decider
from ..decisions.receipt import Receipt, decode_receipt
from ..decisions.slate import Slate
from ..events.envelope import Decided, read_record
from ..events.subjects import NOBODY, Sealed
from ..features.assemble import Column
from ..foundation.disk import Disk
from ..foundation.errors import Broken, Corrupt, DiskFull, RequestRejected
from ..foundation.measure import NoMeter
from ..log.base import Readable, frame_at
from ..log.frames import Frame, LogPosition
from ..models.base import Ranker
from ..models.lineup import Rankers
from ..privacy.subjects import KeyStore
from ..state.checkpoint import checkpoint_path, list_checkpoints
from ..state.cold_files import ColdPlace
from ..state.schema import Schema
from .configuration import Configuration, Configurations
from .partition import Partition
from .recovery import CHUNK_RECORDS, fold_frames, open_checkpoint

JUMP_BYTES: Final = 16 * 1024 * 1024
"""A checkpoint so much nearer to the next stop is opened rather than folding up to it."""


class Past:
    """The state of one configuration at one position after another."""

    def __init__(
        self, schema: Schema, log: Readable, *, disk: Disk, checkpoints: Path, cold: ColdPlace | None = None
    ) -> None:
        self.schema = schema
        self._log = log
        self._disk = disk
        self._checkpoints = checkpoints
        self._cold = cold
        self._partition: Partition | None = None
        self._frames: Iterator[Frame] = iter(())
        self._ahead: Frame | None = None
        self.folded = 0
        """Records folded so far."""

    def at(self, position: LogPosition) -> Partition:
        """The partition with everything before `position` folded, and nothing else.

        Positions may go back, which costs a checkpoint and the log behind it. `RequestRejected` (expired) where the log
        does not reach back so far any more, `Broken` for a position beyond its end or within a record.
        """
        partition = self._partition
        if (
            partition is None or partition.halfway or position < partition.position
            or self._nearer(partition.position, position)
        ):  # fmt: skip
            partition = self._partition = self._nearest(position)
            self._frames, self._ahead = self._log.read(partition.position or None), None
        try:
            self._fold(partition, position)
        except (Corrupt, DiskFull):
            self._partition = None
            raise
        if partition.position > position or (partition.position < position and self._ahead is None):
            raise Broken(f"{position} is no position between two records; the fold stands at {partition.position}")
        return partition

    def _fold(self, partition: Partition, position: int) -> None:
        while frames := self._up_to(position):
            fold_frames(partition, frames)
            self.folded += len(frames)

    def _nearer(self, now: int, position: int) -> bool:
        if position - now <= JUMP_BYTES:
            return False
        return any(now + JUMP_BYTES < found <= position for found in list_checkpoints(self._disk, self._checkpoints))

    def _nearest(self, position: int) -> Partition:
        for found in list_checkpoints(self._disk, self._checkpoints):
            if found <= position:
                try:
                    path = checkpoint_path(self._checkpoints, found)
                    return open_checkpoint(self.schema, self._disk, path, self._cold)[0]
                except (Corrupt, FileNotFoundError):  # Damaged, or a running server has just replaced it.
                    continue
        if self._log.start > 0:
            raise RequestRejected("expired", f"the log and its checkpoints do not reach back to {position}", status=410)
        return Partition(self.schema, self._cold)

    def _up_to(self, position: int) -> list[Frame]:
        """The next frames before `position`, at most `CHUNK_RECORDS`."""
        frames: list[Frame] = []
        while len(frames) < CHUNK_RECORDS:
            frame = self._ahead or next(self._frames, None)
            self._ahead = None
            if frame is None:
                break
            if frame.position >= position:
                self._ahead = frame
                break
            frames.append(frame)
        return frames


class Made(NamedTuple):
    """A decision as the log holds it."""

    at: int
    """Position of its record."""
    record: Decided
    receipt: Receipt
    enclosed: bytes


class Again(NamedTuple):
    """A decision recomputed."""

    made: Made
    receipt: Receipt
    """What came of it this time."""
    slates: list[Slate]
    partition: Partition
    """As it stood then."""
    columns: tuple[Column, ...]
    """Of the matrices of the slates."""
    differences: list[str]
    """Names of what is not the same, e.g. "home.hero.items"."""

    @property
    def identical(self) -> bool:
        return not self.differences


class Models(Protocol):
    """Where the models that receipts name are kept."""

    def ranker(self, model: str, decider: Decider) -> Ranker:
        """The model "kind@id" over a decider's columns; `RequestRejected` if there is none, `Corrupt` if it is
        damaged."""
        ...


class NoModels:
    """An installation that has never had a model."""

    def ranker(self, model: str, decider: Decider) -> Ranker:
        raise RequestRejected("unknown_model", "there are no models here", status=404)


class _Named(NamedTuple):
    """The rankers that a receipt names, each for its placement."""

    by_placement: dict[str, Ranker]

    def of(self, tenant: str, placement: str) -> tuple[Ranker, ...]:
        found = self.by_placement.get(placement)
        return () if found is None else (found,)


class Replay:
    """Recomputes decisions. May run beside a server: it only reads."""

    def __init__(
        self, log: Readable, *, disk: Disk, checkpoints: Path, configurations: Configurations, models: Models,
        memory_mb: int, cold: ColdPlace | None = None,
    ) -> None:  # fmt: skip
        self._log = log
        self._disk = disk
        self._checkpoints = checkpoints
        self._configurations = configurations
        self._models = models
        self._memory_mb = memory_mb
        self._cold = cold
        self._footing: tuple[Configuration, Decider, Past] | None = None
        self._rankers: dict[str, Ranker] = {}
        """Of the decider, by name."""
        self._folded = 0

    @property
    def folded(self) -> int:
        """Records folded so far."""
        return self._folded + (0 if self._footing is None else self._footing[2].folded)

    def decisions(self, made: Iterable[Made]) -> Iterator[Again]:
        """Each decision recomputed, in the order given: by position, for speed.

        Raises what `Past.at` raises; `RequestRejected` (old_receipt, not_kept, model_gone) where something a decision
        stood on was not kept, and `Corrupt` where that is damaged.
        """
        for one in made:
            yield self.decision(one)

    def decision(self, made: Made) -> Again:
        """One decision recomputed; see `decisions`."""
        receipt = made.receipt
        if receipt.version < 2:
            raise RequestRejected("old_receipt", "it was made before decisions could be recomputed", status=410)
        decider, past = self.footing(receipt.config_hash)
        partition = past.at(receipt.position)
        asked = decider.asked_again(receipt, made.enclosed, partition.state.catalogue)
        again, slates = decider.again(
            receipt, asked, state=partition.state, meter=NoMeter(), rankers=self._named(receipt, decider),
            learned=partition.learners,
        )
        return Again(made, again, slates, partition, decider.assembler.columns, differences(receipt, again))

    def footing(self, configuration: str) -> tuple[Decider, Past]:
        """The decider and the past of the configuration of that name."""
        before = self._footing
        if before is None or before[1].config_hash != configuration:
            before = self._footing = self._stand_on(self._configurations.get(configuration), configuration)
        return before[1], before[2]

    def _stand_on(self, kept: Configuration, name: str) -> tuple[Configuration, Decider, Past]:
        """The past goes on where only what is decided with it has changed."""
        self._rankers = {}
        if self._footing is not None:
            before, _, past = self._footing
            if before.folds_as(kept):
                return kept, kept.decider(past.schema, name=name), past
            self._folded += past.folded
        schema = kept.schema(memory_mb=self._memory_mb)
        return kept, kept.decider(schema, name=name), self.past(schema)

    def past(self, schema: Schema) -> Past:
        """The past as a schema sees it."""
        return Past(schema, self._log, disk=self._disk, checkpoints=self._checkpoints, cold=self._cold)

    def _named(self, receipt: Receipt, decider: Decider) -> Rankers:
        return _Named({
            one.id: self._ranker(one.model, decider)
            for one in receipt.placements
            if one.model != one.rung and not one.model.startswith(BUILT_IN)
        })

    def _ranker(self, model: str, decider: Decider) -> Ranker:
        if model not in self._rankers:
            try:
                self._rankers[model] = self._models.ranker(model, decider)
            except RequestRejected as error:
                raise RequestRejected("model_gone", f"it was ranked by {model}: {error.message}", status=410) from None
        return self._rankers[model]


BUILT_IN: Final = "linear@"
"""How receipts name the ranker that comes with the configuration."""


def differences(receipt: Receipt, again: Receipt) -> list[str]:
    """Names of what is not the same in two receipts of one decision. What was cut for lack of time is no difference:
    it is cut again, and not told again."""
    found = _unequal(receipt, again, leave=("placements", "degraded"))
    for one, other in zip(receipt.placements, again.placements, strict=False):
        found += [f"{one.id}.{name}" for name in _unequal(one, other)]
    if len(receipt.placements) != len(again.placements):
        found.append("placements")
    return found


def _unequal(one: msgspec.Struct, other: msgspec.Struct, leave: tuple[str, ...] = ()) -> list[str]:
    names = [name for name in one.__struct_fields__ if name not in leave]
    return [name for name in names if getattr(one, name) != getattr(other, name)]


def opened(at: int, record: Decided, subjects: KeyStore) -> Made | None:
    """The decision in a record, None when it can be read no more: erased, or older than receipts are kept."""
    if record.subject == 0:
        return Made(at, record, decode_receipt(record.receipt), record.enclosed)
    receipt = subjects.unseal(record.subject, Sealed.RECEIPT, record.at_ms, record.receipt)
    if receipt is None:
        return None
    enclosed = b""
    if record.enclosed:
        enclosed = subjects.unseal(record.subject, Sealed.RECEIPT, record.at_ms, record.enclosed) or b""
    return Made(at, record, decode_receipt(receipt), enclosed)


def decided_in(log: Readable, *, start: int | None = None, until: int | None = None) -> Iterator[tuple[int, Decided]]:
    """The decisions that the log holds, with their positions; the other records are not decoded."""
    for frame in log.read(start):
        if until is not None and frame.position >= until:
            return
        if _is_decided(frame.payload):
            record = read_record(frame.payload)
            if isinstance(record, Decided):
                yield frame.position, record


_DECIDED_TAG: Final = 10
_FIXARRAY, _ARRAY_16 = 0x90, 0xDC


def _is_decided(payload: Any) -> bool:
    """Whether a record's tag, right behind the header of its array, is that of a decision."""
    first = payload[0]
    if first == _ARRAY_16:
        return bool(payload[3] == _DECIDED_TAG)
    return bool(first & 0xF0 == _FIXARRAY and payload[1] == _DECIDED_TAG)


def decided_at(log: Readable, position: int, subjects: KeyStore) -> Made | None:
    """The decision whose record lies there, None if none does or it can be read no more."""
    frame = frame_at(log, position)
    record = read_record(frame.payload)
    return opened(position, record, subjects) if isinstance(record, Decided) else None


def unreadable(record: Decided, subjects: KeyStore) -> RequestRejected:
    """Why a decision can be read no more: `erased` or `expired`."""
    if record.subject != NOBODY and not subjects.has([record.subject]):
        return RequestRejected("erased", "the receipt was erased with its person", status=410)
    return RequestRejected("expired", "the receipt is older than receipts are kept", status=410)
