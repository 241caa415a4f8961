"""Online learners in the engine: outcomes of what was shown move weights, and the log alone says how far."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from instanter.decisions.placement import DEFAULT_PLACEMENTS, Placement
from instanter.engine.learning import FREEZE, RESET, THAW, Learners
from instanter.engine.loop import Engine
from instanter.engine.partition import Partition
from instanter.events.envelope import Decided, LearnerDeclared, LearnerTurned, Lesson, Tracked, decode_record
from instanter.events.folding import check_record
from instanter.foundation import limits
from instanter.foundation.clock import ManualClock
from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import RequestRejected
from instanter.log.segments import SegmentReader
from instanter.models.online import LearnerDeclaration

from .harness import decide, event, stock_shop, take, with_engine
from .test_replay import again_in

LIST = "home.learning"
INPUTS = ("item.price", "cross.session_categories")
LEARNING = Placement(id=LIST, limit=6, learner=LearnerDeclaration(inputs=INPUTS, step=0.2))
PLACEMENTS = (*DEFAULT_PLACEMENTS, LEARNING)
MINUTE_MS = 60_000

# The fold alone.

DECLARED = LearnerDeclared(0, LIST, ("taste",), 0.1, 2.0, False, 30 * MINUTE_MS, {"click": 1.0, "cart": 3.0})
ITEMS = (11, 12, 13)


def shown(number: int = 1, *, key: int = 7, at_ms: int = 1_000, tastes: tuple[float, ...] = (0.0, 0.0, 1.0)) -> Decided:
    """A decision that showed three items."""
    rows = np.array([[0.0, taste] for taste in tastes], "<f4")
    return Decided(at_ms, "shop", key, f"d{number}", b"", lessons=(Lesson(LIST, ITEMS, rows.tobytes()),))


def done(item: int, *, at_ms: int = 2_000, name: str = "Product Clicked", key: int = 7, decision: str = "",
         flags: int = 0) -> Tracked:  # fmt: skip
    return Tracked(at_ms, at_ms, "shop", key, at_ms, name, flags=flags, items=(item,), decision_id=decision)


def learners(*records: Decided | Tracked | LearnerTurned, declared: LearnerDeclared = DECLARED) -> Learners:
    """After these records and an epoch at their end."""
    found = Learners()
    found.declare(declared)
    for record in records:
        if isinstance(record, Decided):
            found.show(record)
        elif isinstance(record, Tracked):
            found.note(record, (record.key,))
        else:
            found.turn(record)
    found.publish(3_000)
    return found


def weight(found: Learners) -> float:
    learned = found.of("shop", LIST)
    return 0.0 if learned is None else float(learned.weights[1])


def test_a_choice_is_a_lesson_by_its_decision_or_by_person_and_item() -> None:
    assert weight(learners(shown(), done(13))) > 0.0
    assert weight(learners(shown(), done(13, key=9, decision="d1"))) > 0.0
    assert weight(learners(shown(), done(13, key=9))) == 0.0
    assert weight(learners(shown(), done(99))) == 0.0
    assert weight(learners(shown(), done(13, key=9, decision="d2"))) == 0.0


def test_what_was_passed_over_stands_above_or_right_below() -> None:
    assert weight(learners(shown(tastes=(1.0, 0.0, 1.0)), done(11))) > 0.0  # over the one below, not the third
    assert weight(learners(shown(tastes=(1.0, 1.0, 0.0)), done(11))) == 0.0
    assert weight(learners(shown(tastes=(0.0, 1.0, 0.0)), done(12))) > 0.0


def test_each_kind_of_outcome_counts_once_for_an_item() -> None:
    once = learners(shown(), done(13))
    assert weight(learners(shown(), done(13), done(13, at_ms=2_500))) == weight(once)
    assert weight(learners(shown(), done(13), done(13, at_ms=2_500, name="Product Added"))) > weight(once)
    assert once.lessons == 1


def test_what_comes_before_the_list_or_long_after_it_and_what_bots_do_is_no_lesson() -> None:
    assert weight(learners(shown(), done(13, at_ms=999))) == 0.0
    assert weight(learners(shown(), done(13, at_ms=999, decision="d1"))) > 0.0  # clocks of senders differ
    assert weight(learners(shown(), done(13, at_ms=1_001 + 30 * MINUTE_MS))) == 0.0
    assert weight(learners(shown(), done(13, flags=1))) == 0.0
    assert weight(learners(shown(), done(13, name="Product Viewed"))) == 0.0  # worth nothing


def test_of_two_lists_the_newer_one_that_showed_the_item_is_meant() -> None:
    found = learners(shown(1, tastes=(0.0, 0.0, 1.0)), shown(2, at_ms=1_500, tastes=(0.0, 0.0, -1.0)), done(13))
    assert weight(found) < 0.0


def test_the_switch_freezes_thaws_and_resets() -> None:
    def turned(act: str) -> LearnerTurned:
        return LearnerTurned(0, "shop", LIST, act)

    learnt = weight(learners(shown(), done(13)))
    assert weight(learners(turned(FREEZE), shown(), done(13))) == 0.0
    assert weight(learners(turned(FREEZE), turned(THAW), shown(), done(13))) == learnt
    assert weight(learners(shown(), done(13), turned(FREEZE), shown(2), done(13, at_ms=2_500))) == learnt
    assert learners(shown(), done(13), turned(RESET)).of("shop", LIST) is None
    another = LearnerTurned(0, "another", LIST, FREEZE)
    assert weight(learners(another, shown(), done(13))) == learnt
    by_configuration = LearnerDeclared(*(True if name == "frozen" else getattr(DECLARED, name)
                                         for name in DECLARED.__struct_fields__))  # fmt: skip
    assert weight(learners(shown(), done(13), declared=by_configuration)) == 0.0


def test_an_input_that_stays_declared_keeps_its_weight() -> None:
    found = learners(shown(), done(13))
    before = weight(found)
    found.declare(LearnerDeclared(0, LIST, ("new", "taste"), 0.1, 2.0, False, MINUTE_MS, {"click": 1.0}))
    learned = found.of("shop", LIST)
    assert learned is not None
    assert learned.weights[1:].tolist() == [0.0, before]
    assert found.open == 0
    found.declare(LearnerDeclared(0, LIST, (), 0.1, 2.0, False, MINUTE_MS, {}))
    assert found.of("shop", LIST) is None


def test_a_learner_that_was_taken_away_begins_anew_when_it_comes_back() -> None:
    found = learners(shown(), done(13), LearnerTurned(0, "shop", LIST, FREEZE))
    found.declare(LearnerDeclared(0, LIST, (), 0.1, 2.0, False, MINUTE_MS, {}))
    assert (found.rows(), found.open, found.lessons) == ({}, 0, 0)
    found.declare(LearnerDeclared(0, LIST, ("new", "taste"), 0.1, 2.0, False, MINUTE_MS, {"click": 1.0}))
    assert (found.of("shop", LIST), found.is_frozen("shop", LIST)) == (None, False)


def test_lists_that_wait_are_bounded_and_closed_when_their_time_is_over() -> None:
    many = learners(*(shown(number) for number in range(limits.LESSONS_PER_PERSON_MAX + 5)))
    assert (many.open, many.closed_early) == (limits.LESSONS_PER_PERSON_MAX, 5)
    many.publish(1_001 + 30 * MINUTE_MS)
    assert many.open == 0
    erased = learners(shown(1), shown(2, key=8))
    erased.drop([7])
    assert erased.open == 1


def test_of_more_lists_than_may_wait_the_oldest_is_closed_and_counted() -> None:
    many = learners(*(shown(number, key=number) for number in range(limits.LESSONS_OPEN_MAX + 5)))
    assert (many.open, many.closed_early) == (limits.LESSONS_OPEN_MAX, 5)
    for key, learned in ((4, False), (5, True)):
        many.note(done(13, key=key), (key,))
        assert (many.lessons == 1) is learned


def test_all_lists_that_wait_have_so_many_bytes_and_the_oldest_make_room() -> None:
    """The longest lists that there can be, with the most inputs."""
    inputs = tuple(f"input {number}" for number in range(limits.LEARNER_INPUTS_MAX))
    items = tuple(range(1, limits.LESSON_ITEMS_MAX + 1))
    lesson = Lesson(LIST, items, bytes(4 * len(items) * (1 + len(inputs))))
    found, shown_count = Learners(), limits.LESSONS_BYTES_MAX // len(lesson.inputs) + 100
    found.declare(msgspec.structs.replace(DECLARED, inputs=inputs))
    for number in range(shown_count):
        found.show(Decided(1_000, "shop", number + 1, f"d{number}", b"", lessons=(lesson,)))
    assert found.open * len(lesson.inputs) <= limits.LESSONS_BYTES_MAX < (found.open + 200) * len(lesson.inputs)
    assert found.closed_early == shown_count - found.open > 0


def test_beyond_as_many_learners_as_there_may_be_the_ranker_stays_alone_and_it_is_counted() -> None:
    found = Learners()
    found.declare(DECLARED)
    for number in range(limits.LEARNERS_MAX + 3):
        tenant, key = f"t{number}", number + 1
        found.show(msgspec.structs.replace(shown(number, key=key), tenant=tenant))
        found.note(msgspec.structs.replace(done(13, key=key), tenant=tenant), (key,))
    found.publish(3_000)
    assert (found.lessons, found.untaught) == (limits.LEARNERS_MAX, 3)
    assert found.of(f"t{limits.LEARNERS_MAX - 1}", LIST) is not None
    assert found.of(f"t{limits.LEARNERS_MAX}", LIST) is None
    assert len(found.rows()["learners"]) == limits.LEARNERS_MAX


def test_of_a_long_list_so_many_items_are_a_lesson_and_a_record_with_more_is_none(tmp_path: Path) -> None:
    async def work(engine: Engine) -> Decided:
        await stock_shop(engine, 2 * limits.LESSON_ITEMS_MAX)
        reply = await decide(engine, placements=[{"id": LIST}])
        assert len(reply["placements"][LIST]["items"]) == limits.LESSON_ITEMS_MAX + 6
        await engine.journal.settled()
        newest = [decode_record(frame.payload) for frame in SegmentReader(RealDisk(), tmp_path / "log").read()]
        (decided,) = (one for one in newest if isinstance(one, Decided))
        return decided

    long = msgspec.structs.replace(LEARNING, limit=limits.LESSON_ITEMS_MAX + 6)
    decided = with_engine(tmp_path, work, placements=(*DEFAULT_PLACEMENTS, long))
    (lesson,) = decided.lessons
    assert len(lesson.items) == limits.LESSON_ITEMS_MAX
    check_record(decided)
    longer = msgspec.structs.replace(lesson, items=(*lesson.items, 5))
    with pytest.raises(ValueError, match=f"more than {limits.LESSON_ITEMS_MAX} items"):
        check_record(msgspec.structs.replace(decided, lessons=(longer,)))


def test_what_a_checkpoint_holds_goes_on_as_if_nothing_had_happened() -> None:
    first = learners(*(shown(number, key=number % 3) for number in range(200)), done(13))
    second = Learners()
    second.restore(first.rows())
    assert second.rows() == first.rows()
    for found in (first, second):
        found.note(done(12, at_ms=2_700, key=1), (1,))
        for number in range(300, 400):
            found.show(shown(number, key=number % 3))
        found.publish(9_000)
    assert second.rows() == first.rows()
    assert (second.open, second.lessons) == (first.open, first.lessons)


def test_a_lesson_of_another_shape_is_none() -> None:
    lesson = Lesson(LIST, ITEMS, bytes(4 * 3 * 5))
    assert learners(Decided(0, "shop", 7, "d1", b"", lessons=(lesson,))).open == 0


# The engine.


async def choose(engine: Engine, first: int, count: int) -> None:
    """Look at the list again and again and click what is dear and stands second."""
    assert isinstance(engine.clock, ManualClock)
    for number in range(first, first + count):
        reply = await decide(engine, placements=[{"id": LIST}])
        second = reply["placements"][LIST]["items"][1]["id"]
        properties = {"product_id": second}
        context = {"instanter": {"decisionId": reply["decisionId"]}}
        await take(engine, event(number, name="Product Clicked", properties=properties, context=context))
        engine.clock.advance(1_200)
        await engine.checkpoint()  # publishes an epoch


def status(engine: Engine) -> tuple[int, list[float]]:
    learned = engine.learners.all("default")[LIST].learned
    return (0, []) if learned is None else (learned.lessons, learned.weights.tolist())


def test_it_goes_on_where_it_was_after_a_kill_and_decisions_are_made_again_alike(tmp_path: Path) -> None:
    found: list[tuple[int, list[float]]] = []
    clock = ManualClock()

    async def first(engine: Engine) -> None:
        await stock_shop(engine)
        await choose(engine, 1, 6)
        found.append(status(engine))

    async def second(engine: Engine) -> None:
        assert status(engine) == found[0]
        await choose(engine, 100, 3)
        found.append(status(engine))

    options: dict[str, Any] = {"clock": clock, "placements": PLACEMENTS}
    with_engine(tmp_path, first, stop=False, **options)
    with_engine(tmp_path, second, **options)
    assert found[1][0] > found[0][0] > 0
    assert any(found[1][1][1:])
    again = again_in(tmp_path)
    assert [one.differences for one in again] == [[]] * 9
    assert {one.receipt.placements[0].learned for one in again} > {0}
    rebuilt = rebuild(tmp_path)
    learned = rebuilt.learners.of("default", LIST)
    assert learned is not None
    assert (learned.lessons, learned.weights.tolist()) == found[1]


def rebuild(root: Path) -> Partition:
    """The log folded from its beginning."""
    from instanter.features.compile import compile_features
    from instanter.features.declaration import DEFAULT_FEATURES

    partition = Partition(compile_features(DEFAULT_FEATURES, memory_mb=64, items_max=4_096))
    for frame in SegmentReader(RealDisk(), root / "log").read():
        partition.apply([decode_record(frame.payload)], ends=[frame.end])
    return partition


def run(root: Path, work: Callable[[Engine], Awaitable[None]], **options: Any) -> None:
    with_engine(root, work, placements=PLACEMENTS, **options)


def test_the_switch_is_turned_and_noted(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        await choose(engine, 1, 2)
        before = status(engine)
        assert (await engine.learners.turn("default", LIST, "freeze", actor="tests")).frozen
        await choose(engine, 10, 2)
        assert status(engine) == before
        assert (await engine.learners.turn("default", LIST, "reset", actor="tests")).learned is None
        assert not (await engine.learners.turn("default", LIST, "thaw", actor="tests")).frozen
        with pytest.raises(RequestRejected, match="no online learner"):
            await engine.learners.turn("default", "home.hero", "freeze", actor="tests")
        assert engine.audit.head.number >= 3

    run(tmp_path, work)


@pytest.mark.parametrize("inputs", [
    ("item.price",), ("cross.session_categories", "item.price"), (*INPUTS, "item.recency"), (),
])  # fmt: skip
def test_where_the_log_says_that_it_learns_from_something_else_the_ranker_is_alone(
    tmp_path: Path, inputs: tuple[str, ...]
) -> None:
    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        await choose(engine, 1, 3)
        assert status(engine)[0] > 0
        now_ms = engine.clock.now_ms()
        declared = engine.partition.learners.declared[LIST]
        other = msgspec.structs.replace(declared, at_ms=now_ms, inputs=inputs)
        await engine.journal.write([other], now_ms)
        (await decide(engine, placements=[{"id": LIST}]))["placements"][LIST]["items"]
        assert engine.partition.learners.of("default", LIST, INPUTS) is None
        back = msgspec.structs.replace(declared, at_ms=now_ms)
        await engine.journal.write([back], now_ms)
        assert (engine.partition.learners.of("default", LIST, INPUTS) is None) == (inputs == ())

    run(tmp_path, work)


def test_what_the_configuration_drops_is_gone_and_the_ranker_is_alone_again(tmp_path: Path) -> None:
    async def first(engine: Engine) -> None:
        await stock_shop(engine)
        await choose(engine, 1, 3)

    async def second(engine: Engine) -> None:
        assert engine.learners.all("default") == {}
        (await decide(engine))["placements"]

    clock = ManualClock()
    run(tmp_path, first, clock=clock)
    with_engine(tmp_path, second, clock=clock)


def test_a_lesson_is_part_of_what_is_exported_of_a_person(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        await choose(engine, 1, 2)  # Nobody knew the person before the first choice.
        exported = [json.loads(line) for step in engine.export("default", "anonymous:a1") for line in step]
        (lesson,) = next(line["lessons"] for line in exported if "lessons" in line)
        assert lesson["placement"] == LIST
        assert lesson["items"][0]["id"].startswith("sku-")
        assert len(lesson["items"][0]["inputs"]) == 1 + len(INPUTS)

    run(tmp_path, work)


def test_who_has_not_agreed_teaches_nothing(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        for _ in range(3):
            await decide(engine, placements=[{"id": LIST}])
        await engine.checkpoint()
        assert engine.partition.learners.open == 0

    run(tmp_path, work, consent_required=True)
