"""Torn ends are cut and reported, damage is named and never served (rows R2 and R3 of the promises, for the log)."""

import random
from pathlib import Path

import pytest

from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import Corrupt
from instanter.log.commit import commit_now
from instanter.log.frames import Frame
from instanter.log.segment_log import SegmentLog
from instanter.log.segments import SegmentReader, list_segments, segment_path
from instanter.sim.disk import PowerLost, SimulatedDisk

from ..conftest import Figures

DIRECTORY = Path("/log")
SEGMENT_BYTES = 400
FLIPS = 10_000


def written_log(groups: list[list[bytes]]) -> tuple[dict[Path, bytes], list[Frame]]:
    """The files of a log with these groups, and its frames."""
    disk = SimulatedDisk()
    log = SegmentLog(disk, DIRECTORY, segment_bytes=SEGMENT_BYTES)
    for number, group in enumerate(groups):
        commit_now(log, [(number % 4, number, payload) for payload in group])
    return disk.files(), list(log.read())


def disk_with(files: dict[Path, bytes]) -> SimulatedDisk:
    disk = SimulatedDisk()
    for path, contents in files.items():
        disk.put(path, contents)
    return disk


def opened(disk: SimulatedDisk) -> SegmentLog:
    return SegmentLog(disk, DIRECTORY, segment_bytes=SEGMENT_BYTES)


def groups_of(seed: int, count: int) -> list[list[bytes]]:
    chance = random.Random(seed)
    return [[chance.randbytes(chance.randrange(60)) for _ in range(chance.randrange(1, 4))] for _ in range(count)]


def placed(frame: Frame, bases: list[int]) -> tuple[Path, int]:
    base = max(base for base in bases if base <= frame.position)
    return segment_path(DIRECTORY, base), frame.position - base


class LateDisk(SimulatedDisk):
    """The first reads see only the beginning of a file: the writer was not further then."""

    def __init__(self, late_reads: int, late_bytes: int) -> None:
        super().__init__()
        self.late_reads = late_reads
        self.late_bytes = late_bytes

    def read(self, path: Path, offset: int, size_bytes: int) -> bytes:
        raw = super().read(path, offset, size_bytes)
        if self.late_reads == 0:
            return raw
        self.late_reads -= 1
        return raw[: max(0, self.late_bytes - offset)]


@pytest.mark.row("R2")
@pytest.mark.about("P1", "P5")
class TestTornEnd:
    def test_cut_at_every_byte_of_the_last_three_records_it_opens_with_the_longest_whole_prefix(
        self, figures: Figures
    ) -> None:
        body = [b"%d" % number * 9 for number in range(20)]
        files, frames = written_log([body, [b"tail-1"], [b"tail-22"], [b"tail-333"]])
        path = max(files)
        base = int(path.stem)
        for end in range(frames[-3].position, frames[-1].end):
            disk = disk_with(files | {path: files[path][: end - base]})
            log = opened(disk)
            expected = [frame for frame in frames if frame.end <= end]
            assert list(log.read()) == expected
            reached = max([frame.end for frame in expected] + [base + 32])
            cut_bytes = end - reached
            if cut_bytes == 0:
                assert log.opened.cut is None
            else:
                assert log.opened.cut is not None
                assert log.opened.cut.size_bytes == cut_bytes
                assert (log.opened.cut.file, log.opened.cut.offset) == (str(path), reached - base)
            self.assert_goes_on(log, disk, expected)
        figures(cuts=frames[-1].end - frames[-3].position)

    @pytest.mark.parametrize("seed", range(30))
    def test_garbage_behind_the_end_is_cut(self, seed: int) -> None:
        files, frames = written_log(groups_of(seed, 9))
        garbage = random.Random(seed).randbytes(1 + seed * 37)
        path = max(files)
        disk = disk_with(files | {path: files[path] + garbage})
        log = opened(disk)
        assert log.opened.cut is not None
        assert str(log.opened.cut) == (
            f"{path}: cut {len(garbage)} bytes of an unfinished write at byte {len(files[path])}")
        self.assert_goes_on(log, disk, frames)

    @pytest.mark.parametrize("kept_bytes", [0, 1, 27, 28, 29, 100, 1_000, 4_000])
    def test_zeros_in_the_last_4_kib_are_cut(self, kept_bytes: int) -> None:
        files, frames = written_log([[b"x" * 50] * 3, [b"y" * 90] * 50])
        path = max(files)
        size_bytes = len(files[path])
        zeroed = files[path][: size_bytes - 4_096 + kept_bytes] + bytes(4_096 - kept_bytes)
        disk = disk_with(files | {path: zeroed})
        log = opened(disk)
        assert log.opened.cut is not None
        assert 4_096 - kept_bytes <= log.opened.cut.size_bytes < 4_096 - kept_bytes + 118
        expected = frames[: len(list(log.read()))]
        assert expected[-1].end == log.opened.end
        self.assert_goes_on(log, disk, expected)

    def test_zeros_behind_the_end_are_cut(self) -> None:
        files, frames = written_log(groups_of(1, 5))
        path = max(files)
        disk = disk_with(files | {path: files[path] + bytes(4_096)})
        log = opened(disk)
        assert log.opened.cut is not None
        assert log.opened.cut.size_bytes == 4_096
        self.assert_goes_on(log, disk, frames)

    def test_a_hole_inside_the_last_group_is_torn_although_whole_frames_lie_behind_it(self) -> None:
        disk = SimulatedDisk()
        log = opened(disk)
        commit_now(log, [(1, 1, b"durable")])
        disk.fail("sync", None)
        with pytest.raises(PowerLost):
            commit_now(log, [(1, 1, b"lost" * 20), (1, 1, b"whole"), (1, 1, b"whole")])
        disk.crash(unsynced_bytes=1_000, hole_bytes=40)
        log = opened(disk)
        assert [frame.payload for frame in log.read()] == [b"durable"]
        assert log.opened.cut is not None
        assert log.opened.cut.size_bytes == 28 * 3 + 80 + 5 + 5

    @pytest.mark.parametrize("size_bytes", [0, 1, 31, 32, 40])
    def test_a_segment_that_was_being_created_is_begun_again_at_its_place(self, size_bytes: int) -> None:
        files, frames = written_log([[b"x" * 390], [b"y" * 50]])
        path = max(files)
        assert path != min(files)
        disk = disk_with(files | {path: files[path][:size_bytes]})
        log = opened(disk)
        assert commit_now(log, [(1, 1, b"again")]) == [frames[1].position]
        assert [frame.payload for frame in log.read()] == [b"x" * 390, b"again"]

    def assert_goes_on(self, log: SegmentLog, disk: SimulatedDisk, frames: list[Frame]) -> None:
        commit_now(log, [(1, 1, b"after")])
        log.close()
        log = opened(disk)
        assert log.opened.cut is None
        assert [frame.payload for frame in log.read()] == [*(frame.payload for frame in frames), b"after"]


