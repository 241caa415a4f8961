"""What sealing costs: the same events into two servers in turn, one of which does not seal."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from statistics import median

from .bench import Bench, taken_whole
from .load import saturate
from .result import Figure
from .traffic import BATCH_EVENTS

TITLE = "sealing: batches of 100 events of 20,000 people, by turns into a server that seals and one that does not"
CONNECTIONS = 16
UNSEALED = (sys.executable, "-m", "instanter.ops.bench.unsealed")


def sealing(bench: Bench) -> tuple[list[Figure], str]:
    """Medians over the turns; each turn has events of its own, so that none is a repetition."""
    people, count, turns = bench.size(20_000, 500), bench.size(100_000, 2_000), bench.size(6, 2)
    rates: dict[str, list[float]] = {"sealed": [], "not sealed": []}
    costs: dict[str, list[float]] = {"sealed": [], "not sealed": []}
    failures = 0
    with ExitStack() as running:
        servers = {
            "sealed": running.enter_context(bench.server()),
            "not sealed": running.enter_context(bench.server(command=UNSEALED)),
        }
        for server in servers.values():
            bench.people_known(server, range(people))
        for turn in range(turns):
            for name in sorted(servers, reverse=bool(turn % 2)):
                bench.say(f"{name}: {count:,} events")
                requests = list(bench.traffic().batches(range(people), count, at_ms=bench.clock.now_ms()))
                before_s = servers[name].cpu_s()
                outcome = saturate(servers[name].port, requests, connections=CONNECTIONS, check=taken_whole)
                rates[name].append(outcome.per_s * BATCH_EVENTS)
                costs[name].append((servers[name].cpu_s() - before_s) / count * 1e6)
                failures += outcome.failures
    sealed, plain = median(rates["sealed"]), median(rates["not sealed"])
    figures = [
        Figure(name="ingest rate lost to sealing", value=100 * (1 - sealed / plain), unit="%", at_least=15, aim=5),
        Figure(name="events acknowledged, sealed", value=sealed, unit="events/s", higher_is_better=True),
        Figure(name="events acknowledged, not sealed", value=plain, unit="events/s", higher_is_better=True),
        Figure(name="server CPU an event, sealed", value=median(costs["sealed"]), unit="us"),
        Figure(name="server CPU an event, not sealed", value=median(costs["not sealed"]), unit="us"),
    ]
    return figures, f"{failures} batches were not taken whole" if failures else ""
