"""Replacing the catalogue: who may, for how long, and what is known of it in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from instanter.engine.feeds import REPLACE_IDLE_MS
from instanter.engine.loop import Engine
from instanter.foundation.clock import ManualClock
from instanter.foundation.errors import Overloaded, RequestRejected
from instanter.foundation.limits import ITEM_FIELDS_BYTES_MAX, REPLACES_OPEN_MAX

from .harness import with_engine


def test_so_many_catalogues_are_replaced_at_once_and_idle_ones_make_room(tmp_path: Path) -> None:
    clock = ManualClock(1_700_000_000_000)

    async def work(engine: Engine) -> None:
        tokens = [engine.feeds.begin(f"tenant-{number}") for number in range(REPLACES_OPEN_MAX)]
        with pytest.raises(Overloaded):
            engine.feeds.begin("one more")
        engine.feeds.check("tenant-0", tokens[0])
        with pytest.raises(RequestRejected, match="begin again"):
            engine.feeds.check("tenant-1", tokens[0])
        clock.advance(REPLACE_IDLE_MS - 1)
        engine.feeds.note_put("tenant-3", ["a"])
        clock.advance(1)
        engine.feeds.begin("one more")
        engine.feeds.check("tenant-3", tokens[3])
        with pytest.raises(RequestRejected):
            engine.feeds.check("tenant-0", tokens[0])

    with_engine(tmp_path, work, clock=clock)


def test_changes_on_their_way_count_towards_the_bound_of_an_item_and_not_afterwards(tmp_path: Path) -> None:
    half = ITEM_FIELDS_BYTES_MAX // 2

    async def work(engine: Engine) -> None:
        with engine.feeds.changing("default", "a", result_bytes=half, change_bytes=half + 1):
            with (
                pytest.raises(Overloaded),
                engine.feeds.changing("default", "a", result_bytes=half, change_bytes=half),
            ):
                pass
            with engine.feeds.changing("default", "b", result_bytes=half, change_bytes=half):
                pass
            with engine.feeds.changing("default", "a", result_bytes=9, change_bytes=9):
                pass
        with engine.feeds.changing("default", "a", result_bytes=half, change_bytes=half):
            pass
        with (
            pytest.raises(RequestRejected, match="more than"),
            engine.feeds.changing("default", "a", result_bytes=ITEM_FIELDS_BYTES_MAX + 1, change_bytes=1),
        ):
            pass

    with_engine(tmp_path, work)
