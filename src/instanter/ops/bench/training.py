"""How long it takes to learn from a log, and how much memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from ...events.times import parse_time_ms
from ...foundation.clock import ManualClock
from ...foundation.errors import Broken
from ...sim.shop import Shop
from ...sim.traffic import Traffic
from ...sim.wire import TrackingEvent
from ..training import TrainReport
from .bench import Bench
from .build import GROUP, Builder
from .result import Figure
from .server import COMMAND, Process

TITLE = "training: a model from a log of 1,000,000 events, a quarter of them lists, by a process of its own"
EVENTS: Final = 1_000_000
EVENTS_A_PERSON: Final = 35
"""About as many as somebody leaves behind; a few people more than are needed come."""
SPAN_MS: Final = 7 * 86_400_000
DELAY_MS_MAX: Final = 60_000
"""Between an event and its receipt."""
PLACEMENT: Final = "search"
SEED: Final = 31
_MIB: Final = 1024 * 1024


def training(bench: Bench) -> tuple[list[Figure], str]:
    """The simulator's visits, written as the engine writes them, then `instanter train` on the log."""
    count = bench.size(EVENTS, 4_000)
    with bench.folder() as folder:
        bench.say(f"making a log of {count:,} events")
        written = build_visits(folder / "data", bench.shop, count, start_ms=bench.clock.now_ms() - SPAN_MS)
        bench.say("learning from it")
        command = (*COMMAND, "train", "--json", "--data", str(folder / "data"), "--placement", PLACEMENT)
        with Process(command, log=folder / "train.log", pinned=False) as process:
            peak_bytes = process.watched_to_its_end()
            code, said = process.wait(), process.output().strip()
    if code != 0:
        raise Broken(f"instanter train ended with {code}: {said[-400:]}")
    told = msgspec.json.decode(said.splitlines()[-1], type=TrainReport)
    figures = [
        Figure(name="a model learned in", value=told.seconds, unit="s", at_least=300, aim=60),
        Figure(name="memory at most", value=peak_bytes / _MIB, unit="MiB", at_least=3_072),
        Figure(name="joining outcomes to lists", value=told.joining_s, unit="s"),
        Figure(name="replay, inputs of every row", value=told.gathering_s, unit="s"),
        Figure(name="growing trees", value=told.training_s, unit="s"),
        Figure(name="lists learned from", value=told.lists, unit=""),
        Figure(name="rows", value=told.rows, unit=""),
    ]
    return figures, "" if written == count else f"the log holds {written:,} events"


def build_visits(folder: Path, shop: Shop, count: int, *, start_ms: int) -> int:
    """A log of the simulator's visits, received as they happened; how many events it holds."""
    traffic = Traffic(shop, people_count=count // EVENTS_A_PERSON + 100, seed=SEED, start_ms=start_ms, span_ms=SPAN_MS)
    clock = ManualClock(start_ms)
    builder = Builder(folder, clock=clock)
    written = 0
    try:
        builder.catalogue(shop)
        for group in _groups(islice(traffic.events(), count)):
            clock.advance(max(_at_ms(group[-1]) - clock.now_ms(), 0))
            builder.write(map(msgspec.json.encode, group))
            written += len(group)
        builder.checkpoint()
    finally:
        builder.close()
    return written


def _groups(events: Iterator[TrackingEvent]) -> Iterator[list[TrackingEvent]]:
    """Events that come in together: outcomes that come much later than they happened would belong to no list."""
    group: list[TrackingEvent] = []
    for event in events:
        if group and (len(group) == GROUP or _at_ms(event) - _at_ms(group[0]) > DELAY_MS_MAX):
            yield group
            group = []
        group.append(event)
    if group:
        yield group


def _at_ms(event: TrackingEvent) -> int:
    return parse_time_ms(event.timestamp, "timestamp")
