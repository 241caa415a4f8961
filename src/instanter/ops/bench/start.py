"""How long from the start of the process until decisions can be answered."""

from __future__ import annotations

from statistics import median

from .bench import Bench
from .build import Builder
from .result import Figure
from .server import Server

TITLE = "start: a log of 1,000,000 events, a checkpoint 100,000 behind its end"
EVENTS = 1_000_000
BEHIND = 100_000
STARTS = 3


def start(bench: Bench) -> tuple[list[Figure], str]:
    """The median of a few starts; each server is killed, so that it leaves no newer checkpoint."""
    events, behind = bench.size(EVENTS, 3_000), bench.size(BEHIND, 1_000)
    people = bench.size(20_000, 200)
    with bench.folder() as folder:
        bench.say(f"making a log of {events:,} events")
        builder = Builder(folder / "data", clock=bench.clock)
        traffic = bench.traffic()
        builder.catalogue(bench.shop)
        builder.events(traffic, people, events - behind)
        builder.checkpoint()
        builder.events(traffic, people, behind)
        builder.close()
        took_s, folded = [], 0.0
        for _ in range(bench.size(STARTS, 1)):
            bench.say("starting")
            with Server(folder / "data") as server:
                took_s.append(server.wait_ready())
                folded = server.metrics().value("instanter_events_folded_total", verdict="applied")
                server.kill()
    figures = [
        Figure(name="ready after", value=median(took_s), unit="s", at_least=5, aim=2),
        Figure(name="slowest of the starts", value=max(took_s), unit="s"),
        Figure(name="events behind the checkpoint", value=folded, unit=""),
    ]
    return figures, "" if folded == behind else f"{folded:g} events were replayed, not {behind}"
