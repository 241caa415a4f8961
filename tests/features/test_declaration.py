from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instanter.features.declaration import (
    DEFAULT_FEATURES,
    DURATION_MS_MAX,
    FeatureDeclaration,
    check,
    check_all,
    duration_ms,
    first_fault,
    version,
)
from instanter.foundation.errors import ConfigRejected
from instanter.foundation.limits import TILES_MAX, TOP_K_MAX

UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def feature(**fields: object) -> FeatureDeclaration:
    return FeatureDeclaration(**({"name": "views", "on": ("Product Viewed",), "aggregate": "count"} | fields))


@given(st.integers(1, 3_650), st.sampled_from(sorted(UNITS_MS)))
def test_a_duration_is_its_number_of_units(count: int, unit: str) -> None:
    assert duration_ms(f"{count}{unit}") == count * UNITS_MS[unit]


@pytest.mark.parametrize("text", [
    "", "15", "m", "1.5h", "-1m", "15 m", "15M", "1h30m", "0s", "3651d", "٣m", " 15m", "15m\n", "9" * 13 + "ms",
])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ConfigRejected):
        duration_ms(text)


def test_the_longest_duration_is_allowed() -> None:
    assert duration_ms("3650d") == DURATION_MS_MAX


@pytest.mark.parametrize("possible", [
    feature(),
    feature(aggregate="sum", value="revenue"),
    feature(aggregate="sum", value="properties.read_ms"),
    feature(aggregate="mean", value="item.price", scope="session"),
    feature(aggregate="decayed", half_life="14d", scope="item"),
    feature(aggregate="windowed", window="24h"),
    feature(aggregate="windowed", window="12h", scope="session"),
    feature(aggregate="windowed", window="512ms", tiles=TILES_MAX),
    feature(aggregate="last", value="price"),
    feature(aggregate="last_k", by="context.device", k=1),
    feature(aggregate="time_since", ttl="90d"),
    feature(aggregate="top_k", by="item.category", k=TOP_K_MAX),
    feature(aggregate="top_k", by="item", k=3, half_life="1h", value="quantity"),
    feature(aggregate="co_occurrence", k=24, scope="item"),
])
def test_a_possible_feature_is_taken(possible: FeatureDeclaration) -> None:
    check(possible)


@pytest.mark.parametrize(("field", "impossible"), [
    ("name", feature(name="Views")),
    ("name", feature(name="")),
    ("name", feature(name="views-by-day")),
    ("on", feature(on=())),
    ("on", feature(on=(" ",))),
    ("on", feature(on=("Product Viewed", "Product Viewed"))),
    ("value", feature(aggregate="sum", value="prise")),
    ("value", feature(aggregate="sum", value="properties.")),
    ("value", feature(aggregate="sum", value="item.a.b")),
    ("value", feature(aggregate="mean")),
    ("value", feature(value="price")),
    ("value", feature(aggregate="time_since", value="price")),
    ("by", feature(aggregate="top_k", k=3)),
    ("by", feature(aggregate="last_k", k=3)),
    ("by", feature(by="item")),
    ("by", feature(aggregate="top_k", by="category", k=3)),
    ("by", feature(aggregate="top_k", by="context.shoe_size", k=3)),
    ("by", feature(aggregate="top_k", by="item.category", k=3, scope="item")),
    ("k", feature(aggregate="top_k", by="item")),
    ("k", feature(aggregate="top_k", by="item", k=TOP_K_MAX + 1)),
    ("k", feature(aggregate="co_occurrence", scope="item")),
    ("k", feature(k=3)),
    ("half_life", feature(aggregate="decayed")),
    ("half_life", feature(aggregate="decayed", half_life="soon")),
    ("half_life", feature(half_life="1h")),
    ("window", feature(aggregate="windowed")),
    ("window", feature(window="1h")),
    ("window", feature(aggregate="windowed", window="13h", scope="session")),
    ("tiles", feature(aggregate="windowed", window="24h", tiles=TILES_MAX + 1)),
    ("tiles", feature(aggregate="windowed", window="1s", tiles=7)),
    ("tiles", feature(tiles=8)),
    ("scope", feature(aggregate="co_occurrence", k=3)),
    ("ttl", feature(ttl="1d", scope="session")),
    ("ttl", feature(ttl="never")),
    ("purpose", feature(purpose="")),
    ("default", feature(default=float("nan"))),
])
def test_an_impossible_feature_is_refused_for_its_field(field: str, impossible: FeatureDeclaration) -> None:
    fault = first_fault(impossible)
    assert fault is not None
    assert fault.field == field
    with pytest.raises(ConfigRejected, match=f'feature "{impossible.name}"'):
        check(impossible)


def test_a_window_is_as_long_as_the_longest_session_at_most() -> None:
    inside = feature(aggregate="windowed", window="2h", scope="session")
    assert first_fault(inside, session_ms_max=7_200_000) is None
    assert first_fault(inside, session_ms_max=7_199_999) is not None


def test_two_features_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigRejected, match="two features"):
        check_all([feature(), feature(scope="item")])


def test_the_defaults_are_possible_and_say_unit_owner_and_purpose() -> None:
    check_all(DEFAULT_FEATURES)
    assert all(one.unit and one.owner and one.purpose for one in DEFAULT_FEATURES)


def test_the_version_does_not_know_who_owns_the_feature() -> None:
    told = feature(owner="ada", unit="views", default=1.0, name="seen")
    assert version(told) == version(feature())


def test_the_version_knows_no_order_of_events_and_no_spelling_of_time() -> None:
    one = feature(on=("A", "B"), aggregate="decayed", half_life="1h")
    other = feature(on=("B", "A"), aggregate="decayed", half_life="60m")
    assert version(one) == version(other)


@pytest.mark.parametrize("change", [
    {"on": ("Product Clicked",)}, {"aggregate": "windowed"}, {"value": "price"}, {"by": "item"}, {"k": 3},
    {"half_life": "1h"}, {"window": "1h"}, {"tiles": 3}, {"scope": "item"}, {"purpose": "analytics"}, {"ttl": "1d"},
])
def test_the_version_changes_with_whatever_changes_the_value(change: dict[str, object]) -> None:
    assert version(msgspec.structs.replace(feature(), **change)) != version(feature())


def test_the_versions_of_the_defaults_stay_as_they_were() -> None:
    versions = {one.name: version(one) for one in DEFAULT_FEATURES}
    assert versions["session_categories"] == "77f467000b7e"
    assert len(set(versions.values())) == len(versions)
