"""Outcomes find what was shown: the same in any order of arrival, as a plain search over everything finds it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.events.envelope import Tracked
from instanter.feedback import join
from instanter.feedback.example import Example
from instanter.feedback.join import SKEW_MS, Joiner
from instanter.feedback.outcomes import Outcome, happened_in
from instanter.feedback.rewards import DEFAULT_WORTHS, Rewards
from instanter.feedback.slates import DECISION, LIST, Slate, slate_of

WINDOW_MS, DELAY_MS = 1_000, 300
REWARDS = Rewards(window_ms=WINDOW_MS, delay_ms=DELAY_MS, dwell_ms=100)
LATER_MS = 10**9


def slate(name: str, at_ms: int = 0, items: Sequence[int] = (1, 2, 3), **changes: Any) -> Slate:
    """A list shown to cell 7."""
    made = Slate(
        id=name, source=LIST, tenant="t", key=7, cells=(7,), at_ms=at_ms, position=at_ms, items=tuple(items),
        places=tuple(range(1, len(items) + 1)),
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def event(name: str, at_ms: int, items: Sequence[int] = (2,), *, message: int = 0, **changes: Any) -> Tracked:
    """What cell 7 did."""
    made = Tracked(at_ms, at_ms, "t", 7, message or at_ms * 1_000 + len(name), name, items=tuple(items))
    return msgspec.structs.replace(made, **changes)


def joined(*records: Slate | Tracked, rewards: Rewards = REWARDS) -> tuple[list[Example], Joiner]:
    """The examples of records that came in this order, all waited for."""
    joiner = Joiner(rewards)
    for record in records:
        if isinstance(record, Slate):
            joiner.show(record)
        else:
            joiner.note(record)
    return list(joiner.due(LATER_MS)), joiner


def rewarded(example: Example) -> dict[int, float]:
    """The items that brought something."""
    return {item: reward for item, reward in zip(example.slate.items, example.rewards, strict=True) if reward}


def test_a_click_rewards_the_item_and_the_others_are_negatives() -> None:
    (example,), joiner = joined(slate("l1"), event("Product Clicked", 500))
    assert example.rewards == (0.0, 1.0, 0.0)
    assert example.outcomes == (0, Outcome.CLICK, 0)
    assert example.weights == (1.0, 1.0, 1.0)
    assert joiner.counts.joined_by_item == 1
    assert len(joiner) == 0


def test_the_decisions_id_comes_before_the_lists_and_that_before_the_item() -> None:
    decision = slate("d1", source=DECISION, placement="home")
    newer = slate("l2", 400)
    for fields, wanted in (
        ({"decision_id": "d1", "list_id": "l1"}, "d1"), ({"list_id": "l1"}, "l1"), ({}, "l2"),
        ({"decision_id": "d1", "items": (9,)}, None), ({"decision_id": "gone"}, "l2"),
    ):  # fmt: skip
        examples, _ = joined(decision, slate("l1"), newer, event("Product Clicked", 500, **fields))
        assert [one.slate.id for one in examples if any(one.rewards)] == ([wanted] if wanted else [])


def test_one_decision_with_two_placements_gets_each_outcome_once() -> None:
    first = slate("d1", source=DECISION, placement="hero", items=(1,))
    second = slate("d1", source=DECISION, placement="list", items=(1, 2))
    examples, _ = joined(first, second, event("Product Clicked", 5, (1,), decision_id="d1"))
    assert [rewarded(example) for example in examples] == [{1: 1.0}, {}]


def test_what_happens_before_or_long_after_is_no_outcome() -> None:
    for at_ms in (499, 1_501):
        (example,), joiner = joined(slate("l1", 500), event("Product Clicked", at_ms))
        assert (rewarded(example) == {}) is (at_ms == 499 or at_ms > 500 + WINDOW_MS)
        assert joiner.counts.unjoined == (not rewarded(example))


def test_outcomes_add_up_and_an_order_brings_revenue() -> None:
    rewards = msgspec.structs.replace(REWARDS, worths={**DEFAULT_WORTHS, "revenue": 1.0})
    bought = event("Order Completed", 900, (2,), prices=(30.0,), quantities=(2.0,))
    (example,), _ = joined(
        slate("l1"), event("Product Clicked", 100), event("Product Added", 200), bought, rewards=rewards
    )
    assert example.revenues == (0.0, 60.0, 0.0)
    assert example.rewards[1] == pytest.approx(1 + 3 + 5 + math.log1p(60))
    (example,), _ = joined(slate("l1"), bought, event("Order Refunded", 950), rewards=rewards)
    assert example.rewards == (0.0, 0.0, 0.0)


def test_only_a_long_stay_counts() -> None:
    for stayed_ms, wanted in ((99.0, {}), (100.0, {2: 1.0})):
        (example,), _ = joined(slate("l1"), event("Article Read", 10, values={"read_ms": stayed_ms}))
        assert rewarded(example) == wanted


def test_an_event_that_comes_twice_counts_once() -> None:
    twice = event("Order Completed", 10, prices=(5.0,))
    (example,), joiner = joined(slate("l1"), twice, twice)
    assert example.revenues[1] == 5.0
    assert joiner.counts.duplicates == 1


def test_who_logs_in_between_is_the_same_person() -> None:
    joiner = Joiner(REWARDS)
    joiner.show(slate("l1"))
    joiner.note(event("Product Clicked", 10, key=8), cells=(8, 7))
    (example,) = joiner.due(LATER_MS)
    assert rewarded(example) == {2: 1.0}


def test_another_person_and_another_tenant_join_nothing() -> None:
    for changes in ({"key": 8}, {"tenant": "u"}, {"tenant": "u", "list_id": "l1"}):
        (example,), _ = joined(slate("l1"), event("Product Clicked", 10, **changes))
        assert rewarded(example) == {}


def test_rare_showings_weigh_more_up_to_a_bound() -> None:
    (example,), _ = joined(slate("d1", source=DECISION, propensities=(1.0, 0.5, 0.001)))
    assert example.weights == (1.0, 2.0, 20.0)


def test_examples_come_when_nothing_can_be_added_any_more() -> None:
    joiner = Joiner(REWARDS)
    joiner.show(slate("l1"))
    complete_ms = WINDOW_MS + DELAY_MS + SKEW_MS
    assert list(joiner.due(complete_ms - 1)) == []
    joiner.note(event("Product Clicked", WINDOW_MS))
    (example,) = joiner.due(complete_ms)
    assert rewarded(example) == {2: 1.0}
    joiner.note(event("Product Clicked", WINDOW_MS - 1, received_ms=10 * WINDOW_MS))
    assert list(joiner.due(LATER_MS)) == []
    assert joiner.counts.too_late == 1


def test_the_rest_is_what_is_open() -> None:
    joiner = Joiner(REWARDS)
    joiner.show(slate("l1"))
    joiner.note(event("Product Clicked", 10))
    (example,) = joiner.rest()
    assert rewarded(example) == {2: 1.0}
    assert list(joiner.rest()) == list(joiner.due(LATER_MS)) == []


def test_erased_people_leave_no_example() -> None:
    joiner = Joiner(REWARDS)
    joiner.show(slate("l1"))
    joiner.show(slate("l2", 5, key=8, cells=(8,)))
    joiner.note(event("Product Clicked", 10))
    joiner.drop([7])
    assert [example.slate.id for example in joiner.due(LATER_MS)] == ["l2"]
    assert joiner.counts.dropped == 1


def test_too_many_open_lists_close_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(join, "SLATES_OPEN_MAX", 2)
    monkeypatch.setattr(join, "OUTCOMES_WAITING_MAX", 2)
    joiner = Joiner(REWARDS)
    for number in range(4):
        joiner.show(slate(f"l{number}", number))
        joiner.note(event("Product Clicked", number, message=number + 1))
    assert [example.slate.id for example in joiner.due(4)] == ["l0", "l1"]
    assert (len(joiner), joiner.counts.closed_early) == (2, 2)


def test_a_list_tells_of_a_slate_only_if_nobody_else_did() -> None:
    prices = (1.0, float("nan"), 3.0)
    shown = event("Product List Viewed", 10, (1, 2, 1), list_id="l", prices=prices, positions=(4, 5, 6))
    made = slate_of(shown, cells=(7,), position=99)
    assert made is not None
    assert (made.id, made.items, made.places, made.position, made.prices[0]) == ("l", (1, 2), (4, 5), 99, 1.0)
    assert slate_of(msgspec.structs.replace(shown, decision_id="d"), cells=(), position=1) is None
    assert slate_of(event("Product Viewed", 10), cells=(), position=1) is None
    nameless = slate_of(msgspec.structs.replace(shown, list_id=""), cells=(), position=1)
    assert nameless is not None
    assert nameless.id


# Against a plain search.


def plainly(records: Sequence[Slate | Tracked]) -> dict[str, dict[int, float]]:
    """Every outcome looked up among all lists."""
    slates = {one.id: one for one in records if isinstance(one, Slate)}
    found: dict[str, dict[int, int]] = {name: {} for name in slates}
    seen: set[int] = set()
    for one in records:
        if isinstance(one, Slate) or one.message in seen:
            continue
        seen.add(one.message)
        for happened in happened_in(one, dwell_ms=REWARDS.dwell_ms):
            since = {name: one.happened_ms - shown.at_ms for name, shown in slates.items()}
            named = [
                name for name in (one.list_id,)
                if name in slates and happened.item in slates[name].items and -SKEW_MS <= since[name] <= WINDOW_MS
            ]
            before = sorted(
                (shown.at_ms, name) for name, shown in slates.items()
                if happened.item in shown.items and 0 <= since[name] <= WINDOW_MS and one.key in shown.cells
            )
            for name in (named or [name for _, name in before[-1:]])[:1]:
                found[name][happened.item] = found[name].get(happened.item, 0) | happened.outcome
    return {name: {item: REWARDS.of(bits, 0.0) for item, bits in items.items()} for name, items in found.items()}


@st.composite
def happenings(draw: st.DrawFn) -> list[Slate | Tracked]:
    """Lists and outcomes of two people within three windows."""
    times = st.integers(0, 3 * WINDOW_MS)
    records: list[Slate | Tracked] = []
    for number in range(draw(st.integers(1, 6))):
        key = draw(st.sampled_from([7, 8]))
        items = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4, unique=True))
        records.append(slate(f"l{number}", draw(times), items, key=key, cells=(key,)))
    for number in range(draw(st.integers(0, 12))):
        name = draw(st.sampled_from(["Product Clicked", "Product Added", "Order Completed", "Cart Viewed"]))
        records.append(event(
            name, draw(times), draw(st.lists(st.integers(1, 5), min_size=1, max_size=2)),
            message=draw(st.integers(1, 10)) * 100 + number % 9, key=draw(st.sampled_from([7, 8])),
            list_id=draw(st.sampled_from(["", "", "l0", "l1", "gone"])),
        ))  # fmt: skip
    return records


def postponed(record: Slate | Tracked, by_ms: int) -> Slate | Tracked:
    """The same, later, and another one."""
    if isinstance(record, Slate):
        return msgspec.structs.replace(record, id=f"later-{record.id}", at_ms=record.at_ms + by_ms)
    at_ms = record.happened_ms + by_ms
    return msgspec.structs.replace(record, happened_ms=at_ms, received_ms=at_ms, message=-record.message)


def at_of(record: Slate | Tracked) -> int:
    return record.at_ms if isinstance(record, Slate) else record.happened_ms


@settings(deadline=None, max_examples=150)
@given(happenings(), st.randoms(use_true_random=False))
def test_any_order_within_the_delay_gives_what_a_plain_search_finds(records: list[Any], chance: Any) -> None:
    arriving = sorted(
        ((at_of(one) + chance.randint(0, DELAY_MS), number, one) for number, one in enumerate(records))
    )
    unlike = {one.message: one for one in records if isinstance(one, Tracked)}
    joiner, examples = Joiner(REWARDS), list[Example]()
    for now_ms, _, one in arriving:
        if isinstance(one, Slate):
            joiner.show(one)
        elif unlike[one.message] is one:
            joiner.note(msgspec.structs.replace(one, received_ms=now_ms), cells=(one.key,))
        examples += joiner.due(now_ms)
    examples += joiner.due(LATER_MS)
    only = [one for one in records if isinstance(one, Slate) or unlike[one.message] is one]
    assert len(examples) == len({example.slate.id for example in examples})
    assert {example.slate.id: rewarded(example) for example in examples} == plainly(only)


@settings(deadline=None, max_examples=50)
@given(happenings(), happenings())
def test_the_future_changes_nothing_that_is_complete(past: list[Any], future: list[Any]) -> None:
    begins_ms = 3 * WINDOW_MS + WINDOW_MS + DELAY_MS + SKEW_MS + 1
    alone, _ = joined(*past)
    both, _ = joined(*past, *(postponed(one, begins_ms) for one in future))
    kept = [example for example in both if not example.slate.id.startswith("later-")]
    assert [example.encode() for example in kept] == [example.encode() for example in alone]
