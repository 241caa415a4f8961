"""Which page of a listing is asked for: `?limit=&after=`."""

from __future__ import annotations

from typing import Final, NamedTuple

from starlette.requests import Request

from ..foundation.errors import RequestRejected
from ..foundation.limits import PAGE_ENTRIES_MAX

PAGE_ENTRIES: Final = 50
"""Where none are asked for."""
_DIGITS_MAX: Final = 19


class PageRequest(NamedTuple):
    """One page."""

    limit: int
    after: int | None
    """The position that the page before named; None for the first one."""


def page_of(request: Request) -> PageRequest:
    """The page that a request asks for; `RequestRejected` for what cannot be one."""
    query = request.query_params
    limit = query.get("limit", str(PAGE_ENTRIES))
    if not _is_number(limit) or not 1 <= int(limit) <= PAGE_ENTRIES_MAX:
        raise RequestRejected("schema", f"limit is a whole number from 1 to {PAGE_ENTRIES_MAX}")
    after = query.get("after")
    if after is not None and not _is_number(after):
        raise RequestRejected("schema", "after is what the page before named as next")
    return PageRequest(int(limit), None if after is None else int(after))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX
