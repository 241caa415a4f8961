"""The quarantine: sealed, grouped, bounded, and each entry has one effect however often it is tried again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from instanter.engine import quarantine as keeping
from instanter.engine.intake import EVENTS_PER_STEP, SecondTry
from instanter.engine.loop import Engine
from instanter.engine.quarantine import Kept, Listing, entries, is_open, normalised, outcomes
from instanter.engine.repair import RepairReply, RepairRequest
from instanter.events.admitted import Admitted
from instanter.events.envelope import Tracked, decode_record
from instanter.events.reject import BATCH, QUARANTINE_VERSION, Quarantined, encode_quarantined, quarantined
from instanter.events.subjects import NOBODY
from instanter.foundation import limits
from instanter.foundation.clock import ManualClock
from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import EventRejected, RequestRejected
from instanter.log.base import frame_at
from instanter.log.commit import commit_now
from instanter.log.frames import Frame
from instanter.log.segment_log import SegmentLog
from instanter.log.segments import SegmentReader
from instanter.privacy.audit import AuditEntry, read_entries

from .harness import event, iso, take, with_engine

START_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
TENANT = "default"
MARKER = "planted-lamp"

RENAME = {"do": "rename", "path": "properties.items", "to": "products"}
TO_LIST = {"do": "remove", "path": "properties.products", "when": {"path": "properties.products", "type": "text"}}


def bad(number: int, *, person: str = "a1", **fields: Any) -> bytes:
    """An event whose products are no list."""
    return event(number, person=person, properties={"products": MARKER, "product_id": "sku-1"}, **fields)


def kept(root: Path) -> list[Kept]:
    return list(entries(SegmentReader(RealDisk(), root / "quarantine")))


def still_open(root: Path) -> list[Kept]:
    every = kept(root)
    return [one for one in every if is_open(one, outcomes(every))]


async def repair(engine: Engine, *steps: dict[str, Any], tenant: str = TENANT, **asked: Any) -> RepairReply:
    request = msgspec.convert({"rewrite": list(steps), **asked}, RepairRequest)
    return await engine.repairs.repair(request, tenant=tenant, actor="tester")


async def listed(engine: Engine, tenant: str = TENANT) -> Listing:
    return await engine.quarantine.listing(tenant)


def events_in(root: Path) -> list[Tracked]:
    """The events in the log."""
    records = (decode_record(frame.payload) for frame in SegmentReader(RealDisk(), root / "log").read())
    return [record for record in records if isinstance(record, Tracked)]


def newest_record(root: Path) -> Tracked:
    """The last event in the log."""
    return events_in(root)[-1]


def acts(root: Path, act: str = "quarantine.replayed") -> list[AuditEntry]:
    """What the record of administrators' acts says of the quarantine."""
    noted = read_entries(SegmentReader(RealDisk(), root / "audit"))
    return [one for one in noted if one.act == act]


# What is kept.


def test_what_a_sender_wrote_is_sealed(tmp_path: Path):
    async def work(engine: Engine) -> None:
        await take(engine, event(1), bad(2), bad(3, person="stranger"))
        one, other = kept(tmp_path)
        assert one.entry.subjects == (engine.subjects.find(TENANT, "anonymous:a1"),)
        assert other.entry.subjects == (NOBODY,)
        opened = engine.quarantine.opened(one)
        assert opened is not None
        assert (opened.raw, opened.message_id, opened.raw_bytes) == (bad(2), "m-2", len(bad(2)))

    with_engine(tmp_path, work)
    stored = b"".join(path.read_bytes() for path in (tmp_path / "quarantine").iterdir())
    assert [word for word in (MARKER, "a1", "stranger", "m-2") if word.encode() in stored] == []


def test_a_bad_event_makes_nobody_known(tmp_path: Path):
    async def work(engine: Engine) -> None:
        await take(engine, bad(1, person="stranger"))
        assert engine.subjects.count == 0

    with_engine(tmp_path, work)


