"""The stream: what it tells, that it tells the same again, and what becomes of those who do not keep up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from instanter.engine.loop import Engine
from instanter.engine.streaming.cursor import Cursor, cursor_of
from instanter.engine.streaming.derivation import Entry, Wanted
from instanter.engine.streaming.kinds import KIND_NAMES, KINDS
from instanter.engine.streaming.streams import WOKEN_AT_ONCE, Chunk
from instanter.events.envelope import Decided
from instanter.foundation.errors import Overloaded, RequestRejected, Unavailable
from instanter.foundation.limits import (
    STREAM_BEHIND_MAX,
    STREAM_ENTRIES_BYTES,
    STREAM_ITEMS_MAX,
    STREAM_JOINED_BYTES_MAX,
    STREAM_PIECE_BYTES,
    STREAM_QUEUE_BYTES_MAX,
    STREAM_QUEUE_ENTRIES_MAX,
    STREAM_QUEUED_BYTES_MAX,
    STREAM_READ_PER_PIECE,
    STREAM_READERS_MAX,
    STREAM_READERS_PER_TENANT_MAX,
    STREAM_RECORDS_PER_STEP,
)

from .following import Sent, follow, streaming
from .harness import decide, event, stock_shop, take, with_engine

T = TypeVar("T")
ALL = frozenset(KIND_NAMES)
HOME = "home.recommended"
PERSON = "planted-person"


def streamed(root: Path, work: Callable[[Engine], Awaitable[T]], **options: Any) -> T:
    """Run `work` with an engine whose stream is served."""

    async def run(engine: Engine) -> T:
        async with streaming(engine):
            return await work(engine)

    return with_engine(root, run, **options)


async def shown(engine: Engine, *, person: str = "a1", placement: str = HOME) -> dict[str, Any]:
    """A decision that is in the log and folded."""
    decision = await decide(engine, person=person, placements=[{"id": placement}])
    await engine.journal.settled()
    return decision


def test_decisions_events_outcomes_and_refusals_are_told(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        following = await follow(engine)
        await take(engine, event(1, person=PERSON, properties={"product_id": "sku-3"}))
        decision = await shown(engine, person=PERSON)
        items = [item["id"] for item in decision["placements"][HOME]["items"]]
        clicked = {"product_id": items[1], "decisionId": decision["decisionId"]}
        await take(engine, event(2, person=PERSON, name="Product Clicked", properties=clicked))
        await take(engine, b'{"type": "track", "event": 7}')
        await engine.quarantine.settled()
        sent = await following.until(5)
        assert sorted(one.event for one in sent) == ["decision", "event", "event", "outcome", "refusal"]
        told = {one.event: one.data for one in sent}
        assert told["decision"]["decisionId"] == decision["decisionId"]
        assert told["decision"]["placements"] == [{
            "id": HOME, "servedBy": decision["placements"][HOME]["servedBy"],
            "model": told["decision"]["placements"][0]["model"], "items": items,
        }]  # fmt: skip
        views = [one.data for one in sent if one.event == "event"]
        assert [(one["name"], one["items"]) for one in views] == [
            ("Product Viewed", ["sku-3"]), ("Product Clicked", [items[1]]),
        ]  # fmt: skip
        assert {one["cell"] for one in views} == {told["decision"]["cell"]} == {told["outcome"]["cell"]}
        (joined,) = told["outcome"]["joined"]
        assert (joined["decisionId"], joined["item"], joined["outcome"], joined["by"], joined["placement"],
                joined["place"]) == (decision["decisionId"], items[1], "click", "decision", HOME, 2)  # fmt: skip
        assert told["refusal"]["code"] == "schema"
        assert PERSON not in json.dumps([one.data for one in sent]), "nobody's id stands in an entry"

    streamed(tmp_path, work)


def test_an_outcome_that_names_no_decision_is_joined_to_the_newest_that_showed_the_item(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        following = await follow(engine, "outcome")
        await take(engine, event(1))
        await shown(engine)
        newest = await shown(engine)
        await shown(engine, person="somebody-else")
        item = newest["placements"][HOME]["items"][0]["id"]
        await take(engine, event(2, name="Product Clicked", properties={"product_id": item}))
        (told,) = await following.until(1)
        (joined,) = told.data["joined"]
        assert (joined["decisionId"], joined["by"]) == (newest["decisionId"], "item")

    streamed(tmp_path, work)


def test_what_was_told_is_told_again_after_a_restart_with_the_same_ids_and_words(tmp_path: Path) -> None:
    async def first(engine: Engine) -> list[Sent]:
        following = await follow(engine, "decision", "event", "outcome")
        await stock_shop(engine)
        for number in range(1, 6):
            await take(engine, event(number))
            decision = await shown(engine)
            item = decision["placements"][HOME]["items"][0]["id"]
            await take(engine, event(100 + number, name="Product Clicked", properties={"product_id": item}))
        await following.until(10, of=["event"])
        sent = following.sent[1:]
        assert {one.event for one in sent} == {"decision", "event", "outcome"}
        return sent

    before = streamed(tmp_path, first, stop=False)
    assert len({one.id for one in before}) == len(before)

    async def again(engine: Engine) -> None:
        for place in range(len(before)):
            rest = await follow(engine, "decision", "event", "outcome", since=before[place].id)
            assert rest.sent[0].data["from"] == before[place].id
            told = await rest.until(len(before) - place - 1)
            assert told == before[place + 1 :]
            engine.streams.close(rest.reader)
        whole = await follow(engine, "decision", "event", "outcome", since=engine.streams.oldest())
        assert await whole.until(len(before)) == before

    streamed(tmp_path, again)


def test_refusals_are_told_once_each_across_a_restart(tmp_path: Path) -> None:
    async def first(engine: Engine) -> list[Sent]:
        following = await follow(engine)
        for number in range(4):
            await take(engine, event(number), b'{"type": "track", "event": 7}')
            await engine.quarantine.settled()
        sent = await following.until(8)
        assert all("/" in one.id for one in sent)
        return sent

    before = streamed(tmp_path, first, stop=False)
    refused = [one.data["entry"] for one in before if one.event == "refusal"]
    assert len(set(refused)) == 4

    async def again(engine: Engine) -> None:
        rest = await follow(engine, since=before[3].id)
        told = await rest.until(4)
        heard = [*before[:4], *told]
        assert sorted(one.data["entry"] for one in heard if one.event == "refusal") == sorted(refused)
        assert sorted(one.data["message"] for one in heard if one.event == "event") == sorted(
            one.data["message"] for one in before if one.event == "event"
        )

    streamed(tmp_path, again)


def test_events_that_were_withheld_are_refusals(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        following = await follow(engine, "refusal")
        await take(engine, event(1))
        (told,) = await following.until(1)
        assert (told.data["code"], told.data["name"]) == ("consent", "Product Viewed")

    streamed(tmp_path, work, consent_required=True)


def test_a_placement_chooses_among_decisions_and_outcomes_alone(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        following = await follow(engine, "decision", "event", placements=["product.similar"])
        await shown(engine)
        await take(engine, event(1))
        there = await shown(engine, placement="product.similar")
        sent = await following.until(2)
        assert [one.event for one in sent] == ["event", "decision"]
        assert sent[1].data["decisionId"] == there["decisionId"]

    streamed(tmp_path, work)


def test_one_tenant_hears_nothing_of_another(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        other, own = await follow(engine, "event", tenant="other"), await follow(engine, "event")
        await take(engine, event(1))
        await engine.intake.take([event(2)], kind=None, tenant="other")
        assert len(await own.until(1)) == 1
        assert len(await other.until(1)) == 1
        assert own.sent[-1].data["message"] != other.sent[-1].data["message"]

    streamed(tmp_path, work)


@pytest.mark.parametrize("waiting", [False, True])
def test_nothing_is_told_of_somebody_who_was_erased(waiting: bool, tmp_path: Path) -> None:
    """Neither what lies in the log, nor what had been made and was waiting to be taken."""

    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        oldest = engine.streams.oldest()
        following = await follow(engine) if waiting else None
        for person in ("gone", "stays"):
            await take(engine, event(1, person=person, properties={"product_id": "sku-1"}))
            await shown(engine, person=person)
        if following is not None:
            while following.reader.queued_bytes == 0:
                await asyncio.sleep(0)
        await engine.eraser.erase("default", "anonymous:gone", actor="test")
        following = following or await follow(engine, since=oldest)
        await take(engine, event(9, person="stays", properties={"product_id": "sku-9"}))
        sent = await following.until(1, of=["event"])
        while sent[-1].data["items"] != ["sku-9"]:
            sent = await following.until(len(sent) + 1, of=["event"])
        assert len(sent) == 2
        assert len({one.data["cell"] for one in following.sent if one.event in ("event", "decision")}) == 1
        assert len([one for one in following.sent if one.event == "decision"]) == 1

    streamed(tmp_path, work)


def chunk_of(engine: Engine, size_bytes: int, *, count: int = 1) -> Chunk:
    entry = Entry("default", "event", Cursor(1, 2, 0), (), None, b"x" * size_bytes)
    return Chunk([entry] * count, engine.subjects, refusals=False)


@pytest.mark.parametrize(("size_bytes", "count"), [
    (STREAM_QUEUE_BYTES_MAX // 2 + 1, 1), (1, STREAM_QUEUE_ENTRIES_MAX // 2 + 1),
])  # fmt: skip
def test_who_does_not_keep_up_is_cut_off_and_told_and_nobody_else(size_bytes: int, count: int, tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        stuck, other = await follow(engine, "event"), await follow(engine, "event")
        before = stuck.reader.place
        for _ in range(2):
            stuck.reader.push(chunk_of(engine, size_bytes, count=count))
        last = await stuck.to_the_end()
        assert last == Sent(before, "cut", {"resume": before, "reason": "it takes entries more slowly than they come"})
        with pytest.raises(StopAsyncIteration):
            await stuck.piece()
        engine.streams.close(stuck.reader)
        await take(engine, event(1))
        assert len(await other.until(1)) == 1
        resumed = await follow(engine, "event", since=last.data["resume"])
        assert len(await resumed.until(1)) == 1
        assert engine.meter.counts["stream_readers_cut"] == 1

    streamed(tmp_path, work)


def test_a_single_entry_of_any_size_is_told(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        following = await follow(engine, "event")
        following.reader.push(chunk_of(engine, STREAM_QUEUE_BYTES_MAX + 1))
        assert len(await anext(following.pieces)) > STREAM_QUEUE_BYTES_MAX

    streamed(tmp_path, work)


def test_what_waits_for_all_together_is_bounded_and_who_has_most_waiting_goes(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        readers = [await follow(engine, "event") for _ in range(1 + STREAM_QUEUED_BYTES_MAX // STREAM_QUEUE_BYTES_MAX)]
        whole, little = chunk_of(engine, STREAM_QUEUE_BYTES_MAX - 64), chunk_of(engine, 10_000)
        for one in readers[1:]:
            one.reader.push(whole)
        readers[0].reader.push(little)
        await take(engine, event(1))
        while not engine.meter.counts["stream_readers_cut"]:
            await asyncio.sleep(0)
        assert sum(one.reader.queued_bytes for one in readers) <= STREAM_QUEUED_BYTES_MAX
        assert await readers[0].piece() != []

    streamed(tmp_path, work)


def test_readers_are_woken_a_few_at_a_time_and_who_took_what_waited_is_not_woken(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        readers = [await follow(engine, "event") for _ in range(2 * WOKEN_AT_ONCE + 2)]
        waiting = [asyncio.create_task(one.until(1)) for one in readers[1:]]
        for _ in range(3):
            await asyncio.sleep(0)
        given = chunk_of(engine, 1_000)
        for one in readers:
            one.reader.push(given)
        engine.streams.has_turned(readers[0].reader)

        def woken() -> list[int]:
            engine.streams.wake_some()
            return [number for number, one in enumerate(readers) if one.reader._there.is_set()]

        assert woken() == list(range(1, 1 + WOKEN_AT_ONCE))
        assert woken() == list(range(1, 1 + 2 * WOKEN_AT_ONCE))
        assert woken() == list(range(1, 2 + 2 * WOKEN_AT_ONCE))
        for one in waiting:
            one.cancel()

    streamed(tmp_path, work)


def test_there_are_as_many_readers_as_may_be(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        readers = [await follow(engine, tenant="one") for _ in range(STREAM_READERS_PER_TENANT_MAX)]
        with pytest.raises(Overloaded):
            await follow(engine, tenant="one")
        readers += [await follow(engine, tenant="two") for _ in range(STREAM_READERS_MAX - len(readers))]
        with pytest.raises(Overloaded):
            await follow(engine, tenant="three")
        for one in readers[:2]:
            engine.streams.close(one.reader)
            engine.streams.close(one.reader)
        await follow(engine, tenant="one")
        assert engine.streams.readers == STREAM_READERS_MAX - 1

    streamed(tmp_path, work)


def test_few_read_what_lies_behind_at_once_and_others_wait_for_their_turn(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        in_the_first_step = STREAM_RECORDS_PER_STEP - len(list(engine._stores.log.read()))
        for number in range(3 * STREAM_RECORDS_PER_STEP):
            await take(engine, event(number))
        oldest = engine.streams.oldest()
        behind = [await follow(engine, "event", since=oldest) for _ in range(STREAM_BEHIND_MAX + 1)]
        for one in behind[:-1]:
            assert len(await one.piece()) == in_the_first_step
        last = asyncio.create_task(behind[-1].piece())
        assert len(await behind[0].until(3 * STREAM_RECORDS_PER_STEP)) == 3 * STREAM_RECORDS_PER_STEP
        assert not last.done()
        live = asyncio.create_task(behind[0].piece())
        assert len(await last) == in_the_first_step
        await take(engine, event(9_999))
        assert len(await live) == 1

    streamed(tmp_path, work)


def test_a_decision_too_far_back_in_the_log_is_not_looked_for(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        about = engine.streams.reading()._about
        made = about.shown
        record = Decided(1_000, "default", 7, "d_1", b"receipt", 0)
        made.fill([(100, record)], 200)
        made.add(100 + STREAM_JOINED_BYTES_MAX, Decided(1_000, "default", 8, "d_2", b"receipt", 0))
        assert len(made) == 2
        made.add(101 + STREAM_JOINED_BYTES_MAX, Decided(1_000, "default", 8, "d_3", b"receipt", 0))
        assert len(made) == 2

    streamed(tmp_path, work)


def test_an_entry_names_the_first_items_and_says_how_many_it_leaves_out(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        following = await follow(engine, "event")
        products = [{"product_id": f"sku-{number}"} for number in range(STREAM_ITEMS_MAX + 3)]
        await take(engine, event(1, name="Product List Viewed", properties={"products": products}))
        (told,) = await following.until(1)
        assert (len(told.data["items"]), told.data["itemsLeftOut"]) == (STREAM_ITEMS_MAX, 3)

    streamed(tmp_path, work)


def test_a_step_ends_with_the_piece_that_makes_it_large(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        products = [{"product_id": f"sku-{number}"} for number in range(STREAM_ITEMS_MAX)]
        lists = [
            event(number, name="Product List Viewed", properties={"products": products})
            for number in range(STREAM_RECORDS_PER_STEP)
        ]
        await take(engine, *lists)
        following = await follow(engine, "event", since=engine.streams.oldest())
        size_bytes = len(await anext(following.pieces))
        assert STREAM_ENTRIES_BYTES < size_bytes < STREAM_ENTRIES_BYTES + STREAM_READ_PER_PIECE * 4_096
        assert len(await following.piece()) < STREAM_RECORDS_PER_STEP // 2, "the rest"

    streamed(tmp_path, work)


def test_what_waits_is_sent_in_pieces(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        following = await follow(engine, "event")
        chunks = 5
        for _ in range(chunks):
            following.reader.push(chunk_of(engine, STREAM_PIECE_BYTES // 2, count=1))
        sizes = [len(await anext(following.pieces)) for _ in range(-(-chunks // 2))]
        assert all(STREAM_PIECE_BYTES <= size < 2 * STREAM_PIECE_BYTES for size in sizes[:-1])
        assert sizes[-1] < STREAM_PIECE_BYTES

    streamed(tmp_path, work)


def test_few_records_are_read_before_others_may_use_the_processor(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        oldest = engine.streams.oldest()
        await take(engine, *(event(number) for number in range(2 * STREAM_READ_PER_PIECE)))
        reading, head = engine.streams.reading(), Cursor(engine.partition.position, -1, oldest.quarantine)
        piece = reading.step(oldest, head, Wanted(["default"], ["event"]))
        assert len(piece.entries) == STREAM_READ_PER_PIECE
        rest = reading.step(piece.cursor, head, Wanted(["default"], ["event"]))
        assert len(rest.entries) == STREAM_READ_PER_PIECE
        unheard = reading.step(oldest, head, Wanted(["default"], ["decision"]))
        assert (unheard.entries, unheard.cursor) == ([], head), "what nobody asks for is not read"

    streamed(tmp_path, work)


def test_where_nothing_begins_nobody_can_resume(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await take(engine, event(1))
        head = engine.partition.position
        for cursor in (Cursor(head + 1), Cursor(head - 1, 2), Cursor(1 << 60)):
            with pytest.raises(RequestRejected):
                await follow(engine, since=cursor)
        assert engine.streams.readers == 0

    streamed(tmp_path, work)


def test_all_are_told_when_the_server_ends_and_nobody_comes_after(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        async with streaming(engine) as running:
            following = await follow(engine, "event")
            await take(engine, event(1))
            (told,) = await following.until(1)
            running.cancel()
            last = await following.to_the_end()
            assert (last.event, last.data["resume"]) == ("end", told.id)
            with pytest.raises(Unavailable):
                await follow(engine)

    with_engine(tmp_path, work)


def test_nothing_is_read_while_nobody_follows(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        reader = (await follow(engine)).reader
        engine.streams.close(reader)
        reached = engine.streams.reached
        await take(engine, event(1))
        assert engine.streams.reached == reached
        assert not engine.streams._followed.is_set()

    streamed(tmp_path, work)


def test_a_quiet_reader_gets_signs_of_life_that_move_on(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        following = await follow(engine, "decision")
        await take(engine, event(1))
        while engine.streams.reached.position < engine.partition.position:
            await asyncio.sleep(0)
        beat = following.reader._beat().decode()
        assert beat == f"id: {engine.partition.position}:-1\n: \n\n"

    streamed(tmp_path, work)


def test_ids_are_read_as_they_are_written() -> None:
    for cursor in (Cursor(1, -1), Cursor(1 << 62, 3), Cursor(5, 0, 7)):
        assert cursor_of(cursor.text(refusals=cursor.quarantine >= 0)) == cursor
    for text in ("", "1", "1:", "1:2/", "-1:0", "1:-2", "1:0/x", "١:0", "1:0\n", " 1:0", "1:1000", "9" * 20 + ":0"):
        assert cursor_of(text) is None, text


def test_kinds_have_names_and_numbers_of_their_own() -> None:
    assert len(set(KIND_NAMES)) == len(KINDS)
    for kind in KINDS:
        assert kind.hears
        assert {"joins", "is_placed"} <= set(dir(kind))
