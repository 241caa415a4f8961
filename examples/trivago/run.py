"""Trivago: people searched hotels, looked at some, and clicked out to one. Does the engine put that one nearer the top?

Feeds searches, looks and the shown lists with their clicks to a server of its own, strictly in time order. At the cut
a ranker is trained on what has been fed, and put in charge. From there on the last list of each session that begins is
first given to `POST /v1/rank`, with its prices, and only then fed with its click. Prints the mean reciprocal rank of
the hotel that was clicked beside plain rankings of the same lists.
"""

from __future__ import annotations

import csv
import gzip
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ranking import interval, mean, quantile, reciprocal_rank
from runner import Client, JsonObject, RunnerError, Server, cut_at_share, iso, main, track

HERE = Path(__file__).resolve().parent
CUT_SHARE = 0.8
PLACEMENT, UNTRAINED = "hotels.list", "hotels.untrained"
"""Two placements that differ in their ranker only."""
TRAINING = (
    "--set", "leaves=7", "--set", "learning_rate=0.03", "--set", "min_data_in_leaf=100", "--set", "trees_max=600",
    "--set", "early_stopping_rounds=0", "--set", "later_share=0.05", "--set", "feature_fraction=0.3",
    "--set", "row_fraction=0.6", "--set", "l2=5",
)
CLICK_OUT = "clickout item"
TOUCHES = {
    "interaction item image": "Product Viewed",
    "interaction item info": "Product Viewed",
    "interaction item rating": "Product Viewed",
    "interaction item deals": "Product Viewed",
    "search for item": "Product Viewed",
}
"""What is done with one hotel; its reference is the hotel's id."""
SEARCHES = {"search for destination": "Products Searched", "search for poi": "Products Searched"}
NARROWINGS = {"filter selection": "Product List Filtered", "change of sort order": "Product List Filtered"}


class Action(NamedTuple):
    """One line of the log. Only a click-out has a list."""

    id: str
    at_ms: int
    user: str
    session: str
    kind: str
    reference: str
    shown: tuple[str, ...] = ()
    prices: tuple[float, ...] = ()

    @property
    def is_click(self) -> bool:
        """Whether a hotel of the list was clicked; one click of the set is of none."""
        return self.kind == CLICK_OUT and self.reference in self.shown


class Answers(NamedTuple):
    """The engine's orders of the lists that were asked about, by id of the click."""

    trained: dict[str, list[str]]
    untrained: dict[str, list[str]]
    training: JsonObject


def read_log(folder: Path, sessions_max: int | None = None) -> list[Action]:
    """The log in time order, a session's actions in theirs; with `sessions_max` only the first sessions."""
    try:
        with gzip.open(folder / "actions.csv.gz", "rt", encoding="utf-8", newline="") as file:
            rows = sorted(
                csv.DictReader(file), key=lambda row: (int(row["timestamp"]), row["session_id"], int(row["step"]))
            )
    except FileNotFoundError:
        raise RunnerError("the data set is not complete: there is no file actions.csv.gz") from None
    log = [action_of(row) for row in rows]
    kept = set(list(dict.fromkeys(action.session for action in log))[:sessions_max])
    return [action for action in log if action.session in kept]


def action_of(row: dict[str, str]) -> Action:
    """An action from a line of the file."""
    shown = tuple(row["impressions"].split("|")) if row["impressions"] else ()
    prices = tuple(map(float, row["prices"].split("|"))) if row["prices"] else ()
    return Action(
        f"{row['session_id']}-{row['step']}", int(row["timestamp"]) * 1_000, row["user_id"], row["session_id"],
        row["action_type"], row["reference"], shown, prices,
    )  # fmt: skip


def events_of(action: Action) -> Iterator[JsonObject]:
    """The tracking events of an action; a click-out is a list that was shown, and a click on it."""
    about = {"user_id": action.user, "at_ms": action.at_ms}
    if action.kind == CLICK_OUT:
        products = [
            {"product_id": item, "position": place, "price": price}
            for place, (item, price) in enumerate(zip(action.shown, action.prices, strict=True), start=1)
        ]
        properties: JsonObject = {"list_id": action.id, "products": products}
        yield track("Product List Viewed", message_id=f"{action.id}-list", properties=properties, **about)
        if action.is_click:
            properties = {"list_id": action.id, "product_id": action.reference}
            yield track("Product Clicked", message_id=action.id, properties=properties, **about)
    elif action.kind in TOUCHES:
        properties = {"product_id": action.reference}
        yield track(TOUCHES[action.kind], message_id=action.id, properties=properties, **about)
    elif action.kind in SEARCHES:
        yield track(SEARCHES[action.kind], message_id=action.id, properties={"query": action.reference}, **about)
    else:
        yield track(NARROWINGS[action.kind], message_id=action.id, properties={}, **about)


def question(action: Action, placement: str) -> JsonObject:
    """The list as a question: the same hotels in the shown order with their prices, at the time of the list."""
    candidates = [
        {"id": item, "fields": {"price": price}} for item, price in zip(action.shown, action.prices, strict=True)
    ]
    return {"placement": placement, "candidates": candidates, "userId": action.user, "timestamp": iso(action.at_ms)}


def answered(reply: JsonObject, shown: Sequence[str]) -> list[str]:
    """The order that the engine gives; what it excludes comes last, as shown."""
    ranked = [item["id"] for item in reply["items"]]
    rest = [item for item in shown if item not in set(ranked)]
    if sorted(ranked + rest) != sorted(set(shown)):
        raise RunnerError("the reply is not an order of the list that was asked about")
    return ranked + rest


