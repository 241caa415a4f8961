"""Shops that send views and nothing else: is the next item viewed among the twenty that home shows?

Feeds the clicks of one set to a server of its own, strictly in time order, each as a `Product Viewed`: in batches up to
the cut, and from there up to each view that is guessed by `POST /v1/decide` before it is fed. Guessed are views of
another item than the one before. Nobody is known longer than a visit, because the sets name visits and not people.
Prints how often the next item was among the twenty, of the engine and of the most viewed so far, and the interval of
the difference.
"""

from __future__ import annotations

import csv
import gzip
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ranking import MostSeen, interval, mean, reciprocal_rank
from runner import Client, JsonObject, RunnerError, Server, cut_at_share, iso, main, time_ms, track

HERE = Path(__file__).resolve().parent
CUT_SHARE = 0.8
SHOWN = 20
HOME = "home.recommended"
GUESSED_IN = 4
"""One visit in so many is guessed, by a hash of its name: the figures need no more."""
CLICK_MS = 30_000
"""Between two clicks of a visit, where the set has days and the order of clicks alone."""


class View(NamedTuple):
    """Somebody looked at an item."""

    at_ms: int
    visit: str
    item: str
    fields: dict[str, Any]


def timed(folder: Path, names: Sequence[str]) -> Iterator[View]:
    """Files of `SessionId`, `ItemId`, `Time` in seconds."""
    for name in names:
        with gzip.open(folder / name, "rt", encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                yield View(round(float(row["Time"]) * 1_000), row["SessionId"], row["ItemId"], {})


def dated(folder: Path) -> Iterator[View]:
    """Clicks with a day and their number in the visit; visits of a day are laid one beside the other."""
    with gzip.open(folder / "clicks.csv.gz", "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            day_ms = time_ms(f"{row['year']}-{int(row['month']):02}-{int(row['day']):02}")
            begin_ms = zlib.crc32(row["session_id"].encode()) % 72_000_000
            fields = {"category": row["main_category"], "price": float(row["price"])}
            at_ms = day_ms + begin_ms + CLICK_MS * int(row["order"])
            yield View(at_ms, row["session_id"], row["clothing_model"], fields)


SETS: dict[str, Callable[[Path], Iterator[View]]] = {
    "yoochoose_100k": lambda folder: timed(folder, ["train.tsv.gz"]),
    "serenade_toy": lambda folder: timed(folder, ["train.tsv.gz", "valid.tsv.gz"]),
    "eshop_clothing": dated,
}


class Guess(NamedTuple):
    """What was shown to somebody about to view `wanted`, by the engine and by the most viewed so far."""

    wanted: str
    shown: list[str]
    popular: list[str]


class Visits:
    """One run of a set through a server."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._items: set[str] = set()
        self._seen = MostSeen()
        self._current: dict[str, str] = {}
        self._fed = 0
        self.guesses: list[Guess] = []

    def feed(self, views: Sequence[View]) -> None:
        """Views in their order; an item comes into the catalogue when it is viewed first, before its event."""
        new = {view.item: view.fields for view in reversed(views) if view.item not in self._items}
        self._client.put_items([{"id": item, "fields": fields} for item, fields in reversed(new.items())])
        self._items.update(new)
        self._client.feed([self._event(view) for view in views])
        for view in views:
            self._seen.see(view.item)
            self._current[view.visit] = view.item

    def guess(self, view: View) -> None:
        """What is shown before this view; nobody is asked about the first of a visit, or the same item again."""
        current = self._current[view.visit]
        question = {"userId": view.visit, "timestamp": iso(view.at_ms), "placements": [{"id": HOME, "limit": SHOWN}]}
        reply = self._client.ask("/v1/decide", question)
        shown = [item["id"] for item in reply["placements"][HOME]["items"]]
        self.guesses.append(Guess(view.item, shown, self._seen.best(SHOWN, without={current})))

    def is_guess(self, view: View, waiting: Sequence[View]) -> bool:
        """Whether this view, behind those that wait to be fed, is one to be guessed."""
        if zlib.crc32(view.visit.encode()) % GUESSED_IN:
            return False
        before = (one.item for one in reversed(waiting) if one.visit == view.visit)
        return next(before, self._current.get(view.visit, "")) not in ("", view.item)

    def _event(self, view: View) -> JsonObject:
        self._fed += 1
        return track(
            "Product Viewed", message_id=f"view-{self._fed}", user_id=view.visit, at_ms=view.at_ms,
            properties={"product_id": view.item},
        )  # fmt: skip


def run(
    read: Callable[[Path], Iterator[View]], folder: Path, cut_ms: int | None, quiet: bool, *,
    views_max: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The whole run; the result for the last line."""
    try:
        views = sorted(read(folder), key=lambda view: view.at_ms)[:views_max]
    except FileNotFoundError as error:
        raise RunnerError(f"the data set is not complete: there is no file {Path(error.filename).name}") from None
    cut_ms = cut_at_share([view.at_ms for view in views], CUT_SHARE) if cut_ms is None else cut_ms
    with Server(HERE / "instanter.toml") as server:
        client = Client(server.port)
        try:
            visits = Visits(client)
            waiting: list[View] = []
            for view in views:
                if view.at_ms >= cut_ms and visits.is_guess(view, waiting):
                    visits.feed(waiting)
                    visits.guess(view)
                    waiting = []
                waiting.append(view)
        finally:
            client.close()
    ours = [reciprocal_rank(one.shown, one.wanted) for one in visits.guesses]
    theirs = [reciprocal_rank(one.popular, one.wanted) for one in visits.guesses]
    hits, popular = [float(rank > 0) for rank in ours], [float(rank > 0) for rank in theirs]
    low, high = interval([one - other for one, other in zip(hits, popular, strict=True)], resamples=2_000)
    figures = {
        "hit_at_20": mean(hits), "mrr_at_20": mean(ours), "hit_at_20_more_low": low, "hit_at_20_more_high": high
    }  # fmt: skip
    baselines = {"popularity.hit_at_20": mean(popular), "popularity.mrr_at_20": mean(theirs)}
    if not quiet:
        print(f"{len(views):,} views of {len({view.item for view in views}):,} items; {len(hits):,} guessed from "
              f"{iso(cut_ms)} on")
        print(f"next item among {SHOWN}: home {mean(hits):.4f}, most viewed so far {mean(popular):.4f}; "
              f"difference {low:+.4f} to {high:+.4f} (95 %)")
    return {
        "cut": iso(cut_ms), "n": len(hits), "metrics": {name: round(value, 4) for name, value in figures.items()},
        "baselines": {name: round(value, 4) for name, value in baselines.items()},
    }  # fmt: skip


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in SETS:
        sys.exit(f"name a set first: {', '.join(SETS)}")
    NAME = sys.argv[1]
    sys.exit(main(NAME, "Views alone: is the next item among those shown?",
                  lambda folder, cut_ms, quiet: run(SETS[NAME], folder, cut_ms, quiet), sys.argv[2:]))
