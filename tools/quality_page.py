"""Write docs/quality.md: how well the engine ranks, beside plain orders of the same lists.

    python tools/quality_page.py docs/quality.md build/quality/*.json

The JSON files are the last lines of the runners in examples/, one each; a file that is empty stands for a run that
failed. Ends with 1 if a run failed or a figure misses its bound.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

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
    "online_retail": ("Online retail", "examples/online_retail/README.md"),
}
POSITIONS = "positions"
NEXT_ITEM = "next_item-"
"""How the files of the next-item runs begin; the name of the set follows."""
NEXT_ITEM_README = "examples/next_item/README.md"
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


Interval = tuple[float, float, float]
"""Mean, low, high."""


class Table(msgspec.Struct, frozen=True):
    """The figures of one next-item run, with repeats or without."""

    n: int
    n_similar: int
    figures: dict[str, dict[str, float]]
    """By side, which is one of the engine's lists or a plain method, and figure."""
    ceiling: dict[str, float]
    differences: dict[str, dict[str, dict[str, Interval]]]
    """By side of the engine, plain method and figure: the engine's list minus it, on the same steps."""
    groups: dict[str, dict[str, float | dict[str, float]]]


class NextItem(Result, frozen=True, kw_only=True):
    """The last line of a next-item run."""

    k: int
    headline: str
    note: str
    about: dict[str, float]
    tables: dict[str, Table]
    training: dict[str, dict[str, Any]] = {}
    """By list of the engine: what it learned of the train part, or why it did not."""


class NextBound(NamedTuple):
    """What a list of the engine is held against on the table of the set's headline."""

    side: str
    at_least: str
    aim: str
    figures: tuple[str, ...] = ("hit", "mrr")
    against: tuple[str, ...] = ()
    """Plain methods; all if none is named."""
    low_min: float = -0.01
    """The low end of each paired interval is at least this."""
    ratio: float = 0.0
    """The figures are at least so many times those of each of `against`."""
    floors: Mapping[str, float] = {}
    """The figures are at least these."""
    aims: Mapping[str, float] = {}
    aim_ratios: Mapping[str, float] = {}


_NOT_BELOW = "not below any plain method"
_ANYTHING = -math.inf
_NEXT_BOUNDS: dict[str, tuple[NextBound, ...]] = {
    "yoochoose_1_64": (NextBound("home", _NOT_BELOW, "0.71, 0.31", aims={"hit": 0.71, "mrr": 0.31}),),
    "amazon_beauty": (
        NextBound("home", "above every plain method", "0.093, 0.052", ("hit", "ndcg"), low_min=0.0,
                  aims={"hit": 0.093, "ndcg": 0.052}),
    ),
    "yoochoose_100k": (NextBound("home", _NOT_BELOW, "0.72, 0.39", aims={"hit": 0.72, "mrr": 0.39}),),
    "serenade_toy": (
        NextBound("home", f"{_NOT_BELOW}, MRR 0.31", "0.70, 0.36", floors={"mrr": 0.31},
                  aims={"hit": 0.70, "mrr": 0.36}),
    ),
    "eshop_clothing": (NextBound("home", _NOT_BELOW, "0.72, 0.29", aims={"hit": 0.72, "mrr": 0.29}),),
    "globo_news": (
        NextBound("home", "1.08 x followers, then popular of the hour", "1.20 x, 1.25 x",
                  against=("followers_then_popular_1h",), low_min=0.0, ratio=1.08,
                  aim_ratios={"hit": 1.20, "mrr": 1.25}),
    ),
    "movielens_100k": (
        NextBound("home", "above popular and co-occurrence", "1.3 x", ("ndcg",),
                  ("popular", "co_occurrence", "co_occurrence_live"), low_min=0.0, aim_ratios={"ndcg": 1.3}),
    ),
    "rees46_night": (
        NextBound("home", "0.18", "0.25", ("hit",), low_min=_ANYTHING, floors={"hit": 0.18}, aims={"hit": 0.25}),
        NextBound("similar", "0.24", "0.30", ("hit",), low_min=_ANYTHING, floors={"hit": 0.24}, aims={"hit": 0.30}),
    ),
}  # fmt: skip
_NEXT_FIGURES = {
    "hit": "HR", "mrr": "MRR", "ndcg": "NDCG", "map": "MAP", "coverage": "coverage", "popularity": "popularity bias",
    "novelty": "novelty", "diversity": "diversity",
}  # fmt: skip
_NEXT_SIDES = ("home", "home trained", "similar", "similar trained")
_TRAINED = " trained"


