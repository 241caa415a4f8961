"""What the words of a record mean, and whether that is what the oracle says."""

from __future__ import annotations

import math
from typing import Any

from instanter.events.envelope import Tracked
from instanter.state import aggregations
from instanter.state.layout import (
    CELL_EVENTS,
    CELL_FIRST_MS,
    CELL_LATE,
    CELL_NEWEST_MS,
    CELL_OVERFLOW,
    CELL_PREVIOUS,
    CELL_SESSION,
    SESSION_END_MS,
    SESSION_EVENTS,
    SESSION_START_MS,
    FeatureSpec,
    Placed,
    Scope,
)
from instanter.state.memory import VERDICTS, State
from instanter.state.table import CELLS, ITEMS, SESSIONS, address

from .oracle import Oracle, Part, Told, Top

CLOSE = 1e-9


def cell_at(state: State, key: int) -> int:
    """The first word of a person's record."""
    return address(state.tables.memory.regions, CELLS, state.cell_row(key))


def sessions_at(state: State, key: int) -> list[int]:
    """The first words of a person's sessions, newest first."""
    ints, cell = state.tables.memory.ints, cell_at(state, key)
    rows = [int(ints[cell + word]) - 1 for word in (CELL_SESSION, CELL_PREVIOUS)]
    return [address(state.tables.memory.regions, SESSIONS, row) for row in rows if row >= 0]


def item_at(state: State, item: int) -> int:
    """The first word of an item's record."""
    return address(state.tables.memory.regions, ITEMS, state.item_row(item))


def placed_in(state: State, scope: Scope) -> list[Placed]:
    """The features of a scope that the oracle answers for; of steps there is a model of their own, `plain_steps`."""
    features = [one for one in state.schema.layout.features if one.spec.scope is scope]
    return [one for one in features if one.spec.aggregation.is_declared and not one.spec.aggregation.keeps_steps]


def content(state: State, spec: FeatureSpec, at: int) -> Any:
    """The feature's words at `at` in the form in which the oracle answers."""
    return content_of(state.tables.memory.ints, state.tables.memory.reals, spec, at)


def content_of(ints: Any, reals: Any, spec: FeatureSpec, at: int) -> Any:
    words = [int(word) for word in ints[at : at + spec.words]]
    match spec.aggregation:
        case aggregations.COUNT | aggregations.SUM | aggregations.TIME_SINCE:
            return words[0]
        case aggregations.MEAN | aggregations.MIN | aggregations.MAX | aggregations.LAST:
            return tuple(words)
        case aggregations.DECAYED:
            return words[0], float(reals[at + 1])
        case aggregations.WINDOWED:
            return _tiles(words)
        case aggregations.LAST_K if spec.takes_back:
            acts = [(words[i], words[i + 1]) for i in range(0, 2 * spec.k, 2) if words[i]]
            return [(*act, order) for act, order in zip(acts, words[2 * spec.k :], strict=False)]
        case aggregations.ORDERS:
            return words[0], words[1], {words[i + 1]: words[i] for i in range(2, len(words), 2) if words[i]}
        case aggregations.LAST_K:
            return [(words[i], words[i + 1]) for i in range(0, len(words), 2) if words[i]]
        case aggregations.TOP_K | aggregations.CO_OCCURRENCE:
            scores = reals[at : at + spec.words].tolist() if spec.half_life_ms else words
            entries = {words[i]: scores[i + 1] for i in range(2, len(words), 2) if words[i]}
            return words[0], bool(words[1]), entries
    raise AssertionError(spec.aggregation)


def _tiles(words: list[int]) -> dict[int, int]:
    newest, tiles = words[0], words[1:]
    first = max(newest - len(tiles) + 1, 0)
    return {number: tiles[number % len(tiles)] for number in range(first, newest + 1) if tiles[number % len(tiles)]}


def agree(spec: FeatureSpec, found: Any, told: Any) -> bool:
    """Equal; decayed sums within 1e-9; a top-k exactly if it could be exact, and else within its bound."""
    if spec.aggregation is aggregations.DECAYED:
        return found[0] == told[0] and close(found[1], told[1])
    if spec.aggregation is aggregations.CO_OCCURRENCE:
        return found == (0, False, told)
    if spec.aggregation is aggregations.TOP_K:
        return _agree_on_top(spec, found, told)
    if spec.aggregation is aggregations.ORDERS:
        return _agree_on_orders(spec, found, told)
    return bool(found == told)


