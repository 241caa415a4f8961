"""A client's side of the API: one kept-alive HTTP connection, with the time each call took."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from ...foundation.clock import elapsed_ns
from ...foundation.errors import Broken, RateLimited, RequestRejected, Unavailable

CALL_TIMEOUT_S = 30.0

T = TypeVar("T")


class _Problem(msgspec.Struct):
    code: str = "unknown"
    message: str = ""


class _Failure(msgspec.Struct):
    error: _Problem = msgspec.field(default_factory=_Problem)


class Connection:
    """Calls to one server, one after the other. `round_trip_ms` is what the last call took, sending to last byte.

    A refused call raises `RequestRejected` with the server's code and message, one too many `RateLimited` with the
    seconds to wait, a server that cannot answer now (or is not there) `Unavailable`, and a reply that is not what
    the API promises `Broken`.
    """

    def __init__(self, base_url: str, *, key: str = "", timeout_s: float = CALL_TIMEOUT_S) -> None:
        """`key` is the access key, for a server that asks for one."""
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise RequestRejected("url", f"not an http address: {base_url}; give one such as http://127.0.0.1:8080")
        if f"{parts.path}/".endswith("/v1/") or "/v1/" in parts.path:
            server = base_url.partition("/v1")[0]
            raise RequestRejected("url", f"{base_url} is a route: give the address of the server alone, {server}")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self.base_url = base_url.rstrip("/")
        self.round_trip_ms = 0.0
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._prefix = parts.path.rstrip("/")
        self._http = kind(parts.hostname, parts.port, timeout=timeout_s)
        self._answered = False
        """Whether there has been an answer on the connection that stands now."""

    def call(self, method: str, path: str, body: object = None, *, reply: type[T]) -> T:
        """Send `body` as JSON (None: no body) and return the reply's JSON as `reply`."""
        raw = self._exchange(method, path, None if body is None else msgspec.json.encode(body))
        try:
            return msgspec.json.decode(raw, type=reply)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Broken(f"{method} {path}: the reply is not as the API says: {error}") from None

    def lines(self, path: str, *, accept: str = "") -> Iterator[bytes]:
        """The body of a `GET`, line by line while it comes. Raises `Unavailable` where it breaks off."""
        response = self._answer("GET", path, None, accept=accept)
        try:
            yield from response
        except (OSError, http.client.HTTPException) as error:
            raise self._no_answer(error) from None

    def close(self) -> None:
        """Hang up. May be called twice."""
        self._hang_up()

    def _exchange(self, method: str, path: str, body: bytes | None) -> bytes:
        started_ns = elapsed_ns()
        response = self._answer(method, path, body)
        try:
            raw = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._no_answer(error) from None
        self.round_trip_ms = (elapsed_ns() - started_ns) / 1_000_000
        return raw

    def _answer(self, method: str, path: str, body: bytes | None, *, accept: str = "") -> http.client.HTTPResponse:
        """A reply of which the body is still to be read; raises what a call does for one that refuses."""
        headers = self._headers if body is None else {**self._headers, "Content-Type": "application/json"}
        if accept:
            headers = {**headers, "Accept": accept}
        try:
            try:
                response = self._sent(method, path, body, headers)
            except ConnectionResetError:  # A server hangs up on who has said nothing for long, and may do so right now.
                if not self._answered:
                    raise
                self._hang_up()
                response = self._sent(method, path, body, headers)
            self._answered = True
            if response.status >= 400:
                raise _refusal(f"{method} {path}", response, response.read())
        except (OSError, http.client.HTTPException) as error:
            raise self._no_answer(error) from None
        return response

    def _sent(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> http.client.HTTPResponse:
        with contextlib.suppress(BrokenPipeError):  # Refused before all of it was sent: the answer says why.
            self._http.request(method, self._prefix + path, body=body, headers=headers)
        return self._http.getresponse()

    def _hang_up(self) -> None:
        self._http.close()
        self._answered = False

    def _no_answer(self, error: Exception) -> Unavailable:
        self._hang_up()
        return Unavailable(f"no answer from {self.base_url}: {error}")


def _refusal(what: str, response: http.client.HTTPResponse, raw: bytes) -> RequestRejected | Unavailable:
    try:
        problem = msgspec.json.decode(raw, type=_Failure).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        problem = _Problem()
    status, told = response.status, f"{what}: {response.status} {problem.message}".rstrip()
    wait = response.headers.get("Retry-After", "")
    retry_after_s = int(wait) if wait.isascii() and wait.isdigit() else 1
    if status == 429:
        return RateLimited(told, retry_after_s=retry_after_s)
    if status >= 500:
        return Unavailable(told, retry_after_s=retry_after_s)
    return RequestRejected(problem.code, told, status=status)
