"""Write docs/quality.md: how well the engine ranks, beside plain orders of the same lists.

    python tools/quality_page.py docs/quality.md build/quality/*.json

The JSON files are the last lines of the runners in examples/, one each; a file that is empty stands for a run that
failed. Ends with 1 if a run failed or a figure misses its bound.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from instanter.foundation.clock import SystemClock
from instanter.ops.bench.machine import describe
from instanter.ops.bench.page import machine_line

ROOT = Path(__file__).parents[1]
_OPENING = """\
# Quality

How well the engine ranks, on data of others and with the people of the simulator. Written by `make quality` from what
the runners in [examples](../examples) print; no figure here was typed.

{machine} Commit {commit}. All runs took {minutes:.0f} min.

| | what is compared | better by | 95 % interval | at least | aim | verdict | took |
|---|---|---:|---:|---:|---:|---|---:|
"""
_NAMES = {
    "ranklens": ("RankLens", "examples/ranklens/README.md"),
    "trivago": ("Trivago", "examples/trivago/README.md"),
    "furniture": ("Furniture", "examples/furniture/README.md"),
    "rees46": ("REES46", "examples/rees46/README.md"),
}
POSITIONS = "positions"
_POSITION_FIGURES = {
    "ndcg_10": "NDCG@10", "ndcg_10_as_shown": "as shown", "mrr": "MRR", "calibration_error": "calibration error",
    "lists_measured": "lists",
}  # fmt: skip


class Result(msgspec.Struct, frozen=True):
    """The last line of a runner."""

    set: str
    n: int
    metrics: dict[str, float]
    baselines: dict[str, float]
    seconds: float
    cut: str = ""


class Bound(NamedTuple):
    """What a difference is held against; the interval must be above 0 too."""

    what: str
    least: float
    aim: float


_BOUNDS = {
    "ranklens": Bound("NDCG@10: trained at the cut, against the click rate updated as it goes", 0.010, 0.030),
    "trivago": Bound("MRR: trained at the cut, against what was touched in the session first", 0.012, 0.030),
}
_FURNITURE_AIM = 0.15


def verdict(difference: float, low: float, bound: Bound) -> str:
    """How a difference stands to its bound.

    >>> bound = Bound("", 0.01, 0.03)
    >>> [verdict(*one, bound) for one in ((0.04, 0.03), (0.02, 0.01), (0.02, -0.01), (0.001, 0.0005))]
    ['aim', 'met', 'missed', 'missed']
    """
    if difference < bound.least or low <= 0.0:
        return "missed"
    return "aim" if difference >= bound.aim else "met"


def bounded_row(name: str, result: Result) -> str:
    """A line of the first table for a run with a difference."""
    bound, metrics = _BOUNDS[name], result.metrics
    difference, low, high = (metrics[key] for key in ("difference", "difference_low", "difference_high"))
    return (f"| {_linked(name)} | {bound.what} | {difference:+.4f} | {low:+.4f} to {high:+.4f} | {bound.least:+.3f} "
            f"| {bound.aim:+.3f} | {verdict(difference, low, bound)} | {result.seconds:,.0f} s |")


def furniture_row(result: Result) -> str:
    """The furniture shop's line: in how many seeds the trained ranker was better, and by how much."""
    metrics = result.metrics
    better, seeds, lift = metrics["better_in"], metrics["seeds"], metrics["lift"]
    found = "missed" if better < seeds else "aim" if lift >= _FURNITURE_AIM else "met"
    beyond = sum(value > 0.0 for key, value in metrics.items() if key.startswith("difference_low."))
    return (f"| {_linked('furniture')} | reward of a visit: trained, against the built-in ranker "
            f"| {lift:+.1%}, in {better:g} of {seeds:g} seeds | above 0 in {beyond} of {seeds:g} | all {seeds:g} seeds "
            f"| {_FURNITURE_AIM:+.0%} | {found} | {result.seconds:,.0f} s |")


def _linked(name: str) -> str:
    title, path = _NAMES[name]
    return f"[{title}](../{path})"


