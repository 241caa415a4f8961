"""The models in charge: loaded and checked beside the one that serves, put in its place between two decisions.

Which model ranks for a placement is a fact in the log, so it is the same after every restart, and every receipt names
the one that did. A model is loaded in a thread; the loop only swaps two references.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import msgspec
import numpy as np

from ..decisions.decide import Decider
from ..decisions.fallback import RANKER_FAILURES
from ..decisions.score import score
from ..events.envelope import ModelPlaced
from ..foundation.clock import Clock, elapsed_ns
from ..foundation.errors import Corrupt, InstanterError, RequestRejected
from ..foundation.limits import RANKER_MS_MAX
from ..foundation.measure import Meter
from ..models.attention import NO_NETS, Nets
from ..models.base import Ranker, Uncalibrated, gives_probabilities
from ..models.lineup import Fault, Lineup
from ..models.store import ModelStore
from ..models.trained import check_scores, ranker_of
from ..privacy.audit import Audit
from .calibrations import Calibrations
from .journal import Journal
from .partition import Partition
from .replay import Models

log = logging.getLogger("instanter.engine")

PLACED: Final = "placed"
TRAINED: Final = "trained"
ROLLED_BACK: Final = "rolled_back"
BENCHED: Final = "benched"
UNCALIBRATED: Final = "uncalibrated"
TRIED_ROWS: Final = 200
"""Candidates that a model is timed on before it serves ..."""
TRIED: Final = 5
"""... so many times; the fastest counts."""


class StoredModels:
    """The models of a directory, put to work over a decider's columns."""

    def __init__(self, store: ModelStore, nets: Nets = NO_NETS) -> None:
        """`nets` is where the nets of models run; without, they can be asked nothing."""
        self._store = store
        self._nets = nets

    def ranker(self, model: str, decider: Decider) -> Ranker:
        """The model "kind@id"; `RequestRejected` if none is kept under that name, `Broken` if it does not give what it
        gave when it was trained."""
        kind, _, model_id = model.partition("@")
        if not model_id:
            raise RequestRejected("unknown_model", f'no model is called "{model}": names are kind@id', status=404)
        artefact = self._store.get(model_id)
        if artefact.kind != kind:
            message = f'no model is called "{model}": that is {artefact.kind}@{model_id}'
            raise RequestRejected("unknown_model", message, status=404)
        check_scores(artefact)
        return ranker_of(decider.assembler.columns, artefact, model_id, self._nets)


class Loaded(NamedTuple):
    """The rankers of a placement."""

    rankers: list[Ranker]
    missing: dict[str, str]
    """Models that cannot be loaded, with the reason."""


def load_placed(models: Models, decider: Decider, placed: ModelPlaced) -> Loaded:
    """The model in charge and its stand-in, as far as they can be loaded; the rest is logged. May run in a thread."""
    loaded = Loaded([], {})
    for model in filter(None, (placed.model, placed.stand_in)):
        try:
            ranker = models.ranker(model, decider)
        except InstanterError as error:
            loaded.missing[model] = str(error)
            log.error("a model cannot be loaded; another one stands in", extra={"model": model, "why": str(error)})
        else:
            holds = model != placed.model or placed.reason != UNCALIBRATED
            loaded.rankers.append(ranker if holds else Uncalibrated(ranker))
    return loaded


