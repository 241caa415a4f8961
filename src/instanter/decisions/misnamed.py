"""Fields of a question that mean nothing, though somebody meant something by them: a name misspelt, another API's, or
one that is nothing here.

Asked only where a body has a field that the door does not know, so others pay nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from ..foundation.limits import REQUEST_WARNINGS_MAX, SHOWN_ID_CHARS
from .request import Candidate, DecideRequest, PlacementRequest, RankRequest, Warned

UNKNOWN_FIELD: Final = "unknown_field"
_ALIKE: Final = 0.75
"""How alike two names are, of which one is taken for the other misspelt."""
_CALLED: Final = {
    "user": "userId", "uid": "userId", "customerid": "userId", "personid": "userId", "visitorid": "anonymousId",
    "deviceid": "anonymousId", "sessionid": "anonymousId", "distinctid": "anonymousId", "clientid": "anonymousId",
    "product": "item", "productid": "item", "sku": "item", "itemid": "item", "contentid": "item", "articleid": "item",
    "size": "limit", "count": "limit", "num": "limit", "numresults": "limit", "topk": "limit", "k": "limit",
    "q": "query", "search": "query", "searchterm": "query", "products": "candidates", "items": "candidates",
    "itemids": "candidates", "productids": "candidates", "ids": "candidates", "documents": "candidates",
    "placementid": "id", "name": "id", "time": "timestamp", "at": "timestamp", "timeout": "deadlineMs",
    "timeoutms": "deadlineMs", "deadline": "deadlineMs", "debug": "explain", "attributes": "fields",
    "properties": "fields", "position": "minPosition",
}  # fmt: skip
"""What other tools call a field of ours, in small letters and digits alone."""
_IN_CONTEXT: Final = {"consent": "consent", "useragent": "userAgent", "locale": "locale", "language": "locale",
                      "page": "page", "url": "page.url", "ip": "ip", "referrer": "page.referrer",
                      "timezone": "timezone"}  # fmt: skip
"""What stands in the context, and is sent beside it."""
_CONFIGURED: Final = frozenset({
    "filter", "filters", "filterexpression", "where", "exclude", "excludeitems", "excluded", "include", "includeitems",
    "sort", "sortby", "orderby", "order", "strategy", "model", "algorithm", "rules", "boost", "category", "categories",
    "scenario", "campaign", "variant", "experiment", "diversity", "diversify", "weights",
})  # fmt: skip
"""What other tools are told with each question, and here by the configuration of a placement or the caller's list."""


def misnamed(body: bytes, of: type[DecideRequest] | type[RankRequest]) -> list[Warned]:
    """The fields of a body that mean nothing, in the order of the body, at most `REQUEST_WARNINGS_MAX`.

    >>> [one] = misnamed(b'{"anonymousID": "a", "placements": [{"id": "home.hero"}]}', DecideRequest)
    >>> one.message
    '"anonymousID" means nothing here: did you mean "anonymousId"?'
    """
    try:
        parsed = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    found = _found(parsed, of) if isinstance(parsed, dict) else iter(())
    return [warned for _, warned in zip(range(REQUEST_WARNINGS_MAX), found, strict=False)]


def _found(parsed: Mapping[str, Any], of: type[DecideRequest] | type[RankRequest]) -> Iterator[Warned]:
    yield from _in_object(parsed, of, "", inside=True)
    if of is RankRequest:
        yield from _in_candidates(parsed.get("candidates"), "candidates")
        return
    for place, placement in enumerate(_objects(parsed.get("placements"))):
        path = f"placements[{place}]"
        yield from _in_object(placement, PlacementRequest, f"{path}.")
        yield from _in_candidates(placement.get("candidates"), f"{path}.candidates")


def _in_candidates(candidates: object, path: str) -> Iterator[Warned]:
    """Of several candidates with the same field it is told once."""
    told: set[str] = set()
    for candidate in _objects(candidates):
        new = {name: value for name, value in candidate.items() if name not in told}
        told.update(new)
        for name in new:
            if name not in _names(Candidate):
                meant = _meant(name, _names(Candidate)) or f"fields.{name}"
                yield _warned(f"{path}[].{name}", meant)


def _in_object(
    of_body: Mapping[str, Any], of: type[msgspec.Struct], path: str, *, inside: bool = False
) -> Iterator[Warned]:
    """`inside` says that the object has a context, in which what was sent beside it may belong."""
    names = _names(of)
    for name in of_body:
        if name in names:
            continue
        within = _IN_CONTEXT.get(_plain(name), "") if inside else ""
        meant = f"context.{within}" if within else _meant(name, names)
        yield _warned(f"{path}{name[:SHOWN_ID_CHARS]}", meant, otherwise=_remedy(name))


def _meant(name: str, names: Iterable[str]) -> str:
    """The field that a name was meant for, "" if it is like none."""
    plain = _plain(name)
    by_plain = {_plain(one): one for one in names}
    called = _CALLED.get(plain, "")
    close = difflib.get_close_matches(plain, by_plain, n=1, cutoff=_ALIKE)
    return by_plain.get(plain) or (called if called in by_plain.values() else by_plain[close[0]] if close else "")


def _plain(name: str) -> str:
    return "".join(one for one in name.lower() if one.isalnum())


def _names(of: type[msgspec.Struct]) -> tuple[str, ...]:
    return of.__struct_encode_fields__


def _objects(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _remedy(name: str) -> str:
    if _plain(name) in _CONFIGURED:
        return "what a placement shows is said in its configuration, or by `candidates`"
    return "the list was made without it"


def _warned(path: str, meant: str, *, otherwise: str = "") -> Warned:
    said = f'did you mean "{meant}"?' if meant else otherwise
    return Warned(code=UNKNOWN_FIELD, message=f'"{path}" means nothing here: {said}')
