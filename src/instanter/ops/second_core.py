"""A first start on two cores: a process of its own compiles kernels from the other end, into the same folder.

It changes how long a start takes and nothing else. It ends when it is done, when the server is ready, and when the
server is gone in whatever way: its standard input closes then. Where it fails the server compiles what is left.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from ..engine.warmup import warm_up
from ..state.ahead import compile_backwards, foresee
from ..state.compiling import is_missing, keeping
from ..state.fold import fold_batch
from .settings import Config
from .wiring import decider_of, schema_of

reports = logging.getLogger("instanter.kernels")

ROOM_MB = 768
"""Memory that must be free for it: it takes up to 300 MB, and the server itself grows while it runs."""
CORES_MIN = 2.0
END_S_MAX = 5.0
NICE = 10
"""Where others use the cores, the server goes first."""
_MIB = 1_048_576
_ROOT = Path("/")


@contextlib.contextmanager
def second_core(config: Config, root: Path = _ROOT) -> Iterator[None]:
    """While this lasts a second process compiles, if there is something to compile and a core and memory for it.

    Whether there is something is told by the largest kernel, the fold.
    """
    wanted = is_missing(fold_batch) and cores(root) >= CORES_MIN and free_mb(root) >= ROOM_MB
    helper = _start(config) if wanted else None
    try:
        yield
    finally:
        if helper is not None:
            _end(helper)


def _start(config: Config) -> subprocess.Popen[bytes] | None:
    command = [sys.executable, "-m", __name__]
    with contextlib.suppress(OSError), tempfile.TemporaryFile() as file:
        file.write(msgspec.json.encode(config))
        file.seek(0)
        handed = file.fileno()
        helper = subprocess.Popen(
            [*command, str(handed)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            pass_fds=(handed,),
        )  # fmt: skip
        reports.info("a second process compiles kernels too", extra={"pid": helper.pid})
        return helper
    return None


def _end(helper: subprocess.Popen[bytes]) -> None:
    with helper:  # Which closes its standard input.
        assert helper.stdin is not None
        helper.stdin.close()
        try:
            helper.wait(END_S_MAX)
        except subprocess.TimeoutExpired:
            helper.kill()


def cores(root: Path = _ROOT) -> float:
    """How many cores this process may use at once: those it is bound to, and what its groups may take of them."""
    affinity = getattr(os, "sched_getaffinity", None)
    found = float(len(affinity(0)) if affinity is not None else os.cpu_count() or 1)
    for group in _groups(root, "cpu"):
        quota, period = _numbers(group / "cpu.max")[:2] or (
            *_numbers(group / "cpu.cfs_quota_us"), *_numbers(group / "cpu.cfs_period_us")
        ) or (-1, -1)  # fmt: skip
        if quota > 0 and period > 0:
            found = min(found, quota / period)
    return found


def free_mb(root: Path = _ROOT) -> int:
    """Memory that this process may still take: of the machine, and of what its groups may have. 0 if nobody says."""
    found = _named(root / "proc/meminfo", "MemAvailable:") // 1_024
    for group in _groups(root, "memory"):
        for most, now in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            limit, used = _numbers(group / most), _numbers(group / now)
            if limit and used:  # What files are kept in can be had at any time.
                found = min(found, (limit[0] - used[0] + _named(group / "memory.stat", "inactive_file")) // _MIB)
    return found


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The control groups around this process that bound one of its means, from the innermost outwards."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, controllers, path = line.split(":", 2)
        mounted = root / "sys/fs/cgroup"
        if controller in controllers.split(","):
            mounted = mounted / controllers if (mounted / controllers).is_dir() else mounted / controller
        elif number != "0":
            continue
        group = mounted / path.lstrip("/")
        yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(mounted))


def _named(path: Path, name: str) -> int:
    """The number behind a name, at the start of some line; 0 without."""
    lines = (line.split() for line in _text(path).splitlines())
    return next((int(words[1]) for words in lines if words[:1] == [name] and words[1:2]), 0)


def _numbers(path: Path) -> list[int]:
    """The numbers of a file, if it starts with one."""
    words = _text(path).split()
    return [int(word) for word in words] if words and all(word.lstrip("-").isdigit() for word in words) else []


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def main() -> None:
    """What the second process does."""
    os.nice(NICE)
    threading.Thread(target=_end_with_the_server, daemon=True).start()
    with os.fdopen(int(sys.argv[1]), "rb") as file:
        config = msgspec.json.decode(file.read(), type=Config)
    schema = schema_of(config)
    decider = decider_of(config, schema)
    placements = tuple(placement.id for placement in config.placements)
    with np.errstate(all="ignore"):  # Kernels count round the end of their numbers, which plain Python warns of.
        calls = foresee(lambda: warm_up(schema, decider, placements))
    compile_backwards(calls)


def _end_with_the_server() -> None:
    while os.read(0, 1):
        pass
    with keeping:
        os._exit(0)


if __name__ == "__main__":
    main()