def test_the_batchs_context_is_kept_and_sealed_too(tmp_path: Path):
    async def work(engine: Engine) -> None:
        await engine.intake.take(
            [bad(1)], kind=None, tenant=TENANT, sent_at_ms=START_MS, defaults={"ip": "192.0.2.7"})
        (one,) = kept(tmp_path)
        opened = engine.quarantine.opened(one)
        assert opened is not None
        assert (opened.defaults, opened.sent_at_ms) == (b'{"ip":"192.0.2.7"}', START_MS)
        assert one.entry.defaults == b""

    with_engine(tmp_path, work)
    assert b"192.0.2.7" not in b"".join(path.read_bytes() for path in (tmp_path / "quarantine").iterdir())


@pytest.mark.parametrize(("named", "erased", "readable"), [
    (["a1"], "anonymous:a1", False), (["a1"], "anonymous:a2", True), (["a1", "a2", "a3"], "anonymous:a2", False),
    (["a1", "a2", "a3", "a4", "a5"], "anonymous:a2", False), (["nobody"], "anonymous:a1", True),
])
def test_an_erased_persons_entries_can_be_read_no_more(
    named: list[str], erased: str, readable: bool, tmp_path: Path
):
    """Several people are sealed one around the other; more than four, or none that is known, for the day alone: such an
    entry is given out no more once it names somebody who was erased."""
    async def work(engine: Engine) -> None:
        await take(engine, *(event(number, person=f"a{number}") for number in range(1, 6)))
        body = b"{" + b", ".join(b'{"anonymousId": "%s"' % name.encode() for name in named)
        await engine.intake.reject(body, EventRejected("malformed", "no"), tenant=TENANT)
        (one,) = kept(tmp_path)
        await engine.eraser.erase(TENANT, erased)
        shown = await engine.repairs.show(one.position, tenant=TENANT, actor="tester")
        assert shown.readable is readable
        assert (shown.event == body.decode()) is readable
        assert (await repair(engine, dryRun=True)).refused == ({"malformed": 1} if readable else {"gone": 1})

    with_engine(tmp_path, work)


def test_after_its_day_is_over_nothing_can_be_read(tmp_path: Path):
    async def work(engine: Engine) -> None:
        await take(engine, bad(1))
        clock.advance(9 * 24 * HOUR_MS)
        await engine.eraser.retain()
        assert (await repair(engine)).refused == {"gone": 1}
        assert (await listed(engine)).total == 0, "nothing can come of it any more"

    clock = ManualClock(START_MS)
    with_engine(tmp_path, work, clock=clock)


def test_of_an_event_that_came_with_gpc_only_the_reason_is_kept(tmp_path: Path):
    async def work(engine: Engine) -> None:
        taken = await engine.intake.take([bad(1)], kind=None, tenant=TENANT, gpc=True, defaults={"ip": "192.0.2.7"})
        assert taken.rejected[0].message_id == "m-1"
        await engine.intake.reject(b"[", EventRejected("malformed", "no"), tenant=TENANT, gpc=True)
        assert [(one.entry.code, one.entry.raw, one.entry.defaults) for one in kept(tmp_path)] == [
            ("schema", b"", b""), ("malformed", b"", b"")]
        assert (await repair(engine)).refused == {"gone": 2}

    with_engine(tmp_path, work)


def test_entries_of_the_first_format_are_read_and_tried_again(tmp_path: Path):
    log = SegmentLog(RealDisk(), tmp_path / "quarantine", segment_bytes=1 << 20, size_bytes_max=8 << 20)
    old = [1, START_MS, TENANT, "schema", "properties.products is a list", "m-1", bad(1), len(bad(1))]
    commit_now(log, [(0xFFFF, START_MS, msgspec.msgpack.encode(old))])
    log.close()

    async def work(engine: Engine) -> None:
        assert (await listed(engine)).groups[0].message == "properties.products is a list"
        assert (await repair(engine, TO_LIST)).passed == 1

    with_engine(tmp_path, work)


