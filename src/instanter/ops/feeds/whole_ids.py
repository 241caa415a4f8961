"""Ids that a program wrote as decimals: `12345.0` for `12345`, where the column of numbers has gaps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any, Final

from ...foundation.limits import ROWS_PEEKED_MAX

_AS_DECIMAL: Final = re.compile(r"[0-9]+\.0+")


def with_whole_ids(
    rows: Iterable[tuple[Any, Any]], ids: Mapping[int, str], told: list[str]
) -> Iterator[tuple[Any, Any]]:
    """Rows, each with its place, whose ids are whole numbers where a column writes all of them as decimals.

    `ids` are the columns of ids, the name of each by its place in a row. One of which the first `ROWS_PEEKED_MAX` rows
    have other ids too is left alone: `1.0` may be a version. `told` gets a sentence for each one that is not.

    >>> told = []
    >>> list(with_whole_ids([(2, ["7.0", "1.0"]), (3, ["", "2.1"]), (4, ["8.0", "3.0"])], {0: "id", 1: "b"}, told))
    [(2, ['7', '1.0']), (3, ['', '2.1']), (4, ['8', '3.0'])]
    >>> told
    ['the column id has whole numbers that are written as decimals: 7.0 is read as 7']
    """
    rows = iter(rows)
    first = list(islice(rows, ROWS_PEEKED_MAX))
    examples: dict[int, str] = {}
    for at in ids:
        found = [values[at] for _, values in first if isinstance(values, list) and len(values) > at and values[at]]
        if found and all(_AS_DECIMAL.fullmatch(value.strip()) for value in found):
            examples[at] = found[0].strip()
    for at, example in examples.items():
        read = f"{example} is read as {example.partition('.')[0]}"
        told.append(f"the column {ids[at]} has whole numbers that are written as decimals: {read}")
    for place, values in chain(first, rows):
        if isinstance(values, list):
            for at in examples:
                if len(values) > at and _AS_DECIMAL.fullmatch(plain := values[at].strip()):
                    values[at] = plain.partition(".")[0]
        yield place, values
