"""Imports that break off at any place and are sent again: each line counts once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from instanter.engine import importing, imports
from instanter.engine.importing import Piece, PieceTaken
from instanter.engine.imports import Imports
from instanter.engine.intake import BYTES_PER_STEP, EVENTS_PER_STEP
from instanter.engine.loop import Engine
from instanter.engine.recovery import beginning, catch_up
from instanter.events.envelope import Imported, Tracked, decode_record
from instanter.foundation.clock import ManualClock
from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import RequestRejected
from instanter.foundation.limits import (
    BROKEN_EVENTS_BYTES_MAX,
    BROKEN_EVENTS_MAX,
    DEDUP_IDS_MAX,
    IMPORTS_MAX,
    IMPORTS_PER_TENANT_MAX,
)
from instanter.log.frames import decode_frames
from instanter.log.segments import SEGMENT_HEADER_BYTES, SegmentReader

from .harness import event, with_engine

IMPORT = bytes(range(16))
DAY_MS = 86_400_000
NOW_MS = 1_790_000_000_000
LINES = 300


def lines_of(count: int) -> list[bytes]:
    """Three years of events of seven people, in the order of their times; messageIds repeat over the years."""
    start_ms = NOW_MS - 3 * 365 * DAY_MS
    return [
        event(number % 90, person=f"a{number % 7}", at_ms=start_ms + number * 3 * DAY_MS // 2)
        for number in range(count)
    ]


def piece(events: Sequence[bytes], first: int, *, of: int = 0, **more: Any) -> Piece:
    numbers = range(first, first + len(events))
    return Piece(import_id=IMPORT, events=events, lines=list(numbers), through=numbers.stop - 1, of=of, **more)


async def send(engine: Engine, events: Sequence[bytes], *, per_piece: int = 100, until: int = 1 << 30) -> PieceTaken:
    taken = None
    for first in range(0, min(len(events), until), per_piece):
        some = events[first : first + per_piece]
        taken = await engine.importer.take(piece(some, first + 1, of=len(events)), tenant="default")
    assert taken is not None
    return taken


def stored(root: Path) -> list[tuple[int, int]]:
    """Message and time of each event in the log."""
    found = [decode_record(frame.payload) for frame in SegmentReader(RealDisk(), root / "log").read()]
    return sorted((one.message, one.happened_ms) for one in found if isinstance(one, Tracked))


def test_a_file_that_is_sent_again_whole_or_in_part_counts_once(tmp_path: Path) -> None:
    events = lines_of(LINES)

    async def work(engine: Engine) -> None:
        first = await send(engine, events, until=200)
        assert (first.taken, first.finished) == (200, False)
        again = await send(engine, events, per_piece=70)
        assert (again.taken, again.of, again.finished) == (LINES, LINES, True)
        last = await send(engine, events)
        assert (last.accepted, last.repeated, last.finished) == (0, 100, True)
        assert engine.partition.state.verdicts["applied"] == LINES

    with_engine(tmp_path, work, clock=ManualClock(NOW_MS))
    times = [at for _, at in stored(tmp_path)]
    assert len(times) == LINES
    assert min(times) == NOW_MS - 3 * 365 * DAY_MS
    assert len(set(times)) == LINES, "each at its own time"


@pytest.mark.parametrize("seed", range(12))
def test_wherever_the_log_was_cut_each_line_counts_once(seed: int, tmp_path: Path) -> None:
    """The server dies, the disk has any part of the last group, and the file is sent again from its beginning."""
    chance = random.Random(seed)
    events = lines_of(150)
    clock = ManualClock(NOW_MS)

    async def broken_off(engine: Engine) -> None:
        await send(engine, events, per_piece=chance.randint(30, 90), until=chance.randint(1, 150))

    with_engine(tmp_path, broken_off, clock=clock, stop=False)
    (segment,) = (tmp_path / "log").glob("*.seg")
    content = segment.read_bytes()
    groups = [frame.position for frame in decode_frames(content[SEGMENT_HEADER_BYTES:], SEGMENT_HEADER_BYTES).frames
              if frame.flags]
    segment.write_bytes(content[: chance.randint(groups[-1], len(content))])

    async def again(engine: Engine) -> PieceTaken:
        return await send(engine, events, per_piece=chance.randint(30, 90))

    taken = with_engine(tmp_path, again, clock=clock, stop=bool(seed % 2))
    assert (taken.taken, taken.finished) == (150, True)
    at = [at for _, at in stored(tmp_path)]
    assert len(at) == len(set(at)) == 150


def test_the_state_follows_from_the_log_and_a_checkpoint_holds_it(tmp_path: Path) -> None:
    clock = ManualClock(NOW_MS)

    async def work(engine: Engine) -> tuple[str, int]:
        await send(engine, lines_of(LINES), until=200)
        await engine.checkpoint()
        return engine.partition.hash(), engine.partition.position

    hashed, position = with_engine(tmp_path, work, clock=clock, stop=False)

    async def reopened(engine: Engine) -> None:
        assert engine.recovery.checkpoint is not None
        assert engine.partition.imports.get("default", IMPORT).taken == 200
        log = SegmentReader(RealDisk(), tmp_path / "log")
        anew = beginning(engine.partition.state.schema, log, disk=RealDisk(), checkpoints=tmp_path / "checkpoints")
        catch_up(anew, log, until=position)
        assert anew.hash() == hashed

    with_engine(tmp_path, reopened, clock=clock)


@pytest.mark.parametrize("count", [300, DEDUP_IDS_MAX])
def test_a_busy_day_of_one_person_that_broke_off_can_be_run_again_as_another_import(count: int, tmp_path: Path) -> None:
    """Nothing says that it is the same file: each messageId counts once, as many as one person is remembered by."""
    clock, start_ms = ManualClock(NOW_MS), NOW_MS - DAY_MS
    events = [event(number, at_ms=start_ms + number * 20_000) for number in range(count)]
    random.Random(1).shuffle(events)
    broken_off = count * 2 // 3

    async def first(engine: Engine) -> None:
        await send(engine, events, until=broken_off)
        await engine.checkpoint()

    async def again(engine: Engine) -> dict[str, int]:
        state = engine.partition.state
        for at in range(0, count, 100):
            another = replace(piece(events[at : at + 100], at + 1), import_id=bytes(16))
            await engine.importer.take(another, tenant="default")
        assert (state.cells_used, state.messages_forgotten) == (1, 0)
        return dict(state.verdicts)

    with_engine(tmp_path, first, clock=clock, stop=False)
    verdicts = with_engine(tmp_path, again, clock=clock)
    repeated = min(-(-broken_off // 100) * 100, count)
    assert verdicts["duplicate"] == repeated
    assert sum(verdicts.values()) == count


def test_two_that_send_the_same_file_at_once_count_once(tmp_path: Path) -> None:
    events = lines_of(LINES)

    async def work(engine: Engine) -> None:
        both = await asyncio.gather(send(engine, events, per_piece=40), send(engine, events, per_piece=55))
        assert [one.finished for one in both] == [True, True]
        assert engine.partition.state.verdicts["applied"] == LINES

    with_engine(tmp_path, work, clock=ManualClock(NOW_MS))


def test_a_sender_that_hangs_up_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    events = lines_of(LINES)

    async def work(engine: Engine) -> None:
        sending = asyncio.create_task(send(engine, events, per_piece=LINES))
        await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert (await send(engine, events)).finished
        assert engine.partition.state.verdicts["applied"] == LINES

    with_engine(tmp_path, work, clock=ManualClock(NOW_MS))


def test_bad_lines_are_set_aside_once_and_the_names_of_the_others_are_told(tmp_path: Path) -> None:
    events = [event(1), b'{"type": "dance"}', event(2, name="book_opened"), event(2, name="book_opened"),
              event(3, at_ms=NOW_MS - 2 * DAY_MS)]

    async def work(engine: Engine) -> None:
        taken = await engine.importer.take(piece(events, 11, of=15), tenant="default")
        assert (taken.accepted, [one.code for one in taken.rejected], taken.taken) == (4, ["schema"], 15)
        told = {one.event: (one.taken, one.heard, one.duplicates, one.late) for one in taken.events}
        assert told == {"Product Viewed": (2, True, 0, 1), "book_opened": (2, False, 1, 0)}
        assert {one.code for one in taken.warnings} == {"unheard", "item_unknown"}
        again = await engine.importer.take(piece(events, 11, of=15), tenant="default")
        assert (again.accepted, again.repeated, again.rejected, again.events) == (0, 5, [], [])

    with_engine(tmp_path, work, clock=ManualClock(NOW_MS))


@pytest.mark.parametrize("import_id", [IMPORT, b""])
def test_a_piece_of_which_nothing_is_fit_is_answered_and_dealt_with(import_id: bytes, tmp_path: Path) -> None:
    events = [b'{"type": "track", "event": "view_item", "user_pseudo_id": "1.2"}', b'{"type": "dance"}', b"5"]

    async def work(engine: Engine) -> None:
        sent = replace(piece(events, 1, of=3), import_id=import_id)
        taken = await engine.importer.take(sent, tenant="default")
        assert (taken.accepted, [one.code for one in taken.rejected], taken.taken) == (0, ["schema"] * 3, 3)
        again = await engine.importer.take(sent, tenant="default")
        assert (again.repeated, len(again.rejected)) == ((3, 0) if import_id else (0, 3))

    with_engine(tmp_path, work, clock=ManualClock(NOW_MS))


def test_a_file_that_has_grown_goes_on_where_it_ended(tmp_path: Path) -> None:
    events = lines_of(60)

    async def work(engine: Engine) -> None:
        await send(engine, events[:40])
        grown = replace(piece(events, 1, of=60, continues=IMPORT), import_id=b"2" * 16)
        taken = await engine.importer.take(grown, tenant="default")
        assert (taken.accepted, taken.repeated, taken.finished) == (20, 40, True)
        with pytest.raises(RequestRejected, match="nothing is known"):
            await engine.importer.take(piece(events, 1, continues=b"3" * 16), tenant="other")

    with_engine(tmp_path, work, clock=ManualClock(NOW_MS))


def test_of_too_many_imports_the_oldest_that_is_finished_is_forgotten() -> None:
    imports = Imports()
    for number in range(IMPORTS_PER_TENANT_MAX + 1):
        finished = number in (3, 5)
        imports.apply(Imported(number, "default", b"%d" % number, 1, of=1 if finished else 2), position=number)
    imports.apply(Imported(1, "other", b"0", 1, of=1), position=1)
    assert imports.get("default", b"3") is None
    assert imports.get("default", b"0") is not None
    assert imports.get("other", b"0") is not None
    assert len(imports.of_tenant("default")) == IMPORTS_PER_TENANT_MAX


def test_of_too_many_imports_of_all_tenants_one_is_forgotten_for_each_that_is_new() -> None:
    imports, tenants = Imports(), [f"shop-{number}" for number in range(IMPORTS_MAX // IMPORTS_PER_TENANT_MAX + 1)]
    known = 0
    for number in range(IMPORTS_PER_TENANT_MAX):
        for tenant in tenants:
            imports.apply(Imported(number, tenant, b"%d" % number, 1, of=1), position=number)
        known = sum(len(imports.of_tenant(tenant)) for tenant in tenants)
        assert known == min(IMPORTS_MAX, (number + 1) * len(tenants))
        assert all(imports.get(tenant, b"%d" % number) for tenant in tenants)
    assert known == IMPORTS_MAX


def test_what_is_known_of_imports_does_not_grow_with_their_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An id made up for every piece was remembered for as long as the process ran."""
    monkeypatch.setattr(importing, "IMPORTS_MAX", 4)
    monkeypatch.setattr(imports, "IMPORTS_PER_TENANT_MAX", 3)

    async def work(engine: Engine) -> None:
        for number in range(20):
            made_up = replace(piece(lines_of(1), 1), import_id=number.to_bytes(16, "big"))
            await engine.importer.take(made_up, tenant="default")
            assert len(engine.importer._checked) <= 8
        assert len(engine.partition.imports.rows()["imports"]) == 3

    with_engine(tmp_path, work)


