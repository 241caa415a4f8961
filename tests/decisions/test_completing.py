"""Completing what is being typed: words of items, in an order that is popular and personal, and items beside them."""

from __future__ import annotations

import numpy as np
import pytest

from instanter.decisions.completing import asked_for
from instanter.decisions.fallback import Stages
from instanter.decisions.request import CompleteReply, CompleteRequest
from instanter.decisions.searching import searched
from instanter.events.envelope import ItemPatched
from instanter.foundation.deadline import Deadline
from instanter.foundation.errors import RequestRejected
from instanter.foundation.limits import (
    COMPLETED_ENTRIES_MAX,
    COMPLETED_FOUND_MAX,
    COMPLETED_ROWS_MAX,
    PREFIX_WORDS_MAX,
)
from instanter.models import completions
from instanter.models.completions import together
from instanter.models.item_words import read_query, words_of

from .conftest import START_MS, TENANT

ADA = 5 << 40
GOODS = (
    ("red-sofa", "Red velvet sofa", "Sofas"), ("blue-sofa", "Blue sofa", "Sofas"), ("sofa-bed", "Blue sofabed", "Beds"),
    ("red-lamp", "Red lamp", "Lamps"), ("oak-table", "Oak table", "Tables"), ("shoe", "ADIDAS Samba", "Shoes"),
    ("cafe", "Café au lait", "Coffee"),
)  # fmt: skip


@pytest.fixture
def furniture(shop):
    for item_id, title, category in GOODS:
        shop.item(item_id, title=title, category=category, price=20.0, stock=3)
    return shop


def complete(shop, query: str, *, keys=(), after_ms: int = 3_600_000, deadline=None, denied=frozenset(), **options):
    request = CompleteRequest(query=query, **options)
    reply = shop.decider.complete(
        request, state=shop.state, keys=keys, tenant=TENANT, now_ms=START_MS + after_ms, position=77,
        deadline=deadline or Deadline(600_000), meter=shop.meter, denied=denied,
    )  # fmt: skip
    assert isinstance(reply, CompleteReply)
    return reply


def texts(reply) -> list[str]:
    return [one.query for one in reply.completions]


def items(reply) -> list[str]:
    return [one.id for one in reply.items]


def test_the_last_word_is_completed_as_items_write_it_and_the_rest_stands(furniture) -> None:
    reply = complete(furniture, "Red so")
    assert texts(reply) == ["Red sofa"]
    assert reply.completions[0].items == 1
    assert items(reply)[0] == "red-sofa"
    assert reply.reason == ""
    assert texts(complete(furniture, "adi")) == ["adidas"]
    assert texts(complete(furniture, "caf")) == ["café"]
    assert texts(complete(furniture, "CAFÉ")) == ["café"]


def test_what_most_items_have_comes_first_where_nothing_is_known_of_anybody(furniture) -> None:
    reply = complete(furniture, "sof")
    assert [(one.query, one.items) for one in reply.completions] == [("sofa", 2), ("sofabed", 1)]
    assert set(items(reply)) == {"red-sofa", "blue-sofa", "sofa-bed"}


def test_a_word_that_is_whole_in_several_stays_as_it_is_typed(furniture) -> None:
    assert texts(complete(furniture, "sofas")) == ["sofas"]


def test_what_the_person_looked_at_comes_before_what_most_have_and_only_if_they_agree(furniture) -> None:
    for place in range(2):
        furniture.happen("Product Viewed", "sofa-bed", key=ADA, after_ms=place)
    furniture.happen("Product Viewed", "red-sofa", key=8 << 40)
    furniture.publish()
    assert texts(complete(furniture, "sof", keys=(ADA,)))[0] == "sofabed"
    assert texts(complete(furniture, "sof", keys=(9 << 40,)))[0] == "sofa"
    assert texts(complete(furniture, "sof", keys=(ADA,), denied=frozenset({"personalization"})))[0] == "sofa"