def test_the_oldest_entries_go_and_that_is_told(tmp_path: Path):
    large = 400 * 1024
    many = 2 * 8 * (1 << 20) // large

    async def work(engine: Engine) -> None:
        for number in range(many):
            body = b"%d [" % number + b"x" * large
            await engine.intake.reject(body, EventRejected("malformed", "no"), tenant=TENANT)
        listing = await listed(engine)
        assert 0 < listing.total < many
        assert listing.dropped_bytes > (many - listing.total) * large
        assert engine.meter.counts["quarantine_dropped_bytes"] > 0
        assert engine.meter.counts["events_quarantined"] == many

    with_engine(tmp_path, work)
    assert sum(path.stat().st_size for path in (tmp_path / "quarantine").iterdir()) <= 10 << 20


# Grouping.


def test_entries_are_grouped_by_their_reason_without_its_values(tmp_path: Path):
    async def work(engine: Engine) -> None:
        await take(engine, bad(1), bad(2), b'{"a": }', b'{"longer": }', event(3))
        clock.advance(HOUR_MS)
        await take(engine, bad(4))
        listing = await listed(engine)
        first, second = listing.groups
        told = "properties.products is a list of the products, each with its product_id"
        assert (first.count, first.code, first.message) == (3, "schema", told)
        assert (first.first_at, first.last_at) == (
            iso(START_MS).replace("Z", "+00:00"), iso(START_MS + HOUR_MS).replace("Z", "+00:00"))
        assert int(first.example) == kept(tmp_path)[-1].position
        assert (second.count, second.code, listing.total) == (2, "malformed", 5)
        assert "N" in second.message

    clock = ManualClock(START_MS)
    with_engine(tmp_path, work, clock=clock)


def test_a_group_keeps_its_name_over_a_restart(tmp_path: Path):
    async def work(engine: Engine) -> str:
        await take(engine, bad(1))
        return (await listed(engine)).groups[0].group

    assert with_engine(tmp_path, work) == with_engine(tmp_path, work)


def test_beyond_their_bound_groups_are_told_as_one(tmp_path: Path):
    async def work(engine: Engine) -> None:
        for number in range(limits.QUARANTINE_GROUPS_MAX + 5):
            word = "".join(chr(97 + int(digit)) for digit in str(number))
            entry = quarantined(b"x", EventRejected("schema", word), at_ms=START_MS, tenant=TENANT)
            waiter = engine.quarantine.keep(entry)
        await waiter
        listing = await listed(engine)
        assert (len(listing.groups), listing.total) == (limits.QUARANTINE_GROUPS_MAX + 1, 1_005)
        assert (listing.groups[0].code, listing.groups[0].count) == ("further groups", 5)

    with_engine(tmp_path, work)


def test_reasons_lose_their_values():
    assert normalised("at $[12].a 'x' is 3.5") == 'at $[N].a "..." is N.N'


def test_another_tenants_entries_are_not_there(tmp_path: Path):
    async def work(engine: Engine) -> None:
        await take(engine, bad(1))
        (one,) = kept(tmp_path)
        assert (await listed(engine, "other")).total == 0
        assert (await repair(engine, TO_LIST, tenant="other")).selected == 0
        for ask in (engine.repairs.show(one.position, tenant="other", actor="tester"),
                    repair(engine, tenant="other", position=str(one.position))):
            with pytest.raises(RequestRejected) as caught:
                await ask
            assert caught.value.status == 404
        assert (await listed(engine)).total == 1

    with_engine(tmp_path, work)


# Another try.


def test_a_dry_run_shows_what_would_come_of_it_and_changes_nothing_but_is_noted(tmp_path: Path):
    async def work(engine: Engine) -> None:
        await take(engine, *(bad(number) for number in range(20)), b"{")
        before = (engine.partition.state.hash(), len(kept(tmp_path)))
        done = await repair(engine, TO_LIST, dryRun=True)
        assert (done.dry_run, done.selected, done.passed, done.refused) == (True, 21, 20, {"malformed": 1})
        assert len(done.examples) == limits.REPAIR_EXAMPLES_MAX
        assert MARKER in done.examples[0].before
        assert MARKER not in done.examples[0].after
        assert (engine.partition.state.hash(), len(kept(tmp_path))) == before
        (act,) = acts(tmp_path, "quarantine.tried")
        assert (act.actor, act.details["entries"], acts(tmp_path)) == ("tester", 21, [])

    with_engine(tmp_path, work)


