"""`instanter replay --decisions`: which decisions come out the same, which do not, and which cannot be made again."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from instanter.decisions.receipt import RECEIPT_VERSION, decode_receipt, encode_receipt
from instanter.engine.loop import Engine
from instanter.events.envelope import Decided
from instanter.foundation.deadline import Deadline
from instanter.foundation.limits import ENCLOSED_BYTES_MAX
from instanter.ops.cli import main as frame
from instanter.ops.config import load
from instanter.ops.reading import Reading, reading
from instanter.ops.replaying import Differing, Replayed, Span, made_at, positions_in, replayed, replayed_all
from instanter.ops.wiring import open_engine

from ..engine.harness import decide, event, stock_shop, take
from .shop_data import write_config

Printed = pytest.CaptureFixture[str]
START_MS = 1_700_000_000_000
VISITS = 60
ERASED = "p3"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a configuration, and a directory whose people looked at things and were shown others."""
    folder = tmp_path_factory.mktemp("made")
    make = open_engine(load(write_config(folder)), folder / "data", clock_of_events=True, may_make_master_key=True)

    async def fill() -> None:
        engine = make()
        await engine.start()
        await stock_shop(engine)
        for number in range(VISITS):
            person, at_ms = f"p{number % 6}", START_MS + 1_000 * number
            await take(engine, event(number, person=person, at_ms=at_ms))
            await decide(engine, person=person)
            if number == VISITS // 2:
                await engine.checkpoint()
        await engine.eraser.erase("default", f"anonymous:{ERASED}", actor="tests")
        huge = [{"id": f"sku-{number}", "fields": {"category": ["x" * 4_000] * 4}} for number in range(20)]
        assert len(json.dumps(huge)) > ENCLOSED_BYTES_MAX
        await decide(engine, person="p1", placements=[{"id": "search", "candidates": huge}])
        await engine.journal.settled()
        await engine.stop(Deadline(10_000))

    asyncio.run(fill())
    return folder


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    """A directory of the test's own."""
    shutil.copy(made / "small.toml", tmp_path)
    return Path(shutil.copytree(made / "data", tmp_path / "data"))


def with_reading(data: Path, work: Callable[[Reading], Any]) -> Any:
    with reading(load(data.parent / "small.toml"), data) as read:
        return work(read)


def told(capsys: Printed, data: Path, *words: object, code: int = 0) -> dict[str, Any]:
    here = ("--data", data, "--config", data.parent / "small.toml", "--json")
    ended = frame.main([str(word) for word in ("replay", *here, *words)])
    printed = capsys.readouterr()
    assert ended == code, printed.err
    report: dict[str, Any] = json.loads(printed.out.splitlines()[-1])
    return report


def add_decision(data: Path, change: Callable[[Any], Any]) -> str:
    """Write the newest decision that can be made again once more, for nobody, as `change` makes its receipt."""
    make = open_engine(load(data.parent / "small.toml"), data, clock_of_events=True)

    async def work(engine: Engine) -> str:
        await engine.start()
        reply = await decide(engine)
        await engine.journal.settled()
        receipt = decode_receipt(engine.receipt("default", reply["decisionId"]))
        decision_id = f"d_{'0' * 16}{engine.journal.next_position:x}"
        changed = change(msgspec.structs.replace(receipt, decision_id=decision_id))
        record = Decided(receipt.at_ms, "default", 0, decision_id, encode_receipt(changed), 0)
        await engine.journal.write([record], receipt.at_ms)
        await engine.stop(Deadline(10_000))
        return decision_id

    async def run() -> str:
        return await work(make())

    return asyncio.run(run())


