"""Nothing in the log can stop a start: what cannot be folded is passed over, alike in every replay."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from instanter.engine.loop import Engine
from instanter.engine.partition import Partition
from instanter.engine.recovery import catch_up, recover
from instanter.engine.repair import RepairRequest
from instanter.events.envelope import (
    CONTROL_PARTITION,
    Configured,
    Decided,
    Epoch,
    ItemDeleted,
    ItemPatched,
    ItemUpserted,
    Keyed,
    LearnerDeclared,
    LearnerTurned,
    Lesson,
    Linked,
    Record,
    Unreadable,
    encode_record,
    read_record,
)
from instanter.events.reject import POISON
from instanter.foundation.clock import ManualClock
from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import RequestRejected
from instanter.foundation.ids import References, reference
from instanter.foundation.limits import DEDUP_IDS_MAX, EPOCHS_LOST_MAX, FIELDS_NESTED_MAX
from instanter.log.segment_log import SegmentLog
from instanter.log.segments import SegmentReader

from .harness import append_unchecked, decide, event, stock_shop, take, with_engine
from .nonsense import KINDS, SENSIBLE, nonsense, payloads
from .test_poison import BEGINNING, SCHEMA, START_MS, tracked
from .test_quarantine import listed

Read = Record | Unreadable


def folded(
    found: Sequence[Read], *, chunk: int = 10_000, references: References | None = None
) -> tuple[Partition, list[int]]:
    """A partition after these, and the places that were passed over; position i is that of record i."""
    partition = Partition(SCHEMA, references=references)
    poison: list[int] = []
    for first in range(0, len(found), chunk):
        part = found[first : first + chunk]
        noticed = partition.apply(part, ends=range(first + 1, first + 1 + len(part)))
        poison += [first + one.place for one in noticed if one.code == POISON]
    return partition, poison


def shop() -> list[Read]:
    """A log that makes sense."""
    items = [ItemUpserted(START_MS, "default", f"sku-{number}", {"price": 5.0, "stock": 3}) for number in range(3)]
    learner = LearnerDeclared(START_MS, "home.hero", ("item.price",), 0.1, 2.0, False, 60_000, {"click": 1.0})
    epoch = Epoch(START_MS, 1, "")
    return [BEGINNING, *items, learner, Linked(START_MS, "default", 1, 2), *map(tracked, range(6)), epoch]


def nested(depth: int) -> object:
    """Lists in one another."""
    return json.loads("[" * depth + "]" * depth)


UNFIT: dict[str, Read] = {
    "an unknown kind": Unreadable("not a known record"),
    "an epoch without a hash": Epoch(START_MS, 2, "no hash"),
    "an epoch from far away": Epoch(START_MS, 1 + EPOCHS_LOST_MAX + 1, ""),
    "an epoch that was": Epoch(START_MS, 1, ""),
    "a time beyond 64 bits": ItemUpserted(2**63, "default", "sku-9", {}),
    "a time beyond all times": ItemUpserted(2**60, "default", "sku-9", {}),
    "a field that no JSON has": ItemUpserted(START_MS, "default", "sku-9", {"raw": b"\xff"}),
    "fields without end": ItemPatched(START_MS, "default", "sku-1", {"deep": nested(FIELDS_NESTED_MAX)}),
    "a cell beyond 64 bits": Linked(START_MS, "default", 2**63, 1),
    "more ids to remember than one person may have": Configured(START_MS, {"dedup_ids_max": DEDUP_IDS_MAX + 1}, ()),
    "rules from later": Configured(START_MS, {"folding": 99}, ()),
    "an unknown act": LearnerTurned(START_MS, "default", "home.hero", "explode"),
    "a learner that is not": LearnerTurned(START_MS, "default", "home.nowhere", "freeze"),
    "a key behind other records": Keyed(START_MS, bytes(16)),
    "lessons that are no numbers": Decided(
        START_MS, "default", 1, "d_1", b"", lessons=(Lesson("home.hero", (1,), b"\xff" * 8),)),
}


@pytest.mark.parametrize("reason", UNFIT)
def test_the_state_is_that_before_the_record(reason: str):
    before, after = shop(), [tracked(9), Linked(START_MS, "default", 3, 2)]
    partition, poison = folded([*before, UNFIT[reason], *after])
    clean, none = folded([*before, *after])
    assert (poison, none) == ([len(before)], [])
    assert (partition.passed_over, partition.position) == (1, len(before) + 1 + len(after))
    assert partition.hash() == clean.hash()
    assert partition.control_rows() == {**clean.control_rows(), "records": [len(before) + 1 + len(after)]}


@pytest.mark.parametrize("record", [
    ItemPatched(START_MS, "default", "sku-1", {"deep": nested(FIELDS_NESTED_MAX - 1)}),
    Configured(START_MS, {"dedup_ids_max": DEDUP_IDS_MAX}, ()), Epoch(START_MS, 1 + EPOCHS_LOST_MAX, ""),
])  # fmt: skip
def test_what_is_at_its_bound_is_folded(record: Record):
    assert folded([*shop(), record])[1] == []


def test_a_record_of_each_kind_that_makes_sense_is_folded():
    found = [one for one in SENSIBLE.values() if not isinstance(one, Configured | Keyed)]
    assert {type(one) for one in SENSIBLE.values()} == set(KINDS)
    assert folded([SENSIBLE[Keyed], *shop(), *found])[1] == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10), payloads), max_size=25), st.integers(1, 12))
@example([(3, encode_record(ItemDeleted(START_MS, "default", "sku-1")))], 1)
def test_any_log_is_folded_alike_however_it_is_cut_and_restored(odd: list[tuple[int, bytes]], chunk: int):
    log = shop()
    for place, payload in odd:
        log.insert(place, read_record(payload))
    whole, poison = folded(log)
    parts, again = folded(log, chunk=chunk)
    assert (poison, whole.hash()) == (again, parts.hash())
    restored = Partition(SCHEMA)
    rows = {section: list(some) for section, some in whole.control_rows().items()}
    restored.restore_control(msgspec.msgpack.decode(msgspec.msgpack.encode(rows)))
    assert [list(one) for one in restored.parts.hashed()] == [list(one) for one in whole.parts.hashed()]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_records_of_each_kind_are_folded_or_change_nothing(kind: type[Record], data: st.DataObject):
    partition, none = folded(shop())
    before, rows = partition.hash(), partition.control_rows()
    noticed = partition.apply([data.draw(nonsense(kind))], ends=[100])
    assert not none
    if any(one.code == POISON for one in noticed):
        assert partition.hash() == before
        assert partition.control_rows() == {**rows, "records": [len(shop()) + 1]}
    epoch = Epoch(START_MS, partition.state.epoch + 1, partition.state.epoch_hash)
    partition.apply([tracked(50), epoch], ends=[101, 102])
    assert partition.state.verdicts["applied"] >= 7


# Items that are known by the reference of another one's.


def colliding() -> References:
    """Ids that end alike have one reference, whosever they are."""
    return References(hashed=lambda text: 1_000 + ord(text[-1]) if "\x00" in text else reference(text))


@pytest.mark.parametrize("act", [
    ItemDeleted(START_MS, "thief", "mine-1"), ItemPatched(START_MS, "thief", "mine-1", {"stock": 0}),
    ItemUpserted(START_MS, "thief", "mine-1", {"price": 0.1}), ItemDeleted(START_MS, "default", "other-1"),
])  # fmt: skip
def test_an_item_is_nobody_elses(act: Record):
    partition, poison = folded([*shop(), act], references=colliding())
    assert poison == [len(shop())]
    assert partition.hash() == folded(shop(), references=colliding())[0].hash()
    kept = partition.state.catalogue.get("default", "sku-1")
    assert kept is not None
    assert kept.fields == {"price": 5.0, "stock": 3}


def test_the_door_refuses_what_the_fold_would_pass_over(tmp_path: Path):
    async def work(engine: Engine) -> None:
        await stock_shop(engine, 3)
        position, now_ms = engine.partition.position, engine.clock.now_ms()
        for act in (ItemDeleted(now_ms, "thief", "mine-1"), Epoch(now_ms, 0, ""), Linked(now_ms, "default", 2**63, 1),
                    Keyed(now_ms, bytes(16))):  # fmt: skip
            with pytest.raises(RequestRejected) as refused:
                await engine.journal.write([act], now_ms)
            assert (refused.value.code, refused.value.status) == ("unfit_record", 422)
        assert (engine.partition.position, engine.partition.passed_over, engine.broken) == (position, 0, "")

    with_engine(tmp_path, work, references=colliding())


# With an engine.


def append_payloads(root: Path, payloads: Sequence[bytes], *, at_ms: int) -> None:
    """Put bytes into the log of a stopped engine, with frames that are right."""
    log = SegmentLog(RealDisk(), root / "log", segment_bytes=1 << 22)
    group = log.begin()
    for payload in payloads:
        group.append(CONTROL_PARTITION, at_ms, payload)
    log.commit(group)
    log.close()


def recovered(root: Path) -> str:
    """What a start comes to, on the newest checkpoint."""
    log = SegmentReader(RealDisk(), root / "log")
    checkpoints = root / "checkpoints"
    return recover(SCHEMA, log, log_start=0, log_end=1 << 62, disk=RealDisk(), checkpoints=checkpoints)[0].hash()


def rebuilt(root: Path) -> str:
    """What the log comes to from its beginning."""
    partition = Partition(SCHEMA)
    catch_up(partition, SegmentReader(RealDisk(), root / "log"))
    return partition.hash()


def test_it_is_quarantined_counted_and_nobody_else_feels_it(tmp_path: Path):
    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        await take(engine, event(1))
        position = await append_unchecked(engine, Epoch(engine.clock.now_ms(), 2**62, "no hash"))
        await take(engine, event(2))
        assert (engine.broken, engine.partition.passed_over) == ("", 1)
        (group,) = (await listed(engine)).groups
        assert (group.code, group.count) == ("poison", 1)
        assert group.message.startswith("ValueError: Epoch")
        assert engine.meter.counts["events_noted.poison"] == 1
        assert engine.quarantine.entry("default", int(group.example)).entry.position == position
        done = await engine.repairs.repair(RepairRequest(dry_run=True), tenant="default", actor="tester")
        assert (done.passed, done.refused) == (0, {"gone": 1})
        assert done.examples[0].message.startswith("it is no event")
        await engine.checkpoint()
        assert (await decide(engine))["placements"]["home.recommended"]["items"]

    with_engine(tmp_path, work, clock=ManualClock(START_MS))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(payloads, min_size=1, max_size=40))
def test_a_start_serves_whatever_stands_in_the_log(tmp_path_factory: pytest.TempPathFactory, odd: list[bytes]):
    root, clock = tmp_path_factory.mktemp("odd"), ManualClock(START_MS)

    async def begin(engine: Engine) -> None:
        await stock_shop(engine)
        await take(engine, *(event(number) for number in range(20)))

    async def serve(engine: Engine) -> None:
        assert engine.broken == ""
        shown = await decide(engine)
        assert len(shown["placements"]["home.recommended"]["items"]) > 0
        await take(engine, event(99, person="somebody"))
        await engine.data_health("default")
        await engine.listings.people("default", limit=10, after=None)
        await engine.listings.decisions("default", limit=10, after=None)
        assert list(engine.export("default", "anonymous:a1"))

    with_engine(root, begin, clock=clock)
    append_payloads(root, odd, at_ms=START_MS)
    assert recovered(root) == rebuilt(root)
    with_engine(root, serve, clock=clock)
    assert recovered(root) == rebuilt(root)
    with_engine(root, serve, clock=clock, stop=False)
    assert recovered(root) == rebuilt(root)
