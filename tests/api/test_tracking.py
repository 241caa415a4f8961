"""The tracking routes, sentence by sentence."""

from __future__ import annotations

import asyncio
import base64
import errno
import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from instanter.api.track import BATCH_ALIASES, SINGLE_ROUTES, single_aliases
from instanter.events.reject import Quarantined, decode_quarantined, opened
from instanter.foundation.disk import Bytes, Lock, RealDisk, WritableFile
from instanter.foundation.limits import BATCH_BYTES_MAX, QUARANTINED_EVENT_BYTES_MAX
from instanter.log.segments import SegmentReader
from instanter.privacy.subjects import KeyStore

from ..engine.harness import SECRET
from .client import Client, track, with_client

ONE_OF_EACH: dict[str, dict[str, Any]] = {
    "track": {"event": "Product Viewed", "properties": {"product_id": "sku-1"}},
    "identify": {"userId": "u1", "traits": {"plan": "gold"}},
    "page": {"name": "Home", "properties": {"path": "/"}},
    "screen": {"name": "Home"},
    "group": {"groupId": "g1", "traits": {"name": "Friends"}},
    "alias": {"userId": "u1", "previousId": "a0"},
}


class FailingFile:
    """A file that can be told to take nothing more."""

    def __init__(self, file: WritableFile, disk: FailingDisk) -> None:
        self._file = file
        self._disk = disk
        self.is_at = file.is_at

    def write(self, chunk: Bytes) -> int:
        self._disk.meet("write")
        return self._file.write(chunk)

    def sync(self) -> None:
        self._disk.meet("sync")
        self._file.sync()

    def truncate(self, size_bytes: int) -> None:
        self._file.truncate(size_bytes)

    def close(self) -> None:
        self._file.close()


class FailingDisk(RealDisk):
    """The machine's disk; `failing` names the operations that fail, with the error."""

    def __init__(self) -> None:
        self.failing: dict[str, int] = {}

    def open(self, path: Path) -> WritableFile:
        return FailingFile(super().open(path), self)

    def meet(self, operation: str) -> None:
        if operation in self.failing:
            raise OSError(self.failing[operation], "as told")

    def lock(self, path: Path) -> Lock:
        return super().lock(path)


def quarantined(root: Path) -> Iterator[Quarantined]:
    """What was kept, with the seals taken off."""
    subjects = KeyStore(RealDisk(), root / "keys", secret=SECRET, master=SECRET)
    for frame in SegmentReader(RealDisk(), root / "quarantine").read():
        entry = opened(decode_quarantined(frame.payload), subjects)
        assert entry is not None
        yield entry
    subjects.close()


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_one_event_is_on_disk_and_folded_when_it_is_acknowledged(kind: str, tmp_path: Path):
    async def work(client: Client) -> None:
        reply = await client.post(f"/v1/{kind}", {"messageId": "m-1", "anonymousId": "a1", **ONE_OF_EACH[kind]})
        assert reply.status_code == 200
        told = reply.json()
        told.pop("warnings", None)
        assert told == {
            "success": True, "accepted": 1, "rejected": [], "position": str(client.engine.partition.position)}
        assert (await client.get("/v1/profiles/anonymous:a1")).json()["known"] is True

    with_client(tmp_path, work)


def test_the_route_says_the_type_whatever_the_event_says(tmp_path: Path):
    async def work(client: Client) -> None:
        reply = await client.post("/v1/identify", {**track(), "userId": "u1", "type": "track"})
        assert reply.status_code == 200
        assert (await client.get("/v1/profiles/u1")).json()["linked"] == ["anonymous:a1"]

    with_client(tmp_path, work)


