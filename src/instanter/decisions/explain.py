"""Why an item stands where it stands, in a few words and in numbers."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Final

import numpy as np

from ..features.assemble import Column, Matrix
from ..foundation.limits import EXPLANATIONS_MAX
from ..state.compiled import Reals
from ..state.layout import BySource, FeatureSpec, Kind, Scope

REASONS_MAX: Final = 2
CONTRIBUTION_MIN: Final = 0.03
"""What a column has to add to a score to be a reason."""

POPULAR_NOW: Final = "popular right now"
NEW: Final = "new"
EXPLORED: Final = "something different"
BACK_TO: Final = "back to what you viewed"

_TEXTS: Final = {
    "cross.co_viewed": "often viewed together with what you viewed",
    "cross.price_fit": "in your price range",
    "item.click_lift": POPULAR_NOW,
    "item.trending": POPULAR_NOW,
    "item.popular": POPULAR_NOW,
    "item.cart_lift": "often added to the cart",
    "item.buy_lift": "often bought",
    "item.recency": NEW,
}
_COLUMNS_SAID: Final = 4
"""Columns that are looked at for texts, since several have the same one."""
_LEAST: Final = {"cross.price_fit": 0.7, "item.recency": 0.7}
"""Values below which a column is no reason, however much it adds."""


_NO_PURPOSES: Final[Mapping[str, str]] = {}


class Explainer:
    """Turns what the columns add to a score into words. Made once for one assembler."""

    def __init__(
        self, columns: Sequence[Column], lists: Sequence[FeatureSpec], fields: Sequence[str],
        purposes: Mapping[str, str] = _NO_PURPOSES,
    ) -> None:  # fmt: skip
        """`lists` are the person's top-k and last-k features, `fields` the text fields they may be kept by; `purposes`
        says by name what features are kept for."""
        texts = dict(_TEXTS)
        for spec in lists:
            texts[f"cross.{spec.name}"] = _text(spec, fields)
        self._names = [column.name for column in columns]
        self._purposes = [purposes.get(name.partition(".")[2], "") for name in self._names]
        self._texts = [texts.get(name, "") for name in self._names]
        self._spoken = np.array([bool(text) for text in self._texts])
        self._least = np.array([_LEAST.get(name, -np.inf) for name in self._names])
        viewed = {f"cross.{spec.name}" for spec in lists if _is_viewed(spec)}
        self._known: dict[tuple[int, ...], list[str]] = {}
        self._viewed = [place for place, name in enumerate(self._names) if name in viewed]

    def reasons(self, matrix: Matrix, contributions: Reals) -> list[list[str]]:
        """For each row the texts of the columns that add most, at most `REASONS_MAX`."""
        counts = self._spoken & (contributions >= CONTRIBUTION_MIN) & (matrix >= self._least)
        ranked = np.argsort(np.where(counts, -contributions, 0.0), axis=1, kind="stable")
        numbers = counts.sum(axis=1)
        viewed = np.any(matrix[:, self._viewed] > 0.0, axis=1, keepdims=True)[:, 0]
        return [
            self._said(places[: min(number, _COLUMNS_SAID)], back)
            for places, number, back in zip(ranked.tolist(), numbers.tolist(), viewed.tolist(), strict=True)
        ]

    def features(self, row: Matrix, denied: Container[str] = ()) -> dict[str, float]:
        """The inputs of one candidate by name, without the absent ones and those kept for a purpose in `denied`."""
        return {
            name: value for name, value, purpose in zip(self._names, row.tolist(), self._purposes, strict=True)
            if value == value and purpose not in denied
        }  # fmt: skip

    def _said(self, places: Sequence[int], viewed: bool) -> list[str]:
        """The same list for the same columns: callers do not change it."""
        key = (viewed, *places)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= EXPLANATIONS_MAX:
                self._known.clear()
            known = self._known[key] = self._put_in_words(places, viewed)
        return known

    def _put_in_words(self, places: Sequence[int], viewed: bool) -> list[str]:
        texts = dict.fromkeys([BACK_TO] if viewed else [])
        for place in places:
            if len(texts) == REASONS_MAX:
                break
            texts[self._texts[place]] = None
        return list(texts)


def _is_viewed(spec: FeatureSpec) -> bool:
    return spec.kind is Kind.LAST_K and spec.by is BySource.ITEM and spec.scope is Scope.SESSION


def _text(spec: FeatureSpec, fields: Sequence[str]) -> str:
    """What a match with one of the person's lists is called."""
    if spec.by is not BySource.ITEM_ATTRIBUTE or spec.kind is not Kind.TOP_K:
        return ""
    field = fields[spec.by_column].replace("_", " ")
    if spec.scope is Scope.SESSION:
        return "similar to what you viewed" if field == "category" else f"same {field} as what you viewed"
    return f"from a {field} you like"
