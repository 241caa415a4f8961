"""What every log must do, on a real disk and on one in memory."""

import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.foundation.disk import Disk, RealDisk
from instanter.foundation.errors import Broken, Corrupt, DiskFull, LogClosed, RequestRejected
from instanter.foundation.limits import FRAME_BYTES_MAX, READ_BACK_BYTES_MAX
from instanter.log.base import Readable, frame_at
from instanter.log.commit import commit_now
from instanter.log.frames import FRAME_HEADER_BYTES, FrameFault, Group, decode_frames, decode_run, ends_of, find_group
from instanter.log.segment_log import SegmentLog, begin_log
from instanter.log.segments import (
    FIND_BYTES,
    SEGMENT_HEADER_BYTES,
    Segment,
    SegmentReader,
    encode_segment_header,
    list_segments,
    segment_path,
)
from instanter.sim.disk import SimulatedDisk


def payloads(log: Readable, position: int | None = None) -> list[bytes]:
    return [frame.payload for frame in log.read(position)]


class LogChecks:
    """What every Log must do. Subclass it once per disk and give `disk` and `directory`."""

    disk: Disk
    directory: Path

    def make(self, *, segment_bytes: int = 1 << 20, size_bytes_max: int | None = None) -> SegmentLog:
        return SegmentLog(self.disk, self.directory, segment_bytes=segment_bytes, size_bytes_max=size_bytes_max)

    def make_with_segments(self, count: int) -> tuple[SegmentLog, list[int]]:
        """Segments of two frames each, received at 0, 10, 20 ..."""
        log = self.make(segment_bytes=100)
        return log, [commit_now(log, [(1, number * 10, b"%030d" % number)])[0] for number in range(2 * count)]

    def test_what_was_committed_is_read_back_as_it_was(self) -> None:
        log = self.make()
        positions = commit_now(log, [(3, 1_000, b"one"), (0xFFFF, -5, b""), (0, 1 << 60, b"\x00" * 5_000)])
        frames = list(log.read())
        assert [frame.position for frame in frames] == positions
        assert [(frame.partition, frame.time_ms, frame.payload) for frame in frames] == [
            (3, 1_000, b"one"), (0xFFFF, -5, b""), (0, 1 << 60, b"\x00" * 5_000)]
        log.close()

    def test_it_is_read_from_the_end_back_piece_by_piece(self) -> None:
        log, positions = self.make_with_segments(3)
        large = [(1, 90, bytes(READ_BACK_BYTES_MAX // 3))] * 5
        positions += commit_now(log, large)
        for reader in (log, SegmentReader(self.disk, self.directory)):
            found, before = [], None
            while before != 0:
                frames, before = reader.read_back(before)
                found += [frame.position for frame in reversed(frames)]
            assert found == positions[::-1]
            within, _ = reader.read_back(positions[-1] + 1)
            assert [frame.position for frame in within] == positions[-5:-1], "any position will do"
            assert reader.read_back(1) == ([], 0)
        log.close()

    def test_a_time_is_found_close_before_the_first_entry_that_came_then(self) -> None:
        log = self.make(segment_bytes=600_000)
        now_ms, received, frame_bytes = 1_000, list[tuple[int, int]](), 2_028
        for number in range(300):
            now_ms += (0, 0, 1, 7)[number % 4]
            group = [(1, now_ms, b"%02000d" % number)] * (1 + 40 * (number % 50 == 49))
            received += [(position, now_ms) for position in commit_now(log, group)]
        for reader in (log, SegmentReader(self.disk, self.directory)):
            for time_ms in range(995, now_ms + 5, 3):
                found = reader.find_time(time_ms)
                since = next((position for position, at_ms in received if at_ms >= time_ms), received[-1][0])
                assert found <= since <= found + FIND_BYTES + 2 * frame_bytes + SEGMENT_HEADER_BYTES, time_ms
                assert next(log.read(found)).position >= found, "it can be read from there"
        log.retain(below=received[-1][0], older_than_ms=now_ms)
        assert log.start > 0
        assert [reader.find_time(0) for reader in (log, SegmentReader(self.disk, self.directory))] == [log.start] * 2
        log.close()

    def test_a_time_is_looked_for_in_an_empty_log_and_in_one_group(self) -> None:
        log = self.make()
        assert [log.find_time(0), log.find_time(1 << 48)] == [0, 0]
        positions = commit_now(log, [(1, 7, bytes(100_000))] * 5)
        assert [log.find_time(time_ms) for time_ms in (0, 7, 8)] == [0, 0, positions[-1]]
        log.close()

    def test_a_position_is_known_before_the_commit(self) -> None:
        log = self.make()
        group = log.begin()
        position = group.append(1, 1, b"early")
        log.commit(group)
        assert frame_at(log, position).payload == b"early"
        log.close()

    def test_a_group_can_gather_before_the_one_in_front_of_it_is_committed(self) -> None:
        log = self.make(segment_bytes=100)
        groups = [log.begin()]
        groups[0].append(1, 1, b"a" * 100)
        for letter in (b"b", b"c"):
            groups.append(log.begin(after=groups[-1]))
            groups[-1].append(1, 1, letter * 100)
        for group in groups:
            log.commit(group)
        assert payloads(log) == [b"a" * 100, b"b" * 100, b"c" * 100]
        log.close()

    def test_nothing_is_read_before_it_is_committed(self) -> None:
        log = self.make()
        log.begin().append(1, 1, b"unseen")
        assert payloads(log) == []
        log.close()

    def test_an_empty_group_leaves_the_log_as_it_was(self) -> None:
        log = self.make()
        log.commit(log.begin())
        commit_now(log, [(1, 1, b"first")])
        assert payloads(log) == [b"first"]
        log.close()

    def test_a_log_opened_again_goes_on_where_it_ended(self) -> None:
        log = self.make(segment_bytes=200)
        before = [commit_now(log, [(1, 1, b"%d" % number)])[0] for number in range(20)]
        log.close()
        log = self.make(segment_bytes=200)
        assert log.opened.cut is None
        after = commit_now(log, [(1, 1, b"20")])
        assert payloads(log) == [b"%d" % number for number in range(21)]
        assert [frame.position for frame in log.read()] == before + after
        log.close()

    def test_reading_starts_at_any_frame(self) -> None:
        log, positions = self.make_with_segments(3)
        for number, position in enumerate(positions):
            assert [frame.position for frame in log.read(position)] == positions[number:]
        log.close()

    def test_reading_goes_on_from_the_end_of_the_last_frame(self) -> None:
        log, positions = self.make_with_segments(3)
        for number, frame in enumerate(list(log.read())):
            assert [later.position for later in log.read(frame.end)] == positions[number + 1 :]
        log.close()

    def test_reading_inside_a_frame_is_refused_and_not_called_damage(self) -> None:
        log, positions = self.make_with_segments(2)
        ends = {frame.end for frame in log.read()}
        for position in range(positions[0] + 1, positions[-1] + 30):
            in_header = any(base <= position < base + 32 for base in list_segments(self.disk, self.directory))
            if position in ends or position in positions or in_header:
                continue
            with pytest.raises(RequestRejected, match="position"):
                frame_at(log, position)
        log.close()

    def test_reading_beyond_the_end_is_refused(self) -> None:
        log, positions = self.make_with_segments(1)
        with pytest.raises(RequestRejected, match="position"):
            log.read(positions[-1] + 10_000)
        with pytest.raises(RequestRejected, match="position"):
            list(SegmentReader(self.disk, self.directory).read(positions[-1] + 10_000))
        log.close()

    def test_there_is_no_frame_at_the_end_of_the_log(self) -> None:
        log, _ = self.make_with_segments(1)
        with pytest.raises(RequestRejected, match="no frame of the log starts at 148") as refusal:
            frame_at(log, 148)
        assert refusal.value.status == 404
        log.close()

    def test_a_stray_position_deep_in_a_long_segment_is_refused(self) -> None:
        log = self.make()
        positions = commit_now(log, [(1, 1, b"%05d" % number) for number in range(2_000)])
        assert frame_at(log, positions[-2]).payload == b"01998"
        with pytest.raises(RequestRejected, match="position"):
            frame_at(log, positions[-2] + 1)
        log.close()

    def test_a_frame_of_the_largest_size_is_read_back(self) -> None:
        log = self.make()
        position = commit_now(log, [(1, 1, b"small"), (1, 1, b"L" * FRAME_BYTES_MAX), (1, 1, b"small")])[1]
        assert frame_at(log, position).payload == b"L" * FRAME_BYTES_MAX
        assert len(payloads(log)) == 3
        log.close()

    def test_many_frames_are_read_across_the_bounds_of_reads(self) -> None:
        log = self.make(segment_bytes=3 << 20)
        written = [b"%06d" % number * 60 for number in range(20_000)]
        for start in range(0, len(written), 1_000):
            commit_now(log, [(1, 1, payload) for payload in written[start : start + 1_000]])
        assert payloads(log) == written
        runs = list(log.read_runs())
        assert [frame.payload for run in runs for frame in run] == written
        assert len(runs) < 20
        assert len(list_segments(self.disk, self.directory)) == 3
        log.close()

    def test_a_second_writer_is_refused_until_the_first_closes(self) -> None:
        log = self.make()
        with pytest.raises(LogClosed, match="another process is writing"):
            self.make()
        log.close()
        self.make().close()

    def test_a_closed_log_takes_nothing_and_closing_twice_is_fine(self) -> None:
        log = self.make()
        group = log.begin()
        group.append(1, 1, b"late")
        log.close()
        log.close()
        with pytest.raises(LogClosed):
            log.commit(group)

    def test_a_reader_sees_what_is_added_and_follows_into_new_segments(self) -> None:
        log = self.make(segment_bytes=150)
        reader = SegmentReader(self.disk, self.directory)
        seen: list[bytes] = []
        position = None
        for number in range(12):
            commit_now(log, [(1, 1, b"%040d" % number)])
            for frame in reader.read(position):
                seen.append(frame.payload)
                position = frame.end
        assert seen == [b"%040d" % number for number in range(12)]
        log.close()

    def test_a_reader_without_a_log_reads_nothing(self) -> None:
        assert payloads(SegmentReader(self.disk, self.directory / "none")) == []

    def test_retention_removes_whole_segments_below_a_position(self) -> None:
        log, positions = self.make_with_segments(4)
        retained = log.retain(below=positions[5], older_than_ms=1_000)
        assert retained.segments_removed == 2
        assert [frame.position for frame in log.read()] == positions[4:]
        assert retained.start == log.retain(below=0, older_than_ms=0).start
        assert retained.start == log.start == SegmentReader(self.disk, self.directory).start > 0
        log.close()
        log = self.make(segment_bytes=100)
        assert log.opened.start == retained.start
        assert [frame.position for frame in log.read()] == positions[4:]
        log.close()

    def test_a_log_of_which_nothing_was_dropped_starts_at_the_beginning(self) -> None:
        assert SegmentReader(self.disk, self.directory / "none").start == 0
        log, _ = self.make_with_segments(3)
        assert log.start == SegmentReader(self.disk, self.directory).start == 0
        log.close()

    def test_a_log_begun_at_a_position_goes_on_from_there(self) -> None:
        begin_log(self.disk, self.directory, 4_000)
        log = self.make()
        assert (log.start, payloads(log)) == (4_000, [])
        positions = commit_now(log, [(1, 1, b"first")])
        assert [frame.position for frame in log.read()] == positions
        assert positions[0] > 4_000
        log.close()

    def test_what_is_set_apart_is_dropped_without_what_comes_later(self) -> None:
        log = self.make()
        commit_now(log, [(1, 10, b"old")])
        log.set_apart(before_ms=20)
        commit_now(log, [(1, 30, b"new")])
        assert log.retain(below=log.extent[1], older_than_ms=31).segments_removed == 1
        assert payloads(log) == [b"new"]
        log.close()

    def test_checked_bytes_are_those_of_the_file_up_to_a_frame_and_damage_is_named(self) -> None:
        log = self.make()
        positions = commit_now(log, [(1, 1, b"x" * 60), (1, 1, b"y" * 20), (1, 1, b"z")])
        log.close()
        segment = Segment(self.disk, self.directory, 0)
        written = self.disk.read(segment.path, 0, 1_000)
        assert b"".join(segment.checked_bytes(positions[2])) == written[: positions[2]]
        assert b"".join(segment.checked_bytes(len(written))) == written
        with pytest.raises(Corrupt):
            list(segment.checked_bytes(positions[1] + 5))

    def test_retention_keeps_segments_that_are_not_old_enough(self) -> None:
        log, positions = self.make_with_segments(4)
        assert log.retain(below=positions[-1], older_than_ms=21).segments_removed == 1
        assert [frame.position for frame in log.read()] == positions[2:]
        log.close()

    def test_retention_never_removes_the_newest_segment(self) -> None:
        log, positions = self.make_with_segments(3)
        log.retain(below=1 << 40, older_than_ms=1 << 40)
        assert [frame.position for frame in log.read()] == positions[4:]
        log.close()

    def test_reading_what_retention_removed_says_expired(self) -> None:
        log, positions = self.make_with_segments(3)
        begun = log.read(positions[0])
        assert next(begun).position == positions[0]
        log.retain(below=positions[4], older_than_ms=1_000)
        with pytest.raises(RequestRejected, match="expired") as refusal:
            log.read(positions[0])
        assert refusal.value.status == 410
        with pytest.raises(RequestRejected, match="expired"):
            list(begun)
        log.close()

    def test_reading_on_in_a_segment_that_retention_removed_says_expired(self) -> None:
        log = self.make(segment_bytes=20_000)
        for _ in range(2):
            commit_now(log, [(1, 1, b"x" * 1_000)] * 30)
        begun = log.read()
        next(begun)
        log.retain(below=1 << 40, older_than_ms=1 << 40)
        with pytest.raises(RequestRejected, match="expired"):
            list(begun)
        log.close()

    def test_a_log_of_limited_size_drops_its_oldest_segments_and_counts_them(self) -> None:
        log = self.make(segment_bytes=100, size_bytes_max=500)
        positions = [commit_now(log, [(1, 1, b"%060d" % number)])[0] for number in range(40)]
        kept = [frame.position for frame in log.read()]
        assert kept == positions[-len(kept) :]
        assert 0 < sum(self.disk.size(segment_path(self.directory, base))
                       for base in list_segments(self.disk, self.directory)) <= 500
        assert log.dropped_segments == 40 - len(list_segments(self.disk, self.directory))
        log.close()


class TestLogOnARealDisk(LogChecks):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.disk = RealDisk()
        self.directory = tmp_path / "log"


class TestLogInMemory(LogChecks):
    @pytest.fixture(autouse=True)
    def _place(self) -> None:
        self.disk = SimulatedDisk()
        self.directory = Path("/log")


class TestNewerFormats:
    def test_a_segment_of_a_newer_format_is_refused_in_one_sentence_naming_both(self) -> None:
        disk, directory = SimulatedDisk(), Path("/log")
        header = bytearray(encode_segment_header(0))
        header[12] = 7
        header[8:12] = checksum(header[12:])
        disk.put(segment_path(directory, 0), bytes(header))
        with pytest.raises(Broken, match=r"^/log/0+\.seg: written in log format 7, .* reads formats up to 1$"):
            SegmentLog(disk, directory, segment_bytes=1_000)
        assert disk.files()[segment_path(directory, 0)] == bytes(header)

    def test_a_frame_of_a_newer_format_is_refused_and_not_cut(self) -> None:
        disk, directory = SimulatedDisk(), Path("/log")
        log = SegmentLog(disk, directory, segment_bytes=1_000)
        position = commit_now(log, [(1, 1, b"first"), (1, 1, b"from the future")])[1]
        log.close()
        path = segment_path(directory, 0)
        raw = bytearray(disk.files()[path])
        raw[position + 26] = 2
        raw[position : position + 4] = checksum(raw[position + 4 :])
        disk.put(path, bytes(raw))
        with pytest.raises(Broken, match="written in log format 2, and this release reads formats up to 1"):
            SegmentLog(disk, directory, segment_bytes=1_000)
        assert disk.files()[path] == bytes(raw)


class TestFrames:
    @settings(deadline=None, max_examples=100)
    @given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(-(1 << 63), (1 << 63) - 1), st.binary(max_size=80))),
           st.integers(0, 1 << 62))
    def test_encoding_then_decoding_gives_the_same(self, entries: list[tuple[int, int, bytes]], start: int) -> None:
        group = Group(start=start, segment=0, opening=b"")
        for entry in entries:
            group.append(*entry)
        decoded = decode_frames(bytes(group.buffer), start)
        assert [(frame.partition, frame.time_ms, frame.payload) for frame in decoded.frames] == entries
        assert (decoded.used_bytes, decoded.fault) == (len(group.buffer), FrameFault.END)
        assert group.end == start + len(group.buffer)

    @settings(deadline=None, max_examples=200)
    @given(st.lists(st.binary(max_size=40), max_size=8), st.integers(0, 1 << 40),
           st.lists(st.tuples(st.integers(0, 400), st.integers(1, 255)), max_size=2), st.integers(0, 500))
    def test_a_run_is_the_frames_that_it_holds_however_the_bytes_were_damaged(
        self, payloads: list[bytes], start: int, damage: list[tuple[int, int]], length: int
    ) -> None:
        group = Group(start=start, segment=0, opening=b"")
        for number, payload in enumerate(payloads):
            group.append(number, number, payload)
        chunk = bytearray(group.buffer)[:length]
        for place, bits in damage:
            if place < len(chunk):
                chunk[place] ^= bits
        plain, decoded = decode_frames(bytes(chunk), start), decode_run(bytes(chunk), start)
        run = decoded.frames
        assert list(run) == plain.frames
        assert (decoded.used_bytes, decoded.fault, decoded.version) == (plain.used_bytes, plain.fault, plain.version)
        assert ends_of(run) == ends_of(plain.frames) == [frame.end for frame in run]
        assert list(run[1:-1]) == plain.frames[1:-1]

    @settings(deadline=None, max_examples=200)
    @given(st.binary(max_size=300), st.integers(0, 1 << 40))
    def test_arbitrary_bytes_are_no_frame_and_no_error(self, raw: bytes, position: int) -> None:
        assert decode_frames(raw, position).frames == []
        assert find_group(raw, position) is None

    @pytest.mark.parametrize("position", [0, 1, 32, 1 << 32])
    def test_zeros_are_never_a_frame_of_a_log(self, position: int) -> None:
        assert find_group(bytes(4_096), position) is None
        assert decode_frames(bytes(4_096), position + 32).frames == []

    @settings(deadline=None, max_examples=60)
    @given(st.binary(max_size=60), st.binary(max_size=20), st.integers(1, 1 << 40))
    def test_a_group_is_found_wherever_it_begins(self, before: bytes, payload: bytes, position: int) -> None:
        group = Group(start=position + len(before), segment=0, opening=b"")
        group.append(1, 1, payload)
        group.append(1, 1, payload)
        assert find_group(before + bytes(group.buffer), position) == len(before)

    def test_frames_that_begin_no_group_are_not_found(self) -> None:
        group = Group(start=100, segment=0, opening=b"")
        group.append(1, 1, b"first")
        group.append(1, 1, b"second")
        assert find_group(bytes(group.buffer)[1:], 101) is None

    def test_a_frame_in_the_wrong_place_is_not_read(self) -> None:
        group = Group(start=100, segment=0, opening=b"")
        group.append(1, 1, b"first")
        assert decode_frames(bytes(group.buffer), 100 + FRAME_HEADER_BYTES).fault is FrameFault.BAD

    def test_an_entry_over_the_limit_is_a_mistake_of_the_caller(self) -> None:
        with pytest.raises(AssertionError, match="FRAME_BYTES_MAX"):
            Group(start=0, segment=0, opening=b"").append(1, 1, bytes(FRAME_BYTES_MAX + 1))


