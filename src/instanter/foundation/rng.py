"""The only door to chance. Randomness that decides is keyed, so one seed replays one run."""

from __future__ import annotations

import secrets

import mmh3


class KeyedRng:
    """Uniform numbers that depend on nothing but the key: the n-th draw of a key is always the same.

    >>> KeyedRng("d_1", seed=7).uniform() == KeyedRng("d_1", seed=7).uniform()
    True
    """

    def __init__(self, key: str, *, seed: int = 0) -> None:
        self._key = key
        self._seed = seed & 0xFFFFFFFF
        self._draws = 0

    def uniform(self) -> float:
        """A number in [0, 1), from 53 bits."""
        self._draws += 1
        high = mmh3.hash64(f"{self._key}/{self._draws}", self._seed, signed=False)[0]
        return (high >> 11) / float(1 << 53)

    def below(self, bound: int) -> int:
        """An integer in [0, bound); the bias is below bound / 2**53."""
        assert bound > 0
        return int(self.uniform() * bound)


def entropy(size_bytes: int) -> bytes:
    """Unpredictable bytes for ids and secrets; never for anything a replay must repeat."""
    return secrets.token_bytes(size_bytes)
