"""Past moments decided by something else: another configuration, other models.

Where the other configuration folds the log as the one that was in force did, the state is that of `replay.Past`.
Else it is that of a past that never was.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from ..decisions.receipt import Receipt
from ..events.envelope import Configured, read_record
from ..foundation.disk import Disk
from ..foundation.errors import Broken, RequestRejected
from ..foundation.measure import NoMeter
from ..log.base import Readable
from ..log.frames import Frame, ends_of
from ..models.base import Ranker
from ..models.lineup import Rankers
from ..state.cold_files import ColdPlace
from ..state.schema import Schema
from .configuration import Configuration
from .partition import Partition
from .recovery import CHUNK_RECORDS, Progress, beginning
from .replay import BUILT_IN, Again, Made, Models, Past, differences


class OtherPast:
    """The log folded as if one configuration had been in force since it began, whatever it says was.

    Checkpoints are of no use for that, but the one that the log was cut below: features count from there.
    """

    def __init__(
        self, schema: Schema, log: Readable, *, disk: Disk, checkpoints: Path, cold: ColdPlace | None = None,
        progress: Progress | None = None,
    ) -> None:  # fmt: skip
        """`progress` is called with (records folded, position)."""
        self.schema = schema
        self.folded = 0
        """Records folded so far."""
        self._configured = Configured(0, dict(schema.settings), schema.declared(), tuple(sorted(schema.purposes)))
        self._partition = beginning(schema, log, disk=disk, checkpoints=checkpoints, cold=cold)
        self.begins = self._partition.position
        """Position from which it counts; 0 for the beginning."""
        self._partition.apply([self._configured], ends=[self.begins])
        self._frames: Iterator[Frame] = iter(log.read(self.begins or None))
        self._ahead: list[Frame] = []
        self._progress = progress

    def at(self, position: int) -> Partition:
        """As `Past.at`, but positions only go forward."""
        partition = self._partition
        if position < self.begins:
            raise RequestRejected("expired", f"the log does not reach back to {position}", status=410)
        assert position >= partition.position, "positions go forward"
        while frames := self._up_to(position):
            records = [read_record(frame.payload) for frame in frames]
            told = [
                msgspec.structs.replace(self._configured, at_ms=frame.time_ms) if isinstance(record, Configured)
                else record for record, frame in zip(records, frames, strict=True)
            ]  # fmt: skip
            partition.apply(
                told, ends=ends_of(frames), times_ms=[frame.time_ms for frame in frames]
            )
            self.folded += len(frames)
            if self._progress is not None:
                self._progress(self.folded, partition.position)
        if partition.position > position or (partition.position < position and not self._ahead):
            raise Broken(f"{position} is no position between two records; the fold stands at {partition.position}")
        return partition

    def _up_to(self, position: int) -> list[Frame]:
        """The next frames before `position`, at most `CHUNK_RECORDS`."""
        if not self._ahead:
            self._ahead = list(islice(self._frames, CHUNK_RECORDS))
        before = sum(frame.position < position for frame in self._ahead)
        frames, self._ahead = self._ahead[:before], self._ahead[before:]
        return frames


class Named(NamedTuple):
    """Rankers by placement."""

    by_placement: dict[str, Ranker]

    def of(self, tenant: str, placement: str) -> tuple[Ranker, ...]:
        found = self.by_placement.get(placement)
        return () if found is None else (found,)


class Anew:
    """Decides past moments by one configuration."""

    def __init__(self, configuration: Configuration, past: Past | OtherPast, models: Models) -> None:
        """Raises `ConfigRejected` for a ranker's weight that has no input."""
        self.past = past
        self.decider = configuration.decider(past.schema)
        self._models = models
        self._rankers: dict[str, Ranker] = {}

    def ranker(self, model: str) -> Ranker:
        """The model "kind@id", loaded once; `RequestRejected` if it is not kept."""
        if model not in self._rankers:
            self._rankers[model] = self._models.ranker(model, self.decider)
        return self._rankers[model]

    def named(self, receipt: Receipt) -> Named:
        """The models that ranked then; `RequestRejected` (model_gone) if one is not kept."""
        try:
            return Named({
                one.id: self.ranker(one.model)
                for one in receipt.placements
                if one.model != one.rung and not one.model.startswith(BUILT_IN)
            })
        except RequestRejected as error:
            raise RequestRejected("model_gone", f"a model that ranked is gone: {error.message}", status=410) from None

    def decide(self, made: Made, rankers: Rankers) -> Again:
        """The moment of a decision decided anew, about what was asked then and without haste.

        Raises as `Replay.decisions` does, and `RequestRejected` (unknown_placement) for a placement that there is not.
        """
        receipt = made.receipt
        if receipt.version < 2:
            raise RequestRejected("old_receipt", "it was made before decisions could be recomputed", status=410)
        partition = self.past.at(receipt.position)
        asked = self.decider.asked_again(receipt, made.enclosed, partition.state.catalogue)
        again, slates = self.decider.again(
            receipt, asked, state=partition.state, meter=NoMeter(), rankers=rankers,
            learned=partition.learners, as_made=False,
        )  # fmt: skip
        return Again(made, again, slates, partition, self.decider.assembler.columns, differences(receipt, again))
