"""Meetings are found from the lists' side; here each candidate looks through each list."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instanter.features.meetings import SHARE_STRENGTH, Meetings
from instanter.features.view import Person, PersonLayout
from instanter.state.aggregations import LAST_K, TOP_K
from instanter.state.layout import BySource, FeatureSpec, Scope

NOW_MS = 1_700_000_000_000
FIELDS, VALUES = 3, 4


def made_lists(rng: random.Random) -> list[FeatureSpec]:
    by = rng.choices((BySource.ITEM, BySource.ITEM_ATTRIBUTE, BySource.CONTEXT), k=rng.randrange(7))
    return [
        FeatureSpec(f"list_{n}", "1", rng.choice((TOP_K, LAST_K)), Scope.PROFILE, codes=(1,), by=one,
                    by_column=rng.randrange(FIELDS), k=rng.randrange(1, 6))
        for n, one in enumerate(by)
    ]  # fmt: skip


def made_person(rng: random.Random, lists: list[FeatureSpec], refs: list[int]) -> tuple[Person, list[int]]:
    starts = np.cumsum([0, *(spec.k for spec in lists)]).tolist()
    found, weights, counts = np.zeros(starts[-1] + 1, np.int64), np.zeros(starts[-1] + 1), [0]
    for spec, start in zip(lists, starts, strict=False):
        count = rng.randrange(spec.k + 1)
        counts.insert(-1, count)
        found[start : start + count] = rng.sample(refs, count)
        weights[start : start + count] = sorted((rng.random() * 9 for _ in range(count)), reverse=True)
    layout = PersonLayout({}, {}, tuple(starts), frozenset())
    return Person(True, True, np.zeros(1), found, weights, np.array(counts), layout), starts


def plainly_met(spec: FeatureSpec, known: list[int], weights: list[float], ref: int, values: list[list[int]]):
    """The two columns of one list and one candidate."""
    own = [ref] if spec.by is BySource.ITEM else [value for value in values[spec.by_column] if value]
    place = next((place for place, one in enumerate(known) if one in own), None)
    if spec.aggregation is TOP_K:
        score = 0.0 if place is None else weights[place]
        return score / (sum(weights) + SHARE_STRENGTH), score
    return (0.0, math.nan) if place is None else (1.0 / (1.0 + place), (NOW_MS - weights[place]) / 1e3)


@given(st.randoms(use_true_random=False))
def test_a_candidate_meets_a_list_at_the_first_entry_that_is_among_its_values(rng: random.Random) -> None:
    lists, refs = made_lists(rng), [rng.randrange(-1 << 62, 1 << 62) for _ in range(8)]
    person, starts = made_person(rng, lists, refs)
    candidates = rng.randrange(12)
    own = np.array([rng.choice(refs) for _ in range(candidates)], np.int64)  # One may be there twice.
    attributes = np.array([rng.choice(refs) for _ in range(candidates * FIELDS * VALUES)], np.int64)
    attributes = attributes.reshape(candidates, FIELDS, VALUES)
    for of_field in attributes.reshape(-1, VALUES):
        of_field[rng.randrange(VALUES + 1) :] = 0
    meetings = Meetings(lists, starts)
    met, first = meetings.lists, 2
    matrix = np.full((candidates, first + 2 * len(met) + 1), 7.0, np.float32)
    matrix[:, first:-1] = meetings.nobody
    meetings.fill(person, own, attributes, NOW_MS, first, matrix)
    assert met == tuple(spec for spec in lists if spec.by is not BySource.CONTEXT)
    for c in range(candidates):
        for cross, spec in enumerate(met):
            known, weights = entries_of(person, lists.index(spec), starts)
            expected = plainly_met(spec, known, weights, int(own[c]), attributes[c].tolist())
            told = (matrix[c, first + cross], matrix[c, first + len(met) + cross])
            assert told == pytest.approx(tuple(map(np.float32, expected)), rel=1e-6, nan_ok=True)
    assert (matrix[:, [0, 1, -1]] == 7.0).all()


def entries_of(person: Person, place: int, starts: list[int]) -> tuple[list[int], list[float]]:
    count = int(person.counts[place])
    entries = slice(starts[place], starts[place] + count)
    return person.refs[entries].tolist(), person.weights[entries].tolist()


def test_nobody_is_met_by_no_lists_and_by_lists_without_entries() -> None:
    lists = [FeatureSpec("views", "1", LAST_K, Scope.PROFILE, codes=(1,), by=BySource.ITEM, k=3)]
    for some in ([], lists):
        meetings = Meetings(some, [0, 3])
        matrix = np.tile(meetings.nobody, (2, 1))
        layout = PersonLayout({}, {}, (0, 3), frozenset())
        person = Person(False, False, np.zeros(1), np.zeros(3, np.int64), np.zeros(3), np.zeros(1, np.int64), layout)
        meetings.fill(person, np.array([4, 5]), np.zeros((2, 1, 4), np.int64), NOW_MS, 0, matrix)
        assert np.array_equal(matrix, np.tile(meetings.nobody, (2, 1)), equal_nan=True)
