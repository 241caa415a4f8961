"""Decisions of a data directory made again, one or all of them, and what came out differently."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from ..engine.decision_ids import find_decision
from ..engine.recovery import Progress
from ..engine.replay import Made, decided_in, opened, unreadable
from ..events.envelope import Decided, read_record
from ..foundation.clock import elapsed_ns
from ..foundation.errors import Corrupt, RequestRejected
from ..foundation.limits import DIFFERING_TOLD_MAX
from ..log.base import frame_at
from .reading import Reading

DAMAGED = "damaged"
"""Skipped since the receipt, or the configuration or model that it names, fails its check."""
UNKNOWN = "unknown"
"""Skipped since the log holds no decision of that id."""


class Differing(msgspec.Struct, frozen=True, rename="camel"):
    """A decision that came out differently."""

    decision_id: str
    differences: list[str]
    """Names of what is not the same, such as "home.hero.items"."""


class Replayed(msgspec.Struct, frozen=True):
    """Decisions made again. Each of them is identical, or differs, or was skipped."""

    decisions: int = 0
    identical: int = 0
    differing: list[Differing] = []
    """The first `DIFFERING_TOLD_MAX`."""
    skipped: dict[str, int] = {}
    """Those that cannot be made again, by why: `erased`, `expired`, `old_receipt` (of before decisions could be made
    again), `not_kept` (asked about a list too long to keep), `model_gone`, `damaged`, `unknown`."""
    folded_events: int = 0
    seconds: float = 0.0

    @property
    def same(self) -> bool:
        """Whether nothing differs, nothing is damaged, and whatever was named is there."""
        whole = self.skipped.keys().isdisjoint({DAMAGED, UNKNOWN})
        return whole and self.decisions == self.identical + sum(self.skipped.values())


class Place(NamedTuple):
    """A place in the log, one way or the other."""

    position: int | None = None
    at_ms: int | None = None


class Span(msgspec.Struct, frozen=True):
    """Which decisions of a log: those at positions and of times from the one up to the other, which is not in it."""

    start: int = 0
    until: int | None = None
    from_ms: int = 0
    until_ms: int | None = None
    sample: int = 0
    """So many of them, evenly spread; 0 for all."""


def replayed(read: Reading, ids: Sequence[str], progress: Progress | None = None) -> Replayed:
    """The decisions of these ids made again; for speed in the order of the log, whatever that of the ids.

    Raises `Broken` where the log is damaged.
    """
    found: list[int] = []
    skipped: Counter[str] = Counter()
    for decision_id in dict.fromkeys(ids):
        try:
            named = find_decision(decision_id, read.log, read.moved)
        except RequestRejected as error:
            skipped[error.code] += 1
            continue
        if named is None:
            skipped[UNKNOWN] += 1
        else:
            found.append(named[0])
    return _replayed(read, sorted(found), skipped, progress)


def replayed_all(read: Reading, span: Span, progress: Progress | None = None) -> Replayed:
    """The decisions of a span made again; raises as `replayed` does."""
    return _replayed(read, positions_in(read, span), Counter(), progress)


def positions_in(read: Reading, span: Span) -> Sequence[int]:
    """Where the decisions of a span lie, 8 bytes of memory each."""
    found = array("q")
    for position, record in decided_in(read.log, until=span.until):
        if position < span.start or record.at_ms < span.from_ms:
            continue
        if span.until_ms is None or record.at_ms < span.until_ms:
            found.append(position)
    if not 0 < span.sample < len(found):
        return found
    return array("q", (found[number * len(found) // span.sample] for number in range(span.sample)))


def _replayed(
    read: Reading, positions: Sequence[int], skipped: Counter[str], progress: Progress | None
) -> Replayed:
    began_ns, folded = elapsed_ns(), read.replay.folded
    missing, identical = skipped.total(), 0
    differing: list[Differing] = []
    for made in _made(read, positions, skipped, progress):
        try:
            again = read.replay.decision(made)
        except RequestRejected as error:
            skipped[error.code] += 1
        except Corrupt:
            skipped[DAMAGED] += 1
        else:
            identical += again.identical
            if not again.identical and len(differing) < DIFFERING_TOLD_MAX:
                differing.append(Differing(made.receipt.decision_id, again.differences))
    return Replayed(
        missing + len(positions), identical, differing, dict(skipped), read.replay.folded - folded,
        round((elapsed_ns() - began_ns) / 1e9, 3),
    )  # fmt: skip


def _made(
    read: Reading, positions: Iterable[int], skipped: Counter[str], progress: Progress | None
) -> Iterator[Made]:
    """The decisions that can be read; the others are counted."""
    for number, position in enumerate(positions, start=1):
        try:
            yield made_at(read, position)
        except RequestRejected as error:
            skipped[error.code] += 1
        except Corrupt:
            skipped[DAMAGED] += 1
        if progress is not None:
            progress(number, position)


def made_at(read: Reading, position: int) -> Made:
    """The decision whose record lies there. `RequestRejected` where it can be read no more: `erased` or `expired`."""
    frame = frame_at(read.log, position)
    record = read_record(frame.payload)
    assert isinstance(record, Decided), "the position of a decision"
    made = opened(position, record, read.subjects)
    if made is None:
        raise unreadable(record, read.subjects)
    return made
