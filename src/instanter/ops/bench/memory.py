"""What an empty server needs, and what each person adds."""

from __future__ import annotations

import time
from collections.abc import Iterator

from .bench import Bench, ask, load
from .load import Connection
from .questions import decide
from .result import Figure
from .server import Server
from .traffic import Traffic, batch, catalogue, person_id

TITLE = "memory: an empty server that has answered, and 100,000 people of 20 events each in it"
EVENTS_EACH = 20
COHORT = 1_000
"""People who visit at the same time."""
STEP_MS = 30_000
"""Between two events of one visit: 20 of them take ten minutes."""
SETTLE_S = 3.0
_MIB = 1024 * 1024


def memory(bench: Bench) -> tuple[list[Figure], str]:
    """Proportional set size before and after."""
    people = bench.size(100_000, 200)
    with bench.server(shop=False) as server:
        _answer_once(server)
        empty_bytes = server.memory_bytes()
        load(server, catalogue(bench.shop))
        bench.say(f"{people:,} people visit")
        load(server, visits(bench, bench.traffic(), people))
        settle(bench, server)
        full_bytes = server.memory_bytes()
        known = server.metrics().value("instanter_people")
    figures = [
        Figure(name="empty server", value=empty_bytes / _MIB, unit="MiB", at_least=300, aim=200),
        Figure(name="a person", value=(full_bytes - empty_bytes) / people / 1024, unit="KiB", at_least=3, aim=1),
        Figure(name="server with all of them", value=full_bytes / _MIB, unit="MiB"),
    ]
    return figures, "" if known == people else f"the server knows {known:g} people, not {people}"


def visits(bench: Bench, traffic: Traffic, people: int) -> Iterator[bytes]:
    """Everybody's visit. Each cohort's events in the order in which they happen, a hundred to a batch."""
    for first in range(0, people, COHORT):
        cohort = range(first, min(first + COHORT, people))
        now_ms = bench.clock.now_ms()
        for step in range(EVENTS_EACH):
            at_ms = now_ms - (EVENTS_EACH - 1 - step) * STEP_MS
            for start in range(0, len(cohort), 100):
                events = [traffic.event(person, at_ms) for person in cohort[start : start + 100]]
                yield batch(events, sent_at_ms=now_ms)


def settle(bench: Bench, server: Server) -> None:
    """Let the server answer once, and wait until what follows from what was loaded is done."""
    _answer_once(server)
    if not bench.quick:
        time.sleep(SETTLE_S)


def _answer_once(server: Server) -> None:
    connection = Connection(server.port)
    ask(connection, decide(person_id(0), "home.recommended"))
    connection.close()
