"""The machine that figures were taken on, and which of its cores does what."""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Iterator, Set
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec

from ...foundation.clock import Clock, elapsed_ns
from ...sim.wire import iso
from .. import readiness

_PACKAGES: Final = ("instanter", "granian", "uvloop", "msgspec", "numpy", "numba")


class Machine(msgspec.Struct, frozen=True):
    """Where and when."""

    processor: str
    cores: int
    memory_mib: int
    system: str
    python: str
    packages: dict[str, str]
    disk: str
    """How long a sync takes where the servers' data lay."""
    pinned: bool
    """Server on one core, client on another; otherwise they disturbed each other."""
    date: str


def describe(scratch: Path, clock: Clock) -> Machine:
    """This machine, now. Takes a few syncs in `scratch`."""
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_mib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (1024 * 1024),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        packages={name: version(name) for name in _PACKAGES},
        disk=readiness.disk_sync(scratch).found,
        pinned=client_core() is not None,
        date=iso(clock.now_ms())[:10],
    )


def _processor() -> str:
    models = (line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
              if line.startswith("model name"))
    return next(models, platform.machine())


def server_core() -> int | None:
    """The core of the server; None where there is only one for both."""
    cores = sorted(_ALL_CORES)
    return cores[0] if len(cores) > 1 else None


def client_core() -> int | None:
    """The core of the client; None where there is only one for both."""
    cores = sorted(_ALL_CORES)
    return cores[1] if len(cores) > 1 else None


_ALL_CORES: Final = frozenset(os.sched_getaffinity(0))
"""The cores that this process was given, as it started."""


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """This thread, and whatever threads and processes it starts meanwhile, run on that core; None changes nothing."""
    with _on(os.sched_getaffinity(0) if core is None else {core}):
        yield


@contextmanager
def on_all_cores() -> Iterator[None]:
    """The same, on every core that this process was given as it started."""
    with _on(_ALL_CORES):
        yield


@contextmanager
def _on(cores: Set[int]) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Neighbours:
    """How much of the machine others used since this was made: the more, the less a latency says of the server."""

    def __init__(self) -> None:
        self._started_ns = elapsed_ns()
        self._busy_s = _busy_s()
        self._own_s = _own_s()

    def share(self) -> float:
        """Processor time of all other programs, and what the host took away, as a share of all cores.

        Ours are this process and the children that it has waited for; so ask when they have ended.
        """
        wall_s = (elapsed_ns() - self._started_ns) / 1e9 * (os.cpu_count() or 1)
        others_s = (_busy_s() - self._busy_s) - (_own_s() - self._own_s)
        return min(max(others_s / wall_s, 0.0), 1.0)


def _busy_s() -> float:
    """Of the first line of /proc/stat: user, nice, system, (idle, iowait,) irq, softirq and steal."""
    ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def _own_s() -> float:
    usages = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
