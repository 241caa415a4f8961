"""What holds of every aggregation that is registered, whichever it is."""

from __future__ import annotations

import pkgutil
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pytest

from instanter.features.declaration import FeatureDeclaration, first_fault
from instanter.state import aggregations
from instanter.state.aggregations import AGGREGATIONS, Aggregation, Trait, declared
from instanter.state.aggregations.dispatch import chosen
from instanter.state.layout import FeatureSpec, Scope, lay_out
from instanter.state.program import SETTING_NAMES, WORDS_TAKEN, make_program

NUMBERS = {
    "count": 1, "sum": 2, "mean": 3, "min": 4, "max": 5, "decayed": 6, "windowed": 7, "last": 8, "last_k": 9,
    "time_since": 10, "top_k": 11, "co_occurrence": 12, "seen": 13, "orders": 14,
    "sequences": 15, "newest": 16,
}  # fmt: skip
"""As stored: an aggregation that goes leaves its number unused."""
SHARED = {"base", "dispatch", "fixed_point", "held", "order"}
"""Files of the package that are no aggregation."""
FULL: dict[str, Any] = {"value": "price", "by": "item", "k": 3, "half_life": "1h", "window": "24h"}


def files() -> dict[str, ModuleType]:
    return {
        one.name: __import__(f"{aggregations.__name__}.{one.name}", fromlist=["x"])
        for one in pkgutil.iter_modules(aggregations.__path__)
    }


def declaration(one: Aggregation, **changed: Any) -> FeatureDeclaration:
    """One with all that the aggregation has to be told, and nothing else."""
    rules, name = one.rules, one.declared_as or one.name
    needed = {field: FULL[field] for field in FULL if getattr(rules, field) == "must"}
    if one.declared_by:
        needed["by"] = one.declared_by
    if rules.window == "must":
        needed["tiles"] = 4
    fields = {"name": "x", "on": ("Seen",), "aggregate": name, "scope": rules.scopes[-1]}
    return msgspec.convert(fields | needed | changed, FeatureDeclaration)


def test_every_file_is_registered_and_has_a_doctest() -> None:
    assert set(files()) - SHARED == {one.name for one in AGGREGATIONS}
    for name, module in files().items():
        if name not in SHARED:
            assert getattr(module, name.upper()) in AGGREGATIONS
            assert ">>> " in (module.__doc__ or ""), name


def test_numbers_stay_as_they_are_stored() -> None:
    assert {one.name: one.number for one in AGGREGATIONS} == NUMBERS
    assert len(set(NUMBERS.values())) == len(NUMBERS)


def test_nothing_but_the_dispatch_looks_at_the_number_of_an_aggregation() -> None:
    """Everything else asks for a trait, or is told."""
    source = Path(aggregations.__file__).parents[2]
    naming = [
        str(path.relative_to(source)) for path in source.rglob("*.py")
        if any(name in path.read_text("utf-8") for name in (", AGGREGATION]", "aggregation.number"))
    ]  # fmt: skip
    assert naming == ["state/program.py"]


@pytest.mark.parametrize("one", [one for one in AGGREGATIONS if one.is_declared], ids=lambda one: one.name)
def test_a_declaration_says_what_the_rules_want_and_no_more(one: Aggregation) -> None:
    assert first_fault(declaration(one)) is None
    for field, value in FULL.items():
        use = getattr(one.rules, field)
        if use == "must" and field != "by":
            empty: Any = 0 if field == "k" else ""
            assert first_fault(declaration(one, **{field: empty})) is not None, f"without {field}"
        if use == "no":
            assert first_fault(declaration(one, **{field: value})) is not None, f"with {field}"
    returning = first_fault(declaration(one, takes_back=("Undone",)))
    assert (returning is None) == (one.rules.takes_back or one.rules.takes_back_by == declaration(one).by != "")
    scopes = {scope for scope in ("session", "profile", "item") if first_fault(declaration(one, scope=scope)) is None}
    assert scopes == set(one.rules.scopes) - ({"session"} if one.rules.window == "must" else set())


def test_a_declaration_means_the_aggregation_whose_name_and_key_it_has() -> None:
    for one in AGGREGATIONS:
        if one.is_declared:
            assert declared(one.declared_as or one.name, one.declared_by) is one
    assert declared("count", "order") is aggregations.ORDERS


@pytest.mark.parametrize("one", AGGREGATIONS, ids=lambda one: one.name)
def test_what_reads_is_a_number_or_a_list_and_what_is_added_can_be_merged(one: Aggregation) -> None:
    assert not (one.is_number and one.listed)
    assert (one.read_list is not None) == bool(one.listed)
    assert one.merge is not None or one.traits & Trait.COMPANION
    assert not (one.add and one.add_order)
    assert not one.traits & Trait.COMPANION or not one.is_declared


@pytest.mark.parametrize("one", AGGREGATIONS, ids=lambda one: one.name)
def test_the_layout_gives_it_the_words_that_it_takes(one: Aggregation) -> None:
    spec = FeatureSpec("x", "1", one, Scope.PROFILE, (1,), k=3, tiles=4)
    layout = lay_out([spec])
    settings = dict.fromkeys(SETTING_NAMES, 1)
    assert layout.named("x").spec.words == one.words(spec) >= 1
    assert make_program(layout, codes=2, settings=settings).features[0, WORDS_TAKEN] == spec.words
    assert (len(layout.features) == 2) == (one.companion is not None)


def test_the_dispatch_calls_the_part_of_the_aggregation_with_what_it_names() -> None:
    def of_mean(at: int, k: int) -> int:
        return at + k

    features = np.zeros((2, 20), np.int64)
    features[:, 0], features[:, 3] = [aggregations.MEAN.number, aggregations.SUM.number], 5
    call = chosen("call", "at", lambda one: of_mean if one is aggregations.MEAN else None, otherwise="-1")
    plain = getattr(call, "py_func", call)
    assert [plain(features, 0, 10), plain(features, 1, 10)] == [15, -1]
