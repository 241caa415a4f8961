"""The small parts of the path: receipts, reasons, the ladder, eligibility of what was found."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from instanter.decisions.candidates import _add_new, _places_for, given_by, of_caller, of_rows
from instanter.decisions.eligibility import NOT_IN_CATALOGUE, Filters, judge, reason_of
from instanter.decisions.explain import _LEAST, _TEXTS, CONTRIBUTION_MIN, REASONS_MAX, Explainer, find_origins
from instanter.decisions.fallback import StageFailed, Stages, descend
from instanter.decisions.receipt import Receipt, decode_receipt, encode_receipt, short_hash
from instanter.decisions.request import Candidate
from instanter.events.envelope import ItemDeleted
from instanter.features.assemble import Column
from instanter.foundation.deadline import Deadline
from instanter.foundation.errors import Corrupt
from instanter.foundation.limits import EXPLANATIONS_MAX
from instanter.foundation.measure import Measurements

START_MS = 1_700_000_000_000


def receipt(**changes: object) -> Receipt:
    whole = Receipt(1, "d_1", "shop", 5, 7, 3, "", (1, -2), b"i", "c", "f", ("score",), ())
    return msgspec.structs.replace(whole, **changes)


def test_a_receipt_comes_back_as_it_was() -> None:
    assert decode_receipt(encode_receipt(receipt())) == receipt()


def test_a_receipt_from_before_its_time_was_kept_says_that_it_is_not(shop) -> None:
    shop.item("bed")
    fields = msgspec.msgpack.decode(shop.decide({"id": "home.hero"}).receipt)
    old = decode_receipt(msgspec.msgpack.encode(fields[:-1]))
    assert old.readable(shop.state.catalogue).took_ms is None
    kept = decode_receipt(msgspec.msgpack.encode([*fields[:-1], 7.5]))
    assert kept.readable(shop.state.catalogue).took_ms == 7.5


def test_a_receipt_of_a_newer_version_is_refused() -> None:
    with pytest.raises(Corrupt, match="version 9"):
        decode_receipt(encode_receipt(receipt(version=9)))


@given(st.binary(max_size=60) | st.integers(0, 30).map(lambda cut: encode_receipt(receipt())[:cut]))
def test_bytes_that_are_no_receipt_are_corrupt_and_nothing_else(raw: bytes) -> None:
    with pytest.raises(Corrupt):
        decode_receipt(raw)


def test_a_receipt_names_items_that_are_gone_by_their_reference(shop) -> None:
    shop.item("bed")
    shown = decode_receipt(shop.decide({"id": "home.hero"}).receipt)
    shop.state.catalogue.delete(ItemDeleted(START_MS, "shop", "bed"))
    (item,) = shown.readable(shop.state.catalogue).placements["home.hero"].items
    assert item.id.startswith("ref:")


def test_a_found_row_that_left_the_catalogue_is_not_eligible(shop) -> None:
    shop.item("bed")
    rows = np.array([shop.state.find_item(shop.item("cot"))], np.int64)
    pool = of_rows(shop.state, rows, [], START_MS)
    shop.state.catalogue.delete(ItemDeleted(START_MS, "shop", "cot"))
    assert reason_of(int(judge(shop.state, pool, Filters())[0])) == NOT_IN_CATALOGUE


def test_a_filter_does_not_hide_a_reason_found_before(shop) -> None:
    ref = shop.item("bed", stock=0)
    pool = of_caller(shop.state, given_by(shop.state.catalogue, "shop", ["bed"], frozenset()), START_MS)
    codes = judge(shop.state, pool, Filters(bought=frozenset([ref]), page=ref))
    assert reason_of(int(codes[0])) == "out_of_stock"


def test_descending_ends_at_the_first_rung_that_holds() -> None:
    def failing() -> str:
        raise StageFailed("score", "x")

    assert descend([failing, lambda: "second", lambda: "third"], otherwise="nothing") == "second"
    assert descend([failing], otherwise="nothing") == "nothing"


def test_a_stage_is_cut_once_its_share_is_used_up_unless_it_is_hurried() -> None:
    meter = Measurements()
    readings = iter([0, *[65_000_000] * 20])
    stages = Stages(Deadline(100, stopwatch=lambda: next(readings)), meter)
    with pytest.raises(StageFailed, match="share"):
        stages.run("features", lambda: 1)
    assert stages.run("features", lambda: 1, hurried=True) == 1
    assert stages.run("score", lambda: 2) == 2
    with pytest.raises(StageFailed):
        stages.run("features", lambda: 1)
    stages.report()
    assert stages.degraded == ["features"]
    assert meter.counts["degraded.features"] == 1


def test_a_bug_is_not_taken_for_an_expected_failure() -> None:
    stages = Stages(Deadline(100), Measurements())
    with pytest.raises(AttributeError):
        stages.run("score", lambda: stages.no_such_thing)
    assert stages.degraded == []


def test_what_adds_most_is_said_first_and_no_more_than_two_things() -> None:
    names = ("item.click_lift", "item.popular", "item.buy_lift", "item.recency", "position")
    columns = [Column(name) for name in names]
    explainer = Explainer(columns, (), (), carriers={"popularity": "popular"})
    matrix = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0.1, 1], [0, 0, 0, 0, 1]], np.float32)
    added = np.array([[0.2, 0.4, 0.3, 0.5, 9.0], [0.2, 0.1, 0.001, 0.5, 9.0], [0.0, 0.0, 0.0, 0.0, 9.0]])
    said = explainer.reasons(matrix, added[:, explainer.spoken])
    assert said == [["new", "popular right now"], ["popular right now"], []]
    assert explainer.features(np.array([1, np.nan, 2, 3, 4], np.float32)) == {
        "item.click_lift": 1.0, "item.buy_lift": 2.0, "item.recency": 3.0, "position": 4.0
    }


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_the_words_are_those_of_all_columns_sorted(seed: int) -> None:
    names = [*_TEXTS, "position", "item.price", "cross.shown"]
    rng = np.random.default_rng(seed)
    rng.shuffle(names)
    explainer = Explainer([Column(name) for name in names], (), ())
    matrix = rng.choice(np.array([0.0, 0.5, 0.7, 1.0, np.nan], np.float32), (9, len(names)))
    added = rng.choice([-1.0, 0.0, CONTRIBUTION_MIN, 0.1, 0.1, 0.4, 2.0], matrix.shape)
    said = explainer.reasons(matrix, added[:, explainer.spoken])
    for row, adds, words in zip(matrix.tolist(), added.tolist(), said, strict=True):
        columns = [
            place for place, name in enumerate(names)
            if name in _TEXTS and adds[place] >= CONTRIBUTION_MIN and row[place] >= _LEAST.get(name, -np.inf)
        ]  # fmt: skip
        columns.sort(key=lambda place: -adds[place])
        assert words == list(dict.fromkeys(_TEXTS[names[place]] for place in columns[:4]))[:REASONS_MAX]


@given(st.integers(0, 10_000))
@settings(deadline=None)
def test_the_words_of_some_rows_are_theirs_among_all(seed: int) -> None:
    names = [*_TEXTS, "position"]
    rng = np.random.default_rng(seed)
    explainer = Explainer([Column(name) for name in names], (), ())
    matrix = rng.choice(np.array([0.0, 0.5, 0.7, 1.0, np.nan], np.float32), (9, len(names)))
    added = rng.choice([-1.0, CONTRIBUTION_MIN, 0.1, 0.4], (9, len(explainer.spoken)))
    rows = rng.integers(0, 9, rng.integers(0, 12))
    every = explainer.reasons(matrix, added)
    assert explainer.reasons(matrix, added[rows], rows) == [every[row] for row in rows.tolist()]


@given(st.integers(0, 10_000))
@settings(deadline=None)
def test_what_is_known_of_origins_is_what_looking_at_each_item_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    eligible = np.flatnonzero(rng.random(12) < 0.7)
    places = rng.permutation(len(eligible))[: rng.integers(0, 12)]
    found_by, rows, created_ms = rng.integers(0, 4, 12), rng.integers(-1, 5, 12), rng.integers(0, 4, 5)
    oldest_ms = int(rng.integers(0, 3))
    matrix = rng.choice(np.array([0.0, 1.0, np.nan], np.float32), (len(eligible), 4))
    interest = np.flatnonzero(rng.random(4) < 0.5)
    before = rng.choice(np.array([0, 0, 7]), len(places))
    sorts = before.copy()
    find_origins(places, eligible, found_by, rows, created_ms, oldest_ms, matrix, interest, sorts)
    assert (sorts[before != 0] == 7).all(), "of these something else is to be said"
    for place, number in zip(places[before == 0].tolist(), sorts[before == 0].tolist(), strict=True):
        row = rows[eligible[place]]
        wanted = bool((matrix[place, interest] > 0.0).any())
        newer = bool(row >= 0 and oldest_ms > 0 and created_ms[row] > oldest_ms)
        assert number == -1 - (4 * found_by[eligible[place]] + 2 * wanted + newer)


@given(st.lists(st.sampled_from(["a", "b", "c", "bed", "cot", "gone", "5"]), max_size=9))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_list_of_bare_ids_is_read_as_one_of_candidates_without_fields(shop, ids: list[str]) -> None:
    for known in ("bed", "cot"):
        shop.item(known)
    bare, long = (
        given_by(shop.state.catalogue, "shop", candidates, frozenset())
        for candidates in (ids, [Candidate(id=one) for one in ids])
    )
    assert (bare.ids, bare.refs.tolist()) == (long.ids, long.refs.tolist())
    assert (list(bare.fields), list(bare.duplicates), list(bare.taken)) == ([], list(long.duplicates), [])


def test_an_array_has_the_hash_of_its_bytes_row_by_row() -> None:
    matrix = np.arange(12, dtype=np.float32).reshape(3, 4)
    for array in (matrix, matrix.T, matrix[:, 1:3], matrix[:0], matrix[1]):
        assert short_hash(array) == short_hash(array.tobytes())


def test_words_are_forgotten_when_there_are_too_many() -> None:
    columns = [Column(f"cross.{number}") for number in range(3)] + [Column("item.recency")]
    explainer = Explainer(columns, (), ())
    explainer._known.update({-1 - number: [] for number in range(EXPLANATIONS_MAX)})
    assert explainer.reasons(np.ones((1, 4), np.float32), np.ones((1, len(explainer.spoken)))) == [["new"]]
    assert len(explainer._known) == 1


def test_what_is_found_and_what_is_given_has_the_price_of_its_time(shop) -> None:
    ends = "2023-11-15T00:00:00+00:00"
    refs = [shop.item("bed", price=9, sale_price=7, sale_price_effective_date=f"/{ends}"), shop.item("cot", price=5)]
    rows = np.array([shop.state.find_item(ref) for ref in refs], np.int64)
    ended_ms = 1_700_006_400_000
    for now_ms, prices in ((ended_ms - 1, [7.0, 5.0]), (ended_ms, [9.0, 5.0])):
        assert of_rows(shop.state, rows, [], now_ms).columns.numbers[:, 0].tolist() == prices
        given = given_by(shop.state.catalogue, "shop", ["bed", "cot"], frozenset())
        assert of_caller(shop.state, given, now_ms).columns.numbers[:, 0].tolist() == prices
    given = given_by(shop.state.catalogue, "shop", [Candidate(id="bed", fields={"price": 3})], frozenset({"price"}))
    assert of_caller(shop.state, given, START_MS).columns.numbers[:, 0].tolist() == [3.0]


@pytest.mark.parametrize(("fields", "price", "in_stock"), [
    ({"price": "19,90 EUR", "stock": "3"}, 19.9, {0: True}),
    ({"price": "1.299,00", "stock": "sold out"}, 1299.0, {0: False}),
    ({"stock": "0"}, 5.0, {0: False}), ({"stock": "in stock"}, 5.0, {0: True}),
    ({"availability": "OutOfStock"}, 5.0, {0: False}), ({"availability": "preorder"}, 5.0, {0: True}),
    ({"price": "1,299"}, np.nan, {}), ({"price": "on request", "availability": "perhaps"}, np.nan, {}),
])  # fmt: skip
def test_fields_of_a_candidate_are_read_as_those_of_an_item(
    shop, fields: dict[str, object], price: float, in_stock: dict[int, bool]
) -> None:
    shop.item("cot", price=5)
    known = frozenset({"price", "stock"})
    given = given_by(shop.state.catalogue, "shop", [Candidate(id="cot", fields=fields)], known, ("price",))
    pool = of_caller(shop.state, given, START_MS)
    np.testing.assert_equal(pool.columns.numbers[0, 0], price)
    assert pool.in_stock == in_stock


ROWS = st.lists(st.integers(0, 39), max_size=30, unique=True)


@given(st.lists(ROWS, max_size=5), st.lists(st.integers(0, 2), min_size=40, max_size=40), st.integers(1, 24))
def test_what_sources_find_is_taken_once_in_their_order_and_up_to_the_share(
    finds: list[list[int]], owners: list[int], limit: int
) -> None:
    rows, seen = np.empty(limit, np.int64), np.zeros(_places_for(limit), np.int64)
    count, expected, tenants = 0, list[int](), np.array(owners, np.int32)
    for number, given_rows in enumerate(finds):
        share = (limit - count) // (len(finds) - number)
        new = [row for row in given_rows if owners[row] in (0, 1) and row not in expected]
        expected += new[:share]
        count = _add_new(rows, count, seen, np.array(given_rows, np.int64), tenants, 1, count + share)
        assert rows[:count].tolist() == expected
