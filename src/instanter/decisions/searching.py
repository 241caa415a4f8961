"""What a query finds, where a request has one and no list of its own; and what stands there if that is nothing."""

from __future__ import annotations

import msgspec

from ..foundation.limits import FOUND_MAX
from ..models.item_words import read_query
from .candidates import QUERY, Pool, of_rows
from .slate import Asked, Moment


def searched(moment: Moment, asked: Asked) -> Pool:
    """The items that match the query, those with all of its words first. Empty if none does."""
    state = moment.state
    found = moment.words.of(state).search(
        moment.tenant, read_query(asked.query), moment.lists.popular.rows, asked.found_max, asked.entries_max
    )
    pool = of_rows(state, found.rows, [(QUERY, len(found.rows))], moment.now_ms)
    return msgspec.structs.replace(pool, matches=found)


def popular_instead(moment: Moment) -> Pool:
    """What is shown where nothing matches, or nothing of it may be shown."""
    rows = moment.lists.popular.rows[:FOUND_MAX]
    return of_rows(moment.state, rows, [("popular", len(rows))], moment.now_ms)
