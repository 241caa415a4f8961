"""What a case found: figures with the bounds they are held against."""

from __future__ import annotations

from typing import Literal

import msgspec

from .machine import Machine

Verdict = Literal["aim", "ok", "missed", "void", "info"]
VERDICTS: dict[Verdict, str] = {
    "aim": "as aimed for",
    "ok": "within its bound",
    "missed": "misses its bound",
    "void": "does not count",
    "info": "without a bound",
}


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One number. `at_least` is the bound that it must keep, `aim` the one that it should."""

    name: str
    value: float
    unit: str
    at_least: float | None = None
    aim: float | None = None
    higher_is_better: bool = False
    verdict: Verdict = "info"


def judged(figure: Figure, *, void: bool) -> Figure:
    """The figure with its verdict.

    >>> judged(Figure(name="p99", value=5.0, unit="ms", at_least=8.0, aim=4.0), void=False).verdict
    'ok'
    """
    return msgspec.structs.replace(figure, verdict=_verdict(figure, void))


def _verdict(figure: Figure, void: bool) -> Verdict:
    if figure.at_least is None:
        return "info"
    if void:
        return "void"
    if not _keeps(figure, figure.at_least):
        return "missed"
    return "aim" if figure.aim is None or _keeps(figure, figure.aim) else "ok"


def _keeps(figure: Figure, bound: float) -> bool:
    return figure.value >= bound if figure.higher_is_better else figure.value <= bound


class CaseResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one case found. A case that did not measure what it says is void, and `void` says why."""

    name: str
    title: str
    figures: list[Figure]
    void: str = ""
    others_share: float = 0.0
    """Of all cores' time, what other programs used meanwhile."""
    took_s: float = 0.0


def concluded(result: CaseResult) -> CaseResult:
    """The result, its figures judged."""
    figures = [judged(figure, void=bool(result.void)) for figure in result.figures]
    return msgspec.structs.replace(result, figures=figures)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What `instanter bench --json` prints."""

    machine: Machine
    quick: bool
    """Counts cut to see that everything runs; the figures mean nothing."""
    cases: list[CaseResult]
