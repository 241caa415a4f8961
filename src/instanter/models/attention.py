"""A self-attention model: the linear order of the engine, moved by a net that reads what somebody did last.

The net does not run here. It is asked, in a process of its own or elsewhere, and what it tells goes into the score and
into what is kept beside the receipt: so a decision is made again without it. Of candidates that it does not know, and
where it knows nothing that somebody did, it tells nothing, and the linear order stands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol, runtime_checkable

import numpy as np

from ..features.assemble import Column, Matrix
from ..foundation.errors import Broken, Unavailable
from ..foundation.limits import NET_ANSWER_MS_MAX
from ..state.compiled import Ints, Reals
from .artefact import Artefact, encode, identify
from .base import EVERY_COLUMN, EVERY_ROW, Chosen, Ranker
from .bodies import Attention, Logits, Places
from .conditional_logit import finite, linear_over
from .inputs import wire

_NUMBERS_KEPT_MAX: Final = 65_536
"""Items whose number is remembered by reference."""


class Listed(NamedTuple):
    """A list that is to be ranked, beside its matrix."""

    recent: Ints
    """References of the items that somebody acted on last, the newest first."""
    candidates: Ints
    """References."""
    name_of: Callable[[int], str | None]
    """The id of an item by its reference."""
    left_ms: float
    """How much of the deadline is left."""


class Nets(Protocol):
    """Where nets run."""

    def prepare(self, model: str, net: Attention) -> None:
        """On return it can be asked. May take seconds, and be called in a thread. `Broken` where the net does not tell
        what it told when it was made, or does not run; `ConfigRejected` where what runs it is not installed."""
        ...

    def ask(self, model: str, recent: Places, candidates: Places, within_ms: float) -> Logits:
        """What the net tells of each candidate. `Unavailable` where it is not there now, `Broken` where it failed or
        did not answer in time."""
        ...


    def close(self) -> None:
        """End what runs. Nothing is asked any more."""
        ...


class NoNets:
    """Nothing is asked."""

    def prepare(self, model: str, net: Attention) -> None:
        return None

    def ask(self, model: str, recent: Places, candidates: Places, within_ms: float) -> Logits:
        raise Broken(f"nothing runs the net of {model} here")

    def close(self) -> None:
        return None


NO_NETS: Final = NoNets()


@runtime_checkable
class ReadsSteps(Protocol):
    """A ranker that is told of a list beside its matrix, by something that is no function."""

    def told(self, listed: Listed) -> Logits:
        """What there is to be told, a number or not a number a candidate. Raises as `Nets.ask`."""
        ...

    def after(self, told: Logits) -> Ranker:
        """The ranker of the one list that this was told of: pure."""
        ...


class AttentionRanker:
    """A trained self-attention model over the columns of one assembler. A matrix is that of one list."""

    gives_probabilities = False

    def __init__(
        self, columns: Sequence[Column], artefact: Artefact, version: str = "", nets: Nets = NO_NETS
    ) -> None:
        """`version` is the model's id, worked out here if not given. `Broken` for a model of another kind."""
        learned = artefact.model()
        if not isinstance(learned, Attention):
            raise Broken(f"a {artefact.kind} model has no net")
        self.name: str = artefact.kind
        self.version = version or identify(encode(artefact))
        self._wired = wire(columns, artefact)
        self.columns, self.missing = self._wired.columns, self._wired.missing
        self._net, self._nets = learned, nets
        self._number_of = {item: number for number, item in enumerate(learned.items, start=1)}
        self._numbers: dict[int, int] = {}
        self._linear = linear_over(self._wired, learned.linear)

    def prepare(self) -> None:
        """As `Nets.prepare`, for its own net."""
        self._nets.prepare(self.version, self._net)

    def raw_scores(self, matrix: Matrix, columns: Sequence[Column]) -> Reals:
        """The linear order alone."""
        self._wired.check(columns)
        return self._linear.score(finite(matrix), self._linear.columns)

    def score(self, matrix: Matrix, columns: Sequence[Column]) -> Reals:
        """The linear order alone, where nothing was told."""
        return self.raw_scores(matrix, columns)

    def contributions(
        self, matrix: Matrix, columns: Sequence[Column], rows: Chosen = EVERY_ROW, wanted: Chosen = EVERY_COLUMN
    ) -> Reals:
        """What each of the wanted columns adds to the linear order. What the net adds is no column's."""
        self._wired.check(columns)
        return self._linear.contributions(finite(matrix), self._linear.columns, rows, wanted)

    def told(self, listed: Listed) -> Logits:
        """As `ReadsSteps.told`. `Unavailable` where too little of the deadline is left to wait for the net as long as
        it may take: one that is late is ended, so that nobody who is in haste may ask."""
        told: Logits = np.full(len(listed.candidates), np.nan, np.float32)
        recent = [number for ref in listed.recent.tolist() if (number := self._number(ref, listed))]
        numbers = np.array([self._number(ref, listed) for ref in listed.candidates.tolist()], np.int32)
        known = np.flatnonzero(numbers)
        if recent and len(known):
            if listed.left_ms < NET_ANSWER_MS_MAX:
                raise Unavailable(f"{max(listed.left_ms, 0.0):.0f} ms are too little to ask a net")
            told[known] = asked(self._nets, self.version, self._net, recent, numbers[known], NET_ANSWER_MS_MAX)
        return told

    def after(self, told: Logits) -> Ranker:
        """As `ReadsSteps.after`."""
        return _Informed(self, told)

    def moved(self, scores: Reals, told: Logits) -> Reals:
        """Linear scores of one list, with what was told of it. `Broken` for what was told of another list."""
        if told.shape != scores.shape:
            raise Broken(f"{len(told)} candidates were told of, not {len(scores)}")
        return scores + self._net.share * centred(told)

    def _number(self, ref: int, listed: Listed) -> int:
        """Of an item, 0 where the net does not know it."""
        number = self._numbers.get(ref)
        if number is None:
            number = self._number_of.get(listed.name_of(ref) or "", 0)
            if number:  # One that is not in the catalogue now may come into it.
                if len(self._numbers) >= _NUMBERS_KEPT_MAX:
                    self._numbers.clear()
                self._numbers[ref] = number
        return number


