"""What ids of decisions say, and that decisions are found by them, those of earlier versions too."""

from __future__ import annotations

import itertools
from pathlib import Path

import msgspec
import pytest

from instanter.decisions.receipt import decode_receipt, encode_receipt
from instanter.engine.decision_ids import (
    ELSEWHERE,
    TOKEN_BYTES,
    WRITER,
    find_decision,
    is_decision_id,
    is_from_elsewhere,
    new_decision_id,
)
from instanter.engine.loop import Engine
from instanter.engine.replay import differences
from instanter.events.envelope import CONTROL_PARTITION, Decided, encode_record
from instanter.foundation.clock import ManualClock
from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import RequestRejected
from instanter.foundation.limits import DECISION_SEARCH_BYTES_MAX, FRAME_BYTES_MAX
from instanter.log.commit import commit_now
from instanter.log.moved import MovedPositions, NothingMoved
from instanter.log.segment_log import SegmentLog
from instanter.log.segments import SegmentReader

from .harness import decide, event, stock_shop, take, with_engine
from .test_replay import made_in, replay_of

TOKEN = "00112233445566aabbcc"
OLD_TOKEN = "00112233445566aa"
AT_MS = 1_700_000_000_000


def constant(size_bytes: int) -> bytes:
    return bytes(size_bytes)


def decided(decision_id: str, at_ms: int = AT_MS) -> bytes:
    return encode_record(Decided(at_ms, "default", 0, decision_id, b"receipt", 0))


def test_an_id_says_when_and_not_how_far_the_log_has_come(tmp_path: Path) -> None:
    async def work(engine: Engine) -> tuple[str, str]:
        await stock_shop(engine)
        before = await decide(engine)
        await take(engine, *(event(number) for number in range(100)))
        return before["decisionId"], (await decide(engine))["decisionId"]

    first, second = with_engine(tmp_path, work, clock=ManualClock(AT_MS), chance=constant)
    assert first == second == new_decision_id("00" * TOKEN_BYTES, AT_MS, made_by=WRITER)


def test_a_decision_is_found_by_its_id_after_other_decisions_and_a_restart(tmp_path: Path) -> None:
    clock = ManualClock(AT_MS)

    async def ask(engine: Engine) -> list[str]:
        ids = []
        for number in range(40):
            await take(engine, event(number + clock.now_ms(), person=f"a{number % 3}"))
            ids.append((await decide(engine, person=f"a{number % 3}"))["decisionId"])
            clock.advance((0, 1, 0, 70_000)[number % 4])
        return ids

    async def look(engine: Engine) -> None:
        for one in ids:
            assert decode_receipt(engine.receipt("default", one)).decision_id == one

    ids = list(itertools.chain(*(with_engine(tmp_path, ask, clock=clock, chance=chance(n)) for n in range(2))))
    assert len(set(ids)) == len(ids) == 80
    with_engine(tmp_path, look, clock=clock)


def chance(start: int) -> object:
    numbers = itertools.count(start << 32)
    return lambda size_bytes: next(numbers).to_bytes(size_bytes, "big")


