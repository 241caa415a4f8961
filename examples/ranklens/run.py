"""RankLens: people were shown lists of 24 movies and clicked the ones they liked. Does the engine rank them better?

Feeds the lists (as slates) and clicks to a server of its own, strictly in time order. At the cut a ranker is trained on
what has been fed, and put in charge. From there on every list is first given to `POST /v1/rank`, once for the trained
ranker and once for the built-in one, and only then fed; its clicks follow at their own time, 5 s later, with other
people's lists in between. Prints NDCG@10 beside plain rankings of the same lists.
"""

from __future__ import annotations

import gzip
import json
import random
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ranking import ClickRate, interval, mean, ndcg, quantile, ranked_by
from runner import Client, JsonObject, RunnerError, Server, cut_at_share, iso, main, track

HERE = Path(__file__).resolve().parent
CUT_SHARE = 0.8
PLACEMENT, UNTRAINED = "movies.list", "movies.untrained"
"""Two placements that differ in their ranker only."""
TRAINING = (
    "--set", "leaves=7", "--set", "trees_max=300", "--set", "early_stopping_rounds=0", "--set", "later_share=0.05",
)
"""Chosen on lists before the cut, see README.md."""
CLICK_RATE_STRENGTH = 3.0
"""Of 1, 3, 10, 20 and 40 the best for the baseline on the lists before the cut."""
RANDOM_SEED = 1


class Shown(NamedTuple):
    """A list as shown, top first."""

    id: str
    at_ms: int
    user: str
    items: tuple[str, ...]


class Click(NamedTuple):
    """A click on an item of a list."""

    id: str
    at_ms: int
    user: str
    item: str
    list_id: str


class Moment(NamedTuple):
    """What happened in one millisecond. All of its lists are asked about before any of it is fed."""

    at_ms: int
    lists: tuple[Shown, ...]
    clicks: tuple[Click, ...]


class Log(NamedTuple):
    """The whole set in time order."""

    items: list[JsonObject]
    lists: list[Shown]
    clicks: list[Click]


class Figures(NamedTuple):
    """Mean NDCG@10 over the `n` lists of the test part that have a click."""

    n: int
    metrics: dict[str, float]
    baselines: dict[str, float]
    trained: JsonObject
    """What `instanter train` said."""
    ask_ms: tuple[float, float]
    """Median and 99th percentile of a question's round trip."""
    events: int
    feeding_s: float


def read_log(folder: Path, lists_max: int | None = None) -> Log:
    """The set; with `lists_max` only its first lists and their clicks."""
    items = [item_of(row) for row in _rows(folder / "items.jsonl.gz")]
    lists: list[Shown] = []
    clicks: list[Click] = []
    for row in _rows(folder / "events.jsonl.gz"):
        if row["event"] == "ranking":
            lists.append(shown_of(row))
        else:
            clicks.append(click_of(row))
    lists = sorted(lists, key=lambda shown: shown.at_ms)[:lists_max]
    kept = {shown.id for shown in lists}
    return Log(items, lists, sorted((c for c in clicks if c.list_id in kept), key=lambda click: click.at_ms))


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            yield from map(json.loads, file)
    except FileNotFoundError:
        raise RunnerError(f"the data set is not complete: there is no file {path.name}") from None


def item_of(row: dict[str, Any]) -> JsonObject:
    """An item of the catalogue from an item event: its name/value pairs become fields."""
    return {"id": row["item"], "fields": {field["name"]: field["value"] for field in row["fields"]}}


def shown_of(row: dict[str, Any]) -> Shown:
    """A list from a ranking event."""
    return Shown(row["id"], int(row["timestamp"]), row["user"], tuple(item["id"] for item in row["items"]))


def click_of(row: dict[str, Any]) -> Click:
    """A click from an interaction event."""
    return Click(row["id"], int(row["timestamp"]), row["user"], row["item"], row["ranking"])


def slate_event(shown: Shown) -> JsonObject:
    """The list as the tracking event of a slate that was shown."""
    products = [{"product_id": item, "position": place} for place, item in enumerate(shown.items, start=1)]
    return track(
        "Product List Viewed", message_id=shown.id, user_id=shown.user, at_ms=shown.at_ms,
        properties={"list_id": shown.id, "products": products},
    )  # fmt: skip


