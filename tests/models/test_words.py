"""The index of words against a plain one that reads the whole catalogue for every question."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.events.envelope import Configured, ItemDeleted, ItemPatched, ItemUpserted
from instanter.features.compile import compile_features
from instanter.features.declaration import DEFAULT_FEATURES
from instanter.foundation import limits
from instanter.foundation.limits import (
    ALIKE_ENTRIES_MAX,
    CHANGES_FOLLOWED_MAX,
    FIELD_WORDS_CHARS_MAX,
    ITEM_WORDS_MAX,
    PREFIX_WORDS_MAX,
    QUERY_WORDS_MAX,
    WORD_CHARS_MAX,
    WORDS_FOLLOWED_MAX,
)
from instanter.models import words
from instanter.models.item_words import Query, read_query, words_in, words_of
from instanter.models.words import ALIKE_MIN, BEGUN, LENGTH_SHARE, SATURATION, WORDS_SHARE, WordIndex, Words
from instanter.state.memory import State

START_MS = 1_700_000_000_000
SCHEMA = compile_features(DEFAULT_FEATURES, memory_mb=64, items_max=2_000)
NOBODY_LIKED = np.zeros(0, np.int64)


class Shelf:
    """A catalogue that changes."""

    def __init__(self) -> None:
        self.state = State(SCHEMA)
        self.state.configure(Configured(START_MS, {}, SCHEMA.declared()))
        self.words = Words()

    def put(self, item: str, tenant: str = "shop", **fields: object) -> int:
        self.state.catalogue.upsert(ItemUpserted(START_MS, tenant, item, fields))
        return self.row(item, tenant)

    def row(self, item: str, tenant: str = "shop") -> int:
        return self.state.find_item(self.state.catalogue.ref_of(tenant, item))

    @property
    def index(self) -> WordIndex:
        return self.words.of(self.state)

    def search(self, text: str, limit: int = 10, popular: np.ndarray = NOBODY_LIKED) -> list[str]:
        return self.ids(self.index.search("shop", read_query(text), popular, limit).rows)

    def alike(self, *items: str, limit: int = 10) -> list[str]:
        return self.ids(self.index.alike("shop", [self.row(item) for item in items], limit)[0])

    def ids(self, rows: np.ndarray) -> list[str]:
        return [self.state.catalogue.id_at(row) for row in rows.tolist()]


class Plain:
    """The same by looking at every item, one after the other."""

    def __init__(self, state: State, tenant: str) -> None:
        catalogue = state.catalogue
        self.available = catalogue.available
        self.items = {
            row: weights for row, item in catalogue.at_row.items()
            if item.tenant == tenant and (weights := words_of(item.fields))
        }  # fmt: skip
        self.mean = sum(map(self.length, self.items)) / len(self.items) if self.items else 1.0

    def length(self, row: int) -> int:
        return sum(self.items[row].values())

    def having(self, word: str) -> int:
        return sum(word in weights for weights in self.items.values())

    def rarity(self, having: int) -> float:
        return math.log(1.0 + (len(self.items) - having + 0.5) / (having + 0.5))

    def counts(self, word: str, row: int) -> float:
        """What a word counts in an item, 0 where it is not."""
        weight = float(self.items[row].get(word, 0))
        less = SATURATION * (1.0 - LENGTH_SHARE + LENGTH_SHARE * self.length(row) / self.mean)
        return weight * (SATURATION + 1.0) / (weight + less)

    def terms(self, query: Query) -> list[tuple[float, dict[str, float]]]:
        found = []
        every = sorted({word for weights in self.items.values() for word in weights})
        for place, word in enumerate(query.words):
            meant = {word: 1.0} if word in every else {}
            if place == len(query.words) - 1 and len(query.beginning) > 1:
                begun = [one for one in every if one.startswith(query.beginning)]
                begun.sort(key=lambda one: (-self.having(one), one))
                meant |= {one: BEGUN for one in begun[:PREFIX_WORDS_MAX] if one not in meant}
            if meant:
                entries = sum(map(self.having, meant))
                found.append((entries, self.rarity(min(entries, len(self.items))), meant))
        found.sort(key=lambda one: one[0])
        return [(gain, meant) for _, gain, meant in found]

    def search(self, query: Query, popular: list[int], limit: int) -> list[tuple[int, int, float]]:
        """Row, words of the query that it has, and how well it matches."""
        terms = self.terms(query)
        matched = {}
        for row, weights in self.items.items():
            added = [max((gain * count * self.counts(word, row) for word, count in meant.items() if word in weights),
                         default=-1.0) for gain, meant in terms]  # fmt: skip
            if self.available[row] and max(added, default=-1.0) >= 0.0:
                matched[row] = (sum(one >= 0.0 for one in added), sum(one for one in added if one >= 0.0))
        order = sorted(matched, key=lambda row: (-matched[row][0], -matched[row][1], row))
        most = matched[order[0]][0] if order else 0
        liked = [row for row in popular if row in matched and matched[row][0] == most][: limit // 2]
        chosen = set([*liked, *(row for row in order[:limit] if row not in liked)][:limit])
        best = sum(gain for gain, _ in terms) * 255.0 * (SATURATION + 1.0) / (255.0 + SATURATION)
        return [
            (row, matched[row][0], WORDS_SHARE * matched[row][0] / len(query.words)
             + (1.0 - WORDS_SHARE) * min(matched[row][1] / best, 1.0))
            for row in order if row in chosen
        ]  # fmt: skip

    def gains(self, row: int) -> dict[str, float]:
        gains = {
            word: self.rarity(self.having(word)) * weight / (weight + SATURATION)
            for word, weight in self.items.get(row, {}).items()
        }
        own = sum(gain * self.counts(word, row) for word, gain in gains.items())
        return {word: gain / own for word, gain in gains.items()}

    def likeness(self, row: int, other: int) -> float:
        if not self.items.get(row) or not self.items.get(other) or row == other:
            return math.nan
        return min(sum(gain * self.counts(word, other) for word, gain in self.gains(row).items()), 1.0)

    def alike(self, to: list[int], limit: int) -> list[tuple[int, float]]:
        gains = dict[str, float]()
        for place, row in enumerate(to):
            for word, gain in self.gains(row).items():
                gains[word] = gains.get(word, 0.0) + gain / (1.0 + place)
        scores = {
            row: min(sum(gain * self.counts(word, row) for word, gain in gains.items()), 1.0)
            for row in self.items if self.available[row] and row not in to
        }
        order = sorted(scores, key=lambda row: (-round(scores[row], 9), row))
        return [(row, scores[row]) for row in order if scores[row] >= ALIKE_MIN][:limit]


NAMES = st.sampled_from([f"item-{number}" for number in range(6)])
WRITTEN = ["red", "Reds", "blue", "sofa", "sofas", "sofabed", "oak", "table", "tab", "lamp", "é", "3"]
TEXTS = st.lists(st.sampled_from(WRITTEN), max_size=5).map(" ".join)
CHANGES = st.lists(st.one_of(
    st.tuples(st.just("put"), NAMES, TEXTS, st.sampled_from(["sofas", "lamps"]), st.sampled_from(["shop", "rival"])),
    st.tuples(st.just("patch"), NAMES, TEXTS, st.integers(0, 1), st.sampled_from(["shop", "rival"])),
    st.tuples(st.just("delete"), NAMES, st.sampled_from(["shop", "rival"])),
    st.tuples(st.just("look")),
), max_size=30)  # fmt: skip


def change(shelf: Shelf, what: tuple[Any, ...]) -> None:
    catalogue = shelf.state.catalogue
    if what[0] == "put":
        shelf.put(what[1], what[4], title=what[2], category=what[3])
    elif what[0] == "patch":
        catalogue.patch(ItemPatched(START_MS, what[4], what[1], {"title": what[2], "stock": what[3]}))
    elif what[0] == "delete":
        catalogue.delete(ItemDeleted(START_MS, what[2], what[1]))
    else:
        assert shelf.index


@settings(deadline=None, max_examples=150)
@given(changes=CHANGES, text=TEXTS, limit=st.integers(1, 6))
def test_it_finds_what_a_look_at_every_item_finds_however_the_catalogue_came_to_be(changes, text, limit) -> None:
    shelf = Shelf()
    for one in changes:
        change(shelf, one)
    plain, query = Plain(shelf.state, "shop"), read_query(text)
    popular = sorted(plain.items, reverse=True)
    found = shelf.index.search("shop", query, np.array(popular, np.int64), limit)
    expected = plain.search(query, popular, limit)
    assert [*zip(found.rows.tolist(), found.words.tolist(), strict=True)] == [one[:2] for one in expected]
    assert found.shares.tolist() == pytest.approx([one[2] for one in expected])
    anew = Words().of(shelf.state).search("shop", query, np.array(popular, np.int64), limit)
    assert [part.tobytes() for part in anew] == [part.tobytes() for part in found], "the same, however it came to be"


@settings(deadline=None, max_examples=150)
@given(changes=CHANGES, to=st.lists(NAMES, min_size=1, max_size=3, unique=True), limit=st.integers(1, 6))
def test_what_is_alike_is_what_a_look_at_every_item_finds(changes, to, limit) -> None:
    shelf = Shelf()
    for one in changes:
        change(shelf, one)
    plain = Plain(shelf.state, "shop")
    rows = [row for item in to if (row := shelf.row(item)) >= 0]
    found, scores = shelf.index.alike("shop", rows, limit)
    expected = plain.alike(rows, limit)
    assert scores.tolist() == pytest.approx([score for _, score in expected])
    assert sorted(round(score, 9) for score in scores.tolist()) == sorted(round(score, 9) for _, score in expected)
    anew, others = Words().of(shelf.state).alike("shop", rows, limit)
    assert (anew.tobytes(), others.tobytes()) == (found.tobytes(), scores.tobytes())
    for row in rows:
        every = np.array([*plain.items, -1], np.int64)
        likeness = shelf.index.likeness("shop", row, every).tolist()
        assert likeness == pytest.approx([plain.likeness(row, other) for other in every.tolist()], nan_ok=True)


@pytest.mark.parametrize("limit", [1, 7, 60, 500])
def test_of_many_that_are_alike_the_best_are_kept_in_order_and_those_that_cannot_be_shown_are_not(limit: int) -> None:
    shelf, words = Shelf(), ["red", "blue", "sofa", "oak", "table", "lamp", "linen", "small"]
    for number in range(300):
        own = [word for place, word in enumerate(words) if number * 2_654_435_761 >> place & 3 == 0]
        shelf.put(f"item-{number}", title=" ".join(own), stock=int(number % 7 > 0))
    plain, rows = Plain(shelf.state, "shop"), [shelf.row("item-3"), shelf.row("item-8")]
    found, scores = shelf.index.alike("shop", rows, limit)
    assert scores.tolist() == pytest.approx([score for _, score in plain.alike(rows, limit)])
    assert scores.tolist() == sorted(scores.tolist(), reverse=True)
    pairs = [*zip(scores.tolist(), found.tolist(), strict=True)]
    alike = [(row, after) for (score, row), (same, after) in itertools.pairwise(pairs) if score == same < 1.0]
    assert all(row < after for row, after in alike), "ties go by row"
    again, others = shelf.index.alike("shop", rows, limit)
    assert (again.tobytes(), others.tobytes()) == (found.tobytes(), scores.tobytes()), "nothing is left behind"


def test_the_words_of_another_tenant_are_nobodys_business() -> None:
    shelf = Shelf()
    shelf.put("sofa", title="Red sofa")
    rival = shelf.put("secret", "rival", title="Red secret sofa")
    assert shelf.search("secret") == []
    assert shelf.search("red") == ["sofa"]
    assert shelf.index.alike("shop", [rival], 5)[0].tolist() == []
    assert np.isnan(shelf.index.likeness("shop", rival, np.array([shelf.row("sofa")]))).all()
    assert shelf.index.search("nobody", read_query("red"), NOBODY_LIKED, 5) is words.NO_MATCHES


def test_what_is_sold_out_is_not_found_and_comes_back() -> None:
    shelf = Shelf()
    shelf.put("a", title="Sofa"), shelf.put("b", title="Sofa", stock=0)
    assert shelf.search("sofa") == ["a"]
    shelf.put("b", title="Sofa", stock=1)
    assert shelf.search("sofa") == ["a", "b"]


def test_more_changes_than_are_remembered_one_by_one_are_followed_all_the_same() -> None:
    shelf = Shelf()
    shelf.put("first", title="Sofa")
    assert shelf.search("sofa") == ["first"]
    for number in range(CHANGES_FOLLOWED_MAX + 1):
        shelf.put(f"item-{number}", title=f"Lamp {number}")
    assert shelf.search("lamp 77", 1) == ["item-77"]
    assert shelf.search("sofa") == ["first"]


def test_after_a_fold_a_bounded_step_is_taken_and_who_asks_finds_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, read = Shelf(), list[int]()
    shelf.put("first", title="Sofa")
    shelf.words.follow(shelf.state)
    known = WordIndex._read

    def reading(index: WordIndex, row: int) -> None:
        read.append(row)
        known(index, row)

    monkeypatch.setattr(WordIndex, "_read", reading)
    for number in range(2 * WORDS_FOLLOWED_MAX):
        shelf.put(f"item-{number}", title=f"Lamp {number}")
    shelf.words.follow(shelf.state)
    assert len(read) == WORDS_FOLLOWED_MAX
    shelf.put("item-1", title="Chair")
    assert shelf.search("chair") == ["item-1"]
    assert len(read) == 2 * WORDS_FOLLOWED_MAX + 1
    shelf.words.follow(shelf.state)
    assert len(read) == 2 * WORDS_FOLLOWED_MAX + 1, "nothing is left to do"


def test_words_that_no_item_has_any_more_leave_nothing_behind() -> None:
    shelf = Shelf()
    for number in range(3_000):
        shelf.put("a", title=f"word{number}x{number} twice")
        assert shelf.index
    assert len(shelf.index._texts) <= 4
    assert shelf.search("word7x7") == []
    assert shelf.search("word29") == ["a"], "by its beginning"


def test_lists_are_written_again_when_the_room_for_them_is_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "_ENTRIES_MIN", 64)
    monkeypatch.setattr(words, "_SLOTS_MIN", 4)
    shelf, chance = Shelf(), random.Random(5)
    for _ in range(20):
        for _ in range(40):
            shelf.put(f"i{chance.randrange(60)}", title=" ".join(chance.choices("abcdefghijklmnop", k=6)))
        plain = Plain(shelf.state, "shop")
        query = read_query("a b c ")
        found = shelf.index.search("shop", query, NOBODY_LIKED, 60)
        assert found.rows.tolist() == [row for row, _, _ in plain.search(query, [], 60)]


def test_the_page_of_an_item_without_words_is_alike_to_nothing() -> None:
    shelf = Shelf()
    row, other = shelf.put("bare", price=3), shelf.put("sofa", title="Sofa")
    assert shelf.alike("bare") == []
    assert np.isnan(shelf.index.likeness("shop", row, np.array([other]))).all()
    assert np.isnan(shelf.index.likeness("shop", other, np.array([row, -1]))).all()
    twin = shelf.put("twin", title="Sofa")
    likeness = shelf.index.likeness("shop", other, np.array([other, twin]))
    assert np.isnan(likeness[0]), "it is not alike, it is the same"
    assert likeness[1] == 1.0


# Bounds.


def test_so_many_words_of_an_item_count_and_title_words_first() -> None:
    many = {"title": "first", "more": " ".join(f"w{number}" for number in range(ITEM_WORDS_MAX + 5))}
    assert len(words_of(many)) == ITEM_WORDS_MAX
    assert "first" in words_of({**many, "aaa": many["more"]})


def test_a_long_word_counts_by_its_beginning_and_a_long_text_likewise() -> None:
    assert words_in("x" * (WORD_CHARS_MAX + 9)) == ["x" * WORD_CHARS_MAX]
    text = "y" * (FIELD_WORDS_CHARS_MAX - 3) + " abcd"
    assert "ab" in words_of({"description": text})
    assert len(read_query("z" * 99).beginning) == WORD_CHARS_MAX


def test_so_many_words_of_a_query_are_looked_for() -> None:
    query = read_query(" ".join(f"w{number}" for number in range(QUERY_WORDS_MAX + 1)))
    assert len(query.words) == QUERY_WORDS_MAX
    assert query.beginning == "", "the last one that counts is not the one that is being typed"


def test_a_beginning_stands_for_the_words_that_most_items_have() -> None:
    shelf = Shelf()
    for number in range(PREFIX_WORDS_MAX + 1):
        shelf.put(f"i{number}", title=f"so{number:03}")
    shelf.put("twice", title=f"so{PREFIX_WORDS_MAX:03}")
    found = shelf.search("so", 2 * PREFIX_WORDS_MAX)
    assert len(found) == PREFIX_WORDS_MAX + 1
    assert "twice" in found
    assert f"i{PREFIX_WORDS_MAX - 1}" not in found


def test_the_most_common_words_of_a_long_query_are_left_out() -> None:
    assert limits.SEARCHED_ENTRIES_MAX > 5
    shelf = Shelf()
    for number in range(9):
        shelf.put(f"i{number}", title="sofa red" if number < 4 else "sofa")
    found = shelf.index.search("shop", read_query("red sofa "), NOBODY_LIKED, 20, 5)
    assert shelf.ids(found.rows) == ["i0", "i1", "i2", "i3"]
    assert found.shares[0] > WORDS_SHARE, "all that was looked for is there"


def test_for_very_common_words_nobody_looks_for_all_items_that_are_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "ALIKE_ENTRIES_MAX", 4)
    assert ALIKE_ENTRIES_MAX > 4
    shelf = Shelf()
    for number in range(9):
        shelf.put(f"i{number}", title="oak table" if number < 3 else "pine table")
    assert shelf.alike("i0") == ["i1", "i2"]


# What is read of texts.


@pytest.mark.parametrize(("query", "title"), [
    ("SOFA", "red sofas"), ("sofas", "Sofa"), ("canape", "Canapé d'angle"), ("grosse", "Große Leuchte"),
    ("iphone 15", "Apple iPhone-15"), ("lampe", "LAMPES"), ("adidas", "Adidas Samba"), ("sam", "Adidas Samba"),
])  # fmt: skip
def test_how_it_is_written_makes_no_difference(query: str, title: str) -> None:
    shelf = Shelf()
    shelf.put("it", title=title), shelf.put("other", title="something else")
    assert shelf.search(query) == ["it"]


def test_fields_that_nobody_searches_by_hold_no_words() -> None:
    fields = {"title": "Sofa", "link": "https://shop.example/red", "currency": "EUR", "availability": "in_stock",
              "price": 3, "image": ["https://x.example/blue.png"], "colours": ["green", 3], "made": {"in": "oak"}}
    assert set(words_of(fields)) == {"sofa", "green"}
    assert words_of({"Product-Name": "Red sofa"}) == {"red": 3, "sofa": 3}
    assert words_of({"description": "<b>Red</b> sofa"}) == {"red": 1, "sofa": 1}


def test_items_with_all_words_come_before_those_with_some() -> None:
    shelf = Shelf()
    shelf.put("some", title="sofa sofa", category="sofa", brand="sofa")
    shelf.put("all", title="a long title that says much and is of a red velvet sofa too")
    assert shelf.search("red sofa ") == ["all", "some"]


def test_half_of_the_places_are_for_popular_items_that_match_as_well() -> None:
    shelf = Shelf()
    for number in range(8):
        shelf.put(f"i{number}", title="sofa")
    last = np.array([shelf.row("i7"), shelf.row("i6"), shelf.row("i5")])
    assert set(shelf.search("sofa", 4, last)) == {"i0", "i1", "i6", "i7"}


def test_memory_by_item_is_told() -> None:
    shelf = Shelf()
    nothing = shelf.index.held_bytes
    shelf.put("a", title="Sofa")
    assert shelf.index.held_bytes > nothing
