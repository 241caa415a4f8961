"""Write docs/reliability.md: each promise, the rows of tests behind it, and what they found.

    python tools/reliability_page.py docs/reliability.md build/reliability/*.json

Rows and promises stand in tests/reliability.toml; the JSON files are what `pytest --reliability FILE` and `make fuzz`
have written. Where a test is in several files the newest counts. Ends with 1 if a row failed.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable, Sequence
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

import msgspec

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "tests" / "reliability.toml"
_OPENING = """\
# Reliability

What Instanter promises, the tests that show it, and what they measured. Written by `make faults` and
`make faults-long` from the reports of the tests; no figure here was typed. The tests are in `tests/faults`, and those
marked `row` elsewhere; [tests/reliability.toml](../tests/reliability.toml) says which row stands for what.
"""
_RUN_BY = {"C": "make faults", "N": "make faults-long"}


class Form(IntEnum):
    """How far a run went."""

    short = 0
    full = 1
    long = 2


_NEEDED = {"C": Form.full, "N": Form.long}


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the table."""

    tier: str
    name: str
    done: str = ""
    passes: str = ""
    promises: tuple[str, ...] = ()
    awaits: str = ""
    run: str = ""


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """tests/reliability.toml."""

    promises: dict[str, str]
    rows: dict[str, Row]


class Test(msgspec.Struct, frozen=True):
    """One test, as it was reported."""

    rows: tuple[str, ...]
    test: str
    outcome: str
    seconds: float = 0.0
    why: str = ""
    figures: dict[str, int | float | str] = {}
    promises: tuple[str, ...] = ()
    """Of a failed one: those that an assertion was about which failed."""
    shown: tuple[str, ...] = ()
    """Of a failed one: those that it had shown before."""


class Run(msgspec.Struct, frozen=True):
    """One file."""

    at: str
    commit: str
    machine: str
    form: str
    seconds: float
    tests: tuple[Test, ...]


class Verdict(NamedTuple):
    """What became of a row."""

    state: str
    """passed, failed, in part, cut short, not run or awaited."""
    told: str
    figures: str = ""
    broken: frozenset[str] = frozenset()
    """Of a failed one: the promises."""
    unshown: frozenset[str] = frozenset()
    """Of a failed one: the promises that a test would have shown, had it come that far."""


def table() -> Table:
    """The rows and promises."""
    return msgspec.convert(tomllib.loads(TABLE.read_text(encoding="utf-8")), Table)


def verdicts(rows: dict[str, Row], runs: Sequence[Run]) -> dict[str, Verdict]:
    """Every row, told by the newest report of each of its tests."""
    newest = {test.test: (test, Form[run.form]) for run in sorted(runs, key=lambda run: run.at) for test in run.tests}
    return {
        name: _verdict(name, row, [pair for pair in newest.values() if name in pair[0].rows])
        for name, row in rows.items()
    }


def _verdict(name: str, row: Row, found: list[tuple[Test, Form]]) -> Verdict:
    tests = [test for test, _ in found]
    figures = _measured(tests)
    failed = [test for test in tests if test.outcome == "failed"]
    skipped = [test for test in tests if test.outcome == "skipped"]
    reasons = "; ".join(sorted({test.why for test in skipped}))
    command = row.run or _RUN_BY[row.tier]
    if failed:
        names = ", ".join(test.test.rpartition("::")[2] for test in failed)
        broken = frozenset(promise for test in failed for promise in test.promises)
        unshown = frozenset(promise for test in failed for promise in row.promises if promise not in test.shown)
        return Verdict("failed", f"**failed**: {names}", figures, broken, unshown - broken)
    if not tests:
        if row.awaits:
            return Verdict("awaited", f"nothing to test yet: it awaits {row.awaits}")
        return Verdict("not run", f"not run: `{command}` does")
    if len(skipped) == len(tests):
        return Verdict("not run", f"not run: {reasons}")
    if max(form for _, form in found) < _NEEDED[row.tier]:
        return Verdict("cut short", f"passed, cut short: `{command}` runs it in full", figures)
    if skipped:
        return Verdict("in part", f"passed but for {len(skipped)} of {len(tests)} tests: {reasons}", figures)
    return Verdict("passed", "passed", figures)


