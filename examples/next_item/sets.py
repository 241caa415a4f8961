"""The sets of the next-item runs: each is read into columns, with its cut and with what is asked of it.

Times are milliseconds since 1970. People, visits and items are numbered from 0 in the order in which they come in the
log, so that every method can work on arrays; `Log.item_names` and `Log.person_names` lead back.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from runner import RunnerError, cut_at_share, time_ms

Ints = npt.NDArray[np.int64]
VIEW = "Product Viewed"
CLICK_MS = 30_000
"""Between two clicks of a visit, where a set has only their order."""
VISIT_MS = 2_000
"""Between the beginnings of two visits, where a set has no times at all."""
MADE_UP_MS = time_ms("2020-01-01")
"""Where times that are made up begin."""


class Act(NamedTuple):
    """Somebody did something with an item: one row of a set."""

    at_ms: int
    person: str
    visit: str
    item: str
    event: str = VIEW
    fields: dict[str, Any] | None = None
    """Of the item, where the row tells them."""


@dataclass
class Log:
    """Acts in the order of time, as columns."""

    at_ms: Ints
    people: Ints
    visits: Ints
    items: Ints
    events: Sequence[str]
    """By act: its name."""
    person_names: list[str]
    """As they are sent: behind a letter, since a bare 0 is what programs write where there is no id."""
    item_names: list[str]
    fields: dict[int, dict[str, Any]] = field(default_factory=dict)
    """By item: what the catalogue says of it, as far as anything is known."""

    def __len__(self) -> int:
        return len(self.at_ms)

    def views(self) -> npt.NDArray[np.bool_]:
        """By act: whether it is a view; nothing else is asked for, and the plain methods see nothing else."""
        return np.fromiter((event == VIEW for event in self.events), bool, len(self))

    def number_of(self, item: str) -> int:
        """The number of an item, -1 if the log does not have it."""
        return self._numbers.get(item, -1)

    def __post_init__(self) -> None:
        self._numbers = {name: number for number, name in enumerate(self.item_names)}


@dataclass(frozen=True)
class Task:
    """A set, and what is asked of it."""

    read: Callable[[Path], Iterator[Act]]
    k: int = 20
    test_share: float = 0.2
    """The last part of the log is the test; of `leave_one_out` sets the last act of each person."""
    steps_max: int = 5_000
    """So many of the test's steps are asked about, drawn by a seed."""
    leave_one_out: bool = False
    """Each person's last act is the test, and nothing of the test is learned."""
    by_visits: bool = False
    """The test begins with a visit of the file's order: the last `test_share` of all visits."""
    within_visits: bool = True
    """The first act of a visit is not asked about; else it is."""
    known_people: bool = False
    """Asked are people who were seen before the cut, and nobody else."""
    moves: bool = False
    """A view of the item that was viewed just before is no step."""
    with_repeats: bool = True
    """Which of the two tables its bounds are about."""
    catalogue: Callable[[Path], dict[str, dict[str, Any]]] | None = None
    """Items that are known before anything happens; the others come in when they are viewed first."""
    test_from_ms: int = 0
    """Where the test begins, instead of `test_share`."""
    note: str = ""
    """What has to be known to read its figures."""


def columns(acts: Iterable[Act], catalogue: dict[str, dict[str, Any]] | None = None) -> Log:
    """Acts in any order as a log in the order of time; acts of one moment stay in the order they came in."""
    people: dict[str, int] = {}
    visits: dict[str, int] = {}
    items: dict[str, int] = {name: number for number, name in enumerate(catalogue or {})}
    fields: dict[int, dict[str, Any]] = {items[name]: told for name, told in (catalogue or {}).items()}
    rows: list[tuple[int, int, int, int]] = []
    events: list[str] = []
    for act in acts:
        item = items.setdefault(act.item, len(items))
        if act.fields and item not in fields:
            fields[item] = act.fields
        rows.append((
            act.at_ms, people.setdefault(act.person, len(people)), visits.setdefault(act.visit, len(visits)), item
        ))
        events.append(act.event)
    table = np.array(rows, np.int64).reshape(-1, 4)
    order = np.argsort(table[:, 0], kind="stable")
    at_ms, who, visit, what = (np.ascontiguousarray(table[order, column]) for column in range(4))
    return Log(at_ms, who, visit, what, [events[place] for place in order], [f"p{name}" for name in people],
               list(items), fields)


