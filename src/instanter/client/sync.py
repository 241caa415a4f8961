"""The client that waits."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import httpx

from .answers import Answer, check
from .attempts import Attempts
from .buffers import BUFFER_WAIT_S, Buffer, OnRefused
from .calls import Call, Calls, export_path
from .errors import ClientError, TimedOut
from .methods import Methods
from .surroundings import RealSurroundings, Surroundings
from .transport import Body, Lines, options, request_headers, translated

T = TypeVar("T")
TIMEOUT_S: Final = 10.0
WITHIN_S: Final = 30.0


class Client(Methods):
    """Calls a server, from any thread. Close it, or use it as a context manager.

    `timeout_s` bounds one attempt and `within_s` all attempts of a call; decisions have a time of their own. Each step
    of an attempt (connecting, sending, waiting for more) is bounded by what is left.
    """

    def __init__(
        self, url: str, *, key: str = "", timeout_s: float = TIMEOUT_S, within_s: float = WITHIN_S,
        transport: httpx.BaseTransport | None = None, surroundings: Surroundings | None = None,
    ) -> None:  # fmt: skip
        self._options = options(url, key, timeout_s=timeout_s, within_s=within_s)
        self._surroundings = surroundings or RealSurroundings()
        self.calls = Calls(self._surroundings)
        self._http = httpx.Client(headers=self._options.headers, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def buffer(self, *, on_refused: OnRefused | None = None, wait_s: float = BUFFER_WAIT_S) -> Buffer:
        """Gathers events and sends them in the background."""
        return Buffer(self, self._surroundings, on_refused=on_refused, wait_s=wait_s)

    def run(self, call: Call[T]) -> T:
        """The value of a call's answer, after as many attempts as it takes and there is time for."""
        around = self._surroundings
        attempts = Attempts(
            again=call.again, attempt_s=call.within_s or self._options.attempt_s,
            within_s=call.within_s or self._options.within_s, now_s=around.elapsed_s(),
        )  # fmt: skip
        while True:
            try:
                return call.read(self._answer(call, attempts.timeout_s(around.elapsed_s())))
            except ClientError as error:
                wait_s = attempts.wait_s(error, around.elapsed_s(), around.spread())
                if wait_s is None:
                    if call.fallback is None:
                        raise
                    return call.fallback(error)
            around.sleep(wait_s)

    def export_profile(self, id: str) -> Iterator[dict[str, Any]]:
        """Everything that is held about a person, an object at a time."""
        lines = Lines()
        with translated(), self._http.stream(
            "GET", self._options.url + export_path(id), timeout=self._options.attempt_s
        ) as response:
            if not response.is_success:
                response.read()
                check(_whole(response))
            for piece in response.iter_bytes():
                yield from lines.feed(piece)
        lines.end()

    def _answer(self, call: Call[Any], timeout_s: float) -> Answer:
        elapsed_s = self._surroundings.elapsed_s
        ends_s, body = elapsed_s() + timeout_s, Body()
        with translated(), self._http.stream(
            call.method, self._options.url + call.path, content=call.body, headers=request_headers(call.body),
            timeout=timeout_s,
        ) as response:  # fmt: skip
            for piece in response.iter_bytes():
                body.add(piece)
                if elapsed_s() > ends_s:
                    raise TimedOut("no whole answer in time")
        return body.answer(response)


def _whole(response: httpx.Response) -> Answer:
    return Answer(response.status_code, response.content)
