"""How people go on by what items have in common, beside a plain form of it that reads the whole catalogue."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.events.envelope import Configured, Epoch, ItemDeleted, ItemUpserted, Tracked
from instanter.features.carriers import carriers
from instanter.features.compile import compile_features
from instanter.features.declaration import DEFAULT_FEATURES
from instanter.features.next_items import EVIDENT_HITS
from instanter.features.sequences import REST_MS
from instanter.foundation.limits import (
    FIELDS_IN_COMMON_MAX,
    TENANTS_STANDING_MAX,
    VALUE_IN_COMMON_CHARS_MAX,
    VALUES_FOLLOWED_MAX,
    VALUES_IN_COMMON_MAX,
    WORDS_IN_COMMON_MAX,
)
from instanter.models import transitions as module
from instanter.models.in_common import OFTEN, TITLE, Commons, InCommon, values_of
from instanter.models.transitions import (
    HALF_USUAL,
    HALVES,
    NEAR,
    NEVER_SEEN,
    TURNS,
    TURNS_USUAL,
    USUAL_NEAR,
    USUAL_NEAR_ITEMS,
    USUAL_STEPS,
    WALKS_TELL,
    Transitions,
)
from instanter.state.memory import State

START_MS = 1_700_000_000_000
SCHEMA = compile_features(DEFAULT_FEATURES, memory_mb=64, items_max=2_000)
KEYS = 1 << 40
"""Between the keys of people: steps tell people apart by their upper bits."""


class Shop:
    """A catalogue, and what people view in it."""

    def __init__(self, *, proves: bool = True) -> None:
        self.proves = proves
        self.state = State(SCHEMA)
        self.state.configure(Configured(START_MS, {}, SCHEMA.declared()))
        self.commons = Commons()
        self.transitions = Transitions(SCHEMA, carriers(DEFAULT_FEATURES), proves=proves)
        self.steps: list[tuple[int, int]] = []
        """From one item to another within a visit, as rows."""
        self._last: dict[int, tuple[int, int]] = {}
        self._messages = itertools.count(1)

    def put(self, item: str, tenant: str = "shop", **fields: object) -> int:
        self.state.catalogue.upsert(ItemUpserted(START_MS, tenant, item, fields))
        return self.row(item, tenant)

    def row(self, item: str, tenant: str = "shop") -> int:
        return self.state.find_item(self.state.catalogue.ref_of(tenant, item))

    def view(self, person: int, item: str, at_ms: int) -> None:
        ref, time_ms = self.state.catalogue.ref_of("shop", item), START_MS + at_ms
        self.state.fold([Tracked(
            time_ms, time_ms, "shop", person * KEYS, next(self._messages), "Product Viewed", items=(ref,)
        )])  # fmt: skip
        before, row = self._last.get(person), self.row(item)
        if before is not None and at_ms - before[1] <= REST_MS and before[0] != row:
            self.steps.append((before[0], row))
        self._last[person] = row, at_ms

    def publish(self) -> None:
        self.state.publish(Epoch(START_MS, self.state.epoch + 1, ""))

    @property
    def index(self) -> InCommon:
        return self.commons.of(self.state)

    def chances(self, item: str, tenant: str = "shop") -> list[float]:
        """Of all rows beside an item."""
        rows = np.array(sorted(self.state.catalogue.at_row), np.int64)
        return self.transitions.chances(self.state, tenant, self.row(item, tenant), rows, self.index).tolist()

    def anew(self) -> Shop:
        """The same state read by somebody who has read nothing so far."""
        other = object.__new__(Shop)
        other.__dict__ = {**self.__dict__, "commons": Commons(), "transitions": Transitions(
            SCHEMA, carriers(DEFAULT_FEATURES), proves=self.proves
        )}  # fmt: skip
        return other


class Plain:
    """The same by looking at every item for every question."""

    def __init__(self, shop: Shop) -> None:
        catalogue = shop.state.catalogue
        items = {row: item for row, item in catalogue.at_row.items() if item.tenant == "shop"}
        self.prices = {row: item.fields.get("price", 0.0) for row, item in items.items()}
        self.having = {row: set(values) for row, item in items.items() if (values := values_of(item.fields))}
        self.often = {
            key for key in set().union(*self.having.values())
            if key[0] == TITLE and OFTEN * sum(key in having for having in self.having.values()) > len(self.having)
        }  # fmt: skip
        counts: dict[str, int] = {}
        for name, _ in itertools.chain.from_iterable(self.having.values()):
            counts[name] = counts.get(name, 0) + 1
        counts.pop(TITLE, None)
        self.names = sorted(sorted(counts, key=lambda name: (-counts[name], name))[:FIELDS_IN_COMMON_MAX])
        self.ways = ["anywhere", *self.names, "near", TITLE]
        self.categories = {
            row: found[0] for row, item in items.items()
            if (found := [key for key in values_of(item.fields) if key[0] == "category"]) and "category" in self.names
        }  # fmt: skip
        self.proves = shop.proves

    def size(self, row: int, name: str) -> float:
        """How many others have a value of the field that this one has, each counted for each, at most all."""
        mine = {key for key in self.having.get(row, set()) if key[0] == name} - self.often
        others = sum(len(mine & having) for other, having in self.having.items() if other != row)
        return min(others, len(self.having))

    def of_category(self, row: int, other: int) -> bool:
        return "category" not in self.names or self.share(row, other, "category")

    def share(self, row: int, other: int, name: str) -> bool:
        return any(key[0] == name for key in (self.having.get(row, set()) & self.having.get(other, set())) - self.often)

    def is_near(self, row: int, other: int) -> bool:
        one, its = self.prices[row], self.prices.get(other, 0.0)
        return one > 0.0 and its > 0.0 and max(one, its) <= NEAR * min(one, its)

    def near_share(self, pairs: list[tuple[int, int]], usual: float) -> float:
        """Of pairs of one category with prices, those at much the same price."""
        pairs = [(one, other) for one, other in pairs if one != other and self.prices[one] > 0.0
                 and self.prices.get(other, 0.0) > 0.0 and self.of_category(one, other)]  # fmt: skip
        near = sum(self.is_near(*pair) for pair in pairs)
        return (near + usual * USUAL_NEAR_ITEMS) / (len(pairs) + USUAL_NEAR_ITEMS)

    def led(self, row: int, other: int, near: float) -> list[float]:
        """By way how many times as likely it makes the other one as any item."""
        items, led = len(self.having), [1.0]
        led += [items / max(self.size(row, name), 1) if self.share(row, other, name) else 0.0 for name in self.names]
        of_category = self.size(row, "category") if "category" in self.names else items
        leads = self.is_near(row, other) and self.of_category(row, other)
        led.append(items / max(near * of_category, 1.0) if leads else 0.0)
        led.append(items / max(self.size(row, TITLE), 1) if self.share(row, other, TITLE) else 0.0)
        return led

    def turned(self, row: int, other: int, steps: list[tuple[int, int]], *, besides: int) -> float:
        """How many times as likely as any item the other one is by how people turn from category to category, told from
        all of these steps but so many such ones."""
        one, its = self.categories.get(row), self.categories.get(other)
        if one is None or its is None or one == its:
            return 0.0
        led = [self.categories[to] for start, to in steps
               if self.categories.get(start) == one and self.categories.get(to, one) != one]  # fmt: skip
        own, share = (sum(key in having for having in self.having.values()) / len(self.having) for key in (one, its))
        usual = TURNS_USUAL * share / max(1.0 - own, 0.01)
        return (led.count(its) - besides + usual) / (len(led) - besides + TURNS_USUAL) / share

    def half(self, steps: list[tuple[int, int]], shares: list[float], leds: list[list[float]]) -> float:
        """Visits of an item at which what others turned to counts half."""
        reached = [other for _, other in steps]

        def likely(half: float) -> float:
            found = -0.5 * (math.log2(half / HALF_USUAL) / 6.0) ** 2
            for (one, other), led in zip(steps, leds, strict=True):
                hits = sum(start == one for start, _ in steps) - 1
                told = (steps.count((one, other)) - 1) / max(hits, 1)
                liked = (reached.count(other) - 1 + NEVER_SEEN) / (len(steps) - 1 + NEVER_SEEN * len(set(reached)))
                mixed = sum(share * one for share, one in zip(shares, led, strict=True))
                found += math.log(half / (hits + half) * liked * mixed + hits / (hits + half) * told)
            return found

        return max(HALVES, key=likely) / WALKS_TELL

    def learned(self, steps: list[tuple[int, int]]) -> tuple[list[float], float, float]:
        """The share of each way, that of near prices, and the half of what others turned to; the newest step comes
        first."""
        apart = [(one, steps[(place + distance) % len(steps)][1]) for distance in (172, 345)
                 for place, (one, _) in enumerate(steps)]  # fmt: skip
        near = self.near_share(apart, USUAL_NEAR)
        usual = [module._USUAL.get(way, module._USUAL["field"]) for way in self.ways]
        usual[-1] = module._USUAL["title"]
        leds = [self.led(one, other, near) for one, other in steps]
        if self.proves:
            usual.append(module._USUAL["turn"])
            leds = [[*led, self.turned(*step, steps, besides=1)] for step, led in zip(steps, leds, strict=True)]
        shares = usual = [one / sum(usual) for one in usual]
        for _ in range(TURNS):
            sums = [USUAL_STEPS * one for one in usual]
            for led in leds:
                whole = sum(share * one for share, one in zip(shares, led, strict=True))
                sums = [total + share * one / whole for total, share, one in zip(sums, shares, led, strict=True)]
            shares = [one / (len(steps) + USUAL_STEPS) for one in sums]
        return shares, near, self.half(steps, shares, leds) if self.proves else EVIDENT_HITS

    def chances(self, row: int, rows: list[int], steps: list[tuple[int, int]]) -> list[float]:
        shares, near, _ = self.learned(steps)
        own = self.near_share([(row, other) for other in rows], near)
        found = []
        for other in rows:
            led = self.led(row, other, own) + ([self.turned(row, other, steps, besides=0)] if self.proves else [])
            found.append(math.log(sum(share * one for share, one in zip(shares, led, strict=True))))
        return found


def fields_by(chance: random.Random) -> dict[str, Any]:
    title = [chance.choice(["oak", "elm", "ash"]), chance.choice(["table", "chair", "bed"]), str(chance.randint(1, 9))]
    fields: dict[str, Any] = {
        "title": " ".join(title), "category": chance.choice(["a", "b", "c"]), "author": chance.choice("xyz"),
        "tags": chance.sample("pqrs", 2), "price": round(chance.lognormvariate(3.0, 0.5), 2), "number": 7,
    }  # fmt: skip
    return {name: value for name, value in fields.items() if chance.random() < 0.9}


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_the_chance_is_that_of_the_plain_form(seed: int, proves: bool) -> None:
    """By these rules, and by those before them."""
    chance, shop = random.Random(seed), Shop(proves=proves)
    names = [f"i{number}" for number in range(20)]
    for name in names:
        shop.put(name, **fields_by(chance))
    for place in range(128):
        shop.view(1 + place // 8, chance.choice(names), 60_000 * place)
    shop.publish()
    plain = Plain(shop)
    steps = [step for step in reversed(shop.steps)
             if proves or (step[0] in plain.having and step[1] in plain.having)]  # fmt: skip
    page = next(name for name in names if shop.row(name) in plain.having)
    rows = sorted(shop.state.catalogue.at_row)
    assert shop.chances(page) == pytest.approx(plain.chances(shop.row(page), rows, steps))
    assert shop.transitions.of(shop.state, "shop", shop.index).half_hits == plain.learned(steps)[2]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_what_is_followed_is_what_is_read_anew(seed: int) -> None:
    """Whatever comes, changes, goes and is asked in between, and whose it is."""
    chance, shop = random.Random(seed), Shop()
    shop.put("i0", title="oak bed", category="a", price=1.0)
    for place in range(90):
        item, tenant = f"i{chance.randint(0, 9)}", chance.choice(["shop", "shop", "other"])
        if chance.random() < 0.3 and item != "i0":
            shop.state.catalogue.delete(ItemDeleted(START_MS, tenant, item))
        else:
            shop.put(item, tenant, **fields_by(chance), **{f"field{chance.randint(0, 20)}": "v"})
        shop.view(1 + place // 8, f"i{chance.randint(0, 9)}", 60_000 * place)
        shop.publish()
        if place % 9 == 0:
            fresh = shop.anew()
            assert shop.chances("i0") == fresh.chances("i0")
            assert (shop.transitions.of(shop.state, "shop", shop.index).half_hits
                    == fresh.transitions.of(fresh.state, "shop", fresh.index).half_hits)  # fmt: skip
    index = shop.index
    for row in range(30):
        item = shop.state.catalogue.at_row.get(row)
        keys = [] if item is None else values_of(item.fields)
        slots = index.values.slots[row]
        assert [index._keys[slot] for slot in (slots[slots > 0] - 1).tolist()] == keys
        assert bool(index.values.owners[row]) == bool(keys)
    counts = sum(int(index.values.counts[slot]) for slot in range(len(index._keys)))
    assert counts == sum(len(values_of(item.fields)) for item in shop.state.catalogue.at_row.values())


def test_where_nobody_has_gone_on_anywhere_what_is_usual_counts() -> None:
    shop = Shop()
    for number in range(12):
        shop.put(f"i{number}", category=f"c{number % 3}", author=f"a{number % 4}", price=10.0)
    chances = dict(zip(sorted(shop.state.catalogue.at_row), shop.chances("i0"), strict=True))
    both, none = shop.row("i0"), shop.row("i1")
    assert chances[both] > chances[shop.row("i3")] > chances[none], "the category, at one price, before nothing"
    assert chances[shop.row("i4")] > chances[none], "the author before nothing"


def test_people_of_a_shop_decide_which_field_counts() -> None:
    shop = Shop()
    for number in range(60):
        shop.put(f"i{number}", category=f"c{number % 6}", maker=f"m{number % 10}")
    for place in range(512):  # Everybody goes on to one of the same maker.
        shop.view(1 + place // 4, f"i{(place // 4 + 10 * place) % 60}", 60_000 * place)
    shop.publish()
    shares = dict(zip(("anywhere", "category", "maker", "near", "title", "turn"),
                      shop.transitions.of(shop.state, "shop", shop.index).shares, strict=True))  # fmt: skip
    assert shares["maker"] > 0.8
    assert max(share for name, share in shares.items() if name != "maker") < 0.1


def test_people_of_a_shop_decide_to_which_category_they_turn() -> None:
    """A shirt goes with trousers and not with another shirt; nothing else does so."""
    shop = Shop()
    for number in range(60):
        shop.put(f"i{number}", category=f"c{number % 6}")
    chance, now = random.Random(3), 0
    for place in range(256):  # From one category on to the next.
        if place % 4 == 0:
            now = chance.randrange(6)
        shop.view(1 + place // 4, f"i{6 * chance.randrange(10) + (now + place % 4) % 6}", 60_000 * place)
    shop.publish()
    chances = dict(zip(sorted(shop.state.catalogue.at_row), shop.chances("i0"), strict=True))
    next_one, own, far = (chances[shop.row(name)] for name in ("i1", "i6", "i3"))
    assert next_one > own + 1.0
    assert next_one > far + 1.0


def test_what_others_turned_to_counts_early_where_people_follow_one_another() -> None:
    """And no earlier than usual where they go anywhere."""
    halves = {}
    for follows in (True, False):
        shop, chance = Shop(), random.Random(5)
        for number in range(40):
            shop.put(f"i{number}")
        for place in range(512):
            step = (place // 4 + place % 4) % 40 if follows else chance.randrange(40)
            shop.view(1 + place // 4, f"i{step}", 60_000 * place)
        shop.publish()
        halves[follows] = shop.transitions.of(shop.state, "shop", shop.index).half_hits
    bare = Shop()
    bare.put("i0", category="a")
    usual = bare.transitions.of(bare.state, "shop", bare.index).half_hits
    assert usual == EVIDENT_HITS
    assert halves[True] < usual <= halves[False]


def test_a_price_tells_anew_and_a_stock_does_not() -> None:
    shop = Shop()
    for number in range(8):
        shop.put(f"i{number}", category="a", price=10.0, stock=5)
    for place in range(64):
        shop.view(1, f"i{place % 8}", 60_000 * place)
    shop.publish()
    learned = shop.transitions.of(shop.state, "shop", shop.index)
    shop.put("i1", category="a", price=10.0, stock=4)
    assert shop.transitions.of(shop.state, "shop", shop.index).shares is learned.shares
    shop.put("i1", category="a", price=30.0, stock=4)
    told = shop.transitions.of(shop.state, "shop", shop.index)
    assert told.shares.tolist() == shop.anew().transitions.of(shop.state, "shop", shop.index).shares.tolist()
    assert told.shares.tolist() != learned.shares.tolist()


def test_the_values_of_an_item_are_bounded() -> None:
    words = " ".join(f"word{number}" for number in range(2 * WORDS_IN_COMMON_MAX))
    many = {f"field{number:02}": f"v{number}" for number in range(2 * VALUES_IN_COMMON_MAX)}
    values = values_of({"title": words, "category": "a", **many, "link": "https://shop.example/1"})
    assert len(values) == VALUES_IN_COMMON_MAX
    assert sum(name == TITLE for name, _ in values) == WORDS_IN_COMMON_MAX
    assert ("category", "a") in values
    assert values_of({"about": "x" * (VALUE_IN_COMMON_CHARS_MAX + 1)}) == []
    assert values_of({"about": "x" * VALUE_IN_COMMON_CHARS_MAX}) != []


def test_the_fields_are_those_that_most_items_have() -> None:
    shop = Shop()
    for number in range(2):
        further = {f"field{place:02}": f"v{place}" for place in range(FIELDS_IN_COMMON_MAX + 1)}
        shop.put(f"i{number}", zone="z", **further)
    shop.put("i2", zone="z", field12="v")
    code = shop.state.catalogue.code_of("shop")
    fields = shop.index.fields(code)
    assert len(fields.names) == FIELDS_IN_COMMON_MAX
    assert {"zone", "field12", "field00"} < set(fields.names)
    assert "field11" not in fields.names, "as many have it as others, which come before it by name"


def test_so_many_changed_items_are_read_at_once_while_nobody_asks() -> None:
    shop = Shop()
    shop.put("i0", category="a")
    shop.commons.follow(shop.state)
    for number in range(VALUES_FOLLOWED_MAX + 1):
        shop.put(f"i{number}", category="a")
    shop.commons.follow(shop.state)
    index = shop.commons._index_of(shop.state)
    assert int(np.count_nonzero(index.values.owners)) == VALUES_FOLLOWED_MAX
    assert int(np.count_nonzero(shop.index.values.owners)) == VALUES_FOLLOWED_MAX + 1


def test_so_many_tenants_are_known_between_decisions() -> None:
    shop = Shop()
    for number in range(TENANTS_STANDING_MAX + 1):
        shop.put("i", f"tenant{number}", category="a")
        shop.chances("i", f"tenant{number}")
    assert len(shop.transitions._known) == TENANTS_STANDING_MAX
