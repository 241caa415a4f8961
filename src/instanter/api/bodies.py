"""Reading a request's body: bounded in size, also after decompression. `admission` bounds the time it may take."""

from __future__ import annotations

import zlib
from contextlib import suppress

from starlette.requests import ClientDisconnect, Request

from ..foundation.errors import InstanterError, RequestRejected
from ..foundation.limits import BODY_FREE_BYTES, BODY_SKIPPED_BYTES_MAX
from .auth import call_of

_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32


async def read_body(request: Request, *, bytes_max: int) -> bytes:
    """The body, decompressed, once it is the request's turn to be worked on.

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
    plain = _decompressed(body, request.headers.get("content-encoding", ""), bytes_max)
    call = call_of(request)
    if call is not None:
        await call.begin(plain)
    return plain


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


def _decompressed(body: bytes, encoding: str, bytes_max: int) -> bytes:
    coding = encoding.strip().lower()
    if coding in ("", "identity"):
        return body
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise RequestRejected("encoding", "that content-encoding is not known: send gzip", status=415)
    inflate = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        plain = inflate.decompress(body, bytes_max + 1)
    except zlib.error as error:
        raise RequestRejected("malformed", f"not gzip: {error}") from None
    if len(plain) > bytes_max:
        raise too_large(bytes_max)
    if not inflate.eof:
        raise RequestRejected("malformed", "the gzip stream ends too early")
    return plain


def too_large(bytes_max: int) -> RequestRejected:
    """The refusal of a body over its limit."""
    return RequestRejected("too_large", f"the body has more than {bytes_max} bytes", status=413)