def click_event(click: Click) -> JsonObject:
    """The click as a tracking event."""
    return track(
        "Product Clicked", message_id=click.id, user_id=click.user, at_ms=click.at_ms,
        properties={"list_id": click.list_id, "product_id": click.item},
    )  # fmt: skip


def question(shown: Shown, placement: str) -> JsonObject:
    """The list as a question: the same items in the shown order, at the time of the list."""
    return {
        "placement": placement, "candidates": list(shown.items), "userId": shown.user, "timestamp": iso(shown.at_ms),
    }  # fmt: skip


def answered(reply: JsonObject, shown: Sequence[str]) -> list[str]:
    """The order that the engine gives; what it excludes comes last, as shown."""
    ranked = [item["id"] for item in reply["items"]]
    rest = [item for item in shown if item not in set(ranked)]
    if sorted(ranked + rest) != sorted(shown):
        raise RunnerError("the reply is not an order of the list that was asked about")
    return ranked + rest


def moments(lists: Iterable[Shown], clicks: Iterable[Click]) -> Iterator[Moment]:
    """Lists and clicks merged by time."""
    lists_at: dict[int, list[Shown]] = {}
    clicks_at: dict[int, list[Click]] = {}
    for shown in lists:
        lists_at.setdefault(shown.at_ms, []).append(shown)
    for click in clicks:
        clicks_at.setdefault(click.at_ms, []).append(click)
    for at_ms in sorted(lists_at.keys() | clicks_at.keys()):
        yield Moment(at_ms, tuple(lists_at.get(at_ms, ())), tuple(clicks_at.get(at_ms, ())))


def events_of(moment: Moment) -> Iterator[JsonObject]:
    """The moment's tracking events: what was shown, then what was clicked."""
    yield from map(slate_event, moment.lists)
    yield from map(click_event, moment.clicks)


class Answers(NamedTuple):
    """The engine's orders of the lists from the cut on, by id."""

    trained: dict[str, list[str]]
    untrained: dict[str, list[str]]
    training: JsonObject


def ask_in_time_order(log: Log, cut_ms: int, client: Client, train: Callable[[], JsonObject]) -> Answers:
    """Feed everything, and train at the cut; each list is asked about before anything of its time is fed."""
    client.put_items(log.items)
    answers = Answers({}, {}, {})
    before: list[JsonObject] = []
    for moment in moments(log.lists, log.clicks):
        if moment.at_ms < cut_ms:
            before.extend(events_of(moment))
            continue
        client.feed(before)
        before.clear()
        if not answers.training:
            client.close()  # A server closes a connection that says nothing for so long; the next call opens one.
            answers.training.update(train())
        for shown in moment.lists:
            for placement, ranked in ((PLACEMENT, answers.trained), (UNTRAINED, answers.untrained)):
                ranked[shown.id] = answered(client.ask("/v1/rank", question(shown, placement)), shown.items)
        client.feed(events_of(moment))
    return answers


def plain_rankings(log: Log, cut_ms: int) -> dict[str, dict[str, list[str]]]:
    """The same lists ordered without the engine, by name of the order and id of the list."""
    train, live = ClickRate(CLICK_RATE_STRENGTH), ClickRate(CLICK_RATE_STRENGTH)
    chance = random.Random(RANDOM_SEED)
    ranked: dict[str, dict[str, list[str]]] = {"shown": {}, "random": {}, "click_rate_train": {}, "click_rate_live": {}}
    for moment in moments(log.lists, log.clicks):
        for shown in moment.lists if moment.at_ms >= cut_ms else ():
            ranked["shown"][shown.id] = list(shown.items)
            ranked["random"][shown.id] = ranked_by([chance.random() for _ in shown.items], shown.items)
            ranked["click_rate_train"][shown.id] = train.rank(shown.items)
            ranked["click_rate_live"][shown.id] = live.rank(shown.items)
        for rate in (train, live) if moment.at_ms < cut_ms else (live,):
            for shown in moment.lists:
                rate.show(shown.items)
            for click in moment.clicks:
                rate.click(click.item)
    return ranked