class Bound(NamedTuple):
    """What a difference is held against; the interval must be above 0 too."""

    what: str
    least: float
    aim: float


_BOUNDS = {
    "ranklens": Bound("NDCG@10: trained at the cut, against the click rate updated as it goes", 0.010, 0.030),
    "trivago": Bound("MRR: trained at the cut, against what was touched in the session first", 0.012, 0.030),
    "online_retail": Bound("HR@12 of the last item of a cart, against the best plain method", 0.0, 0.05),
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


def next_verdict(table: Table, bound: NextBound) -> str:
    """How a list of the engine stands to its bound."""
    ours, differences = table.figures.get(bound.side, {}), table.differences.get(bound.side, {})
    others = bound.against or tuple(differences)
    if not ours or not differences.keys() >= set(others):
        return "missed"
    best = {figure: max(_of_other(table, bound.side, name, figure) for name in others) for figure in bound.figures}
    if any(differences[name][figure][1] < bound.low_min for name in others for figure in bound.figures):
        return "missed"
    if any(ours[figure] < max(bound.ratio * best[figure], bound.floors.get(figure, 0.0)) for figure in bound.figures):
        return "missed"
    wanted = {**{figure: times * best[figure] for figure, times in bound.aim_ratios.items()}, **bound.aims}
    return "aim" if all(ours[figure] >= value for figure, value in wanted.items()) else "met"


def next_rows(name: str, result: NextItem) -> list[str]:
    """The lines of a set in the table of next items: one for each list that has a bound."""
    table, rows = result.tables[result.headline], []
    for bound in _NEXT_BOUNDS[name]:
        ours = table.figures.get(bound.side, {})
        said = " / ".join(f"{ours.get(figure, 0.0):.4f}" for figure in bound.figures)
        figures = " / ".join(f"{_NEXT_FIGURES[figure]}@{result.k}" for figure in bound.figures)
        best = " / ".join(_best(table, bound, figure) for figure in bound.figures)
        steps = table.n_similar if bound.side == "similar" else table.n
        rows.append(
            f"| {name}, {bound.side} | {steps:,} | {figures} | {said} | {best} | {table.ceiling[bound.side]:.4f} "
            f"| {bound.at_least} | {bound.aim} | {next_verdict(table, bound)} | {result.seconds:,.0f} s |"
        )
    return rows


def _best(table: Table, bound: NextBound, figure: str) -> str:
    """The best plain method of a figure, with the interval of the difference to it."""
    differences = table.differences.get(bound.side, {})
    if not differences:
        return ""
    name = max(differences, key=lambda one: _of_other(table, bound.side, one, figure))
    mean, low, high = differences[name][figure]
    return f"{name} {_of_other(table, bound.side, name, figure):.4f} ({mean:+.4f}, {low:+.4f} to {high:+.4f})"


def _of_other(table: Table, side: str, name: str, figure: str) -> float:
    """A plain method's figure on the steps that have this list of the engine: not all have one beside an item."""
    return table.figures[side][figure] - table.differences[side][name][figure][0]


def next_details(name: str, result: NextItem) -> list[str]:
    """Both tables of a set, and the parts of its headline."""
    about = result.about
    lines = [
        f"### {name}", "",
        f"{result.note} " * bool(result.note)
        + f"{about['train_acts']:,.0f} of {about['acts']:,.0f} acts are the train part; {about['people']:,.0f} people, "
        f"{about['items']:,.0f} items. {about['memory_mb']:,.0f} MB and "
        f"{about['data_mb']:,.0f} MB of log, "
        f"{result.seconds:,.0f} s ({about['cpu_s']:,.0f} s of CPU). V-SkNN with "
        f"{about['v_sknn_neighbours']:.0f} neighbours out of {about['v_sknn_sample']:,.0f}.",
    ]  # fmt: skip
    for kind, said in (("repeats", "repeats of what was seen allowed"), ("new", "what was seen taken out")):
        table = result.tables[kind]
        lines += ["", f"At {result.k}, {said}: {table.n:,} steps.", "", *_next_figures(table)]
    if result.training:
        lines += ["", "; ".join(_gate_said(side, told) for side, told in result.training.items()) + "."]
    table = result.tables[result.headline]
    sides = [side for side in (*_NEXT_SIDES, "v_sknn", "co_occurrence", "popular") if side in table.figures]
    lines += ["", "HR / MRR by the acts of the visit so far, and by the views of the next item.", "",
              "| | steps | " + " | ".join(sides) + " |", "|---|---:|" + "---:|" * len(sides)]  # fmt: skip
    for group, told in table.groups.items():
        cells = [f"{one['hit']:.3f} / {one['mrr']:.3f}" if isinstance(one := told.get(side), dict) else ""
                 for side in sides]  # fmt: skip
        lines.append(f"| {group} | {told['n']:,} | " + " | ".join(cells) + " |")
    return lines


def _next_figures(table: Table) -> list[str]:
    lines = ["| | " + " | ".join(_NEXT_FIGURES.values()) + " | home minus it: HR | MRR |",
             "|---|" + "---:|" * (len(_NEXT_FIGURES) + 2)]  # fmt: skip
    for side, told in table.figures.items():
        other = table.differences.get("home", {}).get(side, {})
        more = [f"{other[figure][1]:+.4f} to {other[figure][2]:+.4f}" if other else "" for figure in ("hit", "mrr")]
        lines.append(f"| {side} | " + " | ".join(_shown(told, figure) for figure in _NEXT_FIGURES) + " | "
                     + " | ".join(more) + " |")
    for side, others in table.differences.items():
        if side.endswith(_TRAINED):
            apart = "; ".join(_of_trained(other, told) for other, told in others.items())
            lines += ["", f"{side} minus: {apart}."]
    ceiling = ", ".join(f"{side} {share:.4f}" for side, share in table.ceiling.items())
    return [*lines, "", f"Next item among the candidates, before they are ranked: {ceiling}."]


def _of_trained(other: str, told: Mapping[str, Interval]) -> str:
    return f"{other} " + ", ".join(
        f"{_NEXT_FIGURES[figure]} {told[figure][0]:+.4f} ({told[figure][1]:+.4f} to {told[figure][2]:+.4f})"
        for figure in ("hit", "mrr")
    )


def _gate_said(side: str, told: Mapping[str, Any]) -> str:
    if "verdict" not in told:
        return f"{side}: nothing was learned, {told['refused']}"
    verdict = told["verdict"]
    return (f"{side}: {told['lists']:,} acts learned in {told['seconds']:.0f} s, the gate "
            f"{'lets it rank' if verdict['passes'] else 'keeps it back'} ({verdict['why']}; NDCG@10 "
            f"{verdict['difference']:+.4f}, {verdict['low']:+.4f} to {verdict['high']:+.4f})")


def next_part(results: Mapping[str, Result | None]) -> list[str]:
    """The part of the page that is about next items; nothing where none was run."""
    named = {name: results[NEXT_ITEM + name] for name in _NEXT_BOUNDS if NEXT_ITEM + name in results}
    if not named:
        return []
    lines = ["", "## Next item", "", _NEXT_TEXT, "",
             "| set, list | steps | figures | the engine | best plain method (difference, 95 % interval) | ceiling "
             "| at least | aim | verdict | took |", "|---|---:|---|---:|---|---:|---|---|---|---:|"]  # fmt: skip
    failed = "| {} | not run | | | | | | | **failed** | |"
    for name, result in named.items():
        lines += next_rows(name, result) if isinstance(result, NextItem) else [failed.format(name)]
    for name, result in named.items():
        if isinstance(result, NextItem):
            lines += ["", *next_details(name, result)]
    return lines


_NEXT_TEXT = f"""\
[Next item](../{NEXT_ITEM_README}) says what is done: logs of others through the import, the fold and the decisions of
an engine in the runner's process, beside plain methods on the same steps; intervals are paired, by people. "Not below":
the low end of every interval is at least -0.01. The ceiling is the share of next items among the candidates."""


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
    lines += next_part(results)
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
        shape = NextItem if file.stem.startswith(NEXT_ITEM) else Result
        found[file.stem] = msgspec.json.decode(lines[-1], type=shape) if lines else None
    return found


def missed(results: Mapping[str, Result | None]) -> list[str]:
    """The runs that failed or are below their bound."""
    rows = {name: bounded_row(name, result) for name in _BOUNDS if (result := results.get(name)) is not None}
    furniture = results.get("furniture")
    if furniture is not None:
        rows["furniture"] = furniture_row(furniture)
    for name in _NEXT_BOUNDS:
        result = results.get(NEXT_ITEM + name)
        if isinstance(result, NextItem):
            rows[NEXT_ITEM + name] = "\n".join(next_rows(name, result))
    below = [name for name, row in rows.items() if "| missed |" in row]
    wanted = (*_NAMES, POSITIONS, *(NEXT_ITEM + name for name in _NEXT_BOUNDS))
    return [*(name for name in wanted if results.get(name) is None), *below]


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
