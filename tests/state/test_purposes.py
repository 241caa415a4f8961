"""A feature takes no notice of events of people who have not agreed to what it is kept for."""

from __future__ import annotations

import random

import msgspec
import pytest

from instanter.events.envelope import Tracked
from instanter.features.compile import compile_features
from instanter.features.declaration import DEFAULT_FEATURES
from instanter.foundation.errors import ConfigRejected
from instanter.foundation.ids import References
from instanter.foundation.limits import PURPOSES_MAX
from instanter.state.layout import CELL_EVENTS, CELL_WORDS, Scope
from instanter.state.memory import State
from instanter.state.schema import Schema, columns_of

from .contents import cell_at, content, placed_in, sessions_at
from .shop import DECLARATIONS, MINUTE_MS, SCHEMA, START_MS, fold_all, open_shop, person, random_event, schema_of

PURPOSES = ("advertising", "analytics", "personalization")


def split() -> Schema:
    """Every feature for one of three purposes in turn."""
    return schema_of([
        msgspec.structs.replace(declaration, purpose=PURPOSES[place % 3])
        for place, declaration in enumerate(DECLARATIONS)
    ])  # fmt: skip


def story(denied: tuple[str, ...] = ()) -> list[Tracked]:
    rng = random.Random(5)
    events = [random_event(rng, n % 2, START_MS + n * MINUTE_MS, n) for n in range(100)]
    return [msgspec.structs.replace(event, denied=denied if n % 2 else ()) for n, event in enumerate(events)]


def told(schema: Schema, events: list[Tracked]) -> State:
    state = open_shop(schema)
    fold_all(state, events)
    return state


def contents(state: State, who: int) -> dict[str, object]:
    """By feature: what is kept of a person, in the newest session, and of all items."""
    records = [[cell_at(state, person(who))], sessions_at(state, person(who))[:1]]
    return {
        placed.spec.name: str([content(state, placed.spec, at + placed.offset) for at in ats])
        for scope, ats in zip((Scope.PROFILE, Scope.SESSION), records, strict=True)
        for placed in placed_in(state, scope)
    }


def items_of(state: State) -> dict[str, bytes]:
    words = state.schema.layout.item_words
    base = int(state.tables.memory.regions[3, 0])
    rows = state.tables.memory.ints[base : base + 20 * words].reshape(20, words)
    return {
        placed.spec.name: rows[:, placed.offset : placed.offset + placed.spec.words].tobytes()
        for placed in placed_in(state, Scope.ITEM)
    }


def test_a_denied_feature_keeps_what_it_would_had_the_event_never_come_and_the_others_are_the_same() -> None:
    schema = split()
    both, agreed = told(schema, story(("analytics", "unheard of"))), told(schema, story())
    without = told(schema, [event for event in story() if event.key == person(0)])
    analytics = {one.spec.name for one in schema.layout.features if one.spec.purpose == "analytics"}
    nothing = contents(of_nobody(schema), 1)
    assert len(analytics) > 12
    assert contents(both, 0) == contents(agreed, 0)
    for name, kept in contents(both, 1).items():
        if name in analytics:
            assert kept == nothing[name]
        else:
            assert kept == contents(agreed, 1)[name]
    for name, kept in items_of(both).items():
        assert kept == items_of(without if name in analytics else agreed)[name]


def of_nobody(schema: Schema) -> State:
    """One whose people have done all that, and agreed to nothing."""
    return told(schema, story(PURPOSES))


def test_what_nobody_agreed_to_is_counted_nowhere() -> None:
    nobody = of_nobody(split())
    assert contents(nobody, 1)["profile_count"] == "[0]"
    at = cell_at(nobody, person(1))
    assert not nobody.tables.memory.ints[at + CELL_WORDS : at + nobody.schema.layout.cell_words].any()
    assert nobody.tables.memory.ints[at + CELL_EVENTS] == 50


def test_the_mask_names_purposes_by_their_place() -> None:
    schema = split()
    assert schema.purposes == PURPOSES
    masks = columns_of(schema, story(("personalization", "advertising"))[:2], References()).denied
    assert masks.tolist() == [0, 0b101]


def test_purposes_change_nothing_of_the_layout() -> None:
    ours, theirs = split().layout, SCHEMA.layout
    assert [one.offset for one in ours.features] == [one.offset for one in theirs.features]
    assert SCHEMA.purposes == ("personalization",)
    assert told(split(), story()).hash() == told(SCHEMA, story()).hash()


def test_more_purposes_than_are_told_apart_are_refused() -> None:
    view = DEFAULT_FEATURES[0]
    features = [msgspec.structs.replace(view, name=f"f{n}", purpose=f"p{n}") for n in range(PURPOSES_MAX + 1)]
    assert len(compile_features(features[:-1], memory_mb=64, items_max=10).purposes) == PURPOSES_MAX
    with pytest.raises(ConfigRejected, match="33 purposes, at most 32"):
        compile_features(features, memory_mb=64, items_max=10)


# A batch that raises.


@pytest.mark.parametrize("poison", [
    {"happened_ms": 2**63}, {"key": -(2**63) - 1}, {"items": (2**70,)}, {"prices": ("dear",), "items": (1,)},
    {"prices": (1.0, 2.0), "items": (1,)}, {"quantities": (1.0,), "items": (1, 2)}, {"values": {"dwell_ms": "long"}},
    {"message": None}, {"context": None},
])  # fmt: skip
def test_a_batch_that_raises_has_changed_nothing(poison: dict[str, object]) -> None:
    state = told(SCHEMA, story())
    words, verdicts = state.tables.memory.ints.copy(), dict(state.verdicts)
    good = random_event(random.Random(1), 5, START_MS, 900)
    with pytest.raises((OverflowError, ValueError, TypeError, AttributeError)):
        state.fold([good, msgspec.structs.replace(good, **poison), good])
    assert (state.tables.memory.ints == words).all()
    assert state.verdicts == verdicts
    assert state.cell_row(person(5)) == -1
    assert fold_all(state, [good]) == [0]
