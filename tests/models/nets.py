"""Nets of tests: what they tell can be worked out by hand."""

from __future__ import annotations

import numpy as np

from instanter.foundation.errors import InstanterError
from instanter.models.bodies import Attention, Logits, Places


class PlainNets:
    """Tells of each candidate minus how far its number is from the one behind the newest item; remembers what it was
    asked. It fails where it is given an error."""

    def __init__(self, error: InstanterError | None = None) -> None:
        self.error = error
        self.prepared: list[str] = []
        self.asked: list[tuple[str, list[int], list[int], float]] = []
        self.closed = False

    def prepare(self, model: str, net: Attention) -> None:
        self.prepared.append(model)

    def ask(self, model: str, recent: Places, candidates: Places, within_ms: float) -> Logits:
        self.asked.append((model, recent.tolist(), candidates.tolist(), within_ms))
        if self.error is not None:
            raise self.error
        return -np.abs(candidates - (recent[-1] + 1)).astype(np.float32)

    def close(self) -> None:
        self.closed = True
