"""What somebody may be typing, and what matches it.

Nothing of it is a decision: it is made again with every key that is pressed, so nothing is explored, and no receipt is
kept.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ..foundation.errors import RequestRejected
from ..foundation.limits import COMPLETED_ENTRIES_MAX, COMPLETED_FOUND_MAX
from ..models.item_words import folded, read_query, typed_last, written_in
from .plain import NOTHING_MATCHED
from .request import CompletedQuery
from .slate import Asked, Moment, Spot

NOTHING_TYPED: Final = "nothing_typed"
"""There is no word to look for: the items are what is popular."""
_NOTHING_ASKED: Final = " "
"""A query that no item matches."""


def asked_for(spot: Spot, query: str, items: int) -> Asked:
    """The question for the items; `RequestRejected` where the placement finds nothing by a query."""
    if spot.placement.kind != "rerank":
        reason = f'placement "{spot.placement.id}" finds nothing by a query: name one of kind rerank, as search is'
        raise RequestRejected("schema", reason)
    return Asked(
        spot, items, query=query if query.strip() else _NOTHING_ASKED, found_max=COMPLETED_FOUND_MAX,
        entries_max=COMPLETED_ENTRIES_MAX,
    )  # fmt: skip


def completed(moment: Moment, query: str, limit: int) -> list[CompletedQuery]:
    """What the query may become, the likeliest first; empty where nothing is being typed, or nothing begins so."""
    before, typed = typed_last(query)
    if not typed:
        return []
    listed = moment.lists.popular
    found = moment.words.of(moment.state).complete(
        moment.tenant, read_query(query), listed.rows[listed.scores > -np.inf], moment.steps.rows, limit
    )
    at_row = moment.state.catalogue.at_row
    texts: dict[str, int] = {}
    for one in found:
        word = written_in(at_row[one.row].fields, one.word) if one.row in at_row else one.word
        goes_on = folded(word).startswith(folded(typed))  # Else it is the word without the `s` that was typed.
        texts.setdefault(before + (word if goes_on else typed.lower()), one.items)
    return [CompletedQuery(text, items) for text, items in texts.items()]


def told_of_items(query: str, reason: str) -> str:
    """Why the items are not those of the query, "" where they are."""
    return NOTHING_TYPED if reason == NOTHING_MATCHED and not query.strip() else reason
