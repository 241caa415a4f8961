"""What is found in a file of items."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ...foundation.errors import RequestRejected


class FeedItem(NamedTuple):
    """An item as `POST /v1/items` takes it."""

    id: str
    fields: dict[str, Any]


class Problem(NamedTuple):
    """Why something in the file is no item; what comes behind it is read all the same."""

    reason: str


class Broken(NamedTuple):
    """The file ends, or cannot be read on from here: what it may have held behind is not known."""

    reason: str


class Note(NamedTuple):
    """What there is to know about how the file was read."""

    sentence: str


Aside = Problem | Broken | Note
"""What is no item."""
Found = tuple[str, FeedItem | Aside]
"""Where it stands ("line 7", "item 3"), and what it is."""
Finds = Iterator[Found]


def refused(reason: str) -> RequestRejected:
    """The refusal of a whole file."""
    return RequestRejected("feed", reason)
