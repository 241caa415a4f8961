"""R28: a migration that is killed at any step, or at any system call, is completed by the next start."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from instanter.foundation.disk import Bytes, RealDisk, WritableFile
from instanter.foundation.errors import Broken
from instanter.ops.datadir import FORMAT, MIGRATING, READY, DataDirectory

from ..ops.test_migration import assert_is_migrated, of_format_1, rebuilt
from .conftest import Figures
from .migrating import work
from .tracing import calls, traced

HERE = Path(__file__).parent
KILLED = 9
CALLS = {
    "openat": "openat", "write": "write", "fdatasync": "fdatasync", "fsync": "fsync", "pwrite64": "pwrite64",
    "rename": "?rename,?renameat,?renameat2", "unlink": "?unlink,?unlinkat", "mkdir": "?mkdir,?mkdirat",
    "rmdir": "?rmdir",
}  # fmt: skip

pytestmark = [pytest.mark.faults, pytest.mark.about("P5", "P9")]


class DyingFile:
    """A file of `DyingDisk`; writing and syncing are steps as well, and a write can be cut in the middle."""

    def __init__(self, disk: DyingDisk, file: WritableFile) -> None:
        self._disk = disk
        self._file = file

    def write(self, chunk: Bytes) -> int:
        if self._disk.last_step:
            self._file.write(bytes(chunk)[: len(chunk) // 2])
        self._disk.step()
        return self._file.write(chunk)

    def sync(self) -> None:
        self._disk.step()
        self._file.sync()

    def truncate(self, size_bytes: int) -> None:
        self._disk.step()
        self._file.truncate(size_bytes)

    def is_at(self, path: Path) -> bool:
        return self._file.is_at(path)

    def close(self) -> None:
        self._file.close()


class DyingDisk(RealDisk):
    """The machine's disk; the process ends at the n-th change, and nothing of it goes on."""

    def __init__(self, dies_at: int) -> None:
        self._left = dies_at

    @property
    def last_step(self) -> bool:
        return self._left == 1

    def step(self) -> None:
        self._left -= 1
        if self._left == 0:
            os._exit(KILLED)

    def open(self, path: Path) -> WritableFile:
        self.step()
        return DyingFile(self, super().open(path))

    def overwrite(self, path: Path, offset: int, content: Bytes) -> None:
        self.step()
        super().overwrite(path, offset, content)

    def rename(self, old: Path, new: Path) -> None:
        self.step()
        super().rename(old, new)

    def unlink(self, path: Path) -> None:
        self.step()
        super().unlink(path)

    def make_directory(self, directory: Path) -> None:
        self.step()
        super().make_directory(directory)

    def sync_directory(self, directory: Path) -> None:
        self.step()
        super().sync_directory(directory)


def died(data: Path, step: int) -> bool:
    """Whether a migration in a process of its own came to its `step`-th change, and died there."""
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            work(data, DyingDisk(step))
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, KILLED), code
    return code == KILLED


def assert_completes(data: Path) -> None:
    """An old program refuses the directory once anything that it would misread is in place; the next start completes.

    It reads the marker first of all, so what it would meet is a directory of format 1 as it was, or a newer one.
    """
    directory = DataDirectory(RealDisk(), data)
    if directory.format() < FORMAT:
        assert rebuilt(data).state.hash() == rebuilt(of_format_1(data.with_name(data.name + "-old"))).state.hash()
        assert not (data / "replaced").exists() or not any((data / "replaced").iterdir())
    elif (data / MIGRATING / READY).exists():
        with pytest.raises(Broken, match="is on its way to a new format"):
            directory.check()
    work(data, RealDisk())
    assert_is_migrated(data)
    gc.collect()  # States are large and lie in circles.


def test_r28_killed_at_every_change_of_the_disk(tmp_path: Path, full: bool, figures: Figures) -> None:
    step, stride = 1, 1 if full else 7
    while died(of_format_1(data := tmp_path / f"data-{step}"), step):
        assert_completes(data)
        shutil.rmtree(data)
        shutil.rmtree(data.with_name(data.name + "-old"), ignore_errors=True)
        step += stride
    assert_is_migrated(data)
    assert step > 80, "it has that many steps"
    figures(migrations_killed=step // stride, migrations_completed=step // stride, state_hashes_differing=0)


def test_r28_killed_again_and_again_on_its_way(tmp_path: Path) -> None:
    data, deaths = of_format_1(tmp_path / "data"), 0
    for step in (5, 20, 30, 12, 25, 40, 10, 3, 1, 2):
        deaths += died(data, step)
    work(data, RealDisk())
    assert_is_migrated(data)
    assert deaths > 6


def test_r28_killed_by_a_signal_at_a_system_call(
    tmp_path: Path, strace: str, full: bool, figures: Figures
) -> None:  # fmt: skip
    kills = 0
    names = list(CALLS) if full else ["fdatasync", "rename"]
    for name in names:
        traced_as = CALLS[name]
        for k in (1, 2, 3, 5, 8, 13, 21) if full else (2,):
            data = of_format_1(tmp_path / f"{name}-{k}")
            command = [sys.executable, "-m", "tests.faults.migrating", str(data)]
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                  cwd=HERE.parents[1]) as process:
                assert process.stdin is not None
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
                injection = f"inject={traced_as}:signal=SIGKILL:when={k}"
                report = tmp_path / f"{name}-{k}.trace"
                with traced(strace, process.pid, "-e", f"trace={traced_as}", "-e", injection, report=report):
                    process.stdin.write("go\n")
                    process.stdin.flush()
                    process.wait(60)
            assert process.returncode in (0, -KILLED)
            kills += process.returncode == -KILLED
            assert_completes(data) if process.returncode else assert_is_migrated(data)
            assert report.stat().st_size > 0 or calls(report, name) == []
    assert kills >= len(names)
    figures(migrations_killed=kills, migrations_completed=kills)
