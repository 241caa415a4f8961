"""The measurement of the way from a clone to the first decision that an event has changed."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

WAY_S_MAX = 3_600


@pytest.fixture(scope="module")
def tool(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("first_decision", root / "tools" / "first_decision.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_decision_that_an_event_has_not_changed_ends_nothing(tool: ModuleType) -> None:
    told = ["Starting a server; ...", "2,000 products loaded in 9 ms", "\n", "Now somebody new.", "personal; 2 ms",
            "personal; 2 ms; 0 of 9 new (+)"]  # fmt: skip
    assert list(tool.reached(told, lambda: 1.0)) == ["installed", "server ready", "traffic loaded"]
    assert list(tool.reached([*told, "personal; 2 ms; 10 of 12 new (+)"], lambda: 1.0))[-1] == "first decision changed"


def test_a_demo_that_ends_early_reaches_nothing_more(tool: ModuleType) -> None:
    assert tool.reached(["products loaded", "Now somebody new"], lambda: 1.0) == {}


def test_a_fresh_clone_comes_to_a_decision_that_an_event_has_changed(root: Path, wheels: Path, full: bool) -> None:
    """How long it takes is measured by hand, on a machine that does nothing else."""
    if not full:
        pytest.skip("installs and compiles everything anew: only in full")
    ran = subprocess.run(
        [sys.executable, str(root / "tools" / "first_decision.py"), str(wheels), "--at-most", str(WAY_S_MAX), "--json"],
        capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert list(json.loads(ran.stdout)["seconds"]) == [
        "cloned", "installed", "server ready", "traffic loaded", "first decision changed"]
