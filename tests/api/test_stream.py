"""`GET /v1/stream` as it is asked for: what is refused, by whom it may be followed, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest
from starlette.types import ASGIApp, Message

from instanter.api.admission import Admission, AdmissionOptions
from instanter.api.app import make_app
from instanter.api.auth import Access
from instanter.api.stream import StreamResponse
from instanter.api.tenancy import Terms
from instanter.engine.loop import Engine
from instanter.engine.streaming.kinds import KIND_NAMES
from instanter.engine.streaming.streams import Subscription
from instanter.foundation.clock import ManualClock
from instanter.foundation.limits import STREAM_CUT_S_MAX, STREAM_READERS_PER_TENANT_MAX

from ..engine.following import Sent, sent_in, streaming
from .client import Client, track, with_client

T = TypeVar("T")
KEYS: Final = Terms(key_requests_per_s=1_000_000)


class Listener:
    """A client that stays: an application is called, and what it sends is taken, or left lying."""

    def __init__(self, app: ASGIApp, path: str, headers: dict[str, str] | None = None) -> None:
        route, _, query = path.partition("?")
        scope = {
            "type": "http", "method": "GET", "path": route, "raw_path": route.encode(), "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
            "http_version": "1.1", "scheme": "http", "client": ("127.0.0.1", 9), "server": ("127.0.0.1", 80),
        }  # fmt: skip
        self.status = 0
        self.sent: list[Sent] = []
        self.takes = asyncio.Event()
        self.takes.set()
        self._there = asyncio.Event()
        self._left = asyncio.Event()
        self._asked = False
        self.answering = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        await self.takes.wait()
        if self.status == 200:
            self.sent += sent_in(message["body"].decode())
        self._there.set()

    async def until(self, event: str) -> Sent:
        """The first event of that name."""
        while not (found := [one for one in self.sent if one.event == event]):
            self._there.clear()
            await self._there.wait()
        return found[0]

    async def leave(self) -> None:
        self._left.set()
        await self.answering


def served(root: Path, work: Callable[[Client, ASGIApp], Awaitable[T]], *, terms: Terms | None = None,
           **options: Any) -> T:  # fmt: skip
    """Run `work` with a client and the application, whose stream is served."""

    async def run(client: Client) -> T:
        access = Access(client.engine, ManualClock(), terms or KEYS, dev=terms is None)
        app = make_app(client.engine, metrics=bytes, access=access)
        async with streaming(client.engine):
            return await work(client, app)

    return with_client(root, run, terms=terms, **options)


def test_what_happens_is_sent_to_who_follows_and_a_place_is_given_back(tmp_path: Path) -> None:
    async def work(client: Client, app: ASGIApp) -> None:
        admission = Admission(app, AdmissionOptions(requests_max=2, body_read_s=30), client.engine.meter)
        listeners = [Listener(admission, "/v1/stream?kinds=event,refusal") for _ in range(5)]
        for one in listeners:
            assert (await one.until("open")).data["kinds"] == ["event", "refusal"]
        assert admission.working == 0
        await client.post("/v1/track", track())
        told = [await one.until("event") for one in listeners]
        assert len({(one.id, one.data["name"], one.data["message"]) for one in told}) == 1
        for one in listeners:
            await one.leave()
        assert client.engine.streams.readers == 0
        assert admission.working == 0

    served(tmp_path, work)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("kinds=decisions", ['"decisions"', *KIND_NAMES]), ("kinds=", ['""', *KIND_NAMES]),
        ("kinds=event,", ['""', *KIND_NAMES]), ("kinds=event&kinds=clicks", ['"clicks"', *KIND_NAMES]),
        ("kind=event", ['"kind"', "did you mean kinds?"]), ("placement=home.nowhere", ["home.recommended"]),
        ("kinds=event&placement=home.hero", ["means nothing to event", "decision, outcome"]),
        ("from=yesterday", ["id of an entry", "oldest"]), ("from=", ["id of an entry"]),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_for_is_refused_with_what_can(query: str, said: list[str], tmp_path: Path) -> None:
    async def work(client: Client, app: ASGIApp) -> None:
        refused = await client.get(f"/v1/stream?{query}")
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "schema")
        assert all(part in refused.json()["error"]["message"] for part in said), refused.text
        assert client.engine.streams.readers == 0

    served(tmp_path, work)


def test_who_comes_again_goes_on_behind_the_last_id_whatever_the_address_says(tmp_path: Path) -> None:
    async def work(client: Client, app: ASGIApp) -> None:
        for number in range(3):
            await client.post("/v1/track", track(number))
        first = Listener(app, "/v1/stream?kinds=event&from=oldest")
        begun = await first.until("event")
        again = Listener(app, "/v1/stream?kinds=event&from=oldest", {"Last-Event-ID": begun.id})
        assert (await again.until("open")).data["from"] == begun.id
        await again.until("event")
        while len(first.sent) < 4 or len(again.sent) < 3:
            await asyncio.sleep(0)
        assert again.sent[1:] == first.sent[2:]
        for one in (first, again):
            await one.leave()

    served(tmp_path, work)


@pytest.mark.parametrize(("cursor", "status"), [(f"{1 << 60}:0", 404), ("33:0", 404)])
def test_an_id_that_the_stream_never_gave_is_refused(cursor: str, status: int, tmp_path: Path) -> None:
    async def work(client: Client, app: ASGIApp) -> None:
        refused = await client.get("/v1/stream", headers={"Last-Event-ID": cursor})
        assert (refused.status_code, refused.json()["error"]["code"]) == (status, "position")

    served(tmp_path, work)


def test_it_takes_the_scope_admin_and_tells_of_the_keys_tenant(tmp_path: Path) -> None:
    async def work(client: Client, app: ASGIApp) -> None:
        for scope in ("decisions:read", "metrics:read", "profiles:read", "write"):
            key = await client.key(scope)
            assert (await client.get("/v1/stream", headers=key.headers)).status_code == 403
        assert (await client.get("/v1/stream")).status_code == 401
        keys = [await client.key("admin", "write", tenant=tenant) for tenant in ("one", "two")]
        one, two = [Listener(app, "/v1/stream?kinds=event", key.headers) for key in keys]
        for listener in (one, two):
            await listener.until("open")
        await client.post("/v1/track", track(1), headers=keys[1].headers)
        await client.post("/v1/track", track(2), headers=keys[0].headers)
        told = [await listener.until("event") for listener in (one, two)]
        assert told[0].id > told[1].id
        assert [len(listener.sent) for listener in (one, two)] == [2, 2]
        for listener in (one, two):
            await listener.leave()

    served(tmp_path, work, terms=KEYS)


def test_a_key_that_is_revoked_follows_no_longer(tmp_path: Path) -> None:
    async def work(client: Client, app: ASGIApp) -> None:
        key, writer = await client.key("admin"), await client.key("write")
        listener = Listener(app, "/v1/stream?kinds=event", key.headers)
        await listener.until("open")
        await client.engine.credentials.revoke_key("default", key.id, actor="test")
        await client.post("/v1/track", track(), headers=writer.headers)
        assert (await listener.until("cut")).data["reason"] == "the access key counts no longer"
        await listener.answering
        assert [one.event for one in listener.sent] == ["open", "cut"]

    served(tmp_path, work, terms=KEYS)


def test_one_reader_more_than_may_be_is_refused_with_when_to_come_again(tmp_path: Path) -> None:
    async def work(client: Client, app: ASGIApp) -> None:
        listeners = [Listener(app, "/v1/stream?kinds=event") for _ in range(STREAM_READERS_PER_TENANT_MAX)]
        for one in listeners:
            await one.until("open")
        refused = await client.get("/v1/stream")
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "overloaded")
        assert int(refused.headers["Retry-After"]) > 0
        for one in listeners:
            await one.leave()

    served(tmp_path, work)


def test_who_takes_nothing_is_cut_off_and_told_once_they_take_again(tmp_path: Path) -> None:
    async def work(client: Client, app: ASGIApp) -> None:
        stuck, other = Listener(app, "/v1/stream?kinds=event"), Listener(app, "/v1/stream?kinds=event")
        for one in (stuck, other):
            await one.until("open")
        stuck.takes.clear()
        for number in range(60):
            events = [{"type": "track", **track(1_000 * number + place)} for place in range(200)]
            await client.post("/v1/batch", {"batch": events})
            while len(other.sent) < 200 * (number + 1):
                await asyncio.sleep(0.001)
            if client.engine.meter.counts["stream_readers_cut"]:
                break
        assert client.engine.meter.counts["stream_readers_cut"] == 1
        stuck.takes.set()
        last = await stuck.until("cut")
        await stuck.answering
        heard = [one.id for one in stuck.sent if one.event == "event"]
        assert last.data["resume"] == heard[-1]
        resumed = Listener(app, "/v1/stream?kinds=event", {"Last-Event-ID": last.data["resume"]})
        wanted = [one.id for one in other.sent if one.event == "event"]
        while len(heard) + len(resumed.sent) - 1 < len(wanted):
            await asyncio.sleep(0.001)
        assert heard + [one.id for one in resumed.sent[1:]] == wanted
        for one in (other, resumed):
            await one.leave()

    served(tmp_path, work)


def test_who_was_cut_off_and_takes_nothing_is_waited_for_only_so_long(tmp_path: Path) -> None:
    assert STREAM_CUT_S_MAX > 0

    async def work(client: Client, app: ASGIApp) -> None:
        streams = client.engine.streams
        reader = await streams.open(Subscription("default", frozenset({"event"})), None)
        stuck = Listener(StreamResponse(streams, reader, lambda: True, cut_s_max=0.0), "/v1/stream")
        await stuck.until("open")
        stuck.takes.clear()
        await client.post("/v1/track", track())
        while reader.cursor.entry < 0:
            await asyncio.sleep(0.001)
        reader.cut("a test's")
        await stuck.answering
        assert streams.readers == 0
        assert [one.event for one in stuck.sent] == ["open"]

    served(tmp_path, work)


def test_a_head_opens_no_stream(tmp_path: Path) -> None:
    async def work(client: Client, app: ASGIApp) -> None:
        reply = await client.http.request("HEAD", "/v1/stream")
        assert (reply.status_code, reply.headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
        assert client.engine.streams.readers == 0

    served(tmp_path, work)


def test_nobody_follows_where_nothing_is_served(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        assert isinstance(client.engine, Engine)
        assert (await client.get("/v1/stream")).status_code == 503

    with_client(tmp_path, work)