def test_every_decision_is_identical_or_it_is_said_why_it_cannot_be_made_again(data: Path, capsys: Printed) -> None:
    report = told(capsys, data, "--decisions")
    assert report["skipped"] == {"erased": VISITS // 6, "not_kept": 1}
    assert (report["decisions"], report["identical"]) == (VISITS + 1, VISITS - VISITS // 6)
    assert report["differing"] == []
    assert report["folded_events"] > VISITS
    assert set(report) == {"decisions", "identical", "differing", "skipped", "folded_events", "seconds"}


def test_decisions_are_made_again_by_id_each_once(data: Path, capsys: Printed) -> None:
    named = with_reading(data, lambda read: [made_at(read, at).receipt.decision_id for at in positions_in(
        read, Span(until_ms=START_MS + 3_000))])  # fmt: skip
    assert len(named) == 3
    strange = ("d_1234", "d_00000000000000001", "nonsense")
    report = told(capsys, data, "--decisions", *reversed(named), named[0], *strange, code=1)
    assert (report["decisions"], report["identical"], report["skipped"]) == (6, 3, {"unknown": 3})


def test_a_span_and_a_sample_choose_decisions(data: Path) -> None:
    def work(read: Reading) -> None:
        everything = list(positions_in(read, Span()))
        assert len(everything) == VISITS + 1
        assert list(positions_in(read, Span(start=everything[4], until=everything[7]))) == everything[4:7]
        times = Span(from_ms=START_MS + 4_000, until_ms=START_MS + 7_000)
        assert list(positions_in(read, times)) == everything[4:7]
        assert list(positions_in(read, Span(sample=4))) == [everything[number * 61 // 4] for number in range(4)]
        assert list(positions_in(read, Span(sample=1_000))) == everything
        assert replayed_all(read, Span(until_ms=START_MS + 3_000)).identical == 3

    with_reading(data, work)


def test_what_came_out_differently_is_told_and_is_a_failure(data: Path, capsys: Printed) -> None:
    lying = add_decision(data, lambda receipt: msgspec.structs.replace(receipt, inputs_hash=b"\0" * 8, epoch=1))
    report = told(capsys, data, "--decisions", lying, code=1)
    ((decision_id, differences),) = (one.values() for one in report["differing"])
    # Under its new id it may have explored another item.
    assert (decision_id, differences[:2]) == (lying, ["epoch", "inputs_hash"])
    here = ["--data", str(data), "--config", str(data.parent / "small.toml")]
    assert frame.main(["replay", *here, "--decisions"]) == 1
    out = capsys.readouterr().out
    assert "DIFFERENT: 1\n" in out
    assert f"  {lying}: epoch, inputs_hash" in out
    assert f"erased with their people: {VISITS // 6}" in out


def test_so_many_that_differ_are_told_and_all_of_them_are_counted(
    data: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr("instanter.ops.replaying.DIFFERING_TOLD_MAX", 1)
    lying = [add_decision(data, lambda receipt: msgspec.structs.replace(receipt, epoch=1)) for _ in range(2)]
    report = with_reading(data, lambda read: replayed(read, lying))
    assert ([one.decision_id for one in report.differing], report.decisions, report.same) == (lying[:1], 2, False)
    here = ["--data", str(data), "--config", str(data.parent / "small.toml")]
    assert frame.main(["replay", *here, "--decisions", *lying]) == 1
    assert "DIFFERENT: 2\n" in capsys.readouterr().out


def test_receipts_of_before_and_of_what_is_gone_are_skipped(data: Path) -> None:
    replace = msgspec.structs.replace
    old = add_decision(data, lambda receipt: replace(receipt, version=RECEIPT_VERSION - 1))
    no_model = add_decision(data, lambda receipt: replace(receipt, placements=(
        replace(receipt.placements[0], model="lambdamart@0123456789abcdef"),)))  # fmt: skip
    report = with_reading(data, lambda read: replayed(read, [old, no_model]))
    assert (report.skipped, report.same) == ({"old_receipt": 1, "model_gone": 1}, True)


def test_a_configuration_that_is_damaged_is_a_failure(data: Path, capsys: Printed) -> None:
    (path,) = (data / "configurations").iterdir()
    path.write_bytes(path.read_bytes().replace(b'"limit":12', b'"limit":13'))
    report = told(capsys, data, "--decisions", "--sample", "3", code=1)
    assert (report["identical"], report["skipped"]["damaged"]) == (0, 3)


def test_a_report_is_the_same_only_if_all_its_decisions_are_accounted_for() -> None:
    assert Replayed(decisions=3, identical=2, skipped={"erased": 1}).same
    assert not Replayed(decisions=3, identical=2, differing=[Differing("d_1", ["items"])]).same
    assert not Replayed(decisions=1, skipped={"damaged": 1}).same


@pytest.mark.parametrize("words", [
    ("--from", "1"), ("--sample", "3"), ("--decisions", "--verify"), ("--decisions", "d_1", "--until", "7"),
    ("--decisions", "--from", "yesterday"), ("--decisions", "--sample", "0"),
])  # fmt: skip
def test_what_makes_no_sense_together_is_refused(words: tuple[str, ...], data: Path, capsys: Printed) -> None:
    try:
        code = frame.main(["replay", "--data", str(data), *words])
    except SystemExit as ended:
        code = int(str(ended.code))
    assert code == 2


@pytest.mark.parametrize(("when", "looks"), [
    (START_MS + 20_000, 4), (START_MS + 13_000, 3), (START_MS + 12_999, 2), (START_MS + 10_000_000, 10),
])  # fmt: skip
def test_a_person_is_shown_as_they_stood_at_a_time(when: int, looks: int, made: Path, capsys: Printed) -> None:
    here = ("--config", str(made / "small.toml"), "--data", str(made / "data"), "--json")
    moment = datetime.fromtimestamp(when / 1_000, UTC).isoformat(timespec="milliseconds")
    assert frame.main(["replay", *here, "--profile", "anonymous:p1", "--at", moment]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["id"], shown["features"]["views"]) == ("anonymous:p1", float(looks))
    if when == START_MS + 13_000:
        assert frame.main(["replay", *here, "--profile", "anonymous:p1", "--at", shown["position"]]) == 0
        assert json.loads(capsys.readouterr().out)["features"]["views"] == float(looks)


@pytest.mark.parametrize(("words", "code", "told"), [
    (("--profile", "anonymous:p1", "--at", "1"), 2, "nothing is known"),
    (("--profile", f"anonymous:{ERASED}", "--at", "2099-01-01"), 2, "nothing is known"),
    (("--profile", "anonymous:p1", "--at", "99999999999"), 2, "the log ends at"),
    (("--profile", "anonymous:p1"), 2, "give both"),
    (("--at", "7"), 2, "give both"),
])  # fmt: skip
def test_who_was_not_known_then_or_is_erased_is_not_shown(
    words: tuple[str, ...], code: int, told: str, made: Path, capsys: Printed
) -> None:
    here = ("--config", str(made / "small.toml"), "--data", str(made / "data"))
    assert frame.main(["replay", *here, *words]) == code
    assert told in capsys.readouterr().err
