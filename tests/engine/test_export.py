"""A copy of everything held about a person: all of it, and nothing of anybody else's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from instanter.engine.erase import DAY_MS, RetentionOptions
from instanter.engine.loop import Engine
from instanter.events.envelope import Tracked
from instanter.foundation.clock import ManualClock
from instanter.foundation.errors import Overloaded, RequestRejected
from instanter.foundation.limits import EXPORT_PIECE_BYTES, EXPORTS_MAX, EXPORTS_PER_TENANT_MAX

from .harness import decide, event, take, with_engine


def exported(engine: Engine, identifier: str) -> list[dict[str, Any]]:
    return [json.loads(line) for chunk in engine.export("default", identifier) for line in chunk]


def sort(lines: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [line for line in lines if line["kind"] == kind]


def login(number: int, person: str, user: str) -> bytes:
    body = {"type": "identify", "messageId": f"i{number}", "anonymousId": person, "userId": user,
            "traits": {"email": f"{user}@example.org"}}
    return json.dumps(body).encode()


def test_an_export_has_events_as_sent_decisions_links_and_statements(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        sent = event(1, person="a1", userId="u1", context={"page": {"url": "https://shop.example/x"}})
        await take(engine, sent, login(1, "a1", "u1"))
        await engine.consent("default", "u1", {"email": True}, actor="test")
        decision = await decide(engine, person="a1", userId="u1")
        await engine.journal.settled()
        for identifier in ("u1", "anonymous:a1"):
            lines = exported(engine, identifier)
            first = sort(lines, "event")[0]
            assert first["event"] == json.loads(sent)
            assert first["name"] == "Product Viewed"
            assert [line["id"] for line in sort(lines, "decision")] == [decision["decisionId"]]
            assert [sorted(line["ids"]) for line in sort(lines, "link")] == [["anonymous:a1", "u1"]]
            assert [line["purposes"] for line in sort(lines, "consent")] == [{"email": True}]
            assert len(sort(lines, "event")) == 2

    with_engine(tmp_path, work)


def test_an_event_on_a_shared_device_that_names_the_person_is_the_persons(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await take(engine, event(1, person="a1"), event(2, person="b1", userId="u1"), event(3, person="b1"))
        await take(engine, event(4, person="", userId="u1"), event(5, person="b1", userId="u2"))
        (one, two) = sort(exported(engine, "u1"), "event")
        assert (one["event"]["messageId"], two["event"]["messageId"]) == ("m-2", "m-4")
        assert one["event"]["anonymousId"] == "b1"

    with_engine(tmp_path, work)


def test_who_takes_over_a_device_is_not_told_of_whoever_had_it_before(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await take(engine, login(1, "shared", "ada"), event(2, person="shared", userId="ada"))
        await take(engine, login(3, "shared", "bob"), event(4, person="shared", userId="bob"))
        bobs = json.dumps(exported(engine, "bob"))
        assert "ada" not in bobs
        assert len(sort(exported(engine, "bob"), "event")) == 2
        assert len(sort(exported(engine, "ada"), "event")) == 2
        assert "bob" not in json.dumps(exported(engine, "ada"))

    with_engine(tmp_path, work)


def test_after_an_erasure_others_events_stay_whole_and_name_the_person_no_more(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await take(engine, event(1, person="b1", userId="u2"), login(2, "a1", "u1"))
        alias = {"type": "alias", "messageId": "al", "previousId": "a1", "userId": "u2"}
        await take(engine, json.dumps(alias).encode())
        assert "a1" in json.dumps(exported(engine, "u2"))
        device, other, user = (engine.subjects.find("default", one) for one in ("anonymous:a1", "a1", "u2"))
        await engine.unlink("default", device, user, actor="test")
        await engine.unlink("default", other, user, actor="test")
        await engine.eraser.erase("default", "anonymous:a1")
        (first, second) = sort(exported(engine, "u2"), "event")
        assert first["event"]["anonymousId"] == "b1"
        assert second["event"]["previousId"] is None

    with_engine(tmp_path, work)


def test_nobody_has_no_export(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        with pytest.raises(RequestRejected):
            engine.export("default", "nobody")

    with_engine(tmp_path, work)


def test_a_person_erased_while_their_export_is_read_is_in_the_rest_of_it_no_more(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await take(engine, *(event(number) for number in range(600)))
        chunks = engine.export("default", "anonymous:a1")
        assert len(next(chunks)) > 200
        await engine.eraser.erase("default", "anonymous:a1")
        (line,) = [json.loads(line) for chunk in chunks for line in chunk]
        assert (line["kind"], line["reasons"]) == ("left_out", {"no_key": line["records"]})

    with_engine(tmp_path, work)


def test_few_exports_are_made_at_once_one_of_a_tenant_and_what_ended_makes_room(tmp_path: Path) -> None:
    tenants = [f"tenant-{number}" for number in range(EXPORTS_MAX + 1)]

    async def work(engine: Engine) -> None:
        for tenant in tenants:
            await engine.intake.take([event(1, person="a1")], kind=None, tenant=tenant)
        running = [engine.export(tenant, "anonymous:a1") for tenant in tenants[:EXPORTS_MAX]]
        with pytest.raises(Overloaded):
            engine.export(tenants[-1], "anonymous:a1")
        assert len(list(running[0])) == 1
        last = engine.export(tenants[-1], "anonymous:a1")
        running[1].close()
        with pytest.raises(Overloaded):
            engine.export(tenants[-1], "anonymous:a1")
        last.close()
        last.close()
        held = [engine.export(tenants[-1], "anonymous:a1") for _ in range(EXPORTS_PER_TENANT_MAX)]
        with pytest.raises(Overloaded):
            engine.export(tenants[-1], "anonymous:a1")
        assert list(engine.export(tenants[0], "anonymous:a1"))
        assert held

    with_engine(tmp_path, work)


def test_of_a_person_with_much_history_a_piece_at_a_time_is_made(tmp_path: Path) -> None:
    large = [event(number, properties={"note": "x" * 30_000}) for number in range(100)]

    async def work(engine: Engine) -> None:
        for first in range(0, len(large), 50):
            await take(engine, *large[first : first + 50])
        pieces = [sum(map(len, piece)) for piece in engine.export("default", "anonymous:a1")]
        assert sum(pieces) > sum(map(len, large))
        assert max(pieces) < EXPORT_PIECE_BYTES + 2 * len(large[0])

    with_engine(tmp_path, work)


def left_out(engine: Engine, identifier: str) -> list[dict[str, Any]]:
    return sort(exported(engine, identifier), "left_out")


def test_an_export_says_what_it_could_not_read_and_why(tmp_path: Path) -> None:
    clock = ManualClock(19_676 * DAY_MS)

    async def work(engine: Engine) -> None:
        for day in range(5):
            await take(engine, event(day), event(10 + day, person="b1"))
            clock.advance(DAY_MS)
        await decide(engine)
        await engine.journal.settled()
        assert left_out(engine, "anonymous:a1") == []
        await engine.eraser.retain()
        lines = exported(engine, "anonymous:a1")
        assert lines[-1] == {"kind": "left_out", "records": 3, "reasons": {"expired": 3}}
        assert len(sort(lines, "event")) == 2

    async def damaged(engine: Engine) -> None:
        await take(engine, event(20))
        now_ms = clock.now_ms()
        key = engine.subjects.find("default", "anonymous:a1")
        for number, body in enumerate((b"no seal", b"")):
            record = Tracked(now_ms, now_ms, "default", key, 77 + number, "Odd", body=body, subject=key)
            await engine.journal.write([record], now_ms)
        unsealed = Tracked(now_ms, now_ms, "default", key, 80, "Odd", body=b"\xc1")
        await engine.journal.write([unsealed], now_ms)
        (line,) = left_out(engine, "anonymous:a1")
        assert line == {"kind": "left_out", "records": 6, "reasons": {"expired": 3, "damaged": 3}}

    keep = RetentionOptions(events=2)
    with_engine(tmp_path, work, clock=clock, retention=keep)
    with_engine(tmp_path, damaged, clock=clock, retention=keep)


def test_a_key_that_was_lost_is_told_from_one_that_went_by_its_age(tmp_path: Path) -> None:
    clock, before = ManualClock(19_676 * DAY_MS), tmp_path.with_name("before")

    async def work(engine: Engine, *numbers: int) -> None:
        await take(engine, *map(event, numbers))

    async def look(engine: Engine) -> None:
        lines = exported(engine, "anonymous:a1")
        assert [line["event"]["messageId"] for line in sort(lines, "event")] == ["m-1"]
        assert lines[-1] == {"kind": "left_out", "records": 2, "reasons": {"no_key": 2}}

    with_engine(tmp_path, lambda engine: work(engine, 1), clock=clock)
    shutil.copytree(tmp_path / "keys", before)
    clock.advance(DAY_MS)
    with_engine(tmp_path, lambda engine: work(engine, 2, 3), clock=clock)
    shutil.copy(before / "days.keys", tmp_path / "keys")
    with_engine(tmp_path, look, clock=clock)


def test_what_lies_in_the_quarantine_is_exported_to_whom_alone_it_names_and_else_counted(tmp_path: Path) -> None:
    refused = b'{"type": "dance", "anonymousId": "a1"}'
    shared = b'{"type": "dance", "anonymousId": "a1", "userId": "bob"}'
    early = b'{"type": "dance", "anonymousId": "late"}'

    async def work(engine: Engine) -> None:
        await take(engine, event(1, person="a1"), event(2, person="", userId="bob"), event(3, person="c1"))
        await take(engine, refused, shared, early, b"{")
        await take(engine, event(4, person="late"))
        lines = exported(engine, "anonymous:a1")
        (line,) = sort(lines, "quarantined")
        assert (line["raw"], line["code"]) == (refused.decode(), "schema")
        assert lines[-1] == {"kind": "left_out", "records": 1, "reasons": {"shared": 1}}
        assert left_out(engine, "bob") == [lines[-1]]
        assert "a1" not in json.dumps(exported(engine, "bob"))
        assert left_out(engine, "anonymous:late") == [lines[-1]], "it came before anybody was known by that name"
        assert sort(exported(engine, "anonymous:c1"), "quarantined") == left_out(engine, "anonymous:c1") == []

    with_engine(tmp_path, work)
