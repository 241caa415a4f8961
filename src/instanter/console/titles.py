"""Titles of items, for pages that have only their ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..foundation.limits import CONSOLE_TITLES_READ_MAX
from .asking import Refused, path_of
from .views import Visit


async def titles_of(visit: Visit, ids: Iterable[str]) -> dict[str, str]:
    """The titles of the first `CONSOLE_TITLES_READ_MAX` items, as far as the catalogue has them and the key may see it;
    an item without one is left out."""
    if not visit.may("catalog:read"):
        return {}
    titles = dict[str, str]()
    for item_id in list(dict.fromkeys(filter(None, ids)))[:CONSOLE_TITLES_READ_MAX]:
        try:
            item = await visit.ask.get(path_of("v1", "items", item_id))
        except Refused as error:
            if error.status == 404:
                continue
            return titles
        if title := item["fields"].get("title"):
            titles[item_id] = str(title)
    return titles


def shown_ids(placements: Mapping[str, Any], each: int | None = None) -> list[str]:
    """The items of lists, place by place, so that each list has its first ones among the first."""
    lists = [[one["id"] for one in placed["items"][:each]] for placed in placements.values()]
    longest = max(map(len, lists), default=0)
    return [ids[place] for place in range(longest) for ids in lists if place < len(ids)]
