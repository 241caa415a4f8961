"""The engine as a whole, in one process: what is acknowledged is durable, folded, and seen by the next decision."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from instanter.decisions.receipt import decode_receipt
from instanter.engine.checkpoints import ReplayBounds
from instanter.engine.intake import EVENTS_PER_STEP
from instanter.engine.loop import Engine
from instanter.engine.recovery import beginning, catch_up
from instanter.features.compile import compile_features
from instanter.features.declaration import DEFAULT_FEATURES, FeatureDeclaration
from instanter.foundation.clock import ManualClock
from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import RequestRejected
from instanter.foundation.limits import BROKEN_EVENTS_BYTES_MAX, BROKEN_EVENTS_MAX
from instanter.log.segments import SegmentReader
from instanter.state.checkpoint import list_checkpoints

from .harness import decide, event, iso, set_stock, stock_shop, take, with_engine

START_MS = 1_700_000_000_000


def shown(reply: dict[str, Any], placement: str = "home.recommended") -> list[str]:
    return [item["id"] for item in reply["placements"][placement]["items"]]


def test_an_event_changes_the_very_next_decision(tmp_path: Path):
    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        before = await decide(engine)
        await take(engine, event(1, properties={"product_id": "sku-4"}))
        after = await decide(engine)
        assert before["placements"]["home.recommended"]["servedBy"] == "default"
        assert after["placements"]["home.recommended"]["servedBy"] == "personal"
        assert int(after["position"]) > int(before["position"])

    with_engine(tmp_path, work)


def test_an_item_that_is_sold_out_is_not_in_the_next_decision(tmp_path: Path):
    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        first = shown(await decide(engine))[0]
        await set_stock(engine, first, 0)
        assert first not in shown(await decide(engine))
        await set_stock(engine, first, 1)
        assert first in shown(await decide(engine, placements=[{"id": "home.recommended", "limit": 20}]))

    with_engine(tmp_path, work)


def test_what_was_just_bought_is_not_in_the_next_decision(tmp_path: Path):
    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        first = shown(await decide(engine))[0]
        await take(engine, event(1, name="Order Completed", properties={"products": [{"product_id": first}]}))
        assert first not in shown(await decide(engine))
        assert first in shown(await decide(engine, person="somebody-else"))

    with_engine(tmp_path, work)


def test_a_restart_from_checkpoint_and_tail_is_the_state_that_was(tmp_path: Path):
    async def first(engine: Engine) -> str:
        await stock_shop(engine)
        for number in range(300):
            await take(engine, event(number, person=f"p{number % 11}"))
            if number == 150:
                await engine.checkpoint()
        return engine.partition.state.hash()

    async def second(engine: Engine) -> str:
        assert engine.recovery.checkpoint is not None
        assert 0 < engine.recovery.records < 300
        return engine.partition.state.hash()

    was = with_engine(tmp_path, first, stop=False)
    assert with_engine(tmp_path, second) == was


def test_a_rebuild_from_the_beginning_is_the_state_that_was(tmp_path: Path):
    async def work(engine: Engine) -> tuple[str, int]:
        await stock_shop(engine)
        await take(engine, *(event(number, person=f"p{number % 11}") for number in range(300)))
        await engine.checkpoint()
        await take(engine, *(event(number, person=f"p{number % 11}") for number in range(200, 400)))
        return engine.partition.state.hash(), engine.partition.position

    was, position = with_engine(tmp_path, work, stop=False)
    schema = compile_features(DEFAULT_FEATURES, memory_mb=64, items_max=4_096)
    log = SegmentReader(RealDisk(), tmp_path / "log")
    partition = beginning(schema, log, disk=RealDisk(), checkpoints=tmp_path / "checkpoints")
    catch_up(partition, log)
    assert (partition.state.hash(), partition.position) == (was, position)


def test_a_damaged_checkpoint_is_passed_over_and_named(tmp_path: Path):
    async def first(engine: Engine) -> str:
        await stock_shop(engine)
        await take(engine, *(event(number) for number in range(50)))
        await engine.checkpoint()
        return engine.partition.state.hash()

    async def second(engine: Engine) -> str:
        assert engine.recovery.checkpoint is None
        assert "damaged at byte" in engine.recovery.damaged[0]
        return engine.partition.state.hash()

    was = with_engine(tmp_path, first, stop=False)
    (path,) = (tmp_path / "checkpoints").glob("*.ckpt")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert with_engine(tmp_path, second) == was


def test_without_any_checkpoint_the_state_is_rebuilt(tmp_path: Path):
    async def first(engine: Engine) -> str:
        await take(engine, *(event(number) for number in range(50)))
        await engine.checkpoint()
        return engine.partition.state.hash()

    async def second(engine: Engine) -> str:
        return engine.partition.state.hash()

    was = with_engine(tmp_path, first, stop=False)
    for path in (tmp_path / "checkpoints").iterdir():
        path.unlink()
    assert with_engine(tmp_path, second) == was


def test_two_checkpoints_are_kept(tmp_path: Path):
    async def work(engine: Engine) -> None:
        for round_ in range(4):
            await take(engine, event(round_))
            await engine.checkpoint()

    with_engine(tmp_path, work)
    assert len(list_checkpoints(RealDisk(), tmp_path / "checkpoints")) == 2


@pytest.mark.parametrize("turns", range(6))
def test_an_engine_ends_at_whatever_moment_a_checkpoint_falls_due(tmp_path: Path, turns: int):
    async def work(engine: Engine) -> None:
        await take(engine, event(1))
        for _ in range(turns):
            await asyncio.sleep(0)

    with_engine(tmp_path, work, stop=False, replays=ReplayBounds(events=1))


def test_retention_cuts_the_log_below_a_base_checkpoint_and_the_state_survives(tmp_path: Path):
    clock = ManualClock(START_MS)

    async def first(engine: Engine) -> str:
        await stock_shop(engine)
        for day in range(4):
            clock.advance(86_400_000)
            await take(engine, *(event(1_000 * day + number, person=f"p{number % 40}") for number in range(2_000)))
            await engine.checkpoint()
        return engine.partition.state.hash()

    async def second(engine: Engine) -> str:
        return engine.partition.state.hash()

    options = {"clock": clock, "segment_bytes": 256 * 1024, "keep_days": 1}
    was = with_engine(tmp_path, first, stop=False, **options)
    reader = SegmentReader(RealDisk(), tmp_path / "log")
    first_frame = next(reader.read())
    assert first_frame.position > 1_000
    assert with_engine(tmp_path, second, stop=False, **options) == was
    schema = compile_features(DEFAULT_FEATURES, memory_mb=64, items_max=4_096)
    partition = beginning(schema, reader, disk=RealDisk(), checkpoints=tmp_path / "checkpoints")
    catch_up(partition, reader)
    assert partition.state.hash() == was


VIEWS = FeatureDeclaration(name="all_views", on=("Product Viewed",), aggregate="count", unit="views", owner="test")


def test_a_feature_counts_from_where_it_was_declared_and_a_rebuild_agrees(tmp_path: Path):
    async def views(engine: Engine) -> None:
        base = int(engine.partition.position)
        await take(engine, *(event(base + number) for number in range(10)))

    async def views_and_hash(engine: Engine) -> tuple[float, str]:
        await views(engine)
        person = engine.profiles.profile("default", "anonymous:a1", now_ms=engine.clock.now_ms())
        count = person.features["all_views"]
        assert isinstance(count, float)
        return count, engine.partition.state.hash()

    declared = (*DEFAULT_FEATURES, VIEWS)
    with_engine(tmp_path, views)
    assert with_engine(tmp_path, views_and_hash, features=declared)[0] == 10
    with_engine(tmp_path, views)
    count, was = with_engine(tmp_path, views_and_hash, features=declared, stop=False)
    assert count == 10
    schema = compile_features(declared, memory_mb=64, items_max=4_096)
    log = SegmentReader(RealDisk(), tmp_path / "log")
    partition = beginning(schema, log, disk=RealDisk(), checkpoints=tmp_path / "none")
    catch_up(partition, log)
    assert partition.state.hash() == was


def test_identify_merges_and_unlinking_restores_exactly(tmp_path: Path):
    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        await take(engine, event(1, person="a1", properties={"product_id": "sku-1"}))
        await take(engine, event(2, person="", userId="u1", properties={"product_id": "sku-2"}))
        hash_before = engine.partition.state.hash()
        alone = profile(engine, "u1")["category_affinity"]
        await engine.intake.take(
            [b'{"messageId":"m-3","anonymousId":"a1","userId":"u1"}'], kind="identify", tenant="default"
        )
        merged = profile(engine, "u1")["category_affinity"]
        assert {entry["name"] for entry in merged} == {"c1", "c2"}
        assert engine.profiles.profile("default", "u1", now_ms=engine.clock.now_ms()).linked == ["anonymous:a1"]
        device, user = (engine.subjects.find("default", one) for one in ("anonymous:a1", "u1"))
        await engine.unlink("default", device, user, actor="test")
        assert profile(engine, "u1")["category_affinity"] == alone
        assert engine.partition.links.cells(engine.subjects.find("default", "u1")) != []
        assert hash_before != ""

    def profile(engine: Engine, identifier: str) -> dict[str, Any]:
        return engine.profiles.profile("default", identifier, now_ms=engine.clock.now_ms()).features

    with_engine(tmp_path, work)


def test_a_bad_event_in_a_batch_is_quarantined_and_the_good_ones_stay(tmp_path: Path):
    async def work(engine: Engine) -> None:
        taken = await take(engine, event(1), b'{"type":"track","event":"x"}', event(2))
        assert (taken.accepted, [rejection.code for rejection in taken.rejected]) == (2, ["schema"])
        assert engine.partition.state.verdicts["applied"] == 2

    with_engine(tmp_path, work)
    assert len(list(SegmentReader(RealDisk(), tmp_path / "quarantine").read())) == 1


def test_duplicates_have_one_effect_across_a_restart(tmp_path: Path):
    async def work(engine: Engine) -> int:
        await take(engine, *(event(number, at_ms=START_MS) for number in range(20)), event(3, at_ms=START_MS))
        return engine.partition.state.verdicts["applied"]

    clock = ManualClock(START_MS)
    assert with_engine(tmp_path, work, clock=clock) == 20
    assert with_engine(tmp_path, work, clock=clock) == 0


def test_late_events_are_kept_counted_and_leave_the_session_alone(tmp_path: Path):
    async def work(engine: Engine) -> None:
        await take(engine, event(1, at_ms=START_MS))
        await take(engine, event(2, at_ms=START_MS - 3_600_000), event(3, at_ms=START_MS - 30 * 3_600_000))
        verdicts = engine.partition.state.verdicts
        assert (verdicts["late_for_sequences"], verdicts["late_for_windows"]) == (1, 1)

    with_engine(tmp_path, work, clock=ManualClock(START_MS))
    assert sum(1 for frame in SegmentReader(RealDisk(), tmp_path / "log").read() if frame.partition != 0xFFFF) == 3


def test_a_receipt_is_found_by_its_id_also_after_a_restart(tmp_path: Path):
    async def ask(engine: Engine) -> str:
        await stock_shop(engine)
        reply = await decide(engine)
        await take(engine, event(1))
        assert decode_receipt(engine.receipt("default", reply["decisionId"])).decision_id == reply["decisionId"]
        return str(reply["decisionId"])

    async def look(engine: Engine) -> None:
        assert decode_receipt(engine.receipt("default", decision_id)).decision_id == decision_id
        for unknown in ("d_", "d_zz", decision_id[:-1], decision_id[:-1] + "f", "d_" + "0" * 16 + "ffff", "x"):
            with pytest.raises(RequestRejected) as refused:
                engine.receipt("default", unknown)
            assert refused.value.status == 404
        with pytest.raises(RequestRejected):
            engine.receipt("another tenant", decision_id)

    decision_id = with_engine(tmp_path, ask)
    with_engine(tmp_path, look)


def test_an_epoch_is_published_once_a_second_of_the_clock_in_force(tmp_path: Path):
    clock = ManualClock(START_MS)

    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        await take(engine, event(1))
        assert engine.partition.state.epoch == 0
        clock.advance(1_000)
        await take(engine, event(2))
        await take(engine, event(3))
        assert engine.partition.state.epoch == 1

    with_engine(tmp_path, work, clock=clock)


def test_the_decision_of_a_time_reads_windows_as_of_that_time(tmp_path: Path):
    clock = ManualClock(START_MS)

    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        await take(engine, event(1, at_ms=START_MS))
        later = await decide(engine, timestamp=iso(START_MS + 90 * 86_400_000))
        assert later["placements"]["home.recommended"]["servedBy"] in ("personal", "session")

    with_engine(tmp_path, work, clock=clock)


def test_a_decision_asked_for_a_time_to_come_does_not_hold_up_later_epochs(tmp_path: Path):
    clock = ManualClock(START_MS)

    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        await take(engine, event(1))
        await decide(engine, timestamp=iso(START_MS + 365 * 86_400_000))
        assert engine.partition.state.epoch == 1
        await take(engine, event(2))
        clock.advance(1_000)
        await take(engine, event(3))
        await take(engine, event(4))
        assert engine.partition.state.epoch == 2

    with_engine(tmp_path, work, clock=clock, epoch_on_read=True)


def test_events_that_no_feature_hears_are_kept_and_counted(tmp_path: Path):
    async def work(engine: Engine) -> None:
        await take(engine, event(1), event(2, name="Sofa Assembled"), event(3, name="Product Viewd"))
        assert engine.meter.counts["events_unheard"] == 2
        assert engine.partition.state.verdicts["applied"] == 3

    with_engine(tmp_path, work)


@pytest.mark.parametrize(("broken", "looked_into"), [
    (b'{"type": "track", "event": "x"', BROKEN_EVENTS_MAX),
    (b'{"type": "track", "event": "x"' + b" " * 30_000, BROKEN_EVENTS_BYTES_MAX // 30_030),
])  # fmt: skip
def test_broken_events_cost_a_body_no_more_than_so_much(tmp_path: Path, broken: bytes, looked_into: int):
    """Beyond the bound they are refused as they are; sound ones count, and what comes by itself is looked into."""
    half = event(1).replace(b'"Product Viewed"', b'"Product \\ud83d"')

    async def work(engine: Engine) -> None:
        many = [broken] * (BROKEN_EVENTS_MAX + EVENTS_PER_STEP)
        taken = await take(engine, half, *many, event(2), half)
        assert taken.accepted == 2, "the half of a character, and the sound one"
        assert len(taken.rejected) == len(many) + 1
        assert {one.code for one in taken.rejected} == {"malformed"}
        told = ["looked into" not in one.message for one in taken.rejected]
        assert looked_into <= told.count(True) < looked_into + EVENTS_PER_STEP
        assert told == sorted(told, reverse=True)
        assert (await take(engine, half)).accepted == 1

    with_engine(tmp_path, work)


def test_where_nobody_else_is_on_the_loop_all_steps_go_to_the_disk_together(tmp_path: Path):
    async def work(engine: Engine) -> None:
        waiting: dict[bool, int] = {}
        for alone in (False, True):
            events = [event(number + 1_000 * alone) for number in range(3 * EVENTS_PER_STEP)]
            note = partial(lambda alone: waiting.setdefault(alone, engine.journal.pending_bytes), alone)
            asyncio.get_running_loop().call_soon(note)
            taken = await engine.intake.take(events, kind=None, tenant="default", alone=alone)
            assert taken.accepted == len(events)
            assert engine.journal.pending_bytes == engine.journal.unfolded == 0
        assert waiting[True] > 2 * waiting[False] > 0

    with_engine(tmp_path, work)
