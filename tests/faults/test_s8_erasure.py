"""S8: an erased person cannot be read anywhere, nor come back; what is personal can be read in no file at any time."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from instanter.engine.export import stored_event
from instanter.engine.partition import Partition
from instanter.events.envelope import Decided, Tracked, decode_record
from instanter.foundation.clock import ManualClock, SystemClock, elapsed_ns
from instanter.foundation.disk import RealDisk
from instanter.log.segments import SegmentReader
from instanter.ops.bench.build import Builder
from instanter.ops.bench.traffic import Traffic
from instanter.sim.shop import Shop
from instanter.state.table import CELLS, rows_of

from ..leaks import marks_in, planted
from .accountant import Client, Reply, keys_of, recovered
from .conftest import InTime, MakeSite
from .servers import ForkedServer, Site

HOUR_MS = 3_600_000
HER, DEVICE, OTHERS_DEVICE = planted("user"), planted("anonymous"), "bobs-device"
PERSONAL = {
    "traits": {"email": planted("email"), "name": planted("name"), "phone": planted("phone")},
    "context": {"ip": planted("ip"), "page": {"url": f"https://shop.example/?who={planted('email')}"},
                "referrer": f"https://mail.example/{planted('name')}", "locale": "en-GB"},
}  # fmt: skip
IDS = (HER, f"anonymous:{DEVICE}")

pytestmark = pytest.mark.faults


def track(number: int, name: str = "Product Viewed", **fields: Any) -> dict[str, Any]:
    properties = {"product_id": f"sku-{number % 5}", "price": 3, "note": planted("text"), "query": planted("text", 1)}
    return {"type": "track", "event": name, "messageId": f"m-{number}", "properties": properties, **fields}


def of_others(number: int, person: str) -> dict[str, Any]:
    """Nothing in it is planted."""
    return {**track(number, anonymousId=person), "properties": {"product_id": "sku-1"}}


class Visitor:
    """Speaks to a server, and everything said is planted."""

    def __init__(self, port: int) -> None:
        self.client = Client(port)

    def post(self, path: str, body: Any, **headers: str) -> Reply:
        return self.client.call("POST", path, body, headers=headers)

    def take(self, *events: dict[str, Any]) -> Any:
        reply = self.post("/v1/batch", {"batch": list(events)})
        assert reply.status == 200, reply.body
        return reply.json

    def profile(self, identifier: str) -> Reply:
        return self.client.call("GET", f"/v1/profiles/{identifier}")

    def export(self, identifier: str) -> list[Any]:
        reply = self.client.call("GET", f"/v1/profiles/{identifier}/export")
        return [json.loads(line) for line in reply.body.splitlines()] if reply.status == 200 else []

    def decide(self, **fields: Any) -> Any:
        placements = [{"id": "home.recommended", "query": planted("text", 2)}]
        reply = self.post("/v1/decide", {"context": PERSONAL["context"], "placements": placements, **fields})
        assert reply.status == 200, reply.body
        return reply.json

    def receipt(self, decision: Any) -> int:
        return self.client.call("GET", f"/v1/decisions/{decision['decisionId']}").status

    def quarantined(self) -> list[Any]:
        groups = self.client.call("GET", "/v1/quarantine").json["groups"]
        return [self.client.call("GET", f"/v1/quarantine/{group['example']}").json for group in groups]

    def erase(self, identifier: str) -> Reply:
        return self.client.call("DELETE", f"/v1/profiles/{identifier}")


Meet = Callable[[ForkedServer], Visitor]


@pytest.fixture
def meet() -> Iterator[Meet]:
    """Makes visitors of servers, who leave with the test."""
    visitors: list[Visitor] = []

    def make(server: ForkedServer) -> Visitor:
        visitors.append(Visitor(server.port))
        return visitors[-1]

    yield make
    for visitor in visitors:
        visitor.client.close()


def live_everywhere(visitor: Visitor) -> list[Any]:
    """Put the person into every place that can hold one; her decisions."""
    items = [{"id": f"sku-{number}", "fields": {"title": f"Item {number}"}} for number in range(5)]
    visitor.post("/v1/items", {"items": items})
    visitor.take(*(track(number, anonymousId=DEVICE, **PERSONAL) for number in range(20)))
    visitor.take(
        {"type": "identify", "messageId": "i-1", "anonymousId": DEVICE, "userId": HER, **PERSONAL},
        {"type": "alias", "messageId": "al-1", "previousId": planted("anonymous", 1), "userId": HER},
        track(30, anonymousId=OTHERS_DEVICE, userId=HER, **PERSONAL),
        track(31, "Products Searched", userId=HER, **PERSONAL),
        *(of_others(40 + number, f"p{number}") for number in range(9)),
    )  # fmt: skip
    visitor.client.call("PUT", f"/v1/profiles/{HER}/consent", {"purposes": {"email": False}})
    decisions = [visitor.decide(userId=HER, anonymousId=DEVICE), visitor.decide(anonymousId=DEVICE)]
    for body in (
        {**track(50, userId=HER), "properties": planted("text")}, {**track(51, anonymousId=DEVICE), "timestamp": [HER]},
    ):  # fmt: skip
        assert visitor.post("/v1/track", body).status == 400
    broken = json.dumps(track(52, anonymousId=DEVICE, userId=HER, **PERSONAL)).encode()[:-9]
    assert visitor.post("/v1/batch", broken).status == 400
    return decisions


def readable(*roots: Path) -> list[str]:
    """Planted values in the raw bytes of any file, whatever it is; where a server replaces one meanwhile, again of
    all."""
    while True:
        try:
            files = {path: path.read_bytes() for root in roots for path in root.rglob("*") if path.is_file()}
            break
        except FileNotFoundError:
            continue
    found = []
    for path, raw in sorted(files.items()):
        for text in (raw.decode("utf-8", "replace"), raw.decode("utf-16-le", "replace")):
            found += [f"{path.name}: {mark}" for mark in marks_in(text)]
        found += [f"{path.name}: {one}" for one in (HER, DEVICE, planted("ip")) if one.encode() in raw]
    return found


def opened_with_keys(data: Path) -> Iterator[str]:
    """Everything in the log that somebody with all keys can read."""
    keys = keys_of(data)
    for frame in SegmentReader(RealDisk(), data / "log").read():
        record = decode_record(frame.payload)
        if isinstance(record, Tracked):
            yield json.dumps(stored_event(record, keys))
        elif isinstance(record, Decided):
            yield repr(record)
    keys.close()


def others(partition: Partition, but: set[int]) -> set[bytes]:
    """The cells of everybody else, word for word, but for where their sessions and messages lie."""
    rows = rows_of(partition.state.tables.memory, CELLS)
    return {row.tobytes() for row in rows if row[0] and int(row[0]) not in but}


def instanter(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "instanter.ops.cli.main", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def state_without_her(site: Site) -> tuple[set[bytes], set[int]]:
    keys = keys_of(site.data)
    cells = {keys.find("default", identifier) for identifier in IDS}
    keys.close()
    return others(recovered(site.data, site.config), cells), cells


def test_s8_nothing_of_an_erased_person_can_be_read_and_nothing_brings_her_back(
    make_site: MakeSite, meet: Meet, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    site = make_site(checkpoint_s=1)
    server = site.start()
    visitor = meet(server)
    decisions = live_everywhere(visitor)
    bobs = visitor.export("anonymous:p1")[1:]
    assert server.stop() == 0
    before, cells = state_without_her(site)
    server = site.start()
    backup = tmp_path / "backup"
    assert instanter("backup", "--data", site.data, "--to", backup).returncode == 0
    shutil.copytree(site.data / "keys", tmp_path / "keys-of-then")
    record_property("readable_before_erasure", len(found := readable(tmp_path, site.data)))
    assert not found, "\n".join(found)
    assert HER in "".join(opened_with_keys(site.data)), "the keys open it"
    visitor = meet(server)
    assert HER in json.dumps(visitor.export(HER))
    assert sum(entry["readable"] for entry in visitor.quarantined()) == 3

    assert visitor.erase(HER).status == 200
    assert visitor.erase(HER).status == visitor.erase(IDS[1]).status == 404
    assert [visitor.receipt(one) for one in decisions] == [410, 410]
    assert [visitor.profile(one).status for one in IDS] == [404, 404]
    assert not any(visitor.export(one) for one in IDS)
    assert not any(entry["readable"] for entry in visitor.quarantined())
    assert marks_in(json.dumps(visitor.export(f"anonymous:{OTHERS_DEVICE}"))) == []
    assert visitor.export("anonymous:p1")[1:] == bobs
    asked = visitor.decide(userId=HER, anonymousId=DEVICE)
    assert asked["placements"]["home.recommended"]["servedBy"] in ("popular", "default"), "cold start"

    now_ms = SystemClock().now_ms()
    for port in (server.port, 0):
        if not port:
            server.kill()
            server = site.start()
            visitor = meet(server)
        late = [track(number, anonymousId=DEVICE, **PERSONAL) for number in range(20)]
        late.append(track(60, userId=HER, timestamp=now_ms - HOUR_MS))
        late.append(track(61, anonymousId=OTHERS_DEVICE, userId=HER, timestamp=now_ms - HOUR_MS))
        visitor.take(*late)
        assert [visitor.profile(one).status for one in IDS] == [404, 404]
    assert server.stop() == 0

    after, back = state_without_her(site)
    assert back == {0}, "nobody is found under her ids"
    assert after == before, "the state of others, word for word"
    assert marks_in("".join(opened_with_keys(site.data))) == []
    found = readable(tmp_path, site.data)
    record_property("readable_after_erasure", len(found))
    assert not found, "\n".join(found)

    restored = make_site("restored")
    done = instanter("restore", "--from", backup, "--data", restored.data, "--keys", site.data / "keys")
    assert done.returncode == 0, done.stderr
    server = restored.start()
    visitor = meet(server)
    assert [visitor.profile(one).status for one in IDS] == [404, 404]
    assert visitor.profile("anonymous:p1").status == 200
    server.stop()
    assert marks_in("".join(opened_with_keys(restored.data))) == []
    assert not state_without_her(restored)[1] - {0}
    record_property("cells_erased", len(cells))
    record_property("came_back", 0)


@pytest.mark.parametrize("identifier", [f"anonymous:{DEVICE}", planted("user", 4)])
def test_s8_who_is_known_by_one_id_alone_and_whoever_has_eight(
    make_site: MakeSite, meet: Meet, identifier: str
) -> None:
    server = make_site().start()
    visitor = meet(server)
    if identifier.startswith("anonymous:"):
        visitor.take(track(1, anonymousId=DEVICE))
    else:
        for number in range(7):
            person = planted("anonymous", number)
            visitor.take(track(number, anonymousId=person), {
                "type": "identify", "messageId": f"i-{number}", "anonymousId": person, "userId": identifier})
        assert len(visitor.profile(identifier).json["linked"]) == 7
    reply = visitor.erase(identifier)
    (keys,) = [place for place in reply.json["receipt"]["places"] if place["where"] == "keys"]
    assert keys["count"] == (1 if identifier.startswith("anonymous:") else 8)
    assert visitor.profile(identifier).status == 404
    server.stop()


def test_s8_an_erasure_takes_less_than_a_minute_for_a_million_events(
    make_site: MakeSite, meet: Meet, tmp_path: Path, full: bool, record_property: Callable[[str, object], None],
    in_time: InTime,
) -> None:
    count = 1_000_000 if full else 50_000
    builder = Builder(tmp_path / "data", clock=ManualClock(SystemClock().now_ms()))
    shop = Shop(seed=8)
    builder.catalogue(shop)
    builder.events(Traffic(shop, seed=8), count // 50, count)
    builder.checkpoint()
    builder.close()
    site = make_site("large", data=tmp_path / "data")
    site.config.write_text(site.config.read_text().replace("memory_mb = 64", "memory_mb = 2048"))
    server = site.start()
    visitor = meet(server)
    visitor.take(track(1, anonymousId=DEVICE, userId=HER))
    began_ns = elapsed_ns()
    assert visitor.erase(HER).status == 200
    took_s = (elapsed_ns() - began_ns) / 1e9
    server.stop()
    record_property("events", count)
    record_property("erasure_s", round(took_s, 2))
    assert in_time(took_s, max(60 * count / 1e6, 10))
