"""The nets of a server's models, each in a process of the pool."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from ...foundation.clock import elapsed_ns
from ...foundation.errors import Broken
from ...foundation.limits import FOUND_MAX, NET_ANSWER_MS_MAX
from ...models.bodies import Attention, Logits, Places
from ..pool import Pool
from .running import check_installed, check_told
from .serving import HEAD

COMMAND: Final = (sys.executable, "-m", "instanter.ops.attention.serving")
TRIED: Final = 5
"""How often a net is timed on a list as long as the longest before it serves; the fastest counts."""


class PooledNets:
    """The `Nets` of a server."""

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self._pool = Pool(command)

    def prepare(self, model: str, net: Attention) -> None:
        """As `Nets.prepare`."""
        check_installed()

        def check(ask: Callable[[bytes], bytes]) -> None:
            check_told(_answer(ask(_question(net.known_recent, net.known_candidates))), net.known_told)
            longest = _question(
                np.ones(net.recent, np.int32), np.resize(np.arange(1, len(net.items) + 1, dtype=np.int32), FOUND_MAX)
            )
            took_ms = min(_timed_ms(ask, longest) for _ in range(TRIED))
            if took_ms > NET_ANSWER_MS_MAX:
                raise Broken(
                    f"the net takes {took_ms:.0f} ms for {FOUND_MAX} candidates, more than {NET_ANSWER_MS_MAX}"
                )

        self._pool.prepare(model, net.graph, check)

    def ask(self, model: str, recent: Places, candidates: Places, within_ms: float) -> Logits:
        """As `Nets.ask`."""
        return _answer(self._pool.ask(model, _question(recent, candidates), within_ms))

    def close(self) -> None:
        """As `Nets.close`."""
        self._pool.close()


def _timed_ms(ask: Callable[[bytes], bytes], question: bytes) -> float:
    began_ns = elapsed_ns()
    ask(question)
    return (elapsed_ns() - began_ns) / 1e6


def _question(recent: Places, candidates: Places) -> bytes:
    return HEAD.pack(len(recent)) + recent.astype("<i4").tobytes() + candidates.astype("<i4").tobytes()


def _answer(raw: bytes) -> Logits:
    if len(raw) % 4:
        raise Broken("a net answered with a part of a number")
    return np.frombuffer(raw, "<f4").astype(np.float32)
