"""The storefront's side of the API: what a shop's server asks for with its secret key, by the public client."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import httpx
import msgspec

from ..client import AsyncClient, ClientError, Profile, Refused, Replay
from ..client.calls import Call
from ..foundation.errors import RequestRejected, Unavailable

T = TypeVar("T")

CALL_S_MAX: Final = 5.0
STOCK_S_MAX: Final = 0.3
_CONNECTIONS_MAX: Final = 16


class Engine:
    """Calls to one engine. Raises `RequestRejected` for what it refuses, `Unavailable` where it does not answer.

    No call is sent twice: a page that waits shows rather what it has without the answer.
    """

    def __init__(self, url: str, *, key: str = "", transport: httpx.AsyncBaseTransport | None = None) -> None:
        """`transport` stands in for the network in tests. A proxy that the surroundings name is not used: the engine of
        a demonstration is on this machine."""
        self.url = url.rstrip("/")
        limits = httpx.Limits(max_connections=_CONNECTIONS_MAX)
        self._client = AsyncClient(
            self.url, key=key, transport=transport or httpx.AsyncHTTPTransport(limits=limits, trust_env=False))

    async def close(self) -> None:
        """Hang up."""
        await self._client.close()

    async def profile(self, anonymous_id: str) -> Profile:
        """What is known of a device."""
        return await self._run(self._client.calls.get_profile(f"anonymous:{anonymous_id}"))

    async def receipt(self, decision_id: str) -> dict[str, Any]:
        """A decision as it was made."""
        return await self._run(self._client.calls.get_decision(decision_id))

    async def replay(self, decision_id: str) -> Replay | None:
        """The same decision made again from the log; None while that is still being worked on."""
        again = await self._run(self._client.calls.replay_decision(decision_id))
        return again if isinstance(again, Replay) else None

    async def stock(self, item_id: str) -> float | None:
        """How many the catalogue has now, None where it does not say; a page waits for this, so not for long."""
        item = await self._run(self._client.calls.get_item(item_id), within_s=STOCK_S_MAX)
        stock = item.fields.get("stock")
        return float(stock) if isinstance(stock, int | float) and not isinstance(stock, bool) else None

    async def set_stock(self, item_id: str, stock: int) -> None:
        """Tell the catalogue how many there are."""
        await self._run(self._client.calls.patch_item(item_id, {"stock": stock}))

    async def _run(self, call: Call[T], *, within_s: float = CALL_S_MAX) -> T:
        try:
            return await self._client.run(msgspec.structs.replace(call, again=False, within_s=within_s))
        except Refused as error:
            raise RequestRejected(error.code, error.message, status=error.status) from None
        except ClientError as error:
            raise Unavailable(f"the engine at {self.url} does not answer: {error}") from None
