"""Erasing people from a running engine: what is gone, what stays, and what happens when it cannot be finished."""

from __future__ import annotations

import asyncio
import errno
import json
import shutil
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from instanter.engine.erase import DAY_MS, SignedErasure
from instanter.engine.loop import Engine
from instanter.events.envelope import Erased, Tracked, decode_record
from instanter.events.subjects import NOBODY, Sealed
from instanter.foundation.clock import ManualClock
from instanter.foundation.disk import Disk
from instanter.foundation.errors import DiskFull, LogClosed, RequestRejected
from instanter.log.segments import SegmentReader
from instanter.privacy.audit import read_entries
from instanter.privacy.vault import SLOT_BYTES
from instanter.sim.disk import SimulatedDisk

from .harness import decide, event, open_engine, take, with_engine

ROOT = Path("shop")
START_MS = 1_700_000_000_000
Work = Callable[[Engine], Awaitable[None]]


class Shop:
    """One directory on a disk in memory, and the engines that follow one another on it."""

    def __init__(self) -> None:
        self.disk, self.clock = SimulatedDisk(), ManualClock(START_MS)

    def run(self, work: Work) -> None:
        async def run() -> None:
            engine = open_engine(ROOT, clock=self.clock, disk=self.disk)
            await engine.start()
            try:
                await work(engine)
            finally:
                await engine.abandon()

        asyncio.run(run())

    def records(self) -> list[object]:
        return records(self.disk, ROOT)


def records(disk: Disk, root: Path) -> list[object]:
    return [decode_record(frame.payload) for frame in SegmentReader(disk, root / "log").read()]


async def erase(engine: Engine, identifier: str) -> SignedErasure:
    return await engine.eraser.erase("default", identifier)


def knows(engine: Engine, identifier: str) -> bool:
    try:
        engine.profiles.profile("default", identifier, now_ms=engine.clock.now_ms())
    except RequestRejected:
        return False
    return True


def event_count(engine: Engine, identifier: str) -> int:
    lines = [json.loads(line) for chunk in engine.export("default", identifier) for line in chunk]
    return sum(line["kind"] == "event" for line in lines)


def link(number: int, person: str, user: str) -> bytes:
    return json.dumps({"type": "identify", "messageId": f"i{number}", "anonymousId": person, "userId": user}).encode()


def test_the_receipt_says_what_went_where_names_nobody_and_is_signed() -> None:
    async def work(engine: Engine) -> None:
        await take(engine, event(1, person="secret-a"), link(1, "secret-a", "secret-u"))
        await engine.consent("default", "secret-u", {"email": False}, actor="test")
        signed = await erase(engine, "secret-u")
        receipt = json.loads(bytes(signed.receipt))
        places = {place["where"]: place for place in receipt["places"]}
        assert [places[where]["count"] for where in ("state", "links", "consent", "keys")] == [2, 1, 1, 2]
        assert set(places) >= {"events", "receipts", "quarantine", "caches", "checkpoints", "backups"}
        assert b"secret" not in bytes(signed.receipt)
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signed.public_key))
        key.verify(bytes.fromhex(signed.signature), bytes(signed.receipt))
        with pytest.raises(InvalidSignature):
            key.verify(bytes.fromhex(signed.signature), bytes(signed.receipt) + b" ")

    Shop().run(work)