class _Informed:
    """The ranker of a list of which a net has told."""

    def __init__(self, ranker: AttentionRanker, told: Logits) -> None:
        self.name, self.version, self.missing = ranker.name, ranker.version, ranker.missing
        self.contributions = ranker.contributions
        self._ranker, self._told = ranker, told

    def score(self, matrix: Matrix, columns: Sequence[Column]) -> Reals:
        return self._ranker.moved(self._ranker.raw_scores(matrix, columns), self._told)


def asked(nets: Nets, model: str, net: Attention, newest_first: Sequence[int], candidates: Places, ms: float) -> Logits:
    """What a net tells of candidates, by numbers; `Broken` if that is not one finite number for each."""
    recent = np.zeros(net.recent, np.int32)
    taken = newest_first[: net.recent]
    recent[net.recent - len(taken) :] = taken[::-1]
    told = nets.ask(model, recent, candidates, ms)
    if told.shape != candidates.shape or not np.isfinite(told).all():
        raise Broken(f"the net of {model} does not tell one finite number of each candidate")
    return told


def centred(told: Logits) -> Reals:
    """Less the mean over those that something was told of; 0 for the others.

    >>> centred(np.array([1.0, np.nan, 3.0], np.float32)).tolist()
    [-1.0, 0.0, 1.0]
    """
    numbers = told.astype(np.float64)
    there = ~np.isnan(numbers)
    if not there.any():
        return np.zeros(len(numbers))
    return np.where(there, numbers - numbers[there].mean(), 0.0)
