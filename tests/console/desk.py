"""The console in this process: a caller that has a cookie, as a browser has."""

from __future__ import annotations

import html
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import httpx

from instanter.api.app import NO_REGISTRY, make_app
from instanter.api.auth import Access
from instanter.api.models import Registry
from instanter.api.tenancy import Terms
from instanter.console.app import Console
from instanter.engine.loop import Engine
from instanter.foundation.clock import ManualClock
from instanter.foundation.ids import Ids
from instanter.ops import metrics
from instanter.ops.serving import make_edge
from instanter.ops.settings import ServeSettings
from instanter.privacy.roles import RoleName

from ..api.client import Client, JobsInNoTime
from ..engine.harness import with_engine

T = TypeVar("T")
ORIGIN = "http://shop.localhost"
OWN = {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}


class Desk:
    """Somebody at the console. `api` calls the API beside it."""

    def __init__(self, http: httpx.AsyncClient, engine: Engine, clock: ManualClock) -> None:
        self.http = http
        self.engine = engine
        self.clock = clock
        self.api = Client(http, engine)
        self.csrf = ""

    async def log_in(self, key: str, **more: Any) -> httpx.Response:
        """The reply to a login; the cookie is kept."""
        return await self.http.post("/console/login", data={"key": key}, headers=OWN, **more)

    async def get(self, path: str, **more: Any) -> httpx.Response:
        """A page."""
        reply = await self.http.get(path, **more)
        found = re.search(r'x-csrf-token": "([0-9a-f]+)"', reply.text)
        self.csrf = found[1] if found else self.csrf
        return reply

    async def act(self, path: str, *, headers: dict[str, str] = OWN, csrf: str | None = None, **fields: str) -> Any:
        """The reply to a form of a page."""
        data = {"csrf": self.csrf if csrf is None else csrf, **fields}
        return await self.http.post(path, data=data, headers=headers)

    async def key_of(self, role: RoleName, **more: Any) -> str:
        """The text of a new key."""
        return (await self.api.key(role=role, **more)).text


def with_desk(
    root: Path, work: Callable[[Desk], Awaitable[T]], *, dev: bool = False, per_s: int = 1_000_000,
    registry: Registry = NO_REGISTRY, **options: Any,
) -> T:  # fmt: skip
    """Run `work` with somebody at the console of an application over an engine of its own."""

    async def run(engine: Engine) -> T:
        clock = ManualClock()
        access = Access(engine, clock, Terms(key_requests_per_s=per_s), dev=dev)
        app = make_app(
            engine, metrics=lambda: metrics.render(engine), access=access, jobs=JobsInNoTime(),
            registry=registry, console=lambda app: Console(app, access, clock, Ids()),
        )  # fmt: skip
        edge = make_edge(app, ServeSettings(), engine.meter, dev=dev)
        transport = httpx.ASGITransport(app=edge, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as http:
            return await work(Desk(http, engine, clock))

    # In a thread of its own: in this one a browser that the tests before have started holds the running loop.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: with_engine(root, run, **options)).result()


def notice_of(reply: httpx.Response) -> str:
    """What a page tells of the act before it."""
    found = re.search(r'<p class="notice [a-z]+">(.*?)</p>', reply.text, re.DOTALL)
    return html.unescape(found[1]) if found else ""
