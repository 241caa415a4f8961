"""The client that is awaited; for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from .answers import Answer, check
from .attempts import Attempts
from .buffers import BUFFER_WAIT_S, AsyncBuffer, OnRefused
from .calls import Call, Calls, export_path
from .errors import ClientError, TimedOut
from .methods import Methods
from .surroundings import RealSurroundings, Surroundings
from .sync import TIMEOUT_S, WITHIN_S
from .transport import Body, Lines, options, request_headers, translated

T = TypeVar("T")


class AsyncClient(Methods):
    """Calls a server from one event loop. The methods are those of `Client`, to be awaited.

    `timeout_s` bounds one attempt and `within_s` all attempts of a call; decisions have a time of their own.
    """

    def __init__(
        self, url: str, *, key: str = "", timeout_s: float = TIMEOUT_S, within_s: float = WITHIN_S,
        transport: httpx.AsyncBaseTransport | None = None, surroundings: Surroundings | None = None,
    ) -> None:  # fmt: skip
        self._options = options(url, key, timeout_s=timeout_s, within_s=within_s)
        self._surroundings = surroundings or RealSurroundings()
        self.calls = Calls(self._surroundings)
        self._http = httpx.AsyncClient(headers=self._options.headers, transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def buffer(self, *, on_refused: OnRefused | None = None, wait_s: float = BUFFER_WAIT_S) -> AsyncBuffer:
        """Gathers events and sends them in the background."""
        return AsyncBuffer(self, self._surroundings, on_refused=on_refused, wait_s=wait_s)

    async def run(self, call: Call[T]) -> T:
        """The value of a call's answer, after as many attempts as it takes and there is time for."""
        around = self._surroundings
        attempts = Attempts(
            again=call.again, attempt_s=call.within_s or self._options.attempt_s,
            within_s=call.within_s or self._options.within_s, now_s=around.elapsed_s(),
        )  # fmt: skip
        while True:
            try:
                return call.read(await self._answer(call, attempts.timeout_s(around.elapsed_s())))
            except ClientError as error:
                wait_s = attempts.wait_s(error, around.elapsed_s(), around.spread())
                if wait_s is None:
                    if call.fallback is None:
                        raise
                    return call.fallback(error)
            await around.pause(wait_s)

    async def export_profile(self, id: str) -> AsyncIterator[dict[str, Any]]:
        """Everything that is held about a person, an object at a time."""
        lines = Lines()
        with translated():
            async with self._http.stream(
            "GET", self._options.url + export_path(id), timeout=self._options.attempt_s
        ) as response:
                if not response.is_success:
                    check(Answer(response.status_code, await response.aread()))
                async for piece in response.aiter_bytes():
                    for line in lines.feed(piece):
                        yield line
        lines.end()

    async def _answer(self, call: Call[Any], timeout_s: float) -> Answer:
        body = Body()
        try:
            async with asyncio.timeout(timeout_s):
                with translated():
                    async with self._http.stream(
                        call.method, self._options.url + call.path, content=call.body,
                        headers=request_headers(call.body), timeout=None,
                    ) as response:  # fmt: skip
                        async for piece in response.aiter_bytes():
                            body.add(piece)
        except TimeoutError:
            raise TimedOut("no answer in time") from None
        return body.answer(response)