def test_what_was_repaired_counts_once_and_leaves_the_list(tmp_path: Path):
    async def work(engine: Engine) -> None:
        await take(engine, event(1), bad(2), bad(3))
        done = await repair(engine, TO_LIST)
        assert (done.selected, done.passed, done.refused, done.more) == (2, 2, {}, False)
        assert engine.partition.state.verdicts["applied"] == 3
        assert (await listed(engine)).total == 0
        assert engine.meter.counts["events_replayed"] == 2
        again = await repair(engine, TO_LIST)
        assert (again.selected, engine.partition.state.verdicts["applied"]) == (0, 3)
        shown = await engine.repairs.show(kept(tmp_path)[0].position, tenant=TENANT, actor="tester")
        assert (shown.outcome, shown.event, shown.message_id) == ("taken", bad(2).decode(), "m-2")
        (act,) = acts(tmp_path)
        assert (act.actor, act.tenant, act.details["entries"]) == ("tester", TENANT, 2)

    with_engine(tmp_path, work)
    assert still_open(tmp_path) == []


def test_a_try_that_nobody_noted_has_no_second_effect(tmp_path: Path):
    """A crash comes between the effect and the word of it: the entry is open, and its event is in the log."""
    async def cut_short(engine: Engine) -> None:
        await take(engine, bad(1), event(2))
        (one,) = kept(tmp_path)
        source = engine.quarantine.opened(one)
        assert source is not None
        fixed = json.loads(source.raw)
        del fixed["properties"]["products"]
        await take(engine, json.dumps(fixed).encode())

    async def work(engine: Engine) -> None:
        assert (await repair(engine, TO_LIST)).passed == 1
        verdicts = engine.partition.state.verdicts
        assert (verdicts["applied"], verdicts["duplicate"]) == (2, 1), "two that were recovered, and the try"

    with_engine(tmp_path, cut_short, stop=False)
    with_engine(tmp_path, work)


def test_an_event_without_a_message_id_has_one_effect_too(tmp_path: Path):
    nameless = json.dumps({**json.loads(bad(1)), "messageId": None}).encode()

    async def work(engine: Engine) -> None:
        await take(engine, nameless)
        (one,) = kept(tmp_path)
        done = await repair(engine, TO_LIST, dryRun=True)
        assert json.loads(done.examples[0].after)["messageId"] == f"quarantine-{one.position}"

    with_engine(tmp_path, work)


def test_event_time_is_judged_by_the_first_receipt(tmp_path: Path):
    async def work(engine: Engine) -> None:
        await take(engine, bad(1))
        await take(engine, bad(2, sentAt=iso(START_MS - HOUR_MS), at_ms=START_MS - HOUR_MS - 5_000))
        clock.advance(10 * HOUR_MS)
        assert (await repair(engine, TO_LIST, position=str(kept(tmp_path)[1].position))).passed == 1
        record = newest_record(tmp_path)
        assert (record.happened_ms, record.received_ms) == (START_MS - 5_000, START_MS + 10 * HOUR_MS)
        assert (await repair(engine, TO_LIST)).passed == 1
        assert newest_record(tmp_path).happened_ms == START_MS

    clock = ManualClock(START_MS)
    with_engine(tmp_path, work, clock=clock)