def split(log: Log, task: Task, cut_ms: int | None) -> npt.NDArray[np.bool_]:
    """By act: whether it belongs to the test. What is no test is the train part."""
    if task.leave_one_out:
        last = np.zeros(len(log), bool)
        last[np.unique(log.people[::-1], return_index=True)[1]] = True
        return last[::-1]
    if cut_ms is None and task.by_visits:
        first = np.unique(log.visits, return_index=True)[1]
        begun = np.sort(first)
        from_place = int(begun[int((1.0 - task.test_share) * len(begun))])
        return np.arange(len(log)) >= from_place
    if cut_ms is None:
        cut_ms = task.test_from_ms or cut_at_share(log.at_ms.tolist(), 1.0 - task.test_share)
    return log.at_ms >= cut_ms


def steps(log: Log, task: Task, test: npt.NDArray[np.bool_]) -> Ints:
    """The places in the log that are asked about, ascending: all that the task admits."""
    admitted = test & log.views()
    if task.within_visits:
        admitted &= ~_first_of(log.visits, log.views())
    if task.known_people:
        known = np.zeros(len(log.person_names), bool)
        known[log.people[~test]] = True
        admitted &= known[log.people]
    if task.moves:
        admitted &= log.items != before(log)
    return np.flatnonzero(admitted)


def drawn(places: Ints, count: int, seed: int = 7) -> Ints:
    """At most `count` of the places, ascending; the same seed draws the same."""
    if len(places) <= count:
        return places
    return np.sort(np.random.default_rng(seed).choice(places, count, replace=False))


def before(log: Log) -> Ints:
    """By act: the item that the same person viewed last before it, -1 where there is none."""
    newest: dict[int, int] = {}
    found = np.full(len(log), -1, np.int64)
    for place, (person, item, is_view) in enumerate(
        zip(log.people.tolist(), log.items.tolist(), log.views().tolist(), strict=True)
    ):
        found[place] = newest.get(person, -1)
        if is_view:
            newest[person] = item
    return found


