"""From files that were understood to a data directory that can be served, and to figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np

from ..in_process import InProcess
from ..settings import Config
from ..wiring import load_checked
from .catalogue import Items
from .figures import Fed, Trial, planned
from .history import History, Remarks

_HOUR_MS: Final = 3_600_000
_NEVER_S: Final = 3_600
FIRST_ACTS: Final = 100_000
"""The newest ones, over which a first page stands while all are read in."""
Told = Callable[[str, int, int], None]
"""Hears what is done, how much of it so far, and of how much."""


class Imported(NamedTuple):
    """What became of items and acts."""

    items: int
    remarks: Remarks
    """On items."""
    fed: Fed | None
    """None without a history."""
    moved_ms: int
    """So much later than they were the acts stand in the data directory."""
    sold_out: int = 0
    """Items of the history that the catalogue says are sold out now: they are shown by nobody, and not asked for."""


def moved_by(history: History, now_ms: int) -> int:
    """How far a history is moved so that it ends now: what is popular or lately viewed counts by the hour, and would
    all be over else. 0 where it ends within the last hour."""
    behind_ms = now_ms - int(history.at_ms[-1])
    return behind_ms if behind_ms > _HOUR_MS else 0


def first_history(history: History | None) -> History | None:
    """The newest acts, where there are so many more that a page over these is there long before one over all; else
    None."""
    return history.newest(FIRST_ACTS) if history is not None and len(history) >= 2 * FIRST_ACTS else None


def imported(
    config: Path, data: Path, items: Items, history: History | None, *, now_ms: int, steps_max: int, told: Told,
) -> Imported:  # fmt: skip
    """Put items and history into a new data directory, asking in between what comes next (`Trial`), and leave it as a
    server does that was stopped. With `steps_max` of 0 nothing is asked."""
    later_ms = moved_by(history, now_ms) if history is not None else 0
    begin_ms = int(history.at_ms[0]) + later_ms if history is not None else now_ms
    remarks = Remarks()
    with InProcess(_unhurried(config), data) as engine:
        engine.begin_at(begin_ms)
        told("items", 0, len(items))
        refused = set[str]()
        for item_id, sentence, is_refused in engine.read_items(items):
            remarks.add(f"{sentence}{': the item is left out' if is_refused else ''}", item_id)
            if is_refused:
                refused.add(item_id)
        fed, sold_out = None, 0
        if history is not None:
            known = np.array([engine.shows(name) for name in history.item_names], bool)
            sold_out = sum(name in items and name not in refused for name in history.item_names) - int(known.sum())
            plan = planned(history, known, steps_max=steps_max)
            fed = Trial(engine, history, known, later_ms=later_ms).run(
                plan, lambda done: told("events", done, len(history))
            )
        engine.keep()
    return Imported(len(items) - len(refused), remarks, fed, later_ms, sold_out)


def _unhurried(config: Path) -> Config:
    """The configuration as it is served, but for what a run over a past does without: nobody explores, each step is
    synced at once, and there is one checkpoint, at the end."""
    served = load_checked(config)
    replace = msgspec.structs.replace
    return replace(
        served, decide=replace(served.decide, exploration=0.0), log=replace(served.log, sync_window_ms=0),
        state=replace(served.state, checkpoint_s=_NEVER_S),
    )  # fmt: skip
