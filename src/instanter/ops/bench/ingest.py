"""How many events a second become durable and readable, and what each costs the server."""

from __future__ import annotations

import json

from .bench import Bench, taken_whole
from .load import LoadResult, Stream, open_loop, quantile, saturate
from .result import Figure
from .server import Server, own_cpu_s, responder
from .traffic import BATCH_EVENTS

TITLE = "ingest: batches of 100 events of 300 to 400 B, 20,000 people, 20 % of them new, synced and folded"
CONNECTIONS = 16
STEADY_PER_S = 25_000
"""Events a second of the run at a steady rate, which is the bound itself."""


def ingest(bench: Bench) -> tuple[list[Figure], str]:
    """At saturation, and at a steady rate."""
    people = bench.size(20_000, 500)
    count = bench.size(400_000, 2_000)
    with bench.server() as server:
        bench.say("making events")
        bench.people_known(server, range(people * 4 // 5))
        traffic = bench.traffic()
        warm_up = list(traffic.batches(range(people * 4 // 5), count // 8, at_ms=bench.clock.now_ms()))
        requests = list(traffic.batches(range(people), count, at_ms=bench.clock.now_ms()))
        steady_count = int(min(bench.seconds, 10.0) * STEADY_PER_S) if not bench.quick else 1_000
        steady = list(traffic.batches(range(people), steady_count, at_ms=bench.clock.now_ms()))
        ceiling = _ceiling(bench, requests)
        saturate(server.port, warm_up, connections=CONNECTIONS)

        bench.say(f"sending {count:,} events as fast as they are taken")
        before = _Reading(server)
        outcome = saturate(server.port, requests, connections=CONNECTIONS, check=taken_whole)
        after = _Reading(server)
        bench.say(f"sending {STEADY_PER_S:,} events a second")
        paced = open_loop(server.port, [Stream(
            steady, rate_per_s=STEADY_PER_S / BATCH_EVENTS, connections=CONNECTIONS, check=taken_whole)])[0]
    figures = [
        Figure(name="events acknowledged", value=outcome.per_s * BATCH_EVENTS, unit="events/s", at_least=25_000,
               aim=100_000, higher_is_better=True),
        Figure(name="server CPU an event", value=(after.cpu_s - before.cpu_s) / count * 1e6, unit="us"),
        Figure(name="server's core in use", value=(after.cpu_s - before.cpu_s) / outcome.seconds * 100, unit="%"),
        Figure(name="client's core in use", value=(after.own_cpu_s - before.own_cpu_s) / outcome.seconds * 100,
               unit="%"),
        Figure(name="client's own ceiling", value=ceiling.per_s * BATCH_EVENTS, unit="events/s",
               higher_is_better=True),
        Figure(name="an event on the wire", value=sum(map(len, requests)) / count, unit="B"),
        Figure(name="batch p50 at saturation", value=quantile(outcome.latencies_ms, 0.50), unit="ms"),
        Figure(name="batch p99 at saturation", value=quantile(outcome.latencies_ms, 0.99), unit="ms"),
        Figure(name=f"batch p50 at {STEADY_PER_S:,} events/s", value=quantile(paced.latencies_ms, 0.50), unit="ms"),
        Figure(name=f"batch p99 at {STEADY_PER_S:,} events/s", value=quantile(paced.latencies_ms, 0.99), unit="ms"),
    ]
    return figures, _void(before, after, outcome, paced, count)


def _ceiling(bench: Bench, requests: list[bytes]) -> LoadResult:
    """What this client can send to a server that does nothing."""
    with bench.folder() as folder, responder(folder) as port:
        return saturate(port, requests, connections=CONNECTIONS)


class _Reading:
    """Counters around a run."""

    def __init__(self, server: Server) -> None:
        self.verdicts = server.metrics().by("instanter_events_folded_total", "verdict")
        self.cpu_s = server.cpu_s()
        self.own_cpu_s = own_cpu_s()


def _void(before: _Reading, after: _Reading, outcome: LoadResult, paced: LoadResult, count: int) -> str:
    if outcome.failures or paced.failures:
        return f"{outcome.failures + paced.failures} batches were not taken whole"
    grown = {verdict: total - before.verdicts[verdict] for verdict, total in after.verdicts.items()}
    if grown != {**dict.fromkeys(grown, 0.0), "applied": float(count)}:
        return f"not every event was applied: {json.dumps(grown)}"
    return ""
