"""What people did by a file of an unknown shape, as columns of numbers in the order of time."""

from __future__ import annotations

import zlib
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from ...events.kinds import ORDER_COMPLETED, PRODUCT_REMOVED, PRODUCT_VIEWED
from ...events.nothing import says_nothing
from ...events.numbers import read_number
from ...events.times import read_time_ms
from ...foundation.errors import EventRejected, RequestRejected
from ...foundation.limits import ID_CHARS_MAX, ITEMS_PER_EVENT_MAX, TRIED_ACTS_MAX, TRIED_REMARKS_MAX
from ..feeds.found import Aside, Broken
from .columns import (
    DAY,
    ITEM,
    KIND,
    MONTH,
    ORDER,
    PLACE,
    PRICE,
    QUANTITY,
    RATING,
    SESSION,
    TIME,
    USER,
    VISITOR,
    YEAR,
    Guesses,
    text_of,
)
from .kinds import TAKEN, kind_meant
from .rows import Rows

Ints = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]

KINDS: Final = TAKEN
"""By number; other kinds are left out and counted."""
_ORDERED: Final = KINDS.index(ORDER_COMPLETED)
_VIEWED: Final = KINDS.index(PRODUCT_VIEWED)
_REMOVED: Final = KINDS.index(PRODUCT_REMOVED)
_DAY_MS: Final = 86_400_000
_VISIT_SPREAD_MS: Final = 72_000_000
"""Visits of which only the day is known are spread over so much of it."""
_STEP_MS: Final = 30_000
"""Between two acts of a visit whose times are not known."""
_VISIT_MS: Final = 2_000
_CLOCK_AHEAD_MS: Final = _DAY_MS
"""So far ahead of now a time is still one."""
_EXAMPLES: Final = 3
_NOTHING: Final = (None, "")
_encode = msgspec.json.encode


class Remarks:
    """What was not taken of a file, by reason: how often, and where first."""

    def __init__(self) -> None:
        self.counts = Counter[str]()
        self._places: dict[str, list[str]] = {}

    def add(self, reason: str, place: str) -> None:
        """One more."""
        if reason not in self.counts and len(self.counts) >= TRIED_REMARKS_MAX:
            reason = "for other reasons"
        self.counts[reason] += 1
        places = self._places.setdefault(reason, [])
        if len(places) < _EXAMPLES:
            places.append(place)

    def sentences(self) -> list[str]:
        """One for each reason, the most frequent first.

        >>> remarks = Remarks(); remarks.add("it has no item", "line 3"); remarks.add("it has no item", "line 9")
        >>> remarks.sentences()
        ['2 rows: it has no item (line 3, line 9)']
        """
        return [f"{count:,} row{'s' * (count > 1)}: {reason} ({', '.join(self._places[reason])}"
                f"{', ...' if count > _EXAMPLES else ''})" for reason, count in self.counts.most_common()]  # fmt: skip