def test_what_is_still_refused_stays_under_its_new_reason(tmp_path: Path):
    async def work(engine: Engine) -> None:
        await take(engine, bad(1))
        done = await repair(engine, {"do": "to_number", "path": "event"})
        assert done.refused == {"rewrite": 1}
        (group,) = (await listed(engine)).groups
        assert (group.code, group.count) == ("rewrite", 1)
        assert "step N (to_number event)" in group.message
        assert (await repair(engine, TO_LIST, code="schema")).selected == 0
        entries_before = len(kept(tmp_path))
        assert (await repair(engine, {"do": "to_number", "path": "event"}, dryRun=True)).refused == {"rewrite": 1}
        assert len(kept(tmp_path)) == entries_before
        assert (await repair(engine, TO_LIST, group=group.group)).passed == 1

    with_engine(tmp_path, work)


def test_the_limit_leaves_the_rest_for_the_next_time(tmp_path: Path):
    async def work(engine: Engine) -> None:
        await take(engine, *(bad(number) for number in range(5)))
        first = await repair(engine, TO_LIST, limit=3)
        assert (first.selected, first.more) == (3, True)
        second = await repair(engine, TO_LIST, limit=3)
        assert (second.selected, second.more) == (2, False)

    with_engine(tmp_path, work)


def test_a_body_counts_as_the_events_in_it_and_the_entry_that_reaches_the_limit_is_the_last(tmp_path: Path):
    bodies = [b'{"batch": [%s,]}' % b", ".join(event(10 * first + number) for number in range(4)) for first in range(3)]
    mend = {"do": "replace", "find": ",]}", "put": "]}"}

    async def work(engine: Engine) -> None:
        for body in bodies:
            await engine.intake.reject(body, EventRejected("malformed", "no"), tenant=TENANT)
        await take(engine, bad(99))
        first = await repair(engine, mend, limit=6, dryRun=True)
        assert (first.selected, first.events, first.more) == (2, 8, True)
        assert (await repair(engine, mend, limit=6)).events == 8
        assert engine.partition.state.verdicts["applied"] == 8
        second = await repair(engine, mend, limit=6)
        assert (second.selected, second.events, second.more) == (2, 5, False)
        assert engine.partition.state.verdicts["applied"] == 12

    with_engine(tmp_path, work)


def test_one_request_tries_so_many_events_and_no_more_than_one_body_beyond(tmp_path: Path):
    count, at_most = 7, limits.REPAIR_EVENTS_MAX
    body = b'{"batch": [%s,]}' % b",".join([b"{}"] * (limits.BATCH_EVENTS_MAX - 1))

    async def work(engine: Engine) -> None:
        for _ in range(count):
            await engine.intake.reject(body, EventRejected("malformed", "no"), tenant=TENANT)
        mend = {"do": "replace", "find": ",]}", "put": "]}"}
        done = await repair(engine, mend, limit=at_most, dryRun=True)
        assert at_most <= done.events < at_most + limits.BATCH_EVENTS_MAX
        assert (done.selected, done.more) == (3, True)

    with_engine(tmp_path, work)


