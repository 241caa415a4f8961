"""Format 1 to format 2: nobody's state changes, and everything personal is sealed."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instanter.decisions.receipt import decode_receipt
from instanter.engine.export import opened_receipt, stored_event
from instanter.engine.loop import Engine
from instanter.engine.partition import Partition
from instanter.engine.recovery import beginning, catch_up, recover
from instanter.events.envelope import (
    CONTROL_PARTITION,
    Decided,
    Keyed,
    Linked,
    Record,
    Ticked,
    Tracked,
    decode_record,
    encode_record,
)
from instanter.events.kinds import NUMBERS
from instanter.events.reject import decode_quarantined, opened
from instanter.features.declaration import DEFAULT_FEATURES, former_of
from instanter.foundation.clock import ManualClock
from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import Corrupt, LogClosed
from instanter.foundation.ids import Ids, reference
from instanter.foundation.limits import MOVED_ENDS_MAX
from instanter.log.commit import commit_now
from instanter.log.moved import MovedPositions, MovedWriter
from instanter.log.segment_log import SegmentLog
from instanter.log.segments import SegmentReader, encode_segment_header
from instanter.ops.cli import main as frame
from instanter.ops.datadir import FORMAT, MIGRATING, READY, DataDirectory
from instanter.ops.losses import why_refused
from instanter.ops.migration.migrate import REPLACED, Footing, migrate, needs_migration
from instanter.ops.migration.ready import Migrated
from instanter.ops.settings import Config
from instanter.ops.wiring import footing_of, open_engine, schema_of
from instanter.privacy.subjects import KeyStore
from instanter.sim.disk import SimulatedDisk

from ..engine.harness import CountingIds

FIXTURES = Path(__file__).parent / "formats"
FORMER = tuple(one for declared in DEFAULT_FEATURES if (one := former_of(declared)) is not None)
"""What was built in when the fixture was made; under other features the same state has another hash."""
CONFIG = Config(state=msgspec.structs.replace(Config().state, memory_mb=64), features=FORMER)
SCHEMA = schema_of(CONFIG)
EXPECTED_NEWEST_MS = 1_800_000_000_000
MASTER = bytes(32)
EXPECTED = json.loads((FIXTURES / "1" / "expected.json").read_bytes())


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A directory of format 1."""
    return of_format_1(tmp_path / "data")


def of_format_1(data: Path) -> Path:
    """The fixture, with the master key that its people's keys will be wrapped by."""
    shutil.copytree(FIXTURES / "1", data)
    (data / "keys" / "master.key").write_text(MASTER.hex())
    return data


def footing(data: Path) -> Footing:
    secret = DataDirectory(RealDisk(), data).open()
    return footing_of(CONFIG, SCHEMA, secret=secret, master=MASTER)


def migrated(data: Path, disk: RealDisk | None = None) -> Migrated | None:
    directory = DataDirectory(disk or RealDisk(), data)
    return migrate(directory, footing(data), clock=ManualClock(), ids=Ids(CountingIds()))


def records(data: Path, folder: str = "log") -> list[Record]:
    return [decode_record(one.payload) for one in SegmentReader(RealDisk(), data / folder).read()]


def store(data: Path) -> KeyStore:
    secret = DataDirectory(RealDisk(), data).open()
    return KeyStore(RealDisk(), data / "keys", secret=secret, master=MASTER)


def rebuilt(data: Path) -> Partition:
    log = SegmentReader(RealDisk(), data / "log")
    partition = beginning(SCHEMA, log, disk=RealDisk(), checkpoints=data / "checkpoints")
    catch_up(partition, log)
    return partition


def started(data: Path) -> tuple[Partition, int | None]:
    log = SegmentReader(RealDisk(), data / "log")
    end = max(one.end for one in log.read())
    partition, recovery = recover(
        SCHEMA, log, log_start=0, log_end=end, disk=RealDisk(), checkpoints=data / "checkpoints"
    )
    assert recovery.damaged == ()
    return partition, recovery.checkpoint


def raw_files(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and "keys" not in path.parts}


