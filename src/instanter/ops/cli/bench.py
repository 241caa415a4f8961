"""`instanter bench`: what this machine makes of the engine."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

import msgspec

from ...foundation.clock import SystemClock
from ..bench.bench import Bench
from ..bench.cases import CASES
from ..bench.cases import run as run_cases
from ..bench.page import page, table
from ..bench.result import Report
from .arguments import positive, worker_count

SECONDS_DEFAULT: Final = 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `instanter bench`."""
    parser.description = (
        "Measure the engine from outside. Each case starts a server of its own in an empty folder on a free loopback\n"
        "port, loads it from this process, ends it and removes the folder. Exit code 1 if a figure misses its bound.")
    parser.epilog = (
        "examples:\n  instanter bench\n  instanter bench --only ingest --only decide --seconds 10\n"
        "  instanter bench --write docs/benchmarks.md")
    parser.add_argument("--only", action="append", choices=tuple(CASES), metavar="NAME", default=[],
                        help=f"measure only this case, may be given more than once: {', '.join(CASES)}")
    parser.add_argument("--seconds", type=positive, default=SECONDS_DEFAULT, metavar="N",
                        help="length of what is measured at a steady rate (default: %(default)s)")
    parser.add_argument("--workers", type=worker_count, default=2, metavar="N",
                        help="compare a server of so many workers with one of one (default: %(default)s)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page of figures there")
    parser.add_argument("--quick", action="store_true",
                        help="cut all counts to see that everything runs; the figures mean nothing")


def run(arguments: argparse.Namespace) -> int:
    """Measure, print, and say by the exit code whether every bound was kept."""
    bench = Bench(clock=SystemClock(), say=_say, quick=arguments.quick, seconds=arguments.seconds,
                  workers=arguments.workers)
    report = run_cases(bench, arguments.only or list(CASES))
    if arguments.write is not None:
        arguments.write.write_text(page(report), encoding="utf-8")
    print(msgspec.json.encode(report).decode() if arguments.json else table(report))
    return 0 if report.quick or kept(report) else 1


def kept(report: Report) -> bool:
    """Whether all cases count and every figure keeps its bound."""
    return not any(figure.verdict in ("missed", "void") for case in report.cases for figure in case.figures)


def _say(text: str) -> None:
    print(text, file=sys.stderr)
