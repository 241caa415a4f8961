"""Turns: while tenants compete, each pass of the loop begins a bounded amount of work, shared out between them.

All requests share one loop, and what is ready runs in the order in which it came: a tenant that sends much would make
all others wait behind it. So a request takes a turn after its body is read and before it is worked on. As long as a
pass has room and nobody waits, the turn is had at once; else the request waits in its tenant's line, and the lines are
served by deficit round robin: in each round a tenant begins work worth `TURN_QUANTUM` times its share. Nothing is held
through a turn, so nothing has to be given back: what it bounds is how much begins between two looks at the sockets.

Work is counted in units of about 0.1 ms, known before it is done: by the route, and by the size of the body.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from ..foundation.errors import Overloaded
from ..foundation.limits import TURN_QUANTUM, TURN_WORK_MAX, TURNS_WAITING_MAX

_RETRY_S = 1
_AHEAD = TURN_WORK_MAX // 2
"""Below so much room the next pass is asked for; above it a request costs no pass of its own."""


class Line:
    """One tenant's requests: how many are being answered, and which wait for their turn."""

    __slots__ = ("deficit", "in_flight", "on_turn", "share", "waiting")

    def __init__(self, *, share: int = 1) -> None:
        assert share >= 1
        self.share = share
        self.in_flight = 0
        self.waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        """Work and who waits for it."""
        self.deficit = 0
        """Work that it may still begin in this round."""
        self.on_turn = False


class Turns:
    """Shares the loop out. Used on its thread; `call_soon` is the loop's, and tests pass their own."""

    def __init__(
        self, *, competing: Callable[[], bool], in_flight_max: int, on_wait: Callable[[], None],
        call_soon: Callable[..., object] | None = None,
    ) -> None:  # fmt: skip
        """`competing` says whether there is more than one tenant; while not, nobody is refused and nobody waits.

        `in_flight_max` is how many requests of one tenant may be answered at once.
        """
        self._competing = competing
        self._in_flight_max = in_flight_max
        self._on_wait = on_wait
        self._call_soon = call_soon
        self._active: deque[Line] = deque()
        """Lines in which somebody waits; the first has its turn."""
        self._room = TURN_WORK_MAX
        self._asked = False

    def enter(self, line: Line) -> None:
        """A request is to be answered; call `leave` when it is. Raises `Overloaded` where there are too many."""
        if line.in_flight >= self._in_flight_max and self._competing():
            raise Overloaded(f"more than {self._in_flight_max} requests of one tenant at once", retry_after_s=_RETRY_S)
        line.in_flight += 1

    def leave(self, line: Line) -> None:
        """A request has been answered."""
        line.in_flight -= 1

    def take(self, line: Line, work: int) -> asyncio.Future[None] | None:
        """None if the work can begin now, else what to await first. Raises `Overloaded` where the line is too long."""
        if not self._competing():
            return None
        if self._room > 0 and not self._active:
            self._room -= work
            if self._room < _AHEAD:
                self._ask()
            return None
        if len(line.waiting) >= TURNS_WAITING_MAX:
            raise Overloaded(f"more than {TURNS_WAITING_MAX} requests wait for their turn", retry_after_s=_RETRY_S)
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not line.waiting:
            self._active.append(line)
        line.waiting.append((work, waiter))
        self._on_wait()
        self._ask()
        return waiter

    def _ask(self) -> None:
        """Have the next pass of the loop begin with `_pass`."""
        if not self._asked:
            self._asked = True
            (self._call_soon or asyncio.get_running_loop().call_soon)(self._pass)

    def _pass(self) -> None:
        """A new pass of the loop: there is room again, for those first who wait."""
        self._asked = False
        self._room = min(self._room + TURN_WORK_MAX, TURN_WORK_MAX)
        while self._active and self._room > 0:
            work, waiter = self._next()
            if not waiter.done():
                self._room -= work
                waiter.set_result(None)
        if self._active or self._room < _AHEAD:
            self._ask()

    def _next(self) -> tuple[int, asyncio.Future[None]]:
        """Whose turn it is. Ends, because a line that comes round gains work of at least 1."""
        while True:
            line = self._active[0]
            if not line.on_turn:
                line.on_turn = True
                line.deficit += TURN_QUANTUM * line.share
            if line.waiting[0][0] <= line.deficit:
                return self._called(line)
            line.on_turn = False
            self._active.rotate(-1)

    def _called(self, line: Line) -> tuple[int, asyncio.Future[None]]:
        work, waiter = line.waiting.popleft()
        line.deficit -= work
        if not line.waiting:
            line.deficit, line.on_turn = 0, False
            self._active.popleft()
        return work, waiter
