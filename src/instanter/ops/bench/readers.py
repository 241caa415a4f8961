"""What readers of the stream and open pages of the console cost the decisions that are made meanwhile."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from .audience import Audience
from .bench import Bench, Stopwatch, load
from .decide import CONNECTIONS, DECISIONS_PER_S, search_questions
from .load import LoadResult, Stream, is_ok, open_loop, quantile, request
from .result import Figure
from .server import Server

TITLE = (
    "readers: 100 decisions/s, 200 candidates each, alone and beside 200 readers of the stream, one of which takes "
    "nothing, and five open pages of the console"
)
READERS: Final = 200
PAGES: Final = 5
PAGE_PER_S: Final = 0.5
"""How often a page asks for new samples."""
ROUNDS: Final = 3
"""Alone and beside readers in turn: what else runs on the machine falls on both."""
P99_RATIO_MAX: Final = 1.2
CUT_S_MAX: Final = 20.0
"""So long events come, once the decisions are made, until the reader that takes nothing is cut off: the systems of both
ends take some MiB for it first."""
_EVENTS_AT_ONCE: Final = 2_000
_DECIDED: Final = re.compile(rb'"decisionId":"(\w+)"')


def readers(bench: Bench) -> tuple[list[Figure], str]:
    """The same decisions alone and beside readers, in turn."""
    people, count = bench.size(2_000, 50), bench.size(READERS, 5)
    alone: list[float] = []
    beside: list[float] = []
    late_alone: list[float] = []
    late_beside: list[float] = []
    lost = failures = cuts = 0
    with bench.server() as server:
        bench.people_known(server, range(people))
        questions = search_questions(bench, people, seconds=bench.seconds)
        _decide(server, questions[:DECISIONS_PER_S])
        cpu = [0.0, 0.0]
        for number in range(ROUNDS):
            bench.say(f"round {number + 1} of {ROUNDS}, alone")
            before_s = server.cpu_s()
            result = _decide(server, questions)
            cpu[0] += server.cpu_s() - before_s
            alone += result.latencies_ms
            late_alone += result.late_ms
            failures += result.failures
            bench.say(f"round {number + 1} of {ROUNDS}, beside {count} readers")
            with Audience(server.port, count) as audience:
                before_s = server.cpu_s()
                result = _decide(server, questions, looks=_looks(bench))
                cpu[1] += server.cpu_s() - before_s
                _overflow(bench, server, people, cut=number + 1)
                heard = audience.heard(_DECIDED.findall(body)[0] for body in result.bodies)
                lost += heard.untold
                cuts += heard.was_cut
            beside += result.latencies_ms
            late_beside += result.late_ms
            failures += result.failures
    asked = len(questions) * ROUNDS
    p99_alone, p99_beside = quantile(alone, 0.99), quantile(beside, 0.99)
    figures = [
        Figure(name="decide p99, beside readers to alone", value=p99_beside / p99_alone, unit="x",
               at_least=P99_RATIO_MAX),
        Figure(name="decisions that a reader was not told of", value=lost, unit="", at_least=0),
        Figure(name="rounds in which the one that takes nothing was not cut off and told from where to resume",
               value=ROUNDS - cuts, unit="", at_least=0),
        Figure(name="decide p99, alone", value=p99_alone, unit="ms"),
        Figure(name="decide p99, beside readers", value=p99_beside, unit="ms"),
        Figure(name="how late questions were sent, p99, alone", value=quantile(late_alone, 0.99), unit="ms"),
        Figure(name="how late questions were sent, p99, beside readers", value=quantile(late_beside, 0.99), unit="ms"),
        Figure(name="decide p50, alone", value=quantile(alone, 0.5), unit="ms"),
        Figure(name="decide p50, beside readers", value=quantile(beside, 0.5), unit="ms"),
        Figure(name="server CPU that readers cost a decision", value=(cpu[1] - cpu[0]) / asked * 1e3, unit="ms"),
    ]  # fmt: skip
    return figures, f"{failures} requests were refused" if failures else ""


def _decide(server: Server, questions: list[bytes], *, looks: Sequence[bytes] = ()) -> LoadResult:
    streams = [Stream(questions, DECISIONS_PER_S, CONNECTIONS, check=is_ok, keep_bodies=True)]
    if looks:
        streams.append(Stream(looks, PAGES * PAGE_PER_S, PAGES, check=is_ok))
    results = open_loop(server.port, streams)
    return msgspec.structs.replace(results[0], failures=sum(result.failures for result in results))


def _looks(bench: Bench) -> list[bytes]:
    """What open pages ask for: the samples since each asked last."""
    first_ms = bench.clock.now_ms() - 1e3 / PAGE_PER_S
    every_ms = 1e3 / (PAGES * PAGE_PER_S)
    return [
        request("GET", f"/console/live/samples?since={int(first_ms + number * every_ms)}")
        for number in range(max(int(PAGES * PAGE_PER_S * bench.seconds), 1))
    ]


def _overflow(bench: Bench, server: Server, people: int, *, cut: int) -> None:
    """Events, of which the one that takes nothing is to be told as well, until so many have been cut off."""
    stopwatch = Stopwatch()
    while server.metrics().value("instanter_stream_readers_cut_total") < cut and stopwatch.seconds() < CUT_S_MAX:
        load(server, bench.traffic().batches(range(people), _EVENTS_AT_ONCE, at_ms=bench.clock.now_ms()))