class ServedModels:
    """Places models and takes them back, by events."""

    def __init__(
        self, *, models: Models, partition: Partition, journal: Journal, decider: Decider, clock: Clock, audit: Audit,
        meter: Meter, calibrations: Calibrations,
    ) -> None:  # fmt: skip
        self.lineup = Lineup()
        self.missing: dict[str, str] = {}
        """Models that the log says are in charge and that cannot be loaded, with the reason: others stand in."""
        self._models = models
        self._partition = partition
        self._journal = journal
        self._decider = decider
        self._clock = clock
        self._audit = audit
        self._meter = meter
        self._calibrations = calibrations
        self._one_at_a_time = asyncio.Lock()

    def open(self) -> None:
        """Load what the log says is in charge. A model that is damaged or gone is left out, and said."""
        for placed in self._partition.models.values():
            self._stand(placed)

    def placed(self, tenant: str) -> list[ModelPlaced]:
        """What ranks for the tenant's placements, where it is not the built-in ranker."""
        return [placed for placed in self._partition.models.values() if placed.tenant == tenant]

    async def place(
        self, tenant: str, placement: str, model: str, *, actor: str, reason: str = PLACED,
        keeps_stand_in: bool = False,
    ) -> ModelPlaced:  # fmt: skip
        """Put a model ("kind@id") in charge; the one it replaces stands in for it. On return it ranks.

        With `keeps_stand_in` the one before the one it replaces goes on standing in, if there is one: a row of models
        that are all as good as another would else leave nothing different to fall back on.

        Raises `RequestRejected` if there is no such placement or model, or if the model is refused: its file is
        damaged, it does not give what it gave when it was trained, or it is too slow.
        """
        self._check_placement(placement)
        async with self._one_at_a_time:
            await asyncio.to_thread(self._tried, model)
            before = self._partition.models.get((tenant, placement))
            stand_in = _stand_in(before, model, keeps=keeps_stand_in)
            return await self._put(tenant, placement, model, stand_in, actor=actor, reason=reason)

    async def roll_back(self, tenant: str, placement: str, *, actor: str) -> ModelPlaced:
        """Put the stand-in in charge, or the built-in ranker where there is none. On return it ranks."""
        self._check_placement(placement)
        async with self._one_at_a_time:
            before = self._partition.models.get((tenant, placement))
            if before is None:
                raise RequestRejected("no_model", f'no model is in charge of "{placement}"', status=404)
            return await self._put(tenant, placement, before.stand_in, "", actor=actor, reason=ROLLED_BACK)

    def note(self, tenant: str, faults: Iterable[Fault]) -> None:
        """Count the faults of a decision's rankers; one that has too many is benched, and its stand-in takes over."""
        for fault in faults:
            if fault.counts:
                self._meter.count("model_faults")
            else:
                self._meter.count("models_away")
            if not fault.counts:
                continue
            placed = self._partition.models.get((tenant, fault.placement))
            standing = self.lineup.of(tenant, fault.placement)
            if placed is None or fault.ranker not in standing:
                continue
            now_ms = self._clock.now_ms()
            if self.lineup.note(fault.ranker, now_ms):
                self._bench(placed, fault, now_ms)

    def note_elsewhere(self, tenant: str, faults: Iterable[tuple[str, str, str]]) -> None:
        """As `note`, for a decision of another process: (placement, name of the ranker, reason) each."""
        for placement, model, reason in faults:
            standing = (one for one in self.lineup.of(tenant, placement) if _name(one) == model)
            self.note(tenant, [Fault(placement, one, reason) for one in standing])

    def bench_calibration(self, tenant: str, placement: str, model: str) -> None:
        """The probabilities of a model do not hold: it ranks on, and its scores are no probabilities from now on, until
        somebody puts it in charge again."""
        rankers = self.lineup.of(tenant, placement)
        if not any(_name(one) == model and gives_probabilities(one) for one in rankers):
            return
        self._meter.count("calibrations_benched")
        log.error("the probabilities of a model do not hold", extra={"model": model, "placement": placement})
        wrapped = [Uncalibrated(one) if _name(one) == model else one for one in rankers]
        self.lineup.stand(tenant, placement, wrapped)
        placed = self._partition.models.get((tenant, placement))
        if placed is None or placed.model != model:
            return  # A stand-in: it is watched again where it answers after a restart.
        now_ms = self._clock.now_ms()
        try:
            self._journal.append(msgspec.structs.replace(placed, at_ms=now_ms, reason=UNCALIBRATED), now_ms)
        except InstanterError:
            self._meter.count("benched_not_written")

    def gives_probabilities(self, placed: ModelPlaced) -> bool:
        """Whether the scores of the model in charge are probabilities."""
        rankers = self.lineup.of(placed.tenant, placed.placement)
        return any(_name(one) == placed.model and gives_probabilities(one) for one in rankers)

    # One after the other.

    def _bench(self, placed: ModelPlaced, fault: Fault, now_ms: int) -> None:
        failed = _name(fault.ranker)
        log.error("a model was benched", extra={"model": failed, "placement": placed.placement, "why": fault.reason})
        self._meter.count("models_benched")
        left = [model for model in (placed.model, placed.stand_in) if model and model != failed]
        keeps = placed.reason == UNCALIBRATED and failed != placed.model
        benched = ModelPlaced(
            now_ms, placed.tenant, placed.placement, left[0] if left else "", left[1] if len(left) > 1 else "",
            UNCALIBRATED if keeps else BENCHED,
        )  # fmt: skip
        rankers = [one for one in self.lineup.of(placed.tenant, placed.placement) if one is not fault.ranker]
        self.lineup.stand(placed.tenant, placed.placement, rankers)
        try:
            self._journal.append(benched, now_ms)
        except InstanterError:
            self._meter.count("benched_not_written")  # It is benched all the same, until a restart finds it again.

    async def _put(
        self, tenant: str, placement: str, model: str, stand_in: str, *, actor: str, reason: str
    ) -> ModelPlaced:
        now_ms = self._clock.now_ms()
        placed = ModelPlaced(now_ms, tenant, placement, model, stand_in, reason)
        await self._audit.note(
            f"model.{reason}", actor=actor, tenant=tenant, subject=model,
            details={"placement": placement, "stand_in": stand_in},
        )  # fmt: skip
        rankers = await asyncio.to_thread(self._loaded, placed)
        await self._journal.write([placed], now_ms)
        self._calibrations.forget(tenant, placement, model)
        self.lineup.stand(tenant, placement, rankers)
        return placed

    def _stand(self, placed: ModelPlaced) -> None:
        self.lineup.stand(placed.tenant, placed.placement, self._loaded(placed))

    def _loaded(self, placed: ModelPlaced) -> list[Ranker]:
        """The model and its stand-in, as far as they can be loaded."""
        loaded = load_placed(self._models, self._decider, placed)
        for model in filter(None, (placed.model, placed.stand_in)):
            self.missing.pop(model, None)
        self.missing |= loaded.missing
        self._meter.count("models_missing", len(loaded.missing))
        return loaded.rankers

    def _tried(self, model: str) -> Ranker:
        """The model, loaded, and timed on a list as long as the longest."""
        columns = self._decider.assembler.columns
        matrix = np.zeros((TRIED_ROWS, len(columns)), np.float32)
        try:
            ranker = self._models.ranker(model, self._decider)
            took_ms = min(_timed_ms(lambda: score(ranker, matrix, columns)) for _ in range(TRIED))
        except (Corrupt, *RANKER_FAILURES) as error:
            if isinstance(error, RequestRejected):
                raise
            raise RequestRejected("model_refused", f"{model}: {error}", status=422) from None
        if took_ms > RANKER_MS_MAX:
            slow = f"{model} takes {took_ms:.0f} ms for {TRIED_ROWS} candidates, more than {RANKER_MS_MAX}"
            raise RequestRejected("model_refused", slow, status=422)
        return ranker

    def _check_placement(self, placement: str) -> None:
        if placement not in {known.id for known in self._decider.placements}:
            raise RequestRejected("unknown_placement", f'there is no placement "{placement}"', status=404)


def _stand_in(before: ModelPlaced | None, model: str, *, keeps: bool) -> str:
    """Who stands in for a model that takes over."""
    if before is None:
        return ""
    kept = before.stand_in if before.stand_in != model else ""
    return before.stand_in if before.model == model else (kept or before.model) if keeps else before.model


def faults_by_name(faults: Iterable[Fault]) -> list[tuple[str, str, str]]:
    """Faults as `ServedModels.note_elsewhere` takes them."""
    return [(fault.placement, _name(fault.ranker), fault.reason) for fault in faults if fault.counts]


def _name(ranker: Ranker) -> str:
    """As receipts name it."""
    return f"{ranker.name}@{ranker.version}"


def _timed_ms(work: Callable[[], object]) -> float:
    began_ns = elapsed_ns()
    work()
    return (elapsed_ns() - began_ns) / 1e6

