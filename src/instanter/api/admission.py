"""Who is let in: how many requests are worked on at once, how much of their bodies is held, how long a body may take.

Stands before everything else, so that a refusal costs next to nothing and what was let in stays fast. The queue that
makes requests slow is the loop's own, of what is ready to run, and nobody can look into it: `Pulse` measures it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..foundation.clock import elapsed_ns
from ..foundation.errors import Overloaded, RequestRejected
from ..foundation.limits import (
    BATCH_BYTES_MAX,
    BEHIND_MS_MAX,
    BODIES_BYTES_MAX,
    BODY_BYTES_MAX,
    BODY_BYTES_PER_S_MIN,
    BODY_FREE_BYTES,
    IMPORT_PIECE_BYTES_MAX,
    KEY_SPARED_MAX,
    KEYS_SPARED_MAX,
    LITTLE_PIECES_PER_S,
    PASS_MS_MAX,
)
from ..foundation.measure import Meter
from .bodies import HOLD
from .imports import PATH as IMPORTS_PATH
from .replies import refusal
from .routing import plain_path
from .track import BATCH_PATHS, TRACKING_PATHS

ALWAYS_OPEN: Final = frozenset({"/healthz", "/readyz", "/metrics"})
"""Who watches the server is told how it is, above all when it is full."""
_BODILESS: Final = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
_KEY_HEADERS: Final = frozenset({b"authorization", b"x-write-key"})

Headers = Iterable[tuple[bytes, bytes]]
"""As they came."""


STANDS_ASIDE: Final = "instanter.stands_aside"
"""Where a request's scope holds what gives its place back before it has been answered: whoever stays to be told what
happens is bounded elsewhere."""
ARRIVED: Final = "instanter.arrived_ns"
"""Where a request's scope says when its last byte was here, by the stopwatch."""

_OVERLOADED: Final = Overloaded("more requests come than can be answered in time")

LITTLE_BYTES: Final = 64
"""A piece of a body that is no larger is next to nothing. What has come in such pieces is taken as it lies there; of
somebody who dribbles ..."""
WAITED_S: Final = 0.02
"""... who lets us wait so long for the next one, ..."""
LITTLE_FREE: Final = 2
"""... more often than that, ..."""
GRACE_S: Final = 1.0
"""... and whose body is that old, more is let gather before the next one is taken."""
PAUSE_S: Final = 0.25
PAUSE_S_MAX: Final = 2.0
_SPREAD: Final = 16
_SLOWEST: Final = f"{BODY_BYTES_PER_S_MIN // 1_024} KiB of it"

BEAT_S = 0.005
IN_TIME_MS = 10.0
"""A beat that comes no later than this finds a loop that keeps up."""
WORK_DIVISOR = 3
FEW = 32
"""So much comes up in one pass of the loop without being refused for the loop's sake: it is not what holds it up."""


class AdmissionOptions(msgspec.Struct, frozen=True):
    """What may be inside at once."""

    requests_max: int
    """Requests whose body is there and whose reply is not."""
    body_read_s: float
    """Time for a body, from when its head has been read; as much as has come of it buys more."""
    bodies_bytes_max: int = BODIES_BYTES_MAX
    little_pieces_per_s: int = LITTLE_PIECES_PER_S