def test_in_a_batch_the_good_are_kept_and_the_bad_are_quarantined_and_reported(tmp_path: Path):
    async def work(client: Client) -> None:
        batch = [
            {"type": "track", **track(1)},
            {"type": "track", "messageId": "m-2", "event": "Nobody did this"},
            {"type": "dance", "messageId": "m-3", "anonymousId": "a1"},
            {"type": "page", "messageId": "m-4", "userId": "u1"},
        ]
        reply = (await client.post("/v1/batch", {"batch": batch, "sentAt": "2023-11-14T22:13:20Z"})).json()
        assert (reply["success"], reply["accepted"]) == (True, 2)
        assert [(one["messageId"], one["code"]) for one in reply["rejected"]] == [("m-2", "schema"), ("m-3", "schema")]
        assert "anonymousId or a userId" in reply["rejected"][0]["message"]

    with_client(tmp_path, work)
    assert [entry.message_id for entry in quarantined(tmp_path)] == ["m-2", "m-3"]


def test_an_empty_batch_is_taken(tmp_path: Path):
    async def work(client: Client) -> None:
        reply = (await client.post("/v1/batch", {"batch": []})).json()
        assert (reply["success"], reply["accepted"], reply["rejected"]) == (True, 0, [])

    with_client(tmp_path, work)


@pytest.mark.parametrize(("body", "code"), [
    (b"", "malformed"), (b"{", "malformed"), (b"[]", "schema"), (b'{"event": 7}', "schema"),
    (b'{"event": "Viewed"}', "schema"), (b"\xff\xfe", "malformed"), (b'{"a":' * 200 + b"1" + b"}" * 200, "too_deep"),
])
def test_a_single_bad_event_is_400_and_quarantined(body: bytes, code: str, tmp_path: Path):
    async def work(client: Client) -> None:
        reply = await client.post("/v1/track", body)
        assert reply.status_code == 400
        told = reply.json()
        assert told["success"] is False
        assert told["code"] == told["error"]["code"] == code
        assert told["message"] == told["error"]["message"]

    with_client(tmp_path, work)
    assert [(entry.code, entry.raw) for entry in quarantined(tmp_path)] == [(code, body)]


@pytest.mark.parametrize("body", [
    b"", b"[]", b"{}", b'{"batch": 3}', b'{"batch": [}', b'{"batch": [], "sentAt": "soon"}',
])
def test_a_body_that_is_no_batch_is_400_and_quarantined(body: bytes, tmp_path: Path):
    async def work(client: Client) -> None:
        reply = await client.post("/v1/batch", body)
        assert reply.status_code == 400
        assert reply.json()["code"] == reply.json()["error"]["code"]

    with_client(tmp_path, work)
    assert [entry.raw for entry in quarantined(tmp_path)] == [body]


def test_a_message_that_comes_twice_counts_once(tmp_path: Path):
    async def work(client: Client) -> None:
        for _ in range(3):
            reply = await client.post("/v1/track", track(1))
            assert (reply.status_code, reply.json()["accepted"]) == (200, 1)
        assert client.engine.partition.state.verdicts["duplicate"] == 2

    with_client(tmp_path, work)


@pytest.mark.parametrize(("path", "size_bytes", "kept"), [
    ("/v1/track", 33 * 1024, 2), ("/v1/batch", BATCH_BYTES_MAX, 0), ("/v1/b", BATCH_BYTES_MAX, 0),
])
def test_a_body_over_its_size_is_413(path: str, size_bytes: int, kept: int, tmp_path: Path):
    async def work(client: Client) -> None:
        padded = {"anonymousId": "a1", "event": "x" * size_bytes, "batch": []}
        for body, headers in ((None, {}), (gzip.compress(json.dumps(padded).encode()), {"Content-Encoding": "gzip"})):
            reply = await client.post(path, body or padded, headers=headers)
            assert (reply.status_code, reply.json()["code"]) == (413, "too_large")

    with_client(tmp_path, work)
    found = [(entry.code, entry.raw_bytes > size_bytes) for entry in quarantined(tmp_path)]
    assert found == [("too_large", True)] * kept