def _measured(tests: Iterable[Test]) -> str:
    """The figures of all tests of a row: `_max` and `_min` as they say, whole numbers added up, others as a range."""
    by_name: dict[str, list[int | float | str]] = {}
    for test in tests:
        if test.outcome != "skipped":
            for name, value in test.figures.items():
                by_name.setdefault(name, []).append(value)
    return ", ".join(f"{name} {_together(name, values)}" for name, values in by_name.items())


def _together(name: str, values: list[int | float | str]) -> str:
    numbers = [value for value in values if not isinstance(value, str)]
    if len(numbers) < len(values):
        return " / ".join(sorted({str(value) for value in values}))
    if name.endswith(("_max", "_min")):
        return _shown(max(numbers) if name.endswith("_max") else min(numbers))
    if all(isinstance(number, int) for number in numbers):
        return _shown(sum(numbers))
    low, high = _shown(min(numbers)), _shown(max(numbers))
    return low if low == high else f"{low} to {high}"


def _shown(number: int | float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:,.4g}"


def promise_state(promise: str, rows: dict[str, Row], found: dict[str, Verdict]) -> str:
    """Kept, broken, or what of it was not shown."""
    behind = {name: found[name] for name, row in rows.items() if promise in row.promises}
    broken = [name for name, verdict in behind.items() if promise in verdict.broken]
    missing: dict[str, list[str]] = {}
    for name, verdict in behind.items():
        if promise in verdict.unshown or verdict.state not in ("passed", "failed", "awaited"):
            missing.setdefault(verdict.state, []).append(name)
    if broken:
        return f"**broken**: {', '.join(broken)}"
    if missing:
        return "not shown in this run: " + "; ".join(f"{', '.join(names)} {state}" for state, names in missing.items())
    if not any(verdict.state in ("passed", "failed") for verdict in behind.values()):
        return "nothing to show it yet"
    others = ", ".join(name for name, verdict in behind.items() if verdict.state == "failed")
    return f"kept; {others} failed in what it says of others" if others else "kept"


def promise_lines(known: Table, found: dict[str, Verdict]) -> list[str]:
    """The table of promises."""
    lines = ["| | promise | in this run | rows behind it |", "|---|---|---|---|"]
    for promise, text in known.promises.items():
        behind = [name for name, row in known.rows.items() if promise in row.promises]
        now = ", ".join(name for name in behind if found[name].state != "awaited")
        later = ", ".join(name for name in behind if found[name].state == "awaited")
        rows = now + (f"; later also {later}" if later else "")
        lines.append(f"| {promise} | {text} | {promise_state(promise, known.rows, found)} | {rows} |")
    return lines


def page(known: Table, runs: Sequence[Run]) -> str:
    """The page."""
    found = verdicts(known.rows, runs)
    lines = [_OPENING, "| run of | commit | form | took | on |", "|---|---|---|---:|---|"]
    for run in sorted(runs, key=lambda run: run.at):
        took = f"{run.seconds / 60:,.0f} min" if run.seconds >= 120 else f"{run.seconds:,.0f} s"
        lines.append(f"| {run.at} | {run.commit} | {run.form} | {took} | {run.machine} |")
    lines += ["", "## Promises", "", *promise_lines(known, found), "", "## Rows", ""]
    lines += ["| row | what is done | passes when | measured | result |", "|---|---|---|---|---|"]
    for name, row in known.rows.items():
        verdict = found[name]
        lines.append(f"| {name} {row.name} | {row.done} | {row.passes} | {verdict.figures} | {verdict.told} |")
    return "\n".join(lines) + "\n"


def main(target: Path, files: Sequence[Path]) -> int:
    """Write the page and print the promises; whether a row failed."""
    known, runs = table(), [msgspec.json.decode(file.read_bytes(), type=Run) for file in files]
    target.write_text(page(known, runs), encoding="utf-8")
    found = verdicts(known.rows, runs)
    print("\n".join(promise_lines(known, found)))
    failed = [f"{name} {verdict.told}" for name, verdict in found.items() if verdict.state == "failed"]
    print("\n".join(failed) or f"no row failed; {target} has them all")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]]))
