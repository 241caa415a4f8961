"""Decisions find what they rely on by role, whatever features are called."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest

from instanter.decisions.placement import DEFAULT_PLACEMENTS, role_missing, unfiltered
from instanter.features.carriers import carriers, handed_over
from instanter.features.compile import compile_features
from instanter.features.declaration import (
    BUILT_IN_ROLES,
    DEFAULT_FEATURES,
    FeatureDeclaration,
    first_fault,
    lost_role,
    version,
)
from instanter.features.roles import ROLES, FeatureRole
from instanter.foundation.errors import ConfigRejected
from instanter.models.sources import SOURCES


def declared(name: str = "mine", aggregate: str = "count", scope: str = "item", **rest: Any) -> FeatureDeclaration:
    fields = {"name": name, "on": ("Product Viewed",), "aggregate": aggregate, "scope": scope}
    return msgspec.convert(fields | rest, FeatureDeclaration)


def without_roles() -> list[FeatureDeclaration]:
    """The built-in features as configurations from before roles declare them."""
    return [msgspec.structs.replace(one, role=None) for one in DEFAULT_FEATURES]


def test_every_role_has_a_rule_and_a_built_in_feature() -> None:
    assert set(get_args(FeatureRole)) == {*ROLES, "none"}
    assert set(carriers(DEFAULT_FEATURES)) == set(ROLES)


@pytest.mark.parametrize(("role", "wrong", "field"), [
    ("purchases", {"aggregate": "top_k", "by": "item", "k": 3, "scope": "profile"}, "aggregate"),
    ("purchases", {"aggregate": "last_k", "by": "item.brand", "k": 3, "scope": "profile"}, "by"),
    ("buys", {"aggregate": "sum", "value": "price"}, "aggregate"),
    ("buys", {"scope": "profile"}, "scope"),
    ("buys", {"scope": "profile", "by": "order", "k": 2}, "by"),
    ("co_views", {}, "aggregate"),
    ("trending", {"scope": "session"}, "scope"),
    ("popularity", {"aggregate": "co_occurrence", "k": 2}, "aggregate"),
])  # fmt: skip
def test_a_feature_that_cannot_have_its_role_is_told_why(role: str, wrong: dict[str, Any], field: str) -> None:
    fault = first_fault(declared(role=role, **wrong))
    assert fault is not None
    assert fault.field == field
    assert f'"{role}"' in fault.reason


def test_two_features_with_one_role_are_refused() -> None:
    twins = [declared("one", role="buys"), declared("other", role="buys")]
    with pytest.raises(ConfigRejected, match='"one" and "other" both have the role "buys"'):
        compile_features(twins)
    assert compile_features([declared("one", role="none"), declared("other", role="none")])


def test_a_role_is_no_part_of_what_a_feature_counts() -> None:
    assert version(declared(role="buys")) == version(declared())
    assert [version(one) for one in without_roles()] == [version(one) for one in DEFAULT_FEATURES]


def test_what_says_nothing_has_the_role_of_the_built_in_feature_of_its_name() -> None:
    assert carriers(without_roles()) == carriers(DEFAULT_FEATURES)
    assert carriers([declared("buys")]) == {"buys": "buys"}
    assert carriers([declared("buys", role="none")]) == {}
    assert carriers([declared("buys"), declared("sold", role="buys")]) == {"buys": "sold"}
    assert carriers([declared("buys", "sum", value="price")]) == {}, "kept from before: it had no say then either"


def test_a_co_occurrence_that_says_nothing_stands_in_where_none_has_the_role() -> None:
    met = declared("met", "co_occurrence", k=3)
    assert carriers([met]) == {"co_views": "met"}
    assert carriers([met, declared("co_viewed", "co_occurrence", k=3)]) == {"co_views": "co_viewed"}
    assert carriers([msgspec.structs.replace(met, role="none")]) == {}


def test_a_declared_role_is_taken_over_from_the_built_in_feature() -> None:
    mine = declared("mine", role="buys")
    together = [*handed_over(DEFAULT_FEATURES, [mine]), mine]
    assert compile_features(together)
    assert carriers(together) == {**carriers(DEFAULT_FEATURES), "buys": "mine"}


def test_what_takes_the_place_of_a_built_in_feature_does_not_lose_its_role_unseen() -> None:
    bought = declared("bought_items", "top_k", "profile", by="item", k=4)
    fault = lost_role(bought)
    assert fault is not None
    assert (fault.field, 'role = "none"' in fault.suggestion) == ("aggregate", True)
    assert lost_role(msgspec.structs.replace(bought, role="none")) is None
    assert lost_role(msgspec.structs.replace(bought, name="mine")) is None
    assert lost_role(declared("bought_items", "last_k", "profile", by="item", k=4)) is None
    assert all(lost_role(one) is None for one in without_roles())


@pytest.mark.parametrize(("source", "role"), [(one.name, one.role) for one in SOURCES.values() if one.role])
def test_a_source_whose_role_no_feature_has_is_named(source: str, role: FeatureRole) -> None:
    having = {name: feature for name, feature in carriers(DEFAULT_FEATURES).items() if name != role}
    faults = [fault for one in DEFAULT_PLACEMENTS if (fault := role_missing(one, having)) is not None]
    assert faults
    assert all(f'"{source}"' in fault.reason and f'"{role}"' in fault.reason for fault in faults)
    assert not any(role_missing(one, carriers(DEFAULT_FEATURES)) for one in DEFAULT_PLACEMENTS)


def test_placements_that_offer_again_what_was_bought_are_named() -> None:
    assert unfiltered(DEFAULT_PLACEMENTS, carriers(DEFAULT_FEATURES)) == []
    assert unfiltered(DEFAULT_PLACEMENTS, {}) == ["home.hero", "home.recommended", "product.similar", "cart.addons"]


def test_every_role_of_a_built_in_feature_is_declared() -> None:
    assert BUILT_IN_ROLES["bought_items"] == "purchases"
    assert len(BUILT_IN_ROLES) == len(ROLES)
