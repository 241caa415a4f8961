"""How long a decision takes while events come in, and what it costs."""

from __future__ import annotations

import msgspec

from ...foundation.rng import KeyedRng
from .bench import Bench, load, taken_whole
from .load import LoadResult, Stream, is_ok, open_loop, quantile, request
from .questions import decide as question
from .questions import decision_of
from .result import Figure
from .server import Server
from .traffic import Traffic, person_id

TITLE = "decide: 100 decisions/s while 1,000 events/s come in, everybody known; search re-ranks 200 candidates"
DECISIONS_PER_S = 100
EVENTS_PER_S = 1_000
HEALTH_PER_S = 20
EVENTS_PER_BATCH = 10
CANDIDATES = 200
VIEWS_EACH = 5
CONNECTIONS = 8
NOT_PERSONAL_SHARE_MAX = 0.001
SEARCH, HOME = "search", "home.recommended"


class _Run(msgspec.Struct, frozen=True):
    """What a time under load gave."""

    decisions: LoadResult
    health: LoadResult
    events: LoadResult
    cpu_s: float


def decide(bench: Bench) -> tuple[list[Figure], str]:
    """Both placements under load, and the same load without decisions."""
    people = bench.size(20_000, 200)
    with bench.server() as server:
        bench.say("making people known")
        load(server, bench.traffic().batches(
            range(people), people * VIEWS_EACH, at_ms=bench.clock.now_ms(), in_turn=True))
        load(server, bench.traffic().batches(range(people), people, at_ms=bench.clock.now_ms()))
        traffic = bench.traffic()
        runs = {}
        for placement in (SEARCH, HOME):
            questions = _questions(bench, placement, people, seconds=bench.seconds)
            _run(bench, server, traffic, questions[: DECISIONS_PER_S], people, seconds=min(2.0, bench.seconds))
            bench.say(f"deciding for {placement}")
            runs[placement] = _run(bench, server, traffic, questions, people, seconds=bench.seconds)
        bench.say("the same without decisions")
        idle = _run(bench, server, traffic, [], people, seconds=bench.seconds)
    figures = [figure for placement, run in runs.items() for figure in _figures(placement, run, idle)]
    voids = [void for placement, run in runs.items() if (void := _void(placement, run))]
    return figures, "; ".join(voids)


def search_questions(bench: Bench, people: int, *, seconds: float) -> list[bytes]:
    """Lists of 200 to be re-ranked, of people who are known."""
    return _questions(bench, SEARCH, people, seconds=seconds)


def _questions(bench: Bench, placement: str, people: int, *, seconds: float) -> list[bytes]:
    chance = KeyedRng(f"questions/{placement}", seed=1)
    ids = [item.id for item in bench.shop.items()]

    def candidates() -> list[str]:
        first = chance.below(len(ids))
        return [ids[(first + step * 7) % len(ids)] for step in range(CANDIDATES)]

    return [
        question(person_id(chance.below(people)), placement, candidates=candidates() if placement == SEARCH else ())
        for _ in range(int(DECISIONS_PER_S * seconds))
    ]


def _run(
    bench: Bench, server: Server, traffic: Traffic, questions: list[bytes], people: int, *, seconds: float
) -> _Run:
    batches = list(traffic.batches(
        range(people), int(EVENTS_PER_S * seconds), at_ms=bench.clock.now_ms(), size=EVENTS_PER_BATCH))
    streams = [
        Stream(batches, EVENTS_PER_S / EVENTS_PER_BATCH, CONNECTIONS, check=taken_whole),
        Stream([request("GET", "/healthz")] * int(HEALTH_PER_S * seconds), HEALTH_PER_S, 1),
        Stream(questions, DECISIONS_PER_S, CONNECTIONS, check=is_ok, keep_bodies=True),
    ]
    before_s = server.cpu_s()
    outcomes = open_loop(server.port, streams if questions else streams[:2])
    cpu_s = server.cpu_s() - before_s
    return _Run(outcomes[2] if questions else LoadResult([], 0, 1e-9), outcomes[1], outcomes[0], cpu_s)


def _figures(placement: str, run: _Run, idle: _Run) -> list[Figure]:
    p99, health_p99 = quantile(run.decisions.latencies_ms, 0.99), quantile(run.health.latencies_ms, 0.99)
    cpu_ms = (run.cpu_s - idle.cpu_s) / len(run.decisions.latencies_ms) * 1e3
    return [
        Figure(name=f"{placement}: p99 above /healthz", value=p99 - health_p99, unit="ms", at_least=8, aim=4),
        Figure(name=f"{placement}: server CPU a decision", value=cpu_ms, unit="ms", at_least=3, aim=1.5),
        Figure(name=f"{placement}: p50", value=quantile(run.decisions.latencies_ms, 0.50), unit="ms"),
        Figure(name=f"{placement}: p99", value=p99, unit="ms"),
        Figure(name=f"{placement}: /healthz p99", value=health_p99, unit="ms"),
        Figure(name=f"{placement}: left the client late, p99", value=quantile(run.decisions.late_ms, 0.99), unit="ms"),
        Figure(name=f"{placement}: not personal or degraded", value=_not_personal(run) * 100, unit="%"),
    ]


def _not_personal(run: _Run) -> float:
    bodies = run.decisions.bodies
    return sum(not decision_of(body).is_personal for body in bodies) / len(bodies)


def _void(placement: str, run: _Run) -> str:
    failures = run.decisions.failures + run.health.failures + run.events.failures
    if failures:
        return f"{placement}: {failures} requests were refused"
    share = _not_personal(run)
    return f"{placement}: {share:.2%} of the replies were not personal" if share > NOT_PERSONAL_SHARE_MAX else ""