def asked_about(log: Sequence[Action], cut_ms: int) -> dict[str, Action]:
    """The last click-out of each session that begins at the cut or later, by id."""
    begins: dict[str, int] = {}
    last: dict[str, Action] = {}
    for action in log:
        begins.setdefault(action.session, action.at_ms)
        if action.kind == CLICK_OUT:
            last[action.session] = action
    return {one.id: one for one in last.values() if begins[one.session] >= cut_ms and one.is_click}


def ask_in_time_order(
    log: Sequence[Action], cut_ms: int, client: Client, train: Callable[[], JsonObject]
) -> Answers:
    """Feed everything, and train at the cut; each list is asked about before it and its click are fed."""
    wanted = asked_about(log, cut_ms)
    answers = Answers({}, {}, {})
    before: list[JsonObject] = []
    for action in log:
        if action.at_ms >= cut_ms and not answers.training:
            client.feed(before)
            before.clear()
            client.close()  # A server closes a connection that says nothing for so long; the next call opens one.
            answers.training.update(train())
        if action.id in wanted:
            client.feed(before)
            before.clear()
            for placement, ranked in ((PLACEMENT, answers.trained), (UNTRAINED, answers.untrained)):
                ranked[action.id] = answered(client.ask("/v1/rank", question(action, placement)), action.shown)
        before.extend(events_of(action))
    client.feed(before)
    return answers


def plain_rankings(log: Sequence[Action], cut_ms: int) -> dict[str, dict[str, list[str]]]:
    """The same lists ordered without the engine, by name of the order and id of the click."""
    wanted = asked_about(log, cut_ms)
    touched: dict[str, dict[str, None]] = {}
    clicks: dict[str, int] = {}
    ranked: dict[str, dict[str, list[str]]] = {"shown": {}, "touched_first": {}, "popular": {}}
    for action in log:
        if action.id in wanted:
            known = touched.get(action.session, {})
            newest = [item for item in reversed(known) if item in action.shown]
            ranked["shown"][action.id] = list(dict.fromkeys(action.shown))
            ranked["touched_first"][action.id] = list(dict.fromkeys([*newest, *action.shown]))
            ranked["popular"][action.id] = sorted(dict.fromkeys(action.shown), key=lambda item: -clicks.get(item, 0))
        if action.kind in TOUCHES or action.is_click:
            mine = touched.setdefault(action.session, {})
            mine.pop(action.reference, None)
            mine[action.reference] = None
        if action.is_click:
            clicks[action.reference] = clicks.get(action.reference, 0) + 1
    return ranked


def ranks(ranked: dict[str, list[str]], wanted: dict[str, Action]) -> list[float]:
    """Reciprocal rank of the hotel that was clicked, of each list."""
    return [reciprocal_rank(ranked[name], action.reference) for name, action in wanted.items()]


def run(folder: Path, cut_ms: int | None, quiet: bool, *, sessions_max: int | None = None) -> dict[str, Any]:
    """The whole run; the result for the last line."""
    log = read_log(folder, sessions_max)
    if cut_ms is None:
        begins: dict[str, int] = {}
        for action in log:
            begins.setdefault(action.session, action.at_ms)
        cut_ms = cut_at_share(sorted(begins.values()), CUT_SHARE)
    wanted = asked_about(log, cut_ms)
    if not quiet:
        print(f"{len(log):,} actions; {len(wanted):,} lists are asked about, of sessions from {iso(cut_ms)} on")
    with Server(HERE / "instanter.toml") as server:
        client = Client(server.port)
        try:
            answers = ask_in_time_order(log, cut_ms, client, lambda: server.train(PLACEMENT, *TRAINING))
        finally:
            client.close()
    plain = {name: ranks(ranked, wanted) for name, ranked in plain_rankings(log, cut_ms).items()}
    trained, untrained = ranks(answers.trained, wanted), ranks(answers.untrained, wanted)
    better = [one - other for one, other in zip(trained, plain["touched_first"], strict=True)]
    low, high = interval(better)
    result = {
        "cut": iso(cut_ms), "n": len(wanted),
        "metrics": rounded({
            "mrr": mean(trained), "mrr_untrained": mean(untrained), "difference": mean(better), "difference_low": low,
            "difference_high": high,
        }),
        "baselines": rounded({f"mrr_{name}": mean(values) for name, values in plain.items()}),
    }  # fmt: skip
    if not quiet:
        show(result, answers.training, client)
    return result


def show(result: dict[str, Any], training: JsonObject, client: Client) -> None:
    """For people."""
    metrics, baselines = result["metrics"], result["baselines"]
    ask_ms = quantile(client.asking_s, 0.5) * 1_000, quantile(client.asking_s, 0.99) * 1_000
    print(f"{client.events_sent:,} events fed in {client.feeding_s:.1f} s; a question took {ask_ms[0]:.1f} ms "
          f"(p99 {ask_ms[1]:.1f} ms)")
    print(f"trained on {training['lists']:,} lists ({training['rows']:,} rows) in {training['seconds']:g} s\n")
    print(f"MRR over {result['n']:,} last click-outs")
    for text, value in (
        ("the engine, trained", metrics["mrr"]),
        ("the engine, built-in ranker", metrics["mrr_untrained"]),
        ("touched in the session first", baselines["mrr_touched_first"]),
        ("as shown", baselines["mrr_shown"]),
        ("most clicked first", baselines["mrr_popular"]),
    ):
        print(f"  {text:<32} {value:.4f}")
    print(f"\nthe engine is better than what was touched first by {metrics['difference']:.4f}, 95 % interval "
          f"{metrics['difference_low']:.4f} to {metrics['difference_high']:.4f}")


def rounded(figures: dict[str, float]) -> dict[str, float]:
    """As the last line has them."""
    return {name: round(value, 4) for name, value in figures.items()}


if __name__ == "__main__":
    sys.exit(main("trivago_hotels", "Rank the hotels of trivago live, and compare with plain rankings.", run))
