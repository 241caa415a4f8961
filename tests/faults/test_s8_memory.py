"""S8 in the memory of the server: a minute after somebody was erased, nothing of her stands there any more."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from instanter.foundation.clock import elapsed_ns
from instanter.ops.bench.load import Connection, request
from instanter.ops.bench.server import Server

from ..leaks import ADDRESS, PHONE, STEM, planted
from .conftest import Figures
from .remains import remnants
from .test_s8_erasure import (
    DEVICE,
    HER,
    PERSONAL,
    Visitor,
    instanter,
    live_everywhere,
    of_others,
    readable,
    track,
)

WITHIN_S = 60.0
WITHIN_S_OF_BUSY = 240.0
"""The same on a machine that may have other things to do: there it is asked whether, and how long it took is told."""
LOOKED_EVERY_S = 2.0
BEHIND_ENDS_MAX = 2
"""Marks that may be left. The C library gives a block whose rest would be too small for another one with that rest, up
to 24 bytes behind the end of what lives in it: room for one mark, which nobody writes to. Mostly there is none."""
MARKS = (STEM, ADDRESS, PHONE.removeprefix("+"))
WIDE = f"{planted('name')} \N{CYRILLIC CAPITAL LETTER ZHE} \N{PERSON WITH FOLDED HANDS}"
"""A name that Python holds in four bytes a character."""

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is read through /proc"),
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    config = tmp_path / "instanter.toml"
    config.write_text("[state]\nmemory_mb = 64\ncheckpoint_s = 5\n[limits]\nrequests_per_s = 1000000\n")
    with Server(tmp_path / "data", config=config) as server:
        server.wait_ready()
        yield server


def met_everywhere(visitor: Visitor, archive: Path, server: Server) -> None:
    """The person has been everywhere: events, ids, traits, decisions, reads, exports, the quarantine, an import."""
    decisions = live_everywhere(visitor)
    visitor.take(track(70, userId=HER, traits={"name": WIDE}, context={"note": WIDE}))
    for identifier in (HER, f"anonymous:{DEVICE}"):
        assert visitor.profile(identifier).status == 200
        assert visitor.export(identifier)
    assert [visitor.receipt(one) for one in decisions] == [200, 200]
    assert sum(entry["readable"] for entry in visitor.quarantined()) == 3
    archive.write_bytes(b"".join(
        msgspec.json.encode(track(number, anonymousId=DEVICE, userId=HER, timestamp="2024-05-05T10:00:00Z", **PERSONAL))
        + b"\n" for number in range(100, 160)
    ))  # fmt: skip
    visitor.client.close()
    done = instanter("import", "--events", archive, "--history", "--url", f"http://127.0.0.1:{server.port}")
    assert done.returncode == 0, done.stderr


def ordinary(server: Server, count: int) -> None:
    """So many requests of everybody else."""
    connection, chance = Connection(server.port), random.Random(8)
    for number in range(count):
        person = f"q{chance.randrange(500)}"
        match number % 4:
            case 0:
                some = [of_others(chance.randrange(10**9), person) for _ in range(chance.choice((1, 3, 20)))]
                sent = request("POST", "/v1/batch", msgspec.json.encode({"batch": some}))
            case 1:
                event = of_others(chance.randrange(10**9), person)
                sent = request("POST", "/v1/track", msgspec.json.encode(event))
            case 2:
                asked = {"anonymousId": person, "placements": [{"id": "home.recommended"}]}
                sent = request("POST", "/v1/decide", msgspec.json.encode(asked))
            case _:
                sent = request("GET", f"/v1/profiles/anonymous:{person}")
        assert connection.exchange(sent).status in (200, 404)
    connection.close()


def test_s8_nothing_of_an_erased_person_is_left_in_memory_or_on_disk(
    server: Server, tmp_path: Path, full: bool, figures: Figures
) -> None:
    visitor, archive = Visitor(server.port), tmp_path / "archive.ndjson"
    met_everywhere(visitor, archive, server)
    archive.unlink()
    before = len(remnants(server.pid, MARKS))
    assert before > 100, "she is there, and is found"

    visitor = Visitor(server.port)
    began_ns = elapsed_ns()
    assert visitor.erase(HER).status == 200
    visitor.client.close()
    found = remnants(server.pid, MARKS)
    gone_s = 0.0
    while (found and gone_s < WITHIN_S) or (len(found) > BEHIND_ENDS_MAX and not full and gone_s < WITHIN_S_OF_BUSY):
        threading.Event().wait(LOOKED_EVERY_S)
        found = remnants(server.pid, MARKS)
        gone_s = (elapsed_ns() - began_ns) / 1e9
    figures(in_memory_before=before, in_memory_after_erasure=len(found), gone_from_memory_s_max=round(gone_s, 1))
    assert len(found) <= BEHIND_ENDS_MAX, found[:10]

    backup = tmp_path / "backup"
    assert instanter("backup", "--data", server.data, "--to", backup).returncode == 0
    requests = 10_000 if full else 1_000
    ordinary(server, requests)
    found = remnants(server.pid, MARKS)
    on_disk = readable(tmp_path)
    figures(requests_after=requests, in_memory_after_requests=len(found), readable_on_disk=len(on_disk))
    assert len(found) <= BEHIND_ENDS_MAX, found[:10]
    assert not on_disk, "\n".join(on_disk)