class History:
    """Acts in the order of time, as columns; ids of people and items as numbers."""

    def __init__(
        self, *, at_ms: Ints, people: Ints, items: Ints, kinds: Ints, groups: Ints, prices: Reals, quantities: Ints,
        person_names: Sequence[str], item_names: Sequence[str], named_users: bool,
    ) -> None:  # fmt: skip
        self.at_ms, self.people, self.items, self.kinds = at_ms, people, items, kinds
        self.groups = groups
        """Acts that are lines of one order have the same."""
        self.prices, self.quantities = prices, quantities
        self.person_names, self.item_names = person_names, item_names
        self.named_users = named_users
        """Whether people are users, and not only visits or devices."""
        self._people = [_encode(name).decode() for name in person_names]
        self._items = [_encode(name).decode() for name in item_names]

    def __len__(self) -> int:
        return len(self.at_ms)

    @property
    def likes(self) -> npt.NDArray[np.bool_]:
        """By act: whether it says that somebody turned to the item."""
        liked: npt.NDArray[np.bool_] = self.kinds != _REMOVED
        return liked

    @property
    def orders(self) -> npt.NDArray[np.bool_]:
        """By act: whether it is a line of an order."""
        ordered: npt.NDArray[np.bool_] = self.kinds == _ORDERED
        return ordered

    def share_of_own_repeats(self) -> float:
        """The share of acts with an item that the same person had before."""
        pairs = self.people * (len(self.item_names) + 1) + self.items
        return 1.0 - len(np.unique(pairs)) / len(pairs) if len(pairs) else 0.0

    def events(self, first: int, last: int, *, later_ms: int = 0) -> Iterator[bytes]:
        """Acts as tracking events, in their order; their times are moved by `later_ms`. Lines of one order that stand
        together are one event."""
        who = "userId" if self.named_users else "anonymousId"
        times = (self.at_ms[first:last] + later_ms).astype("datetime64[ms]").astype("U23")
        rows = zip(
            times.tolist(), self.people[first:last].tolist(), self.items[first:last].tolist(),
            self.kinds[first:last].tolist(), strict=True,
        )  # fmt: skip
        people, items, until = self._people, self._items, first
        for place, (at, person, item, kind) in enumerate(rows, start=first):
            if kind != _ORDERED:
                yield (
                    f'{{"type":"track","event":"{KINDS[kind]}","messageId":"act-{place}","{who}":{people[person]},'
                    f'"timestamp":"{at}Z","properties":{{"product_id":{items[item]}'
                    f'{self._price_of(place)}}}}}'
                ).encode()
            elif place >= until:
                until = self._end_of_order(place, last)
                lines = ",".join(
                    f'{{"product_id":{items[int(self.items[one])]},"quantity":{max(int(self.quantities[one]), 1)}'
                    f'{self._price_of(one)}}}' for one in range(place, until)
                )  # fmt: skip
                yield (
                    f'{{"type":"track","event":"{ORDER_COMPLETED}","messageId":"act-{place}","{who}":{people[person]},'
                    f'"timestamp":"{at}Z","properties":{{"order_id":"order-{place}","products":[{lines}]}}}}'
                ).encode()

    def _end_of_order(self, place: int, last: int) -> int:
        """Behind the last line of the order that begins at a place."""
        group, person, end = self.groups[place], self.people[place], place + 1
        while (
            end < last and end - place < ITEMS_PER_EVENT_MAX and self.groups[end] == group
            and self.people[end] == person and self.kinds[end] == _ORDERED
        ):  # fmt: skip
            end += 1
        return end

    def newest(self, count: int) -> History:
        """The newest acts alone: so many, and where they begin within an order the lines of it before them."""
        first = self.begins_order(max(len(self) - count, 0))
        return History(
            at_ms=self.at_ms[first:], people=self.people[first:], items=self.items[first:], kinds=self.kinds[first:],
            groups=self.groups[first:], prices=self.prices[first:], quantities=self.quantities[first:],
            person_names=self.person_names, item_names=self.item_names, named_users=self.named_users,
        )  # fmt: skip

    def begins_order(self, place: int) -> int:
        """The first act of the order that an act belongs to; the act itself where it is no order."""
        while place and self.kinds[place] == _ORDERED and self.groups[place - 1] == self.groups[place] and (
            self.people[place - 1] == self.people[place] and self.kinds[place - 1] == _ORDERED
        ):  # fmt: skip
            place -= 1
        return place

    def _price_of(self, place: int) -> str:
        price = float(self.prices[place])
        return f',"price":{price:.12g}' if 0 < price < 1e12 else ""


class Taken(NamedTuple):
    """A history as it was read."""

    history: History
    rows: int
    """Of the file."""
    remarks: Remarks
    kinds_left: dict[str, int]
    """Kinds of events that were left out, with how many rows."""
    kinds_taken: dict[str, str]
    """What the kinds of the file were taken for."""
    notes: list[str]
    """What there is to know, in sentences."""


class _Gathered:
    """Rows on their way into columns, of which the newest are kept."""

    def __init__(self) -> None:
        self.columns: list[array[Any]] = [array(code) for code in "qqqqqqdq"]
        """at_ms, sequence, person, item, kind, group, price, quantity."""
        self._appends = [column.append for column in self.columns]
        self.people: dict[str, int] = {}
        self.items: dict[str, int] = {}
        self.dropped = 0

    def add(self, *values: Any) -> None:
        for append, value in zip(self._appends, values, strict=True):
            append(value)
        if len(self.columns[0]) >= 2 * TRIED_ACTS_MAX:
            self.keep_newest()

    def keep_newest(self) -> None:
        """Drop all but the newest."""
        more = len(self.columns[0]) - TRIED_ACTS_MAX
        if more <= 0:
            return
        times = np.frombuffer(self.columns[0], np.int64)
        kept = np.sort(np.argsort(times, kind="stable")[more:])
        del times
        self.dropped += more
        self.columns = [
            array(column.typecode, np.frombuffer(column, column.typecode)[kept].tobytes()) for column in self.columns
        ]
        self._appends = [column.append for column in self.columns]


