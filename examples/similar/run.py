"""Beside an item: six made-up shops with nothing but a catalogue and the views of 200 people.

For each shop a server of its own: the catalogue, the views of 200 people, then further visitors, held back until then.
Each of their views is fed, and then `product.similar` is asked about the item: is what they look at next in its list?
The same steps are guessed by what was viewed most of the item's category, and by one who knows all of the shop. Prints
all three, the share of each list that is of the item's own category, beside the share of next views that are, and what
is said of an item that nobody knows.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from ranking import interval, mean
from runner import Client, JsonObject, RunnerError, Server, iso, time_ms, track
from shops import KINDS, Shop, Thing

HERE = Path(__file__).resolve().parent
SIMILAR = "product.similar"
SHOWN = 8
PEOPLE, HELD_BACK = 200, 150
START_MS = time_ms("2026-03-01T08:00:00Z")
BETWEEN_VIEWS_MS, BETWEEN_PEOPLE_MS = 40_000, 300_000


class Step(NamedTuple):
    """From one item to the next: what was shown beside it, what plain counting would have shown, and who knows all."""

    item: Thing
    wanted: Thing
    shown: list[str]
    plain: list[str]
    likeliest: list[str]


class InCategory:
    """The most viewed items of a category, then those that nobody has viewed in the order of the catalogue."""

    def __init__(self, things: Sequence[Thing]) -> None:
        self._views: Counter[str] = Counter()
        self._things = things

    def see(self, thing: Thing) -> None:
        self._views[thing.id] += 1

    def best(self, now: Thing, count: int) -> list[str]:
        alike = [one for one in self._things if one.category == now.category and one.id != now.id]
        return [one.id for one in sorted(alike, key=lambda one: -self._views[one.id])[:count]]


def walk(shop: Shop, client: Client) -> tuple[list[Step], bool]:
    """The steps of those who were held back, and whether it is told that nobody knows an item."""
    client.put_items(shop.items)
    plain, at_ms, steps = InCategory(shop.things), START_MS, list[Step]()
    likeliest = dict[str, list[str]]()
    for person in range(PEOPLE):
        visit = shop.visit()
        client.feed(view(thing, f"p{person}", at_ms + place * BETWEEN_VIEWS_MS) for place, thing in enumerate(visit))
        for thing in visit:
            plain.see(thing)
        at_ms += BETWEEN_PEOPLE_MS
    for person in range(HELD_BACK):
        visitor = f"q{person}"
        for place, (now, wanted) in enumerate(pairwise(shop.visit())):
            seen_ms = at_ms + place * BETWEEN_VIEWS_MS
            client.feed([view(now, visitor, seen_ms)])
            plain.see(now)
            reply = client.ask("/v1/decide", question(now.id, visitor, seen_ms))
            shown = [item["id"] for item in reply["placements"][SIMILAR]["items"]]
            if now.id not in likeliest:
                likeliest[now.id] = shop.likeliest(now, SHOWN)
            steps.append(Step(now, wanted, shown, plain.best(now, SHOWN), likeliest[now.id]))
        at_ms += BETWEEN_PEOPLE_MS
    unknown = client.ask("/v1/decide", question("nobody-knows-it", "q0", at_ms))
    return steps, "unknown_item" in {warning["code"] for warning in unknown.get("warnings", ())}


def view(thing: Thing, person: str, at_ms: int) -> JsonObject:
    """Somebody looks at an item; nothing else is ever told."""
    return track(
        "Product Viewed", message_id=f"{person}-{at_ms}", user_id=person, at_ms=at_ms,
        properties={"product_id": thing.id},
    )  # fmt: skip


def question(item: str, person: str, at_ms: int) -> JsonObject:
    """What stands beside this item?"""
    return {
        "userId": person, "timestamp": iso(at_ms + 1), "placements": [{"id": SIMILAR, "item": item, "limit": SHOWN}]
    }


def figures(shop: Shop, steps: Sequence[Step]) -> tuple[dict[str, float], dict[str, float]]:
    """Of the engine, and of what it is compared with."""
    category = {thing.id: thing.category for thing in shop.things}
    hits = [float(step.wanted.id in step.shown) for step in steps]
    plain = [float(step.wanted.id in step.plain) for step in steps]
    low, high = interval([one - other for one, other in zip(hits, plain, strict=True)], resamples=2_000)
    own = mean([mean([float(category[one] == step.item.category) for one in step.shown]) for step in steps])
    stayed = mean([float(step.wanted.category == step.item.category) for step in steps])
    ours, theirs = mean(hits), mean(plain)
    most = mean([float(step.wanted.id in step.likeliest) for step in steps])
    return (
        {"hit_at_8": ours, "more_low": low, "more_high": high, "times": ours / theirs if theirs else 0.0,
         "own_category": own},
        {"hit_at_8": theirs, "hit_at_8_knowing_all": most, "own_category": stayed},
    )  # fmt: skip


def run(seed: int, quiet: bool) -> dict[str, Any]:
    """All six shops; the result for the last line."""
    metrics, baselines, count = dict[str, float](), dict[str, float](), 0
    for kind in KINDS:
        shop = Shop(kind, seed)
        with Server(HERE / "instanter.toml") as server:
            client = Client(server.port)
            try:
                steps, is_told = walk(shop, client)
            finally:
                client.close()
        own, plain = figures(shop, steps)
        own["unknown_item_told"] = float(is_told)
        count += len(steps)
        metrics |= {f"{kind}.{name}": round(value, 4) for name, value in own.items()}
        baselines |= {f"{kind}.{name}": round(value, 4) for name, value in plain.items()}
        if not quiet:
            print(f"{kind:10} {len(steps):5,} steps: {own['hit_at_8']:.3f}, most viewed of the category "
                  f"{plain['hit_at_8']:.3f} (x{own['times']:.2f}, {own['more_low']:+.3f} to {own['more_high']:+.3f}), "
                  f"knowing all {plain['hit_at_8_knowing_all']:.3f}; "
                  f"of the own category {own['own_category']:.2f}, of next views {plain['own_category']:.2f}; "
                  f"an unknown item is {'told' if is_told else 'NOT told'}", flush=True)  # fmt: skip
    return {"n": count, "metrics": metrics, "baselines": baselines}


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Beside an item of six made-up shops: is the next item viewed there?")
    parser.add_argument("--seed", type=int, default=1, help="another one makes other shops (default: 1)")
    parser.add_argument("--json", action="store_true", help="print nothing but the result, as one line of JSON")
    arguments = parser.parse_args(argv)
    started_s = time.perf_counter()
    try:
        result = run(arguments.seed, arguments.json)
    except RunnerError as error:
        print(f"similar: {error}", file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps({"set": "similar", **result, "seconds": round(time.perf_counter() - started_s, 1)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
