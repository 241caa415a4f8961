"""What a net learns from: the order of people's acts, the same wherever the same events came."""

from __future__ import annotations

import pytest

from instanter.engine import paths
from instanter.engine.paths import Paths
from instanter.events.envelope import Flag, Tracked
from instanter.foundation.limits import NET_ACTS_MAX

VIEWED = "Product Viewed"


def act(at_ms: int, key: int, *items: int, name: str = VIEWED, tenant: str = "default", flags: int = 0) -> Tracked:
    return Tracked(at_ms, at_ms, tenant, key, at_ms, name, flags, items)


def name_of(ref: int) -> str | None:
    return None if ref >= 90 else f"item-{ref}"


def windows(kept: Paths, length: int = 4, until_ms: int = 1_000) -> tuple[list[str], list[list[str]]]:
    """Items, and what stands in each piece."""
    made = kept.windows(until_ms=until_ms, length=length, name_of=name_of)
    named = ("", *made.items)
    return list(made.items), [[named[number] for number in row] for row in made.numbers.tolist()]


def noted(*acts: Tracked, **options: int) -> Paths:
    kept = Paths("default", {VIEWED}, **options)
    for one in acts:
        kept.note(one)
    return kept


def test_pieces_overlap_by_one_and_are_cut_from_the_newest_on() -> None:
    _, pieces = windows(noted(*(act(number, 7, number) for number in range(1, 9))))
    assert pieces == [
        ["item-5", "item-6", "item-7", "item-8"], ["item-2", "item-3", "item-4", "item-5"],
        ["", "", "item-1", "item-2"],
    ]  # fmt: skip


def test_people_come_in_the_order_of_the_log_whatever_their_numbers() -> None:
    acts = [act(1, 9, 1), act(2, 3, 2), act(3, 9, 2), act(4, 3, 1)]
    other = [act(one.happened_ms, 100 - one.key, *one.items) for one in acts]
    assert windows(noted(*acts)) == windows(noted(*other))
    assert windows(noted(*acts))[1] == [["", "", "item-1", "item-2"], ["", "", "item-2", "item-1"]]


def test_items_are_those_acted_on_most_that_the_catalogue_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = noted(*(act(number, 1, item) for number, item in enumerate([2, 1, 3, 3, 95, 1, 2, 95, 95, 95])))
    assert windows(kept)[0] == ["item-1", "item-2", "item-3"]
    monkeypatch.setattr(paths, "ATTENTION_ITEMS_MAX", 2)
    assert windows(kept)[0] == ["item-1", "item-2"]


def test_what_comes_later_is_not_looked_at_and_one_act_is_no_path() -> None:
    kept = noted(act(1, 1, 1, 2), act(500, 1, 3), act(501, 2, 1))
    assert windows(kept, until_ms=500)[1] == [["", "", "item-1", "item-2"]]
    assert windows(kept, until_ms=1)[1] == []


def test_bots_other_names_other_tenants_and_what_was_told_again_are_no_acts() -> None:
    kept = noted(act(1, 1, 1, flags=Flag.BOT), act(2, 1, 1, flags=Flag.RETOLD), act(3, 1, 1, name="Signed Up"),
                 act(4, 1, 1, tenant="other"), act(5, 1))  # fmt: skip
    assert len(kept) == 0
    assert windows(kept) == ([], [])


def test_what_erased_people_did_is_in_no_piece() -> None:
    kept = noted(act(1, 1, 1), act(2, 2, 1), act(3, 1, 2), act(4, 2, 2))
    kept.drop((1,))
    assert windows(kept)[1] == [["", "", "item-1", "item-2"]]


def test_the_newest_acts_are_kept_within_a_bound() -> None:
    kept = noted(*(act(number, 1, number % 50) for number in range(100)), acts_max=10)
    assert len(kept) <= 20
    assert windows(kept, length=20)[1][0][-10:] == [f"item-{number % 50}" for number in range(90, 100)]
    assert Paths("default", {VIEWED})._acts_max == NET_ACTS_MAX
