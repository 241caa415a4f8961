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
    not_run = [f"next_item-{name}" for name in tool._NEXT_BOUNDS]
    assert tool.missed(results) == ["ranklens", "furniture", "rees46", "online_retail", "positions", *not_run]


def test_every_figure_of_both_sides_is_on_the_page(tool: ModuleType) -> None:
    text = tool.page({"trivago": ranked(tool, 0.02, 0.01)}, machine="A machine.", commit="abc")
    assert "| mrr | 0.6000 | 0.5000 |" in text
    assert "1,234 measured, from 2018-11-08T08:00:31.000Z on; 30 s." in text


def next_item(tool: ModuleType, *, hit: float, low: float, plain: float = 0.5) -> Any:
    """A run of which both figures and all intervals are the same."""
    told = dict.fromkeys(("hit", "mrr", "ndcg", "map", "coverage", "popularity", "novelty", "diversity"), hit)
    theirs = dict.fromkeys(told, plain)
    methods = ("popular", "v_sknn", "co_occurrence", "co_occurrence_live", "followers_then_popular_1h")
    differences = {name: dict.fromkeys(told, (hit - plain, low, 2 * (hit - plain) - low)) for name in methods}
    table = tool.Table(
        n=1_200, n_similar=700, figures={"home": told, "similar": told, **dict.fromkeys(methods, theirs)},
        ceiling={"home": 0.9, "similar": 0.8}, differences={"home": differences, "similar": differences},
        groups={"cold": {"n": 100, "home": {"hit": 0.1, "mrr": 0.1}}},
    )  # fmt: skip
    about = {"acts": 9.0, "train_acts": 8.0, "people": 7.0, "items": 6.0, "memory_mb": 500.0, "data_mb": 40.0,
             "cpu_s": 50.0, "v_sknn_neighbours": 100.0, "v_sknn_sample": 1_000.0}  # fmt: skip
    return tool.NextItem(
        set="any", n=1_200, metrics={}, baselines={}, seconds=60.0, k=20, headline="repeats", note="", about=about,
        tables={"repeats": table, "new": table},
    )  # fmt: skip


@pytest.mark.parametrize(("name", "hit", "low", "found"), [
    ("yoochoose_100k", 0.8, 0.2, "aim"), ("yoochoose_100k", 0.5, -0.009, "met"),
    ("yoochoose_100k", 0.5, -0.011, "missed"),
    ("globo_news", 0.53, 0.02, "missed"), ("globo_news", 0.55, 0.02, "met"), ("globo_news", 0.63, 0.02, "aim"),
    ("globo_news", 0.55, -0.001, "missed"),
    ("movielens_100k", 0.501, 0.0, "met"), ("movielens_100k", 0.66, 0.1, "aim"),
    ("amazon_beauty", 0.501, -0.001, "missed"),
    ("serenade_toy", 0.30, 0.02, "missed"), ("serenade_toy", 0.32, 0.02, "met"),
])
def test_a_set_of_next_items_meets_its_bound(
    tool: ModuleType, name: str, hit: float, low: float, found: str
) -> None:
    (row,) = tool.next_rows(name, next_item(tool, hit=hit, low=low))
    assert f"| {found} |" in row


def test_both_lists_of_the_evening_have_a_bound_of_their_own(tool: ModuleType) -> None:
    home, similar = tool.next_rows("rees46_night", next_item(tool, hit=0.2, low=-1.0))
    assert home.startswith("| rees46_night, home | 1,200 | HR@20 | 0.2000 |")
    assert "| met |" in home
    assert similar.startswith("| rees46_night, similar | 700 | HR@20 | 0.2000 |")
    assert "| missed |" in similar


def test_sets_of_next_items_are_on_the_page_with_both_tables(tool: ModuleType) -> None:
    results = {"next_item-eshop_clothing": next_item(tool, hit=0.8, low=0.2), "next_item-globo_news": None}
    text = tool.page(results, machine="A machine.", commit="abc")
    assert "| eshop_clothing, home | 1,200 | HR@20 / MRR@20 | 0.8000 / 0.8000 |" in text
    assert "| globo_news | not run | | | | | | | **failed** | |" in text
    assert "At 20, repeats of what was seen allowed: 1,200 steps." in text
    assert "At 20, what was seen taken out: 1,200 steps." in text
    assert "| cold | 100 | 0.100 / 0.100 |  |  |  |  |" in text
    assert "next_item-globo_news" in tool.missed(results)
    assert "next_item-eshop_clothing" not in tool.missed(results)


def test_the_runs_of_make_quality_are_those_with_bounds(tool: ModuleType, root: Path) -> None:
    text = (root / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    (line,) = (line for line in text.splitlines() if line.startswith("NEXT_ITEM :="))
    assert line.partition(":=")[2].split() == list(tool._NEXT_BOUNDS)


def test_ways_to_deal_with_positions_have_a_line_each(tool: ModuleType) -> None:
    metrics = {"trees, fixed.ndcg_10": 0.61, "logistic, input.ndcg_10": 0.6, "logistic, input.calibration_error": 0.01}
    lines = tool.positions_table(tool.Result("ranklens", 5, metrics, {}, 1.0))
    assert lines[2:] == [
        "| trees, fixed | 0.6100 |  |  |  |  |", "| logistic, input | 0.6000 |  |  | 0.0100 |  |",
    ]