def test_a_group_behind_a_refused_one_is_refused_too() -> None:
    disk = SimulatedDisk()
    log = SegmentLog(disk, Path("/log"), segment_bytes=1_000)
    first = log.begin()
    first.append(1, 1, b"first")
    second = log.begin(after=first)
    second.append(1, 1, b"second")
    disk.capacity_bytes = 40
    with pytest.raises(DiskFull):
        log.commit(first)
    disk.capacity_bytes = 10_000
    with pytest.raises(DiskFull):
        log.commit(second)
    commit_now(log, [(1, 1, b"third")])
    assert payloads(log) == [b"third"]


def checksum(raw: bytes | bytearray) -> bytes:
    return zlib.crc32(raw).to_bytes(4, "little")


def test_many_entries_make_the_group_that_one_after_the_other_makes() -> None:
    entries = [(number % 3, 1_000 + number, bytes(number), None) for number in range(20)]
    together, apart = Group(start=40, segment=0, opening=b""), Group(start=40, segment=0, opening=b"")
    positions = together.extend(entries[:1]) + together.extend(entries[1:])
    assert positions == [apart.append(*entry[:3]) for entry in entries]
    assert (together.buffer, together.end) == (apart.buffer, apart.end)
    assert together.extend([]) == []
    assert together.append(1, 1, b"more") == apart.append(1, 1, b"more")
    with pytest.raises(AssertionError):
        together.extend([(1, 1, b"x", None), (1, 1, bytes(FRAME_BYTES_MAX + 1), None)])
    assert together.buffer == apart.buffer, "all of them or none"
