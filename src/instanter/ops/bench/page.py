"""The page docs/benchmarks.md, and the table for a terminal. Every figure on them comes out of a report."""

from __future__ import annotations

from .machine import Machine
from .result import VERDICTS, CaseResult, Figure, Report

_FINE = 100.0
"""From here on a number has no decimals."""

_TEMPLATE = """\
# Benchmarks

Written by `instanter bench --write docs/benchmarks.md`; no figure here was typed.

{machine}

Each case starts a server of its own in an empty folder and loads it from another process over HTTP on the loopback
address, with the server on one core and the client on another{pinned}. At a steady rate, requests are sent when they
are due whether or not the last one has been answered, and a latency counts from the time the request was due.

| case | figure | measured | at least | aim | verdict |
|---|---|---:|---:|---:|---|
{bounded}

{verdicts}

## All figures

{details}

## Measure this machine

```
instanter bench                             every case, about ten minutes
instanter bench --only ingest --only decide
instanter bench --quick                     only to see that everything runs
instanter bench --write docs/benchmarks.md  measure, and write this page
```
"""


def page(report: Report) -> str:
    """The whole page."""
    bounded = [_row(case, figure) for case in report.cases for figure in case.figures if figure.at_least is not None]
    return _TEMPLATE.format(
        machine=machine_line(report.machine),
        pinned="" if report.machine.pinned else " (this machine has only one, so they shared it)",
        bounded="\n".join(bounded),
        verdicts="\n".join(_voids(report)) or "Verdicts: " + ", ".join(
            f"{verdict} = {text}" for verdict, text in VERDICTS.items()) + ".",
        details="\n\n".join(_details(case) for case in report.cases),
    )  # fmt: skip


def table(report: Report) -> str:
    """All figures for a terminal."""
    lines = [machine_line(report.machine)]
    for case in report.cases:
        lines += ["", case.title + (f"  VOID: {case.void}" if case.void else ""), f"  {_others(case)}"]
        for figure in case.figures:
            verdict = "" if figure.verdict == "info" else f"  {figure.verdict} ({_bounds(figure)})"
            lines.append(f"  {figure.name:<48}{shown(figure.value, figure.unit):>18}{verdict}")
    return "\n".join(lines)


def shown(value: float, unit: str) -> str:
    """A number as people read it.

    >>> shown(25_314.2, "events/s"), shown(3.14159, "ms"), shown(0.0, "")
    ('25,314 events/s', '3.14 ms', '0')
    """
    number = f"{value:,.0f}" if abs(value) >= _FINE or value == int(value) else f"{value:.2f}"
    return f"{number} {unit}".rstrip()


def _row(case: CaseResult, figure: Figure) -> str:
    assert figure.at_least is not None
    aim = "" if figure.aim is None else shown(figure.aim, figure.unit)
    bound = shown(figure.at_least, figure.unit)
    return (f"| {case.name} | {figure.name} | {shown(figure.value, figure.unit)} | {_sign(figure)} {bound} "
            f"| {aim} | {figure.verdict} |")


def _bounds(figure: Figure) -> str:
    assert figure.at_least is not None
    aim = "" if figure.aim is None else f", aim {shown(figure.aim, figure.unit)}"
    return f"{_sign(figure)} {shown(figure.at_least, figure.unit)}{aim}"


def _sign(figure: Figure) -> str:
    return "≥" if figure.higher_is_better else "≤"


def _voids(report: Report) -> list[str]:
    return [f"**{case.name} does not count**: {case.void}." for case in report.cases if case.void]


def _details(case: CaseResult) -> str:
    figures = "\n".join(f"| {figure.name} | {shown(figure.value, figure.unit)} |" for figure in case.figures)
    about = case.title.partition(": ")[2]
    return f"### {case.name}\n\n{about}; {_others(case)}.\n\n| figure | measured |\n|---|---:|\n{figures}"


def _others(case: CaseResult) -> str:
    return f"in {case.took_s:.0f} s, during which other programs used {case.others_share:.0%} of the machine"


def machine_line(machine: Machine) -> str:
    """The machine in a sentence."""
    packages = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    return (f"{machine.processor}, {machine.cores} cores, {machine.memory_mib:,} MiB, {machine.system}, "
            f"Python {machine.python}, {packages}; {machine.disk}; {machine.date}.")
