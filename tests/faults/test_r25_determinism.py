"""R25: one log, one seed, one state and one list of decisions, whatever hashes strings, compiles, and runs all this."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from .accountant import ask, recovered
from .conftest import Figures, MakeSite
from .servers import Site

SCRIPT = Path(__file__).parent / "decide_log.py"
BUILD = Path(__file__).parents[2] / "build"
PYTHONS = ("3.12", "3.13")
"""The others that `make pythons` makes virtual environments for, where they are installed."""
START_MS = 1_700_000_000_000
EVENTS = 400
ITEMS = 60
NAMES = ("Product Viewed", "Product Clicked", "Product Added", "Order Completed")

pytestmark = pytest.mark.faults


def run(data: Path, config: Path, *, python: str | Path = sys.executable, **environment: str) -> str:
    """The script's output in a process of its own."""
    done = subprocess.run(
        [str(python), str(SCRIPT), str(data), str(config)], capture_output=True, text=True, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def fill(port: int) -> None:
    items = [{"id": f"sku-{number}", "fields": {
        "title": f"Item {number}", "category": [f"c{number % 5}", f"d{number % 3}"], "brand": f"b{number % 4}",
        "price": 10.0 + number, "stock": number % 7}} for number in range(ITEMS)]  # fmt: skip
    assert ask(port, "POST", "/v1/items", {"items": items}).status == 200
    events: list[dict[str, Any]] = [{
        "type": "track", "event": NAMES[number * number % len(NAMES)], "messageId": f"m-{number}",
        "anonymousId": f"p{number % 12}", "timestamp": START_MS + 1_000 * number - 700_000 * (number % 17 == 0),
        "properties": {"products": [{"product_id": f"sku-{number * 7 % ITEMS}", "price": 1.1 * number, "position": 1}]},
        "context": {"userAgent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/120.0", "locale": "en-GB"},
    } for number in range(EVENTS)]  # fmt: skip
    events += [{"type": "identify", "anonymousId": f"p{number}", "userId": f"u{number % 3}"} for number in range(6)]
    for first in range(0, len(events), 50):
        assert ask(port, "POST", "/v1/batch", {"batch": events[first : first + 50]}).json["rejected"] == []


def serve_and_fill(make_site: MakeSite) -> tuple[Site, str]:
    """A data directory with some traffic in it, and the hash of the state that the server had at its end."""
    site = make_site(checkpoint_s=1)
    server = site.start()
    fill(server.port)
    live = ask(server.port, "GET", "/v1/state").json["hash"]
    server.stop()
    return site, live


def test_r25_one_log_has_one_state_and_one_list_of_decisions(
    make_site: MakeSite, full: bool, figures: Figures
) -> None:
    site, live = serve_and_fill(make_site)
    assert recovered(site.data, site.config).state.hash() == live
    variants = [{"PYTHONHASHSEED": str(seed)} for seed in (range(10) if full else (0, 7))]
    variants.append({"PYTHONHASHSEED": "3", "NUMBA_DISABLE_JIT": "1"})
    with ThreadPoolExecutor(2) as pool:
        outputs = list(pool.map(lambda variant: run(site.data, site.config, **variant), variants))
    for variant, output in zip(variants, outputs, strict=True):
        assert output == outputs[0], variant
    told = json.loads(outputs[0])
    figures(variants=len(variants), decisions=len(told["decisions"]), different=len(set(outputs)) - 1)
    assert told["hash"] == live
    assert {reply["placements"]["home.recommended"]["servedBy"] for reply in told["decisions"]} == {"personal"}


def test_r25_one_log_has_one_state_and_one_list_of_decisions_on_all_pythons(
    make_site: MakeSite, figures: Figures
) -> None:
    others = [python for version in PYTHONS if (python := BUILD / f"python-{version}" / "bin" / "python").exists()]
    if not others:
        pytest.skip(f"Python {' and '.join(PYTHONS)} are not set up here: run `make pythons` where they are installed")
    site, live = serve_and_fill(make_site)
    with ThreadPoolExecutor(2) as pool:
        here, *outputs = pool.map(
            lambda python: run(site.data, site.config, python=python), [Path(sys.executable), *others])
    figures(pythons=1 + len(others), different=sum(output != here for output in outputs))
    assert json.loads(here)["hash"] == live
    for python, output in zip(others, outputs, strict=True):
        assert output == here, python
