"""The next-item runs: what is read, what is asked when, plain methods, figures, and short runs of the engine."""

from __future__ import annotations

import gzip
import json
import math
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

SET_FOLDERS = Path(__file__).resolve().parents[2].parent / "shared" / "data"
ACTS_SMOKE = 4_000
STEPS_SMOKE = 40


@pytest.fixture(scope="session")
def sets(next_item: ModuleType) -> ModuleType:
    return sys.modules["sets"]


@pytest.fixture(scope="session")
def plain(next_item: ModuleType) -> ModuleType:
    return sys.modules["plain"]


@pytest.fixture(scope="session")
def figures(next_item: ModuleType) -> ModuleType:
    return sys.modules["figures"]


def zipped(path: Path, text: str) -> None:
    path.write_bytes(gzip.compress(text.encode()))


# Sets.


def test_rows_of_every_file_become_acts(sets: ModuleType, tmp_path: Path) -> None:
    zipped(tmp_path / "train.tsv.gz", "SessionId\tItemId\tTime\n3\t21\t13.5\n")
    assert list(sets.timed(tmp_path, ["train.tsv.gz"])) == [sets.Act(13_500, "3", "3", "21")]
    header = "year,month,day,order,session_id,main_category,clothing_model,colour,price\n"
    zipped(tmp_path / "clicks.csv.gz", f"{header}2008,4,1,2,7,1,A13,9,28\n")
    (act,) = sets.dated(tmp_path)
    assert (act.visit, act.item, act.fields) == ("7", "A13", {"category": "1", "color": "9", "price": 28.0})
    assert 0 <= act.at_ms - sets.time_ms("2008-04-01") < 86_400_000
    zipped(tmp_path / "ratings.csv.gz", "user_id,item_id,rating,timestamp\n5,9,4,100\n5,8,3,101\n")
    zipped(tmp_path / "items.csv.gz", "item_id,title,release_date,genres\n9,Heat,,Crime|Drama\n")
    assert list(sets.ratings(tmp_path)) == [sets.Act(100_000, "5", "5", "9")]
    assert sets.films(tmp_path) == {"9": {"title": "Heat", "category": ["Crime", "Drama"]}}
    header = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"
    zipped(tmp_path / "events.csv.gz", f"{header}2019-10-01 00:00:01 UTC,cart,6,77,,,3.5,u,s\n")
    (act,) = sets.evening(tmp_path)
    assert (act.event, act.item, act.fields) == ("Product Added", "6", {"category": "77", "price": 3.5})
    assert act.at_ms == sets.time_ms("2019-10-01T00:00:01Z")


def test_news_are_read_with_their_sessions_and_people(sets: ModuleType, tmp_path: Path) -> None:
    table = arrow.table(
        {"user_id": [4], "session_id": [5], "click_article_id": [6], "click_timestamp": [7], "click_os": [1]}
    )
    parquet.write_table(table, tmp_path / "clicks.parquet")
    assert list(sets.news(tmp_path)) == [sets.Act(7, "4", "5", "6")]


def test_where_a_set_has_no_times_visits_begin_steadily_and_clicks_follow_one_another(
    sets: ModuleType, tmp_path: Path
) -> None:
    zipped(tmp_path / "train.txt.gz", "8 9 8\n9 7\n")
    acts = list(sets.untimed(tmp_path, named=False))
    assert [(act.visit, act.item) for act in acts] == [("1", "8"), ("1", "9"), ("1", "8"), ("2", "9"), ("2", "7")]
    assert [act.at_ms - sets.MADE_UP_MS for act in acts] == [0, 30_000, 60_000, 2_000, 32_000]
    assert [(act.person, act.item) for act in sets.untimed(tmp_path, named=True)] == [
        ("8", "9"), ("8", "8"), ("9", "7"),
    ]  # fmt: skip


def log_of(sets: ModuleType, *acts: tuple[int, str, str]) -> Any:
    """A log of (time, visit, item); a visit is a person."""
    return sets.columns(sets.Act(at_ms, visit, visit, item) for at_ms, visit, item in acts)


def test_a_log_is_in_the_order_of_time_and_acts_of_one_moment_keep_theirs(sets: ModuleType) -> None:
    log = log_of(sets, (5, "a", "x"), (3, "b", "y"), (5, "c", "z"), (3, "a", "x"))
    assert log.at_ms.tolist() == [3, 3, 5, 5]
    assert [log.item_names[item] for item in log.items] == ["y", "x", "x", "z"]
    assert log.person_names == ["pa", "pb", "pc"]
    assert (log.number_of("z"), log.number_of("unknown")) == (2, -1)