def test_what_is_popular_comes_before_what_is_only_frequent(furniture) -> None:
    furniture.item("third-sofa", title="Sofa", category="Sofas")
    furniture.item("another-bed", title="Sofabed", category="Beds")
    for key in range(3):
        furniture.happen("Product Clicked", "another-bed", key=(20 + key) << 40)
        furniture.happen("Product Clicked", "sofa-bed", key=(30 + key) << 40)
    furniture.publish()
    assert texts(complete(furniture, "sof"))[0] == "sofabed"


def test_only_such_words_as_items_have_together_with_those_before_it(furniture) -> None:
    assert texts(complete(furniture, "blue so")) == ["blue sofa", "blue sofabed"]
    assert texts(complete(furniture, "oak so")) == []
    assert texts(complete(furniture, "unheard so")) == ["unheard sofa", "unheard sofabed"]


def test_what_is_sold_out_is_not_completed(furniture) -> None:
    furniture.state.catalogue.patch(ItemPatched(START_MS, TENANT, "sofa-bed", {"stock": 0}, 1))
    assert texts(complete(furniture, "sof")) == ["sofa"]
    assert texts(complete(furniture, "blue so")) == ["blue sofa"]


@pytest.mark.parametrize("query", ["xyz", "s", "!", "so ", "sof,"])
def test_what_begins_no_word_is_not_completed(furniture, query: str) -> None:
    assert texts(complete(furniture, query)) == []


def test_where_nothing_matches_items_are_what_is_popular_and_that_is_said(furniture) -> None:
    for key in range(3):
        furniture.happen("Product Clicked", "oak-table", key=(20 + key) << 40)
    furniture.publish()
    reply = complete(furniture, "xyz")
    assert (reply.completions, reply.reason, items(reply)[0]) == ([], "nothing_matched", "oak-table")
    for blank in ("", "  "):
        reply = complete(furniture, blank)
        assert (reply.completions, reply.reason, items(reply)[0]) == ([], "nothing_typed", "oak-table")


def test_as_many_as_were_asked_for(furniture) -> None:
    reply = complete(furniture, "sof", limit=1, items=0)
    assert (len(reply.completions), reply.items, reply.served_by) == (1, [], "")
    assert len(complete(furniture, "sof", items=2).items) == 2


def test_items_are_the_first_of_fewer_candidates_than_a_decision_has(shop) -> None:
    for number in range(COMPLETED_FOUND_MAX + 30):
        shop.item(f"item-{number}", title="sofa", stock=1)
    asked = asked_for(shop.decider._spots["search"], "sofa", 6)
    moment = shop.decider.look(shop.state, (), TENANT, START_MS, Stages(Deadline(600_000), shop.meter))
    assert len(searched(moment, asked)) == COMPLETED_FOUND_MAX


def test_another_tenants_words_are_nobodys_business(furniture) -> None:
    reply = furniture.decider.complete(
        CompleteRequest(query="sof"), state=furniture.state, keys=(), tenant="other", now_ms=START_MS, position=77,
        deadline=Deadline(600_000), meter=furniture.meter,
    )  # fmt: skip
    assert (reply.completions, reply.items) == ([], [])


def test_an_empty_catalogue_completes_nothing(shop) -> None:
    reply = complete(shop, "sof")
    assert (reply.completions, reply.items, reply.reason) == ([], [], "empty_catalogue")


def test_a_placement_that_finds_nothing_by_a_query_is_refused(furniture) -> None:
    with pytest.raises(RequestRejected, match="finds nothing by a query") as refused:
        complete(furniture, "sof", placement="home.hero")
    assert refused.value.code == "schema"
    with pytest.raises(RequestRejected, match='did you mean "search"') as unknown:
        complete(furniture, "sof", placement="serach")
    assert unknown.value.code == "unknown_placement"


