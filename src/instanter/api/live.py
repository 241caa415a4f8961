"""`GET /v1/live`: how the server has been doing, by the second, over the last hour."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Final, NamedTuple, Protocol

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from ..foundation.errors import RequestRejected
from .replies import encoded

SAMPLE_MS: Final = 1_000
SINCE: Final = "since"
_DIGITS_MAX: Final = 16
_encode = msgspec.json.Encoder().encode

Numbers = npt.NDArray[np.float64]
Column = Annotated[list[float | None], Meta(description="A number for each sample; null where there is none to say")]


class Samples(NamedTuple):
    """Samples, the oldest first: columns of one length, in which NaN means that there is nothing to say."""

    at_ms: Numbers
    """When each was taken."""
    counts: Mapping[str, Numbers]
    """What happened since the sample before."""
    gauges: Mapping[str, Numbers]
    """How it was at that moment."""
    stages: Mapping[str, tuple[Numbers, Numbers, Numbers]]
    """p50 and p99 in ms of what each stage took since the sample before, and what all of it took together."""


class Series(Protocol):
    """Where the samples come from."""

    @property
    def deadline_ms(self) -> float:
        """Of a decision whose request names none."""
        ...

    def since(self, after_ms: int) -> Samples:
        """The samples taken after that time."""
        ...


class NoSeries:
    """An application that nobody takes samples of."""

    deadline_ms: float = 0.0

    def since(self, after_ms: int) -> Samples:
        return Samples(np.empty(0), {}, {}, {})


class StageColumns(msgspec.Struct, rename={"p50_ms": "p50Ms", "p99_ms": "p99Ms", "total_ms": "totalMs"}):
    """What a stage took, of that second alone; `docs/metrics.md` names the stages."""

    p50_ms: Column
    p99_ms: Column
    total_ms: Column
    """Of all together: totals of stages can be added and compared, quantiles cannot."""


class LiveReply(msgspec.Struct, rename="camel"):
    """`GET /v1/live`: columns with a number for each sample, the oldest first."""

    every_ms: int
    deadline_ms: float
    """What a decision may take whose request names no deadline."""
    at: list[int]
    """When each sample was taken, in ms since 1970."""
    counts: dict[str, Column]
    """What happened since the sample before."""
    gauges: dict[str, Column]
    """How it was at that moment."""
    stages: dict[str, StageColumns]
    next: str
    """What to ask for as `since`, for what comes after these."""


async def live(request: Request) -> Response:
    """`GET /v1/live?since=`: all samples that are kept, or those after a time."""
    series: Series = request.app.state.live
    since_ms = _since_of(request)
    samples = series.since(since_ms)
    told: dict[str, Any] = {
        "everyMs": SAMPLE_MS, "deadlineMs": series.deadline_ms,
        "at": await _column(samples.at_ms.astype(np.int64)),
        "counts": {name: await _column(column) for name, column in samples.counts.items()},
        "gauges": {name: await _column(column) for name, column in samples.gauges.items()},
        "stages": {
            name: {"p50Ms": await _column(p50), "p99Ms": await _column(p99), "totalMs": await _column(total)}
            for name, (p50, p99, total) in samples.stages.items()
        },
        "next": str(int(samples.at_ms[-1]) if len(samples.at_ms) else since_ms),
    }  # fmt: skip
    return encoded(_encode(told))


def _since_of(request: Request) -> int:
    since = request.query_params.get(SINCE, "0")
    if not (since.isascii() and since.isdigit() and len(since) <= _DIGITS_MAX):
        raise RequestRejected("schema", "since is what the reply before named as next: a time in ms since 1970")
    return int(since)


async def _column(numbers: npt.NDArray[Any]) -> msgspec.Raw:
    """A column as JSON. Others get their turn between two: an hour of all of them takes some ms."""
    await asyncio.sleep(0)
    return msgspec.Raw(_encode(numbers.round(3).tolist()))
