"""What may stand in the query of an address. What means nothing there would have no effect, so it is refused."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from starlette.datastructures import QueryParams

from ..events.bodies import meant_of
from ..foundation.errors import RequestRejected

SEVERAL: Final = frozenset({"kinds", "placement"})
"""Those that may be told several times; of any other a second one would take the place of the first."""


def check_parameters(query: QueryParams, known: Collection[str]) -> None:
    """Raise `RequestRejected` for a parameter that is not one here, and for one that is told twice.

    >>> check_parameters(QueryParams("limit=3&kinds=event&kinds=outcome"), ["limit", "kinds"])
    >>> check_parameters(QueryParams("lmit=3"), ["limit", "after"])
    Traceback (most recent call last):
    instanter.foundation.errors.RequestRejected: schema: "lmit" is not a parameter here: did you mean limit?
    """
    for name in query:
        if name not in known:
            meant = meant_of(name, list(known)) if known else ": there is none"
            raise RequestRejected("schema", f'"{name[:40]}" is not a parameter here{meant}')
        times = len(query.getlist(name))
        if times > 1 and name not in SEVERAL:
            raise RequestRejected("schema", f"{name} stands {times} times in the address: which one is meant?")
