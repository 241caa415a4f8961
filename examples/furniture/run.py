"""A furniture shop of the simulator: do its people find more with a trained ranker than with the built-in one?

For each seed a shop and a server of its own. First people come who are served by the built-in ranker, and act on what
they are shown; a ranker is learned from that. Then the server's directory is doubled, and the same new people come to
both copies: to one that goes on with the built-in ranker, and to one that the trained one is in charge of. Prints what
a visit brought on either side, weighed as the configuration's rewards are.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
import tomllib
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import msgspec
from ranking import mean
from runner import Client, JsonObject, RunnerError, Server, iso

from instanter.sim.choice import Reward
from instanter.sim.front import Placement, Visitor
from instanter.sim.shop import DEFAULT_AS_OF_MS, Shop
from instanter.sim.traffic import Traffic
from instanter.sim.visit import HOME_PLACEMENTS, VisitResult
from instanter.sim.wire import TrackingEvent

HERE = Path(__file__).resolve().parent
CONFIG = HERE / "instanter.toml"
SEEDS = (1, 2, 3, 4, 5)
LEARNED = ("home.recommended", "product.similar", "search")
"""Each has a model of its own."""
TRAINING = ("--kind", "logistic", "--set", "l2=300")
"""Chosen on other seeds, see README.md."""
HERO, HERO_TAKES = "home.hero", "home.recommended"
"""A list of one teaches no order."""
SPAN_MS = 3 * 86_400_000
PAUSE_MS = 12 * 3_600_000
EVENTS_WAITING_MAX = 200


class Sizes(NamedTuple):
    """How many people come."""

    shown: int = 1_000
    """To be learned from."""
    compared: int = 700
    """On each side."""


class Brought(NamedTuple):
    """What one person's visits brought, in rewards."""

    visits: int
    counted: float
    expected: float
    """Of the lists shown, by the simulator's true utilities, each as if it stood alone."""


People = dict[str, Brought]


class Compared(NamedTuple):
    """One seed: the same people on either side."""

    seed: int
    built_in: People
    trained: People
    learned_visits: int
    training: dict[str, JsonObject]
    """What `instanter train` said, by placement."""
    questions: int
    degraded: int
    seconds: float


class Front:
    """The pages of the shop, filled by the engine: what the simulator asks for lists, and tells its events to.

    Events ride with the next question, so the engine knows all that happened before it, and nothing else. What the
    visitor's browser says of a list carries the id of the decision that made it.
    """

    def __init__(self, client: Client) -> None:
        self.decided = 0
        self.degraded = 0
        self._client = client
        self._waiting: list[JsonObject] = []
        self._held: dict[tuple[str, str], list[str]] = {}
        self._made: defaultdict[str, deque[str]] = defaultdict(deque)
        """By visit, the decisions whose lists have not been seen yet."""
        self._decisions: dict[str, str] = {}
        """By list."""

    def __call__(self, visitor: Visitor, placement: Placement, now_ms: int) -> Sequence[str]:
        held = self._held.pop((visitor.session_id, placement.id), None)
        if held is not None:
            return held
        together = HOME_PLACEMENTS if placement in HOME_PLACEMENTS else (placement,)
        reply = self._client.ask("/v1/decide", question(visitor, together, now_ms, self._waiting))
        self._client.events_sent += len(self._waiting)
        self._waiting = []
        self.decided += 1
        self.degraded += bool(reply["degraded"])
        for one in together:
            ids = [item["id"] for item in reply["placements"][one.id]["items"]]
            self._held[visitor.session_id, one.id] = ids
            self._made[visitor.session_id].append(reply["decisionId"])
        return self._held.pop((visitor.session_id, placement.id))

    def tell(self, event: TrackingEvent) -> None:
        """Something happened, in the order of time."""
        sent = self._named(event)
        self._waiting.append(sent)
        if len(self._waiting) >= EVENTS_WAITING_MAX:
            self.flush()

    def flush(self) -> None:
        """Tell the engine what waits for a question."""
        self._client.feed(self._waiting)
        self._waiting = []

    def _named(self, event: TrackingEvent) -> JsonObject:
        sent: JsonObject = msgspec.to_builtins(event)
        listed = event.properties.list_id if event.properties is not None else ""
        if listed:
            assert event.context is not None
            if event.event == "Product List Viewed":
                self._decisions[listed] = self._made[event.context.session_id].popleft()
            sent["context"]["decisionId"] = self._decisions[listed]
        return sent


def question(
    visitor: Visitor, placements: Iterable[Placement], now_ms: int, events: Sequence[JsonObject]
) -> JsonObject:
    """What the page asks, with what happened before."""
    asked: JsonObject = {
        "anonymousId": visitor.anonymous_id, "timestamp": iso(now_ms), "events": list(events),
        "context": {
            "sessionId": visitor.session_id, "userAgent": visitor.user_agent, "ip": visitor.ip,
            "locale": visitor.locale, "timezone": visitor.timezone,
        },
        "placements": [spot(placement) for placement in placements],
    }  # fmt: skip
    return asked | ({"userId": visitor.user_id} if visitor.user_id else {})


def spot(placement: Placement) -> JsonObject:
    """One placement of a question; the caller's list only where there is one."""
    asked: JsonObject = {"id": placement.id, "limit": placement.limit}
    if placement.query:
        asked["query"] = placement.query
    if placement.item:
        asked["item"] = placement.item
    if placement.candidates:
        asked["candidates"] = list(placement.candidates)
    return asked


def worth(reward: Reward, rewards: Mapping[str, float]) -> float:
    """As the configuration weighs it.

    >>> worth(Reward(clicks=2.0, carts=1.0, orders=1.0), {"click": 1.0, "cart": 3.0, "order": 5.0})
    10.0
    """
    return reward.clicks * rewards["click"] + reward.carts * rewards["cart"] + reward.orders * rewards["order"]


def visits(client: Client, shop: Shop, *, people: int, seed: int, start_ms: int) -> tuple[list[VisitResult], Front]:
    """People come for some days and are served by the engine; what came of each visit."""
    front, outcomes = Front(client), list[VisitResult]()
    traffic = Traffic(shop, people_count=people, seed=seed, start_ms=start_ms, span_ms=SPAN_MS, show=front)
    for event in traffic.events(tell=outcomes.append):
        front.tell(event)
    front.flush()
    return outcomes, front


def by_person(outcomes: Iterable[VisitResult], rewards: Mapping[str, float]) -> People:
    """Everybody's visits together: those of one person are not independent of each other."""
    found: People = {}
    for outcome in outcomes:
        known = found.get(outcome.anonymous_id, Brought(0, 0.0, 0.0))
        found[outcome.anonymous_id] = Brought(
            known.visits + 1, known.counted + worth(outcome.counted, rewards),
            known.expected + worth(outcome.expected, rewards),
        )  # fmt: skip
    return found


def a_visit(people: Iterable[Brought]) -> tuple[float, float]:
    """Counted and expected reward of a visit.

    >>> a_visit([Brought(1, 2.0, 4.0), Brought(3, 6.0, 8.0)])
    (2.0, 3.0)
    """
    visits, counted, expected = map(sum, zip(*people, strict=True))
    return counted / visits, expected / visits


def difference_interval(one: People, other: People, *, resamples: int = 2_000, seed: int = 1) -> tuple[float, float]:
    """The 95 % interval of what a visit brings in `one` more than in `other`: a bootstrap over people, each drawn with
    both of their sides."""
    pairs = [(one[name], other[name]) for name in sorted(one)]
    chance = random.Random(seed)
    found = []
    for _ in range(resamples):
        drawn = chance.choices(pairs, k=len(pairs))
        found.append(_counted(pair[0] for pair in drawn) - _counted(pair[1] for pair in drawn))
    found.sort()
    return found[int(0.025 * resamples)], found[int(0.975 * resamples)]


def _counted(people: Iterable[Brought]) -> float:
    visits, counted = 0, 0.0
    for person in people:
        visits += person.visits
        counted += person.counted
    return counted / visits


def compare(seed: int, sizes: Sizes, rewards: Mapping[str, float]) -> Compared:
    """The whole of one seed."""
    started_s = time.perf_counter()
    shop = Shop(seed=seed)
    with Server(CONFIG) as taught:
        learned, _ = _stretch(taught, shop, sizes.shown, seed=2 * seed, start_ms=DEFAULT_AS_OF_MS, opening=True)
        taught.stop()
        later = {"seed": 2 * seed + 1, "start_ms": DEFAULT_AS_OF_MS + SPAN_MS + PAUSE_MS}
        with Server(CONFIG, past=taught.data) as server:
            built_in, built_in_front = _stretch(server, shop, sizes.compared, **later)
        with Server(CONFIG, past=taught.data) as server:
            training = learn(server)
            trained, trained_front = _stretch(server, shop, sizes.compared, **later)
    fronts = (built_in_front, trained_front)
    return Compared(
        seed, by_person(built_in, rewards), by_person(trained, rewards), len(learned), training,
        sum(front.decided for front in fronts), sum(front.degraded for front in fronts),
        round(time.perf_counter() - started_s, 1),
    )  # fmt: skip