def test_a_batch_of_4_mib_is_taken_and_nobody_waits_for_all_of_it(tmp_path: Path):
    """As RudderStack's library for Python makes them: 4 MiB of events by its count, and the one that went beyond."""
    event = {"type": "track", "anonymousId": "a1", "event": "Note Taken", "properties": {"note": "x" * 30_000}}
    count = 4 * 1024 * 1024 // len(json.dumps(event)) + 1

    async def work(client: Client) -> None:
        batch = [{**event, "messageId": f"m-{number}"} for number in range(count)]
        body = json.dumps({"batch": batch, "sentAt": "2025-06-15T10:00:00Z"}).encode()
        assert len(body) > 4 * 1024 * 1024
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        beside = asyncio.create_task(others())
        reply = await client.post("/v1/batch", gzip.compress(body), headers={"Content-Encoding": "gzip"})
        beside.cancel()
        assert (reply.status_code, reply.json()["accepted"], reply.json()["rejected"]) == (200, count, [])
        assert turns > 30, "other work had its turn in between"

    with_client(tmp_path, work)


@pytest.mark.parametrize(("body", "headers", "said"), [
    (b"", {}, "empty"), (b"  ", {}, "empty"), (b"data=%7B%7D", {}, "form"),
    (b"data=eyJ9", {"Content-Type": "application/x-www-form-urlencoded"}, "form"),
    (b'--x\r\nContent-Disposition: form-data; name="data"\r\n', {}, "form"),
    ('{"event": "x"}'.encode("utf-16"), {}, "UTF-8"), ('{"event": "x"}'.encode("utf-16-be"), {}, "UTF-8"),
    ('{"event": "x"}'.encode("utf-16-le"), {}, "UTF-8"), ('{"event": "x"}'.encode("utf-32"), {}, "UTF-8"),
    (b"<event/>", {"Content-Type": "application/xml"}, "application/xml"),
    (b"\x81\xa5event\xa1x", {"Content-Type": "application/msgpack"}, "application/msgpack"),
])
@pytest.mark.parametrize("path", ["/v1/track", "/v1/batch", "/v1/decide", "/v1/items"])
def test_a_body_that_is_no_json_is_told_what_it_is(
    path: str, body: bytes, headers: dict[str, str], said: str, tmp_path: Path
):
    async def work(client: Client) -> None:
        reply = await client.post(path, body, headers=headers)
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "malformed")
        assert said in reply.json()["error"]["message"]

    with_client(tmp_path, work)
    assert [entry.raw for entry in quarantined(tmp_path)] == ([body] if path in ("/v1/track", "/v1/batch") else [])


