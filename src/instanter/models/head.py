"""The head of a list: the rows that another order has first, which are all that some models order."""

from __future__ import annotations

from typing import Final

import msgspec

HEAD_ROWS: Final = 60
"""Of 60 and 200, on the train parts of yoochoose_100k and eshop_clothing."""


class Head(msgspec.Struct, frozen=True, array_like=True):
    """Which rows of a list a model orders."""

    by: str
    """The input that says which come first; of equal ones what stands first. Of models from before `weights`."""
    rows: int = HEAD_ROWS
    weights: tuple[tuple[str, float], ...] = ()
    """By input, those of the linear order that says which come first; where there are any, they count."""
