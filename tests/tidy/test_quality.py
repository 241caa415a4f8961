"""The page of quality: what a run is called for its figures, and that a failed one is said."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="module")
def tool(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("quality_page", root / "tools" / "quality_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ranked(tool: ModuleType, difference: float, low: float) -> Any:
    metrics = {"difference": difference, "difference_low": low, "difference_high": 2 * difference, "mrr": 0.6}
    return tool.Result("set", 1_234, metrics, {"mrr": 0.5}, 30.0, "2018-11-08T08:00:31.000Z")


def served(tool: ModuleType, *lifts: float) -> Any:
    lows = {f"difference_low.{seed}": lift - 0.05 for seed, lift in enumerate(lifts, start=1)}
    better = float(sum(lift > 0.0 for lift in lifts))
    metrics = {"better_in": better, "seeds": float(len(lifts)), "lift": sum(lifts) / len(lifts), **lows}
    return tool.Result("furniture", 10, metrics, {}, 60.0)


@pytest.mark.parametrize(("difference", "low", "found"), [
    (0.031, 0.02, "aim"), (0.013, 0.001, "met"), (0.013, -0.001, "missed"), (0.011, 0.005, "missed"),
])
def test_a_difference_meets_its_bound_only_beyond_doubt(
    tool: ModuleType, difference: float, low: float, found: str
) -> None:
    assert f"| {found} |" in tool.bounded_row("trivago", ranked(tool, difference, low))


@pytest.mark.parametrize(("lifts", "found"), [((0.2, 0.16), "aim"), ((0.2, 0.02), "met"), ((0.9, -0.01), "missed")])
def test_the_shop_must_be_better_in_every_seed(tool: ModuleType, lifts: tuple[float, ...], found: str) -> None:
    assert f"| {found} |" in tool.furniture_row(served(tool, *lifts))


def test_a_run_that_failed_is_on_the_page_and_in_the_verdict(tool: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "ranklens.json").write_bytes(b"")
    line = b'{"set": "trivago_hotels", "cut": "2018", "n": 3, "metrics": {"difference": 0.02, "difference_low": 0.01, '
    (tmp_path / "trivago.json").write_bytes(
        b"a warning\n" + line + b'"difference_high": 0.03}, "baselines": {}, "seconds": 9.5}\n'
    )
    results = tool.read(sorted(tmp_path.iterdir()))
    text = tool.page(results, machine="A machine.", commit="abc")
    assert "not run | | | | | **failed**" in text
    assert "| met | 10 s |" in text
    assert tool.missed(results) == ["ranklens", "furniture", "rees46", "positions"]


def test_every_figure_of_both_sides_is_on_the_page(tool: ModuleType) -> None:
    text = tool.page({"trivago": ranked(tool, 0.02, 0.01)}, machine="A machine.", commit="abc")
    assert "| mrr | 0.6000 | 0.5000 |" in text
    assert "1,234 measured, from 2018-11-08T08:00:31.000Z on; 30 s." in text


def test_ways_to_deal_with_positions_have_a_line_each(tool: ModuleType) -> None:
    metrics = {"trees, fixed.ndcg_10": 0.61, "logistic, input.ndcg_10": 0.6, "logistic, input.calibration_error": 0.01}
    lines = tool.positions_table(tool.Result("ranklens", 5, metrics, {}, 1.0))
    assert lines[2:] == [
        "| trees, fixed | 0.6100 |  |  |  |  |", "| logistic, input | 0.6000 |  |  | 0.0100 |  |",
    ]
