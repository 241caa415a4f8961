"""Simulated visitors who shop live: hidden tastes, public API, a bounded rate.

They see what the engine decides for them and act on it by the stated model of `sim.choice`, so its lists can be seen to
get better. Their pauses are shortened; what they say of the time they spent is not.
"""

from __future__ import annotations

import heapq
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import Any, Final

import httpx
import msgspec

from ..foundation.clock import Clock, elapsed_ns
from ..foundation.errors import RequestRejected, Unavailable
from ..foundation.limits import CROWD_CALLS_PER_S, CROWD_VISITORS_MAX
from ..sim.chance import Chance
from ..sim.front import Placement, Visitor
from ..sim.people import People
from ..sim.shop import Shop
from ..sim.visit import Course, Visit

HASTE: Final = 15.0
"""How much shorter pauses are than those of people."""
ARRIVALS_S: Final = 600.0
"""All have come within so long, and come back after so long, before that is shortened."""
RETURN_S: Final = (60.0, 300.0)
VISITS_MAX: Final = 3
SPAN_S: Final = 5
"""Of one point of the curve of clicks."""
_POINTS_MAX: Final = 60
CALL_S_MAX: Final = 10.0
_COUNTED: Final = {
    "Product List Viewed": "lists", "Product Clicked": "clicks", "Product Viewed": "views", "Product Added": "carts",
    "Order Completed": "orders",
}  # fmt: skip


class CrowdStatus(msgspec.Struct, frozen=True, rename="camel"):
    """How the crowd is doing."""

    running: bool
    visitors: int
    inside: int
    """Visitors in the shop now."""
    counts: dict[str, int]
    """Lists seen, clicks, views, additions to the cart, orders, events, decisions."""
    curve: list[float]
    """Clicks for 100 lists, of each five seconds, oldest first."""
    problem: str = ""
    """Why it ended before its time."""


_Waking = tuple[float, int, Visit, Iterator[int]]


