"""Texts that tables, databases and spreadsheets write where there is no value."""

from __future__ import annotations

from typing import Final

NOTHING: Final = frozenset({
    "nan", "NaN", "NAN", "-nan", "-NaN", "NaT", "<NA>", "None", "NULL", "Null", "null", "(null)", "\\N", "N/A", "n/a",
    "#N/A", "#N/A N/A", "#NA", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NULL!", "#NUM!", "undefined",
})  # fmt: skip
"""As they stand: pandas, SQL, R, Excel and JavaScript write them so. `NA` is no such text: it is a country and more."""
_NO_GROUP: Final = frozenset({"", "none", "na", "nil", "false", "no"})
_FILLING: Final = " \t\u00a0-–—_.0"
"""What a group's id may be filled up with: `-`, `0`, `0.0`, `000-000`."""


def says_nothing(text: str) -> bool:
    """Whether a cell of a table holds no value, although something is written there.

    >>> [says_nothing(text) for text in ("NULL", " \\\\N ", "#N/A", "NA", "none", "")]
    [True, True, True, False, False, False]
    """
    return text.strip() in NOTHING


def names_no_group(value: object) -> bool:
    """Whether what stands for a group says that there is none.

    >>> [names_no_group(value) for value in (0, "0", 0.0, "-", "nan", "None", None, False, "", 7, "a-0")]
    [True, True, True, True, True, True, True, True, True, False, False]
    """
    if isinstance(value, str):
        return says_nothing(value) or value.strip(_FILLING).casefold() in _NO_GROUP
    return value is None or value is False or (isinstance(value, int | float) and (value == 0 or value != value))
