"""The storefront's side of the engine's API: what a shop's server asks for with its secret key."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

import httpx
import msgspec

from ..foundation.errors import RequestRejected, Unavailable

CALL_S_MAX: Final = 5.0
STOCK_S_MAX: Final = 0.3
_CONNECTIONS_MAX: Final = 16


class Engine:
    """Calls to one engine. Raises `RequestRejected` for what it refuses, `Unavailable` where it does not answer."""

    def __init__(self, url: str, *, key: str = "", transport: httpx.AsyncBaseTransport | None = None) -> None:
        """`transport` stands in for the network in tests."""
        self.url = url.rstrip("/")
        self._http = httpx.AsyncClient(
            base_url=self.url, headers={"Authorization": f"Bearer {key}"} if key else {}, timeout=CALL_S_MAX,
            transport=transport, limits=httpx.Limits(max_connections=_CONNECTIONS_MAX), trust_env=False,
        )  # fmt: skip

    async def close(self) -> None:
        """Hang up."""
        await self._http.aclose()

    async def profile(self, anonymous_id: str) -> dict[str, Any]:
        """What is known of a device."""
        return await self._call("GET", f"/v1/profiles/{quote(f'anonymous:{anonymous_id}', safe='')}")

    async def receipt(self, decision_id: str) -> dict[str, Any]:
        """A decision as it was made."""
        return await self._call("GET", f"/v1/decisions/{quote(decision_id, safe='')}")

    async def replay(self, decision_id: str) -> dict[str, Any]:
        """The same decision made again from the log; without "identical" while that is still being worked on."""
        return await self._call("POST", f"/v1/decisions/{quote(decision_id, safe='')}/replay")

    async def stock(self, item_id: str) -> float | None:
        """How many the catalogue has now, None where it does not say; a page waits for this, so not for long."""
        item = await self._call("GET", f"/v1/items/{quote(item_id, safe='')}", within_s=STOCK_S_MAX)
        stock = (item.get("fields") or {}).get("stock")
        return float(stock) if isinstance(stock, int | float) and not isinstance(stock, bool) else None

    async def set_stock(self, item_id: str, stock: int) -> None:
        """Tell the catalogue how many there are."""
        await self._call("PATCH", f"/v1/items/{quote(item_id, safe='')}", {"fields": {"stock": stock}})

    async def _call(
        self, method: str, path: str, body: object = None, *, within_s: float = CALL_S_MAX
    ) -> dict[str, Any]:
        try:
            reply = await self._http.request(
                method, path, content=None if body is None else msgspec.json.encode(body),
                headers={} if body is None else {"Content-Type": "application/json"}, timeout=within_s)  # fmt: skip
        except httpx.HTTPError as error:
            raise Unavailable(f"the engine at {self.url} does not answer: {error}") from None
        try:
            said = msgspec.json.decode(reply.content)
        except (msgspec.DecodeError, UnicodeDecodeError):
            said = None
        if reply.status_code >= 500 or not isinstance(said, dict):
            raise Unavailable(f"the engine answered {reply.status_code}")
        if reply.status_code >= 400:
            problem = said.get("error")
            code, message = "refused", f"the engine answered {reply.status_code}"
            if isinstance(problem, dict):
                code, message = str(problem.get("code", code)), str(problem.get("message", message))
            raise RequestRejected(code, message, status=reply.status_code)
        return said
