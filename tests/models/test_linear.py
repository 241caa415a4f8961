from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.features.assemble import (
    BESIDE,
    EVIDENCE,
    FIRST_RULES,
    ORDERED_BY_OTHERS,
    WHAT_IS_COMMON,
    WHAT_IS_PROVEN,
    Assembler,
    Column,
)
from instanter.features.view import Reader
from instanter.foundation.errors import Broken, ConfigRejected
from instanter.models.linear import LinearRanker, default_weights

COLUMNS = (Column("item.click_lift"), Column("item.popular", unbounded=True), Column("position"))


def matrix(*rows: tuple[float, ...]) -> np.ndarray:
    return np.array(rows, np.float32)


def test_a_score_is_the_sum_of_its_contributions() -> None:
    ranker = LinearRanker(COLUMNS, {"item.click_lift": 2.0, "item.popular": 1.0, "position": -0.5})
    rows = matrix((0.5, 3.0, 1.0), (-1.0, -3.0, 0.25))
    added = ranker.contributions(rows, COLUMNS)
    assert added.tolist() == pytest.approx(np.array([[1.0, math.log(4), -0.5], [-2.0, -math.log(4), -0.125]]))
    assert ranker.score(rows, COLUMNS) == pytest.approx(added.sum(axis=1))


def test_what_is_absent_of_all_adds_nothing() -> None:
    ranker = LinearRanker(COLUMNS, {"item.click_lift": 2.0, "item.popular": 1.0})
    assert ranker.score(matrix((math.nan, math.nan, math.nan)), COLUMNS).tolist() == [0.0]


def test_what_is_absent_of_one_moves_it_neither_up_nor_down() -> None:
    ranker = LinearRanker(COLUMNS, {"item.click_lift": 2.0})
    rows = matrix((1.0, 0.0, 0.0), (math.nan, 0.0, 0.0), (0.5, 0.0, 0.0))
    assert ranker.score(rows, COLUMNS).tolist() == [2.0, 1.5, 1.0]
    assert ranker.contributions(rows, COLUMNS, np.array([1]))[0].tolist() == [1.5, 0.0, 0.0]


def test_by_the_first_rules_what_is_absent_adds_nothing_under_the_version_it_had() -> None:
    before, now = (LinearRanker(COLUMNS, {"item.click_lift": 2.0}, rules=rules) for rules in (FIRST_RULES, EVIDENCE))
    rows = matrix((1.0, 0.0, 0.0), (math.nan, 0.0, 0.0))
    assert before.score(rows, COLUMNS).tolist() == [2.0, 0.0]
    assert before.version == "6ca17cf9" != now.version


@given(st.integers(0, 10_000), st.sampled_from([FIRST_RULES, EVIDENCE]))
@settings(deadline=None)
def test_scores_are_those_of_looking_at_every_column_of_every_row(seed: int, rules: int) -> None:
    rng = np.random.default_rng(seed)
    columns = tuple(Column(f"item.{number}", unbounded=bool(number % 2)) for number in range(6))
    weights = rng.choice([0.0, 0.0, -1.5, 0.3], 6).tolist()
    rows = rng.choice(np.array([-2.0, 0.0, 0.5, 3.0, np.nan], np.float32), (int(rng.integers(0, 6)), 6))
    names = [column.name for column in columns]
    ranker = LinearRanker(columns, dict(zip(names, weights, strict=True)), rules=rules)

    def term(value: float, column: int) -> float:
        size = math.log(1.0 + abs(value)) if columns[column].unbounded else abs(value)
        return weights[column] * math.copysign(size, value)

    def absent(column: int) -> float:
        there = [term(value, column) for value in rows[:, column].tolist() if value == value]
        return sum(there) / len(there) if there and len(there) < len(rows) and rules > FIRST_RULES else 0.0

    expected = [
        [term(value, column) if value == value else absent(column) for column, value in enumerate(row)]
        for row in rows.tolist()
    ]
    assert ranker.score(rows, columns) == pytest.approx([sum(terms) for terms in expected], abs=1e-12)
    for matrix in (rows, rows.copy()):
        assert ranker.contributions(matrix, columns).tolist() == [pytest.approx(terms) for terms in expected]


def test_an_unknown_input_is_refused_with_a_suggestion() -> None:
    with pytest.raises(ConfigRejected, match=r'did you mean "item\.popular"\?'):
        LinearRanker(COLUMNS, {"item.populer": 1.0})
    with pytest.raises(ConfigRejected, match=r"there are item\.click_lift"):
        LinearRanker(COLUMNS, {"xyz": 1.0})


@pytest.mark.parametrize("weight", [math.nan, math.inf])
def test_a_weight_that_is_no_number_is_refused(weight: float) -> None:
    with pytest.raises(ConfigRejected, match="finite"):
        LinearRanker(COLUMNS, {"position": weight})


