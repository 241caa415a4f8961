"""`instanter.client` by the vectors that the client for Node reads as well, and what it does with time and space."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

import instanter.client as package
from instanter.api.track import TrackReply as ServersTrackReply
from instanter.client import (
    Alias,
    AsyncClient,
    BufferFull,
    Candidate,
    Client,
    ClientError,
    Event,
    Group,
    Identify,
    Misunderstood,
    NotSent,
    Page,
    Placement,
    Refused,
    Screen,
    TimedOut,
    Track,
    Unavailable,
    Unreachable,
    errors,
    limits,
    user_token,
)
from instanter.client.transport import error_of
from instanter.foundation import limits as server_limits
from instanter.privacy.user_tokens import LIFETIME_S_MAX

VECTORS = json.loads((Path(__file__).parents[2] / "web" / "client" / "vectors.json").read_text(encoding="utf-8"))
KINDS = {"track": Track, "page": Page, "screen": Screen, "identify": Identify, "group": Group, "alias": Alias}
URL = "http://instanter.test/shop/"


class Standing:
    """Surroundings in which time passes only by waiting."""

    def __init__(self) -> None:
        self.waits_s: list[float] = []
        self.at_s = 100.0
        self._made = 0

    def now_ms(self) -> int:
        return int(VECTORS["nowMs"])

    def elapsed_s(self) -> float:
        return self.at_s

    def spread(self) -> float:
        return 0.5

    def message_id(self) -> str:
        self._made += 1
        return f"m-{self._made}"

    def sleep(self, seconds: float) -> None:
        self.waits_s.append(round(seconds, 6))
        self.at_s += seconds

    async def pause(self, seconds: float) -> None:
        self.sleep(seconds)


Answering = Callable[[httpx.Request], httpx.Response]


class Both:
    """One call by both clients, over the same server; they must not differ."""

    def __init__(self, answering: Callable[[], Answering], *, key: str = "", **options: Any) -> None:
        self._answering, self._key, self._options = answering, key, options
        self.waits_s: list[float] = []

    def __call__(self, method: str, args: dict[str, Any]) -> Any:
        outcomes = [self._wait(method, args), asyncio.run(self._await(method, args))]
        assert repr(outcomes[0]) == repr(outcomes[1])
        if isinstance(outcomes[0], Exception):
            raise outcomes[0]
        return outcomes[0]

    def _wait(self, method: str, args: dict[str, Any]) -> Any:
        around = Standing()
        transport = httpx.MockTransport(self._answering())
        with Client(URL, key=self._key, transport=transport, surroundings=around, **self._options) as client:
            try:
                return getattr(client, method)(**args)
            except (ClientError, TypeError, ValueError) as error:
                return error
            finally:
                self.waits_s = around.waits_s

    async def _await(self, method: str, args: dict[str, Any]) -> Any:
        around = Standing()
        transport = httpx.MockTransport(self._answering())
        async with AsyncClient(URL, key=self._key, transport=transport, surroundings=around, **self._options) as client:
            try:
                return await getattr(client, method)(**args)
            except (ClientError, TypeError, ValueError) as error:
                return error
            finally:
                assert around.waits_s == self.waits_s


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z])", lambda match: "_" + match[1].lower(), name)


def in_python(vector: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The method and the arguments of a vector as this client has them."""
    args = {snake(name): value for name, value in vector["args"].items()}
    if isinstance(args.get("placements"), list):
        args["placements"] = [one if isinstance(one, str) else placement_of(one) for one in args["placements"]]
    if "candidates" in args:
        args["candidates"] = candidates_of(args["candidates"])
    if "events" in args:
        args["events"] = [event_of(one) for one in args["events"]]
    return snake(vector.get("method", "")), args


def placement_of(given: dict[str, Any]) -> Placement:
    return Placement(**{**given, "candidates": candidates_of(given["candidates"])})


def candidates_of(given: list[Any]) -> list[str | Candidate]:
    return [one if isinstance(one, str) else Candidate(**one) for one in given]


def event_of(given: dict[str, Any]) -> Event:
    return KINDS[given["type"]](**{snake(name): value for name, value in given.items() if name != "type"})


