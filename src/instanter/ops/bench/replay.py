"""How fast the state is rebuilt from the log."""

from __future__ import annotations

import msgspec

from ...foundation.errors import Broken
from .bench import Bench, Stopwatch, load
from .result import Figure
from .server import COMMAND, Process, Server
from .traffic import catalogue

TITLE = "replay: the whole log folded again from its beginning, by a process of its own"


class _Replayed(msgspec.Struct):
    """What `instanter replay --json` says."""

    records: int
    seconds: float


def replay(bench: Bench) -> tuple[list[Figure], str]:
    """A log made through the front door, then `instanter replay` on it."""
    events, people = bench.size(500_000, 2_000), bench.size(20_000, 200)
    with bench.folder() as folder:
        with Server(folder / "data") as server:
            server.wait_ready()
            bench.say(f"making a log of {events:,} events")
            load(server, catalogue(bench.shop))
            load(server, bench.traffic().batches(range(people), events, at_ms=bench.clock.now_ms()))
        bench.say("replaying it")
        stopwatch = Stopwatch()
        command = (*COMMAND, "replay", "--json", "--data", str(folder / "data"))
        with Process(command, log=folder / "replay.log") as process:
            code = process.wait()
            whole_s = stopwatch.seconds()
            said = process.output().strip()
    if code != 0:
        raise Broken(f"instanter replay ended with {code}: {said[-400:]}")
    replayed = msgspec.json.decode(said.splitlines()[-1], type=_Replayed)
    figures = [
        Figure(name="events replayed", value=events / replayed.seconds, unit="events/s", at_least=100_000, aim=300_000,
               higher_is_better=True),
        Figure(name="events replayed, start of the process included", value=events / whole_s, unit="events/s",
               higher_is_better=True),
    ]
    void = f"the log holds {replayed.records} records of {events} events" if replayed.records < events else ""
    return figures, void
