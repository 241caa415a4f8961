"""What the state must be, told a second time: plain Python over the list of all events of a person, no arrays.

It keeps every event it was told of and works each answer out from the beginning, in the order in which things
happened. It shares no code with the fold.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from instanter.events.envelope import Flag, Tracked
from instanter.features.declaration import FeatureDeclaration, duration_ms
from instanter.foundation.ids import reference

MICRO = 1_000_000
LARGEST = 1e9
NAN = float("nan")
IDLE_MS = 24 * 3_600_000


class Told(NamedTuple):
    """An event that counted, and what was known when it came."""

    event: Tracked
    verdict: str
    fields: tuple[dict[str, Any] | None, ...]
    """The catalogue's fields of each of its items, None where it had none."""
    era: int
    """How often the person had been swept before."""


class Part(NamedTuple):
    """What one event, or one item of it, brings to a feature."""

    at_ms: int
    message: int
    ref: int
    value: float
    order: int = 0
    back: bool = False


class Life:
    """One person."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.again: list[Told] = []
        """What was told again."""
        self.remembered: list[tuple[int, int]] = []
        self.overflow = 0
        self.era = 0
        self.idle_ms = 0
        """What counted as idle at the last event."""

    @property
    def newest_ms(self) -> int:
        return max((told.event.happened_ms for told in self.told), default=0)


class Oracle:
    """Tell it what happened with `take` and `tick`, then ask."""

    def __init__(self, declarations: Iterable[FeatureDeclaration], settings: dict[str, int]) -> None:
        self.declarations = {declaration.name: declaration for declaration in declarations}
        self.settings = settings
        self.catalogue: dict[int, dict[str, Any]] = {}
        self.lives: defaultdict[int, Life] = defaultdict(Life)
        self.gone: set[int] = set()
        """Keys below which erased people live on in what was counted about items."""
        self.rows: Callable[[int], int] | None = None
        """The rows of items, by which those of one time stand in order; None by former rules of the fold."""
        self.verdicts: Counter[str] = Counter()
        self.idle_ms = 0
        self.at_length_limit = False
        """A late event fell into a run of events about as long as a session may be: there sessions may be kept apart
        that would be one in order."""

        self.rows_left = False
        """An item that events named has left its row to others: what it was put beside at one time stands by that row
        still."""

    def leave_row(self, ref: int) -> None:
        """An item that somebody may have named has no row any more."""
        lives = self.lives.values()
        self.rows_left |= any(ref in told.event.items for life in lives for told in (*life.told, *life.again))

    def take(self, event: Tracked) -> str:
        """What becomes of the event."""
        verdict = self._take(event)
        self.verdicts[verdict] += 1
        return verdict

    def tick(self, at_ms: int) -> None:
        """Who has not been heard of for a day has no session and no remembered messages any more.

        A tick that says nothing later than one before it changes nothing.
        """
        self.idle_ms = max(self.idle_ms, at_ms - IDLE_MS)
        for life in self.lives.values():
            if max(told.event.received_ms for told in life.told) < self.idle_ms and life.idle_ms < self.idle_ms:
                life.era += 1
                life.remembered = []
                life.idle_ms = self.idle_ms

    def erase(self, key: int) -> int:
        """Nobody knows the person any more; what items were counted stays."""
        if key not in self.lives:
            return 0
        ghost = -1 - len(self.gone)
        self.gone.add(ghost)
        self.lives[ghost] = self.lives.pop(key)
        return 1

    def _take(self, event: Tracked) -> str:
        life = self.lives[event.key]
        fields = tuple(self.catalogue.get(item) for item in event.items)
        if event.flags & Flag.RETOLD:
            life.again.append(Told(event, "told_again", fields, life.era))
            return "told_again"
        at_ms, newest_ms = event.happened_ms, max(life.newest_ms, event.happened_ms)
        horizon_ms = newest_ms - self.settings["dedup_window_ms"]
        if at_ms >= horizon_ms:
            life.remembered = [known for known in life.remembered if known[0] >= horizon_ms]
            if event.message in {known for _, known in life.remembered}:
                return "duplicate"
            life.remembered = sorted([*life.remembered, (at_ms, event.message)])
            if len(life.remembered) > self.settings["dedup_ids_max"]:
                del life.remembered[0]
                life.overflow += 1
        late_ms = newest_ms - at_ms
        verdict = "applied"
        if late_ms > self.settings["lateness_window_ms"]:
            verdict = "late_for_windows"
        elif late_ms > self.settings["lateness_sequence_ms"]:
            verdict = "late_for_sequences"
        life.idle_ms = self.idle_ms
        life.told.append(Told(event, verdict, fields, life.era))
        if verdict == "applied" and late_ms:
            self._watch_length(life, at_ms)
        return verdict

    def _watch_length(self, life: Life, at_ms: int) -> None:
        times_ms = sorted(told.event.happened_ms for told in life.told if told.verdict == "applied")
        for run in _split(times_ms, self.settings["session_gap_ms"]):
            if run[0] <= at_ms <= run[-1]:
                spare_ms = self.settings["session_length_max_ms"] - (run[-1] - run[0])
                self.at_length_limit |= spare_ms < self.settings["lateness_sequence_ms"]

    # Sessions.

    def sessions(self, key: int, *, era: int | None = None) -> list[list[Told]]:
        """The sessions of a person since the last sweep, or in an era, in order."""
        life = self.lives[key]
        era = life.era if era is None else era
        applied = [told for told in life.told if told.verdict == "applied" and told.era == era]
        sessions: list[list[Told]] = []
        for told in sorted(applied, key=lambda told: told.event.happened_ms):
            at_ms = told.event.happened_ms
            if (
                not sessions
                or at_ms - sessions[-1][-1].event.happened_ms > self.settings["session_gap_ms"]
                or at_ms - sessions[-1][0].event.happened_ms > self.settings["session_length_max_ms"]
            ):
                sessions.append([])
            sessions[-1].append(told)
        return sessions

    # Features.

    def of_session(self, name: str, session: list[Told]) -> Any:
        return _aggregate(self.declarations[name], self._parts(name, session), self.rows)

    def of_person(self, name: str, key: int) -> Any:
        told = [*self.lives[key].told, *self.lives[key].again]
        return _aggregate(self.declarations[name], self._parts(name, told), self.rows)

    def of_item(self, name: str, item: int) -> Any:
        """Over everybody's events."""
        if self.declarations[name].aggregate == "co_occurrence":
            return self._met(name, item)
        told = [
            told for life in self.lives.values() for told in (*life.told, *life.again)
            if not told.event.flags & Flag.BOT
        ]  # fmt: skip
        return _aggregate(self.declarations[name], self._parts(name, told, item), self.rows)

    def _met(self, name: str, item: int) -> dict[int, int]:
        """In how many sessions each other item was first item of an event, as this one was."""
        counts: Counter[int] = Counter()
        heard = self.declarations[name].on
        for key, life in self.lives.items():
            for era in range(life.era + 1):
                for session in self.sessions(key, era=era):
                    firsts = {
                        told.event.items[0]
                        for told in session
                        if told.event.name in heard and told.event.items and not told.event.flags & Flag.BOT
                    }
                    if item in firsts:
                        counts.update(firsts - {item})
        return {other: count * MICRO for other, count in counts.items()}

    def _parts(self, name: str, told: Iterable[Told], item: int | None = None) -> list[Part]:
        declaration = self.declarations[name]
        return [
            part
            for one in told
            if one.event.name in {*declaration.on, *declaration.takes_back}
            and _in_time(declaration.aggregate, one.verdict, self.settings)
            for part in _parts_of(declaration, one, item)
        ]


