"""Where features stand in stored rows, and how rows of one layout become rows of another.

Columns go by (feature, version): what is declared alike is copied, the rest starts at zero. So what was written under
one configuration opens under another. A column that has grown since keeps its old words in front.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from .layout import Layout, Scope
from .table import CELLS, ITEMS, SESSIONS

TABLE_OF = {Scope.SESSION: SESSIONS, Scope.PROFILE: CELLS, Scope.ITEM: ITEMS}
"""The table in which the features of a scope stand."""

Copies = dict[int, list[tuple[int, int, int]]]
"""By table: (word then, word now, words)."""


class Column(msgspec.Struct, frozen=True):
    """Where a feature stands in stored rows."""

    name: str
    version: str
    scope: int
    offset: int
    words: int


def columns_in(layout: Layout) -> list[Column]:
    """The columns of a layout."""
    return [
        Column(placed.spec.name, placed.spec.version, int(placed.spec.scope), placed.offset, placed.spec.words)
        for placed in layout.features
    ]


def copies(then: Sequence[Column], words_then: Mapping[int, int], now: Layout) -> Copies:
    """What to copy of rows with these columns and this many words, by table, into rows of the layout `now`."""
    alike = {(column.name, column.version): column for column in columns_in(now)}
    found: Copies = {table: [] for table in words_then}
    head = dict(words_then)
    for column in then:
        table = TABLE_OF[Scope(column.scope)]
        if table not in head:
            continue
        head[table] = min(head[table], column.offset)
        same = alike.get((column.name, column.version))
        if same is not None:
            found[table].append((column.offset, same.offset, min(column.words, same.words)))
    for table, words in head.items():
        found[table].append((0, 0, words))
    return found


