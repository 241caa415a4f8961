"""What every answer of the storefront carries, and which requests it takes: those of its own pages alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..foundation.errors import RequestRejected
from ..foundation.limits import STOREFRONT_BODY_BYTES_MAX

_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


def content_policy(engines: Sequence[str]) -> str:
    """The content security policy of pages that talk to these engines: nothing inline, nothing from elsewhere."""
    told = " ".join(dict.fromkeys(engines))
    return (f"default-src 'none'; script-src 'self' {told}; connect-src 'self' {told}; style-src 'self'; "
            "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")


class Guard:
    """An application around another one: headers on all answers, and no foreign name for this server.

    It is asked under loopback names alone, so no page of a name that is turned to this machine reaches it.
    """

    def __init__(self, app: ASGIApp, *, policy: str) -> None:
        self._app = app
        self._headers = [
            (b"content-security-policy", policy.encode()), (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"same-origin"), (b"cross-origin-opener-policy", b"same-origin"),
        ]  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *self._headers]}
            await send(message)

        if not _is_loopback(Request(scope).headers.get("host", "")):
            refused = PlainTextResponse("This shop is asked as localhost or 127.0.0.1.\n", status_code=421)
            await refused(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)


async def read_act(request: Request) -> bytes:
    """The body of what a page of this shop asks to be done. Raises `RequestRejected` for anybody else's, and for one
    that is too large."""
    origin, host = request.headers.get("origin"), request.headers.get("host", "")
    if origin is not None and urlsplit(origin).netloc != host:
        raise RequestRejected("origin", "that is for the shop's own pages", status=403)
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise RequestRejected("content_type", "send application/json", status=415)
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > STOREFRONT_BODY_BYTES_MAX:
            raise RequestRejected("too_large", f"a body has at most {STOREFRONT_BODY_BYTES_MAX} bytes", status=413)
    return body


def _is_loopback(host: str) -> bool:
    """Whether a Host header names this machine.

    >>> _is_loopback("127.0.0.1:8090"), _is_loopback("[::1]:80"), _is_loopback("shop.example")
    (True, True, False)
    """
    name = urlsplit(f"//{host}").hostname or ""
    return name in _LOOPBACK or name.endswith(".localhost")
