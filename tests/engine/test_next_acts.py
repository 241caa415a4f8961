"""What people did next as examples: which acts are taken, and what stands in their rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instanter.decisions.decide import Decider
from instanter.decisions.placement import DEFAULT_PLACEMENTS
from instanter.engine.configuration import Configuration, Configurations
from instanter.engine.joining import Joining, ListsWanted
from instanter.engine.loop import Engine
from instanter.engine.next_acts import NextActs
from instanter.engine.replay import NoModels, Replay
from instanter.engine.training import OTHERS_TAKEN, Gathered, Gathering, standing_for_all
from instanter.events.envelope import Flag, Tracked
from instanter.features.assemble import RULES_NOW
from instanter.features.compile import compile_features
from instanter.features.declaration import DEFAULT_FEATURES
from instanter.feedback.rewards import Rewards
from instanter.foundation.clock import ManualClock
from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import RequestRejected
from instanter.foundation.limits import NEXT_ACTS_MAX
from instanter.log.frames import LogPosition
from instanter.log.segments import SegmentReader
from instanter.models.head import HEAD_ROWS
from instanter.privacy.subjects import KeyStore

from .harness import SECRET, event, stock_shop, take, with_engine

HOME, SIMILAR = "home.recommended", "product.similar"
VIEWED = "Product Viewed"


def act(number: int, *, key: int = 1, name: str = VIEWED, flags: int = 0, items: tuple[int, ...] = (5,)) -> Tracked:
    return Tracked(number, number, "default", key, number, name, flags, items)


def noted(acts: NextActs, count: int, **fields: Any) -> NextActs:
    for number in range(count):
        acts.note(act(number, **fields), LogPosition(number))
    return acts


def test_all_acts_are_taken_while_they_are_few() -> None:
    found = noted(NextActs("default", {VIEWED}, acts_max=10), 8).newest()
    assert [one.position for one in found] == list(range(8))


@pytest.mark.parametrize("count", [49, 51, 1_000, 12_345])
def test_of_many_acts_those_taken_lie_evenly_in_the_newest_part(count: int) -> None:
    acts = noted(NextActs("default", {VIEWED}, acts_max=10), count)
    at = [one.position for one in acts.newest()]
    assert (len(at), acts.count) == (10, count)
    assert len(set(np.diff(at).tolist())) == 1
    assert at[-1] > count - 1 - 2 * (at[-1] - at[-2])
    assert count * 0.5 <= at[0]
    assert count < 51 or at[0] <= count * 0.85


def test_what_is_kept_is_bounded() -> None:
    acts = noted(NextActs("default", {VIEWED}, acts_max=100), 20_000)
    assert len(acts._kept) <= 5 * 100
    assert NextActs("default", {VIEWED})._acts_max == NEXT_ACTS_MAX


def test_bots_other_names_other_tenants_and_events_without_items_are_no_acts() -> None:
    acts = NextActs("default", {VIEWED})
    for event_ in (act(1, flags=Flag.BOT), act(2, flags=Flag.RETOLD), act(3, name="Signed Up"), act(4, items=()),
                   Tracked(5, 5, "other", 1, 5, VIEWED, 0, (5,))):  # fmt: skip
        acts.note(event_, LogPosition(1))
    assert (acts.count, len(acts.newest())) == (0, 0)


def test_erased_people_have_done_nothing() -> None:
    acts = noted(NextActs("default", {VIEWED}), 3)
    noted(acts, 2, key=2)
    acts.drop((1,))
    assert {one.key for one in acts.newest()} == {2}


def test_the_likeliest_stand_for_all_beside_what_was_acted_on() -> None:
    order, acted_on = np.arange(200)[::-1], np.zeros(200, bool)
    acted_on[[3, 150]] = True
    places = standing_for_all(order, acted_on, HEAD_ROWS).tolist()
    assert {3, 150, *range(200 - HEAD_ROWS, 200)} <= set(places)
    assert HEAD_ROWS + OTHERS_TAKEN <= len(places) <= HEAD_ROWS + OTHERS_TAKEN + 2
    assert places == sorted(set(places))


async def views(engine: Engine, clock: ManualClock, count: int, first: int = 0) -> None:
    """Whoever looks at an item looks at the next one then."""
    for number in range(first, first + count):
        for step in range(3):
            fields = {"properties": {"product_id": f"sku-{(number + step) % 10}"}}
            await take(engine, event(10 * number + step, person=f"p{number}", at_ms=clock.now_ms(), **fields))
            clock.advance(1_500)


def gathered(root: Path, rows: Path, placement: str, **wanted: Any) -> Gathered:
    disk = RealDisk()
    log = SegmentReader(disk, root / "log")
    subjects = KeyStore(disk, root / "keys", secret=SECRET, master=SECRET, read_only=True)
    configurations = Configurations(disk, root / "configurations")
    schema = compile_features(DEFAULT_FEATURES, memory_mb=64)
    configuration = configurations.keep(
        Configuration(DEFAULT_FEATURES, DEFAULT_PLACEMENTS, schema.settings, {}, 0.0, RULES_NOW)
    )
    replay = Replay(log, disk=disk, checkpoints=root / "checkpoints", configurations=configurations,
                    models=NoModels(), memory_mb=64)  # fmt: skip
    joining = Joining(log, subjects, Rewards(), ListsWanted("default", placement, acts=frozenset({VIEWED}), **wanted))
    list(joining.examples())
    gathering = Gathering(replay, log, subjects, configuration=configuration, placement=placement)
    made = gathering.gather_next(joining.next_acts.newest(), rows)
    subjects.close()
    return made


@pytest.mark.parametrize("placement", [HOME, SIMILAR])
def test_each_act_is_one_row_of_what_could_have_been_shown(tmp_path: Path, placement: str) -> None:
    clock = ManualClock()

    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        await views(engine, clock, 40)

    with_engine(tmp_path, work, clock=clock)
    made = gathered(tmp_path, tmp_path / "rows", placement)
    counts, dataset = made.counts, made.dataset
    assert counts.next_acts + counts.unfound + counts.unread == 120
    assert (counts.unread > 0) is (placement == SIMILAR), "the first act of somebody is beside no item"
    assert len(dataset) == counts.next_acts > 60
    first_rows = [dataset.labels[first:last] for first, last in zip(dataset.groups, dataset.groups[1:], strict=False)]
    assert all(labels.sum() == 1.0 for labels in first_rows)
    assert not dataset.positions.any()
    schema = compile_features(DEFAULT_FEATURES, memory_mb=64)
    built_in = Decider(schema, DEFAULT_FEATURES, DEFAULT_PLACEMENTS).asked(placement).spot.ranker
    assert dataset.head is not None
    assert dataset.head.rows == HEAD_ROWS
    weights = dict(dataset.head.weights)
    assert [weights.get(column.name, 0.0) for column in built_in.columns] == built_in.weights.tolist()


def test_what_happens_later_changes_no_row_and_twice_is_the_same(tmp_path: Path) -> None:
    clock = ManualClock()

    async def past(engine: Engine) -> int:
        await stock_shop(engine)
        await views(engine, clock, 20)
        return int(engine.partition.position)

    position = with_engine(tmp_path, past, clock=clock)
    before = gathered(tmp_path, tmp_path / "rows", HOME).dataset.identity()
    assert gathered(tmp_path, tmp_path / "again", HOME).dataset.identity() == before

    async def future(engine: Engine) -> None:
        await views(engine, clock, 20, first=20)

    with_engine(tmp_path, future, clock=clock)
    assert gathered(tmp_path, tmp_path / "cut", HOME, until=position).dataset.identity() == before
    assert gathered(tmp_path, tmp_path / "more", HOME).dataset.identity() != before


def test_nothing_found_is_told(tmp_path: Path) -> None:
    clock = ManualClock()

    async def work(engine: Engine) -> None:
        await views(engine, clock, 3)

    with_engine(tmp_path, work, clock=clock)
    with pytest.raises(RequestRejected, match="nothing of what people did next"):
        gathered(tmp_path, tmp_path / "rows", HOME)