def personal(data: Path) -> list[bytes]:
    """What must not lie open anywhere: ids of people and messages as they are stored, and what was rejected."""
    bodies = [msgspec.msgpack.decode(one.body) for one in records(data) if isinstance(one, Tracked)]
    links = [msgspec.msgpack.decode(one.body) for one in records(data) if isinstance(one, Linked)]
    names = ("anonymousId", "userId", "messageId", "cell", "owner")
    named = {
        msgspec.msgpack.encode(name) + msgspec.msgpack.encode(body[name])
        for body in (*bodies, *links) for name in names if name in body
    }  # fmt: skip
    raw = {decode_quarantined(one.payload).raw for one in SegmentReader(RealDisk(), data / "quarantine").read()}
    return sorted(named | raw)


SECRETS = personal(FIXTURES / "1")


def assert_is_migrated(data: Path) -> None:
    """Everything that holds of a directory that was brought from the fixture of format 1 to today's format."""
    directory = DataDirectory(RealDisk(), data)
    directory.check()
    assert directory.format() == FORMAT
    assert {MIGRATING, REPLACED} & {path.name for path in data.iterdir()} == set()
    assert rebuilt(data).state.hash() == EXPECTED["hash"]
    partition, checkpoint = started(data)
    assert checkpoint is not None, "the checkpoint was taken along"
    assert partition.state.hash() == EXPECTED["hash"]
    assert len(partition.links) == EXPECTED["links"]
    found = records(data)
    assert len(found) == EXPECTED["records"]
    for record in found:
        if isinstance(record, Tracked | Decided):
            assert record.subject != 0
        if isinstance(record, Linked):
            assert record.sealed
    for path, content in raw_files(data).items():
        assert [text for text in SECRETS if text in content] == [], path


def test_the_fixture_is_of_format_1_and_holds_what_is_personal(data: Path) -> None:
    assert DataDirectory(RealDisk(), data).format() == 1
    assert needs_migration(DataDirectory(RealDisk(), data))
    assert rebuilt(data).state.hash() == EXPECTED["hash"]
    content = b"".join(raw_files(data).values())
    assert len(SECRETS) > 3
    assert [text for text in SECRETS if text not in content] == []


def test_the_state_is_the_same_and_everything_personal_is_sealed(data: Path) -> None:
    report = migrated(data)
    assert report is not None
    assert (report.from_format, report.to_format, report.records) == (1, FORMAT, EXPECTED["records"])
    assert (report.quarantined, report.decisions) == (EXPECTED["quarantined"], 1)
    assert_is_migrated(data)
    assert migrated(data) is None, "there is nothing more to do"


def test_a_log_without_a_key_of_references_stays_without_one(data: Path) -> None:
    before = [(one.message, one.items) for one in records(data) if isinstance(one, Tracked)]
    migrated(data)
    assert [(one.message, one.items) for one in records(data) if isinstance(one, Tracked)] == before
    assert not [one for one in records(data) if isinstance(one, Keyed)]
    for partition in (rebuilt(data), started(data)[0]):
        assert partition.references.key == b""
        assert partition.references.of("m-1") == reference("m-1")


def test_every_event_can_still_be_read_with_the_keys_and_is_what_it_was(data: Path) -> None:
    before = [msgspec.msgpack.decode(one.body) for one in records(data) if isinstance(one, Tracked)]
    times = [one.time_ms for one in SegmentReader(RealDisk(), data / "log").read()]
    migrated(data)
    subjects = store(data)
    tracked = [one for one in records(data) if isinstance(one, Tracked)]
    assert [stored_event(one, subjects) for one in tracked] == before
    assert [one.time_ms for one in SegmentReader(RealDisk(), data / "log").read()] == times
    assert all(name in NUMBERS.union(SCHEMA.properties) for one in tracked for name in one.values)
    subjects.close()


def test_people_are_found_by_their_ids_under_the_pseudonyms_they_had(data: Path) -> None:
    before = {(one.tenant, one.key) for one in records(data) if isinstance(one, Tracked)}
    named = [msgspec.msgpack.decode(one.body) for one in records(data) if isinstance(one, Tracked)]
    migrated(data)
    subjects = store(data)
    found = {
        ("default", subjects.find("default", f"anonymous:{body['anonymousId']}" if "anonymousId" in body
                                  else str(body["userId"])))
        for body in named
    }
    assert found == before
    subjects.close()


