"""Reading a request's body: bounded in size, also after decompression. `admission` bounds the time it may take.

What is no JSON is told by what it is, as far as that can be seen: a form, UTF-16, nothing at all.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from starlette.requests import ClientDisconnect, Request

from ..foundation.errors import InstanterError, RequestRejected
from ..foundation.limits import BODY_FREE_BYTES, BODY_MEMBERS_MAX, BODY_SKIPPED_BYTES_MAX
from .auth import call_of

HOLD: Final = "instanter.hold"
"""Where a request's scope holds what counts the bytes that its body has come to; see `admission`."""
STEP_BYTES: Final = 256 * 1024
"""Decompressed, with what it was compressed to, before the loop may do something else."""
FED_BYTES: Final = 4 * 1024
"""Given to be decompressed at once: what lies behind the end of a stream is copied, once for each of many streams."""

_GZIP: Final = b"\x1f\x8b"
_MARK: Final = b"\xef\xbb\xbf"
_WITH_GZIP, _WITH_ZLIB, _BARE = zlib.MAX_WBITS | 16, zlib.MAX_WBITS, -zlib.MAX_WBITS
_PADDING: Final = re.compile(rb"\0*+")
_FORM = re.compile(rb"[A-Za-z0-9_.%\[\]+-]+=")
_LOOKED_AT: Final = 256
_TOKEN: Final = re.compile("[a-z0-9.+-]{1,32}(?:/[a-z0-9.+-]{1,48})?")
"""What a header names by one word. Anything else that stands there may be about a person, and is not repeated."""
_JSON_KINDS = re.compile(r"(application/([a-z0-9.-]+\+)?json|application/x-ndjson|text/plain|text/json|)")


async def read_body(request: Request, *, bytes_max: int, any_text: bool = False) -> bytes:
    """The body, decompressed, once it is the request's turn to be worked on. With `any_text` it may be no JSON.

    Raises `RequestRejected`: too_large (413), encoding (415), malformed, incomplete; and what `Call.begin` does.

    Of a body that is too large up to `BODY_SKIPPED_BYTES_MAX` are read and forgotten before it is refused: a client
    that sends all before it listens would else find the connection gone, and not the reason. One that asks first,
    by `Expect: 100-continue`, is told at once.
    """
    if _length_bytes(request) > (bytes_max if "expect" in request.headers else BODY_SKIPPED_BYTES_MAX):
        raise too_large(bytes_max)
    try:
        body = await _gather(request, bytes_max)
    except ClientDisconnect:
        raise RequestRejected("incomplete", "the body ended before its length") from None
    coding = request.headers.get("content-encoding")
    if coding or body[:2] == _GZIP:
        body = await _unpacked(body, coding or "", bytes_max, request.scope.get(HOLD))
    if body[:3] == _MARK:
        body = body[3:]
    call = call_of(request)
    if call is not None:
        await call.begin(body)
    if not any_text and (fault := fault_of(body, request)):
        raise RequestRejected("malformed", fault)
    return body


async def read_nothing(request: Request) -> None:
    """Read the body of a route that takes none. One that says something is refused: it would have no effect."""
    body = await read_body(request, bytes_max=BODY_FREE_BYTES, any_text=True)
    if body.strip() not in (b"", b"{}", b"null"):
        raise RequestRejected("schema", "this route takes no body: what yours says would have no effect")


def fault_of(body: bytes, request: Request) -> str:
    """As `text_fault`, in next to no time for a body that begins as JSON does."""
    if body[:1] == b"{" and body[1:2] != b"\0":
        return ""
    return text_fault(body, request.headers.get("content-type", ""))


async def skip_body(request: Request) -> None:
    """Read and forget the body of a request that is refused, if it is small and on its way.

    The server closes a connection on which a body is still to come when the reply is there, and the client may never
    see the reply. Takes as long as any body may, and holds less than one: what is larger than `BODY_FREE_BYTES`, has
    no known length or waits to be asked for is left alone. A body that ends early is as good as one that was read.
    """
    if "expect" in request.headers or not 0 < _length_bytes(request) <= BODY_FREE_BYTES:
        return
    with suppress(ClientDisconnect, InstanterError):
        async for _ in request.stream():
            pass


