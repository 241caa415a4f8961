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
BOUGHT_TOGETHER: Final = "often bought together"
NEXT: Final = "what others turned to next"
MATCHING: Final = "matches your search"
YOUR_LIST: Final = "in your list"
IN_CATALOGUE: Final = "from the catalogue"
"""What is true of every item that was found."""

_TEXTS: Final = {
    "cross.co_viewed": TOGETHER,
    "next.chance": NEXT,
    "next.evident": NEXT,
    "next.proven": NEXT,
    "with.chance": BOUGHT_TOGETHER,
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
_GROUNDS: Final = {"next.chance": "next.kin", "next.evident": "next.kin", "next.proven": "next.kin"}
"""Columns that are a reason only where another one is more than 0: what goes on among all adds to chances too."""


_OF_SOURCE: Final = {
    "bought_with": BOUGHT_TOGETHER, "co_viewed": TOGETHER, "same_category": SIMILAR, "content": SIMILAR,
    "vectors": SIMILAR, "candidates": YOUR_LIST, "query": MATCHING,
}  # fmt: skip


def reason_of_source(source: str, *, wanted: bool, newer: bool) -> str:
    """Why an item is there of which nothing else is to be said: where it was found. `wanted` says that somebody has
    shown interest in it of late, `newer` that there are older ones.

    >>> reason_of_source("same_category", wanted=False, newer=False)
    'similar to what you viewed'
    >>> reason_of_source("popular", wanted=False, newer=True)
    'from the catalogue'
    """
    if source in ("newest", "new_items"):
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
        self.spoken: Ints = np.flatnonzero([bool(text) for text in self._texts])
        """The columns that have a text."""
        self._least = np.array([_LEAST.get(name, -np.inf) for name in self._names])
        places = {name: place for place, name in enumerate(self._names)}
        self._grounds: Ints = np.array([places.get(_GROUNDS.get(name, ""), _NO_COLUMN) for name in self._names])
        viewed = {f"cross.{spec.name}" for spec in lists if _is_viewed(spec)}
        self._steps = 2 * (len(columns) + 1) ** np.arange(_COLUMNS_SAID, dtype=np.int64)
        self._known: dict[int, list[str]] = {}
        """Texts by sort of row. The same list for the same sort: callers do not change it."""
        self._viewed: Ints = np.array([at for at, name in enumerate(self._names) if name in viewed], np.int64)

    def reasons(self, matrix: Matrix, contributions: Reals, rows: Ints | None = None) -> list[list[str]]:
        """For each of these rows of the matrix, all by default, the texts of the columns that add most, at most
        `REASONS_MAX`. `contributions` are those of the spoken columns to these rows."""
        chosen = np.arange(len(matrix)) if rows is None else rows
        return list(map(self.told, self.sorts(matrix, contributions, chosen).tolist()))

    def sorts(self, matrix: Matrix, contributions: Reals, rows: Ints) -> Ints:
        """For each of these rows a number of which `told` makes the texts, 0 where there is nothing to say."""
        sorts = np.empty(len(rows), np.int64)
        _find_sorts(
            matrix, rows, contributions, self.spoken, self._least, self._grounds, self._viewed, self._steps,
            np.empty(len(self._steps), np.int64), sorts,
        )  # fmt: skip
        return sorts

    def features(self, row: Matrix, denied: Container[str] = ()) -> dict[str, float]:
        """The inputs of one candidate by name, without the absent ones and those kept for a purpose in `denied`."""
        return {
            name: value for name, value, purpose in zip(self._names, row.tolist(), self._purposes, strict=True)
            if value == value and purpose not in denied
        }  # fmt: skip

    def told_columns(self, denied: Container[str] = ()) -> Ints:
        """The columns that may be told where those that are kept for a purpose in `denied` may not."""
        return np.flatnonzero([purpose not in denied for purpose in self._purposes])

    def told(self, number: int) -> list[str]:
        """The texts of a sort of rows; most rows share theirs with others."""
        said = self._known.get(number)
        if said is None:
            if len(self._known) >= EXPLANATIONS_MAX:
                self._known.clear()
            places = [number // step % (len(self._names) + 1) - 1 for step in self._steps.tolist()]
            said = self._known[number] = self._put_in_words(places, viewed=bool(number % 2))
        return said

    def _put_in_words(self, places: Sequence[int], *, viewed: bool) -> list[str]:
        texts = dict.fromkeys([BACK_TO] if viewed else [])
        for place in places:
            if place == _NO_COLUMN or len(texts) == REASONS_MAX:
                break
            if not (viewed and self._texts[place] == NEXT):
                texts[self._texts[place]] = None
        return list(texts)


@kernel
def _find_sorts(
    matrix: Matrix, rows: Ints, contributions: Reals, spoken: Ints, least: Reals, grounds: Ints, viewed: Ints,
    steps: Ints, most: Ints, sorts: Ints,
) -> None:  # fmt: skip
    """One number for each row says which columns add most, the most first, ties in their order, and whether the item
    was viewed; 0 where there is nothing to say. `most` is room for as many places as there are steps."""
    for i in range(len(rows)):
        row, added, found = rows[i], contributions[i], 0
        sort = 0
        for place in viewed:
            if matrix[row, place] > 0.0:
                sort = 1
        for place in range(len(spoken)):
            if not added[place] >= CONTRIBUTION_MIN:
                continue
            column = spoken[place]
            if not matrix[row, column] >= least[column]:
                continue
            if grounds[column] >= 0 and not matrix[row, grounds[column]] > 0.0:
                continue
            at = found
            while at > 0 and added[most[at - 1]] < added[place]:
                at -= 1
            found = min(found + 1, len(most))
            for behind in range(found - 1, at, -1):
                most[behind] = most[behind - 1]
            if at < len(most):
                most[at] = place
        for step in range(found):
            sort += (spoken[most[step]] + 1) * steps[step]
        sorts[i] = sort


@kernel
def find_origins(
    places: Ints, eligible: Ints, found_by: Ints, item_rows: Ints, created_ms: Ints, oldest_ms: int, matrix: Matrix,
    interest: Ints, sorts: Ints,
) -> None:  # fmt: skip
    """In the place of a 0 in `sorts`, -1 less what `reason_of_source` needs to know of the candidate: which of the
    origins gave it, times 4, and 2 where somebody has shown interest, by the columns of `interest`, and 1 where there
    are older ones."""
    for i in range(len(places)):
        if sorts[i] != 0:
            continue
        in_pool = eligible[places[i]]
        row = item_rows[in_pool]
        number = found_by[in_pool] * 4
        for column in interest:
            if matrix[places[i], column] > 0.0:
                number |= 2
        if row >= 0 and oldest_ms > 0 and created_ms[row] > oldest_ms:
            number |= 1
        sorts[i] = -1 - number


def warm_up() -> None:
    """Load or compile what only lists run on of which some items have no reason of their own."""
    nothing = np.zeros(0, np.int64)
    find_origins(nothing, nothing, nothing, nothing, nothing, 0, np.zeros((0, 0), np.float32), nothing, nothing)


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