def response_of(answer: Any) -> httpx.Response:
    if answer == "unreachable":
        raise httpx.ConnectError("refused")
    text = answer["text"].encode() if "text" in answer else json.dumps(answer["body"]).encode()
    return httpx.Response(answer["status"], headers=answer.get("headers"), content=text)


def one_by_one(answers: list[Any], seen: list[httpx.Request]) -> Answering:
    left = iter(answers)

    def answering(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return response_of(next(left))

    return answering


def seen_error(error: ClientError) -> dict[str, Any]:
    seen: dict[str, Any] = {"kind": type(error).__name__, "code": error.code}
    if isinstance(error, Refused | Unavailable):
        seen |= {"status": error.status, "message": error.message}
    if isinstance(error, Refused):
        seen["details"] = error.details
    if isinstance(error, Unavailable):
        seen["retryAfterS"] = error.retry_after_s
    return seen


def named(vectors: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(vector, id=vector["name"]) for vector in vectors]


@pytest.mark.parametrize("vector", named(VECTORS["calls"]))
def test_a_call_is_the_request_of_the_vectors(vector: dict[str, Any]) -> None:
    seen: list[httpx.Request] = []
    both = Both(lambda: one_by_one([{"status": 404, "text": ""}], seen), key=VECTORS["key"])
    method, args = in_python(vector)
    if "wrong" in vector:
        with pytest.raises((TypeError, ValueError), match=snake(vector["wrong"])):
            both(method, args)
        assert seen == []
        return
    with contextlib.suppress(Refused):  # Where there is no fallback.
        both(method, args)
    assert len(seen) == 2
    wanted = vector["request"]
    for request in seen:
        assert (request.method, request.url.raw_path.decode()) == (wanted["method"], "/shop" + wanted["path"])
        assert request.headers["authorization"] == f"Bearer {VECTORS['key']}"
        assert request.headers.get("content-type") == ("application/json" if "body" in wanted else None)
        assert (json.loads(request.content) if request.content else None) == wanted.get("body")


@pytest.mark.parametrize("vector", named(VECTORS["answers"]))
def test_an_answer_is_the_value_or_the_error_of_the_vectors(vector: dict[str, Any]) -> None:
    both = Both(lambda: lambda request: response_of(vector["answer"]), within_s=0.001)
    method, args = in_python(vector)
    if "error" in vector:
        with pytest.raises(ClientError) as raised:
            both(method, args)
        assert seen_error(raised.value) == vector["error"]
    else:
        assert msgspec.to_builtins(both(method, args)) == vector["value"]


@pytest.mark.parametrize("vector", named(VECTORS["attempts"]))
def test_a_call_is_sent_again_as_the_vectors_say(vector: dict[str, Any]) -> None:
    seen: list[httpx.Request] = []
    both = Both(lambda: one_by_one(vector["answers"], seen))
    method, args = in_python(vector)
    outcome = "value"
    try:
        both(method, args)
    except ClientError as error:
        outcome = type(error).__name__
    assert (outcome, len(seen), both.waits_s) == (vector["outcome"], 2 * len(vector["answers"]), vector["waitsS"])
    assert len({request.content for request in seen}) == 1, "a message keeps its id and its time"


@pytest.mark.parametrize("vector", named(VECTORS["tokens"]))
def test_a_user_token_is_that_of_the_vectors(vector: dict[str, Any]) -> None:
    _, args = in_python(vector)
    if "wrong" in vector:
        with pytest.raises(ValueError, match=vector["wrong"]):
            user_token(**args, surroundings=Standing())
    else:
        assert user_token(**args, surroundings=Standing()) == vector["token"]


def test_the_vectors_call_every_method() -> None:
    methods = {name for name, value in vars(package.Client.__mro__[1]).items() if hasattr(value, "__get__")} - {"send"}
    called = {snake(vector["method"]) for vector in VECTORS["calls"] if "request" in vector}
    assert {name for name in methods if not name.startswith("_")} == called
    assert called <= {snake(vector["method"]) for vector in VECTORS["answers"]} | {
        "page", "screen", "identify", "group", "alias"}


def test_a_method_says_what_it_takes_and_does() -> None:
    with Client(URL) as client:
        assert "fallback" in inspect.signature(client.decide).parameters
        assert (client.decide.__doc__ or "").startswith("Ask what somebody should see")


def test_the_client_pulls_in_nothing_of_the_server() -> None:
    found = subprocess.run(
        [sys.executable, "-c", "import sys, instanter.client; print(*sys.modules, sep='\\n')"],
        capture_output=True, text=True, check=True).stdout.split()
    ours = {name.split(".")[1] for name in found if name.startswith("instanter.")}
    assert ours == {"client"}
    heavy = {"numpy", "numba", "starlette", "granian", "lightgbm", "cryptography", "jwt", "prometheus_client"}
    assert heavy & set(found) == set()


def test_every_name_is_exported_once() -> None:
    assert sorted(package.__all__) == sorted(set(package.__all__))
    assert all(hasattr(package, name) for name in package.__all__)


def test_the_tree_of_errors_is_drawn_whole() -> None:
    kinds = {name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, ClientError)}
    assert all(name in (errors.__doc__ or "") for name in kinds)