def test_the_test_part_is_the_end_of_time_or_of_the_file_or_each_last_act(sets: ModuleType) -> None:
    log = log_of(sets, *((number * 10, str(number // 2), "x") for number in range(10)), (95, "0", "y"))
    task = sets.TASKS["yoochoose_100k"]
    assert sets.split(log, task, None).tolist() == [False] * 8 + [True] * 3
    assert sets.split(log, task, 95).tolist() == [False] * 10 + [True]
    by_visits = replace(task, by_visits=True, test_share=0.4)
    assert sets.split(log, by_visits, None).tolist() == [False] * 6 + [True] * 5
    last = sets.split(log, sets.TASKS["amazon_beauty"], None)
    assert np.flatnonzero(last).tolist() == [3, 5, 7, 9, 10]


def test_steps_are_views_that_the_task_admits(sets: ModuleType) -> None:
    log = log_of(sets, (0, "a", "x"), (1, "b", "x"), (2, "a", "x"), (3, "c", "y"), (4, "a", "y"), (5, "c", "z"))
    test = np.array([False, False, True, True, True, True])

    def found(**options: Any) -> list[int]:
        places: list[int] = sets.steps(log, replace(sets.TASKS["eshop_clothing"], **options), test).tolist()
        return places

    assert found() == [2, 4, 5]
    assert found(within_visits=False) == [2, 3, 4, 5]
    assert found(within_visits=False, known_people=True) == [2, 4]
    assert found(moves=True) == [4, 5]
    bought = sets.columns([sets.Act(0, "a", "a", "x"), sets.Act(1, "a", "a", "x", "Order Completed")])
    assert sets.steps(bought, sets.TASKS["eshop_clothing"], np.array([True, True])).tolist() == []


def test_the_same_steps_are_drawn_in_every_run(sets: ModuleType) -> None:
    places = np.arange(100) * 3
    first, again = sets.drawn(places, 10), sets.drawn(places, 10)
    assert first.tolist() == again.tolist() == sorted(set(first.tolist()) & set(places.tolist()))
    assert len(first) == 10
    assert sets.drawn(places, 100).tolist() == places.tolist()


def test_a_test_part_of_others_is_read_or_refused_with_its_line(sets: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "test.txt"
    file.write_text("5 6\t7\n8\t5\n")
    assert sets.foreign_steps(file) == [(["5", "6"], "7"), (["8"], "5")]
    file.write_text("5 6\t7\n8 5\n")
    with pytest.raises(sets.RunnerError, match=r"test\.txt, line 2"):
        sets.foreign_steps(file)


# Plain methods.


def told(plain: ModuleType, visited: Sequence[int], *, visit: int = 99, now_ms: int = 0) -> Any:
    return plain.Asked(now_ms, visit, list(visited), list(visited))


def test_what_came_behind_the_train_part_counts_only_live(plain: ModuleType) -> None:
    methods = [plain.CoOccurrence(), plain.SequentialRules(), plain.VisitNeighbours(9, neighbours=5, sample=5)]
    for method in methods:
        for visit, item in ((1, 5), (1, 6)):
            method.learn(0, visit, item)
        method.end_training()
        for visit, item in ((2, 5), (2, 7), (3, 5), (3, 7)):
            method.learn(0, visit, item)
        assert 7 not in method.rank(told(plain, [5]), 9, live=False)
        assert 6 in method.rank(told(plain, [5]), 9, live=False)
        live = method.rank(told(plain, [5]), 9, live=True)
        assert live.index(7) < live.index(6)
    popular = plain.Popular(9)
    for item in (1, 1, 2):
        popular.learn(0, 0, item)
    popular.end_training()
    for _ in range(3):
        popular.learn(0, 0, 2)
    assert (popular.rank(told(plain, []), 2, live=False), popular.rank(told(plain, []), 2, live=True)) == (
        [1, 2], [2, 1],
    )  # fmt: skip


def test_the_popular_of_an_hour_are_those_of_the_hour_before_the_question(plain: ModuleType) -> None:
    hour = plain.Popular(9, plain.HOUR_MS)
    for at_ms, item in ((0, 3), (0, 3), (plain.HOUR_MS, 4)):
        hour.learn(at_ms, 0, item)
    assert hour.rank(told(plain, [], now_ms=plain.HOUR_MS), 5, live=True) == [3, 4]
    assert hour.rank(told(plain, [], now_ms=plain.HOUR_MS + 1), 5, live=True) == [4]
    assert hour.rank(told(plain, [], now_ms=3 * plain.HOUR_MS), 5, live=True) == []


def test_nobody_is_a_neighbour_of_their_own_visit(plain: ModuleType) -> None:
    method = plain.VisitNeighbours(9, neighbours=5, sample=5)
    for visit, item in ((1, 5), (1, 6), (2, 5), (2, 7)):
        method.learn(0, visit, item)
    assert method.rank(told(plain, [5], visit=1), 9, live=True) == [5, 7]


def simple_neighbours(
    visits: Sequence[Sequence[int]], query: Sequence[int], neighbours: int, sample: int
) -> dict[int, float]:
    """V-SkNN as it is written down, one visit at a time; `visits` in the order of their newest acts."""
    weight = {item: (place / len(query)) ** 2 / len(query) for place, item in enumerate(query, start=1)}
    near = [(number, visit) for number, visit in enumerate(visits) if set(visit) & set(query)][-sample:]
    alike = sorted(
        ((sum(weight[item] for item in set(visit) & set(query)), number) for number, visit in near), reverse=True
    )[:neighbours]
    scores: Counter[int] = Counter()
    for likeness, number in alike:
        back = next(place for place, item in enumerate(reversed(query), start=1) if item in visits[number])
        for item in set(visits[number]):
            scores[item] += likeness / back**2
    return dict(scores)


ITEMS = st.integers(0, 7)


@given(
    st.lists(st.lists(ITEMS, min_size=1, max_size=5), min_size=1, max_size=12),
    st.lists(ITEMS, min_size=1, max_size=5, unique=True), st.integers(1, 4), st.integers(4, 8),
)  # fmt: skip
def test_neighbours_are_those_of_the_plain_rule(
    plain: ModuleType, visits: list[list[int]], query: list[int], neighbours: int, sample: int
) -> None:
    method = plain.VisitNeighbours(len(visits), neighbours=neighbours, sample=sample)
    for number, visit in enumerate(visits):
        for item in visit:
            method.learn(0, number, item)
    wanted = simple_neighbours(visits, query, neighbours, sample)
    found = method.rank(told(plain, query), 99, live=True)
    assert set(found) == set(wanted)
    assert [wanted[item] for item in found] == pytest.approx(sorted(wanted.values(), reverse=True))
    assert method.rank(told(plain, query), 99, live=True) == found


# Figures.


def test_the_figures_of_a_list_worked_out_by_hand(figures: ModuleType) -> None:
    catalogue = figures.Catalogue.of(np.array([7, 1, 0, 0]), ["a", "a", "b", ""])
    found = dict(zip(figures.FIGURES, figures.measured([1, 2, 0], 2, {2, 0}, 3, catalogue), strict=True))
    assert found["hit"] == 1.0
    assert found["mrr"] == 0.5
    assert found["ndcg"] == pytest.approx(1 / math.log2(3))
    assert found["map"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    logs = np.log1p([7, 1, 0, 0])
    assert found["popularity"] == pytest.approx(logs[:3].mean() - logs.mean())
    assert found["novelty"] == pytest.approx(-np.log2([8 / 12, 2 / 12, 1 / 12]).mean())
    assert found["diversity"] == pytest.approx(2 / 3)
    missed = figures.measured([1], 2, {2}, 1, catalogue)
    assert missed[:4] == [0.0, 0.0, 0.0, 0.0]
    assert all(map(math.isfinite, figures.measured([], 2, {2}, 1, catalogue)))


def test_people_are_resampled_whole(figures: ModuleType) -> None:
    """Of two people with one mean each, the resampled means are those of one, of the other, and of both."""
    people = np.array([3, 3, 3, 8])
    low, high = figures.Bootstrap(people, resamples=400).interval(np.array([[1.0], [1.0], [1.0], [0.0]]))
    assert (low[0], high[0]) == (0.0, 1.0)
    alone = figures.Bootstrap(np.arange(400), resamples=400).interval(np.array([[1.0], [0.0]] * 200))
    assert 0.4 < alone[0][0] < 0.5 < alone[1][0] < 0.6
    assert figures.Bootstrap(people[:0]).interval(np.zeros((0, 2)))[0].tolist() == [0.0, 0.0]


# The order of time.


class PlainEngine:
    """Shows what came first, and keeps the order of what it was told."""

    def __init__(self) -> None:
        self.items: list[str] = []
        self.told: list[str] = []
        self.limits: list[dict[str, int]] = []
        self.epoch = 1

    def put_items(self, items: dict[str, dict[str, Any]]) -> None:
        self.items += items

    def take_events(self, events: Sequence[bytes]) -> None:
        self.told += [json.loads(event)["properties"]["product_id"] for event in events]

    import_events = take_events

    def ask(self, person: str, at_ms: int, spots: Sequence[Any]) -> Any:
        self.told.append(f"{person}?")
        self.limits.append({one.placement: one.limit for one in spots})
        lists = {one.placement: self.items[: one.limit] for one in spots}
        return sys.modules["inprocess"].Answered(lists, dict.fromkeys(lists, "popular"), [], 1.0)

    def found(self, item: str, person: str, at_ms: int, spots: Sequence[Any]) -> dict[str, bool]:
        return {one.placement: item in self.items for one in spots}


def test_each_step_is_asked_about_before_it_is_learned_and_everything_before_it_is(
    next_item: ModuleType, sets: ModuleType, figures: ModuleType
) -> None:
    log = log_of(sets, (0, "v", "a"), (1, "w", "b"), (2, "v", "a"), (3, "v", "b"), (4, "w", "c"), (5, "v", "c"))
    task, engine = sets.TASKS["yoochoose_100k"], PlainEngine()
    learners, methods = next_item.methods_of(log, (5, 5), streamed=True)
    past, shop = next_item.Past(log, learners), next_item.Shop(engine, log, known=False)
    shop.import_acts([0, 1])
    past.learn(np.array([0, 1]))
    for learner in learners:
        learner.end_training()
    judged = next_item.Judged(task, figures.Catalogue.of(past.views, [""] * 3), methods)
    asking = next_item.Asking(engine, log, task, judged)
    next_item.stream(log, np.arange(2, 6), np.array([3, 5]), past, asking, shop)
    assert engine.told == ["a", "b", "a", "pv?", "pv?", "b", "c", "pv?", "pv?"]
    assert [(one.wanted, one.asked.viewed, one.views) for one in judged.steps] == [(1, (0, 0), 1), (2, (0, 0, 1), 1)]
    assert [step.left for step in judged.steps] == [frozenset({1, 2}), frozenset({2})]
    # What is new is asked of placements that leave out what was seen.
    assert engine.limits[1] == {"home.unseen": 20, "product.unseen": 20}
    assert [one.tolist() for one in judged.lists["repeats"]["home"]] == [[0, 1], [0, 1, 2]]
    assert [one.tolist() for one in judged.lists["new"]["home"]] == [[1], [2]]
    assert judged.lists["repeats"]["sequential_rules_live"][1].tolist() == [2]
    told = next_item.tables(judged, cluster=True)
    assert (told["repeats"]["n"], told["new"]["n"]) == (2, 2)
    assert told["new"]["figures"]["home"]["hit"] == 1.0
    assert told["repeats"]["differences"]["home"]["co_occurrence"]["mrr"][0] == pytest.approx(
        told["repeats"]["figures"]["home"]["mrr"] - told["repeats"]["figures"]["co_occurrence"]["mrr"]
    )


def test_where_the_test_is_each_last_act_nothing_of_it_is_learned(
    next_item: ModuleType, sets: ModuleType, figures: ModuleType
) -> None:
    log = log_of(sets, (0, "v", "a"), (1, "w", "b"), (2, "v", "b"), (3, "w", "a"))
    task, engine = sets.TASKS["amazon_beauty"], PlainEngine()
    test = sets.split(log, task, None)
    learners, methods = next_item.methods_of(log, (5, 5), streamed=False)
    assert not {"co_occurrence_live", "sequential_rules_live", "v_sknn_live"} & {one.name for one in methods}
    past = next_item.Past(log, learners)
    past.learn(np.flatnonzero(~test))
    judged = next_item.Judged(task, figures.Catalogue.of(past.views, [""] * 2), methods)
    asking = next_item.Asking(engine, log, task, judged)
    next_item.stream(log, np.flatnonzero(test), sets.steps(log, task, test), past, asking, None)
    assert set(engine.told) == {"pv?", "pw?"}
    assert [(one.asked.now_ms, one.asked.viewed, one.wanted) for one in judged.steps] == [(2, (0,), 1), (3, (1,), 0)]


def test_the_settings_of_neighbours_are_chosen_inside_the_train_part(
    next_item: ModuleType, sets: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Visits end like the newest ones before them: the sample that holds no others is the best."""
    monkeypatch.setattr(next_item, "SETTINGS", ((50, 50), (2, 2)))
    visits = [(f"v{number}", "a", "x" if number < 80 else "y") for number in range(100)]
    acts = [(2 * number + place, visit[0], visit[1 + place]) for number, visit in enumerate(visits) for place in (0, 1)]
    log, task = log_of(sets, *acts), replace(sets.TASKS["yoochoose_100k"], k=2)
    assert next_item.chosen_settings(log, task, np.arange(len(log))) == (2, 2)
    # What comes behind the train part is not looked at.
    assert next_item.chosen_settings(log, task, np.arange(100)) == (50, 50)


def test_a_step_whose_wanted_item_was_seen_is_in_one_table_alone(
    next_item: ModuleType, sets: ModuleType, figures: ModuleType, plain: ModuleType
) -> None:
    log = log_of(sets, (0, "v", "a"), (1, "v", "a"))
    task, engine = sets.TASKS["yoochoose_100k"], PlainEngine()
    engine.put_items({"a": {}})
    own = next_item.Method("own_last", plain.OwnLast())
    judged = next_item.Judged(task, figures.Catalogue.of(np.array([1]), [""]), [own])
    asked = next_item.Asked(1, 0, (0,), (0,))
    next_item.Asking(engine, log, task, judged).ask(next_item.Step(asked, 0, 0, frozenset([0]), 1), "pv")
    told = next_item.tables(judged, cluster=True)
    assert (told["repeats"]["n"], told["new"]["n"]) == (1, 0)
    assert told["new"]["figures"] == {}


def test_a_published_prefix_ends_the_run(next_item: ModuleType, sets: ModuleType, figures: ModuleType) -> None:
    class Publishing(PlainEngine):
        def take_events(self, events: Sequence[bytes]) -> None:
            self.epoch += 1

    log = log_of(sets, (0, "v", "a"), (1, "v", "b"))
    task, engine = sets.TASKS["yoochoose_1_64"], Publishing()
    judged = next_item.Judged(task, figures.Catalogue.of(np.array([1, 1]), ["", ""]), [])
    asking = next_item.Asking(engine, log, task, judged)
    with pytest.raises(sets.RunnerError, match="published"):
        next_item.ask_foreign(engine, log, next_item.Past(log, []), asking, [(["a"], "b")])


def test_what_happened_is_sent_as_its_event(next_item: ModuleType, sets: ModuleType) -> None:
    acts = [
        sets.Act(1_000, "u", "u", "6", name, {"price": 3.5})
        for name in ("Product Viewed", "Product Added", "Order Completed")
    ]
    shop = next_item.Shop(PlainEngine(), sets.columns(acts), known=False)
    viewed, added, bought = (json.loads(shop._event(place)) for place in range(3))
    assert viewed == {
        "type": "track", "event": "Product Viewed", "messageId": "act-0", "userId": "pu", "timestamp": 1_000,
        "properties": {"product_id": "6"},
    }  # fmt: skip
    assert added["properties"] == {"product_id": "6", "price": 3.5, "quantity": 1}
    assert bought["properties"] == {"order_id": "order-2", "revenue": 3.5, "products": [added["properties"]]}


# Runs of the engine.


def existing(name: str) -> Path:
    folder = SET_FOLDERS / name
    if not folder.is_dir():
        pytest.skip(f"the data set {name} is not here: there is no folder ../shared/data/{name}")
    return folder


@pytest.mark.parametrize(
    "name", ["yoochoose_100k", "amazon_beauty", "yoochoose_1_64", "movielens_100k", "rees46_night", "eshop_clothing"]
)
def test_a_run_measures_the_engine_and_every_plain_method_on_the_same_steps(
    next_item: ModuleType, name: str, full: bool
) -> None:
    """The beginning of each set, and few steps; more of both in the full run."""
    times = 5 if full else 1
    result = next_item.run(
        name, existing(name), None, steps_max=times * STEPS_SMOKE, acts_max=times * ACTS_SMOKE
    )  # fmt: skip
    assert result["about"]["degraded"] == 0
    assert 0 < result["n"] <= times * STEPS_SMOKE
    assert result["about"]["events_taken"] >= result["about"]["train_acts"]
    for table in result["tables"].values():
        methods = set(table["figures"]) - {"home", "similar"}
        assert {"random", "popular", "v_sknn", "sequential_rules", "co_occurrence", "own_last"} <= methods
        assert set(table["differences"]["home"]) == methods
        for told in table["figures"].values():
            assert 0.0 <= told["mrr"] <= told["ndcg"] <= told["hit"] <= 1.0
            assert 0.0 <= told["coverage"] <= 1.0
        assert table["figures"]["home"]["hit"] <= table["ceiling"]["home"]
        groups = table["groups"]
        assert sum(one["n"] for group, one in groups.items() if group.startswith("position")) == table["n"]
        assert sum(groups[group]["n"] for group in ("cold", "warm") if group in groups) == table["n"]
    assert result["tables"]["new"]["figures"].get("own_last", {"hit": 0.0})["hit"] == 0.0
    assert json.loads(json.dumps(result)) == result


def test_what_the_engine_learned_of_the_train_part_is_asked_beside_the_order_it_begins_with(
    next_item: ModuleType
) -> None:
    result = next_item.run(
        "yoochoose_100k", existing("yoochoose_100k"), None, steps_max=STEPS_SMOKE, acts_max=ACTS_SMOKE, trains=True
    )
    assert set(result["training"]) == {"home", "similar"}
    for side, told in result["training"].items():
        assert told["counts"]["next_acts"] > 0
        assert told["placement"] == next_item.PLACED[side]
        assert told["verdict"]["why"]
    table = result["tables"]["repeats"]
    methods = set(table["figures"]) - set(next_item.SIDES)
    assert set(table["differences"]["home trained"]) == {"home", *methods}
    assert set(table["differences"]["similar trained"]) == {"similar", *methods}
    assert set(table["differences"]["home"]) == methods
    assert table["ceiling"]["home trained"] == table["ceiling"]["home"]
    assert result["tables"]["new"]["figures"]["home trained"]["hit"] <= 1.0


def test_too_little_to_learn_from_is_told(next_item: ModuleType, tmp_path: Path) -> None:
    zipped(tmp_path / "train.txt.gz", "1 2\n" * 3)
    file = tmp_path / "test.txt"
    file.write_text("1\t2\n")
    result = next_item.run("yoochoose_1_64", tmp_path, None, foreign=file, trains=True)
    assert all("refused" in told for told in result["training"].values())
    assert set(result["tables"]["repeats"]["figures"]) & set(next_item.SIDES) == {"home", "similar"}


def asked_about(next_item: ModuleType, folder: Path, visits: Sequence[str], test: Sequence[str]) -> dict[str, float]:
    """By list of the engine: how many of the next items of a test part are in it."""
    zipped(folder / "train.txt.gz", "\n".join(visits) + "\n")
    file = folder / "test.txt"
    file.write_text("\n".join(test) + "\n")
    result = next_item.run("yoochoose_1_64", folder, None, foreign=file)
    assert result["n"] == len(test)
    figures = result["tables"]["repeats"]["figures"]
    return {side: round(figures[side]["hit"] * len(test)) for side in ("home", "similar")}


def test_prefixes_of_others_are_read_by_their_own_person_alone(next_item: ModuleType, tmp_path: Path) -> None:
    """What many people of the test part do behind an item is not shown to the next one; of the train part it is."""
    visits = [" ".join(str(1 + (7 * number + place) % 300) for place in range(4)) for number in range(400)]
    together, unknown = "1 150 1 150", "999"
    question = "1\t150"
    others = [f"{together}\t{unknown}"] * 150
    nobody = {"home": 0, "similar": 0}
    assert asked_about(next_item, tmp_path, visits, [question]) == nobody
    assert asked_about(next_item, tmp_path, visits, [*others, question]) == nobody
    assert asked_about(next_item, tmp_path, [*visits, *[together] * 150], [question]) == {"home": 1, "similar": 1}
    # A person's own prefix is read.
    assert asked_about(next_item, tmp_path, visits, ["1 2\t3"]) == {"home": 1, "similar": 1}
