"""The runner of the six made-up shops: what it makes, what it counts, and a short run on a real server."""

from __future__ import annotations

from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def shops(similar: ModuleType) -> ModuleType:
    return similar.sys.modules["shops"]


def test_a_seed_makes_the_same_shop_and_another_one_another(shops: ModuleType) -> None:
    first, again, other = shops.Shop("tools", 1), shops.Shop("tools", 1), shops.Shop("tools", 2)
    assert first.items == again.items != other.items
    assert [first.visit() for _ in range(5)] == [again.visit() for _ in range(5)]


def test_every_kind_has_its_own_fields_and_people_who_go_on(shops: ModuleType) -> None:
    for kind, of in shops.KINDS.items():
        shop = shops.Shop(kind, 3)
        assert len(shop.items) == of.items
        assert {"title", "category"} <= set(shop.items[0]["fields"])
        assert ("price" in shop.items[0]["fields"]) is (of.price > 0)
        for _ in range(20):
            visit = shop.visit()
            assert shops.VIEWS_LEAST <= len(visit) <= shops.VIEWS_MOST
        best = shop.likeliest(shop.things[0], 8)
        assert len(set(best)) == 8


def test_the_most_viewed_of_a_category_come_first_and_never_the_item_itself(
    similar: ModuleType, shops: ModuleType
) -> None:
    named = (("ax", "x"), ("bx", "x"), ("cx", "x"), ("dy", "y"))
    things = [shops.Thing(name, 0, category, "", (), 1.0, 1.0) for name, category in named]
    counting = similar.InCategory(things)
    for thing in (things[2], things[2], things[3]):
        counting.see(thing)
    assert counting.best(things[0], 5) == ["cx", "bx"]


def test_figures_are_shares_of_steps(similar: ModuleType, shops: ModuleType) -> None:
    shop = shops.Shop("travel", 1)
    one, other = shop.things[0], shop.things[1]
    steps = [similar.Step(one, other, [other.id], [one.id], [other.id]), similar.Step(other, one, [], [one.id], [])]
    ours, theirs = similar.figures(shop, steps)
    assert (ours["hit_at_8"], theirs["hit_at_8"], theirs["hit_at_8_knowing_all"]) == (0.5, 0.5, 0.5)
    assert ours["times"] == 1.0


def test_a_short_run_against_a_server(similar: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similar, "PEOPLE", 10)
    monkeypatch.setattr(similar, "HELD_BACK", 3)
    monkeypatch.setattr(similar, "KINDS", ["tools"])
    result = similar.run(1, True)
    assert result["n"] >= 9
    assert result["metrics"]["tools.unknown_item_told"] == 1.0