class Reader:
    """Takes the acts out of a file."""

    def __init__(
        self, rows: Rows, guesses: Guesses, *, now_ms: int, named: Mapping[str, str], item_of: Callable[[str], str],
        ratings: Sequence[float] = (), described: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """`named` says of kinds of events what they mean, over what is known; `item_of` gives the catalogue's id for
        that of a click; `ratings` are those of the sample; `described` is column -> field of what the file says of
        items."""
        self._rows, self._guesses, self._now_ms = rows, guesses, now_ms
        self._named, self._item_of = named, item_of
        self._liked_above = (min(ratings) + max(ratings)) / 2 if ratings else 0.0
        self._remarks = Remarks()
        self._kinds: dict[str, int] = {}
        self._left = Counter[str]()
        self._times: dict[Any, int] = {}
        self._gathered = _Gathered()
        self._groups: dict[str, int] = {}
        columns = {one.role: one.column for one in guesses.taken}
        self._kind_of_all = self._without_kind(columns)
        self._wanted = list(dict.fromkeys([*columns.values(), *(described or {})]))
        self._described = [(self._wanted.index(column), field) for column, field in (described or {}).items()]
        self.fields: list[dict[str, Any]] = []
        """By item, in the order of their numbers: what rows say of it, the first one that says anything."""
        self._at = {role: self._wanted.index(column) for role, column in columns.items()}
        self._people = self._person_columns(columns)
        if ITEM not in columns:
            raise RequestRejected("map", f"{rows.path.name}: no column says which product it was about: "
                                         f"--map item=COLUMN ({_listed(guesses)})")  # fmt: skip
        if not self._people:
            raise RequestRejected("map", f"{rows.path.name}: no column says who it was: --map visitor=COLUMN "
                                         f"({_listed(guesses)})")  # fmt: skip

    def read(self) -> Taken:
        """All of the file; `RequestRejected` where nothing in it can be taken."""
        count = 0
        for place, row in self._rows.read(self._wanted):
            count += 1
            if isinstance(row, Aside):
                self._remarks.add(row[0], place)
                if isinstance(row, Broken):
                    count -= 1
                continue
            self._add(place, row, count)
        gathered = self._gathered
        gathered.keep_newest()
        if not gathered.columns[0]:
            told = "; ".join([*self._remarks.sentences()[:3], *(f"{n:,} rows of the kind {kind!r}" for kind, n
                                                               in self._left.most_common(3))])  # fmt: skip
            raise RequestRejected("feed", f"{self._rows.path.name}: none of its {count:,} rows can be taken"
                                          f"{': ' if told else ''}{told}")  # fmt: skip
        taken_for = {name: KINDS[kind] for name, kind in self._kinds.items() if kind >= 0}
        return Taken(self._history(), count, self._remarks, dict(self._left.most_common()), taken_for, self._notes())

    def _without_kind(self, columns: Mapping[str, str]) -> int:
        if KIND in columns:
            return _VIEWED
        return _ORDERED if ORDER in columns and (QUANTITY in columns or PRICE in columns) else _VIEWED

    def _person_columns(self, columns: Mapping[str, str]) -> list[tuple[int, str]]:
        """Where it says who it was, the most telling first: a user where most rows have one, then what else there is,
        behind letters by which ids of one column are no other's."""
        roles = [role for role in (USER, VISITOR, SESSION, ORDER) if role in columns]
        return [(self._at[role], "" if place == 0 else f"{role}-") for place, role in enumerate(roles)]

    def _add(self, place: str, row: Sequence[Any], number: int) -> None:
        at = self._at
        kind = self._kind_of_all
        if (where := at.get(KIND)) is not None:
            kind = self._kind(text_of(row[where]) if row[where] is not None else "")
            if kind < 0:
                return
        person = self._person(row)
        if person < 0:
            self._remarks.add("it does not say who it was", place)
            return
        sent = row[at[ITEM]]
        at_ms = self._time(row, place)
        if at_ms is None:
            return
        if (where := at.get(RATING)) is not None and not _above(row[where], self._liked_above):
            self._remarks.add(f"a rating of {self._liked_above:g} or less is no liking", place)
            return
        sequence = _whole(row[at[PLACE]]) if PLACE in at else 0
        group = self._group(row, number)
        if isinstance(sent, list):
            self._add_several(sent, row, (at_ms, sequence, person, kind, group), place)
            return
        item = self._item(sent)
        if item < 0:
            self._remarks.add("it names no product", place)
            return
        if self._described:
            self._describe(item, row, None)
        price = _amount(row[at[PRICE]]) if PRICE in at else 0.0
        quantity = 1
        if QUANTITY in at and (quantity := _whole(row[at[QUANTITY]])) < 0:
            self._remarks.add("its quantity is below 0: a return is no interest", place)
            return
        self._gathered.add(at_ms, sequence, person, item, kind, group, price, quantity)

    def _add_several(
        self, sent: list[Any], row: Sequence[Any], of_row: tuple[int, int, int, int, int], place: str
    ) -> None:
        """An act for each product that a row names."""
        at_ms, sequence, person, kind, group = of_row
        prices = row[self._at[PRICE]] if PRICE in self._at else None
        quantities = row[self._at[QUANTITY]] if QUANTITY in self._at else None
        taken = 0
        for number, one in enumerate(sent):
            item = self._item(one)
            if item >= 0:
                if self._described:
                    self._describe(item, row, number)
                price = prices[number] if isinstance(prices, list) and number < len(prices) else 0.0
                quantity = quantities[number] if isinstance(quantities, list) and number < len(quantities) else 1
                untimed = TIME not in self._at
                self._gathered.add(at_ms + _STEP_MS * number * untimed, sequence + number, person, item, kind, group,
                                   _amount(price), max(_whole(quantity), 1))  # fmt: skip
                taken += 1
        if not taken:
            self._remarks.add("it names no product", place)

    def _describe(self, item: int, row: Sequence[Any], number: int | None) -> None:
        """Keep what a row says of an item and no row before said; `number` is its place in a list of items."""
        if item >= len(self.fields):
            self.fields.append({})
        fields = self.fields[item]
        if len(fields) == len(self._described):
            return
        for where, field in self._described:
            value = row[where]
            if number is not None and isinstance(value, list):
                value = value[number] if number < len(value) else None
            if field not in fields and value not in _NOTHING:
                fields[field] = value

    def _kind(self, name: str) -> int:
        """The number of what a kind of events means, -1 where it is left out."""
        kind = self._kinds.get(name)
        if kind is None:
            meant = self._named.get(name) or kind_meant(name)
            kind = KINDS.index(meant) if meant in KINDS else -1
            if len(self._kinds) < TRIED_REMARKS_MAX:
                self._kinds[name] = kind
        if kind < 0:
            if name in self._left or len(self._left) < TRIED_REMARKS_MAX:
                self._left[name] += 1
            else:
                self._left["others"] += 1
        return kind

    def _person(self, row: Sequence[Any]) -> int:
        for where, prefix in self._people:
            value = row[where]
            if value is None or value == "" or (isinstance(value, str) and says_nothing(value)):
                continue
            name = f"{prefix}{value if type(value) is str else text_of(value)}"
            if len(name) <= ID_CHARS_MAX:
                people = self._gathered.people
                return people.setdefault(name, len(people))
        return -1

    def _item(self, sent: Any) -> int:
        if sent is None or sent == "" or isinstance(sent, dict | list):
            return -1
        name = sent if type(sent) is str else text_of(sent)
        items = self._gathered.items
        found = items.get(name)
        if found is None:
            name = self._item_of(text_of(name))
            if not name or len(name) > ID_CHARS_MAX or says_nothing(name):
                return -1
            found = items.setdefault(name, len(items))
        return found

    def _group(self, row: Sequence[Any], number: int) -> int:
        where = self._at.get(ORDER)
        if where is None or not row[where]:
            return -number
        return self._groups.setdefault(text_of(row[where]), len(self._groups))

    def _time(self, row: Sequence[Any], place: str) -> int | None:
        """Milliseconds since 1970, made up where there are none; None where it cannot be read."""
        at = self._at
        if TIME in at:
            value = row[at[TIME]]
            try:
                at_ms = read_time_ms(value, "time") if value not in _NOTHING else -1
            except EventRejected:
                at_ms = -1
            if at_ms < 0:
                self._remarks.add(f"its time {str(value)[:40]!r} cannot be read" if value else "it has no time", place)
                return None
        elif YEAR in at:
            try:
                day = datetime(_whole(row[at[YEAR]]), _whole(row[at[MONTH]]), _whole(row[at[DAY]]), tzinfo=UTC)
            except ValueError:
                self._remarks.add("its year, month and day are no date", place)
                return None
            at_ms = int(day.timestamp()) * 1_000
        else:
            return len(self._gathered.columns[0]) * _VISIT_MS
        if at_ms > self._now_ms + _CLOCK_AHEAD_MS:
            self._remarks.add("its time lies ahead of now", place)
            return None
        return at_ms

    def _history(self) -> History:
        gathered = self._gathered
        names = list(gathered.people)
        at_ms, sequence, people, items, kinds, groups, prices, quantities = (
            np.frombuffer(column, column.typecode).copy() for column in gathered.columns
        )
        self._made_up = ""
        if TIME not in self._at and YEAR not in self._at:
            self._made_up = "no column says when it was: times are made up, in the order of the file"
            at_ms = at_ms + self._now_ms - int(at_ms.max())
        elif not (at_ms % _DAY_MS).any():
            self._made_up = "of times only the day is known: those within a day are made up, a visit together"
            begins = np.array([zlib.crc32(name.encode()) % _VISIT_SPREAD_MS for name in names], np.int64)
            at_ms = at_ms + begins[people] + _STEP_MS * (sequence if PLACE in self._at else _counted(people, at_ms))
        order = np.lexsort((sequence, at_ms))
        return History(
            at_ms=at_ms[order], people=people[order], items=items[order], kinds=kinds[order], groups=groups[order],
            prices=prices[order], quantities=quantities[order], person_names=names, item_names=list(gathered.items),
            named_users=USER in self._at,
        )  # fmt: skip

    def _notes(self) -> list[str]:
        notes = [self._made_up] if self._made_up else []
        if self._gathered.dropped:
            notes.append(f"the newest {TRIED_ACTS_MAX:,} acts were taken, and {self._gathered.dropped:,} older ones "
                         "left out")  # fmt: skip
        if KIND not in self._at:
            notes.append(f"no column says what was done: all rows count as {KINDS[self._kind_of_all]}; where one does, "
                         "say so: --map event=COLUMN, and --event KIND=NAME for each of its values")  # fmt: skip
        return notes


def _counted(people: Ints, at_ms: Ints) -> Ints:
    """By act: how many acts of the same person and day come before it."""
    seen: dict[tuple[int, int], int] = {}
    found = np.zeros(len(people), np.int64)
    for place, key in enumerate(zip(people.tolist(), at_ms.tolist(), strict=True)):
        found[place] = seen.get(key, 0)
        seen[key] = int(found[place]) + 1
    return found


def _listed(guesses: Guesses) -> str:
    names = [*(one.column for one in guesses.taken), *guesses.left]
    return f"the columns are {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}"[:300]


def _whole(value: Any) -> int:
    """A whole number, 0 for what is none."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        try:
            return int(float(str(value).replace(",", ".")))
        except (ValueError, OverflowError):
            return 0


def _amount(value: Any) -> float:
    """A price, 0 for what is none."""
    if isinstance(value, list):
        value = value[0] if value else None
    try:
        return float(value)
    except (TypeError, ValueError):
        read = read_number(str(value or ""))
        return 0.0 if read.fault else read.number


def _above(value: Any, least: float) -> bool:
    read = read_number(str(value if value is not None else ""))
    return bool(read.fault) or read.number > least


def unknown_share(history: History, known: Collection[str]) -> tuple[float, list[str]]:
    """The share of acts whose item is not among the known ones, and examples of such items, the most frequent first."""
    is_known = np.array([name in known for name in history.item_names], bool)
    missing = ~is_known[history.items]
    counts = np.bincount(history.items[missing], minlength=len(history.item_names))
    most = np.argsort(-counts, kind="stable")[:_EXAMPLES]
    return float(missing.mean()) if len(history) else 0.0, [history.item_names[one] for one in most if counts[one]]
