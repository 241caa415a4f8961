"""R15: of more than can be answered, some is answered in time, the rest is told at once, and nothing acked is lost."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from instanter.events.envelope import Keyed, Tracked, decode_record
from instanter.foundation.disk import RealDisk
from instanter.foundation.ids import References
from instanter.log.segments import SegmentReader

from ..conftest import About
from .accountant import ask
from .conftest import Figures, MakeSite
from .servers import ForkedServer, Site
from .slow_clients import resident_bytes
from .spike import EVENTS, batches, message_id

MIB = 1024 * 1024
RATED_PER_S = 110
"""100 decisions and 10 batches of 100 events, the load under which decisions are measured."""
BUDGET_MS = 50.0
RESIDENT_GROWTH_MAX = 128 * MIB
LOOK_S = 0.05
KNOWN = {"200", "429", "offered", "given up", "broken off", "not connected", "impolite"}

pytestmark = [pytest.mark.faults, pytest.mark.about("P4")]


def plan(full: bool) -> list[dict[str, Any]]:
    long, short = (60, 10) if full else (10, 3)
    return [
        {"name": "rated", "per_s": RATED_PER_S, "seconds": 5 if full else 1, "connections": 16},
        {"name": "peak", "per_s": 0, "seconds": 5 if full else 1, "connections": 16},
        {"name": "10x", "per_s": 10 * RATED_PER_S, "seconds": long, "connections": 256},
        {"name": "100x", "per_s": 100 * RATED_PER_S, "seconds": short, "connections": 1_024},
        {"name": "first after", "per_s": RATED_PER_S, "seconds": 5 if full else 1, "connections": 16},
        {"name": "after", "per_s": RATED_PER_S, "seconds": 5 if full else 1, "connections": 16},
    ]


def spiked(server: ForkedServer, steps: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """What each phase met, and by how much the server's memory grew after the rated load."""
    script = Path(__file__).with_name("spike.py")
    process = subprocess.Popen(
        [sys.executable, str(script), str(server.port), json.dumps(steps)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    largest = 0
    done = threading.Event()

    def look() -> None:
        nonlocal largest
        while not done.wait(LOOK_S):
            largest = max(largest, resident_bytes(server.pid))

    looking = threading.Thread(target=look)
    phases: list[dict[str, Any]] = []
    rated_bytes = 0
    for line in process.stdout:
        phases.append(json.loads(line))
        if not rated_bytes:
            rated_bytes = resident_bytes(server.pid)
            looking.start()
    done.set()
    looking.join()
    process.stdout.close()
    assert process.wait() == 0
    return phases, largest - rated_bytes


def lost(site: Site, acked: list[int]) -> int:
    """Messages that were acknowledged and are not in the log."""
    present, references = set(), References()
    for frame in SegmentReader(RealDisk(), site.data / "log").read():
        record = decode_record(frame.payload, offset=frame.position)
        if isinstance(record, Tracked):
            present.add(record.message)
        elif isinstance(record, Keyed):
            references.use(record.key)
    return sum(
        references.of(message_id(batch, number)) not in present for batch in acked for number in range(EVENTS)
    )


def test_a_spike_is_refused_early_and_leaves_nothing_behind(
    make_site: MakeSite, full: bool, figures: Figures, about: About
) -> None:
    site = make_site()
    server = site.start()
    items = [{"id": f"sku-{n}", "fields": {"title": f"Chair {n}", "category": "chairs"}} for n in range(50)]
    assert ask(server.port, "POST", "/v1/items", {"items": items}).status == 200
    phases, grown_bytes = spiked(server, plan(full))
    acked = list(batches(phases))
    by_name = {phase["name"]: phase for phase in phases}
    for phase in phases:
        figures(**{phase["name"]: {
            "ok_per_s": round(phase["ok_per_s"]), "ok_p99_ms": round(phase["ok_p99_ms"], 1),
            "refused_p99_ms": round(phase["refused_p99_ms"], 1), "refused": phase["counts"].get("429", 0),
        }})  # fmt: skip
    figures(grown_mib_max=round(grown_bytes / MIB, 1))
    assert ask(server.port, "GET", "/readyz").status == 200, "alive"
    for phase in phases:
        assert set(phase["counts"]) <= KNOWN
        assert phase["counts"]["impolite"] == 0, "every refusal says when to come back"
        assert phase["counts"]["200"] > 0, "some are answered at any load"
    after = by_name["after"]["counts"]
    assert after["200"] + after.get("given up", 0) == after["offered"], "as if nothing had been"
    with about("P6"):
        assert grown_bytes <= RESIDENT_GROWTH_MAX
    with about():
        assert server.stop() == 0
        assert len(acked) > 10
    gone = lost(site, acked)
    figures(events_acked=len(acked) * EVENTS, lost=gone)
    with about("P1"):
        assert gone == 0
    if full:
        peak = by_name["peak"]["ok_per_s"]
        with about("P4"):
            assert by_name["10x"]["ok_per_s"] >= 0.8 * min(peak, 10 * RATED_PER_S)
            assert by_name["10x"]["ok_p99_ms"] <= BUDGET_MS
            assert by_name["100x"]["ok_per_s"] >= 0.3 * peak
            assert by_name["after"]["ok_p99_ms"] <= 2 * by_name["rated"]["ok_p99_ms"]
