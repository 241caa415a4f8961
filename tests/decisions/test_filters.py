"""What every hard filter does, whichever it is: the suite runs over all that are registered."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from instanter.decisions.candidates import Pool, given_by, of_caller
from instanter.decisions.eligibility import FILTERS, Filters, judge, reason_of
from instanter.decisions.request import Candidate
from instanter.events.envelope import ItemDeleted, ItemUpserted
from instanter.events.items import GROUP, SHOWN_FROM, SHOWN_UNTIL
from instanter.features.roles import ROLES
from instanter.foundation.ids import item_reference

START_MS, HOUR_MS = 1_700_000_000_000, 3_600_000
EVERY_FILTER = pytest.mark.parametrize("name", FILTERS)
EXPECTED = {
    "plain": "", "sold out": "out_of_stock", "back": "", "none left": "out_of_stock", "gone": "deleted", "unheard": "",
    "later": "not_yet_available", "over": "expired", "page": "page_item", "bought": "just_bought",
    "shown": "shown_elsewhere", "page's twin": "same_group", "bought's twin": "just_bought",
    "shown's twin": "shown_elsewhere", "cart": "in_cart", "cart's twin": "in_cart",
    "seen": "seen_before", "seen's twin": "seen_before",
}  # fmt: skip
STOCKS = {"back": 1, "none left": 0}
"""What the request says of the stock."""


def at(hours: float) -> str:
    return datetime.fromtimestamp((START_MS + hours * HOUR_MS) / 1_000, UTC).isoformat()


FIELDS: dict[str, dict[str, object]] = {
    "sold out": {"stock": 0}, "back": {"stock": 0}, "later": {SHOWN_FROM: at(1)}, "over": {SHOWN_UNTIL: at(-1)},
    **{
        name: {GROUP: name.split("'")[0]}
        for name in EXPECTED if name.split("'")[0] in ("page", "bought", "shown", "cart", "seen")
    },
}  # fmt: skip


def ref(name: str) -> int:
    return item_reference("shop", name)


@pytest.fixture
def state(shop):
    for name in EXPECTED:
        if name != "unheard":
            own = {"title": name, "price": 2.0} | FIELDS.get(name, {})
            shop.state.catalogue.upsert(ItemUpserted(START_MS, "shop", name, own, canonical=1))
    shop.state.catalogue.delete(ItemDeleted(START_MS, "shop", "gone"))
    return shop.state


def pool_of(state, *names: str) -> Pool:
    asked = [Candidate(id=name, fields={"stock": STOCKS[name]}) if name in STOCKS else name for name in names]
    return of_caller(state, given_by(state.catalogue, "shop", asked, frozenset({"stock"})), START_MS)


def ruled_out(state) -> Filters:
    catalogue = state.catalogue
    bought, shown, page, cart, seen = (
        int(catalogue.groups[state.find_item(ref(name))]) for name in ("bought", "shown", "page", "cart", "seen")
    )
    return Filters(
        frozenset({ref("bought"), bought}), {ref("shown"), shown}, ref("page"), page, START_MS,
        frozenset({ref("cart"), cart}), frozenset({ref("seen"), seen}),
    )  # fmt: skip


def codes_of(state, name: str, codes: np.ndarray | None = None, *names: str) -> np.ndarray:
    pool = pool_of(state, *(names or EXPECTED))
    codes = np.zeros(len(pool), np.uint8) if codes is None else codes.copy()
    FILTERS[name].judge(state, pool, ruled_out(state), codes)
    return codes


def test_together_they_give_every_candidate_its_reason(state) -> None:
    codes = judge(state, pool_of(state, *EXPECTED), ruled_out(state))
    assert {name: reason_of(code) for name, code in zip(EXPECTED, codes.tolist(), strict=True)} == EXPECTED


def test_a_filter_is_registered_by_its_name_with_its_reasons() -> None:
    assert [one.name for one in FILTERS.values()] == list(FILTERS)
    assert {one.role for one in FILTERS.values()} - {None} <= set(ROLES)
    known = {reason_of(code) for code in range(12)} - {""}
    assert {reason for one in FILTERS.values() for reason in one.reasons} == known


@EVERY_FILTER
def test_it_rules_something_out_and_gives_its_own_reasons_alone(state, name: str) -> None:
    found = {reason_of(code) for code in codes_of(state, name).tolist()} - {""}
    assert found
    assert found <= set(FILTERS[name].reasons)


@EVERY_FILTER
def test_a_reason_found_before_stands_but_for_the_word_of_the_request_on_stock(state, name: str) -> None:
    before = np.arange(1, len(EXPECTED) + 1, dtype=np.uint8) % 10 + 1
    after = codes_of(state, name, before)
    own = [place for place, one in enumerate(EXPECTED) if name == "stock" and one in STOCKS]
    if name != "availability":  # It comes first.
        assert np.delete(after, own).tolist() == np.delete(before, own).tolist()


@EVERY_FILTER
def test_the_same_is_judged_the_same_and_an_empty_list_is_none(state, name: str) -> None:
    assert codes_of(state, name).tolist() == codes_of(state, name).tolist()
    none = np.zeros(0, np.uint8)
    FILTERS[name].judge(state, pool_of(state), ruled_out(state), none)
    assert len(none) == 0


@EVERY_FILTER
def test_it_lets_all_through_of_which_nothing_speaks_against(state, name: str) -> None:
    for filters in (Filters(), Filters(now_ms=START_MS)):
        pool = pool_of(state, "plain", "unheard")
        codes = np.zeros(len(pool), np.uint8)
        FILTERS[name].judge(state, pool, filters, codes)
        assert codes.tolist() == [0, 0]