def test_the_quarantine_is_sealed_and_can_be_opened(data: Path) -> None:
    (before,) = [decode_quarantined(one.payload) for one in SegmentReader(RealDisk(), data / "quarantine").read()]
    migrated(data)
    (after,) = [decode_quarantined(one.payload) for one in SegmentReader(RealDisk(), data / "quarantine").read()]
    subjects = store(data)
    assert before.raw not in after.raw
    assert after.subjects != ()
    reopened = opened(after, subjects)
    assert reopened is not None
    assert (reopened.raw, reopened.code, reopened.at_ms) == (before.raw, before.code, before.at_ms)
    subjects.close()


def test_a_decision_of_before_is_found_by_its_id(data: Path) -> None:
    (decided,) = [one for one in records(data) if isinstance(one, Decided)]
    assert decided.decision_id == EXPECTED["decision"]
    receipt = decode_receipt(decided.receipt)
    migrated(data)

    def work(engine: Engine) -> bytes:
        return engine.receipt("default", decided.decision_id)

    found = decode_receipt(run_engine(data, work))
    assert msgspec.structs.replace(found, position=0) == msgspec.structs.replace(receipt, position=0)
    ends = [one.end for one in SegmentReader(RealDisk(), data / "log").read()]
    assert found.position in ends, "it stands on a position of the new log"
    subjects = store(data)
    (after,) = [one for one in records(data) if isinstance(one, Decided)]
    assert opened_receipt(after, subjects) is not None
    subjects.close()


