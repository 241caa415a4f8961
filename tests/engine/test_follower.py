"""A follower reads the log of a running engine: at the same position it knows the same and decides the same."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from instanter.decisions.placement import DEFAULT_PLACEMENTS
from instanter.decisions.request import decode_decide
from instanter.engine.configuration import Configuration
from instanter.engine.decision_ids import find_decision
from instanter.engine.follower import POSITION, RECORDS_PER_STEP, Followed, Follower, FollowerOptions, open_partition
from instanter.engine.loop import Engine
from instanter.engine.replay import Models, NoModels, differences
from instanter.events.statements import Statements
from instanter.features.assemble import RULES_NOW
from instanter.features.compile import compile_features
from instanter.features.declaration import DEFAULT_FEATURES
from instanter.foundation.clock import ManualClock
from instanter.foundation.deadline import Deadline
from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import Broken, Unavailable
from instanter.foundation.ids import Ids
from instanter.foundation.limits import DECISION_SEARCH_BYTES_MAX
from instanter.foundation.measure import Measurements
from instanter.log.moved import NothingMoved
from instanter.log.segments import SegmentReader
from instanter.privacy.access import Grant
from instanter.privacy.followed import FollowedSubjects

from .harness import SECRET, append_unchecked, decide, event, set_stock, stock_shop, take, with_engine
from .rankers import Shelf
from .test_replay import made_in, replay_of

HOME = "home.recommended"


class Doorbell:
    """What the writer says to have folded."""

    def __init__(self, engine: Engine) -> None:
        self.position = engine.partition.position
        engine.on_folded = self.ring

    def ring(self, position: int) -> None:
        self.position = position


def follow(root: Path, engine: Engine, *, models: Models | None = None, memory_mb: int = 64) -> Follower:
    """A follower as another process has it: its own schema, decider, index of ids and state."""
    schema = compile_features(DEFAULT_FEATURES, memory_mb=memory_mb, items_max=4_096)
    decider = Configuration(
        DEFAULT_FEATURES, DEFAULT_PLACEMENTS, schema.settings, exploration=0.0, rules=RULES_NOW
    ).decider(schema)
    disk, bell = RealDisk(), Doorbell(engine)
    records = SegmentReader(disk, root / "log")
    follower = Follower(
        open_partition(schema, records, disk=disk, checkpoints=root / "checkpoints"), records,
        acknowledged=lambda: bell.position, acknowledged_ms=engine.clock.now_ms,
        subjects=FollowedSubjects(disk, root / "keys", secret=SECRET),
        statements=Statements(), decider=decider, models=models or NoModels(), clock=engine.clock, ids=Ids(),
        meter=Measurements(), options=FollowerOptions(frozenset()),
    )  # fmt: skip
    follower.catch_up()
    return follower


async def ask(follower: Follower, *, person: str = "a1", reaches: bool = True, late: bool = False, **fields: Any
              ) -> Followed:  # fmt: skip
    body = {"anonymousId": person, "placements": [{"id": HOME}], "deadlineMs": 10_000, **fields}
    if reaches:
        assert await follower.reach(left_ms=lambda: 10_000.0)
    return follower.decide(decode_decide(json.dumps(body).encode()), tenant="default", deadline=Deadline(60_000),
                           late=late)  # fmt: skip


def shown(followed: Followed) -> list[str]:
    placements = json.loads(followed.decision.encode())["placements"]
    return [item["id"] for item in placements[HOME]["items"]]


@pytest.mark.parametrize("checkpoint", [False, True])
def test_it_holds_the_same_state_and_gives_the_same_decisions(checkpoint: bool, tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        await take(engine, *(event(number, person=f"a{number % 9}") for number in range(200)))
        if checkpoint:
            await engine.checkpoint()
        await take(engine, *(event(number, person=f"a{number % 9}") for number in range(200, 260)))
        follower = follow(tmp_path, engine)
        for number in range(300, 330):
            person = f"a{number % 9}"
            await take(engine, event(number, person=person))
            engine.clock.advance(400)  # type: ignore[attr-defined]
            theirs = await ask(follower, person=person)
            assert follower.partition.position == engine.partition.position
            ours = await decide(engine, person=person)
            mine = json.loads(theirs.decision.encode())
            for one in (ours, mine):
                assert one["degraded"] == []
                for name in ("decisionId", "tookMs"):
                    del one[name]
            assert mine == ours
        assert await follower.reach(left_ms=lambda: 10_000.0)
        assert follower.partition.hash() == engine.partition.hash()

    with_engine(tmp_path, work)


def test_its_receipts_are_found_by_their_ids_and_replay_bit_by_bit(tmp_path: Path) -> None:
    async def work(engine: Engine) -> list[str]:
        await stock_shop(engine)
        follower, ids = follow(tmp_path, engine), []
        for number in range(20):
            await take(engine, event(number, person=f"a{number % 3}"))
            made = await ask(follower, person=f"a{number % 3}")
            await take(engine, event(1_000 + number, person="another"))  # The writer's log goes on meanwhile.
            engine.receipts.keep_elsewhere(made.told)
            await engine.journal.settled()
            assert engine.receipt("default", made.decision.id)
            ids.append(made.decision.id)
        assert engine.meter.counts["receipts_lost"] == 0
        return ids

    ids = with_engine(tmp_path, work)
    made = made_in(tmp_path)
    assert [one.receipt.decision_id for one in made] == ids
    for again in replay_of(tmp_path).decisions(made):
        assert differences(again.made.receipt, again.receipt) == []


def test_a_decision_is_looked_for_behind_its_position_and_no_further_than_a_bound(tmp_path: Path) -> None:
    assert DECISION_SEARCH_BYTES_MAX == 16 * 1024 * 1024

    async def work(engine: Engine) -> None:
        await take(engine, event(1))
        position = engine.partition.position
        reader = SegmentReader(RealDisk(), tmp_path / "log")
        for unknown in (f"d_{'0' * 16}0{position:x}", f"d_{'0' * 16}0{position + 1:x}", f"d_{'0' * 16}0{1 << 40:x}"):
            assert find_decision(unknown, reader, NothingMoved()) is None

    with_engine(tmp_path, work)


def test_an_id_that_nobody_has_met_is_answered_cold_and_known_once_the_log_tells_of_it(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        follower = follow(tmp_path, engine)
        assert (await ask(follower, person="new")).told.record.key == 0
        await take(engine, event(1, person="new"))
        known = await ask(follower, person="new")
        assert known.told.record.key == engine.subjects.find("default", "anonymous:new") != 0
        assert known.decision.reply.placements[HOME].served_by == "personal"

    with_engine(tmp_path, work)


def test_whoever_is_erased_is_known_no_more_and_comes_back_as_somebody_new(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        await take(engine, event(1), event(2, person="a2"))
        follower = follow(tmp_path, engine)
        before = await ask(follower)
        assert before.told.record.key
        await engine.eraser.erase("default", "anonymous:a1")
        after = await ask(follower)
        assert after.told.record.key == 0
        assert after.decision.reply.placements[HOME].served_by != "personal"
        engine.receipts.keep_elsewhere(before.told)  # A receipt that was on its way names nobody any more.
        assert engine.meter.counts["receipts_lost"] == 1
        engine.clock.advance(1_000)  # type: ignore[attr-defined]
        await take(engine, event(3))
        assert (await ask(follower)).told.record.key == engine.subjects.find("default", "anonymous:a1") != 0
        assert follower.partition.hash() == engine.partition.hash()

    with_engine(tmp_path, work)


def test_a_refusal_counts_as_soon_as_it_is_acknowledged(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        await take(engine, event(1))
        follower = follow(tmp_path, engine)
        assert (await ask(follower)).told.record.key
        await engine.consent("default", "anonymous:a1", {"personalization": False}, actor="tests")
        refused = await ask(follower)
        assert (refused.told.record.key, refused.told.promised, refused.told.record.lessons) == (0, (), ())

    with_engine(tmp_path, work)


def test_access_keys_and_the_catalogue_are_those_of_the_log(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        follower = follow(tmp_path, engine)
        key, text = await engine.credentials.issue_key(Grant("k", ("decide",)), tenant="default", actor="tests")
        assert await follower.reach(left_ms=lambda: 10_000.0)
        assert follower.partition.access_keys.find(text) is not None
        await engine.credentials.revoke_key("default", key.id, actor="tests")
        first = shown(await ask(follower))[0]
        assert follower.partition.access_keys.find(text) is None
        await set_stock(engine, first, 0)
        assert first not in shown(await ask(follower))

    with_engine(tmp_path, work)


def test_an_answer_that_is_due_before_all_is_read_stands_on_less_and_says_so(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        follower = follow(tmp_path, engine)
        position = follower.partition.position
        await take(engine, *(event(number) for number in range(RECORDS_PER_STEP + 10)))
        assert follower.lag_bytes > 0
        assert not await follower.reach(left_ms=lambda: 0.0)
        late = await ask(follower, reaches=False, late=True)
        assert late.decision.reply.degraded == [POSITION]
        assert late.decision.reply.position == str(position)
        steps = iter([1.0, 0.0])
        assert not await follower.reach(left_ms=lambda: next(steps))
        assert position < follower.partition.position < engine.partition.position
        assert (await ask(follower)).decision.reply.degraded == []

    with_engine(tmp_path, work)


def test_a_model_ranks_here_too_once_it_is_in_charge_and_no_longer_once_it_is_not(tmp_path: Path) -> None:
    shelf = Shelf("plain@1", "plain@2", damaged=("plain@3",))

    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        await take(engine, event(1))
        await engine.models.place("default", HOME, "plain@1", actor="tests")
        follower = follow(tmp_path, engine, models=shelf)

        async def model() -> str:
            return (await ask(follower)).decision.reply.placements[HOME].model

        assert await model() == "plain@1"
        await engine.models.place("default", HOME, "plain@2", actor="tests")
        assert not await follower.reach(left_ms=lambda: 0.0 if follower.lag_bytes == 0 else 1_000.0)
        assert await model() == "plain@2"
        for _ in range(2):
            await engine.models.roll_back("default", HOME, actor="tests")
        assert (await model()).startswith("linear@")

    with_engine(tmp_path, work, models=shelf)


def test_the_faults_of_a_model_here_count_in_the_writer(tmp_path: Path) -> None:
    shelf = Shelf("plain@1", "plain@2")

    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        await take(engine, event(1))
        await engine.models.place("default", HOME, "plain@1", actor="tests")
        follower = follow(tmp_path, engine, models=shelf)
        shelf.rankers["plain@1"].fails = True
        made = await ask(follower)
        assert made.told.faults[0][:2] == (HOME, "plain@1")
        engine.receipts.keep_elsewhere(made.told)
        assert engine.meter.counts["model_faults"] == 1

    with_engine(tmp_path, work, models=shelf)


def test_a_follower_that_cannot_hold_everybody_stops_deciding_and_says_why(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        follower = follow(tmp_path, engine)
        follower.partition.state.verdicts["table_full"] += 1
        await take(engine, event(1))
        for _ in range(2):
            with pytest.raises(Unavailable, match=r"raise state\.memory_mb"):
                await follower.reach(left_ms=lambda: 1_000.0)

    with_engine(tmp_path, work)


def test_a_follower_whose_log_cannot_be_read_stops_deciding_and_says_why(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        follower = follow(tmp_path, engine)
        engine.on_folded(engine.partition.position + 40)
        with pytest.raises(Unavailable, match=r"not the bytes that were written here|the log ends at"):
            await follower.reach(left_ms=lambda: 1_000.0)

    with_engine(tmp_path, work)


def test_a_checkpoint_that_is_damaged_is_passed_over(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        await take(engine, event(1))
        path = await engine.checkpoint()
        path.write_bytes(path.read_bytes()[:100])
        assert (await ask(follow(tmp_path, engine))).told.record.key

    with_engine(tmp_path, work)


def test_without_a_checkpoint_a_log_whose_beginning_is_gone_cannot_be_followed(tmp_path: Path) -> None:
    class Cut(SegmentReader):
        start = 4_096

    schema = compile_features(DEFAULT_FEATURES, memory_mb=64, items_max=4_096)
    disk = RealDisk()
    with pytest.raises(Broken, match="the log begins at 4096"):
        open_partition(schema, Cut(disk, tmp_path / "log"), disk=disk, checkpoints=tmp_path / "checkpoints")


def test_while_others_read_on_nobody_reads_a_record_twice_also_from_segment_to_segment(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        segments = len(list((tmp_path / "log").glob("*.seg")))
        follower = follow(tmp_path, engine)
        await take(engine, *(event(number) for number in range(3 * RECORDS_PER_STEP)))
        answers = await asyncio.gather(*(ask(follower) for _ in range(5)))
        assert {one.decision.reply.position for one in answers} == {str(engine.partition.position)}
        assert follower.partition.hash() == engine.partition.hash()
        for number in range(5_000, 5_040):
            await take(engine, *(event(number * 20 + more) for more in range(20)))
            await ask(follower)
        assert len(list((tmp_path / "log").glob("*.seg"))) > segments + 1
        assert follower.partition.hash() == engine.partition.hash()

    with_engine(tmp_path, work, clock=ManualClock(), segment_bytes=64 * 1024)


def test_a_record_that_is_passed_over_is_passed_over_here_too(tmp_path: Path) -> None:
    from instanter.events.envelope import Ticked

    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        follower = follow(tmp_path, engine)
        await append_unchecked(engine, Ticked(9_000_000_000_000))
        await take(engine, event(1))
        assert (await ask(follower)).told.record.key
        assert follower.partition.passed_over == 1

    with_engine(tmp_path, work)
