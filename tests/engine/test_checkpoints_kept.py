"""Checkpoints kept for replays: close enough together, few enough, and none that must not be there."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.engine.anew import OtherPast
from instanter.engine.checkpoints import KEPT, ReplayBounds, spaced
from instanter.engine.loop import Engine, EngineOptions
from instanter.engine.replay import Past
from instanter.features.compile import compile_features
from instanter.features.declaration import DEFAULT_FEATURES, FeatureDeclaration
from instanter.foundation.clock import ManualClock
from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import RequestRejected
from instanter.foundation.limits import CHECKPOINTS_KEPT_BYTES_MAX, CHECKPOINTS_KEPT_MAX, REPLAY_EVENTS_MAX
from instanter.log.segments import SegmentReader
from instanter.state.checkpoint import checkpoint_path, list_checkpoints, read_manifest

from .harness import decide, event, stock_shop, take, with_engine

START_MS, DAY_MS = 1_700_000_000_000, 86_400_000
FEW = 40
"""Records that a replay may fold in these tests."""
SCHEMA = compile_features(DEFAULT_FEATURES, memory_mb=64, items_max=4_096)


def kept_in(root: Path) -> list[int]:
    return list_checkpoints(RealDisk(), root / "checkpoints")


def records_of(root: Path) -> list[int]:
    """What the kept checkpoints have folded, ascending."""
    disk, folder = RealDisk(), root / "checkpoints"
    return sorted(read_manifest(disk, checkpoint_path(folder, position)).records for position in kept_in(root))


def folded_for(root: Path, position: int) -> int:
    """Records that a replay up to there folds."""
    disk = RealDisk()
    past = Past(SCHEMA, SegmentReader(disk, root / "log"), disk=disk, checkpoints=root / "checkpoints")
    past.at(position)
    return past.folded


async def rounds(engine: Engine, count: int, *, first: int = 0, events: int = 8) -> list[int]:
    """Some events, a decision and a checkpoint, so many times; the positions that the decisions stood on."""
    stops = []
    for number in range(first, first + count):
        await take(engine, *(event(1_000 * number + one, person=f"p{one}") for one in range(events)))
        stops.append(engine.partition.position)
        await decide(engine, person="p1")
        await engine.journal.settled()
        await engine.checkpoint()
    return stops


@given(
    gaps=st.lists(st.integers(1, 50), min_size=1, max_size=60), apart=st.integers(1, 200), begin=st.integers(0, 30)
)
@settings(deadline=None)
def test_gaps_are_no_longer_than_said_where_there_are_marks_and_no_mark_is_one_too_many(
    gaps: list[int], apart: int, begin: int
) -> None:
    at = [begin + sum(gaps[: number + 1]) for number in range(len(gaps))]
    marks, end = [(10 * records, records) for records in at[:-1]], at[-1]
    kept = [position // 10 for position in spaced(marks, begin, end, apart=apart)]
    stops = [begin, *kept, end]
    for low, high in pairwise(stops):
        assert high - low <= apart or not any(low < records < high for _, records in marks)
    assert all(high - low > apart for low, high in zip(stops, stops[2:], strict=False))


@pytest.mark.parametrize("events", [1, 8, 17])
def test_no_replay_folds_more_than_was_said(events: int, tmp_path: Path) -> None:
    stops: list[int] = []

    async def work(engine: Engine) -> None:
        stops.extend(await rounds(engine, 30, events=events))

    with_engine(tmp_path, work, replays=ReplayBounds(events=FEW))
    folded = [folded_for(tmp_path, position) for position in stops]
    assert max(folded) <= FEW
    assert sum(folded) > 0
    records = records_of(tmp_path)
    assert len(records) <= 2 * records[-1] / FEW + 1 + KEPT, "and none is kept that is not needed for it"


def test_with_more_checkpoints_than_are_kept_they_lie_further_apart(tmp_path: Path) -> None:
    async def work(engine: Engine) -> float:
        await rounds(engine, 60)
        return engine.meter.counts["checkpoints_spread"]

    bounds = ReplayBounds(events=10, checkpoints=8)
    assert with_engine(tmp_path, work, replays=bounds) > 0
    records = records_of(tmp_path)
    assert 5 <= len(records) <= 8 + KEPT
    assert max(high - low for low, high in pairwise([0, *records])) <= 2 * records[-1] / 5


def test_without_a_word_about_it_the_bounds_are_those_of_the_page() -> None:
    kept = EngineOptions().replays
    assert (kept.events, kept.checkpoints, kept.size_bytes) == (
        REPLAY_EVENTS_MAX, CHECKPOINTS_KEPT_MAX, CHECKPOINTS_KEPT_BYTES_MAX)


def test_with_larger_checkpoints_than_the_disk_is_to_hold_they_lie_further_apart(tmp_path: Path) -> None:
    async def work(engine: Engine) -> int:
        await stock_shop(engine)
        size_bytes = (await engine.checkpoint()).stat().st_size
        await rounds(engine, 30)
        return size_bytes

    size_bytes = with_engine(tmp_path / "first", work, replays=ReplayBounds(events=FEW))
    assert len(kept_in(tmp_path / "first")) > KEPT + 3
    with_engine(tmp_path / "second", work, replays=ReplayBounds(events=FEW, size_bytes=4 * size_bytes))
    assert len(kept_in(tmp_path / "second")) <= KEPT + 4
    with_engine(tmp_path / "third", work, replays=ReplayBounds(events=FEW, size_bytes=0))
    assert len(kept_in(tmp_path / "third")) == KEPT


def test_an_erasure_leaves_no_checkpoint_of_before(tmp_path: Path) -> None:
    async def work(engine: Engine) -> int:
        await rounds(engine, 20)
        assert len(kept_in(tmp_path)) > KEPT
        before = engine.partition.position
        await engine.eraser.erase("default", "anonymous:p1", actor="tests")
        return before

    before = with_engine(tmp_path, work, replays=ReplayBounds(events=FEW))
    assert min(kept_in(tmp_path)) > before


def test_a_checkpoint_of_before_the_cut_of_the_log_goes_with_what_was_cut(tmp_path: Path) -> None:
    clock, stops = ManualClock(START_MS), list[int]()

    async def work(engine: Engine) -> None:
        for day in range(6):
            stops.extend(await rounds(engine, 20, first=100 * day, events=20))
            clock.advance(DAY_MS)
        await engine.checkpoint()

    with_engine(
        tmp_path, work, clock=clock, keep_days=3, segment_bytes=16 * 1024, replays=ReplayBounds(events=2 * FEW)
    )
    first = next(SegmentReader(RealDisk(), tmp_path / "log").read()).position
    kept = kept_in(tmp_path)
    assert kept[-1] >= first - 32 > 0
    later = [position for position in stops if position >= kept[-1]]
    assert len(stops) > len(later) > 40, "everything the log holds can be replayed, but for less than one gap"
    assert max(folded_for(tmp_path, position) for position in later[::7]) <= 2 * FEW


def test_a_past_under_another_configuration_begins_where_the_log_does(tmp_path: Path) -> None:
    clock, stops = ManualClock(START_MS), list[int]()

    async def work(engine: Engine) -> None:
        for day in range(6):
            stops.extend(await rounds(engine, 20, first=100 * day, events=20))
            clock.advance(DAY_MS)
        await engine.checkpoint()

    options = {"keep_days": 3, "segment_bytes": 16 * 1024, "replays": ReplayBounds(events=2 * FEW)}
    with_engine(tmp_path, work, clock=clock, **options)
    disk = RealDisk()
    views = FeatureDeclaration(name="tests_views", on=("Product Viewed",), aggregate="count", unit="views", owner="t")
    other = compile_features((*DEFAULT_FEATURES, views), memory_mb=64, items_max=4_096)
    past = OtherPast(other, SegmentReader(disk, tmp_path / "log"), disk=disk, checkpoints=tmp_path / "checkpoints")
    folded = []
    for position in (stops[-2], stops[-1]):
        assert "tests_views" in {name for name, _ in past.at(position).state.active}
        folded.append(past.folded)
    assert past.begins == kept_in(tmp_path)[-1] > 0
    assert folded[0] > 5 * FEW > folded[1] - folded[0]
    with pytest.raises(RequestRejected, match="expired"):
        past.at(stops[0])


def test_a_checkpoint_is_made_before_its_time_when_much_was_folded(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        number = 0
        async with asyncio.timeout(60):
            while len(kept_in(tmp_path)) < 3:
                await take(engine, event(number))
                number += 1

    with_engine(tmp_path, work, replays=ReplayBounds(events=FEW))


def test_a_damaged_checkpoint_is_not_kept_for_replays_and_they_fold_past_it(tmp_path: Path) -> None:
    stops: list[int] = []

    async def work(engine: Engine) -> None:
        stops.extend(await rounds(engine, 20))
        path = checkpoint_path(tmp_path / "checkpoints", kept_in(tmp_path)[4])
        path.write_bytes(path.read_bytes()[:20])
        assert folded_for(tmp_path, stops[-1]) <= FEW
        await engine.checkpoint()
        assert not path.exists()

    with_engine(tmp_path, work, replays=ReplayBounds(events=FEW))
    assert max(folded_for(tmp_path, position) for position in stops) <= 2 * FEW + 16
