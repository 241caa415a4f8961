"""Measure the way of somebody new: from `git clone` to the first decision that an event has changed.

    make wheels
    python tools/first_decision.py build/wheels              one line for each phase
    python tools/first_decision.py build/wheels --json

Clones this repository into an empty folder and runs `make demo ARGS=--exit` there, with an empty home, no cache, and no
packages but those in the folder. What the demo prints tells where it is. Exit code 1 if it does not get there, or takes
longer than `--at-most` seconds (90).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
AT_MOST_S = 90.0
PHASES = (
    ("installed", re.compile(r"Starting a server")),
    ("server ready", re.compile(r"products loaded")),
    ("traffic loaded", re.compile(r"Now somebody new")),
    ("first decision changed", re.compile(r"\b[1-9]\d* of \d+ new \(\+\)")),
)
"""What is reached when a line like this is printed, in this order."""


def reached(lines: Iterable[str], seconds: Callable[[], float]) -> dict[str, float]:
    """When each phase was reached, by reading what the demo prints as it is printed.

    >>> told = ["Starting a server", "2,000 products loaded", "Now somebody new.", "0 of 9 new (+)", "7 of 9 new (+)"]
    >>> list(reached(told, iter(range(9)).__next__).values())
    [0, 1, 2, 3]
    """
    times: dict[str, float] = {}
    waiting = list(PHASES)
    for line in lines:
        if waiting and waiting[0][1].search(line):
            times[waiting.pop(0)[0]] = seconds()
    return times


def surroundings(home: Path, wheels: Path) -> dict[str, str]:
    """An environment without caches or settings of whoever runs this, in which pip knows one folder only."""
    return {
        "HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels), "PIP_NO_CACHE_DIR": "1", "PYTHONUNBUFFERED": "1",
        "PYTHON": str(Path(sys.executable).resolve()),
        **{name: value for name, value in os.environ.items() if name.startswith("OPENBLAS_")},
    }  # fmt: skip


def measure(wheels: Path, folder: Path) -> tuple[dict[str, float], int]:
    """Seconds since the beginning at which each phase was reached, and the exit code of the demo."""
    home, clone = folder / "home", folder / "clone"
    home.mkdir()
    began = time.monotonic()
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone)], check=True)
    times = {"cloned": time.monotonic() - began}
    with subprocess.Popen(
        ["make", "demo", "ARGS=--exit"], cwd=clone, env=surroundings(home, wheels), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as demo:  # fmt: skip
        assert demo.stdout is not None
        said = list[str]()
        times |= reached(_kept(demo.stdout, said), lambda: time.monotonic() - began)
    if demo.returncode:
        sys.stderr.writelines(said[-30:])
    return times, demo.returncode


def _kept(lines: Iterable[str], kept: list[str]) -> Iterable[str]:
    for line in lines:
        kept.append(line)
        yield line


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("wheels", type=Path, help="a folder of packages, as `make wheels` makes it")
    parser.add_argument("--at-most", type=float, default=AT_MOST_S, metavar="S", help="seconds allowed (90)")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    before = os.times()
    with tempfile.TemporaryDirectory(prefix="instanter-first-") as folder:
        times, code = measure(arguments.wheels.resolve(), Path(folder))
    after = os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    load = os.getloadavg()[0]
    if arguments.json:
        print(json.dumps({"seconds": times, "cpu_s": cpu_s, "load": load, "cores": os.cpu_count()}))
    else:
        for phase, seconds in times.items():
            print(f"{seconds:7.1f} s  {phase}")
        print(f"{cpu_s:7.1f} s  of processor time until the demo's end; {os.cpu_count()} cores, load {load:.1f}")
    total = times.get(PHASES[-1][0])
    return 0 if code == 0 and total is not None and total <= arguments.at_most else 1


if __name__ == "__main__":
    sys.exit(main())
