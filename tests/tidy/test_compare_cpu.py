"""The comparison of two versions' costs: its interval, and a run of it with this version on both sides."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def compare(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("compare_cpu", root / "tools" / "compare_cpu.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["compare_cpu"] = module
    spec.loader.exec_module(module)
    return module


def test_pairs_that_agree_leave_no_doubt(compare: ModuleType) -> None:
    assert compare.interval([10.0, 20.0, 40.0], [11.0, 22.0, 44.0]) == (1.1, 1.1, 1.1)


def test_the_interval_lies_around_the_ratio_and_is_wide_where_pairs_disagree(compare: ModuleType) -> None:
    ratio, low, high = compare.interval([10.0] * 10, [9.0, 12.0] * 5)
    assert low < 1.0 < ratio < high < 1.2
    calm = compare.interval([10.0] * 10, [10.2, 10.6] * 5)
    assert calm.high - calm.low < (high - low) / 4


def test_both_versions_are_sent_the_same(compare: ModuleType) -> None:
    sent = compare.made(1, at_ms=1_700_000_000_000, people=50, events=300, decisions=3)
    assert compare.made(1, at_ms=1_700_000_000_000, people=50, events=300, decisions=3) == sent
    assert compare._events_in(sent) == 300
    assert [len(asked) for asked in sent.asked.values()] == [6, 6]
    assert b'"candidates"' in sent.asked["search"][1]
    assert b'"candidates"' not in sent.asked["home.recommended"][1]


def test_a_version_is_compared_with_itself(root: Path, tmp_path: Path) -> None:
    (tmp_path / ".venv/bin").mkdir(parents=True)
    python = tmp_path / ".venv/bin/python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    run = subprocess.run(
        [sys.executable, root / "tools/compare_cpu.py", tmp_path, "--pairs", "1", "--people", "200",
         "--events", "500", "--decisions", "100", "--json"], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    said = [json.loads(line) for line in run.stdout.splitlines()]
    assert [one["what"] for one in said] == ["an event", "a decision for search", "a decision for home.recommended"]
    assert all(one["low"] == one["ratio"] == one["high"] for one in said)
