"""Order of arrival, lateness, and once."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.events.envelope import Configured, Flag, Tracked, retold
from instanter.features.declaration import FeatureDeclaration
from instanter.foundation.disk import RealDisk
from instanter.state import aggregations
from instanter.state.checkpoint import Snapshot, load_checkpoint, write_checkpoint
from instanter.state.layout import (
    CELL_EVENTS,
    CELL_FIRST_MS,
    CELL_IDS,
    CELL_LATE,
    CELL_NEWEST_MS,
    CELL_OVERFLOW,
    CELL_WORDS,
    SESSION_WORDS,
    Scope,
)
from instanter.state.memory import State

from ..conftest import Figures
from .contents import agree, assert_agreement, cell_at, content, fold_both, item_at, placed_in, sessions_at
from .oracle import Oracle
from .shop import (
    CLICKED,
    DAY_MS,
    DECLARATIONS,
    HOUR_MS,
    ITEM_IDS,
    ITEMS,
    MINUTE_MS,
    ORDERED,
    SCHEMA,
    SECOND_MS,
    START_MS,
    UNHEARD,
    VIEWED,
    empty_state,
    fold_all,
    open_shop,
    person,
    publish,
    random_event,
    ref,
    schema_of,
    tracked,
)

# Room in each top-k for all there is, so that none is ever full.
ROOMY = schema_of(
    [
        type(declaration)(**{name: getattr(declaration, name) for name in declaration.__struct_fields__}
                          | {"k": 12 if declaration.aggregate in ("top_k", "co_occurrence") else declaration.k})
        for declaration in DECLARATIONS
    ]
)  # fmt: skip
LATENESS_MS = 30 * MINUTE_MS
PEOPLE = 4


def stream(seed: int, count: int) -> list[Tracked]:
    """Events of a few people in the order in which they happened, with gaps that a late event may bridge."""
    rng = random.Random(seed)
    clocks_ms = [START_MS + who for who in range(PEOPLE)]
    events = []
    for number in range(count):
        who = rng.randrange(PEOPLE)
        clocks_ms[who] += rng.choice((0, SECOND_MS, 4 * MINUTE_MS, 18 * MINUTE_MS, 18 * MINUTE_MS, 70 * MINUTE_MS))
        events.append(random_event(rng, who, clocks_ms[who], number))
    return events


def shuffled(events: Sequence[Tracked], rng: random.Random, within_ms: int) -> list[Tracked]:
    """An order of arrival in which nothing is later than `within_ms` after what happened after it."""
    delays = {event.message: rng.uniform(0, within_ms) for event in events}
    return sorted(events, key=lambda event: event.happened_ms + delays[event.message])


@pytest.mark.row("R8")
@pytest.mark.parametrize("seed", range(20))
def test_any_order_inside_lateness_comes_to_the_same_state(seed: int, full: bool, figures: Figures) -> None:
    events, rng = stream(seed, 70), random.Random(-seed)
    in_order = open_shop(ROOMY)
    fold_all(in_order, events)
    wanted = in_order.hash(order_free=True)
    joined = 0
    for _ in range(500 if full else 50):
        arrived = shuffled(events, rng, LATENESS_MS)
        state = open_shop(ROOMY)
        assert fold_all(state, arrived, batch=rng.randint(1, 70)) == [0] * len(events)
        assert state.hash(order_free=True) == wanted
        joined += arrived != events
    assert joined
    figures(permutations=500 if full else 50)
    _assert_decayed_alike(in_order, state)


def _assert_decayed_alike(left: State, right: State) -> None:
    """Decayed sums and scores are within 1e-9, in every record."""
    records: list[tuple[Scope, Callable[[State], list[int]]]] = []
    for who in range(PEOPLE):
        records.append((Scope.PROFILE, lambda state, who=who: [cell_at(state, person(who))]))
        records.append((Scope.SESSION, lambda state, who=who: sessions_at(state, person(who))[:1]))
    for item_id in ITEM_IDS:
        records.append((Scope.ITEM, lambda state, item_id=item_id: [item_at(state, ref(item_id))]))
    for scope, where in records:
        for placed in placed_in(left, scope):
            if placed.spec.half_life_ms:
                for at_left, at_right in zip(where(left), where(right), strict=True):
                    ours = content(left, placed.spec, at_left + placed.offset)
                    theirs = content(right, placed.spec, at_right + placed.offset)
                    if placed.spec.aggregation is aggregations.TOP_K:
                        assert ours[:2] == theirs[:2]
                        assert ours[2] == pytest.approx(theirs[2], rel=1e-9)
                    else:
                        assert ours == pytest.approx(theirs, rel=1e-9)


def test_a_late_event_joins_two_sessions_and_their_pairs() -> None:
    a, bridge, b = (
        tracked(0, START_MS + minutes * MINUTE_MS, number=minutes, items=[item])
        for minutes, item in ((0, "chair"), (20, "lamp"), (40, "sofa"))
    )
    in_order, joined = open_shop(ROOMY), open_shop(ROOMY)
    in_order.fold([a, bridge, b])
    joined.fold([a, b])
    assert len(sessions_at(joined, person(0))) == 2
    joined.fold([bridge])
    assert len(sessions_at(joined, person(0))) == 1
    assert joined.hash(order_free=True) == in_order.hash(order_free=True)
    together = ROOMY.layout.named("item_together")
    met = content(joined, together.spec, item_at(joined, ref("chair")) + together.offset)
    assert met == (0, False, {ref("lamp"): 1_000_000, ref("sofa"): 1_000_000})


def test_a_pair_met_in_both_of_two_joined_sessions_counts_once() -> None:
    state = open_shop(ROOMY)
    for number, (minutes, item) in enumerate(((0, "chair"), (1, "lamp"), (41, "lamp"), (42, "chair"), (22, "sofa"))):
        state.fold([tracked(0, START_MS + minutes * MINUTE_MS, number=number, items=[item])])
    together = ROOMY.layout.named("item_together")
    met = content(state, together.spec, item_at(state, ref("chair")) + together.offset)
    assert met == (0, False, {ref("lamp"): 1_000_000, ref("sofa"): 1_000_000})


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_inside_a_day_any_order_comes_to_the_same_profiles(seed: int, order: int) -> None:
    """Beyond 30 minutes sessions do not take part, and everything else does."""
    events = [event for event in stream(seed, 40) if event.happened_ms < START_MS + DAY_MS]
    left, right = open_shop(ROOMY), open_shop(ROOMY)
    fold_all(left, events)
    fold_all(right, shuffled(events, random.Random(order), DAY_MS))
    oracle = Oracle(DECLARATIONS, SCHEMA.settings)
    oracle.catalogue = {ref(item_id): fields for item_id, fields in ITEMS.items()}
    for event in events:
        oracle.take(event)
    for who in {event.key for event in events}:
        for placed in placed_in(left, Scope.PROFILE):
            for state in (left, right):
                oracle.rows = state.find_item
                found = content(state, placed.spec, cell_at(state, who) + placed.offset)
                assert agree(placed.spec, found, oracle.of_person(placed.spec.name, who)), placed.spec.name


# Once.


def _reloaded(state: State, directory: Path) -> State:
    publish(state)
    fresh = State(state.schema)
    load_checkpoint(RealDisk(), write_checkpoint(
        RealDisk(), directory, Snapshot(state, position=1, at_ms=1, control={})), fresh)  # fmt: skip
    return fresh


@pytest.mark.row("R7")
def test_each_message_counts_once_however_often_it_is_sent_also_across_a_restart(
    tmp_path: Path, full: bool, figures: Figures
) -> None:
    rng = random.Random(7)
    people, each = (25, 4_000) if full else (4, 1_250)
    events = [
        tracked(who, START_MS + n * 15 * SECOND_MS, rng.choice((VIEWED, CLICKED, ORDERED)),
                number=who * each + n, items=["chair"])
        for who in range(people) for n in range(each)
    ]  # fmt: skip
    # There are four chunks of six messages for each cell there is room for.
    once = empty_state(schema_of(cells=people * each // 24 + 1_024))
    fold_all(once, events, batch=128)
    often = [event for event in events for _ in range(rng.randint(1, 5))]
    delays = {id(event): event.happened_ms for event in often}
    arrivals = sorted(often, key=lambda event: delays[id(event)] + rng.uniform(0, LATENESS_MS))
    state = empty_state(schema_of(cells=people * each // 24 + 1_024))
    cut = len(arrivals) // 2
    fold_all(state, arrivals[:cut], batch=128)
    state = _reloaded(state, tmp_path)
    fold_all(state, arrivals[cut:], batch=128)
    # The whole lot again: after the last of a person, all are inside the day and among the last 4,096.
    assert set(fold_all(state, events, batch=128)) == {1}
    figures(sent=len(arrivals) + len(events), events=len(events))
    assert state.hash(order_free=True) == once.hash(order_free=True)


@pytest.mark.row("R7")
def test_beyond_the_last_4096_a_message_counts_again_and_the_overflow_is_counted() -> None:
    state = empty_state(schema_of(cells=1_024))
    events = [tracked(0, START_MS + n, number=n) for n in range(4_140)]
    fold_all(state, events)
    cell = cell_at(state, person(0))
    assert state.tables.memory.ints[cell + CELL_OVERFLOW] == state.messages_forgotten == 4_140 - 4_096
    assert set(fold_all(state, events[44:])) == {1}
    assert fold_all(state, events[43:44]) == [0]
    assert state.tables.memory.ints[cell + CELL_OVERFLOW] == state.messages_forgotten == 4_140 - 4_096 + 1


def test_a_message_is_remembered_for_a_day_of_the_persons_own_events() -> None:
    state = empty_state()
    first = tracked(0, START_MS, number=1)
    again_at_ms = [START_MS + DAY_MS, START_MS + DAY_MS + 1]
    assert fold_all(state, [first, tracked(0, again_at_ms[0], number=2), first], batch=1) == [0, 0, 1]
    assert fold_all(state, [tracked(0, again_at_ms[1], number=3), first], batch=1) == [0, 3]


def test_the_same_message_at_another_time_is_the_same_message_until_it_is_forgotten() -> None:
    state = empty_state()
    assert fold_all(state, [tracked(0, START_MS, number=1), tracked(0, START_MS + HOUR_MS, number=1)]) == [0, 1]
    assert fold_all(state, [tracked(0, START_MS + 2 * DAY_MS, number=1)]) == [0]


def test_messages_of_different_people_do_not_meet() -> None:
    state = empty_state()
    assert fold_all(state, [tracked(0, START_MS, number=1), tracked(1, START_MS, number=1)]) == [0, 0]


def test_how_full_the_memory_of_messages_is_does_not_depend_on_their_order() -> None:
    old = [tracked(0, START_MS + n, number=n) for n in range(2)]
    newest = tracked(0, START_MS + DAY_MS + 10 * MINUTE_MS, number=8)
    late = tracked(0, START_MS + DAY_MS - 10 * MINUTE_MS, number=9)
    one, two = empty_state(), empty_state()
    fold_all(one, [*old, late, newest], batch=1)
    fold_all(two, [*old, newest, late], batch=1)
    assert one.hash() == two.hash()


@pytest.mark.parametrize("seed", range(5))
def test_which_messages_of_one_moment_are_remembered_does_not_depend_on_their_order(seed: int) -> None:
    events = [tracked(0, START_MS + n // 6, number=n) for n in range(20)]
    one, two = (empty_state(schema_of(dedup_ids_max=5)) for _ in range(2))
    fold_all(one, events)
    fold_all(two, random.Random(seed).sample(events, len(events)))
    assert one.hash(order_free=True) == two.hash(order_free=True)


# Late.


@pytest.mark.row("R9")
def test_late_events_are_counted_and_change_only_what_still_stands() -> None:
    state = open_shop()
    newest_ms = START_MS + 30 * DAY_MS
    fold_all(state, [
        tracked(0, newest_ms - MINUTE_MS, number=1, items=["chair"], quantities=(1.0,)),
        tracked(0, newest_ms, ORDERED, number=2, items=["sofa"], quantities=(2.0,)),
    ])  # fmt: skip
    before = _contents(state)
    late_ms = (30 * MINUTE_MS + 1, DAY_MS, DAY_MS + 1, 6 * DAY_MS, 20 * DAY_MS)
    burst = [
        tracked(0, newest_ms - lag_ms, name, number=10 + n, items=["lamp"], quantities=(3.0,))
        for n, (lag_ms, name) in enumerate((lag_ms, name) for lag_ms in late_ms for name in (VIEWED, ORDERED, CLICKED))
    ]
    verdicts = fold_all(state, burst)
    assert verdicts == [2] * 6 + [3] * 9
    assert state.verdicts["late_for_sequences"] == 6
    assert state.verdicts["late_for_windows"] == 9
    cell = cell_at(state, person(0))
    assert state.tables.memory.ints[[cell + CELL_EVENTS, cell + CELL_LATE]].tolist() == [2 + 15, 15]
    after = _contents(state)
    changed = {name for name in before if before[name] != after[name]}
    newest = {"profile_last", "profile_since"}
    assert not {name for name in changed if name.startswith("session")}
    assert not changed & newest
    assert {"week", "profile_count", "profile_categories", "profile_recent"} <= changed
    assert [at_ms for at_ms, _ in after["profile_recent"]] == [newest_ms - MINUTE_MS, newest_ms - 30 * MINUTE_MS - 1]
    # Two views and two orders within seven days and a part of a tile, all later ones not.
    assert sum(after["week"].values()) - sum(before["week"].values()) == 8 * 19_990_000


def test_an_order_that_comes_hours_late_is_among_what_was_bought_and_any_order_of_arrival_comes_to_the_same() -> None:
    bought = FeatureDeclaration(name="bought", on=(ORDERED,), aggregate="last_k", by="item", k=8)
    late_ms = (31 * MINUTE_MS, 5 * HOUR_MS, DAY_MS)
    orders = [
        tracked(0, START_MS + 2 * DAY_MS - lag_ms, ORDERED, number=n, items=[item])
        for n, (lag_ms, item) in enumerate(zip((0, *late_ms), ("rug", "lamp", "sofa", "desk"), strict=True))
    ]
    schema = schema_of([bought])
    for arrived in itertools.permutations(orders):
        state = open_shop(schema)
        fold_all(state, arrived)
        found = content(state, schema.feature("bought"), cell_at(state, person(0)) + CELL_WORDS)
        assert [item for _, item in found] == [ref(item) for item in ("rug", "lamp", "sofa", "desk")]


@pytest.mark.parametrize("flags", [Flag.NONE, Flag.BOT])
def test_items_of_one_time_stand_as_the_log_first_names_them_whatever_their_references(flags: Flag) -> None:
    """Also those that no catalogue holds, and those that a crawler names, which changes no item."""
    schema = schema_of([FeatureDeclaration(name="seen", on=(VIEWED,), aggregate="last_k", by="item", k=2)])
    for named in itertools.permutations(("one", "two", "three")):
        state = empty_state(schema)
        state.fold([tracked(0, START_MS, number=1, items=named, flags=flags)])
        again = tracked(1, START_MS, number=2, items=named[::-1], flags=flags)
        state.fold([again])
        for who in (0, 1):
            found = content(state, schema.feature("seen"), cell_at(state, person(who)) + CELL_WORDS)
            assert found == [(START_MS, ref(item)) for item in named[:2]]


def test_what_was_folded_before_takes_no_late_order_into_what_was_bought() -> None:
    """A log from before the setting was recorded comes to the state that it came to."""
    bought = FeatureDeclaration(name="bought", on=(ORDERED,), aggregate="last_k", by="item", k=8)
    schema = schema_of([bought])
    state = State(schema)
    former = {name: value for name, value in schema.settings.items() if name != "folding"}
    state.configure(Configured(START_MS, former, schema.declared()))
    orders = [tracked(0, START_MS + lag_ms, ORDERED, number=n, items=["rug"]) for n, lag_ms in enumerate((HOUR_MS, 0))]
    fold_all(state, orders)
    at = cell_at(state, person(0)) + CELL_WORDS
    assert [at_ms for at_ms, _ in content(state, schema.feature("bought"), at)] == [START_MS + HOUR_MS]
    late = tracked(0, START_MS + MINUTE_MS, ORDERED, number=5, items=["lamp"])
    state.fold([late])
    assert len(content(state, schema.feature("bought"), at)) == 1
    state.configure(Configured(START_MS, schema.settings, schema.declared()))
    state.fold([msgspec.structs.replace(late, message=6)])
    assert len(content(state, schema.feature("bought"), at)) == 2


# Told again.


@pytest.mark.parametrize("seed", range(10))
def test_what_is_told_again_counts_whatever_its_age_and_moves_nothing_else(seed: int) -> None:
    rng = random.Random(seed)
    events = [random_event(rng, n % 2, START_MS + n * DAY_MS, n) for n in range(20)]
    state, oracle = open_shop(ROOMY), Oracle(DECLARATIONS, SCHEMA.settings)
    oracle.catalogue = {ref(item_id): fields for item_id, fields in ITEMS.items()}
    unheard = [msgspec.structs.replace(event, name=UNHEARD) for event in events]
    fold_both(state, oracle, unheard)
    again = [retold(event, name=events[n].name, first_told=n + 1) for n, event in enumerate(unheard)]
    before = [_course(state, who) for who in range(2)]
    fold_both(state, oracle, again)
    assert state.verdicts["told_again"] == len(events)
    assert [_course(state, who) for who in range(2)] == before
    assert_agreement(state, oracle)
    other = open_shop(ROOMY)
    fold_all(other, unheard)
    fold_all(other, rng.sample(again, len(again)))
    assert other.hash(order_free=True) == state.hash(order_free=True)


def test_what_is_told_again_of_somebody_who_found_no_room_makes_them_known() -> None:
    state = open_shop()
    event = tracked(0, START_MS, UNHEARD, number=1, items=["rug"])
    assert fold_all(state, [retold(event, name=VIEWED, first_told=9)]) == [5]
    assert _course(state, 0)[:3] == [START_MS, START_MS, 1]


def _course(state: State, who: int) -> list[int]:
    """What the cell knows of its own course, and its sessions."""
    cell, ints = cell_at(state, person(who)), state.tables.memory.ints
    sessions = [word for at in sessions_at(state, person(who)) for word in ints[at : at + SESSION_WORDS].tolist()]
    return [*ints[[cell + CELL_NEWEST_MS, cell + CELL_FIRST_MS, cell + CELL_EVENTS, cell + CELL_LATE]], *sessions]


def test_a_burst_that_is_later_than_a_day_changes_windows_alone() -> None:
    state = open_shop()
    fold_all(state, [tracked(0, START_MS + 30 * DAY_MS, number=1, items=["chair"])])
    before = _contents(state)
    fold_all(state, [tracked(0, START_MS + 27 * DAY_MS + n, number=2 + n, items=["lamp"]) for n in range(50)])
    after = _contents(state)
    assert {name for name in before if before[name] != after[name]} == {"week"}


def _contents(state: State) -> dict[str, object]:
    at = {Scope.PROFILE: cell_at(state, person(0)), Scope.SESSION: sessions_at(state, person(0))[0]}
    return {
        placed.spec.name: content(state, placed.spec, at[scope] + placed.offset)
        for scope in at for placed in placed_in(state, scope)
    }  # fmt: skip


def test_a_person_who_lags_behind_the_others_is_not_late() -> None:
    state = empty_state()
    fold_all(state, [tracked(0, START_MS + 300 * DAY_MS, number=1)])
    assert fold_all(state, [tracked(1, START_MS, number=2)]) == [0]


def test_where_no_chunk_is_left_a_message_is_not_remembered_and_that_is_counted() -> None:
    state = empty_state(schema_of(cells=2))
    fold_all(state, [tracked(0, START_MS + n, number=n) for n in range(60)])
    cell = cell_at(state, person(0))
    held, overflow = state.tables.memory.ints[cell + CELL_IDS], state.tables.memory.ints[cell + CELL_OVERFLOW]
    assert (held, overflow, state.messages_forgotten) == (48, 12, 12)