def ndcgs(ranked: dict[str, list[str]], clicked: dict[str, set[str]]) -> list[float]:
    """Of the ranked lists that have a click, in their order."""
    return [ndcg(order, clicked[list_id]) for list_id, order in ranked.items() if list_id in clicked]


def measure(log: Log, cut_ms: int) -> Figures:
    """Run the log through a server and compare."""
    clicked: dict[str, set[str]] = {}
    for click in log.clicks:
        clicked.setdefault(click.list_id, set()).add(click.item)
    with Server(HERE / "instanter.toml") as server:
        client = Client(server.port)
        try:
            answers = ask_in_time_order(log, cut_ms, client, lambda: server.train(PLACEMENT, *TRAINING))
        finally:
            client.close()
    plain = {name: ndcgs(ranked, clicked) for name, ranked in plain_rankings(log, cut_ms).items()}
    trained = ndcgs(answers.trained, clicked)
    better = [one - other for one, other in zip(trained, plain["click_rate_live"], strict=True)]
    low, high = interval(better)
    return Figures(
        n=len(trained),
        metrics={
            "ndcg_at_10": mean(trained), "ndcg_at_10_untrained": mean(ndcgs(answers.untrained, clicked)),
            "difference": mean(better), "difference_low": low, "difference_high": high,
        },
        baselines={f"ndcg_at_10_{name}": mean(values) for name, values in plain.items()},
        trained=answers.training,
        ask_ms=(quantile(client.asking_s, 0.5) * 1_000, quantile(client.asking_s, 0.99) * 1_000),
        events=client.events_sent,
        feeding_s=client.feeding_s,
    )  # fmt: skip


def run(folder: Path, cut_ms: int | None, quiet: bool, *, lists_max: int | None = None) -> dict[str, Any]:
    """The whole run; the result for the last line."""
    log = read_log(folder, lists_max)
    if cut_ms is None:
        cut_ms = cut_at_share([shown.at_ms for shown in log.lists], CUT_SHARE)
    if not quiet:
        asked = sum(shown.at_ms >= cut_ms for shown in log.lists)
        print(f"{len(log.lists):,} lists and {len(log.clicks):,} clicks; {asked:,} lists are asked about, "
              f"from {iso(cut_ms)} on")
    figures = measure(log, cut_ms)
    if not quiet:
        _show(figures)
    return {
        "cut": iso(cut_ms), "n": figures.n, "metrics": _rounded(figures.metrics),
        "baselines": _rounded(figures.baselines),
    }  # fmt: skip


def _show(figures: Figures) -> None:
    print(f"{figures.events:,} events fed in {figures.feeding_s:.1f} s; a question took {figures.ask_ms[0]:.1f} ms "
          f"(p99 {figures.ask_ms[1]:.1f} ms)\n")
    trained, metrics, baselines = figures.trained, figures.metrics, figures.baselines
    print(f"trained on {trained['lists']:,} lists ({trained['rows']:,} rows) in {trained['seconds']:g} s\n")
    print(f"NDCG@10 over the {figures.n:,} lists with a click")
    for text, value in (
        ("the engine, trained", metrics["ndcg_at_10"]),
        ("the engine, built-in ranker", metrics["ndcg_at_10_untrained"]),
        ("click rate, updated as it goes", baselines["ndcg_at_10_click_rate_live"]),
        ("click rate, of the train part", baselines["ndcg_at_10_click_rate_train"]),
        ("as shown", baselines["ndcg_at_10_shown"]),
        ("random", baselines["ndcg_at_10_random"]),
    ):
        print(f"  {text:<32} {value:.4f}")
    print(f"\nthe engine is better than the live click rate by {metrics['difference']:.4f}, 95 % interval "
          f"{metrics['difference_low']:.4f} to {metrics['difference_high']:.4f}")


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in figures.items()}


if __name__ == "__main__":
    sys.exit(main("ranklens", "Rank the lists of RankLens live, and compare with plain rankings.", run))
