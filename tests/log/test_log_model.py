"""The log against a plain list, through commits, refusals, crashes in the middle of them, and restarts."""

import errno
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from instanter.foundation.errors import DiskFull, LogClosed
from instanter.log.frames import Frame, Group
from instanter.log.segment_log import SegmentLog
from instanter.log.segments import SegmentReader
from instanter.sim.disk import PowerLost, SimulatedDisk

DIRECTORY = Path("/log")
PAYLOADS = st.lists(st.binary(max_size=90), min_size=1, max_size=4)
OPERATIONS = st.sampled_from(["open", "write", "sync", "sync_directory"])


class LogAgainstAList(RuleBasedStateMachine):
    """`kept` is what the log must hold: every entry of every commit that returned, and after a crash at most
    whole entries from the beginning of the group that was being committed."""

    @initialize(segment_bytes=st.integers(33, 400))
    def start(self, segment_bytes: int) -> None:
        self.disk = SimulatedDisk()
        self.segment_bytes = segment_bytes
        self.kept: list[tuple[int, bytes]] = []
        self.earliest = 0
        self.open()

    def open(self) -> None:
        self.log = SegmentLog(self.disk, DIRECTORY, segment_bytes=self.segment_bytes)

    def group(self, payloads: list[bytes]) -> tuple[Group, list[tuple[int, bytes]]]:
        group = self.log.begin()
        return group, [(group.append(1, len(self.kept), payload), payload) for payload in payloads]

    @rule(payloads=PAYLOADS)
    def commit(self, payloads: list[bytes]) -> None:
        group, entries = self.group(payloads)
        self.log.commit(group)
        self.kept += entries

    @rule(payloads=PAYLOADS, room_bytes=st.integers(0, 100))
    def commit_without_much_room(self, payloads: list[bytes], room_bytes: int) -> None:
        group, entries = self.group(payloads)
        self.disk.capacity_bytes = sum(len(raw) for raw in self.disk.files().values()) + room_bytes
        try:
            self.log.commit(group)
        except DiskFull:
            entries = []
        self.disk.capacity_bytes = 1 << 40
        self.kept += entries

    @rule(payloads=PAYLOADS, operation=OPERATIONS, unsynced_bytes=st.integers(0, 500), hole_bytes=st.integers(0, 60),
          write_bytes_max=st.integers(1, 300))
    def lose_power_in_a_commit(
        self, payloads: list[bytes], operation: str, unsynced_bytes: int, hole_bytes: int, write_bytes_max: int
    ) -> None:
        group, entries = self.group(payloads)
        self.disk.fail(operation, None)
        self.disk.write_bytes_max = write_bytes_max
        try:
            self.log.commit(group)
        except PowerLost:
            self.restart_after_crash(entries, unsynced_bytes, hole_bytes)
        else:
            self.kept += entries
            self.restart_after_crash([], unsynced_bytes, hole_bytes)
        self.disk.write_bytes_max = 1 << 40

    @rule(payloads=PAYLOADS, operation=OPERATIONS, unsynced_bytes=st.integers(0, 500))
    def fail_in_a_commit_and_restart(self, payloads: list[bytes], operation: str, unsynced_bytes: int) -> None:
        group, entries = self.group(payloads)
        self.disk.fail(operation, errno.EIO)
        try:
            self.log.commit(group)
        except LogClosed:
            self.restart_after_crash(entries, unsynced_bytes, 0)
        else:
            self.kept += entries
            self.restart_after_crash([], unsynced_bytes, 0)

    @rule()
    def close_and_open(self) -> None:
        self.log.close()
        self.open()
        assert self.log.opened.cut is None

    @rule(below=st.integers(0, 3_000))
    def retain(self, below: int) -> None:
        retained = self.log.retain(below=below, older_than_ms=1 << 40)
        assert retained.start <= max(below, self.earliest)
        self.earliest = retained.start
        self.kept = [(position, payload) for position, payload in self.kept if position >= retained.start]

    @invariant()
    def holds_what_was_kept(self) -> None:
        assert self.read() == self.kept
        reader = SegmentReader(self.disk, DIRECTORY)
        assert [(frame.position, frame.payload) for frame in reader.read()] == self.kept

    def read(self) -> list[tuple[int, bytes]]:
        frames: list[Frame] = list(self.log.read())
        return [(frame.position, frame.payload) for frame in frames]

    def restart_after_crash(self, unsure: list[tuple[int, bytes]], unsynced_bytes: int, hole_bytes: int) -> None:
        self.disk.crash(unsynced_bytes=unsynced_bytes, hole_bytes=hole_bytes)
        self.open()
        present = self.read()
        survived = len(present) - len(self.kept)
        assert present == self.kept + unsure[:survived]
        self.kept = present


TestLogAgainstAList = pytest.mark.about("P2", "P3")(pytest.mark.row("R27")(LogAgainstAList.TestCase))
TestLogAgainstAList.settings = settings(deadline=None, max_examples=60, stateful_step_count=25)
