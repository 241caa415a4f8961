"""What is bounded is refused clearly: too much waiting for the disk, too large, too slow."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from instanter.api.app import make_app
from instanter.api.auth import Access
from instanter.api.bodies import read_body
from instanter.api.tenancy import Terms
from instanter.engine.loop import Engine
from instanter.foundation.clock import ManualClock
from instanter.foundation.deadline import Deadline
from instanter.foundation.disk import Bytes, RealDisk, WritableFile
from instanter.foundation.errors import RequestRejected
from instanter.foundation.limits import BATCH_BYTES_MAX, BODY_SKIPPED_BYTES_MAX, EVENT_BYTES_MAX, PENDING_BYTES_MAX

from ..engine.harness import open_engine

TURNS = 100
"""Of the loop, in which a batch of half a MiB is read whole."""


class _GatedFile:
    """Syncs when the gate is open."""

    def __init__(self, file: WritableFile, gate: threading.Event) -> None:
        self._file = file
        self._gate = gate

    def write(self, chunk: Bytes) -> int:
        return self._file.write(chunk)

    def sync(self) -> None:
        self._gate.wait()
        self._file.sync()

    def truncate(self, size_bytes: int) -> None:
        self._file.truncate(size_bytes)

    def is_at(self, path: Path) -> bool:
        return self._file.is_at(path)

    def close(self) -> None:
        self._file.close()


class GatedDisk(RealDisk):
    """A disk that takes as long to sync as the test wants."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()

    def open(self, path: Path) -> WritableFile:
        return _GatedFile(super().open(path), self.gate)


class Answer:
    """What an application sent."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.body += message.get("body", b"")

    @property
    def code(self) -> str:
        code: str = json.loads(self.body)["error"]["code"]
        return code


def scope_of(path: str) -> dict[str, Any]:
    return {
        "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "headers": [], "query_string": b"",
        "http_version": "1.1", "scheme": "http", "server": ("127.0.0.1", 80), "client": None,
    }  # fmt: skip


async def post(engine: Engine, path: str, body: bytes) -> Answer:
    """One request through the whole application."""
    access = Access(engine, ManualClock(), Terms(key_requests_per_s=10_000), dev=True)
    app = make_app(engine, metrics=bytes, access=access)
    answer = Answer()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    await app(scope_of(path), receive, answer.send)
    return answer


def batch(first: int, count: int, padding: int) -> bytes:
    events = [{"type": "track", "event": "x", "anonymousId": f"p{number % 50}", "messageId": f"m-{number}",
               "properties": {"note": "x" * padding}} for number in range(first, first + count)]  # fmt: skip
    return json.dumps({"batch": events}).encode()


def test_more_than_may_wait_for_the_disk_is_refused_with_429_and_taken_later(tmp_path: Path) -> None:
    disk = GatedDisk()

    async def run() -> None:
        engine = open_engine(tmp_path, clock=ManualClock(), disk=disk)
        await engine.start()
        disk.gate.clear()
        waiting, refused = [], []
        for number in range(80):
            asking = asyncio.create_task(post(engine, "/v1/batch", batch(100 * number, 16, 30_000)))
            for _ in range(TURNS):
                await asyncio.sleep(0)
            (refused if asking.done() else waiting).append(asking)
            assert engine.journal.pending_bytes <= PENDING_BYTES_MAX
        answers = [asking.result() for asking in refused]
        assert len(answers) > 5
        assert {(answer.status, answer.code) for answer in answers} == {(429, "overloaded")}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
        disk.gate.set()
        assert {(await asking).status for asking in waiting} == {200}
        assert engine.journal.pending_bytes == 0
        assert (await post(engine, "/v1/batch", batch(9_000, 16, 30_000))).status == 200
        assert engine.partition.state.verdicts["applied"] == 16 * (len(waiting) + 1), "of the refused nothing was taken"
        await engine.stop(Deadline(10_000))

    asyncio.run(run())


@pytest.mark.parametrize(("path", "size_bytes"), [
    ("/v1/batch", BATCH_BYTES_MAX + 1), ("/v1/track", EVENT_BYTES_MAX + 1), ("/v1/decide", 1_048_577),
    ("/v1/rank", 1_048_577), ("/v1/complete", 1_048_577), ("/v1/items", 1_048_577),
])  # fmt: skip
def test_a_body_over_its_limit_is_refused_with_413(path: str, size_bytes: int, tmp_path: Path) -> None:
    async def run() -> None:
        engine = open_engine(tmp_path, clock=ManualClock())
        await engine.start()
        answer = await post(engine, path, b" " * size_bytes)
        assert (answer.status, answer.code) == (413, "too_large")
        answer = await post(engine, path, b" " * (size_bytes - 1))
        assert answer.status == 400, "one byte less is looked at"
        await engine.stop(Deadline(10_000))

    asyncio.run(run())


def test_an_event_over_its_limit_is_reported_and_the_others_of_its_batch_stay(tmp_path: Path) -> None:
    async def run() -> None:
        engine = open_engine(tmp_path, clock=ManualClock())
        await engine.start()
        large = batch(1, 1, EVENT_BYTES_MAX)[len('{"batch": [') : -2]
        answer = await post(engine, "/v1/batch", batch(2, 1, 10)[:-2] + b"," + large + b"]}")
        told = json.loads(answer.body)
        assert (answer.status, told["accepted"]) == (200, 1)
        assert [rejection["code"] for rejection in told["rejected"]] == ["too_large"]
        await engine.stop(Deadline(10_000))

    asyncio.run(run())


def test_a_body_that_is_far_too_large_is_not_read_to_its_end() -> None:
    chunk_bytes = 64 * 1024
    chunks = iter(range(10_000))

    async def receive() -> dict[str, Any]:
        next(chunks)
        return {"type": "http.request", "body": bytes(chunk_bytes), "more_body": True}

    async def run() -> RequestRejected:
        with pytest.raises(RequestRejected) as refused:
            await read_body(Request(scope_of("/v1/track"), receive), bytes_max=100)
        return refused.value

    assert asyncio.run(run()).status == 413
    assert next(chunks) == BODY_SKIPPED_BYTES_MAX // chunk_bytes + 1


@pytest.mark.parametrize(("size_bytes", "asked"), [(BODY_SKIPPED_BYTES_MAX, 1), (BODY_SKIPPED_BYTES_MAX + 1, 0)])
def test_of_a_body_whose_length_says_that_it_is_far_too_large_nothing_is_read(size_bytes: int, asked: int) -> None:
    received: list[int] = []

    async def receive() -> dict[str, Any]:
        received.append(len(received))
        return {"type": "http.request", "body": bytes(101), "more_body": False}

    async def run() -> RequestRejected:
        scope = {**scope_of("/v1/track"), "headers": [(b"content-length", str(size_bytes).encode())]}
        with pytest.raises(RequestRejected) as refused:
            await read_body(Request(scope, receive), bytes_max=100)
        return refused.value

    assert (asyncio.run(run()).status, len(received)) == (413, asked)