def test_a_question_about_another_time_is_found_by_the_time_it_was_asked_at(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await take(engine, *(event(number) for number in range(20)))
        for asked in ("2001-01-01T00:00:00Z", "2023-11-14T22:13:21Z"):
            decision_id = (await decide(engine, timestamp=asked))["decisionId"]
            await engine.journal.settled()
            assert engine.receipt("default", decision_id)

    with_engine(tmp_path, work, clock=ManualClock(AT_MS))


@pytest.mark.parametrize("old_form", ["d_{token}{position:x}", "d_{token}0{before:x}"])
def test_ids_of_an_earlier_version_are_found_and_their_receipts_replay(tmp_path: Path, old_form: str) -> None:
    async def work(engine: Engine) -> str:
        await stock_shop(engine)
        await take(engine, event(1))
        newest = await decide(engine)
        await engine.journal.settled()
        receipt = decode_receipt(engine.receipt("default", newest["decisionId"]))
        old = old_form.format(token=OLD_TOKEN, position=engine.journal.next_position, before=engine.partition.position)
        of_old = msgspec.structs.replace(receipt, decision_id=old)
        await engine.journal.write([Decided(receipt.at_ms, "default", 0, old, encode_receipt(of_old), 0)], AT_MS)
        assert decode_receipt(engine.receipt("default", old)).decision_id == old
        return old

    old = with_engine(tmp_path, work, clock=ManualClock(AT_MS))
    assert is_from_elsewhere(old) == (old_form.count("0") == 1)
    (made,) = (one for one in made_in(tmp_path) if one.receipt.decision_id == old)
    again = replay_of(tmp_path).decision(made)
    assert differences(again.made.receipt, again.receipt) == []


def test_a_decision_is_looked_for_no_further_than_a_bound(tmp_path: Path) -> None:
    assert DECISION_SEARCH_BYTES_MAX == 16 * 1024 * 1024
    log, filling = SegmentLog(RealDisk(), tmp_path, segment_bytes=1 << 26), bytes(FRAME_BYTES_MAX - 100)
    near, far = (new_decision_id(token, AT_MS, made_by=ELSEWHERE) for token in ("1" * 20, "2" * 20))
    fits = DECISION_SEARCH_BYTES_MAX // FRAME_BYTES_MAX
    commit_now(log, [(CONTROL_PARTITION, AT_MS, filling)] * (fits - 1) + [(CONTROL_PARTITION, AT_MS, decided(near))])
    commit_now(log, [(CONTROL_PARTITION, AT_MS, filling)] * 3 + [(CONTROL_PARTITION, AT_MS, decided(far))])
    for reader in (log, SegmentReader(RealDisk(), tmp_path)):
        found = find_decision(near, reader, NothingMoved())
        assert found is not None
        assert found[1].decision_id == near
        assert find_decision(far, reader, NothingMoved()) is None
    log.close()


def test_of_what_the_log_holds_no_more_it_says_so_and_of_what_never_was_nothing(tmp_path: Path) -> None:
    log = SegmentLog(RealDisk(), tmp_path / "log", segment_bytes=1_000)
    ids = [new_decision_id(f"{number:020x}", AT_MS + number, made_by=WRITER) for number in range(40)]
    places = [commit_now(log, [(1, AT_MS + number, decided(one, AT_MS + number))])[0] for number, one in enumerate(ids)]
    log.retain(below=places[30], older_than_ms=AT_MS + 30)
    for place, one in zip(places, ids, strict=True):
        if place < log.start:
            with pytest.raises(RequestRejected, match="no longer holds") as refused:
                find_decision(one, log, NothingMoved())
            assert refused.value.status == 410
        else:
            assert find_decision(one, log, MovedPositions(RealDisk(), tmp_path / "moved")) is not None
    assert places[0] < log.start < places[30]
    for unknown in (
        new_decision_id(TOKEN, AT_MS + 39, made_by=WRITER), new_decision_id(TOKEN, AT_MS + 5_000, made_by=WRITER),
        f"d_{OLD_TOKEN}{places[35]:x}", f"d_{OLD_TOKEN}{places[35] + 1:x}", f"d_{OLD_TOKEN}0{places[35] + 1:x}",
        f"d_{OLD_TOKEN}{1 << 40:x}", f"d_{OLD_TOKEN}0{1 << 40:x}", "d_", "", "d_1",
    ):  # fmt: skip
        assert find_decision(unknown, log, NothingMoved()) is None, unknown
    log.close()


def test_only_what_can_be_an_id_counts_as_one() -> None:
    longest_old = f"d_{OLD_TOKEN}0{(1 << 60) - 1:x}"
    new = [new_decision_id(TOKEN, AT_MS, made_by=mark) for mark in (WRITER, ELSEWHERE)]
    for good in (*new, f"d_{OLD_TOKEN}20", f"d_{OLD_TOKEN}00", longest_old):
        assert is_decision_id(good), good
    assert len(longest_old) < len(new[0]), "no id can be read in two ways"
    for bad in ("d_", f"d_{OLD_TOKEN}", f"d_2{new[0][3:]}", f"{new[0][:-1]}g", f"{new[0]}0", f"d_{OLD_TOKEN}2g",
                f"d_{'f' * 33}", f"x_{OLD_TOKEN}20"):  # fmt: skip
        assert not is_decision_id(bad), bad
