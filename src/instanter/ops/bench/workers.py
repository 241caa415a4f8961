"""How many decisions a server with several workers answers in time, beside one with one, on the same cores."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from typing import Final

from ...foundation.clock import elapsed_ns
from ...foundation.errors import Broken
from .bench import Bench, load
from .decide import search_questions
from .load import Stream, is_ok, open_loop, quantile
from .machine import on_all_cores
from .result import Figure
from .server import READY_S_MAX, Server, own_cpu_s

TITLE = (
    "workers: decisions at the highest steady rate that keeps a p99 of 10 ms, 200 candidates each, by servers that "
    "share all cores with the client; searched for in turn"
)
P99_MS_MAX: Final = 10.0
RATE_FIRST_PER_S: Final = 80.0
GROWTH: Final = 1.5
"""Of the rate while it is kept, until one is not."""
NEAR: Final = 1.1
"""A rate that is kept and one that is not, so near to each other, end the search."""
RATE_PER_S_MIN: Final = 5.0
TRIES: Final = 2
"""A rate counts as kept if one of so many tries keeps it: what else runs here spoils one now and then."""
CONNECTIONS: Final = 32
"""The system shares connections out between the workers by chance: many are about even."""
ASKED_IN_TURN: Final = 500
KEPT_UP: Final = 0.95
"""Of the rate, what must have been answered a second."""
_LOOK_S: Final = 0.05


class Search:
    """Looks for the highest rate that is kept: up by `GROWTH`, then between what is kept and what is not.

    >>> search = Search(first=80.0)
    >>> while not search.ended: search.note(search.rate, kept=search.rate <= 200.0)
    >>> 200.0 / NEAR <= search.kept <= 200.0
    True
    """

    def __init__(self, *, first: float) -> None:
        self.rate = first
        """To be tried next."""
        self.kept = 0.0
        self._missed = 0.0

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to be tried."""
        return 0.0 < self._missed <= max(self.kept * NEAR, RATE_PER_S_MIN)

    def note(self, rate: float, *, kept: bool) -> None:
        """What came of a rate."""
        if kept:
            self.kept = max(self.kept, rate)
        else:
            self._missed = rate
        if not self._missed:
            self.rate = rate * GROWTH
        elif self.kept:
            self.rate = (self.kept * self._missed) ** 0.5
        else:
            self.rate = self._missed / 2


class _Side:
    """A server under search, and what it took at the rate that it kept, or at the last one if it kept none."""

    def __init__(self, workers: int, server: Server) -> None:
        self.workers = workers
        self.name = f"{workers} worker{'s' if workers > 1 else ''}"
        self.server = server
        self.search = Search(first=RATE_FIRST_PER_S)
        self.p99_ms = self.late_p99_ms = self.server_cpu_ms = self.client_cpu_ms = 0.0

    def try_next(self, questions: list[bytes], seconds: float) -> None:
        """One step of the search."""
        rate = self.search.rate
        self.search.note(rate, kept=any(self._keeps(questions, rate, seconds) for _ in range(TRIES)))

    def _keeps(self, questions: list[bytes], rate: float, seconds: float) -> bool:
        count = max(int(rate * seconds), CONNECTIONS)
        asked = [questions[number % len(questions)] for number in range(count)]
        server_s, client_s = self.server.cpu_s(), own_cpu_s()
        (result,) = open_loop(self.server.port, [Stream(asked, rate, CONNECTIONS, check=is_ok)])
        server_s, client_s = self.server.cpu_s() - server_s, own_cpu_s() - client_s
        p99_ms = quantile(result.latencies_ms, 0.99)
        kept = p99_ms <= P99_MS_MAX and not result.failures and result.per_s >= KEPT_UP * rate
        if not self.search.kept or (kept and rate > self.search.kept):
            self.p99_ms, self.late_p99_ms = p99_ms, quantile(result.late_ms, 0.99)
            self.server_cpu_ms, self.client_cpu_ms = server_s / count * 1e3, client_s / count * 1e3
        return kept

    def figures(self) -> list[Figure]:
        """What it came to."""
        name = self.name
        return [
            Figure(name=f"{name}: decisions", value=self.search.kept, unit="decisions/s"),
            Figure(name=f"{name}: p99", value=self.p99_ms, unit="ms"),
            Figure(name=f"{name}: left the client late, p99", value=self.late_p99_ms, unit="ms"),
            Figure(name=f"{name}: server CPU a decision", value=self.server_cpu_ms, unit="ms"),
            Figure(name=f"{name}: client CPU a decision", value=self.client_cpu_ms, unit="ms"),
        ]


def workers(bench: Bench) -> tuple[list[Figure], str]:
    """Both servers run all the time, and are loaded in turn, so that both meet the same neighbours."""
    if sys.platform != "linux":
        return [], "servers with several workers run on Linux alone"
    people, seconds = bench.size(2_000, 50), max(bench.seconds / 5, 1.0)
    with ExitStack() as entered:
        sides = [
            _Side(count, entered.enter_context(bench.server(arguments=("--workers", str(count)), pinned=False)))
            for count in (1, bench.workers)
        ]
        entered.enter_context(on_all_cores())
        now_ms = bench.clock.now_ms()
        events = list(bench.traffic().batches(range(people), 3 * people, at_ms=now_ms, in_turn=True))
        for side in sides:
            load(side.server, events)
            _wait_for_deciders(side.server, side.workers - 1)
        questions = search_questions(bench, people, seconds=ASKED_IN_TURN / 100)
        for side in sides:  # Caches and connections as they are in the long run.
            open_loop(side.server.port, [Stream(questions, RATE_FIRST_PER_S, CONNECTIONS, check=is_ok)])
        while not all(side.search.ended for side in sides):
            for side in sides:
                if not side.search.ended:
                    bench.say(f"{side.name}: {side.search.rate:,.0f} decisions/s")
                    side.try_next(questions, seconds)
        one, several = sides
        made = several.server.metrics().by("instanter_worker_decisions_total", "worker")
    void = "" if one.search.kept else "one worker keeps no rate"
    ratio = several.search.kept / one.search.kept if one.search.kept else 0.0
    figures = [
        Figure(name=f"decisions/s, {several.workers} workers to 1", value=ratio, unit="x", at_least=1.4, aim=1.7,
               higher_is_better=True),
        *one.figures(), *several.figures(),
        Figure(name="decisions by deciders", value=sum(made.values()), unit=""),
    ]  # fmt: skip
    return figures, void


def _wait_for_deciders(server: Server, deciders: int) -> None:
    began_ns = elapsed_ns()
    while sum(server.metrics().by("instanter_worker_up", "worker").values()) < deciders:
        if (elapsed_ns() - began_ns) / 1e9 > READY_S_MAX:
            raise Broken("a decider did not begin to decide")
        time.sleep(_LOOK_S)