@pytest.mark.parametrize(("broken", "looked_into"), [
    (b'{"type": "track", "event": "x"', BROKEN_EVENTS_MAX),
    (b'{"type": "track", "event": "x"' + b" " * 30_000, BROKEN_EVENTS_BYTES_MAX // 30_030),
])  # fmt: skip
def test_broken_events_cost_a_piece_no_more_than_so_much(broken: bytes, looked_into: int, tmp_path: Path) -> None:
    """As in a batch: beyond the bound they are refused as they are, and sound ones count."""

    async def work(engine: Engine) -> None:
        many = [broken] * (BROKEN_EVENTS_MAX + EVENTS_PER_STEP)
        taken = await engine.importer.take(piece([event(1), *many, event(2)], 1), tenant="default")
        assert (taken.accepted, len(taken.rejected)) == (2, len(many))
        told = ["looked into" not in one.message for one in taken.rejected]
        assert looked_into <= told.count(True) < looked_into + EVENTS_PER_STEP
        assert told == sorted(told, reverse=True)

    with_engine(tmp_path, work)


def test_a_step_of_a_piece_decodes_no_more_than_so_many_bytes(tmp_path: Path) -> None:
    large = [event(number, properties={"note": "x" * 30_000}) for number in range(40)]

    async def work(engine: Engine) -> None:
        sizes = list[int]()
        take_marked = engine.intake.take_marked

        async def counted(raws: Sequence[bytes], *positional: Any, **named: Any) -> Any:
            sizes.append(sum(map(len, raws)))
            return await take_marked(raws, *positional, **named)

        engine.intake.take_marked = counted  # type: ignore[method-assign,assignment]
        assert (await engine.importer.take(piece(large, 1), tenant="default")).accepted == len(large)
        assert max(sizes) < BYTES_PER_STEP + len(large[-1])
        assert len(sizes) > 1

    with_engine(tmp_path, work)
