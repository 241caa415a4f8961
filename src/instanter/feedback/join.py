"""Joins what people did to what they had been shown: by the decision's id, by the list's, else by person and item.

An outcome is settled `delay_ms` after it happened (and `SKEW_MS`, by which the clocks of senders differ), in the clock
of what has been received, and a list is complete when the last outcome that can belong to it is settled. So any order
of arrival within the delay gives the same examples, and each list becomes one example, once. A function of the records
given, in their order, and of nothing else.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeVar

import msgspec

from ..events.envelope import Tracked
from ..foundation.limits import OUTCOMES_WAITING_MAX, SLATES_OPEN_MAX
from .example import Example
from .outcomes import Happened, happened_in
from .rewards import Rewards
from .slates import UNKNOWN, Slate


class JoinCounts(msgspec.Struct):
    """What became of the outcomes, an item each, and of the lists."""

    joined_by_decision: int = 0
    joined_by_list: int = 0
    joined_by_item: int = 0
    unjoined: int = 0
    """Of nothing that had been shown within the window."""
    too_late: int = 0
    """Of a list that was complete by then."""
    duplicates: int = 0
    """Events that came again."""
    closed_early: int = 0
    """Lists that had to make room for others."""
    dropped: int = 0
    """Lists of people who were erased."""


class _Open:
    """A list whose outcomes may still come."""

    __slots__ = ("outcomes", "revenues", "slate")

    def __init__(self, slate: Slate) -> None:
        self.slate = slate
        self.outcomes = dict.fromkeys(slate.items, 0)
        self.revenues = dict.fromkeys(slate.items, 0.0)

    def add(self, happened: Happened) -> None:
        self.outcomes[happened.item] |= happened.outcome
        self.revenues[happened.item] += happened.revenue


class _Waiting(msgspec.Struct, frozen=True):
    """An event whose outcomes are not settled yet."""

    event: Tracked
    cells: tuple[int, ...]


SKEW_MS: Final = 5_000
"""An outcome that names the list may seem to have happened so long before it."""

_Named = dict[tuple[str, str], list[_Open]]
_Key = TypeVar("_Key", tuple[str, str], tuple[str, int, int])


class Joiner:
    """Holds the lists that are open; at most `SLATES_OPEN_MAX`, and as many events as `OUTCOMES_WAITING_MAX`."""

    def __init__(self, rewards: Rewards) -> None:
        self.counts = JoinCounts()
        self._rewards = rewards
        self._number = 0
        self._decisions: _Named = {}
        self._lists: _Named = {}
        self._seen: dict[tuple[str, int, int], list[_Open]] = {}
        """By tenant, cell and item: open lists that showed it."""
        self._closing: list[tuple[int, int, _Open]] = []
        self._waiting: list[tuple[int, int, _Waiting]] = []
        self._known: set[tuple[str, int, int]] = set()
        self._known_until: deque[tuple[int, tuple[str, int, int]]] = deque()
        self._early: list[_Open] = []

    def __len__(self) -> int:
        """How many lists are open."""
        return len(self._closing)

    def show(self, slate: Slate) -> None:
        """A list was shown. One list of a placement for each id: told again, it is no other one."""
        named = self._named(slate)
        same = named.setdefault((slate.tenant, slate.id), [])
        if any(one.slate.placement == slate.placement for one in same):
            return
        opened = _Open(slate)
        same.append(opened)
        for cell in self._cells(slate):
            for item in slate.items:
                self._seen.setdefault((slate.tenant, cell, item), []).append(opened)
        self._number += 1
        heapq.heappush(self._closing, (slate.at_ms, self._number, opened))
        if len(self._closing) > SLATES_OPEN_MAX:
            self.counts.closed_early += 1
            self._early.append(self._close())

    def note(self, event: Tracked, cells: Sequence[int] = ()) -> None:
        """Somebody did something; `cells` are all cells of the person as they are linked now."""
        if not any(True for _ in happened_in(event, dwell_ms=self._rewards.dwell_ms)):
            return
        known = (event.tenant, event.key, event.message)
        if known in self._known:
            self.counts.duplicates += 1
            return
        self._known.add(known)
        remembered_ms = self._rewards.window_ms + self._rewards.delay_ms + SKEW_MS
        self._known_until.append((event.received_ms + remembered_ms, known))
        self._number += 1
        waiting = _Waiting(event, tuple(cells) or (event.key,))
        heapq.heappush(self._waiting, (event.happened_ms, self._number, waiting))
        if len(self._waiting) > OUTCOMES_WAITING_MAX:
            self._settle(heapq.heappop(self._waiting)[2])

    def due(self, now_ms: int) -> Iterator[Example]:
        """The examples that are complete by what has been received, the oldest list first."""
        yield from self._examples(self._early)
        self._early = []
        settled_ms = now_ms - self._rewards.delay_ms - SKEW_MS
        while self._closing and self._closing[0][0] + self._rewards.window_ms <= settled_ms:
            self._settle_until(self._closing[0][0] + self._rewards.window_ms)
            yield self._example(self._close())
        self._settle_until(settled_ms)
        while self._known_until and self._known_until[0][0] < now_ms:
            self._known.discard(self._known_until.popleft()[1])

    def rest(self) -> Iterator[Example]:
        """What is open, as it stands now: outcomes of these lists may still come. Nothing is open afterwards."""
        yield from self._examples(self._early)
        self._early = []
        while self._waiting:
            self._settle(heapq.heappop(self._waiting)[2])
        while self._closing:
            yield self._example(self._close())

    def drop(self, cells: Iterable[int]) -> None:
        """Forget the lists of people who were erased, and what they did."""
        gone = set(cells)
        theirs = [one for one in self._closing if not gone.isdisjoint(self._cells(one[2].slate))]
        for _, _, opened in theirs:
            self._forget(opened)
        self.counts.dropped += len(theirs)
        self._closing = [one for one in self._closing if gone.isdisjoint(self._cells(one[2].slate))]
        self._waiting = [one for one in self._waiting if gone.isdisjoint(one[2].cells)]
        heapq.heapify(self._closing)
        heapq.heapify(self._waiting)

    # Settling.

    def _settle_until(self, at_ms: int) -> None:
        """Settle what happened up to then."""
        while self._waiting and self._waiting[0][0] <= at_ms:
            self._settle(heapq.heappop(self._waiting)[2])

    def _settle(self, waiting: _Waiting) -> None:
        event = waiting.event
        for happened in happened_in(event, dwell_ms=self._rewards.dwell_ms):
            found, how = self._find(event, waiting.cells, happened.item)
            setattr(self.counts, how, getattr(self.counts, how) + 1)
            if found is not None:
                found.add(happened)

    def _find(self, event: Tracked, cells: Sequence[int], item: int) -> tuple[_Open | None, str]:
        """The one list that an outcome belongs to, and how that was found."""
        for named, name, how in (
            (self._decisions, event.decision_id, "joined_by_decision"), (self._lists, event.list_id, "joined_by_list")
        ):  # fmt: skip
            if name:
                told = named.get((event.tenant, name), ())
                for opened in told:
                    since_ms = event.happened_ms - opened.slate.at_ms
                    if item in opened.outcomes and -SKEW_MS <= since_ms <= self._rewards.window_ms:
                        return opened, how
        return self._shown_before(event, cells, item)

    def _shown_before(self, event: Tracked, cells: Sequence[int], item: int) -> tuple[_Open | None, str]:
        """The newest list that showed the person the item, not later than the outcome and within the window."""
        best: _Open | None = None
        for cell in cells:
            for opened in self._seen.get((event.tenant, cell, item), ()):
                since_ms = event.happened_ms - opened.slate.at_ms
                newer = best is None or _order(opened) > _order(best)
                if 0 <= since_ms <= self._rewards.window_ms and newer:
                    best = opened
        if best is not None:
            return best, "joined_by_item"
        late = event.received_ms - event.happened_ms > self._rewards.delay_ms
        return None, "too_late" if late else "unjoined"

    # Closing.

    def _close(self) -> _Open:
        opened = heapq.heappop(self._closing)[2]
        self._forget(opened)
        return opened

    def _forget(self, opened: _Open) -> None:
        slate = opened.slate
        named = self._named(slate)
        _remove(named, (slate.tenant, slate.id), opened)
        for cell in self._cells(slate):
            for item in slate.items:
                _remove(self._seen, (slate.tenant, cell, item), opened)

    def _examples(self, closed: Iterable[_Open]) -> Iterator[Example]:
        return (self._example(opened) for opened in closed)

    def _example(self, opened: _Open) -> Example:
        slate, rewards = opened.slate, self._rewards
        outcomes = tuple(int(opened.outcomes[item]) for item in slate.items)
        revenues = tuple(opened.revenues[item] for item in slate.items)
        propensities = slate.propensities or (UNKNOWN,) * len(slate.items)
        return Example(
            slate=slate,
            outcomes=outcomes,
            revenues=revenues,
            rewards=tuple(map(rewards.of, outcomes, revenues)),
            weights=tuple(map(rewards.weight, propensities)),
        )

    def _named(self, slate: Slate) -> _Named:
        return self._decisions if slate.source == "decision" else self._lists

    def _cells(self, slate: Slate) -> set[int]:
        return {cell for cell in (slate.key, *slate.cells) if cell}


def _order(opened: _Open) -> tuple[int, str, str]:
    """Which list is the newer one, whatever came first."""
    return opened.slate.at_ms, opened.slate.id, opened.slate.placement


def _remove(lists: dict[_Key, list[_Open]], key: _Key, opened: _Open) -> None:
    left = [one for one in lists[key] if one is not opened]
    if left:
        lists[key] = left
    else:
        del lists[key]