class Pulse:
    """Whether the loop keeps up with what is ready to run. `beat` runs on it as long as requests are served."""

    def __init__(self, now_ns: Callable[[], int] = elapsed_ns) -> None:
        self._now_ns = now_ns
        self._due_ns = self._in_time_ns = now_ns()
        self._came_up = 0
        self._of_key: Counter[bytes] = Counter()
        """What came up in this pass by access key. Counted only where the last beat was late, so that a loop that
        keeps up pays nothing for it."""
        self._spared = 0
        """Of it, what was let in because there was little of its key."""
        self._late = False
        """Whether the last beat was."""
        self._work_ns = int(PASS_MS_MAX * 1e6)
        """How much of this pass is for work, however many come up."""
        self._rest: asyncio.Future[None] | None = None

    async def beat(self) -> None:
        """Measure until cancelled. After a beat in which nothing came up it rests until something does."""
        while True:
            self.begin()
            await asyncio.sleep(BEAT_S)
            self.end()
            if not self._came_up:
                self._rest = asyncio.get_running_loop().create_future()
                await self._rest

    def _wake(self) -> None:
        """What comes up ends the rest: until now there was nothing that the loop could have been behind with."""
        if self._rest is not None:
            if not self._rest.done():
                self._rest.set_result(None)
            self._rest = None
            self.begin()
            self._in_time_ns = self._now_ns()
            self._late = False

    def begin(self) -> None:
        """The next beat is due in `BEAT_S`."""
        self._due_ns = self._now_ns() + int(BEAT_S * 1e9)
        self._came_up = self._spared = 0
        self._of_key.clear()

    def end(self) -> None:
        """A beat has come, in time or not."""
        now_ns = self._now_ns()
        self._late = now_ns - self._due_ns > IN_TIME_MS * 1e6
        if not self._late:
            self._in_time_ns = now_ns
        self._work_ns = max(int(PASS_MS_MAX * 1e6), (now_ns - self._due_ns) // WORK_DIVISOR)

    def allows(self, headers: Headers = ()) -> bool:
        """Count something that comes up; False if it is to be refused for the sake of those before it.

        That is when the loop has been behind for `BEHIND_MS_MAX`, this pass has worked for `PASS_MS_MAX`, or a third
        of what the last one took, and more than a few have come up in it. So a pause that has other reasons refuses
        nobody, and where refusing alone takes long there is still a third of the time for work.

        Where little came up of the access key in the headers it is let in all the same: others hold the loop up, and
        nobody is refused for somebody else who sends too much. Whoever sends no key there is not told apart.
        """
        if self._rest is not None:
            self._wake()
        self._came_up += 1
        key = _key_among(headers) if self._late else b""
        if key:
            self._of_key[key] += 1
        if self._came_up <= FEW:
            return True
        now_ns = self._now_ns()
        if now_ns - self._due_ns <= self._work_ns or now_ns - self._in_time_ns <= BEHIND_MS_MAX * 1e6:
            return True
        if not key or self._of_key[key] > KEY_SPARED_MAX or self._spared >= KEYS_SPARED_MAX:
            return False
        self._spared += 1
        return True


def _key_among(headers: Headers) -> bytes:
    """What names the sender, as it was sent; b"" where nothing does.

    >>> _key_among([(b"host", b"shop"), (b"authorization", b"Bearer ik_1_2")])
    b'Bearer ik_1_2'
    """
    return next((value for name, value in headers if name in _KEY_HEADERS), b"")


class Admission:
    """An application around another one. Used on the loop's thread.

    A request that is still sending its body takes no place: only what it has sent is counted, and its time runs out.
    A place that is not free is refused with 429 before the body is read, or right after it.
    """

    def __init__(
        self, app: ASGIApp, options: AdmissionOptions, meter: Meter, pulse: Pulse | None = None,
        now_ns: Callable[[], int] = elapsed_ns,
    ) -> None:  # fmt: skip
        """Without a pulse the loop is taken to keep up."""
        self._app = app
        self._now_ns = now_ns
        self._pass_began_ns = -1
        """When the first request came up in the pass of the loop that is under way; -1 if none has."""
        self._options = options
        self._meter = meter
        self._pulse = pulse
        self.working = 0
        """Requests worked on."""
        self.visits = 0
        self.bodies_bytes = 0
        """Held of bodies, beyond what is free of each."""
        self._little_left = float(options.little_pieces_per_s)
        self._little_s = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in ALWAYS_OPEN:
            await self._app(scope, receive, send)
            return
        if not self.has_place(scope["headers"]):
            self._meter.count(f"requests_refused.{_OVERLOADED.code}")
            for message in _REFUSED_TRACKING if plain_path(scope["path"]) in TRACKING_PATHS else _REFUSED:
                await send(message)
            return
        scope[ARRIVED] = self.waits_since_ns()
        visit = _Visit(self, scope, receive, self._options.body_read_s, _kept_bytes_max(plain_path(scope["path"])))
        scope[HOLD] = visit.hold_plain
        scope[STANDS_ASIDE] = visit.stand_aside
        if scope["method"] in _BODILESS:
            visit.begin_work()
        try:
            await self._app(scope, visit.receive, send)
        finally:
            visit.leave()

    def has_place(self, headers: Headers) -> bool:
        """Whether one more request may be worked on. Each asks when it begins, and again when its body is here."""
        return self.working < self._options.requests_max and (self._pulse is None or self._pulse.allows(headers))

    def waits_since_ns(self) -> int:
        """Since when what comes up now has waited at least: since the pass of the loop began to work on requests.

        All that runs in one pass was ready when it began. Nobody sees when it became so, in the pass before.
        """
        if self._pass_began_ns < 0:
            self._pass_began_ns = self._now_ns()
            asyncio.get_running_loop().call_soon(self._next_pass)
        return self._pass_began_ns

    def _next_pass(self) -> None:
        self._pass_began_ns = -1

    def hold(self, size_bytes: int) -> None:
        """Count bytes of a body, or raise `Overloaded`."""
        if self.bodies_bytes + size_bytes > self._options.bodies_bytes_max:
            raise Overloaded("the bodies of others take all the room there is")
        self.bodies_bytes += size_bytes

    def takes_little(self, now_s: float) -> bool:
        """Count a piece that is next to nothing; False if there are more of them than should be taken as they come."""
        per_s = self._options.little_pieces_per_s
        self._little_left = min(per_s, self._little_left + (now_s - self._little_s) * per_s)
        self._little_s = now_s
        if self._little_left < 1:
            return False
        self._little_left -= 1
        return True


def _kept_bytes_max(path: str) -> int:
    """The largest body that the route of a path keeps: of a larger one nothing is kept beyond that."""
    if path in BATCH_PATHS:
        return BATCH_BYTES_MAX
    return IMPORT_PIECE_BYTES_MAX if path.startswith(IMPORTS_PATH) else BODY_BYTES_MAX


def arrived_ns(request: Request) -> int:
    """When the last byte of a request whose body has been read was here: all its time in queues comes after that."""
    return int(request.scope[ARRIVED]) if ARRIVED in request.scope else elapsed_ns()


def _told(*, tracking: bool) -> tuple[Message, Message]:
    """The refusal, made once: it is sent when there is no time to make it."""
    response = refusal(_OVERLOADED, tracking=tracking)
    start = {"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers}
    return start, {"type": "http.response.body", "body": bytes(response.body)}


_REFUSED: Final = _told(tracking=False)
_REFUSED_TRACKING: Final = _told(tracking=True)


async def _nothing_more() -> Message:
    """What a request that has been answered receives."""
    return {"type": "http.disconnect"}


class _Visit:
    """One request: what it holds of the room inside."""

    __slots__ = (
        "_admission", "_began_s", "_came_bytes", "_gathers", "_held_bytes", "_number", "_place", "_plain_bytes",
        "_read_s", "_receive", "_scope", "_size_bytes_max", "_slow", "_working",
    )  # fmt: skip

    def __init__(
        self, admission: Admission, scope: Scope, receive: Receive, read_s: float, size_bytes_max: int
    ) -> None:  # fmt: skip
        """Of a body larger than `size_bytes_max` nobody keeps more."""
        self._admission = admission
        self._scope = scope
        self._receive = receive
        self._read_s = read_s
        self._began_s = asyncio.get_running_loop().time()
        self._size_bytes_max = size_bytes_max
        self._came_bytes = self._plain_bytes = 0
        self._held_bytes = 0
        self._working = self._place = False
        self._slow = 0
        self._gathers = False
        """Whether more is let gather before the next piece is taken."""
        admission.visits += 1
        self._number = admission.visits

    async def receive(self) -> Message:
        """The next message. Raises `RequestRejected` (slow) and `Overloaded` where the body ends here."""
        if self._working:
            return await self._receive()
        clock = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout_at(self._until_s()):
                if self._gathers:
                    await asyncio.sleep(self._pause_s())
                asked_s = clock()
                message = await self._receive()
        except TimeoutError:
            reason = f"the body took longer than {self._read_s:g} s, and a second for every {_SLOWEST}"
            raise RequestRejected("slow", reason, status=408) from None
        if message["type"] == "http.request":
            size_bytes = len(message.get("body", b""))
            more = message.get("more_body", False)
            if more:
                self._gathers = size_bytes <= LITTLE_BYTES and self._dribbles(asked_s, clock())
            self._came_bytes += size_bytes
            self._hold()
            if not more:
                self._scope[ARRIVED] = self._admission.waits_since_ns()
                if not self._admission.has_place(self._scope["headers"]):
                    raise Overloaded(_OVERLOADED.message)
                self.begin_work()
        return message

    def _until_s(self) -> float:
        """When the next piece must have come."""
        return self._began_s + self._read_s + self._came_bytes / BODY_BYTES_PER_S_MIN

    def _dribbles(self, asked_s: float, now_s: float) -> bool:
        """Whether what was taken last, which was next to nothing, should not have been waited for one by one."""
        if not self._admission.takes_little(now_s):
            self._slow += 1
            return True
        if now_s - asked_s <= WAITED_S:
            return False
        self._slow += 1
        return self._slow > LITTLE_FREE and now_s > self._began_s + GRACE_S

    def _pause_s(self) -> float:
        """How long the next piece of a dribbled body may gather: many who dribble in step do not come up in one."""
        spread = 0.75 + 0.5 * (self._number % _SPREAD) / _SPREAD
        return min(PAUSE_S * max(self._slow - LITTLE_FREE, 1), PAUSE_S_MAX) * spread

    def begin_work(self) -> None:
        """All of the request is here, and there is a place: take it."""
        self._admission.working += 1
        self._working = self._place = True

    def stand_aside(self) -> None:
        """Give the place back, and go on."""
        self._admission.working -= self._place
        self._place = False

    def leave(self) -> None:
        """Give everything back. The server closes a connection whose body was not read when nobody can read it any
        more: also not whoever still knows this visit, for as long as the garbage is not collected. The scope forgets it
        for the same reason."""
        self._receive = _nothing_more
        self._scope.pop(HOLD, None)
        self._scope.pop(STANDS_ASIDE, None)
        self._admission.bodies_bytes -= self._held_bytes
        self.stand_aside()

    def hold_plain(self, size_bytes: int) -> None:
        """Count what a body has come to by now, decompressed, beside what came of it. Raises `Overloaded`."""
        self._plain_bytes = size_bytes
        self._hold()

    def _hold(self) -> None:
        """Count what has come, as far as anybody keeps it: of larger bodies nothing is kept."""
        held_bytes = max(0, min(self._came_bytes, self._size_bytes_max) - BODY_FREE_BYTES)
        held_bytes += max(0, self._plain_bytes - BODY_FREE_BYTES)
        if held_bytes > self._held_bytes:
            self._admission.hold(held_bytes - self._held_bytes)
            self._held_bytes = held_bytes