def test_when_time_is_up_there_are_items_without_completions_and_it_is_told(furniture) -> None:
    readings = iter(range(0, 10**15, 10**9))
    reply = complete(furniture, "sof", deadline=Deadline(1.0, stopwatch=lambda: next(readings)))
    assert reply.completions == []
    assert len(reply.items) == 3
    assert "candidates" in reply.degraded


def test_the_same_is_completed_the_same_and_nothing_is_marked_afterwards(furniture) -> None:
    assert complete(furniture, "blue so").completions == complete(furniture, "blue so").completions
    index = furniture.decider._words.of(furniture.state)
    assert not index._marks.any()


def test_a_search_after_it_finds_what_it_found_before(furniture, ids) -> None:
    before = ids(furniture.ask("search", query="blue so"))
    complete(furniture, "blue so")
    assert ids(furniture.ask("search", query="blue so")) == before


def by_hand(catalogue, popular: list[int], own: list[int], query: str) -> list[tuple[str, int]]:
    """The oracle: by the words of every item, one after the other."""
    asked = read_query(query)
    having = {row: set(words_of(item.fields)) for row, item in catalogue.at_row.items() if catalogue.available[row]}
    known = set().union(*having.values())
    needed = {word for word in asked.words[:-1] if word in known}
    fit = {row: words for row, words in having.items() if needed <= words}
    begun = {word for word in known if word.startswith(asked.beginning)} | ({asked.words[-1]} & known)
    counts = {word: sum(word in words for words in fit.values()) for word in begun}
    liked = {word: float(sum(word in fit.get(row, ()) for row in popular)) for word in begun}
    theirs = {word: sum((word in fit.get(row, ())) / (1.0 + at) for at, row in enumerate(own)) for word in begun}
    scores = dict.fromkeys(begun, 0.0)
    for amounts in (counts, liked, theirs):
        most = max(amounts.values(), default=0)
        for word in begun:
            scores[word] += amounts[word] / most if most else 0.0
    order = sorted((word for word in begun if counts[word]), key=lambda word: (-scores[word], word))
    return [(word, counts[word]) for word in order]


@pytest.mark.parametrize("seed", range(8))
def test_it_is_what_looking_at_every_item_comes_to(shop, seed: int) -> None:
    chance = np.random.default_rng(seed)
    syllables = ["so", "fa", "ra", "ri", "ta", "bo", "ne", "lu"]
    for number in range(300):
        words = ["".join(chance.choice(syllables, int(chance.integers(1, 4)))) for _ in range(5)]
        stock = int(chance.integers(0, 4))
        shop.item(f"item-{number}", title=" ".join(words), category=str(chance.choice(syllables)), stock=stock)
    index = shop.decider._words.of(shop.state)
    rows = chance.permutation(300)
    for text in ("so", "sof", "ra ri", "ta bo ne", "sora", "lu ra s"):
        query = read_query(text)
        popular, own = rows[:40].astype(np.int64), rows[40:50].astype(np.int64)
        found = [(one.word, one.items) for one in index.complete(TENANT, query, popular, own, 1_000)]
        assert found == by_hand(shop.state.catalogue, popular.tolist(), own.tolist(), text)[: len(found)]
        assert len(found) <= PREFIX_WORDS_MAX


def test_of_more_than_is_looked_at_the_counts_are_about_right(shop, monkeypatch) -> None:
    for number in range(400):
        shop.item(f"item-{number}", title="sofa red" if number % 2 else "sofa", stock=1)
    monkeypatch.setattr(completions, "COMPLETED_ENTRIES_MAX", COMPLETED_ENTRIES_MAX // 512)
    assert [one.items for one in complete(shop, "sof").completions] == [400]
    monkeypatch.setattr(completions, "COMPLETED_ROWS_MAX", COMPLETED_ROWS_MAX // 64)
    assert complete(shop, "red sof").completions[0].items <= COMPLETED_ROWS_MAX // 64


def test_what_nobody_has_adds_nothing() -> None:
    assert together(np.zeros(2), np.zeros(2)).tolist() == [0.0, 0.0]
    assert together(np.zeros(0)).tolist() == []