@pytest.mark.parametrize(("remembered", "is_known"), [(MOVED_ENDS_MAX, True), (2, False)])
def test_a_decision_that_stood_too_far_back_is_found_and_its_old_position_is_not_told_as_a_new_one(
    remembered: int, is_known: bool, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    (decided,) = [one for one in records(data) if isinstance(one, Decided)]
    again = msgspec.structs.replace(decided, decision_id="d_1")
    log = SegmentLog(RealDisk(), data / "log", segment_bytes=1 << 20)
    for record in (Ticked(EXPECTED_NEWEST_MS + 1), Ticked(EXPECTED_NEWEST_MS + 2), again):
        commit_now(log, [(CONTROL_PARTITION, 5, encode_record(record))])
    log.close()
    monkeypatch.setattr("instanter.ops.migration.building.MOVED_ENDS_MAX", remembered)
    migrated(data)
    (after,) = [one for one in records(data) if isinstance(one, Decided) and one.decision_id == "d_1"]
    subjects = store(data)
    sealed = opened_receipt(after, subjects)
    subjects.close()
    assert sealed is not None
    position = decode_receipt(sealed).position
    ends = [one.end for one in SegmentReader(RealDisk(), data / "log").read()]
    assert (position in ends, position) == ((True, position) if is_known else (False, 0))


def run_engine(data: Path, work: Callable[[Engine], Any]) -> Any:
    """What `work` makes of an engine on a directory, opened as the server opens it."""

    async def run() -> Any:
        engine = open_engine(CONFIG, data)()
        try:
            return work(engine)
        finally:
            await engine.abandon()

    return asyncio.run(run())


def test_a_start_of_the_server_migrates(data: Path) -> None:
    assert run_engine(data, lambda engine: engine.partition.state.hash()) == EXPECTED["hash"]
    assert_is_migrated(data)
    (act,) = (data / "audit" / "acts").glob("*.act")
    assert b"directory.migrated" in act.read_bytes()


def test_the_verb_migrates_once(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.main(["migrate", "--data", str(data)]) == 0
    assert "from format 1 to 2" in capsys.readouterr().out
    assert_is_migrated(data)
    assert frame.main(["migrate", "--data", str(data)]) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_a_directory_that_is_served_is_not_migrated(data: Path) -> None:
    before = raw_files(data)
    lock = RealDisk().lock(data / "log" / "lock")
    with pytest.raises(LogClosed, match="another process has"):
        migrated(data)
    lock.release()
    assert {path: content for path, content in raw_files(data).items() if path.name != "lock"} == before


def test_a_damaged_log_is_not_migrated_and_left_as_it_is(data: Path) -> None:
    segment = next((data / "log").glob("*.seg"))
    content = bytearray(segment.read_bytes())
    content[900] ^= 1
    segment.write_bytes(content)
    with pytest.raises(Corrupt, match=segment.name):
        migrated(data)
    assert segment.read_bytes() == bytes(content)
    assert DataDirectory(RealDisk(), data).format() == 1


def test_a_damaged_checkpoint_is_left_out(data: Path) -> None:
    checkpoint = next((data / "checkpoints").glob("*.ckpt"))
    checkpoint.write_bytes(checkpoint.read_bytes()[:-9])
    report = migrated(data)
    assert report is not None
    assert (report.checkpoints, len(report.passed_over)) == (0, 1)
    assert rebuilt(data).state.hash() == EXPECTED["hash"]


def test_a_log_that_was_cut_keeps_its_beginning_and_its_checkpoint(data: Path) -> None:
    """As retention leaves it: the log begins where the checkpoint stands."""
    (checkpoint,) = (data / "checkpoints").glob("*.ckpt")
    start = int(checkpoint.stem)
    old = next((data / "log").glob("*.seg"))
    old.unlink()
    (data / "log" / f"{start:020d}.seg").write_bytes(encode_segment_header(start))
    log = SegmentLog(RealDisk(), data / "log", segment_bytes=1 << 20)
    commit_now(log, [(CONTROL_PARTITION, 5, encode_record(Ticked(EXPECTED_NEWEST_MS + 1)))])
    log.close()
    before = rebuilt(data)
    migrated(data)
    after = rebuilt(data)
    assert (after.state.hash(), after.position) == (before.state.hash(), before.position)
    assert all(link.sealed for link in after.links)
    assert len(after.links) == EXPECTED["links"]


def test_between_the_formats_no_verb_reads_the_directory(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / MIGRATING).mkdir()
    (data / MIGRATING / READY).write_bytes(msgspec.json.encode(Migrated(1, FORMAT, 0, 0, 0, 0, 0)))
    assert frame.main(["verify", "--data", str(data)]) == 1
    assert "is on its way to a new format" in capsys.readouterr().err


# Positions that moved.


@given(st.sets(st.integers(0, 2**62), max_size=200), st.integers(0, 2**62))
def test_every_old_position_is_found_and_no_other(olds: set[int], other: int) -> None:
    disk = SimulatedDisk()
    writer = MovedWriter(disk, Path("moved"))
    for old in sorted(olds):
        writer.add(old, old // 2)
    writer.finish()
    moved = MovedPositions(disk, Path("moved"))
    assert len(moved) == len(olds)
    assert all(moved.find(old) == old // 2 for old in olds)
    assert (moved.find(other) is not None) == (other in olds)


def test_without_a_file_nothing_has_moved() -> None:
    assert MovedPositions(SimulatedDisk(), Path("moved")).find(7) is None


def contents(data: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in data.rglob("*") if path.is_file() and path.name != "lock"}


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[]", b"\xff", b'{"from_format": "1"}'])
def test_a_damaged_word_of_what_is_ready_is_named_by_every_verb(
    content: bytes, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ready = data / MIGRATING / READY
    ready.parent.mkdir()
    ready.write_bytes(content)
    before = contents(data)
    for words in (["verify"], ["migrate"], ["backup", "--to", str(tmp_path / "backup")], ["export", "u1"]):
        assert frame.main([*words, "--data", str(data)]) == 1
        printed = capsys.readouterr().err
        assert str(ready) in printed
        assert "not what a migration leaves behind" in printed
    assert why_refused(DataDirectory(RealDisk(), data), serving=False) != []
    assert contents(data) == before


def test_what_is_no_file_of_moved_positions_is_refused_and_one_written_twice_is_found(tmp_path: Path) -> None:
    writer = MovedWriter(RealDisk(), tmp_path)
    for old in (5, 9):
        writer.add(old, old + 100)
    writer.finish()
    path = tmp_path / "positions"
    raw = path.read_bytes()
    assert len(MovedPositions(RealDisk(), tmp_path)) == 2
    path.write_bytes(raw + raw[16:])
    with pytest.raises(Corrupt, match="do not ascend"):
        MovedPositions(RealDisk(), tmp_path)
    path.write_bytes(bytes(len(raw)))
    with pytest.raises(Corrupt, match="not a file of moved positions"):
        MovedPositions(RealDisk(), tmp_path)
    path.write_bytes(b"")
    assert len(MovedPositions(RealDisk(), tmp_path)) == 0, "begun and not written"