def _split(times_ms: list[int], gap_ms: int) -> list[list[int]]:
    runs: list[list[int]] = []
    for at_ms in times_ms:
        if not runs or at_ms - runs[-1][-1] > gap_ms:
            runs.append([])
        runs[-1].append(at_ms)
    return runs


def _in_time(aggregate: str, verdict: str, settings: dict[str, int]) -> bool:
    if verdict == "late_for_windows":
        return aggregate == "windowed"
    formerly = settings["folding"] == 1 and aggregate in ("last", "last_k", "time_since")
    return verdict != "late_for_sequences" or not formerly


def _parts_of(declaration: FeatureDeclaration, told: Told, item: int | None) -> Iterator[Part]:
    event, value, by = told.event, declaration.value, declaration.by
    back, order = event.name in declaration.takes_back, event.order
    if by == "order":
        partial = back and event.name == "Order Refunded" and event.items
        if not partial and (order or event.name != "Order Updated"):
            yield Part(event.happened_ms, event.message, order, 1.0, order, back)
        return
    counts = declaration.aggregate == "count" and declaration.scope != "item"
    if back and event.name == "Order Refunded" and event.items and counts:
        return
    if back and order and not event.items and by == "item":
        yield Part(event.happened_ms, event.message, order, 1.0, order, back)
    each = declaration.scope == "item" or by.startswith("item") or (value and not value.startswith("properties."))
    places = range(len(event.items)) if each else [-1]
    for place in places:
        if item is not None and event.items[place] != item:
            continue
        number = _value(value, told, place)
        if math.isnan(number):
            continue
        number = max(-LARGEST, min(LARGEST, number))
        for ref in _refs(by, told, place):
            yield Part(event.happened_ms, event.message, ref, number, order, back)


