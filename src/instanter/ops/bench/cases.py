"""All cases by name, and the running of them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from . import (
    decide,
    features,
    freshness,
    ingest,
    large_catalogue,
    machine,
    memory,
    models,
    pause,
    readers,
    replay,
    sealing,
    start,
    training,
    workers,
)
from .bench import Bench, Stopwatch
from .result import CaseResult, Figure, Report, concluded


class Case(NamedTuple):
    """One thing that is measured: its figures, and why they do not count if they do not."""

    title: str
    measure: Callable[[Bench], tuple[list[Figure], str]]


CASES: Final = {
    "ingest": Case(ingest.TITLE, ingest.ingest),
    "sealing": Case(sealing.TITLE, sealing.sealing),
    "decide": Case(decide.TITLE, decide.decide),
    "workers": Case(workers.TITLE, workers.workers),
    "readers": Case(readers.TITLE, readers.readers),
    "models": Case(models.TITLE, models.models),
    "freshness": Case(freshness.TITLE, freshness.freshness),
    "large_catalogue": Case(large_catalogue.TITLE, large_catalogue.large_catalogue),
    "replay": Case(replay.TITLE, replay.replay),
    "start": Case(start.TITLE, start.start),
    "training": Case(training.TITLE, training.training),
    "memory": Case(memory.TITLE, memory.memory),
    "features": Case(features.TITLE, features.features),
    "pause": Case(pause.TITLE, pause.pause),
}


def run(bench: Bench, names: Sequence[str]) -> Report:
    """Measure these cases, one after the other. Raises an `InstanterError` when one cannot be measured."""
    described = machine.describe(Path(tempfile.gettempdir()), bench.clock)
    return Report(machine=described, quick=bench.quick, cases=[_measured(bench, name) for name in names])


def _measured(bench: Bench, name: str) -> CaseResult:
    bench.say(f"{name}: {CASES[name].title.partition(': ')[2]}")
    stopwatch, neighbours = Stopwatch(), machine.Neighbours()
    figures, void = CASES[name].measure(bench)
    return concluded(CaseResult(
        name=name, title=CASES[name].title, figures=figures, void=void, others_share=neighbours.share(),
        took_s=stopwatch.seconds(),
    ))  # fmt: skip