class Crowd:
    """At most one at a time. `start`, `stop` and `status` may be called from any thread."""

    def __init__(
        self, shop: Shop, engine_url: str, *, key: str = "", clock: Clock, haste: float = HASTE,
        transport: httpx.BaseTransport | None = None,
    ) -> None:  # fmt: skip
        """`transport` stands in for the network in tests."""
        self.haste = haste
        self._transport = transport
        self._shop = shop
        self._url = engine_url
        self._key = key
        self._clock = clock
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._visitors = 0
        self._inside = 0
        self._counts: Counter[str] = Counter()
        self._curve: deque[tuple[int, int, int]] = deque(maxlen=_POINTS_MAX)
        """(span, lists, clicks)"""
        self._problem = ""

    def start(self, visitors: int) -> None:
        """Let so many come. Raises `RequestRejected` where some are still there, or for more than may come."""
        if not 1 <= visitors <= CROWD_VISITORS_MAX:
            raise RequestRejected("crowd", f"a crowd has 1 to {CROWD_VISITORS_MAX:,} visitors")
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                raise RequestRejected("crowd", "a crowd is shopping already: stop it first", status=409)
            self._stop = threading.Event()
            self._visitors, self._inside, self._problem = visitors, 0, ""
            self._counts.clear()
            self._curve.clear()
            self._thread = threading.Thread(target=self._run, args=(visitors, self._stop), name="crowd", daemon=True)
            self._thread.start()

    def send_home(self) -> None:
        """Tell them to leave; a call that is under way is finished."""
        with self._lock:
            self._stop.set()

    def stop(self) -> None:
        """Send all home, and wait until they have left."""
        self.send_home()
        self.wait()

    def wait(self) -> None:
        """Until all have left."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()

    def status(self) -> CrowdStatus:
        """As of now."""
        with self._lock:
            running = self._thread is not None and self._thread.is_alive()
            curve = [round(100.0 * clicks / lists, 1) for _, lists, clicks in self._curve if lists]
            return CrowdStatus(running, self._visitors, self._inside, dict(self._counts), curve, self._problem)

    def _run(self, visitors: int, stop: threading.Event) -> None:
        seed = self._clock.now_ms() % 2**31
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        with httpx.Client(
            base_url=self._url, headers=headers, timeout=CALL_S_MAX, trust_env=False, transport=self._transport
        ) as http:
            try:
                _Walk(self, http, visitors, seed, stop).run()
            except Unavailable as error:
                with self._lock:
                    self._problem = str(error)

    def note(self, events: Sequence[str], *, decided: bool) -> None:
        """Count what was told and asked."""
        span = elapsed_ns() // (SPAN_S * 1_000_000_000)
        with self._lock:
            self._counts["events"] += len(events)
            self._counts["decisions"] += decided
            named = Counter(_COUNTED[name] for name in events if name in _COUNTED)
            self._counts.update(named)
            if not self._curve or self._curve[-1][0] != span:
                self._curve.append((span, 0, 0))
            _, lists, clicks = self._curve[-1]
            self._curve[-1] = (span, lists + named["lists"], clicks + named["clicks"])

    def note_inside(self, change: int) -> None:
        """Somebody came, or left."""
        with self._lock:
            self._inside += change

    @property
    def shop(self) -> Shop:
        """Where they are."""
        return self._shop

    @property
    def clock(self) -> Clock:
        """Whose time their events have."""
        return self._clock


class _Walk:
    """One crowd from its first visitor to its last, on a thread of its own."""

    def __init__(self, crowd: Crowd, http: httpx.Client, visitors: int, seed: int, stop: threading.Event) -> None:
        self._crowd = crowd
        self._http = http
        self._seed = seed
        self._stop = stop
        self._chance = Chance("crowd", seed=seed)
        self._began_ns = elapsed_ns()
        self._free_s = 0.0
        self._visit: Visit | None = None
        people = People(crowd.shop, seed=seed)
        self._waking: list[_Waking] = []
        for index in range(visitors):
            self._come(Course(person=people.person(index)), ARRIVALS_S / crowd.haste * index / visitors)

    def run(self) -> None:
        while self._waking and not self._stop.is_set():
            due_s, index, visit, moments = heapq.heappop(self._waking)
            if self._wait_until(due_s):
                return
            if visit.now_ms == 0:
                self._crowd.note_inside(1)
            visit.now_ms = self._crowd.clock.now_ms()
            self._visit = visit
            pause_ms = next(moments, None)
            self._tell(visit)
            if pause_ms is not None:
                due_s = self._now_s() + pause_ms / 1_000.0 / self._crowd.haste
                heapq.heappush(self._waking, (due_s, index, visit, moments))
                continue
            self._crowd.note_inside(-1)
            if visit.course.visits < VISITS_MAX and self._chance.happens(0.3 + 0.4 * visit.course.person.patience):
                away_s = self._chance.between(*RETURN_S) / self._crowd.haste
                self._come(visit.course, self._now_s() + away_s)

    def _come(self, course: Course, at_s: float) -> None:
        visit = Visit(self._crowd.shop, course, self._show, started_ms=0, seed=self._seed)
        heapq.heappush(self._waking, (at_s, course.person.index, visit, visit.moments()))

    def _show(self, visitor: Visitor, placement: Placement, now_ms: int) -> Sequence[str]:
        """What the engine decides for this visitor, who has just done what they have not told of yet."""
        assert self._visit is not None, "nobody is awake"
        events = self._visit.take()
        context = {"userAgent": visitor.user_agent, "ip": visitor.ip, "locale": visitor.locale,
                   "timezone": visitor.timezone, "sessionId": visitor.session_id}  # fmt: skip
        asked: dict[str, Any] = {"id": placement.id, "limit": placement.limit}
        if placement.query:
            asked["query"] = placement.query
        if placement.item:
            asked["item"] = placement.item
        if placement.candidates:
            asked["candidates"] = placement.candidates
        body: dict[str, Any] = {"anonymousId": visitor.anonymous_id, "context": context, "placements": [asked],
                                "events": events}  # fmt: skip
        if visitor.user_id:
            body["userId"] = visitor.user_id
        said = self._call("/v1/decide", body)
        self._crowd.note([event.event for event in events], decided=True)
        placed = said.get("placements", {}).get(placement.id, {})
        shop = self._crowd.shop
        return [one["id"] for one in placed.get("items", ()) if shop.holds(one["id"])]

    def _tell(self, visit: Visit) -> None:
        if events := visit.take():
            self._call("/v1/batch", {"batch": events})
            self._crowd.note([event.event for event in events], decided=False)

    def _call(self, path: str, body: object) -> dict[str, Any]:
        """Post, no sooner than the rate allows; again in a moment where the engine says that it has too much to do."""
        while not self._stop.is_set():
            self._free_s = max(self._free_s, self._now_s()) + 1.0 / CROWD_CALLS_PER_S
            self._wait_until(self._free_s - 1.0 / CROWD_CALLS_PER_S)
            try:
                reply = self._http.post(
                    path, content=msgspec.json.encode(body), headers={"Content-Type": "application/json"})
                if reply.status_code in (429, 503, 507):
                    self._wait_until(self._now_s() + min(float(reply.headers.get("retry-after", "1")), 5.0))
                    continue
                said = msgspec.json.decode(reply.content)
            except (httpx.HTTPError, msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
                raise Unavailable(f"the engine does not answer: {error}") from None
            if reply.status_code != 200 or not isinstance(said, dict):
                raise Unavailable(f"the engine answered {reply.status_code} to {path}")
            return said
        return {}

    def _now_s(self) -> float:
        return (elapsed_ns() - self._began_ns) / 1e9

    def _wait_until(self, at_s: float) -> bool:
        """Whether it was told to stop meanwhile."""
        left_s = at_s - self._now_s()
        return self._stop.wait(left_s) if left_s > 0 else self._stop.is_set()
