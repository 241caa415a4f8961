"""The last hour by the second: a sample of what `/metrics` counts since the start, for `GET /v1/live`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np

from ..api.live import SAMPLE_MS, Numbers, Samples
from ..decisions.fallback import DEFAULT, PERSONAL, POPULAR, SESSION
from ..engine.loop import Engine
from ..foundation.clock import Clock
from ..foundation.limits import LIVE_SAMPLES_MAX
from ..foundation.measure import Lately
from ..foundation.pages import mapped_zeros, resident_bytes
from .metrics import STAGES
from .workers.board import WorkerSeen

QUANTILES: Final = (0.5, 0.99)


class Watched(NamedTuple):
    """Everything that samples are taken of."""

    engine: Engine
    working: int
    """Requests worked on."""
    workers: Sequence[WorkerSeen]

    def counted(self, prefix: str) -> int:
        """What the meter counts under names that begin so."""
        return sum(count for name, count in self.engine.meter.counts.items() if name.startswith(prefix))

    def counted_by_all(self, key: str) -> int:
        """What the meters of all processes count under a name."""
        return self.engine.meter.counts[key] + sum(seen.figures.counts.get(key, 0) for seen in self.workers)

    def decided(self) -> int:
        """Decisions, by all processes."""
        own = self.engine.meter.stages.get("decide")
        return (own.count if own else 0) + sum(seen.decisions for seen in self.workers)


Read = Callable[[Watched], float]


def _served(rung: str) -> Read:
    return lambda of: of.counted_by_all(f"served.{rung}")


COUNTS: Final[dict[str, Read]] = {
    "eventsAccepted": lambda of: of.engine.meter.counts["events_accepted"],
    "eventsRejected": lambda of: of.counted("events_rejected_"),
    "eventsWithheld": lambda of: of.counted("events_withheld."),
    "decisions": Watched.decided,
    "requestsRefused": lambda of: of.counted("requests_refused."),
    "requestsFailed": lambda of: of.engine.meter.counts["requests_failed"],
    "degraded": lambda of: of.counted("degraded."),
    **{f"served.{rung}": _served(rung) for rung in (PERSONAL, SESSION, POPULAR, DEFAULT)},
}
"""What happened between two samples."""
GAUGES: Final[dict[str, Read]] = {
    "requestsWorking": lambda of: of.working,
    "pendingBytes": lambda of: of.engine.journal.pending_bytes,
    "unfoldedRecords": lambda of: of.engine.journal.unfolded,
    "streamReaders": lambda of: of.engine.streams.readers,
    "people": lambda of: of.engine.partition.state.cells_used,
    "items": lambda of: len(of.engine.partition.state.catalogue.items),
    "memoryBytes": lambda of: resident_bytes(),
    "workersUp": lambda of: 1 + sum(seen.up for seen in of.workers),
}
"""How it is when a sample is taken."""
_QUANTILES_AT: Final = 1 + len(COUNTS) + len(GAUGES)
_PER_STAGE: Final = len(QUANTILES) + 1
_COLUMNS: Final = _QUANTILES_AT + _PER_STAGE * len(STAGES)


class LiveSeries:
    """The samples of one server. Used on the loop's thread."""

    def __init__(
        self, engine: Engine, clock: Clock, *, working: Callable[[], int],
        workers: Callable[[], Sequence[WorkerSeen]] = tuple,
    ) -> None:  # fmt: skip
        """`clock` is the machine's; `working` says how many requests are worked on."""
        self._engine = engine
        self._working = working
        self._clock = clock
        self._workers = workers
        self._rows = mapped_zeros((LIVE_SAMPLES_MAX, _COLUMNS), np.float64)
        """A ring: the next sample's row is `_taken` modulo its length."""
        self._taken = 0
        self._lately: dict[str, Lately] = {}
        self._total_ns: dict[str, int] = {}
        """By stage, at the sample before."""
        self._counted = self._counts(Watched(engine, 0, workers()))
        for stage in STAGES:
            self._spent_ms(stage)  # What was measured before belongs to no sample.

    @property
    def deadline_ms(self) -> float:
        """Of a decision whose request names none."""
        return self._engine.options.deadline_ms

    async def run(self) -> None:
        """Take a sample a second, until cancelled."""
        while True:
            await asyncio.sleep(SAMPLE_MS / 1_000)
            self.sample()

    def sample(self) -> None:
        """Take a sample."""
        of = Watched(self._engine, self._working(), self._workers())
        counted = self._counts(of)
        row = self._rows[self._taken % LIVE_SAMPLES_MAX]
        row[0] = self._clock.now_ms()
        row[1 : 1 + len(COUNTS)] = np.maximum(counted - self._counted, 0)  # A worker that begins anew counts from 0.
        row[1 + len(COUNTS) : _QUANTILES_AT] = [read(of) for read in GAUGES.values()]
        row[_QUANTILES_AT:] = [one for stage in STAGES for one in self._spent_ms(stage)]
        self._counted = counted
        self._taken += 1

    def since(self, after_ms: int) -> Samples:
        """The samples taken after that time; a copy."""
        first = max(self._taken - LIVE_SAMPLES_MAX, 0)
        rows = self._rows[np.arange(first, self._taken) % LIVE_SAMPLES_MAX]
        columns = rows[rows[:, 0] > after_ms].T
        spent = columns[_QUANTILES_AT:]
        return Samples(
            columns[0],
            dict(zip(COUNTS, columns[1 : 1 + len(COUNTS)], strict=True)),
            dict(zip(GAUGES, columns[1 + len(COUNTS) : _QUANTILES_AT], strict=True)),
            dict(zip(STAGES, zip(*(spent[at::_PER_STAGE] for at in range(_PER_STAGE)), strict=True), strict=True)),
        )

    @staticmethod
    def _counts(of: Watched) -> Numbers:
        return np.array([read(of) for read in COUNTS.values()], np.float64)

    def _spent_ms(self, stage: str) -> tuple[float, ...]:
        """The quantiles of what a stage took since the sample before, and the sum; NaN where there was none."""
        histogram = self._engine.meter.stages.get(stage)
        if histogram is None:
            return (np.nan,) * _PER_STAGE
        total_ns = histogram.total_ns
        spent_ms = (total_ns - self._total_ns.get(stage, 0)) / 1e6
        self._total_ns[stage] = total_ns
        lately = self._lately.get(stage)
        if lately is None:
            lately = self._lately[stage] = Lately(histogram)
        quantiles_ms = lately.quantiles_ms(*QUANTILES)
        return (*quantiles_ms, spent_ms) if quantiles_ms else (np.nan,) * _PER_STAGE
