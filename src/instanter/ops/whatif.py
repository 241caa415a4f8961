"""The same past decided anew: what another configuration, ranker or weights would have shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from ..api.whatif import BUILT_IN_MODEL
from ..decisions.decide import Decider
from ..decisions.receipt import PlacementReceipt, id_of
from ..engine.anew import Anew, Named, OtherPast
from ..engine.configuration import Configuration
from ..engine.models import StoredModels
from ..engine.recovery import Progress
from ..engine.replay import Again, Made, Past
from ..events.bodies import meant_of
from ..foundation.clock import elapsed_ns
from ..foundation.errors import Corrupt, RequestRejected
from ..models.base import Ranker
from ..models.lineup import Rankers
from ..state.catalogue import Catalogue
from .attention.running import NetsHere
from .reading import Reading
from .replaying import DAMAGED, Span, made_at, positions_in

EXPOSURES_TOLD: Final = 10


class Trial(msgspec.Struct, frozen=True):
    """What is tried instead of what was."""

    configuration: Configuration | None = None
    """None: the one that the newest of the decisions was made under."""
    model: str = ""
    """"kind@id" or `BUILT_IN_MODEL`; "" leaves the ranking to the models that ranked then."""
    placement: str = ""
    """Only this one is tried and compared; "" for all."""
    weights: dict[str, float] = {}
    """Of the built-in ranker, where they differ; it ranks then."""


class Compared(msgspec.Struct):
    """Lists as they were shown against lists as they would have been."""

    lists: int = 0
    first_changed: float = 0.0
    """Share of the lists whose first item would have been another."""
    list_changed: float = 0.0
    """Share of the lists that would have been different in any place."""
    overlap: float = 0.0
    """Mean share of items that both lists show."""


class Exposure(msgspec.Struct, frozen=True):
    """In how many lists an item stands."""

    item: str
    before: int
    after: int


class PlacementCompared(msgspec.Struct, frozen=True):
    """One placement."""

    placement: str
    all: Compared
    segments: dict[str, Compared]
    """By "known" and "new" (people), "in_session" and "not_in_session"."""
    rungs_before: dict[str, int]
    rungs_after: dict[str, int]
    gained: list[Exposure]
    """The items that would have been shown in more lists, `EXPOSURES_TOLD` of them, the largest difference first."""
    lost: list[Exposure]


class WhatIf(msgspec.Struct, frozen=True):
    """What would have been."""

    decisions: int
    """Decided anew."""
    placements: list[PlacementCompared]
    skipped: dict[str, int]
    """As for `Replayed`; `unknown_placement` where the configuration tried has no such placement."""
    counted_from: int
    """Position from which the features of the configuration tried have counted; 0 is the beginning."""
    folded_events: int
    seconds: float


def what_if(
    read: Reading, trial: Trial, span: Span, *, memory_mb: int, progress: Progress | None = None
) -> WhatIf:
    """Decide the decisions of a span anew. `progress` is called with the records folded.

    If features or settings of the fold differ from those of any of the decisions, the state is folded from the log's
    beginning as if the configuration tried had always been in force; else from the nearest checkpoint.
    Raises `RequestRejected` if there is no decision, or no such placement or model, and `ConfigRejected` for weights
    that have no input.
    """
    began_ns = elapsed_ns()
    positions = positions_in(read, span)
    names = _made_under(read, positions)
    if not names:
        raise RequestRejected("no_decisions", "there is no decision to decide anew")
    configuration = _tried(read, trial, names[-1])
    always = not all(_folds_alike(read, name, configuration) for name in names)
    past = _past(read, configuration, memory_mb, progress, always=always)
    anew = Anew(configuration, past, StoredModels(read.models, NetsHere()))
    ranker = anew.ranker(trial.model) if trial.model not in ("", BUILT_IN_MODEL) else None
    found = _Findings()
    for made in _readable(read, positions, found.skipped):
        try:
            again = anew.decide(made, rankers_tried(trial, made, anew, ranker))
        except RequestRejected as error:
            found.skipped[error.code] += 1
        except Corrupt:
            found.skipped[DAMAGED] += 1
        else:
            found.take(again, anew.decider, trial.placement)
    catalogue = None if found.newest is None else found.newest.partition.state.catalogue
    return WhatIf(
        found.decisions, [tally.told(catalogue) for _, tally in sorted(found.tallies.items())], dict(found.skipped),
        past.begins if isinstance(past, OtherPast) else 0, past.folded, round((elapsed_ns() - began_ns) / 1e9, 3),
    )  # fmt: skip


def _past(
    read: Reading, configuration: Configuration, memory_mb: int, progress: Progress | None, *, always: bool
) -> Past | OtherPast:
    schema = configuration.schema(memory_mb=memory_mb)
    if not always:
        return read.replay.past(schema)
    directory = read.directory
    return OtherPast(
        schema, read.log, disk=directory.disk, checkpoints=directory.checkpoints, cold=read.cold, progress=progress
    )


def _made_under(read: Reading, positions: Sequence[int]) -> list[str]:
    """The configurations that decisions were made under, the newest last."""
    names: dict[str, None] = {}
    for made in _readable(read, positions, Counter()):
        names.pop(made.receipt.config_hash, None)
        names[made.receipt.config_hash] = None
    return list(names)


def _readable(read: Reading, positions: Sequence[int], skipped: Counter[str]) -> Iterator[Made]:
    for position in positions:
        try:
            yield made_at(read, position)
        except RequestRejected as error:
            skipped[error.code] += 1
        except Corrupt:
            skipped[DAMAGED] += 1


def _tried(read: Reading, trial: Trial, newest: str) -> Configuration:
    """The configuration with the weights in it, for the placement that they are for."""
    replace = msgspec.structs.replace
    configuration = trial.configuration or read.configurations.get(newest)
    there = [placement.id for placement in configuration.placements]
    if trial.placement and trial.placement not in there:
        raise RequestRejected(
            "unknown_placement", f'there is no placement "{trial.placement}"{meant_of(trial.placement, there)}')
    return replace(configuration, placements=tuple(
        replace(placement, weights={**placement.weights, **trial.weights})
        if trial.placement in ("", placement.id) else placement
        for placement in configuration.placements
    ))  # fmt: skip


def _folds_alike(read: Reading, name: str, configuration: Configuration) -> bool:
    try:
        return read.configurations.get(name).folds_as(configuration)
    except Corrupt:
        return False


def rankers_tried(trial: Trial, made: Made, anew: Anew, ranker: Ranker | None) -> Rankers:
    """Who ranks: what is tried where it is tried, else whoever ranked then; raises as `Anew.named` does."""
    if not trial.model and not trial.weights:
        return anew.named(made.receipt)
    tried = [one.id for one in made.receipt.placements if trial.placement in ("", one.id)]
    others = tuple(one for one in made.receipt.placements if one.id not in tried)
    standing = anew.named(msgspec.structs.replace(made.receipt, placements=others))
    return Named({**standing.by_placement, **({} if ranker is None else dict.fromkeys(tried, ranker))})


class _Findings:
    """What is counted on the way."""

    def __init__(self) -> None:
        self.decisions = 0
        self.skipped: Counter[str] = Counter()
        self.tallies: dict[str, _Tally] = {}
        self.newest: Again | None = None

    def take(self, again: Again, decider: Decider, only: str) -> None:
        self.decisions += 1
        self.newest = again
        receipt = again.made.receipt
        person = decider.reader.person(
            again.partition.state, receipt.keys, receipt.at_ms, frozenset(receipt.denied)
        )
        segments = (
            "known" if person.known else "new",
            "in_session" if person.in_session else "not_in_session",
        )
        for before, after in zip(receipt.placements, again.receipt.placements, strict=True):
            if only in ("", before.id):
                self.tallies.setdefault(before.id, _Tally(before.id)).take(
                    before, after, segments, receipt.tenant
                )


_Shown = tuple[str, int]
"""Tenant and reference of an item that was shown."""


class _Tally:
    """One placement, as counts."""

    def __init__(self, placement: str) -> None:
        self._placement = placement
        self._segments: dict[str, Compared] = {}
        self._all = Compared()
        self._rungs: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        self._shown: tuple[Counter[_Shown], Counter[_Shown]] = (Counter(), Counter())

    def take(
        self, before: PlacementReceipt, after: PlacementReceipt, segments: Sequence[str], tenant: str
    ) -> None:
        lists = (before.shown(), after.shown())
        for compared in (self._all, *(self._segments.setdefault(one, Compared()) for one in segments)):
            compared.lists += 1
            compared.first_changed += lists[0][:1] != lists[1][:1]
            compared.list_changed += lists[0] != lists[1]
            compared.overlap += _overlap(*lists)
        for receipt, shown, rungs, exposures in zip((before, after), lists, self._rungs, self._shown, strict=True):
            rungs[receipt.rung] += 1
            exposures.update((tenant, item) for item in set(shown))

    def told(self, catalogue: Catalogue | None) -> PlacementCompared:
        before, after = self._shown
        gains = {item: after[item] - before[item] for item in before.keys() | after.keys()}
        names = {(tenant, ref): str(ref) if catalogue is None else id_of(ref, tenant, catalogue)
                 for tenant, ref in gains}  # fmt: skip
        # By name where they are equal: references are each installation's own.
        order = sorted(gains, key=lambda item: (-gains[item], names[item], item[0]))

        def exposures(items: Sequence[_Shown]) -> list[Exposure]:
            return [Exposure(names[item], before[item], after[item]) for item in items[:EXPOSURES_TOLD]]

        return PlacementCompared(
            self._placement, _shares(self._all),
            {name: _shares(compared) for name, compared in sorted(self._segments.items())},
            dict(self._rungs[0]), dict(self._rungs[1]),
            exposures([item for item in order if gains[item] > 0]),
            exposures([item for item in reversed(order) if gains[item] < 0]),
        )  # fmt: skip


def _overlap(before: Sequence[int], after: Sequence[int]) -> float:
    """Share of the longer list's items that both show; two empty lists are the same."""
    longest = max(len(before), len(after))
    return len(set(before) & set(after)) / longest if longest else 1.0


def _shares(compared: Compared) -> Compared:
    lists = max(compared.lists, 1)
    return Compared(compared.lists, *(
        round(sum_ / lists, 4) for sum_ in (compared.first_changed, compared.list_changed, compared.overlap)
    ))  # fmt: skip
