"""What the tests of a row of tests/reliability.toml found, for docs/reliability.md.

A test belongs to the row its file is named after (test_r14_*.py is of R14), and to those of its mark `row`. What it
gives to `record_property` are its figures. With `--reliability FILE` outcomes and figures are written there as JSON;
tools/reliability_page.py reads it.

An assertion that fails breaks the promises that it speaks of, and no others: a late answer does not mean that
something was lost. Within the fixture `about` these are the ones named there, elsewhere in a test those of its mark
`about`, which a row of one promise need not have. Whatever else ends a test breaks none: what it had not shown by then
is not shown.
"""

from __future__ import annotations

import json
import math
import os
import platform
import re
import subprocess
import sys
import tomllib
from collections.abc import Generator, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

TABLE = Path(__file__).with_suffix(".toml")
ROOT = Path(__file__).parents[1]
BY_NAME = re.compile(r"test_([rs]\d+)_")


def rows_known() -> dict[str, dict[str, Any]]:
    """The rows of the table, in its order."""
    rows: dict[str, dict[str, Any]] = tomllib.loads(TABLE.read_text(encoding="utf-8"))["rows"]
    return rows


def rows_of(path: Path, marks: list[pytest.Mark]) -> list[str]:
    """The rows that a test in a file and with these marks `row` stands for. Raises `UsageError` for an unknown one."""
    named = BY_NAME.match(path.name)
    rows = [named[1].upper()] if named else []
    rows += [row for mark in marks for row in mark.args if row not in rows]
    unknown = [row for row in rows if row not in rows_known()]
    if unknown:
        raise pytest.UsageError(f"{path}: no row {', '.join(unknown)} in {TABLE.name}")
    return rows


def circumstances() -> dict[str, Any]:
    """Where, when and on what the tests ran."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": f"{_processor()}, {len(os.sched_getaffinity(0))} cores, {_memory_mib():,} MiB, "
                   f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "form": "long" if os.environ.get("INSTANTER_LONG") == "1" else
                "full" if os.environ.get("INSTANTER_FULL") == "1" else "short",
    }  # fmt: skip


def _commit() -> str:
    """The commit checked out, and whether files of it were changed since."""
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return told.stdout.strip().replace("-dirty", " with changes") or "unknown"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else []
    models = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())


def _memory_mib() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (1024 * 1024)


def flat(name: str, value: object) -> Iterator[tuple[str, int | float | str]]:
    """A figure as it can be told: numbers and words; of a map each entry by itself.

    >>> list(flat("answers", {200: 3, 429: 1.5})), list(flat("even", True)), list(flat("who", ("a", 1)))
    ([('answers 200', 3), ('answers 429', 1.5)], [('even', 'True')], [('who', "('a', 1)")])
    """
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from flat(f"{name} {key}", part)
    elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        yield name, value
    else:
        yield name, str(value)


BROKEN = "promises broken"
SHOWN = "promises shown"
"""Properties of a test: promises that assertions of it were about, which failed, and which held (fixture `about`)."""
ASSERTED = (AssertionError, pytest.fail.Exception)
"""How an assertion fails. Whatever else is raised says nothing of a promise."""


def promises_of(path: Path, rows: Sequence[str], mark: pytest.Mark | None) -> tuple[str, ...]:
    """What the assertions of a test speak of outside the fixture `about`.

    Raises `UsageError` where a row has several promises and the test does not say which, or says one that none has.
    """
    known = {row: rows_known()[row].get("promises", []) for row in rows}
    if mark is None:
        several = [row for row, promises in known.items() if len(promises) > 1]
        if several:
            raise pytest.UsageError(f"{path}: which promises of {', '.join(several)} is this about? Mark it `about`")
        return tuple(promise for promises in known.values() for promise in promises)
    foreign = [promise for promise in mark.args if not any(promise in promises for promises in known.values())]
    if foreign:
        raise pytest.UsageError(f"{path}: no row of this has the promise {', '.join(foreign)}")
    return mark.args


def _closest(item: pytest.Item) -> pytest.Mark | None:
    return item.get_closest_marker("about")


class Rows:
    """The plugin: gathers while the tests run, writes when they have ended."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._rows: dict[str, list[str]] = {}
        self._about: dict[str, tuple[str, ...]] = {}
        self._tests: dict[str, dict[str, Any]] = {}
        self._began_s = perf_counter()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        self._rows = {item.nodeid: rows_of(item.path, list(item.iter_markers("row"))) for item in items}
        self._about = {
            item.nodeid: promises_of(item.path, self._rows[item.nodeid], _closest(item)) for item in items
        }

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Say what an assertion breaks that failed outside the fixture `about`."""
        report = yield
        asserted = call.when == "call" and call.excinfo is not None and isinstance(call.excinfo.value, ASSERTED)
        if report.failed and asserted and all(name != BROKEN for name, _ in report.user_properties):
            report.user_properties.append((BROKEN, self._about.get(item.nodeid, ())))
        return report

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that cannot be read is a failed test of its row."""
        named = BY_NAME.match(Path(report.nodeid).name)
        if report.failed and named:
            self._note(report.nodeid, [named[1].upper()], "failed", {}, 0.0, "the file cannot be imported")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        rows = self._rows.get(report.nodeid)
        if rows:
            why = report.longrepr[2] if report.skipped and isinstance(report.longrepr, tuple) else ""
            broken, shown = (
                [promise for told, promises in report.user_properties if told == what for promise in promises]
                for what in (BROKEN, SHOWN)
            )
            noted = {told: value for told, value in report.user_properties if told not in (BROKEN, SHOWN)}
            figures = {name: plain for told, value in noted.items() for name, plain in flat(told, value)}
            self._note(report.nodeid, rows, report.outcome, figures, report.duration, why, broken, shown)

    def note(self, row: str, test: str, *, passed: bool, **figures: Any) -> None:
        """What was found by something else than a test. It is about all promises of the row."""
        about = rows_known()[row].get("promises", [])
        self._note(test, [row], "passed" if passed else "failed", figures, 0.0, "", about)

    def _note(
        self, test: str, rows: list[str], outcome: str, figures: dict[str, Any], seconds: float, why: str,
        broken: Sequence[str] = (), shown: Sequence[str] = (),
    ) -> None:
        """Set-up, call and end of one test make one entry; the worst of them counts."""
        entry = self._tests.setdefault(
            test, {
                "rows": rows, "test": test, "outcome": "passed", "seconds": 0.0, "why": "", "figures": {},
                "promises": [], "shown": [],
            }
        )  # fmt: skip
        entry["seconds"] = round(entry["seconds"] + seconds, 3)
        entry["figures"] |= figures
        if entry["outcome"] != "failed" and outcome != "passed":
            entry["outcome"], entry["why"] = outcome, why.removeprefix("Skipped: ")
            if outcome == "failed":
                entry["promises"] = list(dict.fromkeys(broken))
                entry["shown"] = [promise for promise in dict.fromkeys(shown) if promise not in broken]

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        if self._file is not None:
            told = circumstances() | {
                "seconds": round(perf_counter() - self._began_s, 1), "tests": list(self._tests.values())
            }  # fmt: skip
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--reliability", type=Path, metavar="FILE", help="write what the rows' tests found there, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Rows(config.getoption("--reliability")), "reliability-rows")
