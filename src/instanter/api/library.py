"""The library for pages, `web/instanter.js` of the sources, as a page loads it: whole, packed, and kept by browsers."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

LIBRARY_PATH: Final = "/instanter.js"
LIBRARY_MEDIA_TYPE: Final = "text/javascript"
KEPT_S: Final = 3_600
"""How long a browser uses it without asking again; after that it asks by its `ETag`."""
_FILE: Final = Path(__file__).parent / "static" / "instanter.js"


class _Library(NamedTuple):
    plain: bytes
    packed: bytes
    tag: str


@cache
def _library() -> _Library:
    plain = _FILE.read_bytes()
    return _Library(plain, gzip.compress(plain, 9, mtime=0), f'"{hashlib.sha256(plain).hexdigest()[:32]}"')


async def show(request: Request) -> Response:
    """`GET /instanter.js`; 304 for who has it."""
    library = _library()
    packs = _takes_gzip(request.headers.get("accept-encoding", ""))
    tag = f'{library.tag[:-1]}-gzip"' if packs else library.tag
    headers = {
        "ETag": tag, "Cache-Control": f"public, max-age={KEPT_S}", "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
    }  # fmt: skip
    if tag in (one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")):
        return Response(status_code=304, headers=headers)
    if packs:
        headers["Content-Encoding"] = "gzip"
    return Response(library.packed if packs else library.plain, headers=headers, media_type=LIBRARY_MEDIA_TYPE)


def _takes_gzip(accepted: str) -> bool:
    """Whether `Accept-Encoding` has gzip.

    >>> _takes_gzip("gzip, deflate, br"), _takes_gzip("br, gzip;q=0"), _takes_gzip("")
    (True, False, False)
    """
    for one in accepted.lower().split(","):
        name, _, weight = one.partition(";")
        if name.strip() == "gzip":
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
