"""Which item comes next? Real logs through the engine, beside plain methods, on the very same steps.

    python examples/next_item/run.py SET [--json] [--no-repeats] [--test FILE] [--steps N] [--data DIR] [--cut TIME]

The train part of a set goes through the import, the test part comes in as it happened: before each step that is asked
about, the engine and every plain method say what they would show, then all of them learn it. The engine runs in this
process (see `inprocess.py`); nothing else of the examples knows it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from figures import FIGURES, Bootstrap, Catalogue, measured, spread
from inprocess import REMEMBERED, Answered, InProcess, Spot, memory_mb
from plain import (
    HOUR_MS,
    Asked,
    CoOccurrence,
    Filled,
    OwnLast,
    Plain,
    Popular,
    Random,
    SameCategory,
    SequentialRules,
    VisitNeighbours,
)
from ranking import mean, quantile
from runner import RunnerError, cut_at, data_folder, iso
from sets import CLICK_MS, TASKS, VIEW, Log, Task, columns, drawn, foreign_steps, split, steps

HERE = Path(__file__).resolve().parent
HOME, SIMILAR = "home", "similar"
TRAINED = {HOME: "home trained", SIMILAR: "similar trained"}
"""The same placements once more, with a model that the engine made of the train part."""
PLACED = {
    HOME: "home.recommended", SIMILAR: "product.similar",
    TRAINED[HOME]: "home.trained", TRAINED[SIMILAR]: "product.trained",
}  # fmt: skip
UNSEEN = {
    HOME: "home.unseen", SIMILAR: "product.unseen",
    TRAINED[HOME]: "home.trained_unseen", TRAINED[SIMILAR]: "product.trained_unseen",
}  # fmt: skip
"""The same, without what the person has seen."""
SIDES = tuple(PLACED)
REPEATS, NEW = "repeats", "new"
LIMIT_MAX = 200
"""The longest list that the engine makes."""
WARM_VIEWS = 5
"""An item that was viewed less often is cold."""
POSITIONS = (1, 2, 3, 5, 10)
"""Acts of the visit so far, at most; the last group has more."""
TRAIN_CHUNK = 20_000
SETTINGS = ((100, 1_000), (250, 2_500), (500, 5_000))
"""Neighbours and sample of V-SkNN: one pair is chosen inside the train part."""
CHOSEN_BY = 300
"""Steps that it is chosen by."""
OWN_FIRST = 4
PREFIXES_AT_ONCE = 50


class Step(NamedTuple):
    """Somebody about to view `wanted`."""

    asked: Asked
    person: int
    wanted: int
    left: frozenset[int]
    """The different items that the visit still has, the wanted one too."""
    views: int
    """Of the wanted item so far."""

    @property
    def current(self) -> int:
        """The item viewed last, -1 if there is none."""
        return self.asked.viewed[-1] if self.asked.viewed else -1


class Method(NamedTuple):
    """A plain method as it is compared."""

    name: str
    plain: Plain
    live: bool = True


class Shop:
    """A log on its way into the engine: an item comes into the catalogue right before it is viewed first."""

    def __init__(self, engine: InProcess, log: Log, *, known: bool) -> None:
        self._engine = engine
        self._log = log
        self._is_known = np.zeros(len(log.item_names), bool)
        self._people = [json.dumps(name) for name in log.person_names]
        self._items = [json.dumps(name) for name in log.item_names]
        if known:
            self._put(list(log.fields))

    def import_acts(self, places: Sequence[int]) -> None:
        """Acts of the past, in their order."""
        for first in range(0, len(places), TRAIN_CHUNK):
            part = places[first : first + TRAIN_CHUNK]
            self._put(self._log.items[part].tolist())
            self._engine.import_events([self._event(place) for place in part])

    def take_acts(self, places: Sequence[int]) -> None:
        """Acts as they happen."""
        if places:
            self._put(self._log.items[places].tolist())
            self._engine.take_events([self._event(place) for place in places])

    def _put(self, items: Sequence[int]) -> None:
        new = [item for item in dict.fromkeys(items) if not self._is_known[item]]
        if new:
            self._engine.put_items({self._log.item_names[item]: self._log.fields.get(item, {}) for item in new})
            self._is_known[new] = True

    def _event(self, place: int) -> bytes:
        log = self._log
        item, person, name = self._items[log.items[place]], self._people[log.people[place]], log.events[place]
        properties = f'{{"product_id":{item}}}'
        if name != VIEW:
            price = log.fields.get(int(log.items[place]), {}).get("price", 0.0)
            properties = f'{{"product_id":{item},"price":{price},"quantity":1}}'
        if name == "Order Completed":
            properties = f'{{"order_id":"order-{place}","revenue":{price},"products":[{properties}]}}'
        return (
            f'{{"type":"track","event":"{name}","messageId":"act-{place}","userId":{person},'
            f'"timestamp":{log.at_ms[place]},"properties":{properties}}}'
        ).encode()


class Past:
    """Who has viewed what so far, and the plain methods that learn it."""

    def __init__(self, log: Log, learners: Sequence[Plain]) -> None:
        self._rows = log.at_ms, log.people, log.visits, log.items
        self._is_view = log.views()
        self._learners = learners
        self.visited: dict[int, list[int]] = defaultdict(list)
        self.viewed: dict[int, list[int]] = defaultdict(list)
        self.views = np.zeros(len(log.item_names), np.int64)

    def learn(self, places: npt.NDArray[np.int64]) -> None:
        """Acts in their order; what is no view is nothing to a plain method."""
        places = places[self._is_view[places]]
        for at_ms, person, visit, item in zip(*(row[places].tolist() for row in self._rows), strict=True):
            for learner in self._learners:
                learner.learn(at_ms, visit, item)
            self.visited[visit].append(item)
            self.viewed[person].append(item)
            self.views[item] += 1


def methods_of(log: Log, settings: tuple[int, int], *, streamed: bool) -> tuple[list[Plain], list[Method]]:
    """What learns, and what is compared; live where the test part is learned at all."""
    items = len(log.item_names)
    neighbours, sample = settings
    chance, popular, hour, week = Random(), Popular(items), Popular(items, HOUR_MS), Popular(items, 7 * 24 * HOUR_MS)
    together, rules, own = CoOccurrence(), SequentialRules(), OwnLast()
    visits = VisitNeighbours(len(set(log.visits.tolist())), neighbours=neighbours, sample=sample)
    followers = SequentialRules(steps=1)
    category = SameCategory(dict(enumerate(categories_of(log))))
    compared = [
        Method("random", chance), Method("popular", popular), Method("popular_1h", hour), Method("popular_7d", week),
        Method("co_occurrence", together, live=False), Method("sequential_rules", rules, live=False),
        Method("v_sknn", visits, live=False), Method("own_last", own),
        Method("followers_then_popular_1h", Filled([(followers, 0), (hour, 0)])),
        Method("own_then_co_then_category", Filled([(own, OWN_FIRST), (together, 0), (category, 0), (popular, 0)])),
    ]  # fmt: skip
    if streamed:
        compared += [
            Method("co_occurrence_live", together), Method("sequential_rules_live", rules),
            Method("v_sknn_live", visits),
        ]  # fmt: skip
    return [chance, popular, hour, week, together, rules, visits, followers, category], compared


def categories_of(log: Log) -> list[str]:
    """By item: its first category, "" where it has none."""
    told = (log.fields.get(item, {}).get("category", "") for item in range(len(log.item_names)))
    return [str(one[0] if one else "") if isinstance(one, list) else str(one) for one in told]


def chosen_settings(log: Log, task: Task, train: npt.NDArray[np.int64]) -> tuple[int, int]:
    """The settings of V-SkNN with the best reciprocal rank on the last tenth of the train part, learned on the rest."""
    cut = int(0.9 * len(train))
    method = VisitNeighbours(len(set(log.visits.tolist())), neighbours=0, sample=0)
    past = Past(log, [method])
    past.learn(train[:cut])
    method.end_training()
    judged = Past(log, [])
    judged.visited, judged.viewed = past.visited, past.viewed
    inside = np.zeros(len(log), bool)
    inside[train[cut:]] = True
    wanted = set(drawn(steps(log, dataclasses.replace(task, known_people=False), inside), CHOSEN_BY).tolist())
    ranks: dict[tuple[int, int], list[float]] = {pair: [] for pair in SETTINGS}
    for place in train[cut:].tolist():
        visit, person, item = int(log.visits[place]), int(log.people[place]), int(log.items[place])
        if place in wanted:
            asked = Asked(int(log.at_ms[place]), visit, past.visited[visit], past.viewed[person])
            for method.neighbours, method.sample in SETTINGS:
                shown = method.rank(asked, task.k, live=False)
                found = 1.0 / (shown.index(item) + 1) if item in shown else 0.0
                ranks[method.neighbours, method.sample].append(found)
        judged.learn(np.array([place]))
    return max(SETTINGS, key=lambda pair: mean(ranks[pair]))


class Judged:
    """The figures of all steps asked about, by side: the engine's lists and each plain method's."""

    def __init__(self, task: Task, catalogue: Catalogue, methods: Sequence[Method]) -> None:
        self._task = task
        self.catalogue = catalogue
        self._methods = methods
        self.values: dict[str, dict[str, list[list[float]]]] = {REPEATS: defaultdict(list), NEW: defaultdict(list)}
        self.lists: dict[str, dict[str, list[npt.NDArray[np.int32]]]] = {
            REPEATS: defaultdict(list), NEW: defaultdict(list)
        }
        """What was shown, by table and side, a list for each step that has one."""
        self.found: dict[str, list[float]] = defaultdict(list)
        self.steps: list[Step] = []
        self.rungs: Counter[str] = Counter()
        self.degraded = 0
        self.asking_ms: list[float] = []

    def judge(self, step: Step, ours: Mapping[str, Mapping[str, Sequence[int]]], found: Mapping[str, bool]) -> None:
        """One step; `ours` has the engine's lists by table and side, those for what is new long enough."""
        self.steps.append(step)
        k, seen = self._task.k, set(step.asked.viewed)
        is_new = step.wanted not in seen
        count = k + len(seen) if is_new else k
        theirs = {one.name: one.plain.rank(step.asked, count, live=one.live) for one in self._methods}
        for table in (REPEATS, NEW) if is_new else (REPEATS,):
            left = step.left if table == REPEATS else step.left - seen
            for side, shown in {**ours[table], **theirs}.items():
                kept = [item for item in shown if table == REPEATS or item not in seen][:k]
                self.lists[table][side].append(np.array(kept, np.int32))
                self.values[table][side].append(measured(kept, step.wanted, left, k, self.catalogue))
            for side in PLACED.keys() - ours[table].keys():
                self.values[table][side].append([np.nan] * len(FIGURES))
        for side in SIDES:
            self.found[side].append(float(found[side]) if side in found else np.nan)

    def note(self, answered: Answered) -> None:
        """Who answered and how long it took."""
        self.rungs.update(answered.rungs[name] for name in PLACED.values() if name in answered.rungs)
        self.degraded += bool(answered.degraded)
        self.asking_ms.append(answered.took_ms)