@pytest.mark.parametrize("kind", [None, "application/json", "text/plain", "text/plain;charset=UTF-8", "text/html"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf", b"\n "])
def test_whatever_json_is_called_it_is_taken(kind: str | None, mark: bytes, tmp_path: Path):
    async def work(client: Client) -> None:
        headers = {"Content-Type": kind} if kind else {}
        reply = await client.post("/v1/t", mark + json.dumps(track(1)).encode(), headers=headers)
        assert (reply.status_code, reply.json()["accepted"]) == (200, 1)

    with_client(tmp_path, work)


@pytest.mark.parametrize(("path", "kind"), [
    (path, kind) for kind in SINGLE_ROUTES for path in (f"/v1/{kind}", *single_aliases(kind))
])
def test_every_path_of_an_event_takes_that_kind(path: str, kind: str, tmp_path: Path):
    async def work(client: Client) -> None:
        sent = {**ONE_OF_EACH[kind]} if kind in ("identify", "alias") else {"anonymousId": "a1", **ONE_OF_EACH[kind]}
        for end in ("", "/"):
            reply = await client.post(path + end, sent)
            assert (reply.status_code, reply.json()["accepted"]) == (200, 1), reply.text
        person = sent.get("userId", "anonymous:a1")
        lines = (await client.get(f"/v1/profiles/{person}/export")).text.splitlines()
        events = [json.loads(line)["event"] for line in lines if json.loads(line)["kind"] == "event"]
        assert {event["type"] for event in events} == {kind}

    with_client(tmp_path, work)


@pytest.mark.parametrize("path", [*BATCH_ALIASES, "/v1/batch/", "/beacon/v1/batch/?writeKey=k"])
def test_every_path_of_a_batch_takes_batches(path: str, tmp_path: Path):
    async def work(client: Client) -> None:
        events = [{"type": "track", **track(1)}, {"type": "page", "anonymousId": "a"}]
        reply = await client.post(path, {"batch": events})
        assert (reply.status_code, reply.json()["accepted"]) == (200, 2)

    with_client(tmp_path, work)


def test_a_body_over_what_is_kept_is_413_and_not_kept(tmp_path: Path):
    async def work(client: Client) -> None:
        for path, size_bytes in (("/v1/track", QUARANTINED_EVENT_BYTES_MAX), ("/v1/batch", BATCH_BYTES_MAX)):
            reply = await client.post(path, b'{"event": "' + b"x" * size_bytes)
            assert (reply.status_code, reply.json()["code"]) == (413, "too_large")

    with_client(tmp_path, work)
    assert list(quarantined(tmp_path)) == []


def test_of_what_came_with_gpc_only_the_reason_is_kept(tmp_path: Path):
    async def work(client: Client) -> None:
        for path, body in (("/v1/track", b'{"event": 7}'), ("/v1/batch", b"{")):
            assert (await client.post(path, body, headers={"Sec-GPC": "1"})).status_code == 400

    with_client(tmp_path, work)
    assert [(entry.raw, bool(entry.message)) for entry in quarantined(tmp_path)] == [(b"", True)] * 2


def test_a_body_whose_length_nobody_told_is_still_bounded(tmp_path: Path):
    async def work(client: Client) -> None:
        async def chunks() -> Any:
            for _ in range(40):
                yield b" " * 1024

        reply = await client.http.post("/v1/track", content=chunks())
        assert (reply.status_code, reply.json()["code"]) == (413, "too_large")

    with_client(tmp_path, work)


def test_one_event_over_its_size_spoils_no_other_of_its_batch(tmp_path: Path):
    async def work(client: Client) -> None:
        large = {"type": "track", **track(2), "properties": {"note": "x" * 33_000}}
        reply = (await client.post("/v1/batch", {"batch": [{"type": "track", **track(1)}, large]})).json()
        assert reply["accepted"] == 1
        assert [one["code"] for one in reply["rejected"]] == ["too_large"]

    with_client(tmp_path, work)


@pytest.mark.parametrize(("coding", "pack"), [
    ("gzip", gzip.compress), ("GZIP", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress),
    ("identity", bytes),
])
def test_a_packed_body_is_unpacked(coding: str, pack: Any, tmp_path: Path):
    async def work(client: Client) -> None:
        body = pack(b'{"batch": [{"type": "page", "anonymousId": "a1"}], "writeKey": "k"}')
        reply = await client.post("/v1/batch", body, headers={"Content-Encoding": coding})
        assert (reply.status_code, reply.json()["accepted"]) == (200, 1)

    with_client(tmp_path, work)


@pytest.mark.parametrize(("coding", "body", "status"), [
    ("gzip", b"not gzip", 400), ("gzip", gzip.compress(b'{"batch": []}')[:-9], 400), ("gzip", b"", 400),
    ("br", b"{}", 415), ("gzip, gzip", b"{}", 415),
    ("gzip", gzip.compress(b" " * 50_000_000, 9), 413),
])
def test_what_cannot_be_unpacked_is_refused(coding: str, body: bytes, status: int, tmp_path: Path):
    async def work(client: Client) -> None:
        reply = await client.post("/v1/batch", body, headers={"Content-Encoding": coding})
        assert reply.status_code == status
        assert reply.json()["success"] is False

    with_client(tmp_path, work)


@pytest.mark.parametrize("headers", [
    {}, {"Authorization": "Basic " + base64.b64encode(b"key:").decode()}, {"Authorization": "Bearer key"},
    {"Authorization": "nonsense"}, {"Content-Type": "text/plain"},
])
def test_without_keys_any_or_no_authorization_will_do(headers: dict[str, str], tmp_path: Path):
    async def work(client: Client) -> None:
        assert (await client.post("/v1/track", {**track(), "writeKey": "k"}, headers=headers)).status_code == 200

    with_client(tmp_path, work)


def test_a_write_key_in_the_body_is_not_kept(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.post("/v1/track", {**track(1), "writeKey": "planted-key"})
        await client.post("/v1/batch", {"batch": [{"type": "track", **track(2)}], "writeKey": "planted-key"})

    with_client(tmp_path, work)
    kept = b"".join(path.read_bytes() for path in (tmp_path / "log").iterdir())
    assert (kept.count(b"Product Viewed"), kept.count(b"planted-key")) == (2, 0)


def test_unknown_fields_of_an_event_are_ignored(tmp_path: Path):
    async def work(client: Client) -> None:
        sent = {**track(), "channel": "server", "_metadata": {"nodeVersion": "20"}, "integrations": {"All": True}}
        assert (await client.post("/v1/track", sent)).status_code == 200

    with_client(tmp_path, work)


@pytest.mark.parametrize(("failing", "status", "code"), [
    ({"write": errno.ENOSPC}, 507, "disk_full"), ({"sync": errno.EIO}, 503, "log_closed"),
])
def test_what_the_disk_does_not_take_is_not_acknowledged(
    failing: dict[str, int], status: int, code: str, tmp_path: Path,
):
    disk = FailingDisk()

    async def work(client: Client) -> None:
        await client.stock("sku-1")
        disk.failing = failing
        for path, body in (
            ("/v1/track", track(1)), ("/v1/batch", {"batch": [{"type": "track", **track(2)}]}),
        ):
            reply = await client.post(path, body)
            assert (reply.status_code, reply.json()["code"]) == (status, code)
            assert int(reply.headers["Retry-After"]) >= 1
        reply = await client.post("/v1/items", {"items": [{"id": "sku-2", "fields": {}}]})
        assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
        assert [item["id"] for item in (await client.decide())["items"]] == ["sku-1"]
        disk.failing = {}
        assert (await client.post("/v1/track", track(3))).status_code == (200 if code == "disk_full" else 503)

    with_client(tmp_path, work, disk=disk, stop=False)


def test_a_broken_event_is_named_by_its_place_and_its_neighbours_count(tmp_path: Path):
    async def work(client: Client) -> None:
        good, other = (b'{"type": "page", "messageId": "m-%d", "userId": "u1"}' % number for number in (1, 4))
        mended = rb'{"type": "page", "messageId": "m-2", "userId": "u1", "name": "x\ud83d"}'
        refused = b'{"type": "page", "messageId": "m-3", "userId": "u1", "name": "12" pipe"}'
        body = b'{"batch": [' + b", ".join([good, mended, refused, other]) + b"]}"
        reply = await client.post("/v1/batch", body)
        told = reply.json()
        assert (reply.status_code, told["accepted"]) == (200, 3)
        assert [(one["messageId"], one["index"], one["code"]) for one in told["rejected"]] == [("m-3", 2, "malformed")]
        assert "a comma or a closing bracket is wanted" in told["rejected"][0]["message"]
        assert [(one["code"], one["messageId"]) for one in told["warnings"]] == [("text_repaired", "m-2")]

    with_client(tmp_path, work)
    assert [entry.message_id for entry in quarantined(tmp_path)] == ["m-3"]
