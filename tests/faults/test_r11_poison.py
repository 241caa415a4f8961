"""R11: one record in 10,000 cannot be folded. It is set aside, the others lose nothing, and it can come again.

No request can bring such a record about, so they are put into the log behind the door: while an engine runs, and in
the directory of a server that is down.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest

from instanter.engine.loop import Engine
from instanter.engine.partition import Partition
from instanter.engine.recovery import catch_up
from instanter.engine.repair import RepairRequest
from instanter.events.envelope import Tracked, decode_record, encode_record
from instanter.foundation.clock import ManualClock, elapsed_ns
from instanter.foundation.disk import RealDisk
from instanter.log.commit import commit_now
from instanter.log.segment_log import SegmentLog
from instanter.log.segments import SegmentReader

from ..engine.harness import event, take, with_engine
from .accountant import Accountant, Client, Shift, ask, balance, recovered, replayed
from .conftest import About, InTime, MakeSite

ONE_IN = 10_000
BATCH = 500
LAG_S_MAX = 1.0
SEGMENT_BYTES = 1 << 20
BEYOND_64_BITS = 2**63 + 5

pytestmark = [pytest.mark.faults, pytest.mark.about("P1", "P2")]


def test_r11_a_live_engine_passes_poison_over_and_is_level_again_at_once(
    tmp_path: Path, full: bool, record_property: Callable[[str, Any], None], in_time: InTime, about: About,
) -> None:
    poisons = 10 if full else 1

    async def work(engine: Engine) -> float:
        longest_s = 0.0
        for poison in range(poisons):
            for first in range(poison * ONE_IN + 1, (poison + 1) * ONE_IN, BATCH):
                numbers = range(first, min(first + BATCH, (poison + 1) * ONE_IN))
                await take(engine, *(event(number, person=f"a{number % 97}") for number in numbers))
            started_ns = elapsed_ns()
            await append_poison(engine, (poison + 1) * ONE_IN)
            await take(engine, event(10_000_000 + poison))
            assert (engine.broken, engine.journal.unfolded) == ("", 0)
            longest_s = max(longest_s, (elapsed_ns() - started_ns) / 1e9)
        verdicts = engine.partition.state.verdicts
        assert verdicts["applied"] == poisons * ONE_IN, "all but the poison, and one more behind each"
        assert engine.partition.passed_over == poisons
        (group,) = (await engine.quarantine.listing("default")).groups
        assert (group.code, group.count) == ("poison", poisons)
        done = await engine.repairs.repair(RepairRequest(), tenant="default", actor="tester")
        assert (done.passed, done.refused) == (poisons, {})
        assert verdicts["applied"] == poisons * (ONE_IN + 1)
        again = await engine.repairs.repair(RepairRequest(), tenant="default", actor="tester")
        assert (again.selected, verdicts["duplicate"]) == (0, 0)
        hashes.append(engine.partition.hash())
        schemas.append(engine.partition.state.schema)
        return longest_s

    hashes: list[str] = []
    schemas: list[Any] = []
    longest_s = with_engine(tmp_path, work, clock=ManualClock(), stop=False)
    record_property("s from a poison record to everything behind it folded, longest", round(longest_s, 3))
    with about():
        assert in_time(longest_s, LAG_S_MAX)
    rebuilt = Partition(schemas[0])
    catch_up(rebuilt, SegmentReader(RealDisk(), tmp_path / "log"))
    assert (rebuilt.hash(), rebuilt.passed_over) == (hashes[0], poisons)


async def append_poison(engine: Engine, number: int) -> None:
    """Put a sound event with an unfit record into the log, behind the door."""
    now_ms = engine.clock.now_ms()
    admitted = engine.intake._door.admit(event(number), kind=None, received_ms=now_ms, tenant="default")
    assert isinstance(admitted.record, Tracked)
    unfit = msgspec.structs.replace(admitted.record, message=BEYOND_64_BITS)
    position = engine.journal.extend([(1, now_ms, encode_record(unfit), unfit)])
    await engine.journal.durable(position)


def test_r11_servers_start_on_poison_serve_and_take_it_in_at_last(
    make_site: MakeSite, accountant: Accountant, full: bool, in_time: InTime, about: About
) -> None:
    site, poisons = make_site(), 10 if full else 1
    server = site.start()
    send(server.port, accountant, poisons * ONE_IN)
    server.kill()
    assert poison_log(site.data) == poisons

    server = site.start()
    assert group_of(server.port) == ("poison", poisons)
    shift = accountant.send(server.port, stop=threading.Event(), events_per_s=50_000, batch=100, events_max=1_000)
    assert (shift.acked, shift.refused) == (1_000, {})
    server.kill()
    with about():
        assert in_time(site.ready_s[-1], 5.0)

    server = site.start()
    assert group_of(server.port) == ("poison", poisons), "found again, and not noted twice"
    for passed in (poisons, 0):
        done = ask(server.port, "POST", "/v1/quarantine/repair", {"code": "poison"}).json
        assert (done["passed"], done["refused"]) == (passed, {})
    live = ask(server.port, "GET", "/v1/state").json["hash"]
    server.kill()
    books = balance(accountant, site.data, site.config)
    books.assert_even(about)
    rebuilt = replayed(site.data, site.config)
    assert rebuilt.hash() == recovered(site.data, site.config).hash()
    assert rebuilt.passed_over == poisons
    assert live in (rebuilt.hash(), rebuilt.state.hash())


def send(port: int, accountant: Accountant, count: int) -> None:
    """So many events, all acknowledged."""
    shift, client = Shift(), Client(port)
    while len(accountant.acked) < count:
        accountant.exchange(client, accountant._next_ids(BATCH, count), shift)
    client.close()
    assert not shift.refused


def poison_log(data: Path) -> int:
    """Write the log anew with every 10,000th event unfit to be folded; how many are. Checkpoints go."""
    log, aside = data / "log", data / "log.aside"
    log.rename(aside)
    shutil.rmtree(data / "checkpoints")
    written = SegmentLog(RealDisk(), log, segment_bytes=SEGMENT_BYTES)
    events = poisons = 0
    frames = SegmentReader(RealDisk(), aside).read()
    while group := list(islice(frames, BATCH)):
        entries = []
        for frame in group:
            record, payload = decode_record(frame.payload), frame.payload
            events += isinstance(record, Tracked)
            if isinstance(record, Tracked) and events % ONE_IN == 0:
                poisons += 1
                payload = encode_record(msgspec.structs.replace(record, message=BEYOND_64_BITS))
            entries.append((frame.partition, frame.time_ms, payload))
        commit_now(written, entries)
    written.close()
    shutil.rmtree(aside)
    return poisons


def group_of(port: int) -> tuple[str, int]:
    """Code and count of the one group that is quarantined."""
    (group,) = ask(port, "GET", "/v1/quarantine").json["groups"]
    return group["code"], group["count"]
