"""The log with real processes: read while it is written, killed while it commits, and run into a size limit."""

import json
import os
import random
import subprocess
import sys
from hashlib import blake2b
from pathlib import Path
from typing import IO

import pytest

from instanter.foundation.disk import RealDisk
from instanter.log.commit import commit_now
from instanter.log.segment_log import SegmentLog

HERE = Path(__file__).parent
WHOLE = os.environ.get("INSTANTER_FULL") == "1"
KILLS = range(1, 26) if WHOLE else (1, 2, 3, 7, 12, 25)


def start(script: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(HERE / script), *arguments],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)


def present(directory: Path) -> list[str]:
    log = SegmentLog(RealDisk(), directory, segment_bytes=2_000)
    names = [frame.payload.decode() for frame in log.read()]
    log.close()
    return names


class Account:
    """Names in a file, each synced before anything else is done."""

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("ab")
        self._path = path

    def note(self, lines: bytes) -> None:
        self._file.write(lines)
        self._file.flush()
        os.fsync(self._file.fileno())

    def names(self) -> list[str]:
        self._file.close()
        return self._path.read_text().split()


def test_another_process_reads_what_is_written_while_it_is_written(tmp_path: Path) -> None:
    log = SegmentLog(RealDisk(), tmp_path, segment_bytes=100_000)
    chance = random.Random(5)
    digest = blake2b()
    with start("following_reader.py", str(tmp_path)) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"reading\n"
        for number in range(400):
            group = [(1, number, chance.randbytes(chance.randrange(2_000))) for _ in range(chance.randrange(1, 30))]
            commit_now(log, group)
            for _, _, payload in group:
                digest.update(payload)
        commit_now(log, [(1, 1, b"last")])
        digest.update(b"last")
        read, passes = reader.stdout.read().split()
    log.close()
    assert read.decode() == digest.hexdigest()
    assert int(passes) > 1


def test_a_file_size_limit_refuses_whole_groups_and_loses_nothing(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, str(HERE / "limited_writer.py"), str(tmp_path)],
                          capture_output=True, check=True, timeout=600)
    accounts = json.loads(done.stdout)
    assert len(accounts["refused"]) > 0
    assert accounts["refused_later"] == []
    assert len(accounts["acked"]) + len(accounts["refused"]) == 100
    assert [name[:3] for name in present(tmp_path)] == accounts["acked"]


@pytest.mark.faults
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("k", KILLS)
def test_killed_at_a_sync_nothing_that_was_acknowledged_is_lost(k: int, when: str, tmp_path: Path) -> None:
    acked = run_until_killed(tmp_path, kill_at=k, when=when, kill_after_acks=None)
    names = present(tmp_path / "log")
    assert set(acked) <= set(names)
    assert_balance(tmp_path, names, acked)


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(40 if WHOLE else 4))
def test_killed_from_outside_at_any_time_nothing_that_was_acknowledged_is_lost(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    acked: list[str] = []
    for _ in range(3):
        acked = run_until_killed(tmp_path, kill_at=0, when="before", kill_after_acks=chance.randrange(1, 400))
    assert_balance(tmp_path, present(tmp_path / "log"), acked)


def run_until_killed(tmp_path: Path, *, kill_at: int, when: str, kill_after_acks: int | None) -> list[str]:
    """Send names and note each, then its answer, until the writer dies; returns all that was acknowledged so far."""
    sent, acked = Account(tmp_path / "sent"), Account(tmp_path / "acked")
    first = len((tmp_path / "sent").read_text().split())
    acks = 0
    with start("killed_writer.py", str(tmp_path / "log"), str(kill_at), when) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        answers = writer.stdout
        number = first
        line = answers.readline()
        while line:
            if line != b"ready\n":
                acked.note(line)
                acks += 1
            if acks == kill_after_acks:
                writer.kill()
            names = b"".join(b"n%06d\n" % later for later in range(number, number + 3))
            number += 3
            sent.note(names)
            try:
                writer.stdin.write(names)
            except BrokenPipeError:
                break
            line = answers.readline()
        for line in answers:
            acked.note(line)
    assert writer.returncode == -9
    sent.names()
    return acked.names()


def assert_balance(tmp_path: Path, names: list[str], acked: list[str]) -> None:
    sent = (tmp_path / "sent").read_text().split()
    assert len(set(acked) - set(names)) == 0, "lost"
    assert len(set(names) - set(sent)) == 0, "phantom"
    assert len(names) - len(set(names)) == 0, "double"
