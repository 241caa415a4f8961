"""How long the loop does nothing else, checkpoints included."""

from __future__ import annotations

from .bench import Bench, taken_whole
from .load import Stream, open_loop, quantile, request
from .result import Figure
from .server import Metrics

TITLE = "pause: the longest time the loop is away at 5,000 events/s, checkpoints included"
EVENTS_PER_S = 5_000
EVENTS_PER_BATCH = 50
HEALTH_PER_S = 200
CONNECTIONS = 8
SECONDS = 70.0
CHECKPOINT_S = 20
PAUSES = "instanter_loop_pause_seconds_bucket"


def pause(bench: Bench) -> tuple[list[Figure], str]:
    """What the server says of its loop, and what a client that only asks for /healthz sees."""
    people = bench.size(20_000, 200)
    seconds = SECONDS if not bench.quick else 1.5
    checkpoint_s = bench.size(CHECKPOINT_S, 1)
    with bench.server(config=f"[state]\ncheckpoint_s = {checkpoint_s}\n") as server:
        bench.people_known(server, range(people))
        traffic = bench.traffic()
        batches = list(traffic.batches(
            range(people), int(EVENTS_PER_S * seconds), at_ms=bench.clock.now_ms(), size=EVENTS_PER_BATCH))
        before = server.metrics()
        bench.say(f"{EVENTS_PER_S:,} events a second for {seconds:g} s")
        events, health = open_loop(server.port, [
            Stream(batches, EVENTS_PER_S / EVENTS_PER_BATCH, CONNECTIONS, check=taken_whole),
            Stream([request("GET", "/healthz")] * int(HEALTH_PER_S * seconds), HEALTH_PER_S, CONNECTIONS),
        ])
        after = server.metrics()
    checkpoints = _count(after, "checkpoint") - _count(before, "checkpoint")
    figures = [
        Figure(name="longest pause, by the server", value=longest_ms(before, after), unit="ms", at_least=20, aim=5),
        Figure(name="slowest /healthz, by the client", value=max(health.latencies_ms), unit="ms"),
        Figure(name="/healthz p99", value=quantile(health.latencies_ms, 0.99), unit="ms"),
        Figure(name="left the client late, at most", value=max(health.late_ms), unit="ms"),
        Figure(name="batch p99", value=quantile(events.latencies_ms, 0.99), unit="ms"),
        Figure(name="checkpoints meanwhile", value=checkpoints, unit=""),
    ]
    if events.failures or health.failures:
        return figures, f"{events.failures + health.failures} requests were refused"
    return figures, "" if checkpoints else "no checkpoint was made meanwhile"


def longest_ms(before: Metrics, after: Metrics) -> float:
    """Upper bound of the highest bucket that a pause fell into between the two readings, in ms."""
    at_start, at_end = before.by(PAUSES, "le"), after.by(PAUSES, "le")
    grown = {float(le): count - at_start.get(le, 0.0) for le, count in at_end.items()}
    total = max(grown.values(), default=0.0)
    return 1_000 * min(le for le, count in grown.items() if count == total) if total else 0.0


def _count(metrics: Metrics, stage: str) -> float:
    return metrics.value("instanter_stage_seconds_count", stage=stage)
