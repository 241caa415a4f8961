"""The formats on disk: fixtures of each are read, the newest is still written, newer ones are refused in a sentence."""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from instanter.decisions.receipt import RECEIPT_VERSION, decode_receipt
from instanter.engine.export import opened_receipt, stored_event
from instanter.engine.recovery import beginning, catch_up, recover
from instanter.events.envelope import Audited, Decided, Record, Tracked, decode_record
from instanter.events.reject import QUARANTINE_VERSION, decode_quarantined, opened
from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import Broken, ConfigRejected, Corrupt, InstanterError
from instanter.log.frames import FRAME_VERSION
from instanter.log.moved import MovedPositions, MovedWriter
from instanter.log.segments import SEGMENT_VERSION, SegmentReader
from instanter.ops.cli import main as frame
from instanter.ops.datadir import FORMAT, DataDirectory
from instanter.privacy.audit import AUDIT_VERSION, Head, audit_key, read_entries, verify_audit
from instanter.privacy.erasures import ErasureList
from instanter.privacy.subjects import KeyStore
from instanter.state.checkpoint import VERSION as CHECKPOINT_VERSION
from instanter.state.checkpoint import check_checkpoint, list_checkpoints, read_control

from .format_2 import MASTER, SCHEMA, SECRET, make

FIXTURE = Path(__file__).parent / "formats" / "2"
EXPECTED = json.loads((FIXTURE / "expected.json").read_bytes())
SEGMENT = "00000000000000000000.seg"
REMAKE = "if format 2 is not released yet: python -m tests.ops.format_2 tests/ops/formats/2; else it is format 3"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The fixture of format 2."""
    return Path(shutil.copytree(FIXTURE, tmp_path / "data"))


def files(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*")
        if path.is_file() and path.name != "expected.json" and "lock" not in path.name
    }  # fmt: skip


def records(data: Path) -> list[Record]:
    return [decode_record(one.payload) for one in SegmentReader(RealDisk(), data / "log").read()]


SINCE = {"Keyed"}
"""Kinds of record that came later. A log without a key is read on as it is, see tests/engine/test_references.py."""


def test_the_fixture_holds_every_kind_of_record() -> None:
    assert sorted({kind.__name__ for kind in get_args(Record)} - SINCE) == EXPECTED["kinds"]


def test_the_program_still_writes_what_it_wrote(tmp_path: Path) -> None:
    found = make(tmp_path / "made")
    assert found == EXPECTED, REMAKE
    ours, theirs = files(FIXTURE), files(tmp_path / "made")
    assert sorted(ours) == sorted(theirs), REMAKE
    assert [name for name in ours if ours[name] != theirs[name] and not name.endswith(".ckpt")] == [], REMAKE
    disk, (name,) = RealDisk(), [name for name in ours if name.endswith(".ckpt")]
    assert check_checkpoint(disk, FIXTURE / name) == check_checkpoint(disk, tmp_path / "made" / name), REMAKE
    assert read_control(disk, FIXTURE / name) == read_control(disk, tmp_path / "made" / name), REMAKE


def test_format_2_is_read_to_the_same_state_from_the_log_and_from_the_checkpoint(data: Path) -> None:
    log = SegmentReader(RealDisk(), data / "log")
    partition = beginning(SCHEMA, log, disk=RealDisk(), checkpoints=data / "checkpoints")
    catch_up(partition, log)
    assert (partition.state.hash(), partition.position) == (EXPECTED["hash"], EXPECTED["position"])
    assert (partition.state.cells_used, len(partition.links)) == (EXPECTED["people"], EXPECTED["links"])
    other, recovery = recover(
        SCHEMA, log, log_start=0, log_end=partition.position, disk=RealDisk(), checkpoints=data / "checkpoints"
    )
    assert recovery.checkpoint == list_checkpoints(RealDisk(), data / "checkpoints")[0]
    assert (other.state.hash(), recovery.damaged) == (EXPECTED["hash"], ())


@pytest.mark.parametrize("grown", ["2-first"])
def test_a_log_from_before_records_had_their_newest_fields_comes_to_the_state_it_came_to(grown: str) -> None:
    """Fields that records were given later: `first_told` and `order` of events, `folding` of the settings."""
    root = FIXTURE.parent / grown
    expected = json.loads((root / "expected.json").read_bytes())
    log = SegmentReader(RealDisk(), root / "log")
    partition = beginning(SCHEMA, log, disk=RealDisk(), checkpoints=root / "none")
    catch_up(partition, log)
    assert (partition.state.hash(), partition.position) == (expected["hash"], expected["position"])
    assert partition.state.settings["folding"] == 1
    other, recovery = recover(
        SCHEMA, log, log_start=0, log_end=partition.position, disk=RealDisk(), checkpoints=root / "checkpoints"
    )
    assert recovery.checkpoint == list_checkpoints(RealDisk(), root / "checkpoints")[0]
    assert (other.state.hash(), other.state.settings["folding"]) == (expected["hash"], 1)


def test_links_from_before_events_belonged_to_their_users_are_read_on_as_they_were() -> None:
    root = FIXTURE.parent / "2-linked"
    expected = json.loads((root / "expected.json").read_bytes())
    log = SegmentReader(RealDisk(), root / "log")
    partition = beginning(SCHEMA, log, disk=RealDisk(), checkpoints=root / "none")
    catch_up(partition, log)
    other, _ = recover(
        SCHEMA, log, log_start=0, log_end=partition.position, disk=RealDisk(), checkpoints=root / "checkpoints"
    )
    for one in (partition, other):
        assert (one.state.hash(), one.position) == (expected["hash"], expected["position"])
        (link,) = one.links
        assert one.links.cells(link.owner) == one.links.cells(link.cell) == [link.owner, link.cell]
        assert one.control_rows()["ties"] == []
    assert partition.hash() == other.hash()


@pytest.mark.parametrize("kept", ["2", "2-mapped"])
def test_what_is_sealed_in_format_2_opens_with_its_keys_and_what_was_erased_does_not(kept: str, tmp_path: Path) -> None:
    """Events as they came, and from before all of them were kept as maps."""
    data = Path(shutil.copytree(FIXTURE.parent / kept, tmp_path / "data"))
    subjects = KeyStore(RealDisk(), data / "keys", secret=SECRET, master=MASTER)
    events = [stored_event(one, subjects) for one in records(data) if isinstance(one, Tracked)]
    told = ["m-imported", "m-tail", "m0", "m1", "m2", "mi", "mi"]
    assert sorted(event["messageId"] for event in events if event) == told
    assert sum(event is None for event in events) == 1, "of the person who was erased"
    (decided,) = [one for one in records(data) if isinstance(one, Decided)]
    receipt = opened_receipt(decided, subjects)
    assert receipt is not None
    assert decode_receipt(receipt).decision_id == EXPECTED["decision"]
    entries = [decode_quarantined(one.payload) for one in SegmentReader(RealDisk(), data / "quarantine").read()]
    reopened = [opened(entry, subjects) for entry in entries]
    assert [entry.raw for entry in reopened if entry] == [b'{"type":"dance","anonymousId":"a1"}', b"garbage"]
    subjects.close()


def test_the_audit_record_of_format_2_is_whole(data: Path) -> None:
    known = [Head(one.number, one.chain) for one in records(data) if isinstance(one, Audited)]
    report = verify_audit(read_entries(SegmentReader(RealDisk(), data / "audit")), audit_key(SECRET), known)
    assert (report.acts, report.broken) == (EXPECTED["acts"], "")


# Newer formats. Each is written with checksums that fit, so that nothing but its version tells it.


def newer_marker(data: Path) -> None:
    (data / "instanter.json").write_bytes(msgspec.json.encode({"format": FORMAT + 1}))


def newer_segment(data: Path) -> None:
    path = data / "log" / SEGMENT
    content = bytearray(path.read_bytes())
    struct.pack_into("<H", content, 12, SEGMENT_VERSION + 1)
    struct.pack_into("<I", content, 8, zlib.crc32(content[12:32]))
    path.write_bytes(content)


def changed_payload(path: Path, change: Callable[[bytes], bytes], *, version: int = FRAME_VERSION) -> None:
    """The last frame of a segment again, with another payload."""
    content = path.read_bytes()
    last = list(SegmentReader(RealDisk(), path.parent).read())[-1]
    payload = change(last.payload)
    checked = struct.pack(
        "<IQqHBB", len(payload), last.position, last.time_ms, last.partition, version, last.flags
    )
    crc = struct.pack("<I", zlib.crc32(payload, zlib.crc32(checked)))
    path.write_bytes(content[: last.position] + crc + checked + payload)


def newer_frame(data: Path) -> None:
    changed_payload(data / "log" / SEGMENT, lambda payload: payload, version=FRAME_VERSION + 1)


def with_version(payload: bytes) -> bytes:
    fields = msgspec.msgpack.decode(payload)
    return msgspec.msgpack.encode([fields[0] + 1, *fields[1:]])


def newer_quarantine(data: Path) -> None:
    changed_payload(data / "quarantine" / SEGMENT, with_version)


def newer_audit(data: Path) -> None:
    changed_payload(data / "audit" / SEGMENT, with_version)


def newer_checkpoint(data: Path) -> None:
    (path,) = (data / "checkpoints").glob("*.ckpt")
    content = path.read_bytes()
    length, _, kind = struct.unpack_from("<IIB", content, 8)
    manifest = msgspec.msgpack.decode(content[17 : 17 + length])
    payload = msgspec.msgpack.encode({**manifest, "version": CHECKPOINT_VERSION + 1})
    head = struct.pack("<IIB", len(payload), zlib.crc32(payload, kind), kind)
    path.write_bytes(content[:8] + head + payload + content[17 + length :])


@pytest.mark.parametrize(("write", "says"), [
    (newer_marker, f"has format {FORMAT + 1}; this program reads up to {FORMAT}"),
    (newer_segment, f"written in log format {SEGMENT_VERSION + 1}, and this release reads formats up to"),
    (newer_frame, f"written in log format {FRAME_VERSION + 1}, and this release reads formats up to"),
    (newer_quarantine, f"quarantine format {QUARANTINE_VERSION + 1} is newer than this program"),
    (newer_audit, f"audit format {AUDIT_VERSION + 1}; this program reads up to {AUDIT_VERSION}"),
    (newer_checkpoint, f"has format {CHECKPOINT_VERSION + 1}; this program reads up to {CHECKPOINT_VERSION}"),
])  # fmt: skip
def test_what_a_newer_program_wrote_is_refused_in_one_sentence(
    write: Callable[[Path], None], says: str, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    assert frame.main(["verify", "--data", str(data)]) == 0
    capsys.readouterr()
    write(data)
    before = files(data)
    assert frame.main(["verify", "--data", str(data)]) == 1
    printed = capsys.readouterr()
    (sentence,) = [line for line in (printed.out + printed.err).splitlines() if says in line]
    assert sentence
    assert files(data) == before, "nothing was changed"


def newer_vault(data: Path, name: str) -> None:
    path = data / "keys" / name
    content = bytearray(path.read_bytes())
    (version,) = struct.unpack_from("<q", content, 24)
    struct.pack_into("<q", content, 24, version + 1)
    struct.pack_into("<Q", content, 120, zlib.crc32(content[:120]))
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["subjects.keys", "days.keys"])
def test_a_newer_key_store_is_refused_in_one_sentence(name: str, data: Path) -> None:
    newer_vault(data, name)
    with pytest.raises((Broken, ConfigRejected), match=r"has format \d+; this program reads up to \d+") as refused:
        KeyStore(RealDisk(), data / "keys", secret=SECRET, master=MASTER)
    assert "\n" not in str(refused.value)


def test_a_newer_erasure_list_is_refused_in_one_sentence(data: Path) -> None:
    changed_payload(data / "keys" / "erasures" / SEGMENT, with_version)
    erasures = ErasureList(RealDisk(), data / "keys" / "erasures")
    with pytest.raises(InstanterError, match=r"format 2; this program reads up to 1"):
        list(erasures)
    erasures.close()


def test_newer_moved_positions_are_refused_in_one_sentence(tmp_path: Path) -> None:
    writer = MovedWriter(RealDisk(), tmp_path)
    writer.add(5, 7)
    writer.finish()
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, 8, 2)
    path.write_bytes(content)
    with pytest.raises(Broken, match="has format 2; this program reads up to 1"):
        MovedPositions(RealDisk(), tmp_path)


def test_a_newer_receipt_is_refused_in_one_sentence(data: Path) -> None:
    subjects = KeyStore(RealDisk(), data / "keys", secret=SECRET, master=MASTER)
    (decided,) = [one for one in records(data) if isinstance(one, Decided)]
    receipt = opened_receipt(decided, subjects)
    subjects.close()
    assert receipt is not None
    with pytest.raises(Corrupt, match=f"version {RECEIPT_VERSION + 1} is newer than {RECEIPT_VERSION}"):
        decode_receipt(with_version(receipt))


def test_the_fixture_is_of_todays_format(data: Path) -> None:
    assert DataDirectory(RealDisk(), data).format() == FORMAT
