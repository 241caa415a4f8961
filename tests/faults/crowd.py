"""Run by a test in a process of its own: folds a crowd into a state of so much memory, prints what that took.

argv: memory_mb, people, events, folder for idle people ("" for none), length of the history.
"""

import json
import sys
import time
from pathlib import Path

from instanter.events.envelope import Configured, Epoch, Ticked, Tracked
from instanter.features.compile import compile_features
from instanter.features.declaration import DEFAULT_FEATURES
from instanter.foundation.disk import RealDisk
from instanter.foundation.ids import reference
from instanter.state.cold_files import ColdPlace
from instanter.state.memory import State

START_MS = 1_700_000_000_000
ITEMS = [reference(f"item {number}") for number in range(500)]
BATCH = 128


def resident_kb(field: str) -> int:
    """`VmHWM` is the most there ever was, `VmRSS` what there is."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise KeyError(field)


def event(number: int, people: int, step_ms: int) -> Tracked:
    """Everybody comes once, then some come back: those of late, and a few from long ago."""
    who = number if number < people else (number * 7_919) % people
    at_ms = START_MS + number * step_ms
    return Tracked(
        at_ms, at_ms, "default", reference(f"person {who}"), reference(f"message {number}"), "Product Viewed",
        items=(ITEMS[number % len(ITEMS)],), prices=(9.5,),
    )  # fmt: skip


def main() -> None:
    memory_mb, people, events, history_h = (int(sys.argv[place]) for place in (1, 2, 3, 5))
    schema = compile_features(DEFAULT_FEATURES, memory_mb=memory_mb, items_max=2_000)
    state = State(schema, ColdPlace(RealDisk(), Path(sys.argv[4])) if sys.argv[4] else None)
    state.configure(Configured(START_MS, {}, schema.declared()))
    step_ms = max(history_h * 3_600_000 // events, 1)
    folding_s, slowest_s = 0.0, 0.0
    for first in range(0, events, BATCH):
        batch = [event(number, people, step_ms) for number in range(first, min(first + BATCH, events))]
        began_s = time.perf_counter()
        state.fold(batch)
        state.upkeep()
        took_s = time.perf_counter() - began_s
        folding_s += took_s
        slowest_s = max(slowest_s, took_s) if first else 0.0
        if first // BATCH % 500 == 499:
            state.publish(Epoch(batch[-1].happened_ms, state.epoch + 1, ""))
            state.tick(Ticked(batch[-1].happened_ms))
    print(json.dumps({
        "people": state.cells_used, "on_disk": state.cells_cold, "resident_kb": resident_kb("VmHWM"),
        "in_memory_max": schema.capacity.cells, "on_disk_max": schema.capacity.cold,
        "refused": state.verdicts["table_full"], "events_per_s": round(events / folding_s),
        "slowest_ms": round(slowest_s * 1_000, 1), "hash": state.hash(),
        "files_mb": round(sum(path.stat().st_size for path in Path(sys.argv[4] or "/nowhere").glob("*")) / 1e6),
        "brought_back": state.cold.brought_back if state.cold else 0,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