def all_of(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    for one in kind.__subclasses__():
        yield one
        yield from all_of(one)


def test_every_error_of_httpx_has_its_place() -> None:
    for kind in all_of(httpx.HTTPError):
        if kind is httpx.HTTPStatusError:  # Raised only where somebody asks for it.
            continue
        wanted = (
            TimedOut if issubclass(kind, httpx.TimeoutException)
            else Misunderstood if kind in (httpx.DecodingError, httpx.TooManyRedirects, httpx.UnsupportedProtocol)
            else Unreachable)
        assert type(error_of(kind("why"))) is wanted


@pytest.mark.parametrize(("url", "options"), [
    ("127.0.0.1:8080", {}), ("ftp://shop.example", {}), ("http://", {}), ("http://shop.example/?x=1", {}),
    ("http://shop.example", {"key": "k\n"}), ("http://shop.example", {"key": "schlüssel"}),
    ("http://shop.example", {"timeout_s": 0}), ("http://shop.example", {"within_s": -1}),
])  # fmt: skip
def test_what_cannot_be_an_address_or_a_key_is_said_before_a_call(url: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Client(url, **options)


def test_a_time_without_a_zone_and_a_number_that_is_none_are_refused_before_they_are_sent() -> None:
    both = Both(lambda: lambda request: httpx.Response(200))
    with pytest.raises(ValueError, match="zone"):
        both("track", {"event": "x", "timestamp": datetime(2024, 5, 1)})
    with pytest.raises(ValueError, match=r"price is nan"):
        both("track", {"event": "x", "properties": {"products": [{"price": float("nan")}]}})
    with pytest.raises(TypeError):
        both("track", {"event": "x", "properties": {"what": object()}})


@pytest.mark.parametrize(("method", "args", "says"), [
    ("batch", {"events": [{"type": "track", "event": "x"}]}, "not dict"), ("send", {"event": "x"}, "not str"),
    ("decide", {"placements": [{"id": "home.hero"}]}, "not dict"),
    ("decide", {"placements": ["home.hero"], "timeout_s": 0}, "above 0"),
    ("rank", {"placement": "search", "candidates": "sku-1"}, "is a list"),
])  # fmt: skip
def test_a_call_that_is_made_wrongly_says_so(method: str, args: dict[str, Any], says: str) -> None:
    with pytest.raises((TypeError, ValueError), match=says):
        Both(lambda: lambda request: httpx.Response(200))(method, args)


def test_a_time_with_a_zone_is_sent_as_it_is() -> None:
    seen: list[httpx.Request] = []
    both = Both(lambda: one_by_one([{"status": 200, "body": {"accepted": 1, "position": "1"}}], seen))
    both("track", {"event": "x", "timestamp": datetime(2024, 5, 1, tzinfo=UTC)})
    assert json.loads(seen[0].content)["timestamp"] == "2024-05-01T00:00:00Z"


def test_an_answer_that_does_not_end_in_time_is_no_answer() -> None:
    around = Standing()

    class Dripping(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            for _ in range(100):
                around.at_s += 0.1
                yield b" "

    with Client(
        URL, transport=httpx.MockTransport(lambda request: httpx.Response(200, stream=Dripping())), surroundings=around
    ) as client, pytest.raises(TimedOut):
        client.decide(["home.hero"], timeout_s=0.3)
    assert around.at_s < 101.0


def test_an_awaited_answer_that_does_not_come_in_time_is_no_answer() -> None:
    async def never(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def ask() -> Any:
        async with AsyncClient(URL, transport=httpx.MockTransport(never)) as client:
            return await client.decide(["home.hero"], timeout_s=0.01, fallback={"home.hero": ["sku-1"]})

    answer = asyncio.run(ask())
    assert (answer.failure, answer.placements["home.hero"].ids) == ("timed_out", ["sku-1"])


def test_an_answer_beyond_its_bound_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("instanter.client.transport.ANSWER_BYTES_MAX", 100)
    with pytest.raises(Misunderstood, match="more than 100 bytes"):
        Both(lambda: lambda request: httpx.Response(200, content=b" " * 101))("get_item", {"id": "x"})


def export(content: bytes, status: int = 200) -> tuple[list[Any], list[Any]]:
    """The lines of an export by both clients."""
    transport = httpx.MockTransport(lambda request: httpx.Response(status, content=content))

    async def awaited() -> list[Any]:
        async with AsyncClient(URL, transport=transport) as client:
            return [line async for line in client.export_profile("u1")]

    with Client(URL, transport=transport) as client:
        waited = list(client.export_profile("u1"))
    return waited, asyncio.run(awaited())


def test_an_export_is_read_line_by_line() -> None:
    lines = [{"kind": "profile"}, {"kind": "event", "n": 1}]
    assert export(b'{"kind":"profile"}\n\n{"kind":"event","n":1}\n') == (lines, lines)


@pytest.mark.parametrize(("content", "status", "kind"), [
    (b'{"kind":"profile"}\n{"ki', 200, Unreachable), (b"<html>\n", 200, Misunderstood),
    (b'{"error": {"code": "unknown_profile", "message": "nobody"}}', 404, Refused),
])  # fmt: skip
def test_an_export_that_is_none_or_breaks_off_is_told(content: bytes, status: int, kind: type[ClientError]) -> None:
    with pytest.raises(kind):
        export(content, status)


def test_a_line_beyond_its_bound_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("instanter.client.transport.LINE_BYTES_MAX", 100)
    with pytest.raises(Misunderstood, match="more than 100 bytes"):
        export(b" " * 101)


# Buffers.


def taken(request: httpx.Request) -> httpx.Response:
    sent = json.loads(request.content)["batch"]
    return httpx.Response(200, json={"accepted": len(sent), "rejected": [], "position": "1"})


def view(number: int = 0) -> Track:
    return Track("Product Viewed", {"product_id": f"sku-{number}"}, user_id="u1")


class Server:
    """Takes batches, or answers as it is told."""

    def __init__(self) -> None:
        self.batches: list[list[dict[str, Any]]] = []
        self.answer: Answering = taken

    def __call__(self, request: httpx.Request) -> httpx.Response:
        answer = self.answer(request)
        if answer.status_code == 200:
            self.batches.append(json.loads(request.content)["batch"])
        return answer

    @property
    def products(self) -> list[str]:
        return [event["properties"]["product_id"] for batch in self.batches for event in batch]


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(URL, transport=httpx.MockTransport(server), surroundings=Standing()) as client:
        yield client


NEVER_S = 3_600.0


def unavailable(request: httpx.Request) -> httpx.Response:
    return httpx.Response(503, json={"error": {"code": "unavailable", "message": "later"}})


def refused(request: httpx.Request) -> httpx.Response:
    return httpx.Response(401, json={"error": {"code": "unauthorized", "message": "no"}})


def test_a_buffer_sends_all_by_itself_in_order_and_in_batches(server: Server, client: Client) -> None:
    with client.buffer(wait_s=NEVER_S) as buffer:
        ids = [buffer.add(view(number)) for number in range(limits.BATCH_EVENTS_MAX + 10)]
    assert server.products == [f"sku-{number}" for number in range(limits.BATCH_EVENTS_MAX + 10)]
    assert [event["messageId"] for batch in server.batches for event in batch] == ids
    assert max(map(len, server.batches)) <= limits.BATCH_EVENTS_MAX


def test_a_buffer_sends_without_being_asked(client: Client, server: Server) -> None:
    sent = threading.Event()

    def answer(request: httpx.Request) -> httpx.Response:
        sent.set()
        return taken(request)

    server.answer = answer
    with client.buffer(wait_s=0.001) as buffer:
        buffer.add(view())
        assert sent.wait(60)


def test_an_event_is_held_as_it_was_when_it_was_added(client: Client, server: Server) -> None:
    properties = {"product_id": "sku-0"}
    with client.buffer(wait_s=NEVER_S) as buffer:
        buffer.add(Track("Product Viewed", properties, user_id="u1"))
        properties["product_id"] = "sku-1"
        buffer.add(Track("Product Viewed", properties, user_id="u1"))
    assert server.products == ["sku-0", "sku-1"]


def test_what_cannot_be_sent_is_kept_and_sent_later(client: Client, server: Server) -> None:
    server.answer = unavailable
    with client.buffer(wait_s=NEVER_S) as buffer:
        buffer.add(view())
        with pytest.raises(Unavailable):
            buffer.flush()
        assert len(buffer) == 1
        server.answer = taken
        buffer.flush()
        assert (len(buffer), server.products) == (0, ["sku-0"])


def test_what_cannot_be_sent_at_the_end_is_handed_back(client: Client, server: Server) -> None:
    server.answer = unavailable
    buffer = client.buffer(wait_s=NEVER_S)
    for number in range(3):
        buffer.add(view(number))
    with pytest.raises(NotSent) as raised:
        buffer.close()
    assert [event.properties["product_id"] for event in raised.value.events] == ["sku-0", "sku-1", "sku-2"]
    assert {type(cause) for cause in raised.value.causes} == {Unavailable}
    with pytest.raises(ValueError, match="closed"):
        buffer.add(view())


def test_a_refusal_is_raised_by_the_next_flush(client: Client, server: Server) -> None:
    server.answer = refused
    with client.buffer(wait_s=NEVER_S) as buffer:
        buffer.add(view())
        with pytest.raises(NotSent, match="unauthorized"):
            buffer.flush()
        buffer.flush()


def test_a_refusal_is_told_to_who_asked_for_it(client: Client, server: Server) -> None:
    told: list[Any] = []
    told_once = threading.Event()

    def on_refused(events: Any, causes: Any) -> None:
        told.extend(zip(events, causes, strict=True))
        told_once.set()

    def some(request: httpx.Request) -> httpx.Response:
        rejected = [{"messageId": "m-2", "code": "schema", "message": "no", "index": 1}]
        return httpx.Response(200, json={"accepted": 1, "rejected": rejected, "position": "1"})

    server.answer = some
    with client.buffer(on_refused=on_refused, wait_s=0.001) as buffer:
        for number in range(2):
            buffer.add(view(number))
        assert told_once.wait(60) or not told
    assert [(event.properties["product_id"], str(cause)) for event, cause in told] in (
        [("sku-1", "schema: no")], [])


def test_a_full_buffer_says_so_and_keeps_what_it_has(client: Client, server: Server) -> None:
    server.answer = unavailable
    buffer = client.buffer(wait_s=NEVER_S)
    for number in range(limits.BUFFERED_EVENTS_MAX):
        buffer.add(view(number))
    with pytest.raises(BufferFull):
        buffer.add(view(-1))
    server.answer = taken
    buffer.close()
    assert server.products == [f"sku-{number}" for number in range(limits.BUFFERED_EVENTS_MAX)]


@pytest.mark.parametrize(("event", "kind"), [
    (Track("x", {"note": "x" * limits.EVENT_BYTES_MAX}, user_id="u1"), ValueError),
    (Track("x", {"price": float("inf")}, user_id="u1"), ValueError), ({"type": "track", "event": "x"}, TypeError),
    (Track("x", {"what": Client}, user_id="u1"), TypeError),
    (Track("x", timestamp=datetime(2024, 5, 1), user_id="u1"), ValueError),
])  # fmt: skip
def test_an_event_that_no_server_would_take_is_not_held(event: Any, kind: type[Exception], client: Client) -> None:
    with client.buffer() as buffer:
        with pytest.raises(kind):
            buffer.add(event)
        assert len(buffer) == 0


def test_batches_have_their_bytes(client: Client, server: Server) -> None:
    note = "x" * 30_000
    with client.buffer(wait_s=NEVER_S) as buffer:
        for number in range(40):
            buffer.add(Track("x", {"product_id": f"sku-{number}", "note": note}, user_id="u1"))
    sizes = [len(json.dumps(batch, separators=(",", ":"))) for batch in server.batches]
    assert max(sizes) <= limits.BATCH_BYTES_MAX + 2
    assert len(server.products) == 40


def test_the_awaited_buffer_does_the_same(server: Server) -> None:
    async def all_of_it() -> None:
        transport = httpx.MockTransport(server)
        async with AsyncClient(URL, transport=transport, surroundings=Standing()) as client:
            server.answer = unavailable
            async with client.buffer(wait_s=NEVER_S) as buffer:
                assert [buffer.add(view(number)) for number in range(3)] == ["m-1", "m-2", "m-3"]
                with pytest.raises(Unavailable):
                    await buffer.flush()
                assert len(buffer) == 3
                server.answer = taken
                await buffer.flush()
                assert server.products == ["sku-0", "sku-1", "sku-2"]
                server.answer = refused
                buffer.add(view(3))
                with pytest.raises(NotSent):
                    await buffer.flush()
            server.answer = taken
            async with client.buffer(wait_s=0.001) as buffer:
                buffer.add(view(4))
                while len(buffer):
                    await asyncio.sleep(0.001)
            assert server.products[-1] == "sku-4"
            server.answer = unavailable
            buffer = client.buffer(wait_s=NEVER_S)
            buffer.add(view(5))
            with pytest.raises(NotSent) as raised:
                await buffer.close()
            assert len(raised.value.events) == 1

    asyncio.run(all_of_it())


def test_a_batch_that_is_cancelled_on_the_way_is_kept(server: Server) -> None:
    async def never(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def cancelled() -> int:
        async with AsyncClient(URL, transport=httpx.MockTransport(never)) as client:
            buffer = client.buffer(wait_s=NEVER_S)
            buffer.add(view())
            flushing = asyncio.ensure_future(buffer.flush())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            flushing.cancel()
            await asyncio.wait([flushing])
            return len(buffer)

    assert asyncio.run(cancelled()) == 1


def test_the_client_stays_within_the_bounds_of_the_server() -> None:
    assert limits.EVENT_BYTES_MAX == server_limits.EVENT_BYTES_MAX
    assert limits.BATCH_EVENTS_MAX <= server_limits.BATCH_EVENTS_MAX
    assert limits.BATCH_BYTES_MAX <= server_limits.BATCH_SENT_BYTES_MAX
    assert limits.BUFFERED_EVENTS_MAX >= limits.BATCH_EVENTS_MAX
    assert limits.TOKEN_LIFETIME_S_MAX == LIFETIME_S_MAX
    never = next(vector for vector in VECTORS["attempts"] if vector["name"] == "never")
    assert len(never["answers"]) == limits.ATTEMPTS_MAX


def test_of_an_answer_that_is_none_of_ours_little_is_shown() -> None:
    with pytest.raises(Refused) as raised:
        Both(lambda: lambda request: httpx.Response(404, text="x" * 10_000))("get_item", {"id": "x"})
    assert raised.value.message == "status 404: " + "x" * limits.REFUSAL_CHARS_MAX


def test_what_the_server_says_of_events_is_what_is_read() -> None:
    said = {field.encode_name for field in msgspec.structs.fields(ServersTrackReply)} - {"success"}
    assert said == {field.encode_name for field in msgspec.structs.fields(package.TrackReply)}