def test_the_version_follows_the_weights_and_not_their_order() -> None:
    one = LinearRanker(COLUMNS, {"position": 1.0, "item.popular": 2.0})
    same = LinearRanker(COLUMNS, {"item.popular": 2.0, "position": 1.0, "item.click_lift": 0.0})
    other = LinearRanker(COLUMNS, {"position": 1.0, "item.popular": 2.5})
    assert one.version == same.version != other.version


def test_columns_of_another_assembler_are_refused() -> None:
    ranker = LinearRanker(COLUMNS, {})
    assert ranker.score(matrix((0.0, 0.0, 0.0)), list(COLUMNS)).tolist() == [0.0]
    with pytest.raises(Broken):
        ranker.score(matrix((0.0, 0.0, 0.0)), COLUMNS[::-1])
    with pytest.raises(Broken):
        ranker.contributions(matrix((0.0, 0.0, 0.0)), COLUMNS[::-1])


def test_every_default_weight_has_a_column_in_the_default_configuration(little) -> None:
    shop = little()
    reader = Reader(shop.schema, shop.declarations)
    assembler = Assembler(shop.schema, shop.declarations, reader)
    columns, having = assembler.columns, assembler.carriers
    weights = default_weights(columns, reader.lists, having)
    LinearRanker(columns, weights)
    assert {"item.click_lift", "item.buy_lift", "cross.session_categories", "cross.brand_affinity"} <= set(weights)
    assert default_weights(columns, reader.lists, having, reorders=True)["cross.session_items"] > 0
    assert "cross.session_items" not in weights, "the chance of what comes next knows of returns"
    before = Assembler(shop.schema, shop.declarations, reader, EVIDENCE).columns
    assert default_weights(before, reader.lists, having)["cross.session_items"] < 0


def test_a_list_of_others_is_not_ordered_by_what_everybody_likes(little) -> None:
    shop = little()
    reader = Reader(shop.schema, shop.declarations)
    assembler = Assembler(shop.schema, shop.declarations, reader)
    finding, reordering = (
        default_weights(assembler.columns, reader.lists, assembler.carriers, reorders=reorders)
        for reorders in (False, True)
    )
    popular = {f"item.{assembler.carriers[role]}" for role in ("popularity", "trending")}
    assert popular <= set(finding)
    assert not popular & set(reordering)


def test_a_list_of_others_is_not_ordered_by_what_comes_next(little) -> None:
    shop = little()
    reader = Reader(shop.schema, shop.declarations)
    assembler = Assembler(shop.schema, shop.declarations, reader)

    def weighed(*, rules: int, reorders: bool = True, about_item: bool = False) -> set[str]:
        weights = default_weights(
            assembler.columns, reader.lists, assembler.carriers, reorders=reorders, about_item=about_item, rules=rules
        )
        return {name for name, weight in weights.items() if name.startswith(("next.", "beside.")) and weight}

    assert weighed(rules=ORDERED_BY_OTHERS) == set()
    assert {"next.chance", "beside.category"} <= weighed(rules=BESIDE), "as receipts from before are decided again"
    assert weighed(rules=ORDERED_BY_OTHERS, reorders=False) == weighed(rules=BESIDE, reorders=False)
    assert "beside.category" in weighed(rules=ORDERED_BY_OTHERS, about_item=True)


def test_beside_an_item_what_is_common_counts_by_how_people_go_on_by_it(little) -> None:
    shop = little()
    reader = Reader(shop.schema, shop.declarations)
    assembler = Assembler(shop.schema, shop.declarations, reader)

    def weights(rules: int, *, about_item: bool) -> dict[str, float]:
        return default_weights(assembler.columns, reader.lists, assembler.carriers, about_item=about_item, rules=rules)

    now, before = (weights(rules, about_item=True) for rules in (WHAT_IS_COMMON, ORDERED_BY_OTHERS))
    assert min(now["similar.chance"], now["similar.liked"]) > 0.0
    assert not {"beside.category", "beside.brand"} & set(now)
    assert before["beside.category"] > 0.0
    assert not {"similar.chance", "similar.liked"} & set(before), "as receipts from before are decided again"
    elsewhere = [weights(rules, about_item=False) for rules in (WHAT_IS_COMMON, ORDERED_BY_OTHERS)]
    assert elsewhere[0] == elsewhere[1]
    assert {name: now[name] for name in now if name.startswith("next.")} == {
        name: before[name] for name in before if name.startswith("next.")
    }, "where items have nothing in common the order is as it was"


def test_beside_an_item_what_others_turned_to_counts_as_far_as_it_is_proven(little) -> None:
    shop = little()
    reader = Reader(shop.schema, shop.declarations)
    assembler = Assembler(shop.schema, shop.declarations, reader)
    now, before = (
        default_weights(assembler.columns, reader.lists, assembler.carriers, about_item=True, rules=rules)
        for rules in (WHAT_IS_PROVEN, WHAT_IS_COMMON)
    )
    assert (now["next.proven"], now["next.unproven"]) == (before["next.evident"], before["next.usual"])
    assert (now["next.evident"], now["next.usual"]) == (0.0, 0.0)
    assert not {"next.proven", "next.unproven"} & set(before), "as receipts from before are decided again"