def figures_table(result: Result) -> list[str]:
    """Everything a runner has said, of the engine and of what it is compared with."""
    lines = ["| figure | the engine | compared with |", "|---|---:|---:|"]
    for key in dict.fromkeys([*result.metrics, *result.baselines]):
        lines.append(f"| {key} | {_shown(result.metrics, key)} | {_shown(result.baselines, key)} |")
    return lines


def _shown(values: Mapping[str, float], key: str) -> str:
    value = values.get(key)
    if value is None:
        return ""
    return f"{value:,.0f}" if value == int(value) and abs(value) >= 1 else f"{value:,.4f}"


def positions_table(result: Result) -> list[str]:
    """One line for each way to train."""
    lines = ["| trained with | " + " | ".join(_POSITION_FIGURES.values()) + " |",
             "|---|" + "---:|" * len(_POSITION_FIGURES)]
    for name in dict.fromkeys(key.rpartition(".")[0] for key in result.metrics):
        cells = [_shown(result.metrics, f"{name}.{figure}") for figure in _POSITION_FIGURES]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def page(results: Mapping[str, Result | None], *, machine: str, commit: str) -> str:
    """The whole page; None stands for a run that failed."""
    seconds = sum(result.seconds for result in results.values() if result is not None)
    lines = [_OPENING.format(machine=machine, commit=commit, minutes=seconds / 60).rstrip("\n")]
    for name in ("ranklens", "trivago", "furniture"):
        result = results.get(name)
        if result is None:
            lines.append(f"| {_linked(name)} | not run | | | | | **failed** | |")
        else:
            lines.append(furniture_row(result) if name == "furniture" else bounded_row(name, result))
    lines += ["", "Verdicts: aim = as aimed for, met = as much as it must be, missed = less."]
    for name in _NAMES:
        result = results.get(name)
        if result is not None:
            cut = f", from {result.cut} on" if result.cut else ""
            said = f"{_linked(name)} says what is done. {result.n:,} measured{cut}; {result.seconds:,.0f} s."
            lines += ["", f"## {_NAMES[name][0]}", "", said, "", *figures_table(result)]
    positions = results.get(POSITIONS)
    if positions is not None:
        lines += ["", "## Where an item was shown", "", _POSITIONS_TEXT.format(n=positions.n, cut=positions.cut), "",
                  *positions_table(positions)]
    return "\n".join(lines) + "\n"


_POSITIONS_TEXT = """\
People look at the top of a list first, so a click says less of a movie further up. `instanter train --position` does
nothing about it (`input`), makes the place an input that is 1 at serving (`fixed`), or takes LightGBM's own correction
(`debiased`). Trained on the {n:,} lists of RankLens before {cut}, learned from the earlier four fifths, measured on
the newest. Calibrated models are fitted to the first half of these and measured on the second, so their lists are
others. The calibration error is of scores that mean probabilities: of a logistic model before calibration, and of both
kinds after it. NDCG counts clicks as they came, which favours what stood at the top."""


def _commit() -> str:
    asked = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    return subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def read(files: Sequence[Path]) -> dict[str, Result | None]:
    """The results by name of their files."""
    found: dict[str, Result | None] = {}
    for file in files:
        lines = file.read_bytes().splitlines()
        found[file.stem] = msgspec.json.decode(lines[-1], type=Result) if lines else None
    return found


def missed(results: Mapping[str, Result | None]) -> list[str]:
    """The runs that failed or are below their bound."""
    rows = {name: bounded_row(name, result) for name in _BOUNDS if (result := results.get(name)) is not None}
    furniture = results.get("furniture")
    if furniture is not None:
        rows["furniture"] = furniture_row(furniture)
    below = [name for name, row in rows.items() if "| missed |" in row]
    return [*(name for name in (*_NAMES, POSITIONS) if results.get(name) is None), *below]


def main(target: Path, files: Sequence[Path]) -> int:
    """Write the page; 1 if something failed or was missed."""
    results = read(files)
    machine = machine_line(describe(Path(tempfile.gettempdir()), SystemClock()))
    target.write_text(page(results, machine=machine, commit=_commit()), encoding="utf-8")
    below = missed(results)
    print(f"{target}: {'missed or failed: ' + ', '.join(below) if below else 'everything as it must be'}")
    return 1 if below else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]]))
