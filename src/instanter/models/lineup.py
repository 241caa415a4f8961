"""Who scores for a placement: the model in charge, the one before it as its stand-in, and last the built-in ranker.

A model that raises, gives what is no score, or takes too long is counted as faulty; `FAULTS_MAX` faults within
`FAULTS_MS` bench it, and the one behind it answers from then on, until somebody puts a model in charge again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from ..foundation.limits import MODEL_FAULTS_MAX
from .base import Ranker

FAULTS_MS: Final = 60_000
STANDING_BY: Final = 2
"""Models that a placement has at once: the one in charge and its stand-in."""


class Fault(NamedTuple):
    """A ranker did not do its work."""

    placement: str
    ranker: Ranker
    reason: str
    counts: bool = True
    """Whether it is a fault of the ranker's own; else what it stands on was away for a moment."""


class Rankers(Protocol):
    """Which rankers a decision tries before the built-in one."""

    def of(self, tenant: str, placement: str) -> Sequence[Ranker]:
        """The first is in charge."""
        ...


class NoRankers:
    """Nothing but the built-in ranker."""

    def of(self, tenant: str, placement: str) -> Sequence[Ranker]:
        return ()


class Lineup:
    """The models of all tenants, by placement. Used on the loop's thread.

    >>> lineup = Lineup()
    >>> [ranker.name for ranker in lineup.of("default", "home.hero")]
    []
    """

    def __init__(self) -> None:
        self._models: dict[tuple[str, str], tuple[Ranker, ...]] = {}
        self._faults: dict[str, deque[int]] = {}

    def of(self, tenant: str, placement: str) -> Sequence[Ranker]:
        return self._models.get((tenant, placement), ())

    def stand(self, tenant: str, placement: str, rankers: Sequence[Ranker]) -> None:
        """These answer from now on, the first in charge; what they did before is forgotten."""
        if rankers:
            self._models[tenant, placement] = tuple(rankers[:STANDING_BY])
        else:
            self._models.pop((tenant, placement), None)
        standing = {ranker.version for models in self._models.values() for ranker in models}
        self._faults = {
            version: faults for version, faults in self._faults.items()
            if version in standing and version not in {ranker.version for ranker in rankers}
        }  # fmt: skip

    def note(self, ranker: Ranker, at_ms: int) -> bool:
        """Count a fault; True when the ranker has to be benched now."""
        faults = self._faults.setdefault(ranker.version, deque(maxlen=MODEL_FAULTS_MAX))
        faults.append(at_ms)
        return len(faults) == MODEL_FAULTS_MAX and at_ms - faults[0] <= FAULTS_MS