class TestTornEndOnARealDisk:
    def test_cut_inside_the_last_record_it_opens_and_the_file_is_shortened(self, tmp_path: Path) -> None:
        log = SegmentLog(RealDisk(), tmp_path, segment_bytes=10_000)
        positions = commit_now(log, [(1, 1, b"first"), (1, 1, b"second")])
        log.close()
        path = segment_path(tmp_path, 0)
        path.write_bytes(path.read_bytes()[:-1] + bytes(4_096))
        log = SegmentLog(RealDisk(), tmp_path, segment_bytes=10_000)
        assert [frame.payload for frame in log.read()] == [b"first"]
        assert log.opened.cut is not None
        assert path.stat().st_size == positions[1]
        log.close()


@pytest.mark.row("R3")
class TestDamage:
    def test_every_flipped_bit_is_found_and_named_and_no_wrong_payload_is_served(self, figures: Figures) -> None:
        files, frames = written_log(groups_of(7, 24))
        bases = sorted(int(path.stem) for path in files)
        places = {placed(frame, bases): frame for frame in frames}
        chance = random.Random(11)
        paths = sorted(files)
        found = {"refused at open": 0, "cut at open": 0, "refused when read": 0}
        for _ in range(FLIPS):
            path = chance.choice(paths)
            offset = chance.randrange(len(files[path]))
            damaged = bytearray(files[path])
            damaged[offset] ^= 1 << chance.randrange(8)
            starts = [0, *(start for file, start in places if file == path)]
            start = max(start for start in starts if start <= offset)
            found[self.detect(files | {path: bytes(damaged)}, frames, path, start)] += 1
        assert sum(found.values()) == FLIPS
        figures(flips=FLIPS, found=sum(found.values()))
        assert min(found.values()) > FLIPS // 200

    def detect(self, files: dict[Path, bytes], frames: list[Frame], path: Path, start: int) -> str:
        """How the damage at the frame (or header) at `start` was found; fails if it was not or was misnamed."""
        disk = disk_with(files)
        try:
            log = opened(disk)
        except Corrupt as damage:
            self.assert_names(damage, path, start)
            return "refused at open"
        served: list[Frame] = []
        try:
            served.extend(log.read())
        except Corrupt as damage:
            self.assert_names(damage, path, start)
            return "refused when read"
        assert log.opened.cut is not None, f"damage at {path} {start} was not found"
        assert (log.opened.cut.file, log.opened.cut.offset) == (str(path), start)
        assert served == frames[: len(served)]
        return "cut at open"

    def assert_names(self, damage: Corrupt, path: Path, start: int) -> None:
        assert (damage.file, damage.offset) == (str(path), start)
        assert str(damage).startswith(f"{path}: damaged at byte {start}: ")

    def test_the_frames_before_the_damage_are_served_and_none_behind(self) -> None:
        files, frames = written_log(groups_of(3, 20))
        bases = sorted(int(path.stem) for path in files)
        path, offset = placed(frames[5], bases)
        damaged = bytearray(files[path])
        damaged[offset + 20] ^= 4
        disk = disk_with(files | {path: bytes(damaged)})
        log = opened(disk)
        reading = log.read()
        assert [next(reading) for _ in range(5)] == frames[:5]
        with pytest.raises(Corrupt):
            next(reading)

    def test_a_reader_names_damage_before_a_later_group_and_stops_quietly_at_an_unfinished_end(self) -> None:
        files, frames = written_log([[b"first"], [b"second"], [b"third"]])
        path = max(files)

        def reader_of(raw: bytes | bytearray) -> SegmentReader:
            return SegmentReader(disk_with({path: bytes(raw)}), DIRECTORY)

        damaged = bytearray(files[path])
        damaged[frames[1].position + 30] ^= 1
        with pytest.raises(Corrupt, match=f"damaged at byte {frames[1].position}"):
            list(reader_of(damaged).read())
        unfinished = bytearray(files[path])
        unfinished[frames[2].position + 30] ^= 1
        assert list(reader_of(unfinished).read()) == frames[:2]
        assert list(reader_of(files[path][:-1]).read()) == frames[:2]
        assert list(reader_of(files[path][:20]).read()) == []

    def test_reading_from_a_damaged_frame_is_damage_and_not_a_wrong_position(self) -> None:
        files, frames = written_log([[b"%d" % number] for number in range(6)])
        path = max(files)
        damaged = bytearray(files[path])
        disk = disk_with(files)
        log = opened(disk)
        damaged[frames[2].position + 28] ^= 1
        disk.put(path, bytes(damaged))
        with pytest.raises(Corrupt, match=f"damaged at byte {frames[2].position}"):
            list(log.read(frames[2].position))
        damaged[frames[4].position + 28] ^= 1
        disk.put(path, bytes(damaged))
        with pytest.raises(Corrupt, match=f"damaged at byte {frames[4].position}"):
            list(log.read(frames[4].position))

    @pytest.mark.parametrize("late_reads", range(8))
    @pytest.mark.parametrize("late_bytes", [0, 20, 32, 50, 90, 120])
    def test_a_reader_that_is_overtaken_by_the_writer_calls_nothing_damaged(
        self, late_reads: int, late_bytes: int
    ) -> None:
        files, frames = written_log([[b"%d" % number] for number in range(6)])
        disk = LateDisk(late_reads, late_bytes)
        for path, contents in files.items():
            disk.put(path, contents)
        reader = SegmentReader(disk, DIRECTORY)
        served = list(reader.read())
        assert served == frames[: len(served)]
        disk.late_reads = 0
        assert served + list(reader.read(served[-1].end if served else None)) == frames

    def test_a_segment_that_is_missing_is_a_gap_that_is_named(self) -> None:
        files, _ = written_log(groups_of(5, 24))
        first, gone, *_ = sorted(files)
        del files[gone]
        with pytest.raises(Corrupt, match=f"^{first}: damaged at byte {len(files[first])}"):
            opened(disk_with(files))
        with pytest.raises(Corrupt, match=f"^{first}: damaged at byte {len(files[first])}"):
            list(SegmentReader(disk_with(files), DIRECTORY).read())

    def test_a_segment_in_another_ones_place_is_damage(self) -> None:
        files, _ = written_log([[b"x" * 390], [b"y" * 390], [b"z" * 50]])
        first, second, _ = sorted(files)
        disk = disk_with(files | {first: files[second]})
        with pytest.raises(Corrupt, match=f"^{first}: damaged at byte 0"):
            list(opened(disk).read())

    def test_a_sector_that_cannot_be_read_is_damage(self) -> None:
        files, _ = written_log([[b"first"], [b"second"]])
        disk = disk_with(files)
        log = opened(disk)
        disk.fail("read", 5)
        with pytest.raises(Corrupt, match="cannot be read: Input/output error"):
            list(log.read())

    def test_a_file_cut_short_below_what_was_known_durable_is_damage(self) -> None:
        files, frames = written_log([[b"first"], [b"second"]])
        disk = disk_with(files)
        log = opened(disk)
        path = segment_path(DIRECTORY, list_segments(disk, DIRECTORY)[0])
        disk.put(path, files[path][:-1])
        with pytest.raises(Corrupt, match=f"damaged at byte {frames[1].position}"):
            list(log.read())
