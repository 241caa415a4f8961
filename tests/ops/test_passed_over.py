"""What cannot be folded is said by `verify` and `doctor`, and nothing ends because of it."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from instanter.events.envelope import CONTROL_PARTITION, Epoch, encode_record
from instanter.foundation.disk import RealDisk
from instanter.log.segment_log import SegmentLog
from instanter.log.segments import SegmentReader
from instanter.ops.cli import main as frame

from ..engine.harness import SECRET, with_engine
from .shop_data import make_data, write_config

Printed = pytest.CaptureFixture[str]
FROM_LATER = msgspec.msgpack.encode([77, 1, "default"])
"""A record of a kind that this program does not know."""


def append(data: Path, *payloads: bytes) -> None:
    """Frames that are right, whatever is in them."""
    newest_ms = max(frame.time_ms for frame in SegmentReader(RealDisk(), data / "log").read())
    log = SegmentLog(RealDisk(), data / "log", segment_bytes=1 << 22)
    group = log.begin()
    for payload in payloads:
        group.append(CONTROL_PARTITION, newest_ms, payload)
    log.commit(group)
    log.close()


def test_verify_names_what_cannot_be_folded_and_calls_it_no_damage(tmp_path: Path, capsys: Printed):
    data = make_data(tmp_path / "data")
    append(data, FROM_LATER, encode_record(Epoch(1, 2**40, "no hash")), encode_record(Epoch(1, 9, ""))[:-1])
    here = ["--data", str(data), "--config", str(write_config(tmp_path))]
    assert frame.main(["verify", *here, "--json"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (report["damage"], report["passed_over"]) == ([], 3)
    later, epoch, short = report["reasons"]
    assert later.endswith("not a known record: Invalid value 77 - at `$[0]`")
    assert epoch.endswith("Epoch: hash is not 32 hexadecimal digits")
    assert short.endswith("not a known record: Input data was truncated")
    assert frame.main(["verify", *here]) == 0
    out = capsys.readouterr().out
    assert "whole; 3 records cannot be folded and are passed over" in out
    assert f"passed over at {later.split()[3][:-1]}" in out


def test_doctor_says_how_many_there_are_and_where(
    tmp_path: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSTANTER_MASTER_KEY", SECRET.hex())
    data = make_data(tmp_path / "data")
    append(data, FROM_LATER)
    with_engine(data, lambda engine: engine.quarantine.settled())
    here = ["--data", str(data), "--config", str(write_config(tmp_path))]
    frame.main(["doctor", *here, "--json"])
    checks = json.loads(capsys.readouterr().out.splitlines()[-1])["checks"]
    (check,) = [one for one in checks if "cannot be folded" in one["found"]]
    assert (check["status"], check["found"]) == ("warn", "1 records cannot be folded")
    assert "Invalid value 77" in check["advice"]


def test_a_replay_comes_to_what_a_start_comes_to(tmp_path: Path, capsys: Printed):
    data = make_data(tmp_path / "data")
    append(data, FROM_LATER)
    here = ["--data", str(data), "--config", str(write_config(tmp_path))]
    assert frame.main(["replay", *here, "--verify", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["identical"] is True