@pytest.mark.parametrize(("broken", "looked_into"), [
    (b'{"type": "track", "event": x y}', limits.BROKEN_EVENTS_MAX),
    (b'{"type": "track", "event": x y%s}' % (b" " * 30_000), limits.BROKEN_EVENTS_BYTES_MAX // 30_031),
])  # fmt: skip
def test_broken_events_of_a_body_that_is_tried_again_cost_no_more_than_so_much(
    broken: bytes, looked_into: int, tmp_path: Path
):
    """As in a body that comes for the first time. What had not been looked into is, where it is tried by itself."""
    first, last = (event(number).replace(b'"Product Viewed"', b'"Product \\ud83d"') for number in range(2))
    count = min(looked_into + EVENTS_PER_STEP, (limits.QUARANTINED_EVENT_BYTES_MAX - 1_024) // len(broken))
    body = b'{"batch": [%s]}' % b",".join([first, *[broken] * count, last])

    async def work(engine: Engine) -> None:
        await engine.intake.reject(body, EventRejected("malformed", "no"), tenant=TENANT)
        assert (await repair(engine)).passed == 1
        messages = [one.entry.message for one in still_open(tmp_path) if one.entry.code == "malformed"]
        told = ["looked into" not in one for one in messages]
        assert looked_into <= told.count(True) < looked_into + EVENTS_PER_STEP
        assert not told[-1]
        assert engine.partition.state.verdicts["applied"] == 1, "the first half is mended, the last is not looked into"
        await repair(engine)
        assert engine.partition.state.verdicts["applied"] == 1 + 1, "by itself it is"

    with_engine(tmp_path, work)


def test_the_law_holds_for_whoever_repairs(tmp_path: Path):
    async def work(engine: Engine) -> None:
        await take(engine, bad(1))
        with pytest.raises(RequestRejected, match="step 1"):
            await repair(engine, {"do": "set", "path": "anonymousId", "value": "eve"})

    with_engine(tmp_path, work)


def test_an_event_that_was_too_large_is_kept_whole_and_taken_once_it_is_smaller(tmp_path: Path):
    large = event(1, properties={"product_id": "sku-1", "html": "x" * 300_000})

    async def work(engine: Engine) -> None:
        taken = await take(engine, large)
        assert [one.code for one in taken.rejected] == ["too_large"]
        assert (await repair(engine, dryRun=True)).refused == {"too_large": 1}
        assert (await repair(engine, {"do": "remove", "path": "properties.html"})).passed == 1
        assert newest_record(tmp_path).items

    with_engine(tmp_path, work)


def test_what_was_beyond_keeping_cannot_be_tried_again(tmp_path: Path):
    async def work(engine: Engine) -> None:
        body = b" " * (limits.QUARANTINED_EVENT_BYTES_MAX + 1)
        await engine.intake.reject(body, EventRejected("too_large", "no"), tenant=TENANT)
        assert (await repair(engine)).refused == {"gone": 1}

    with_engine(tmp_path, work)


def test_a_whole_body_is_repaired_by_its_text_and_each_event_goes_its_own_way(tmp_path: Path):
    body = b'{"sentAt": "%s", "context": {"locale": "de"}, "batch": [%s, %s, %s,]}' % (
        iso(START_MS).encode(), event(1), bad(2), b'{"type": "track", "event": "x"}')

    async def work(engine: Engine) -> None:
        await engine.intake.reject(body, EventRejected("malformed", "no"), tenant=TENANT)
        assert kept(tmp_path)[0].entry.kind == BATCH
        mend = {"do": "replace", "find": ",]}", "put": "]}"}
        assert (await repair(engine, mend, dryRun=True)).passed == 1
        assert engine.partition.state.verdicts["applied"] == 0
        done = await repair(engine, mend)
        assert done.examples[0].message == "1 events taken, refused: 2 schema"
        assert newest_record(tmp_path).context.locale == "de"
        listing = await listed(engine)
        assert (listing.total, {group.code for group in listing.groups}) == (2, {"schema"})
        last = await repair(engine, TO_LIST)
        assert (last.passed, last.refused) == (1, {"schema": 1})
        assert engine.partition.state.verdicts["applied"] == 2

    with_engine(tmp_path, work, clock=ManualClock(START_MS))


@pytest.mark.parametrize("dry_run", [True, False])
def test_others_have_their_turn_while_a_body_of_many_events_is_tried_again(dry_run: bool, tmp_path: Path):
    steps = 8
    bodies = [b'{"batch": [%s,]}' % b", ".join(event(number) for number in range(first, steps * EVENTS_PER_STEP, 2))
              for first in range(2)]  # fmt: skip

    async def work(engine: Engine) -> None:
        for body in bodies:
            await engine.intake.reject(body, EventRejected("malformed", "no"), tenant=TENANT)
        turns: list[int] = []
        admit = engine.intake.admit_again

        def admit_again(again: SecondTry, *, tenant: str, mend: bool) -> Admitted:
            turns[-1] += 1
            return admit(again, tenant=tenant, mend=mend)

        engine.intake.admit_again = admit_again  # type: ignore[method-assign]
        turns.append(0)
        mend = {"do": "replace", "find": ",]}", "put": "]}"}
        trying = asyncio.create_task(repair(engine, mend, dryRun=dry_run))
        while not trying.done():
            turns.append(0)
            await asyncio.sleep(0)
        assert (await trying).passed == 2
        assert (sum(turns), max(turns)) == (steps * EVENTS_PER_STEP, EVENTS_PER_STEP)
        assert len(events_in(tmp_path)) == (0 if dry_run else steps * EVENTS_PER_STEP)

    with_engine(tmp_path, work, clock=ManualClock(START_MS))


def test_a_rewrite_sees_the_batchs_context_too(tmp_path: Path):
    async def work(engine: Engine) -> None:
        await engine.intake.take([bad(1)], kind=None, tenant=TENANT, defaults={"zone": "Europe/Rome"})
        steps = TO_LIST, {"do": "move", "path": "context.zone", "to": "context.timezone"}
        assert (await repair(engine, *steps)).passed == 1
        assert newest_record(tmp_path).context.timezone == "Europe/Rome"

    with_engine(tmp_path, work)


def test_a_public_keys_event_may_assert_no_more_the_second_time(tmp_path: Path):
    async def work(engine: Engine) -> None:
        sale = event(1, name="Order Refunded", properties={})
        await engine.intake.take([sale], kind=None, tenant=TENANT, public=True)
        assert (await repair(engine)).refused == {"forbidden": 1}

    with_engine(tmp_path, work)


def test_who_has_refused_since_is_not_counted(tmp_path: Path):
    async def work(engine: Engine) -> None:
        await take(engine, event(1), bad(2))
        await take(engine, event(3, context={"consent": {"personalization": False}}))
        assert (await repair(engine, TO_LIST)).passed == 1
        assert engine.partition.state.verdicts["applied"] == 1
        assert (await listed(engine)).total == 0

    with_engine(tmp_path, work)


@pytest.mark.parametrize("position", ["x", "-1", "9" * 30, "9" * 5_000, "33"])
def test_a_position_that_names_no_entry_is_refused(position: str, tmp_path: Path):
    async def work(engine: Engine) -> None:
        await take(engine, bad(1))
        with pytest.raises(RequestRejected):
            await repair(engine, position=position)

    with_engine(tmp_path, work)


# Late events.


async def one_late(engine: Engine, hours: int = 30) -> None:
    await take(engine, event(1, at_ms=START_MS), event(2, at_ms=START_MS - hours * HOUR_MS))


def test_a_late_event_has_an_entry_that_points_to_it_and_names_nobody(tmp_path: Path):
    async def work(engine: Engine) -> None:
        await one_late(engine)
        await one_late(engine, hours=2)
        await engine.quarantine.settled()
        first, second = (one.entry for one in kept(tmp_path))
        assert (first.code, first.raw, first.message_id, first.subjects) == ("late", b"", "", ())
        assert second.code == "late_for_sequences"
        record = decode_record(frame_at(SegmentReader(RealDisk(), tmp_path / "log"), first.position).payload)
        assert isinstance(record, Tracked)
        assert record.happened_ms == START_MS - 30 * HOUR_MS
        shown = await engine.repairs.show(kept(tmp_path)[0].position, tenant=TENANT, actor="tester")
        assert (shown.log_position, shown.message_id, shown.kind) == (str(first.position), "m-2", "track")
        assert json.loads(shown.event)["timestamp"] == record.happened_ms

    with_engine(tmp_path, work, clock=ManualClock(START_MS))


def test_a_late_event_is_not_taken_again_while_it_is_late(tmp_path: Path):
    async def work(engine: Engine) -> None:
        await one_late(engine)
        assert (await repair(engine)).refused == {"late": 1}
        assert len(events_in(tmp_path)) == 2
        assert (await listed(engine)).total == 1

    with_engine(tmp_path, work, clock=ManualClock(START_MS))


def test_a_late_event_counts_once_its_time_was_put_right(tmp_path: Path):
    async def work(engine: Engine) -> None:
        await one_late(engine)
        shift = {"do": "shift_time", "path": "timestamp", "by_ms": 30 * HOUR_MS - 60_000}
        assert (await repair(engine, shift)).passed == 1
        record = newest_record(tmp_path)
        assert record.happened_ms == START_MS - 60_000
        verdicts = engine.partition.state.verdicts
        assert (verdicts["applied"], verdicts["late_for_windows"], verdicts["duplicate"]) == (2, 1, 0)
        assert (await repair(engine, shift)).selected == 0
        assert (await listed(engine)).total == 0

    with_engine(tmp_path, work, clock=ManualClock(START_MS))


def test_what_counts_already_is_not_counted_again(tmp_path: Path):
    async def work(engine: Engine) -> None:
        await one_late(engine, hours=2)
        shift = {"do": "shift_time", "path": "timestamp", "by_ms": 2 * HOUR_MS}
        assert (await repair(engine, shift)).refused == {"late_for_sequences": 1}
        assert engine.partition.state.verdicts["applied"] == 1

    with_engine(tmp_path, work, clock=ManualClock(START_MS))


def test_an_import_of_old_history_does_not_fill_the_quarantine(tmp_path: Path):
    many = 1_000

    async def work(engine: Engine) -> None:
        old = (event(number, at_ms=START_MS - 30 * HOUR_MS - number) for number in range(1, many + 1))
        await take(engine, event(0, at_ms=START_MS), *old)
        assert len(kept(tmp_path)) <= limits.LATE_NOTED_PER_MINUTE_MAX
        assert engine.meter.counts["events_noted.late"] == many
        together = engine.meter.counts["events_noted_together"]
        assert together == many - limits.LATE_NOTED_PER_MINUTE_MAX
        clock.advance(60_000)
        await take(engine, event(many + 1, at_ms=START_MS - 40 * HOUR_MS))
        await engine.quarantine.settled()
        listing = await listed(engine)
        assert listing.total == many + 1, "those without an entry are told with the next"
        assert kept(tmp_path)[-1].entry.more == together

    clock = ManualClock(START_MS)
    with_engine(tmp_path, work, clock=clock)


def test_one_tenants_late_events_leave_room_for_anothers(tmp_path: Path):
    async def work(engine: Engine) -> None:
        for tenant in ("loud", "quiet"):
            count = 500 if tenant == "loud" else 1
            old = [event(number, at_ms=START_MS - 30 * HOUR_MS - number) for number in range(1, count + 1)]
            await engine.intake.take([event(0, at_ms=START_MS), *old], kind=None, tenant=tenant)
        await engine.quarantine.settled()
        assert (await listed(engine, "quiet")).total == 1

    with_engine(tmp_path, work, clock=ManualClock(START_MS))


def test_an_entry_that_is_about_another_is_none_itself(tmp_path: Path):
    log = SegmentLog(RealDisk(), tmp_path / "quarantine", segment_bytes=1 << 20, size_bytes_max=8 << 20)
    word = Quarantined(QUARANTINE_VERSION, START_MS, TENANT, "", "", "", b"", 0, settles=4_000)
    (position,) = commit_now(log, [(0xFFFF, START_MS, encode_quarantined(word))])
    log.close()

    async def work(engine: Engine) -> None:
        assert (await listed(engine)).total == 0
        with pytest.raises(RequestRejected):
            await engine.repairs.show(position, tenant=TENANT, actor="tester")

    with_engine(tmp_path, work)


def test_entries_that_go_while_the_quarantine_is_measured_disturb_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest segment is removed by another thread."""
    monkeypatch.setattr(keeping, "LOOKED_BYTES", 0)

    def gone() -> Iterator[Frame]:
        raise RequestRejected("expired", "position 0 is no longer kept in the log", status=410)
        yield

    async def work(engine: Engine) -> None:
        monkeypatch.setattr(engine.intake._quarantine._log, "read", gone)
        for number in range(3):
            taken = await take(engine, b'{"messageId": "bad"}', event(number))
            assert (taken.accepted, len(taken.rejected)) == (1, 1)

    with_engine(tmp_path, work)
