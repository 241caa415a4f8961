"""Why an item stands where it stands, in a few words and in numbers."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Final

import numpy as np

from ..features.assemble import Column, Matrix
from ..features.carriers import Carriers
from ..features.roles import FeatureRole
from ..foundation.limits import EXPLANATIONS_MAX
from ..state.compiled import Ints, Reals, kernel
from ..state.layout import FeatureSpec, Scope

REASONS_MAX: Final = 2
CONTRIBUTION_MIN: Final = 0.03
"""What a column has to add to a score to be a reason."""

POPULAR_NOW: Final = "popular right now"
NEW: Final = "new"
EXPLORED: Final = "something different"
BACK_TO: Final = "back to what you viewed"
TOGETHER: Final = "often viewed together with what you viewed"
SIMILAR: Final = "similar to what you viewed"
YOUR_LIST: Final = "in your list"
IN_CATALOGUE: Final = "from the catalogue"
"""What is true of every item that was found."""

_TEXTS: Final = {
    "cross.co_viewed": TOGETHER,
    "cross.price_fit": "in your price range",
    "item.click_lift": POPULAR_NOW,
    "item.cart_lift": "often added to the cart",
    "item.buy_lift": "often bought",
    "item.recency": NEW,
}
_ROLE_TEXTS: Final[dict[FeatureRole, str]] = {"trending": POPULAR_NOW, "popularity": POPULAR_NOW}
"""Of the number of the item's feature that has the role."""
_COLUMNS_SAID: Final = 4
"""Columns that are looked at for texts, since several have the same one."""
_NO_COLUMN: Final = -1
_LEAST: Final = {"cross.price_fit": 0.7, "item.recency": 0.7}
"""Values below which a column is no reason, however much it adds."""


_OF_SOURCE: Final = {"co_viewed": TOGETHER, "same_category": SIMILAR, "candidates": YOUR_LIST}


def reason_of_source(source: str, *, wanted: bool, newer: bool) -> str:
    """Why an item is there of which nothing else is to be said: where it was found. `wanted` says that somebody has
    shown interest in it of late, `newer` that there are older ones.

    >>> reason_of_source("same_category", wanted=False, newer=False)
    'similar to what you viewed'
    >>> reason_of_source("popular", wanted=False, newer=True)
    'from the catalogue'
    """
    if source == "newest":
        return NEW if newer else IN_CATALOGUE
    return _OF_SOURCE.get(source) or (POPULAR_NOW if wanted else IN_CATALOGUE)


_NO_PURPOSES: Final[Mapping[str, str]] = {}
_NO_CARRIERS: Final[Carriers] = {}


class Explainer:
    """Turns what the columns add to a score into words. Made once for one assembler."""

    def __init__(
        self, columns: Sequence[Column], lists: Sequence[FeatureSpec], fields: Sequence[str],
        purposes: Mapping[str, str] = _NO_PURPOSES, carriers: Carriers = _NO_CARRIERS,
    ) -> None:  # fmt: skip
        """`lists` are the person's top-k and last-k features, `fields` the text fields they may be kept by; `purposes`
        says by name what features are kept for, `carriers` which have a role."""
        texts = dict(_TEXTS)
        texts |= {f"item.{carriers[role]}": text for role, text in _ROLE_TEXTS.items() if role in carriers}
        for spec in lists:
            texts[f"cross.{spec.name}"] = _text(spec, fields)
        self._names = [column.name for column in columns]
        self._purposes = [purposes.get(name.partition(".")[2], "") for name in self._names]
        self._texts = [texts.get(name, "") for name in self._names]
        self._spoken = np.flatnonzero([bool(text) for text in self._texts])
        self._least = np.array([_LEAST.get(name, -np.inf) for name in self._names])
        viewed = {f"cross.{spec.name}" for spec in lists if _is_viewed(spec)}
        self._steps = 2 * (len(columns) + 1) ** np.arange(_COLUMNS_SAID, dtype=np.int64)
        self._known: dict[int, list[str]] = {}
        """Texts by sort of row. The same list for the same sort: callers do not change it."""
        self._viewed = [place for place, name in enumerate(self._names) if name in viewed]

    def reasons(self, matrix: Matrix, contributions: Reals) -> list[list[str]]:
        """For each row the texts of the columns that add most, at most `REASONS_MAX`."""
        strongest = np.full((len(matrix), _COLUMNS_SAID), _NO_COLUMN, np.int64)
        _find_strongest(matrix, contributions, self._spoken, self._least, strongest)
        viewed = np.any(matrix[:, self._viewed] > 0.0, axis=1)
        # One number says which columns, in which order, and whether it was viewed: most rows share theirs with others.
        sorts = (strongest + 1) @ self._steps + viewed
        numbers: list[int] = sorts.tolist()
        texts = {
            number: said if (said := self._known.get(number)) is not None
            else self._told(number, strongest[place].tolist(), viewed=bool(viewed[place]))
            for number, place in dict(zip(numbers, range(len(numbers)), strict=True)).items()
        }
        return [texts[number] for number in numbers]

    def features(self, row: Matrix, denied: Container[str] = ()) -> dict[str, float]:
        """The inputs of one candidate by name, without the absent ones and those kept for a purpose in `denied`."""
        return {
            name: value for name, value, purpose in zip(self._names, row.tolist(), self._purposes, strict=True)
            if value == value and purpose not in denied
        }  # fmt: skip

    def _told(self, number: int, places: Sequence[int], *, viewed: bool) -> list[str]:
        if len(self._known) >= EXPLANATIONS_MAX:
            self._known.clear()
        said = self._known[number] = self._put_in_words(places, viewed=viewed)
        return said

    def _put_in_words(self, places: Sequence[int], *, viewed: bool) -> list[str]:
        texts = dict.fromkeys([BACK_TO] if viewed else [])
        for place in places:
            if place == _NO_COLUMN or len(texts) == REASONS_MAX:
                break
            texts[self._texts[place]] = None
        return list(texts)


@kernel
def _find_strongest(matrix: Matrix, contributions: Reals, spoken: Ints, least: Reals, strongest: Ints) -> None:
    """Of each row the columns that add most, the most first, ties in their order."""
    for row in range(len(matrix)):
        found, added = strongest[row], contributions[row]
        for column in spoken:
            if not (added[column] >= CONTRIBUTION_MIN and matrix[row, column] >= least[column]):
                continue
            place = len(found) - 1
            if found[place] != _NO_COLUMN and added[found[place]] >= added[column]:
                continue
            while place > 0 and (found[place - 1] == _NO_COLUMN or added[found[place - 1]] < added[column]):
                found[place] = found[place - 1]
                place -= 1
            found[place] = column


def _is_viewed(spec: FeatureSpec) -> bool:
    return spec.is_history and spec.scope is Scope.SESSION


def _text(spec: FeatureSpec, fields: Sequence[str]) -> str:
    """What a match with one of the person's lists is called."""
    if not spec.is_taste:
        return ""
    field = fields[spec.by_column].replace("_", " ")
    if spec.scope is Scope.SESSION:
        return SIMILAR if field == "category" else f"same {field} as what you viewed"
    return f"from a {field} you like"
