"""A call of the API from a page: the same application, in the same process, with the access key of the session."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..foundation.errors import RequestRejected
from ..foundation.limits import CONSOLE_ANSWER_BYTES_MAX

_KEPT_OF_SCOPE: Final = (
    "asgi", "http_version", "scheme", "root_path", "client", "server", "extensions", "state", "instanter.stands_aside",
)  # fmt: skip
"""Of the page's request; the last gives back the place of who stays to be told what happens."""


class Refused(RequestRejected):
    """The API does not do what a page asked of it: `status` and `code` are the API's own."""


class Answer(msgspec.Struct, frozen=True):
    """What the API answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The reply's content. Raises `Refused` where it is an error."""
        if self.status >= 400:
            raise self.refusal()
        return msgspec.json.decode(self.body)

    def refusal(self) -> Refused:
        """The error, as a page tells it."""
        try:
            error = msgspec.json.decode(self.body)["error"]
            return Refused(str(error["code"]), str(error["message"]), status=self.status)
        except (msgspec.DecodeError, KeyError, TypeError):
            return Refused("unreadable", f"the API answered {self.status}", status=self.status)


class Asking:
    """Calls the API for one request of a page."""

    def __init__(
        self, app: ASGIApp, request: Request, key: str, *, over: asyncio.Event | None = None,
        left_s: float | None = None,
    ) -> None:  # fmt: skip
        """What is handed on ends when the session does: when `over` is set, or after `left_s`."""
        self._app = app
        self._over = over or asyncio.Event()
        self._left_s = left_s
        self._scope = request.scope
        self._key = key

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """The content of a reply. Raises `Refused`."""
        return (await self.call("GET", path, query=query)).json()

    async def send(self, method: str, path: str, body: object = None) -> Any:
        """The content of a reply to an act. Raises `Refused`."""
        return (await self.call(method, path, body=body)).json()

    async def call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: object = None,
        accept: str = "application/json",
    ) -> Answer:  # fmt: skip
        """What the API answers to this. `path` is percent-encoded, see `path_of`; `body` becomes JSON. Raises `Refused`
        for an answer that is larger than `CONSOLE_ANSWER_BYTES_MAX`."""
        content = b"" if body is None else msgspec.json.encode(body)
        scope = self.scope(method, path, query, accept=accept, body_bytes=len(content))
        gathered = _Gathered(content)
        await self._app(scope, gathered.receive, gathered.send)
        if gathered.is_too_large:
            raise Refused("too_large", "the answer is too large for a page: ask for less of it", status=502)
        return Answer(gathered.status, gathered.headers, b"".join(gathered.pieces))

    def handed_on(self, path: str, query: Mapping[str, str] | None = None, *, accept: str) -> Response:
        """The API's own reply to a GET, piece by piece as it comes: streams and exports."""
        return _HandedOn(
            self._app, self.scope("GET", path, query, accept=accept), over=self._over, left_s=self._left_s
        )

    def scope(
        self, method: str, path: str, query: Mapping[str, str] | None, *, accept: str, body_bytes: int = 0
    ) -> Scope:
        """The call as the application takes it. Nothing of what the browser sent is in it but where it came from."""
        headers = [(b"host", b"console"), (b"accept", accept.encode("latin-1"))]
        if self._key:
            headers.append((b"authorization", b"Bearer " + self._key.encode("latin-1", "replace")))
        if body_bytes:
            headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % body_bytes)]
        last = next((value for name, value in self._scope["headers"] if name == b"last-event-id"), None)
        if last is not None:
            headers.append((b"last-event-id", last))
        kept = {name: self._scope[name] for name in _KEPT_OF_SCOPE if name in self._scope}
        return {
            **kept, "type": "http", "method": method, "path": path, "raw_path": path.encode("ascii"),
            "query_string": urlencode(query or {}).encode("ascii"), "headers": headers,
        }  # fmt: skip


def path_of(*parts: str) -> str:
    """A path of the API, with whatever stands in its parts.

    >>> path_of("v1", "items", "a/b c")
    '/v1/items/a%2Fb%20c'
    """
    return "".join("/" + quote(part, safe="") for part in parts)


class _Gathered:
    """A reply that is read whole, up to the bound."""

    def __init__(self, content: bytes) -> None:
        self._content: bytes | None = content
        self.status = 500
        self.headers: dict[str, str] = {}
        self.pieces: list[bytes] = []
        self.is_too_large = False
        self._size_bytes = 0

    async def receive(self) -> Message:
        content, self._content = self._content, None
        if content is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
            return
        piece = message.get("body", b"")
        self._size_bytes += len(piece)
        if self._size_bytes > CONSOLE_ANSWER_BYTES_MAX:
            self.is_too_large = True
            self.pieces.clear()
        else:
            self.pieces.append(bytes(piece))


class _HandedOn(Response):
    """The reply of another call. Its headers are those of the page that hands it on, but for the kind and the name."""

    def __init__(self, app: ASGIApp, scope: Scope, *, over: asyncio.Event, left_s: float | None) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._app = app
        self._asked = scope
        self._over = over
        self._left_s = left_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the API does."""
        own = [(name, value) for name, value in self.raw_headers if name != b"content-type"]

        async def handed(message: Message) -> None:
            if message["type"] == "http.response.start":
                taken = {name for name, _ in own}
                theirs = [(name, value) for name, value in message["headers"] if name not in taken]
                message = {**message, "headers": [*theirs, *own]}
            await send(message)

        loop = asyncio.get_running_loop()
        until_s = None if self._left_s is None else loop.time() + self._left_s

        async def received() -> Message:
            """What the browser says; when the session is over, that it has left."""
            saying, ending = asyncio.ensure_future(receive()), asyncio.ensure_future(self._over.wait())
            try:
                left_s = None if until_s is None else until_s - loop.time()
                await asyncio.wait({saying, ending}, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
                return saying.result() if saying.done() and not ending.done() else {"type": "http.disconnect"}
            finally:
                saying.cancel()
                ending.cancel()

        await self._app(self._asked, received, handed)
