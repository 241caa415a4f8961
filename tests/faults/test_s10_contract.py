"""S10: whatever fits the OpenAPI document, and whatever does not, is answered as the document says; by schemathesis.

The contract test of `tests/api` holds each reply of our own tests against the document; here requests are made up
from the document alone, call by call and one call after another, with a key and without.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .accountant import ask, recovered, replayed
from .conftest import Figures
from .keyed import KeyedSite
from .servers import Nursery

CONFIG = Path(__file__).with_name("schemathesis.toml")
EVENT = {"event": "Product Viewed", "anonymousId": "a1", "properties": {"product_id": "sku-1"}}
SHORT = {"alone": ("fuzzing", 4), "in a row": ("stateful", 4)}
FULL = {"alone": ("coverage,fuzzing", 1_000), "in a row": ("stateful", 150)}
"""Phases and examples: of each operation called by itself, and of calls in which one follows from the other."""
WITHOUT_END = 1
"""Operations that are left out, since their answer does not end."""
IN_A_ROW_MIN = 5
"""Operations that are reached at least when only those are called that follow from another call."""
MINUTES_MAX = 30

pytestmark = pytest.mark.faults


def examined(port: int, folder: Path, *, phases: str, examples: int, key: str) -> dict[str, Any]:
    """The report of schemathesis on a server."""
    report = folder / "report.json"
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(CONFIG), "run",
        f"http://127.0.0.1:{port}/openapi.json", "--phases", phases, "--max-examples", str(examples),
        "--generation-deterministic", "--continue-on-failure", "--no-color", "--report-json-path", str(report),
        "--header", f"Authorization: Bearer {key}",
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=60 * MINUTES_MAX, check=False)
    assert report.exists(), done.stdout + done.stderr
    told: dict[str, Any] = json.loads(report.read_text())
    told["output"] = done.stdout
    return told


def assert_kept(told: dict[str, Any], figures: Figures) -> None:
    """No reply breaks the document."""
    failures = [(failure["title"], failure["count"], failure["operations"]) for failure in told["failures"]]
    cases = told["test_cases"]
    figures(operations_max=told["operations"]["tested"], calls=cases["generated"], violations=cases["unique_failures"])
    assert not failures, f"{failures}\n{told['output']}"
    assert not told["errors"], told["errors"]
    assert told["stop_reason"] == "completed"
    assert told["operations"]["tested"] >= IN_A_ROW_MIN


def assert_state(data: Path, config: Path) -> None:
    """What a start comes to is what the log comes to."""
    assert recovered(data, config).hash() == replayed(data, config).hash()


@pytest.mark.parametrize("how", SHORT)
def test_s10_every_operation_asks_for_a_key_and_keeps_the_document(
    how: str, nursery: Nursery, tmp_path: Path, full: bool, figures: Figures
) -> None:
    phases, examples = (FULL if full else SHORT)[how]
    site = KeyedSite(nursery, tmp_path, config="[limits]\nrequests_per_s = 1000000\n")
    key = site.key("write", "decide", "catalog", "admin")
    with site.serve() as server:
        assert ask(server.port, "POST", "/v1/track", EVENT).status == 401
        told = examined(server.port, tmp_path, phases=phases, examples=examples, key=key)
        assert_kept(told, figures)
        assert how != "alone" or told["operations"]["tested"] == told["operations"]["total"] - WITHOUT_END > 20
    assert_state(site.data, site.config)
