"""The second process of a first start: when there is one, what it compiles, and that it never outlives the server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from instanter.ops.second_core import cores, free_mb, second_core
from instanter.ops.settings import Config

KERNELS = """
from instanter.state.ahead import compile_backwards, foresee
from instanter.state.compiled import kernel
from instanter.state.compiling import compiled, is_missing

@kernel
def inner(x):
    return x + 1

@kernel
def outer(x, y):
    return inner(x) * y

@kernel
def last(x):
    return inner(x)

def run():
    results.append((outer(1, y=2), outer(1.5, 2), inner(1), last(3)))

results = []
calls = foresee(run)
print([(call.py_func.__name__, [str(one) for one in types]) for call, types in calls])
print(sorted(compiled.functions), is_missing(outer))
compile_backwards(calls)
print(compiled.wholes, is_missing(outer))
known = len(compiled.wholes)
run()
print(compiled.wholes[known:], results[0] == results[1])
"""
WARM_UP = """
import numpy as np
from instanter.engine.warmup import warm_up
from instanter.ops.settings import Config
from instanter.ops.wiring import decider_of, schema_of
from instanter.state.ahead import foresee
from instanter.state.compiling import compiled
schema = schema_of(Config())
decider = decider_of(Config(), schema)
with np.errstate(all="ignore"):
    calls = foresee(lambda: warm_up(schema, decider, ("home.recommended",)))
print("fold_batch" in {kernel.py_func.__name__ for kernel, _ in calls})
print(sorted(compiled.functions))
"""
SERVER = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # It is ignored where whoever runs the tests ignores it.
from instanter.ops.second_core import second_core
from instanter.ops.settings import Config
import logging
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(pid)s")
with second_core(Config()):
    sys.stdout.flush()
    time.sleep(300 if sys.argv[1] == "serve" else 0)
"""


def run(program: str, kernels: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"NUMBA_CACHE_DIR": str(kernels)}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_what_python_calls_is_foreseen_without_compiling_and_compiled_from_the_end(tmp_path: Path) -> None:
    foreseen, before, after, late = run(KERNELS, tmp_path)
    assert foreseen == (
        "[('outer', ['int64', 'int64']), ('outer', ['float64', 'int64']), ('inner', ['int64']), ('last', ['int64'])]"
    )
    assert before == "[] True"
    assert after == "['last', 'inner', 'outer', 'outer'] False"
    assert late == "[] True"


def test_two_forms_of_a_kernel_lie_in_two_files_and_what_is_damaged_is_compiled_anew(tmp_path: Path) -> None:
    run(KERNELS, tmp_path)
    files = sorted((tmp_path / "kernels").iterdir())
    assert [file.name.split("-")[0].split(".")[-1] for file in files] == ["inner", "last", "outer", "outer"]
    whole = files[1].read_bytes()
    for damaged in (whole[:-100], whole[:32]):
        files[1].write_bytes(damaged)
        assert run(KERNELS, tmp_path)[3] == "[] True"
        assert files[1].stat().st_size > 1_000


def group(root: Path, path: str, **files: str) -> None:
    folder = root / "sys/fs/cgroup" / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine with 8 GB free and a process in a group of a group."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal:       9000000 kB\nMemAvailable:    8192000 kB\n")
    (tmp_path / "proc/self/cgroup").write_text("0::/outer/inner\n")
    return tmp_path


def test_memory_is_what_the_machine_and_each_group_around_can_still_give(machine: Path) -> None:
    assert free_mb(machine) == 8_000
    group(machine, "outer/inner", memory__max="max\n", memory__current=f"{100 << 20}\n")
    assert free_mb(machine) == 8_000
    group(machine, "outer", memory__max=f"{512 << 20}\n", memory__current=f"{100 << 20}\n")
    assert free_mb(machine) == 412
    group(machine, "outer", memory__stat=f"anon 5\ninactive_file {50 << 20}\n")
    assert free_mb(machine) == 462
    assert free_mb(machine / "nowhere") == 0


def test_memory_and_cores_of_the_first_kind_of_groups(machine: Path) -> None:
    (machine / "proc/self/cgroup").write_text("5:memory:/a\n4:cpu,cpuacct:/a\n3:pids:/a\n1:name=systemd:/a\n")
    group(machine, "memory/a", memory__limit_in_bytes=f"{300 << 20}", memory__usage_in_bytes=f"{1 << 20}")
    group(machine, "cpu,cpuacct/a", cpu__cfs_quota_us="100000\n", cpu__cfs_period_us="200000\n")
    assert free_mb(machine) == 299
    assert cores(machine) == 0.5
    group(machine, "cpu,cpuacct/a", cpu__cfs_quota_us="-1\n")
    assert cores(machine) == len(os.sched_getaffinity(0))


def test_cores_are_those_it_is_bound_to_and_no_more_than_its_groups_may_use(machine: Path) -> None:
    assert cores(machine) == len(os.sched_getaffinity(0))
    group(machine, "outer/inner", cpu__max="max 100000\n")
    assert cores(machine) == len(os.sched_getaffinity(0))
    group(machine, "outer", cpu__max="50000 100000\n")
    assert cores(machine) == 0.5


def serve(kernels: Path, what: str) -> tuple[subprocess.Popen[str], str]:
    """A server as far as it matters here, and the id of the process beside it; empty if there is none."""
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, what], env=os.environ | {"NUMBA_CACHE_DIR": str(kernels)}, text=True,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert server.stdout is not None
    return server, server.stdout.readline().strip()


def is_there(pid: str) -> bool:
    try:
        return Path("/proc", pid, "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_the_whole_of_a_start_can_be_looked_at_without_compiling(tmp_path: Path) -> None:
    assert run(WARM_UP, tmp_path) == ["True", "[]"]


needs_two = pytest.mark.skipif(cores() < 2 or free_mb() < 1_000, reason="there is no second core or no memory here")


@needs_two
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_is_gone_soon_after_the_server_in_whatever_way_that_ends(tmp_path: Path, how: signal.Signals) -> None:
    server, pid = serve(tmp_path, "serve")
    assert is_there(pid)
    server.send_signal(how)
    server.communicate(timeout=60)
    for _ in range(200):
        if not is_there(pid):
            break
        time.sleep(0.05)
    assert not is_there(pid)
    assert not list(tmp_path.glob("kernels/*.tmp.*"))


@needs_two
def test_it_is_gone_when_the_server_is_ready(tmp_path: Path) -> None:
    server, pid = serve(tmp_path, "end")
    server.communicate()
    assert server.returncode == 0
    assert pid
    assert not is_there(pid)


@pytest.mark.parametrize("program", ["/nowhere/python", "/bin/false"])
def test_where_it_cannot_run_the_server_goes_on(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", program)
    monkeypatch.setattr("instanter.ops.second_core.is_missing", lambda kernel: True)
    monkeypatch.setattr("instanter.ops.second_core.cores", lambda root: 2.0)
    monkeypatch.setattr("instanter.ops.second_core.free_mb", lambda root: 10_000)
    with second_core(Config()):
        pass


def test_there_is_none_on_one_core_without_memory_or_when_all_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Config] = []
    monkeypatch.setattr("instanter.ops.second_core._start", started.append)
    for missing, core_count, free in ((True, 1.5, 10_000), (True, 2.0, 512), (False, 2.0, 10_000)):
        for name, value in (("is_missing", missing), ("cores", core_count), ("free_mb", free)):
            monkeypatch.setattr(f"instanter.ops.second_core.{name}", lambda *_, value=value: value)
        with second_core(Config(), tmp_path):
            pass
    assert started == []
