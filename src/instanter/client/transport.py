"""What both clients share about HTTP: the address and the key, the errors of httpx as ours, reading by pieces."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import msgspec

from .answers import Answer, decoded
from .errors import ClientError, Misunderstood, TimedOut, Unreachable
from .limits import ANSWER_BYTES_MAX, LINE_BYTES_MAX

USER_AGENT: Final = "instanter-client-python"
_line = msgspec.json.Decoder(dict[str, Any])


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How a client calls."""

    url: str
    headers: dict[str, str]
    attempt_s: float
    within_s: float


def options(url: str, key: str, *, timeout_s: float, within_s: float) -> Options:
    """The options by what a caller gives; raises ValueError for what cannot be an address or a key."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"url is {url!r}: write it as http://host:port or https://host")
    if parts.query or parts.fragment:
        raise ValueError("url ends with the path: it has no ? and no #")
    if not (key.isascii() and key.isprintable()) or key != key.strip():
        raise ValueError("key holds a character that no key has: was a line end copied with it?")
    if not (timeout_s > 0 and within_s > 0):
        raise ValueError("timeout_s and within_s are seconds above 0")
    headers = {"User-Agent": USER_AGENT, "Accept": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    return Options(url=url.rstrip("/"), headers=headers, attempt_s=timeout_s, within_s=within_s)


def request_headers(call_body: bytes | None) -> dict[str, str]:
    """What a request says beside the client's own headers."""
    return {} if call_body is None else {"Content-Type": "application/json"}


def error_of(error: httpx.HTTPError) -> ClientError:
    """An error of httpx as one of ours."""
    if isinstance(error, httpx.TimeoutException):
        return TimedOut("no answer in time")
    if isinstance(error, httpx.DecodingError | httpx.TooManyRedirects | httpx.UnsupportedProtocol):
        return Misunderstood(f"the answer cannot be read: {error}")
    return Unreachable(str(error) or type(error).__name__)


@contextmanager
def translated() -> Iterator[None]:
    """Raises our errors where httpx raises its own."""
    try:
        yield
    except httpx.HTTPError as error:
        raise error_of(error) from error


class Body:
    """Gathers an answer, and says when it is too long."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size_bytes = 0

    def add(self, piece: bytes) -> None:
        self._size_bytes += len(piece)
        if self._size_bytes > ANSWER_BYTES_MAX:
            raise Misunderstood(f"the answer has more than {ANSWER_BYTES_MAX} bytes")
        self._pieces.append(piece)

    def answer(self, response: httpx.Response) -> Answer:
        headers = response.headers
        return Answer(
            response.status_code, b"".join(self._pieces), headers.get("retry-after", ""), headers.get("location", "")
        )


class Lines:
    """Cuts an export into its lines."""

    def __init__(self) -> None:
        self._left = b""

    def feed(self, piece: bytes) -> Iterator[dict[str, Any]]:
        """The lines that are whole now."""
        *lines, self._left = (self._left + piece).split(b"\n")
        if len(self._left) > LINE_BYTES_MAX:
            raise Misunderstood(f"a line has more than {LINE_BYTES_MAX} bytes")
        for line in lines:
            if line:
                yield decoded(_line, line)

    def end(self) -> None:
        """Raise where the export broke off within a line."""
        if self._left:
            raise Unreachable("the export broke off within a line: read it again")