def test_so_many_messages_of_the_erased_are_recognised_and_the_receipt_says_where_there_were_more(
    monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr("instanter.engine.erase.ERASED_MESSAGES_MAX", 3)

    async def work(engine: Engine) -> None:
        for person, messages in (("few", 3), ("many", 5)):
            await take(engine, *(event(ord(person[0]) * 10 + number, person=person) for number in range(messages)))
            receipt = json.loads(bytes((await erase(engine, f"anonymous:{person}")).receipt))
            told = [place["how"] for place in receipt["places"] if place["where"] == "repetitions"]
            assert ["first 3 are recognised" in one for one in told] == [True] * (messages > 3)

    shop = Shop()
    shop.run(work)
    assert [len(one.messages) for one in shop.records() if isinstance(one, Erased) and one.messages] == [3, 3]


def test_a_person_with_eight_cells_is_erased_by_any_of_the_ids_and_nobody_else() -> None:
    async def work(engine: Engine) -> None:
        for number in range(7):
            await take(engine, event(number, person=f"a{number}"), link(number, f"a{number}", "u1"))
        await take(engine, event(50, person="b1"), event(51, person="b1"))
        bob = engine.profiles.profile("default", "anonymous:b1", now_ms=START_MS)
        await erase(engine, "anonymous:a3")
        assert not any(knows(engine, one) for one in ("u1", *(f"anonymous:a{number}" for number in range(7))))
        assert engine.subjects.count == 1
        again = engine.profiles.profile("default", "anonymous:b1", now_ms=START_MS)
        assert (again.features, event_count(engine, "anonymous:b1")) == (bob.features, 2)
        assert len(engine.partition.links) == 0

    Shop().run(work)


def test_somebody_erased_is_unknown_and_can_come_again_as_somebody_new() -> None:
    async def work(engine: Engine) -> None:
        await take(engine, event(1), event(2))
        before = engine.subjects.find("default", "anonymous:a1")
        await erase(engine, "anonymous:a1")
        for identifier in ("anonymous:a1", "never-there"):
            with pytest.raises(RequestRejected) as refused:
                await erase(engine, identifier)
            assert refused.value.status == 404
        reply = await decide(engine)
        assert reply["placements"]["home.recommended"]["servedBy"] in ("popular", "default")
        engine.clock.advance(5)
        await take(engine, event(3))
        assert event_count(engine, "anonymous:a1") == 1
        assert engine.subjects.find("default", "anonymous:a1") != before

    Shop().run(work)


def test_late_and_repeated_events_do_not_bring_the_person_back_after_a_restart_either() -> None:
    shop = Shop()

    async def gone(engine: Engine) -> None:
        await take(engine, event(1), event(2))
        await erase(engine, "anonymous:a1")
        await come_again(engine)

    async def come_again(engine: Engine) -> None:
        engine.clock.advance(60_000)
        await take(engine, event(1), event(2), event(3, at_ms=START_MS - 5), event(4, person="b1", userId="u1"))
        assert not knows(engine, "anonymous:a1")
        assert engine.meter.counts["events_withheld.erased"] == 3

    shop.run(gone)
    shop.run(come_again)
    assert sum(isinstance(record, Tracked) for record in shop.records()) == 4


def test_nothing_in_data_and_keys_leads_from_an_id_to_the_pseudonym_once_tombstones_are_over() -> None:
    shop = Shop()
    names: list[bytes] = []

    async def work(engine: Engine) -> None:
        await take(engine, event(1))
        names.append(engine.subjects.tombstone("default", "anonymous:a1"))
        await erase(engine, "anonymous:a1")
        (stone,) = engine.partition.tombstones
        engine.clock.advance(9 * DAY_MS)
        await engine.eraser.retain()
        assert engine.subjects.unseal(NOBODY, Sealed.TOMBSTONE, stone.at_ms, stone.ids[0]) is None

    shop.run(work)
    assert all(names[0] not in content for content in shop.disk.files().values())


def test_the_receipt_of_a_decision_for_the_person_answers_erased() -> None:
    async def work(engine: Engine) -> None:
        await take(engine, event(1), event(2, person="a2"))
        hers, his = [(await decide(engine, person=person))["decisionId"] for person in ("a1", "a2")]
        await engine.journal.settled()
        await erase(engine, "anonymous:a1")
        with pytest.raises(RequestRejected, match="erased") as refused:
            engine.receipt("default", hers)
        assert refused.value.status == 410
        assert engine.receipt("default", his)

    Shop().run(work)


def test_a_decision_for_both_ids_is_sealed_for_the_user() -> None:
    async def work(engine: Engine) -> None:
        await take(engine, event(1, person="a1"), event(2, person="a2", userId="u1"))
        both = (await decide(engine, person="a1", userId="u1"))["decisionId"]
        await engine.journal.settled()
        await erase(engine, "u1")
        with pytest.raises(RequestRejected, match="erased"):
            engine.receipt("default", both)

    Shop().run(work)


@pytest.mark.parametrize(("operation", "nth"), [
    *(("write", nth) for nth in range(1, 7)), ("overwrite", 1), ("overwrite", 2), ("open", 1), ("rename", 1),
])
def test_an_erasure_that_the_disk_refuses_succeeds_when_asked_again(operation: str, nth: int) -> None:
    async def work(engine: Engine) -> None:
        disk = shop.disk
        await take(engine, event(1), link(1, "a1", "u1"))
        await engine.checkpoint()
        disk.fail(operation, errno.ENOSPC, at=nth)
        with pytest.raises((DiskFull, LogClosed)):
            await erase(engine, "u1")
        engine.clock.advance(5)
        await take(engine, event(9, person="b1"))
        signed = await erase(engine, "u1")
        assert json.loads(bytes(signed.receipt))["id"]
        assert not knows(engine, "u1")
        assert not engine.subjects.has([engine.subjects.find("default", "u1")])
        assert sum(isinstance(record, Erased) for record in shop.records()) >= 2
        with pytest.raises(RequestRejected):
            await erase(engine, "u1")

    shop = Shop()
    shop.run(work)
    acts = [entry.act for entry in read_entries(SegmentReader(shop.disk, ROOT / "audit"))]
    assert acts.count("person.erased") == 1


@pytest.mark.parametrize("finisher", ["retention", "start"])
def test_an_erasure_that_failed_half_way_is_finished_by_retention_or_the_next_start(finisher: str) -> None:
    async def fail(engine: Engine) -> None:
        await take(engine, event(1))
        cells.append(engine.subjects.find("default", "anonymous:a1"))
        shop.disk.fail("overwrite", errno.EIO)
        with pytest.raises(LogClosed):
            await erase(engine, "anonymous:a1")
        assert not knows(engine, "anonymous:a1")
        if finisher == "retention":
            await engine.eraser.retain()

    async def look(engine: Engine) -> None:
        assert not engine.subjects.has(cells)
        assert engine.subjects.count == 0

    shop, cells = Shop(), list[int]()
    shop.run(fail)
    assert any(cells[0] in entry for entry in keys_on(shop.disk)) == (finisher == "start")
    shop.run(look)
    assert all(cells[0] not in entry for entry in keys_on(shop.disk))


def keys_on(disk: SimulatedDisk) -> list[tuple[int, ...]]:
    """The pseudonyms in the slots of the vault."""
    raw = disk.files()[ROOT / "keys" / "subjects.keys"]
    return [struct.unpack_from("<q", raw, slot + 24) for slot in range(0, len(raw), SLOT_BYTES)]


def test_who_comes_back_while_the_erasure_hangs_is_erased_as_well_when_it_is_asked_for_again() -> None:
    async def work(engine: Engine) -> None:
        await take(engine, event(1))
        shop.disk.fail("overwrite", errno.EIO)
        with pytest.raises(LogClosed):
            await erase(engine, "anonymous:a1")
        engine.clock.advance(5)
        await take(engine, event(2))
        assert knows(engine, "anonymous:a1")
        await erase(engine, "anonymous:a1")
        assert not knows(engine, "anonymous:a1")
        assert engine.subjects.count == 0

    shop = Shop()
    shop.run(work)


def test_two_who_ask_at_once_both_get_a_receipt() -> None:
    async def work(engine: Engine) -> None:
        await take(engine, event(1), event(2, person="b1"))
        one, same, other = await asyncio.gather(
            erase(engine, "anonymous:a1"), erase(engine, "anonymous:a1"), erase(engine, "anonymous:b1"),
            return_exceptions=True,
        )  # fmt: skip
        ids = [json.loads(bytes(signed.receipt))["id"] for signed in (one, other) if isinstance(signed, SignedErasure)]
        assert len(set(ids)) == 2
        assert isinstance(same, SignedErasure) or (isinstance(same, RequestRejected) and same.status == 404)
        assert engine.subjects.count == 0

    Shop().run(work)


def test_many_who_ask_at_once_share_checkpoints() -> None:
    async def work(engine: Engine) -> None:
        await take(engine, *(event(number, person=f"a{number}") for number in range(20)))
        renamed = shop.disk.calls["rename"]
        await asyncio.gather(*(erase(engine, f"anonymous:a{number}") for number in range(20)))
        assert shop.disk.calls["rename"] - renamed < 20, "each by itself makes a checkpoint, and says what it holds"
        assert engine.subjects.count == 0

    shop = Shop()
    shop.run(work)


def test_an_erasure_goes_on_when_whoever_asked_has_left() -> None:
    async def work(engine: Engine) -> None:
        await take(engine, event(1))
        asking = asyncio.create_task(erase(engine, "anonymous:a1"))
        await asyncio.sleep(0)
        asking.cancel()
        while engine.meter.counts["people_erased"] == 0:
            await asyncio.sleep(0)
        assert engine.subjects.count == 0

    Shop().run(work)


def test_events_that_stream_in_meanwhile_never_land_under_the_old_pseudonym_behind_the_erasure() -> None:
    shop = Shop()
    cells: list[int] = []

    async def work(engine: Engine) -> None:
        await take(engine, event(0))
        cells.append(engine.subjects.find("default", "anonymous:a1"))
        stop = asyncio.Event()

        async def stream() -> int:
            number = 1
            while not stop.is_set():
                await take(engine, event(number), event(number + 1))
                number += 2
            return number

        streaming = asyncio.create_task(stream())
        await asyncio.sleep(0.01)
        await erase(engine, "anonymous:a1")
        stop.set()
        sent = await streaming
        engine.clock.advance(5)
        await take(engine, event(sent + 1))
        assert not engine.partition.state.knows(cells[0])
        assert event_count(engine, "anonymous:a1") >= 1

    shop.run(work)
    last = max(place for place, one in enumerate(shop.records()) if isinstance(one, Erased))
    behind = [one for one in shop.records()[last:] if isinstance(one, Tracked)]
    assert all(cells[0] not in (one.key, one.subject) for one in behind)


def test_erasing_while_a_checkpoint_is_made_leaves_none_with_the_person(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await take(engine, *(event(number, person=f"a{number % 50}") for number in range(500)))
        cell = engine.subjects.find("default", "anonymous:a1")
        making = asyncio.create_task(engine.checkpoint())
        await asyncio.sleep(0)
        await erase(engine, "anonymous:a1")
        await making
        assert sorted((tmp_path / "checkpoints").glob("*.ckpt"))
        raw = [path.read_bytes() for path in (tmp_path / "checkpoints").glob("*.ckpt")]
        assert all(cell.to_bytes(8, "little", signed=True) not in one for one in raw)

    with_engine(tmp_path, work, stop=False)


def test_the_erasure_list_erases_from_an_older_log_that_was_put_back(tmp_path: Path) -> None:
    async def fill(engine: Engine) -> None:
        await take(engine, event(1), event(2, person="b1"), link(1, "a1", "u1"))

    async def erased(engine: Engine) -> None:
        await erase(engine, "u1")

    async def restored(engine: Engine) -> None:
        assert not knows(engine, "u1")
        assert not knows(engine, "anonymous:a1")
        assert knows(engine, "anonymous:b1")
        assert engine.partition.state.cells_used == 1

    live, backup = tmp_path / "live", tmp_path / "backup"
    with_engine(live, fill)
    shutil.copytree(live, backup)
    with_engine(live, erased)
    shutil.rmtree(backup / "keys")
    shutil.copytree(live / "keys", backup / "keys")
    with_engine(backup, restored)


def kept_in(engine: Engine) -> dict[str, Any]:
    return {"count": engine.subjects.count, "cells": engine.partition.state.cells_used}


def test_erasing_somebody_known_by_consent_alone() -> None:
    async def work(engine: Engine) -> None:
        await engine.consent("default", "u1", {"personalization": False}, actor="test")
        await erase(engine, "u1")
        assert engine.consent_of("default", "u1") == {}
        assert kept_in(engine) == {"count": 0, "cells": 0}

    Shop().run(work)