def _length_bytes(request: Request) -> int:
    """What the body's length will be, as far as that was said; 0 where it was not."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isdigit() else 0


async def _gather(request: Request, bytes_max: int) -> bytes:
    chunks: list[bytes] = []
    size_bytes = 0
    async for chunk in request.stream():
        size_bytes += len(chunk)
        if size_bytes > BODY_SKIPPED_BYTES_MAX:
            break
        if size_bytes <= bytes_max:
            chunks.append(chunk)
    if size_bytes > bytes_max:
        raise too_large(bytes_max)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def text_fault(body: bytes, kind: str) -> str:
    """What a body is that is not the JSON it ought to be, as far as that can be seen; "" where it cannot.

    >>> text_fault(b"", ""), text_fault(b"data=%7B%7D", "")
    ('the body is empty: send a JSON object', 'the body is a form: send the JSON itself, as application/json')
    """
    if not body or body.isspace():
        return "the body is empty: send a JSON object"
    if body[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in body[:2]:
        return "the body is UTF-16 or UTF-32: send UTF-8"
    begins = body[:_LOOKED_AT].lstrip()
    if begins[:1] in (b"{", b"["):
        return ""
    if begins[:2] == b"--" or _FORM.match(begins):
        return "the body is a form: send the JSON itself, as application/json"
    plain_kind = kind.partition(";")[0].strip().lower()
    if not _JSON_KINDS.fullmatch(plain_kind):
        told = _shown(plain_kind) if _TOKEN.fullmatch(plain_kind) else "of a kind that is none"
        return f"the body is {told} and not JSON: send a JSON object"
    return ""


async def _unpacked(body: bytes, encoding: str, bytes_max: int, hold: Callable[[int], None] | None) -> bytes:
    """The body without its content-encoding. One that is gzip need not say so."""
    codings = [coding for one in encoding.lower().split(",") if (coding := one.strip()) not in ("", "identity")]
    if len(codings) > 1:
        raise RequestRejected("encoding", "a body has one content-encoding: send gzip, or none", status=415)
    coding = codings[0] if codings else ""
    if coding not in ("", "gzip", "x-gzip", "deflate"):
        told = _shown(coding) if _TOKEN.fullmatch(coding) else "that is no word"
        raise RequestRejected("encoding", f"content-encoding {told} is not taken: send gzip", status=415)
    if body[:2] == _GZIP:
        return await _inflated(body, _WITH_GZIP, "gzip", bytes_max, hold)
    if coding == "deflate":
        return await _deflate(body, bytes_max, hold)
    if coding and body:
        begins = _shown(body[:1].decode("latin-1"))
        raise RequestRejected("malformed", f"content-encoding says gzip, and the body is not: it begins with {begins}")
    return body


async def _deflate(body: bytes, bytes_max: int, hold: Callable[[int], None] | None) -> bytes:
    """What is called deflate: with the envelope of zlib, as it ought to be, or without, as many send it."""
    try:
        return await _inflated(body, _WITH_ZLIB, "deflate", bytes_max, hold)
    except RequestRejected as error:
        if error.code != "malformed":
            raise
    return await _inflated(body, _BARE, "deflate", bytes_max, hold)


async def _inflated(
    body: bytes, window_bits: int, name: str, bytes_max: int, hold: Callable[[int], None] | None
) -> bytes:
    """All compressed streams of a body, one behind the other, as one. What comes out is bounded for all together."""
    pieces: list[bytes] = []
    size_bytes = members = at = work_bytes = 0
    while at < len(body):
        members += 1
        if members > BODY_MEMBERS_MAX:
            raise RequestRejected("malformed", f"more than {BODY_MEMBERS_MAX} {name} streams in one body")
        inflate = zlib.decompressobj(window_bits)
        while not inflate.eof:
            fed = inflate.unconsumed_tail or body[at : at + FED_BYTES]
            at += 0 if inflate.unconsumed_tail else len(fed)
            try:
                piece = inflate.decompress(fed, STEP_BYTES)
            except zlib.error as error:
                raise RequestRejected("malformed", f"not {name}: {error}") from None
            if not piece and not fed and not inflate.eof:
                raise RequestRejected("malformed", f"the {name} stream ends too early")
            size_bytes += len(piece)
            if size_bytes > bytes_max:
                raise too_large(bytes_max)
            pieces.append(piece)
            if hold is not None:
                hold(size_bytes)
            work_bytes += len(fed) + len(piece)
            if work_bytes >= STEP_BYTES:
                work_bytes = 0
                await asyncio.sleep(0)
        at = _behind_padding(body, at - len(inflate.unused_data))
        if at < len(body) and (window_bits != _WITH_GZIP or body[at : at + 2] != _GZIP):
            raise RequestRejected("malformed", f"something follows the {name} stream that is none")
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _behind_padding(body: bytes, at: int) -> int:
    """The first place from `at` on that holds something, in time bounded by what is passed over."""
    padding = _PADDING.match(body, at)
    return at if padding is None else padding.end()


def _shown(text: str) -> str:
    """A word of the sender's, for a message."""
    return ascii(text[:32])


def too_large(bytes_max: int) -> RequestRejected:
    """The refusal of a body over its limit."""
    return RequestRejected("too_large", f"the body has more than {bytes_max} bytes", status=413)
