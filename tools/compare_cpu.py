"""What an event and a decision cost two versions of this repository, side by side: the ratio of their servers' CPU.

    python tools/compare_cpu.py ../before                      `before` is a checkout with a .venv of its own
    python tools/compare_cpu.py ../before --pairs 20 --json

Each pair starts a server of the version before and one of this, one after the other and in alternating order, sends
both the same bytes, and reads their processor time from /proc. That, unlike a latency, says something on a machine
that others use too. The ratio is this version's over the other's: the geometric mean over the pairs, with a 95 %
interval by bootstrap over pairs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from instanter.foundation.clock import SystemClock
from instanter.foundation.rng import KeyedRng
from instanter.ops.bench.bench import UNLIMITED, load, taken_whole
from instanter.ops.bench.load import is_ok, saturate
from instanter.ops.bench.machine import client_core, on_core
from instanter.ops.bench.questions import decide
from instanter.ops.bench.server import COMMAND, Server
from instanter.ops.bench.traffic import Traffic, batch, catalogue, person_id
from instanter.sim.shop import Shop

PEOPLE: Final = 20_000
EVENTS: Final = 100_000
DECISIONS: Final = 1_500
CANDIDATES: Final = 200
INGEST_CONNECTIONS: Final = 4
SEARCH, HOME = "search", "home.recommended"
RESAMPLES: Final = 10_000

Costs = dict[str, float]
"""Microseconds of a server's CPU, by what they were for."""


class Load(NamedTuple):
    """The requests of one pair."""

    known: list[bytes]
    """Make everybody known, and compiled what can be; not measured."""
    events: list[bytes]
    views: list[bytes]
    asked: dict[str, list[bytes]]
    """By placement: a view and a decision, in turn."""


class Interval(NamedTuple):
    """A ratio with the ends of its 95 % interval."""

    ratio: float
    low: float
    high: float


def made(seed: int, *, at_ms: int, people: int, events: int, decisions: int) -> Load:
    """What both servers of a pair are sent."""
    shop = Shop()
    traffic, chance = Traffic(shop, seed=seed), KeyedRng("compare", seed=seed)
    ids = [item.id for item in shop.items()]

    def view() -> bytes:
        event = traffic.view(chance.below(people), at_ms, chance.below(len(ids)))
        return batch([event], sent_at_ms=at_ms)

    def question(placement: str) -> bytes:
        first = chance.below(len(ids))
        listed = [ids[(first + step * 7) % len(ids)] for step in range(CANDIDATES)]
        return decide(person_id(chance.below(people)), placement, candidates=listed if placement == SEARCH else ())

    def asked(placement: str) -> Iterator[bytes]:
        for _ in range(decisions):
            yield view()
            yield question(placement)

    return Load(
        known=[
            *catalogue(shop),
            *traffic.batches(range(people), 2 * people, at_ms=at_ms, in_turn=True),
            *traffic.batches(range(people), people, at_ms=at_ms),
        ],
        events=list(traffic.batches(range(people), events, at_ms=at_ms)),
        views=[view() for _ in range(decisions)],
        asked={placement: list(asked(placement)) for placement in (SEARCH, HOME)},
    )


def costs(python: Path, sent: Load) -> Costs:
    """What one version's server spent on an event and on a decision."""
    with tempfile.TemporaryDirectory(prefix="instanter-compare-") as name, on_core(client_core()):
        config = Path(name, "instanter.toml")
        config.write_text(UNLIMITED, encoding="utf-8")
        with Server(Path(name, "data"), config=config, command=(str(python), *COMMAND[1:])) as server:
            server.wait_ready()
            load(server, sent.known)
            for asked in sent.asked.values():
                _spent_us(server, asked[:200], connections=1)
            found = {"an event": _spent_us(server, sent.events, connections=INGEST_CONNECTIONS) / _events_in(sent)}
            view_us = _spent_us(server, sent.views, connections=1) / len(sent.views)
            for placement, asked in sent.asked.items():
                decisions = len(asked) // 2
                found[f"a decision for {placement}"] = _spent_us(server, asked, connections=1) / decisions - view_us
            return found


def _events_in(sent: Load) -> int:
    return sum(request.count(b'"messageId"') for request in sent.events)


def _spent_us(server: Server, requests: Sequence[bytes], *, connections: int) -> float:
    before_s = server.cpu_s()
    outcome = saturate(server.port, requests, connections=connections, check=lambda reply: (
        taken_whole(reply) if b'"placements"' not in reply.body else is_ok(reply)))
    if outcome.failures:
        raise SystemExit(f"{outcome.failures} of {len(requests)} requests were refused")
    return (server.cpu_s() - before_s) * 1e6


def interval(before: Sequence[float], now: Sequence[float], *, seed: int = 1) -> Interval:
    """The geometric mean of the pairs' ratios, and where 95 % of the means of resampled pairs lie.

    >>> interval([10.0, 20.0], [11.0, 22.0])
    Interval(ratio=1.1, low=1.1, high=1.1)
    """
    logs = np.log(np.asarray(now) / np.asarray(before))
    means = np.random.default_rng(seed).choice(logs, size=(RESAMPLES, len(logs))).mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(*(round(float(np.exp(value)), 4) for value in (logs.mean(), low, high)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="a checkout with a .venv of its own, of the version to compare with")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--people", type=int, default=PEOPLE)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--decisions", type=int, default=DECISIONS)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    pythons = {"before": arguments.before.absolute() / ".venv/bin/python", "now": Path(sys.executable)}
    found: dict[str, list[Costs]] = {"before": [], "now": []}
    for pair in range(arguments.pairs):
        sent = made(pair, at_ms=SystemClock().now_ms(), people=arguments.people, events=arguments.events,
                    decisions=arguments.decisions)
        for version in ("before", "now") if pair % 2 == 0 else ("now", "before"):
            found[version].append(costs(pythons[version], sent))
            told = ", ".join(f"{what} {spent:,.1f} us" for what, spent in found[version][-1].items())
            print(f"pair {pair + 1}, {version}: {told}", file=sys.stderr, flush=True)
    for what in found["now"][0]:
        before, now = ([spent[what] for spent in found[version]] for version in ("before", "now"))
        ratio = interval(before, now)
        if arguments.json:
            print(json.dumps({"what": what, "before_us": before, "now_us": now, **ratio._asdict()}))
        else:
            print(f"{what}: {np.median(before):,.1f} us before, {np.median(now):,.1f} us now; "
                  f"ratio {ratio.ratio:.3f} ({ratio.low:.3f} to {ratio.high:.3f})")


if __name__ == "__main__":
    main()