def _value(value: str, told: Told, place: int) -> float:
    event = told.event
    if not value:
        return 1.0
    if value.startswith("properties."):
        return event.values.get(value.removeprefix("properties."), NAN)
    fields = told.fields[place] or {}
    if value.startswith("item."):
        return _number(fields.get(value.removeprefix("item.")))
    quantity = event.quantities[place] if event.quantities else 1.0
    if value == "quantity":
        return quantity
    price = event.prices[place] if event.prices else NAN
    if math.isnan(price):
        price = _number(fields.get("price"))
    if value == "price":
        return price
    return max(-LARGEST, min(LARGEST, price)) * quantity if not math.isnan(price) else NAN


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else NAN


def _refs(by: str, told: Told, place: int) -> list[int]:
    if not by:
        return [0]
    if by == "item":
        return [told.event.items[place]]
    if by.startswith("context."):
        text = getattr(told.event.context, by.removeprefix("context."))
        return [reference(text)] if text else []
    value = (told.fields[place] or {}).get(by.removeprefix("item."))
    texts = value[:4] if isinstance(value, list) else [value] if value else []
    return [reference(str(text)) for text in texts]


def micro(value: float) -> int:
    return math.floor(value * 1e6 + 0.5)


class Top(NamedTuple):
    """The true scores of everything, as of `at_ms`; of which the state holds the k largest or thereabouts."""

    at_ms: int
    scores: dict[int, float]


def _aggregate(
    declaration: FeatureDeclaration, parts: list[Part], rows: Callable[[int], int] | None
) -> Any:  # fmt: skip
    def rank(ref: int) -> tuple[float, int]:
        """What stands in front at one time has the larger: the earlier row, or else the larger reference."""
        row = rows(ref) if rows is not None and declaration.by == "item" else -1
        return (-row if row >= 0 else -math.inf), ref

    match declaration.aggregate:
        case "count" if declaration.by == "order":
            return parts
        case "count":
            return sum(-1 if part.back else 1 for part in parts)
        case "sum":
            return sum(-micro(part.value) if part.back else micro(part.value) for part in parts)
        case "mean":
            return sum(micro(part.value) for part in parts), len(parts)
        case "min":
            return len(parts), min((micro(part.value) for part in parts), default=0)
        case "max":
            return len(parts), max((micro(part.value) for part in parts), default=0)
        case "decayed":
            newest_ms = max((part.at_ms for part in parts), default=0)
            return newest_ms, sum(_faded(declaration, part, newest_ms) for part in parts)
        case "windowed":
            return _tiles(declaration, parts)
        case "last":
            return _last(parts, by_message=rows is None)
        case "time_since":
            return max((part.at_ms for part in parts), default=0)
        case "last_k" if declaration.takes_back:
            acts: dict[int, tuple[int, bool, int]] = {}
            for part in parts:
                acts[part.ref] = max(acts.get(part.ref, (0, False, 0)), (part.at_ms, part.back, part.order))
            newest_first = sorted(
                ((*act[:2], ref, act[2]) for ref, act in acts.items()),
                key=lambda act: (*act[:2], *rank(act[2])), reverse=True,
            )  # fmt: skip
            return [(-at if back else at, ref, order) for at, back, ref, order in newest_first][: declaration.k]
        case "last_k":
            newest: dict[int, int] = {}
            for part in parts:
                newest[part.ref] = max(newest.get(part.ref, 0), part.at_ms)
            ordered = sorted(newest.items(), key=lambda one: (one[1], *rank(one[0])), reverse=True)
            return [(at_ms, ref) for ref, at_ms in ordered][: declaration.k]
        case "top_k":
            return _top(declaration, parts)
    raise AssertionError(declaration.aggregate)


def _faded(declaration: FeatureDeclaration, part: Part, now_ms: int) -> float:
    return part.value * 2.0 ** (-(now_ms - part.at_ms) / duration_ms(declaration.half_life))


def _tiles(declaration: FeatureDeclaration, parts: list[Part]) -> dict[int, int]:
    tile_ms = duration_ms(declaration.window) // declaration.tiles
    newest = max((part.at_ms // tile_ms for part in parts), default=0)
    sums: Counter[int] = Counter()
    for part in parts:
        if part.at_ms // tile_ms >= newest - declaration.tiles:
            sums[part.at_ms // tile_ms] += micro(part.value)
    return {number: total for number, total in sums.items() if total}


def _last(parts: list[Part], *, by_message: bool) -> tuple[int, int, int]:
    """The largest value of the newest time; formerly the first of the event with the larger message."""
    best = (0, 0, 0)
    for part in parts:
        tie = part.message if by_message else micro(part.value)
        if best[0] == 0 or (part.at_ms, tie) > best[:2]:
            best = part.at_ms, tie, micro(part.value)
    return best


def _top(declaration: FeatureDeclaration, parts: list[Part]) -> Top:
    newest_ms = max((part.at_ms for part in parts), default=0) if declaration.half_life else 0
    scores: defaultdict[int, float] = defaultdict(float)
    for part in parts:
        scores[part.ref] += _faded(declaration, part, newest_ms) if declaration.half_life else micro(part.value)
    return Top(newest_ms, dict(scores))