class Asking:
    """Asks the engine about steps, and hands what it says to who judges."""

    def __init__(
        self, engine: InProcess, log: Log, task: Task, judged: Judged, trained: Collection[str] = ()
    ) -> None:
        """`trained` are the sides whose placements once more have a model."""
        self._engine, self._log, self._k, self._judged = engine, log, task.k, judged
        self._trained = {side: TRAINED[side] for side in trained}

    def ask(self, step: Step, person: str) -> None:
        """One step of this person."""
        at_ms, seen = step.asked.now_ms, set(step.asked.viewed)
        item = self._log.item_names[step.current] if step.current >= 0 else ""
        sides = {HOME: "", **({SIMILAR: item} if item else {})}
        sides |= {self._trained[side]: page for side, page in sides.items() if side in self._trained}
        plain = [Spot(PLACED[side], self._k, page) for side, page in sides.items()]
        beyond = max(len(seen) - REMEMBERED, 0)  # Which the engine does not look back to.
        unseen = [
            Spot(UNSEEN[side], min(self._k + beyond, LIMIT_MAX), page)
            for side, page in sides.items()
        ] if seen and step.wanted not in seen else []  # fmt: skip
        answered = self._engine.ask(person, at_ms, plain)
        self._judged.note(answered)
        lists = answered.lists
        if unseen:
            lists = {**lists, **self._engine.ask(person, at_ms, unseen).lists}
        numbered = {name: [self._log.number_of(one) for one in shown] for name, shown in lists.items()}
        ours = {side: numbered[PLACED[side]] for side in sides}
        new = {side: numbered.get(UNSEEN[side], ours[side]) for side in sides}
        wanted = self._log.item_names[step.wanted] if step.wanted >= 0 else ""
        found = self._engine.found(wanted, person, at_ms, plain) if wanted else dict.fromkeys(PLACED.values(), False)
        self._judged.judge(step, {REPEATS: ours, NEW: new}, {side: found[PLACED[side]] for side in sides})


