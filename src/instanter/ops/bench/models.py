"""What trained models cost a decision, and what putting another one in charge costs those who ask meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from ...foundation.errors import Broken
from ..training import TrainReport
from .bench import UNLIMITED, Bench, ask, load
from .decide import CONNECTIONS, DECISIONS_PER_S, HEALTH_PER_S, SEARCH, search_questions
from .load import Connection, LoadResult, Stream, open_loop, quantile, request
from .questions import decision_of
from .result import Figure
from .server import COMMAND, Process, Server
from .traffic import catalogue
from .training import SPAN_MS, build_visits

TITLE = "models: 100 decisions/s, each re-ranks 200 candidates by 200 trees; then another model takes over every 10 s"
EVENTS: Final = 60_000
"""Of the log that the two models are trained on."""
TREES: Final = 200
LEAVES: Final = 31
SWAPS_PER_S: Final = 0.1
MINUTE_SECONDS: Final = 2
"""The minute of the swaps, in the length of what is measured at a steady rate."""
_TRAINED_BY: Final = "lambdamart@"


class _Run(msgspec.Struct, frozen=True):
    decisions: LoadResult
    health: LoadResult
    swaps: LoadResult
    cpu_s: float

    @property
    def failures(self) -> int:
        return self.decisions.failures + self.health.failures + self.swaps.failures


def models(bench: Bench) -> tuple[list[Figure], str]:
    """Two models of one log, the first measured under load, then one in the place of the other again and again."""
    people = bench.size(20_000, 200)
    with bench.folder() as folder:
        data = folder / "data"
        bench.say("making a log to learn from")
        build_visits(data, bench.shop, bench.size(EVENTS, 4_000), start_ms=bench.clock.now_ms() - SPAN_MS)
        bench.say("training two models")
        names = [_trained(folder, data, bench.size(TREES, 5), seed=seed) for seed in (1, 2)]
        written = folder / "instanter.toml"
        written.write_text(UNLIMITED, encoding="utf-8")
        with Server(data, config=written) as server:
            server.wait_ready()
            load(server, catalogue(bench.shop))
            bench.people_known(server, range(people))
            _place(server, names[0])
            questions = search_questions(bench, people, seconds=MINUTE_SECONDS * bench.seconds)
            _run(server, questions[:DECISIONS_PER_S], (), seconds=1.0)
            bench.say("deciding by trees")
            still = _run(server, questions, (), seconds=MINUTE_SECONDS * bench.seconds)
            bench.say("the same without decisions")
            idle = _run(server, [], (), seconds=bench.seconds)
            bench.say("another model takes over, and again")
            swapping = _run(server, questions, names, seconds=MINUTE_SECONDS * bench.seconds)
    return _figures(still, swapping, idle), _void(still, swapping)


def _trained(folder: Path, data: Path, trees: int, *, seed: int) -> str:
    options = {"trees_max": trees, "leaves": LEAVES, "early_stopping_rounds": 0, "seed": seed}
    settings = [part for name, value in options.items() for part in ("--set", f"{name}={value}")]
    command = (*COMMAND, "train", "--json", "--data", str(data), "--placement", SEARCH, *settings)
    with Process(command, log=folder / f"train-{seed}.log", pinned=False) as process:
        if process.wait() != 0:
            raise Broken(f"instanter train failed: {process.output()[-400:]}")
        return msgspec.json.decode(process.output().strip().splitlines()[-1], type=TrainReport).model


def _place(server: Server, model: str) -> None:
    connection = Connection(server.port)
    ask(connection, _placing(model))
    connection.close()


def _placing(model: str) -> bytes:
    return request("PUT", f"/v1/models/{SEARCH}", msgspec.json.encode({"model": model}))


def _run(server: Server, questions: list[bytes], swapped: Sequence[str], *, seconds: float) -> _Run:
    """Questions and health for so long; with models one takes over from the other, the second first."""
    swaps = [_placing(swapped[1 - turn % 2]) for turn in range(max(int(SWAPS_PER_S * seconds), 2))] if swapped else []
    streams = [Stream([request("GET", "/healthz")] * int(HEALTH_PER_S * seconds), HEALTH_PER_S, 1)]
    if questions:
        streams.append(Stream(questions, DECISIONS_PER_S, CONNECTIONS, keep_bodies=True))
    if swaps:
        streams.append(Stream(swaps, len(swaps) / seconds, 1))
    before_s = server.cpu_s()
    outcomes = open_loop(server.port, streams)
    cpu_s = (server.cpu_s() - before_s) / seconds
    none = LoadResult([], 0, 1e-9)
    return _Run(outcomes[1] if questions else none, outcomes[0], outcomes[2] if swaps else none, cpu_s)


def _figures(still: _Run, swapping: _Run, idle: _Run) -> list[Figure]:
    p99, swapping_p99 = (quantile(run.decisions.latencies_ms, 0.99) for run in (still, swapping))
    health_p99 = quantile(still.health.latencies_ms, 0.99)
    cpu_ms = (still.cpu_s - idle.cpu_s) / DECISIONS_PER_S * 1e3
    return [
        Figure(name="p99 above /healthz", value=p99 - health_p99, unit="ms", at_least=10, aim=5),
        Figure(name="server CPU a decision", value=cpu_ms, unit="ms", at_least=4, aim=2),
        Figure(name="failed while models took over", value=swapping.failures, unit="", at_least=0),
        Figure(name="p99 while models took over, to that before", value=swapping_p99 / p99, unit="x", at_least=1.5),
        Figure(name="p50", value=quantile(still.decisions.latencies_ms, 0.5), unit="ms"),
        Figure(name="p99", value=p99, unit="ms"),
        Figure(name="/healthz p99", value=health_p99, unit="ms"),
        Figure(name="p99 while models took over", value=swapping_p99, unit="ms"),
        Figure(name="slowest while models took over", value=max(swapping.decisions.latencies_ms), unit="ms"),
        Figure(name="models that took over", value=len(swapping.swaps.latencies_ms), unit=""),
        Figure(name="a model took over in", value=quantile(swapping.swaps.latencies_ms, 0.5), unit="ms"),
    ]


def _void(still: _Run, swapping: _Run) -> str:
    if still.failures:
        return f"{still.failures} requests were refused"
    bodies = [*still.decisions.bodies, *swapping.decisions.bodies]
    others = sum(not decision_of(body).only.model.startswith(_TRAINED_BY) for body in bodies)
    return f"{others} of {len(bodies)} lists were ranked by something else" if others else ""