def _agree_on_orders(spec: FeatureSpec, found: Any, told: list[Part]) -> bool:
    """Exactly, while all orders are remembered one by one."""
    made = {part.order for part in told if part.order and not part.back}
    named = {part.order for part in told if part.order}
    wanted = {
        order: 4 * max(part.at_ms for part in told if part.order == order)
        + (order in made) + 2 * any(part.back for part in told if part.order == order)
        for order in named
    }
    unnamed = sum(-1 if part.back else 1 for part in told if not part.order)
    return bool(found == (unnamed, 0, wanted)) if len(named) <= spec.k else bool(found[1] and len(found[2]) == spec.k)


def close(left: float, right: float) -> bool:
    return math.isclose(left, right, rel_tol=CLOSE, abs_tol=1e-300)


def _agree_on_top(spec: FeatureSpec, found: Any, told: Top) -> bool:
    at_ms, flagged, entries = found
    if at_ms != told.at_ms or flagged != (len(told.scores) > spec.k):
        return False
    if not flagged:
        return entries.keys() == told.scores.keys() and all(close(entries[ref], told.scores[ref]) for ref in entries)
    total = sum(told.scores.values())
    slack = CLOSE * total
    return len(entries) == spec.k and all(
        told.scores[ref] - slack <= score <= told.scores[ref] + total / spec.k + slack
        for ref, score in entries.items()
    )


def assert_agreement(state: State, oracle: Oracle) -> None:
    """Everything the state holds is what the oracle says."""
    oracle.rows = state.find_item if state.settings["folding"] > 3 else None
    for key in oracle.lives.keys() - oracle.gone:
        _assert_person(state, oracle, key)
    items = {item for life in oracle.lives.values() for told in life.told for item in told.event.items}
    for item in items:
        for placed in placed_in(state, Scope.ITEM):
            found = content(state, placed.spec, item_at(state, item) + placed.offset)
            told = oracle.of_item(placed.spec.name, item)
            assert agree(placed.spec, found, told), (placed.spec.name, found, told)


def _assert_person(state: State, oracle: Oracle, key: int) -> None:
    ints, cell, life = state.tables.memory.ints, cell_at(state, key), oracle.lives[key]
    times_ms = [told.event.happened_ms for told in life.told]
    assert ints[cell + CELL_EVENTS] == len(times_ms)
    assert (ints[cell + CELL_FIRST_MS], ints[cell + CELL_NEWEST_MS]) == (min(times_ms), max(times_ms))
    assert ints[cell + CELL_LATE] == sum(told.verdict != "applied" for told in life.told)
    assert ints[cell + CELL_OVERFLOW] == life.overflow
    for placed in placed_in(state, Scope.PROFILE):
        found, told = content(state, placed.spec, cell + placed.offset), oracle.of_person(placed.spec.name, key)
        assert agree(placed.spec, found, told), (placed.spec.name, found, told)
    held, sessions = sessions_at(state, key), oracle.sessions(key)
    assert bool(held) == bool(sessions)
    # Of two that were joined, the one before may have been let go.
    for at, session in zip(held, reversed(sessions), strict=False):
        _assert_session(state, oracle, at, session)


def _assert_session(state: State, oracle: Oracle, at: int, session: list[Told]) -> None:
    ints = state.tables.memory.ints
    times_ms = [told.event.happened_ms for told in session]
    assert (ints[at + SESSION_START_MS], ints[at + SESSION_END_MS]) == (min(times_ms), max(times_ms))
    assert ints[at + SESSION_EVENTS] == len(session)
    for placed in placed_in(state, Scope.SESSION):
        found, told = content(state, placed.spec, at + placed.offset), oracle.of_session(placed.spec.name, session)
        assert agree(placed.spec, found, told), (placed.spec.name, found, told)


def fold_both(state: State, oracle: Oracle, events: list[Tracked]) -> list[str]:
    """Fold a batch, tell the oracle, and compare what they say became of it; that is returned."""
    verdicts = [VERDICTS[int(verdict)] for verdict in state.fold(events)]
    assert verdicts == [oracle.take(event) for event in events]
    return verdicts