def run(
    name: str, folder: Path, cut_ms: int | None, *, steps_max: int | None = None, acts_max: int | None = None,
    foreign: Path | None = None, trains: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """The whole run; what the last line holds. `acts_max` takes only the beginning of the log. With `trains` the engine
    learns from the train part, and what it learned is asked beside the order that it begins with."""
    task = TASKS[name]
    log = read_log(task, folder, acts_max)
    test = np.zeros(len(log), bool) if foreign else split(log, task, cut_ms)
    train = np.flatnonzero(~test)
    settings = chosen_settings(log, task, train)
    streamed = not (foreign or task.leave_one_out)
    learners, methods = methods_of(log, settings, streamed=streamed)
    past = Past(log, learners)
    with InProcess(HERE / "instanter.toml") as engine:
        shop = Shop(engine, log, known=task.catalogue is not None)
        for first in range(0, len(train), TRAIN_CHUNK):
            part = train[first : first + TRAIN_CHUNK]
            shop.import_acts(part.tolist())
            past.learn(part)
        for learner in learners:
            learner.end_training()
        training = {side: trained(engine, side) for side in TRAINED} if trains else {}
        judged = Judged(task, Catalogue.of(past.views, categories_of(log)), methods)
        asking = Asking(engine, log, task, judged, [side for side, told in training.items() if "model" in told])
        began_s = time.perf_counter()
        if foreign:
            ask_foreign(engine, log, past, asking, foreign_steps(foreign)[:steps_max])
        else:
            places = drawn(steps(log, task, test), task.steps_max if steps_max is None else steps_max)
            stream(log, np.flatnonzero(test), places, past, asking, shop if streamed else None)
        stream_s = time.perf_counter() - began_s
        taken, taking_s, data_mb = engine.events_taken, engine.taking_s, engine.data_mb
    told = tables(judged, cluster=not foreign)
    headline = REPEATS if task.with_repeats else NEW
    cut = iso(int(log.at_ms[test].min())) if streamed else ""
    metrics, baselines = flattened(told[headline], task.k)
    about = {
        "v_sknn_neighbours": settings[0], "v_sknn_sample": settings[1], "acts": len(log), "train_acts": len(train),
        "items": len(log.item_names), "people": len(log.person_names), "events_taken": taken,
        "events_per_s": taken / taking_s if taking_s else 0.0, "ask_p50_ms": quantile(judged.asking_ms, 0.5),
        "ask_p99_ms": quantile(judged.asking_ms, 0.99), "degraded": judged.degraded, "memory_mb": memory_mb(),
        "data_mb": data_mb,
        "stream_s": stream_s, "cpu_s": time.process_time(),
        **{f"rung.{rung}": count / judged.rungs.total() for rung, count in sorted(judged.rungs.items())},
    }  # fmt: skip
    return {
        "cut": cut, "n": told[headline]["n"], "metrics": rounded(metrics), "baselines": rounded(baselines),
        "k": task.k, "headline": headline, "note": task.note, "about": rounded(about), "training": rounded(training),
        "tables": rounded(told),
    }  # fmt: skip


def trained(engine: InProcess, side: str) -> dict[str, Any]:
    """Let the engine learn from what people did next, put the model in charge of the placement's twins, and tell what
    its gate says; only why, where there is too little to learn from."""
    try:
        report = engine.train(PLACED[side])
    except RunnerError as error:
        return {"refused": str(error)}
    for placed in (PLACED, UNSEEN):
        engine.place(placed[TRAINED[side]], report.model)
    told: dict[str, Any] = msgspec.to_builtins(report)
    return told


def read_log(task: Task, folder: Path, acts_max: int | None) -> Log:
    """The set as a log; `RunnerError` where a file is missing."""
    try:
        acts: Iterator[Any] = task.read(folder)
        catalogue = None if task.catalogue is None else task.catalogue(folder)
        if acts_max is not None and (task.leave_one_out or task.by_visits):
            acts = (act for number, act in enumerate(acts) if number < acts_max)
        elif acts_max is not None:
            acts = iter(sorted(acts, key=lambda act: act.at_ms)[:acts_max])
        return columns(acts, catalogue)
    except FileNotFoundError as error:
        raise RunnerError(f"the data set is not complete: there is no file {Path(error.filename).name}") from None


def stream(
    log: Log, test: npt.NDArray[np.int64], places: npt.NDArray[np.int64], past: Past, asking: Asking, shop: Shop | None
) -> None:
    """The test part in the order of time: each place is asked about, then learned; without a shop nothing is learned.
    Everybody is asked at the time of their act."""
    left: dict[int, list[int]] = defaultdict(list)
    asked_about = set(log.visits[places].tolist())
    for place in test[log.views()[test]].tolist():
        if int(log.visits[place]) in asked_about:
            left[int(log.visits[place])].append(place)
    waiting, wanted = 0, set(places.tolist())
    for number, place in enumerate(test.tolist()):
        if place not in wanted:
            continue
        if shop is not None:
            # A step may stand on acts of its own moment: only what stands before it in the log is known.
            shop.take_acts(test[waiting:number].tolist())
            past.learn(test[waiting:number])
            waiting = number
        visit, person = int(log.visits[place]), int(log.people[place])
        to_come = frozenset(int(log.items[one]) for one in left[visit] if one >= place)
        item = int(log.items[place])
        asked = Asked(int(log.at_ms[place]), visit, tuple(past.visited[visit]), tuple(past.viewed[person]))
        step = Step(asked, person, item, to_come, int(past.views[item]))
        asking.ask(step, log.person_names[person])


def ask_foreign(
    engine: InProcess, log: Log, past: Past, asking: Asking, prefixes: Sequence[tuple[list[str], str]]
) -> None:
    """Prefixes of others, each asked as a new person whose views are its own and nobody else's.

    What is counted of items is published by epochs, at most once a second of the events' time. All prefixes lie before
    the end of the log and everybody is asked at the end: time stands still, no epoch falls due, and what a prefix did
    is read by nobody but its own person. That is checked.
    """
    end_ms = int(log.at_ms[-1])
    # Publishes what the log itself has left to publish.
    engine.ask("nobody", end_ms + 1_000, [Spot(PLACED[HOME], 1)])
    epoch = engine.epoch
    for first in range(0, len(prefixes), PREFIXES_AT_ONCE):
        part = prefixes[first : first + PREFIXES_AT_ONCE]
        engine.take_events([
            event for number, (prefix, _) in enumerate(part, start=first)
            for event in prefix_events(number, prefix, end_ms)
        ])  # fmt: skip
        for number, (prefix, wanted) in enumerate(part, start=first):
            viewed = [one for one in map(log.number_of, prefix) if one >= 0]
            item = log.number_of(wanted)
            views = int(past.views[item]) if item >= 0 else 0
            step = Step(Asked(end_ms, -1, viewed, viewed), number, item, frozenset([item]), views)
            asking.ask(step, prefix_person(number))
    if engine.epoch != epoch:
        raise RunnerError("what one prefix did was published, so others may have read it")


def prefix_person(number: int) -> str:
    return f"prefix-{number}"


def prefix_events(number: int, prefix: Sequence[str], end_ms: int) -> Iterator[bytes]:
    """A prefix as views of a person of its own, half a minute apart, the last right before the end of the log."""
    for place, item in enumerate(prefix):
        at_ms = end_ms - CLICK_MS * (len(prefix) - place) + 1
        yield json.dumps({
            "type": "track", "event": VIEW, "messageId": f"{prefix_person(number)}-{place}",
            "userId": prefix_person(number), "timestamp": min(at_ms, end_ms), "properties": {"product_id": item},
        }).encode()  # fmt: skip


# What comes of it.


def tables(judged: Judged, *, cluster: bool) -> dict[str, Any]:
    """Both tables: repeats of what was seen allowed, and not."""
    is_new = np.array([step.wanted not in set(step.asked.viewed) for step in judged.steps], bool)
    told = {}
    for name, rows in ((REPEATS, np.arange(len(is_new))), (NEW, np.flatnonzero(is_new))):
        chosen = [judged.steps[row] for row in rows.tolist()]
        values = {side: np.array(rows_of, np.float64) for side, rows_of in judged.values[name].items()}
        values = {side: one for side, one in values.items() if not np.isnan(one).all()}
        people = np.array([step.person for step in chosen], np.int64)
        told[name] = {
            "n": len(chosen),
            "n_similar": int((~np.isnan(values[SIMILAR][:, 0])).sum()) if SIMILAR in values else 0,
            "figures": {side: _means(one, judged, name, side) for side, one in values.items()},
            "ceiling": {
                side: mean(found[~np.isnan(found)].tolist())
                for side, found in ((side, np.array(judged.found[side])[rows]) for side in SIDES if side in values)
            },
            "differences": {
                side: differences(values, side, people if cluster else np.arange(len(chosen)))
                for side in SIDES if side in values
            },
            "groups": groups(values, chosen),
        }  # fmt: skip
    return told


def _means(values: npt.NDArray[np.float64], judged: Judged, table: str, side: str) -> dict[str, float]:
    kept = values[~np.isnan(values[:, 0])]
    figures = dict(zip(FIGURES, kept.mean(axis=0).tolist(), strict=True)) if len(kept) else {}
    together = spread(judged.lists[table][side], len(judged.catalogue.categories))
    if not judged.catalogue.has_categories:
        figures["diversity"] = together["distinct"]
    return {**figures, "coverage": together["coverage"]}


def differences(
    values: Mapping[str, npt.NDArray[np.float64]], side: str, people: npt.NDArray[np.int64]
) -> dict[str, dict[str, list[float]]]:
    """The engine's list minus each plain method's on the steps that have both: (mean, low, high) by figure; of what was
    trained also minus the order that the engine begins with."""
    rows = ~np.isnan(values[side][:, 0])
    if not rows.any():
        return {}
    others = [name for name in values if name not in SIDES or TRAINED.get(name) == side]
    stacked = np.concatenate([values[side][rows] - values[name][rows] for name in others], axis=1)
    low, high = Bootstrap(people[rows]).interval(stacked)
    columns_of = iter(zip(stacked.mean(axis=0).tolist(), low.tolist(), high.tolist(), strict=True))
    return {name: {figure: list(next(columns_of)) for figure in FIGURES} for name in others}


def groups(values: Mapping[str, npt.NDArray[np.float64]], chosen: Sequence[Step]) -> dict[str, dict[str, Any]]:
    """Hit rate and reciprocal rank by position in the visit, and for cold and warm items, of each side."""
    position = np.array([len(step.asked.visited) for step in chosen])
    views = np.array([step.views for step in chosen])
    bounds = [(0, 0), *((low + 1, high) for low, high in pairwise((0, *POSITIONS))), (POSITIONS[-1] + 1, 1 << 30)]
    named = {
        f"position {low}" if low == high else f"position {low}-{high}" if high < 1 << 30 else f"position {low}+":
        (position >= low) & (position <= high)
        for low, high in bounds
    }  # fmt: skip
    named |= {"cold": views < WARM_VIEWS, "warm": views >= WARM_VIEWS}
    told = {}
    for name, rows in named.items():
        if rows.any():
            sides = {side: one[rows & ~np.isnan(one[:, 0])] for side, one in values.items()}
            told[name] = {"n": int(rows.sum()), **{
                side: {"hit": float(one[:, 0].mean()), "mrr": float(one[:, 1].mean())}
                for side, one in sides.items() if len(one)
            }}  # fmt: skip
    return told


def flattened(table: Mapping[str, Any], k: int) -> tuple[dict[str, float], dict[str, float]]:
    """The figures of the engine, and those of the plain methods, by `side.figure_at_k`."""
    names = {"hit": f"hit_at_{k}", "mrr": f"mrr_at_{k}", "ndcg": f"ndcg_at_{k}", "map": f"map_at_{k}"}
    sides: tuple[dict[str, float], dict[str, float]] = {}, {}
    for side, figures in table["figures"].items():
        flat = sides[0] if side in SIDES else sides[1]
        flat.update({f"{side}.{names.get(figure, figure)}": value for figure, value in figures.items()})
    sides[0].update({f"{side}.ceiling": value for side, value in table["ceiling"].items()})
    return sides


def rounded(value: Any) -> Any:
    """Every number within, to four places."""
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return round(value, 4) if isinstance(value, float) else value


def show(result: Mapping[str, Any], *, only_new: bool) -> None:
    """The tables for a person to read."""
    about, k = result["about"], result["k"]
    print(f"{about['acts']:,} acts of {about['people']:,} people on {about['items']:,} items; "
          f"{about['train_acts']:,} imported, in this process: {about['events_per_s']:,.0f} events a second taken")
    print(f"lists took {about['ask_p50_ms']:.1f} ms, p99 {about['ask_p99_ms']:.1f} ms; "
          f"{about['memory_mb']:,.0f} MB and {about['data_mb']:,.0f} MB of log; V-SkNN: {about['v_sknn_neighbours']} "
          f"neighbours of {about['v_sknn_sample']}, chosen inside the train part")
    if result["note"]:
        print(result["note"])
    for side, told in result["training"].items():
        print(f"{side}: {_told_of(told)}")
    for name, title in ((REPEATS, "repeats of what was seen allowed"), (NEW, "what was seen taken out")):
        if only_new and name == REPEATS:
            continue
        table = result["tables"][name]
        print(f"\n{title}: {table['n']:,} steps, at {k}\n")
        print(f"{'':28}{'HR':>8}{'MRR':>8}{'NDCG':>8}{'MAP':>8}{'cover':>8}{'popul':>8}{'novel':>8}{'divers':>8}"
              f"   home minus it: HR                 MRR")
        for side, one in table["figures"].items():
            told = "".join(f"{one.get(figure, 0.0):8.4f}" for figure in
                           ("hit", "mrr", "ndcg", "map", "coverage", "popularity", "novelty", "diversity"))
            print(f"{side:<28}{told}   {_difference(table, HOME, side)}")
        ceiling = ", ".join(f"{side} {share:.4f}" for side, share in table["ceiling"].items())
        print(f"next item among the candidates, before they are ranked: {ceiling}")
        for side in TRAINED.values():
            if side in table["differences"]:
                print(f"{side} minus: " + "; ".join(
                    f"{other} {_difference(table, side, other)}" for other in table["differences"][side]
                ))  # fmt: skip
        for group, told in table["groups"].items():
            print(f"  {group:<16}{told['n']:>7,}   " + "   ".join(
                f"{side} {told[side]['hit']:.3f} / {told[side]['mrr']:.3f}"
                for side in (*SIDES, "v_sknn", "co_occurrence", "popular") if side in told
            ))  # fmt: skip


def _told_of(training: Mapping[str, Any]) -> str:
    if "refused" in training:
        return f"not trained: {training['refused']}"
    verdict = training["verdict"]
    return (f"{training['lists']:,} acts learned in {training['seconds']:.0f} s; the gate "
            f"{'lets it rank' if verdict['passes'] else 'keeps it back'}: {verdict['why']}, NDCG@10 "
            f"{verdict['difference']:+.4f} ({verdict['low']:+.4f} to {verdict['high']:+.4f})")


def _difference(table: Mapping[str, Any], side: str, other: str) -> str:
    told = table["differences"].get(side, {}).get(other)
    if told is None:
        return ""
    return "   ".join(
        f"{told[figure][0]:+.4f} ({told[figure][1]:+.4f} to {told[figure][2]:+.4f})" for figure in ("hit", "mrr")
    )


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Which item comes next? The engine beside plain methods.")
    parser.add_argument("set", choices=list(TASKS), metavar="SET", help=", ".join(TASKS))
    parser.add_argument("--data", type=Path, metavar="DIR", help="the folder of the set (default: ../shared/data/SET)")
    parser.add_argument("--cut", type=cut_at, metavar="TIME", help="epoch or ISO 8601: train before, test from then on")
    parser.add_argument("--test", type=Path, metavar="FILE",
                        help="a test part of others, lines of `prefix items<TAB>next item`: the whole set is fed, then "
                             "each prefix asked as a new person")
    parser.add_argument("--steps", type=int, metavar="N", help="ask about so many steps instead of the set's number")
    parser.add_argument("--untrained", action="store_true",
                        help="do not let the engine learn from the train part: half as many lists are asked for")
    parser.add_argument("--no-repeats", action="store_true", help="show only the table without what was seen before")
    parser.add_argument("--json", action="store_true", help="print nothing but the result, as one line of JSON")
    arguments = parser.parse_args(argv)
    started_s = time.perf_counter()
    try:
        folder = data_folder(arguments.set, arguments.data)
        result = run(arguments.set, folder, arguments.cut, steps_max=arguments.steps, foreign=arguments.test,
                     trains=not arguments.untrained)
    except (RunnerError, OSError) as error:
        print(f"{arguments.set}: {error}", file=sys.stderr)
        return 1
    seconds = round(time.perf_counter() - started_s, 1)
    if arguments.json:
        print(json.dumps({"set": arguments.set, **result, "seconds": seconds}))
    else:
        show(result, only_new=arguments.no_repeats)
        print(f"\n{seconds:g} s in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