def _first_of(groups: Ints, counted: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """By act: whether it is the first counted one of its group."""
    places = np.flatnonzero(counted)
    first = np.zeros(len(groups), bool)
    first[places[np.unique(groups[places], return_index=True)[1]]] = True
    return first


def foreign_steps(path: Path) -> list[tuple[list[str], str]]:
    """A test part of others: lines of `prefix items<TAB>next item`, item numbers separated by blanks."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        prefix, tab, wanted = line.partition("\t")
        if not tab or not prefix.split() or len(wanted.split()) != 1:
            raise RunnerError(f"{path.name}, line {number}: wanted is `prefix items<TAB>next item`")
        found.append((prefix.split(), wanted.strip()))
    return found


# How each set is read.


def timed(folder: Path, names: Sequence[str]) -> Iterator[Act]:
    """Files of `SessionId`, `ItemId`, `Time` in seconds."""
    for name in names:
        with gzip.open(folder / name, "rt", encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                visit = row["SessionId"]
                yield Act(round(float(row["Time"]) * 1_000), visit, visit, row["ItemId"])


def dated(folder: Path) -> Iterator[Act]:
    """Clicks with a day and their number in the visit; visits of a day are laid one beside the other."""
    with gzip.open(folder / "clicks.csv.gz", "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            day_ms = time_ms(f"{row['year']}-{int(row['month']):02}-{int(row['day']):02}")
            begin_ms = zlib.crc32(row["session_id"].encode()) % 72_000_000
            fields = {"category": row["main_category"], "color": row["colour"], "price": float(row["price"])}
            at_ms = day_ms + begin_ms + CLICK_MS * int(row["order"])
            yield Act(at_ms, row["session_id"], row["session_id"], row["clothing_model"], VIEW, fields)


def untimed(folder: Path, *, named: bool) -> Iterator[Act]:
    """A visit a line: its items in order; with `named` the first number is the person's. Times are made up: visits
    begin steadily one after the other, in the order of the file."""
    with gzip.open(folder / "train.txt.gz", "rt", encoding="utf-8") as file:
        for number, line in enumerate(file):
            first, *rest = line.split()
            visit, items = (first, rest) if named else (str(number + 1), [first, *rest])
            begun_ms = MADE_UP_MS + VISIT_MS * number
            for place, item in enumerate(items):
                yield Act(begun_ms + CLICK_MS * place, visit, visit, item)


def news(folder: Path) -> Iterator[Act]:
    """Clicks on articles; people are known beyond a session."""
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise RunnerError("the set is a parquet file: it is read with pyarrow, which is not installed") from None
    names = ["user_id", "session_id", "click_article_id", "click_timestamp"]
    read = parquet.read_table(folder / "clicks.parquet", columns=names)
    for person, visit, item, at_ms in zip(*(read.column(name).to_pylist() for name in names), strict=True):
        yield Act(at_ms, str(person), str(visit), str(item))


def ratings(folder: Path) -> Iterator[Act]:
    """Ratings of 4 and 5; the others say that somebody did not like a film, and are left out."""
    with gzip.open(folder / "ratings.csv.gz", "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if int(row["rating"]) >= 4:
                yield Act(int(row["timestamp"]) * 1_000, row["user_id"], row["user_id"], row["item_id"])


def films(folder: Path) -> dict[str, dict[str, Any]]:
    """The catalogue of films, by id."""
    with gzip.open(folder / "items.csv.gz", "rt", encoding="utf-8", newline="") as file:
        return {
            row["item_id"]: {"title": row["title"], "category": row["genres"].split("|")}
            for row in csv.DictReader(file)
        }


def evening(folder: Path) -> Iterator[Act]:
    """Views, carts and purchases of a shop of many categories; the set has no lines of an order, so one is one."""
    names = {"view": VIEW, "cart": "Product Added", "purchase": "Order Completed"}
    with gzip.open(folder / "events.csv.gz", "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            told = {"category": row["category_code"] or row["category_id"], "brand": row["brand"],
                    "price": float(row["price"])}  # fmt: skip
            fields = {name: value for name, value in told.items() if value != ""}
            at_ms = time_ms(row["event_time"].removesuffix(" UTC"))
            yield Act(at_ms, row["user_id"], row["user_id"], row["product_id"], names[row["event_type"]], fields)


TASKS: dict[str, Task] = {
    "yoochoose_1_64": Task(
        lambda folder: untimed(folder, named=False), test_share=0.1, steps_max=10_000, by_visits=True,
        note="Times are made up: a visit begins every 2 s, in the order of the file, and clicks every 30 s.",
    ),
    "amazon_beauty": Task(
        lambda folder: untimed(folder, named=True), k=10, leave_one_out=True, steps_max=8_000, with_repeats=False,
        note="Times are made up. The test is the last item of each person in the shared part: it is not learned, and "
        "the train part is learned whole before, also what it has of later times.",
    ),
    "yoochoose_100k": Task(lambda folder: timed(folder, ["train.tsv.gz"])),
    "serenade_toy": Task(
        lambda folder: timed(folder, ["train.tsv.gz", "valid.tsv.gz"]), test_from_ms=time_ms("2020-06-30T00:00"),
        note="Train and valid are those of the set.",
    ),
    "eshop_clothing": Task(
        dated, note="Of times there are the day and the order of clicks: visits begin at made-up times of the day."
    ),
    "globo_news": Task(
        news, k=10, steps_max=15_000, test_from_ms=1_507_690_800_000 - 86_400_000,
        note="Streamed over the last shared day: every step is predicted, then learned.",
    ),
    "movielens_100k": Task(
        ratings, k=10, within_visits=False, known_people=True, with_repeats=False, catalogue=films,
        note="Ratings of at least 4, in the order of their times; people who were seen before the cut.",
    ),
    "rees46_night": Task(
        evening, k=12, within_visits=False, moves=True,
        note="Carts and purchases are fed too; asked are views of another item than the one viewed last.",
    ),
}
