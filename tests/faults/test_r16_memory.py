"""R16: many people in little memory. The process stays within its limit, and is what one without a limit is."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from instanter.foundation.deadline import Deadline
from instanter.ops.settings import Config, StateSettings
from instanter.ops.wiring import open_engine

from .conftest import Figures

CROWD = Path(__file__).with_name("crowd.py")
UNLIMITED_MB = 16_384


def crowd(memory_mb: int, people: int, events: int, folder: str, *, history_h: int = 48) -> dict[str, Any]:
    """What `crowd.py` prints."""
    arguments = [str(memory_mb), str(people), str(events), folder, str(history_h)]
    done = subprocess.run([sys.executable, str(CROWD), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.faults
def test_a_crowd_stays_within_the_limit_and_is_what_it_is_without_one(
    tmp_path: Path, full: bool, figures: Figures
) -> None:
    memory_mb, people, events = (512, 700_000, 1_500_000) if full else (256, 100_000, 110_000)
    limited = crowd(memory_mb, people, events, str(tmp_path / "cold"))
    unlimited = crowd(UNLIMITED_MB, people, events, "")
    figures(people=people, events=events, limit_mib=memory_mb, resident_mib_max=limited["resident_kb"] // 1024,
            on_disk=limited["on_disk"], brought_back=limited["brought_back"],
            hashes_differing=int(limited["hash"] != unlimited["hash"]))  # fmt: skip
    assert limited["hash"] == unlimited["hash"]
    assert (limited["people"], limited["refused"]) == (people, 0)
    assert unlimited["on_disk"] == 0
    assert limited["on_disk"] > people // 2
    assert limited["brought_back"] > 0
    assert limited["resident_kb"] <= 1.1 * memory_mb * 1024


def held() -> tuple[int, int]:
    """Open files and threads of this process."""
    return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()


@pytest.mark.faults
def test_starting_and_stopping_leaves_no_files_and_no_threads_behind(
    tmp_path: Path, full: bool, figures: Figures
) -> None:
    config = Config(state=StateSettings(memory_mb=64))

    async def once() -> None:
        engine = open_engine(config, tmp_path / "data", may_make_master_key=True)()
        await engine.start()
        await engine.stop(Deadline(5_000.0))

    asyncio.run(once())
    files, threads = held()
    for _ in range(50 if full else 3):
        asyncio.run(once())
    now_files, now_threads = held()
    figures(cycles=50 if full else 3, files_more_max=now_files - files, threads_more_max=now_threads - threads)
    assert now_files <= files + 2
    assert now_threads <= threads + 2
