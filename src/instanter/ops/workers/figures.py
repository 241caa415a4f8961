"""What a decider has measured, for the writer's `/metrics`: a small file in the workers' folder, replaced as a whole.

The board has figures of a fixed number; stages and what is counted have names.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from ...foundation.measure import Measurements


class StageSum(msgspec.Struct, array_like=True, frozen=True):
    """A stage since the start of the process."""

    count: int
    total_ns: int


class Figures(msgspec.Struct, array_like=True, frozen=True):
    """All of one decider, since its start. They begin anew with its process, as counters may."""

    stages: dict[str, StageSum] = {}
    counts: dict[str, int] = {}


NO_FIGURES = Figures()
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Figures).decode


class FiguresFile:
    """The file of one worker, which it writes and others read."""

    def __init__(self, folder: Path, number: int) -> None:
        self._path = folder / f"figures-{number}"
        self._written = b""

    def write(self, meter: Measurements) -> None:
        """Say what has been measured by now; nothing is written where that is what the file says."""
        stages = {name: StageSum(one.count, one.total_ns) for name, one in meter.stages.items()}
        encoded = _encode(Figures(stages, dict(meter.counts)))
        if encoded == self._written:
            return
        unfinished = self._path.with_suffix(".new")
        unfinished.write_bytes(encoded)
        os.replace(unfinished, self._path)
        self._written = encoded

    def read(self) -> Figures:
        """What was said last; nothing of a worker that has not said anything."""
        try:
            return _decode(self._path.read_bytes())
        except FileNotFoundError:
            return NO_FIGURES