def _stretch(
    server: Server, shop: Shop, people: int, *, seed: int, start_ms: int, opening: bool = False
) -> tuple[list[VisitResult], Front]:
    client = Client(server.port)
    try:
        if opening:
            client.put_items([msgspec.to_builtins(item) for item in shop.items()])
        return visits(client, shop, people=people, seed=seed, start_ms=start_ms)
    finally:
        client.close()


def learn(server: Server) -> dict[str, JsonObject]:
    """A model for each placement that can be learned, put in charge; the hero takes one of them."""
    training = {placement: server.train(placement, *TRAINING) for placement in LEARNED}
    client = Client(server.port)
    try:
        client.place(HERO, training[HERO_TAKES]["model"])
    finally:
        client.close()
    return training


def figures(compared: Sequence[Compared]) -> dict[str, Any]:
    """The result for the last line, but for the seconds."""
    metrics: dict[str, float] = {}
    baselines: dict[str, float] = {}
    lifts, expected_lifts = [], []
    for one in compared:
        trained, expected = a_visit(one.trained.values())
        built_in, built_in_expected = a_visit(one.built_in.values())
        low, high = difference_interval(one.trained, one.built_in)
        lifts.append(trained / built_in - 1.0)
        expected_lifts.append(expected / built_in_expected - 1.0)
        metrics |= {
            f"reward.{one.seed}": trained, f"expected.{one.seed}": expected,
            f"difference.{one.seed}": trained - built_in, f"difference_low.{one.seed}": low,
            f"difference_high.{one.seed}": high,
        }  # fmt: skip
        baselines |= {f"reward.{one.seed}": built_in, f"expected.{one.seed}": built_in_expected}
    metrics |= {
        "reward": mean([metrics[f"reward.{one.seed}"] for one in compared]),
        "better_in": float(sum(lift > 0.0 for lift in lifts)), "seeds": float(len(compared)),
        "lift": mean(lifts), "lift_least": min(lifts), "lift_expected": mean(expected_lifts),
    }  # fmt: skip
    baselines["reward"] = mean([baselines[f"reward.{one.seed}"] for one in compared])
    return {
        "cut": iso(DEFAULT_AS_OF_MS + SPAN_MS + PAUSE_MS),
        "n": sum(person.visits for one in compared for person in (*one.trained.values(), *one.built_in.values())),
        "metrics": _rounded(metrics), "baselines": _rounded(baselines),
    }  # fmt: skip


def run(seeds: Sequence[int], sizes: Sizes, quiet: bool) -> dict[str, Any]:
    """The whole run; the result for the last line."""
    rewards = tomllib.loads(CONFIG.read_text(encoding="utf-8"))["feedback"]["rewards"]
    compared = []
    for seed in seeds:
        compared.append(compare(seed, sizes, rewards))
        if not quiet:
            _show(compared[-1])
    result = figures(compared)
    if not quiet:
        metrics = result["metrics"]
        print(f"\nbetter in {metrics['better_in']:g} of {metrics['seeds']:g}; a visit brings {metrics['lift']:+.1%}, "
              f"by the lists' true worth {metrics['lift_expected']:+.1%}")
    return result


def _show(one: Compared) -> None:
    lists = ", ".join(f"{name} {told['lists']:,}" for name, told in one.training.items())
    print(f"seed {one.seed}: {one.learned_visits:,} visits to learn from ({lists} lists); {one.questions:,} questions "
          f"in the comparison, {one.degraded} degraded; {one.seconds:g} s")
    low, high = difference_interval(one.trained, one.built_in)
    for text, people in (("built-in", one.built_in), ("trained", one.trained)):
        counted, expected = a_visit(people.values())
        visits = sum(person.visits for person in people.values())
        print(f"  {text:<9} {visits:5,} visits, reward of one {counted:6.2f}, expected of its lists {expected:6.2f}")
    print(f"  the difference of a visit's reward: {low:+.2f} to {high:+.2f} (95 %)", flush=True)


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="A furniture shop's people, served by a trained ranker or not.")
    parser.add_argument("--seed", type=int, action="append", metavar="N", help="only this one, may be given again")
    parser.add_argument("--json", action="store_true", help="print nothing but the result, as one line of JSON")
    arguments = parser.parse_args(argv)
    started_s = time.perf_counter()
    try:
        result = run(arguments.seed or SEEDS, Sizes(), arguments.json)
    except RunnerError as error:
        print(f"furniture: {error}", file=sys.stderr)
        return 1
    seconds = round(time.perf_counter() - started_s, 1)
    print(json.dumps({"set": "furniture", **result, "seconds": seconds}) if arguments.json else f"{seconds:g} s in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
