from __future__ import annotations

import pytest

from instanter.decisions.placement import DEFAULT_PLACEMENTS, Placement, check, check_all, first_fault
from instanter.foundation.errors import ConfigRejected


def test_the_defaults_are_possible_and_have_the_promised_sizes() -> None:
    check_all(DEFAULT_PLACEMENTS)
    limits = {one.id: one.limit for one in DEFAULT_PLACEMENTS if one.kind == "items"}
    assert limits == {"home.hero": 1, "home.recommended": 12, "product.similar": 8, "cart.addons": 4}
    assert [one.id for one in DEFAULT_PLACEMENTS if one.kind == "rerank"] == ["search"]


@pytest.mark.parametrize(("field", "impossible"), [
    ("id", Placement(id=" ")),
    ("id", Placement(id="home ")),
    ("sources", Placement(id="a", sources=("trending", "trending"))),
    ("sources", Placement(id="a", kind="rerank", sources=("candidates", "trending"))),
    ("sources", Placement(id="a", kind="rerank")),
    ("sources", Placement(id="a", sources=("candidates",))),
])
def test_an_impossible_placement_is_refused_for_its_field(field: str, impossible: Placement) -> None:
    fault = first_fault(impossible)
    assert fault is not None
    assert fault.field == field
    with pytest.raises(ConfigRejected, match="placement"):
        check(impossible)


def test_the_callers_list_may_join_what_the_engine_finds() -> None:
    check(Placement(id="a", sources=("candidates", "trending")))


def test_two_placements_of_one_id_are_refused() -> None:
    with pytest.raises(ConfigRejected, match="two placements"):
        check_all([Placement(id="a"), Placement(id="a")])
