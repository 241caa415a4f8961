"""What every Disk must do, so that the one in memory can stand in for the real one."""

import contextlib
import os
from pathlib import Path

import pytest

from instanter.foundation.disk import Disk, RealDisk
from instanter.sim.disk import SimulatedDisk


class DiskChecks:
    """What every Disk must do. Subclass it once per disk and give `disk` and an existing `directory`."""

    disk: Disk
    directory: Path

    def write(self, name: str, contents: bytes) -> Path:
        path = self.directory / name
        file = self.disk.open(path)
        assert file.write(contents) == len(contents)
        file.sync()
        file.close()
        return path

    def test_what_is_written_is_appended_and_read_at_any_offset(self) -> None:
        self.write("a", b"first ")
        path = self.write("a", memoryview(bytearray(b"second")))  # a view, as the log writes
        assert self.disk.read(path, 0, 100) == b"first second"
        assert self.disk.read(path, 3, 5) == b"st se"
        assert self.disk.read(path, 100, 5) == b""
        assert self.disk.size(path) == 12

    def test_what_is_read_now_is_what_is_read_once_the_system_has_it(self) -> None:
        path = self.write("a", b"0123456789")
        assert self.read_soon(path, 3, 4) == b"3456"
        assert self.read_soon(path, 8, 100) == b"89"
        assert self.read_soon(path, 100, 5) == b""

    def read_soon(self, path: Path, offset: int, size_bytes: int) -> bytes:
        """What `read_now` says when it is asked often enough."""
        while True:
            with contextlib.suppress(BlockingIOError):
                return self.disk.read_now(path, offset, size_bytes)

    def test_writing_goes_on_where_a_file_was_truncated(self) -> None:
        path = self.directory / "a"
        file = self.disk.open(path)
        file.write(b"0123456789")
        file.truncate(4)
        file.write(b"x")
        file.close()
        assert self.disk.read(path, 0, 100) == b"0123x"

    def test_names_are_listed_in_order_renamed_and_removed(self) -> None:
        for name in ("b", "c", "a"):
            self.write(name, name.encode())
        self.disk.rename(self.directory / "b", self.directory / "c")
        self.disk.unlink(self.directory / "a")
        self.disk.sync_directory(self.directory)
        assert self.disk.list(self.directory) == ["c"]
        assert self.disk.read(self.directory / "c", 0, 9) == b"b"

    def test_a_directory_that_does_not_exist_has_no_names(self) -> None:
        assert self.disk.list(self.directory / "none") == []

    def test_making_a_directory_twice_is_fine(self) -> None:
        self.disk.make_directory(self.directory / "deep" / "er")
        self.disk.make_directory(self.directory / "deep" / "er")
        assert self.disk.list(self.directory / "deep" / "er") == []

    def test_a_missing_file_is_not_read_measured_or_removed(self) -> None:
        with pytest.raises(FileNotFoundError):
            self.disk.read(self.directory / "none", 0, 1)
        with pytest.raises(FileNotFoundError):
            self.read_soon(self.directory / "none", 0, 1)
        with pytest.raises(FileNotFoundError):
            self.disk.size(self.directory / "none")
        with pytest.raises(FileNotFoundError):
            self.disk.unlink(self.directory / "none")

    def test_a_lock_has_one_holder_at_a_time(self) -> None:
        lock = self.disk.lock(self.directory / "lock")
        with pytest.raises(BlockingIOError):
            self.disk.lock(self.directory / "lock")
        lock.release()
        self.disk.lock(self.directory / "lock").release()


class TestRealDisk(DiskChecks):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.disk = RealDisk()
        self.directory = tmp_path

    def test_files_are_readable_by_their_owner_only(self) -> None:
        assert self.write("a", b"personal").stat().st_mode & 0o077 == 0


    def test_what_the_system_does_not_have_is_not_waited_for_and_comes_by_itself(self) -> None:
        path = self.write("a", bytes(1 << 20))
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
        with contextlib.suppress(BlockingIOError):  # Some file systems keep what they were told to let go.
            assert self.disk.read_now(path, 40_960, 4_096) == bytes(4_096)
        assert self.read_soon(path, 40_960, 4_096) == bytes(4_096)

    def test_where_the_system_cannot_tell_all_is_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        path = self.write("a", b"0123456789")
        monkeypatch.delattr(os, "RWF_NOWAIT")
        with pytest.raises(BlockingIOError):
            self.disk.read_now(path, 0, 4)


class TestSimulatedDisk(DiskChecks):
    @pytest.fixture(autouse=True)
    def _place(self) -> None:
        self.disk = SimulatedDisk()
        self.directory = Path("/")
