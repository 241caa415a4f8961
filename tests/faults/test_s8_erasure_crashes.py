"""S8: the power goes at every single step that an erasure takes on disk: after the restart the person is whole or gone.

Once the erasure list has the entry, gone.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from instanter.engine.loop import Engine
from instanter.foundation.clock import ManualClock
from instanter.foundation.errors import RequestRejected, Unavailable
from instanter.privacy.erasures import ErasureList
from instanter.privacy.vault import SLOT_BYTES
from instanter.sim.chance import Chance
from instanter.sim.disk import PowerLost, SimulatedDisk

from ..engine.harness import decide, event, open_engine, stock_shop, take

ROOT = Path("shop")
START_MS = 1_700_000_000_000
HERS = ("u-ada", "anonymous:a1")
BOBS = "anonymous:b1"

pytestmark = pytest.mark.faults


def opened(disk: SimulatedDisk) -> Engine:
    return open_engine(ROOT, clock=ManualClock(START_MS + 60_000), disk=disk, segment_bytes=64 * 1024)


def identify(number: int, person: str, user: str) -> bytes:
    return json.dumps({"type": "identify", "messageId": f"i{number}", "anonymousId": person, "userId": user}).encode()


def held(engine: Engine, identifier: str) -> dict[str, Any] | None:
    """All that can be known of somebody; None: nothing."""
    try:
        lines = [json.loads(line) for chunk in engine.export("default", identifier) for line in chunk]
        profile = engine.profiles.profile("default", identifier, now_ms=START_MS + 60_000)
    except RequestRejected:
        return None
    return {"lines": lines, "linked": profile.linked, "features": profile.features, "consent": profile.consent}


def a_shop_with_ada_and_bob() -> SimulatedDisk:
    async def fill() -> SimulatedDisk:
        disk = SimulatedDisk()
        engine = opened(disk)
        await engine.start()
        await stock_shop(engine)
        await take(engine, *(event(number, person=("a1", "b1")[number % 2]) for number in range(20)))
        await take(engine, identify(1, "a1", "u-ada"))
        await decide(engine, person="a1")
        await engine.consent("default", "u-ada", {"email": False}, actor="test")
        await engine.checkpoint()
        await take(engine, *(event(number, person="a1", userId="u-ada") for number in range(100, 110)))
        await engine.abandon()
        disk.crash()
        return disk

    return asyncio.run(fill())


def erase(disk: SimulatedDisk, *, dies_at_step: int = 0) -> int:
    """Erase Ada, or die in the attempt; how many steps it took on disk."""

    async def work() -> int:
        engine = opened(disk)
        await engine.start()
        before = disk.operations
        disk.dies_at = before + dies_at_step if dies_at_step else 0
        try:
            await engine.eraser.erase("default", "u-ada")
            return disk.operations - before
        except (PowerLost, Unavailable):
            assert disk.dead
            return disk.operations - before
        finally:
            await engine.abandon()

    return asyncio.run(work())


def listed(disk: SimulatedDisk) -> bool:
    erasures = ErasureList(disk, ROOT / "keys" / "erasures")
    found = bool(list(erasures))
    erasures.close()
    return found


class Found(NamedTuple):
    """What a start finds of everybody."""

    hers: list[dict[str, Any] | None]
    bobs: dict[str, Any] | None
    cells: list[int]
    left: list[int]
    """Which of the cells asked about are known to anything at all."""


def started(disk: SimulatedDisk, cells: Sequence[int] = ()) -> Found:
    async def look() -> Found:
        engine = opened(disk)
        await engine.start()
        consents, links, state = engine.partition.consents, engine.partition.links, engine.partition.state
        left = [
            cell for cell in cells
            if state.knows(cell) or consents.of([cell]) or len(links.cells(cell)) > 1 or engine.subjects.has([cell])
        ]
        now = [engine.subjects.find("default", one) for one in HERS]
        found = Found([held(engine, one) for one in HERS], held(engine, BOBS), now, left)
        await engine.abandon()
        return found

    return asyncio.run(look())


def test_s8_a_death_at_any_step_leaves_the_person_whole_or_gone(
    full: bool, record_property: Callable[[str, object], None]
) -> None:
    base = a_shop_with_ada_and_bob()
    whole = started(copy.deepcopy(base))
    assert all(whole.hers)
    steps = erase(copy.deepcopy(base))
    gone = there = 0
    for step in range(1, steps + 1, 1 if full else 4):
        for seed in range(3 if full else 1):
            disk, where = copy.deepcopy(base), f"step {step} of {steps}, seed {seed}"
            erase(disk, dies_at_step=step)
            disk.lose_power(Chance(1_000 * step + seed))
            must_be_gone = listed(disk)
            found = started(disk, whole.cells)
            assert found.bobs == whole.bobs, where
            if found.hers == whole.hers and found.cells == whole.cells:
                there += 1
                assert not must_be_gone, f"{where}: the list had the entry"
            else:
                gone += 1
                assert (found.hers, found.cells, found.left) == ([None, None], [0, 0], []), where
                keys = disk.files()[ROOT / "keys" / "subjects.keys"]
                assert sum(not any(keys[at : at + SLOT_BYTES]) for at in range(0, len(keys), SLOT_BYTES)) == 2, where
    assert min(gone, there) > 0
    record_property("erasure_deaths", gone + there)
    record_property("erasure_steps_on_disk", steps)
