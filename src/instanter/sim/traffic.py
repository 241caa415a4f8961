"""The shop's traffic: everybody's visits as one stream of tracking events in time order.

Many visits run at once. Each is woken at its own next moment, so `show` is called in time order too, after every
earlier event has been given out: an engine that has been told those events can be the one that answers (closed
loop). Without `show` the shop's own front decides what people see (passive).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator

from .arrivals import arrivals_ms, returns_ms
from .chance import Chance
from .front import ShopFront, Show
from .people import People
from .shop import Shop
from .visit import Course, Visit, VisitResult
from .wire import TrackingEvent

VISITS_PER_PERSON_MAX = 12


class Traffic:
    """The visits of `people_count` people who first come between `start_ms` and `start_ms + span_ms`.

    Everything depends on the seed and on what `show` answers, nothing on anything else. Memory: the visits that run
    now and those known to come back. A visit begun inside the span is told to its end; none begins after it.

    >>> shop = Shop(products=200)
    >>> traffic = Traffic(shop, people_count=5, seed=3, start_ms=0, span_ms=86_400_000)
    >>> next(traffic.events()).type
    'page'
    """

    def __init__(self, shop: Shop, *, people_count: int, seed: int = 1, start_ms: int, span_ms: int,
                 show: Show | None = None) -> None:
        assert people_count >= 0
        assert span_ms > 0
        self._shop = shop
        self._people = People(shop, seed=seed)
        self._people_count = people_count
        self._seed = seed
        self._start_ms = start_ms
        self._end_ms = start_ms + span_ms
        self._show = ShopFront(shop, seed=seed) if show is None else show

    def events(self, *, tell: Callable[[VisitResult], None] | None = None) -> Iterator[TrackingEvent]:
        """The stream, from its beginning. `tell` is given the outcome of each visit as it ends."""
        waking: list[tuple[int, int, Visit, Iterator[int]]] = []
        first_visits = self._first_visits()
        newcomer = next(first_visits, None)
        while waking or newcomer is not None:
            if newcomer is not None and (not waking or newcomer.now_ms <= waking[0][0]):
                _wake_later(waking, newcomer)
                newcomer = next(first_visits, None)
                continue
            _, _, visit, moments = heapq.heappop(waking)
            pause_ms = next(moments, None)
            yield from visit.take()
            if pause_ms is not None:
                visit.now_ms += pause_ms
                heapq.heappush(waking, (visit.now_ms, visit.course.person.index, visit, moments))
                continue
            if tell is not None:
                tell(visit.outcome())
            returning = self._return_of(visit)
            if returning is not None:
                _wake_later(waking, returning)

    def _first_visits(self) -> Iterator[Visit]:
        chance = Chance("arrivals", seed=self._seed)
        times = arrivals_ms(chance, self._people_count, start_ms=self._start_ms,
                            span_ms=self._end_ms - self._start_ms)
        for index, at_ms in enumerate(times):
            yield self._visit(Course(person=self._people.person(index)), at_ms)

    def _return_of(self, visit: Visit) -> Visit | None:
        """The next visit of whoever just left: likelier with patience, an open goal, and having found something."""
        course = visit.course
        chance = Chance(f"return/{course.person.index}/{course.visits}", seed=self._seed)
        likely = 0.05 if course.finished() else 0.2 + 0.5 * course.person.patience
        likely += 0.1 if visit.counted.clicks > 0.0 else 0.0
        if course.visits >= VISITS_PER_PERSON_MAX or not chance.happens(likely):
            return None
        at_ms = returns_ms(chance, visit.now_ms)
        return self._visit(course, at_ms) if at_ms < self._end_ms else None

    def _visit(self, course: Course, started_ms: int) -> Visit:
        return Visit(self._shop, course, self._show, started_ms=started_ms, seed=self._seed)


def _wake_later(waking: list[tuple[int, int, Visit, Iterator[int]]], visit: Visit) -> None:
    """A person has one visit at a time, so (time, person) is unique and visits are never compared."""
    heapq.heappush(waking, (visit.now_ms, visit.course.person.index, visit, visit.moments()))
