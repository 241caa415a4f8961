"""Load or compile every kernel before the first request, on a small state that is thrown away."""

from __future__ import annotations

import gc
from collections.abc import Callable

import msgspec
import numpy as np

from ..decisions.decide import Decider
from ..decisions.explain import warm_up as warm_up_reasons
from ..decisions.request import CompleteRequest, DecideRequest, PlacementRequest
from ..events.envelope import CANONICAL_FIELDS, Configured, Epoch, ItemPatched, ItemUpserted, Record, Ticked, Tracked
from ..events.vectors import VECTOR, pack_vector
from ..foundation.deadline import Deadline
from ..foundation.ids import References
from ..foundation.measure import NoMeter
from ..log.frames import LogPosition
from ..models.online import warm_up as warm_up_learners
from ..models.trained import warm_up as warm_up_models
from ..models.words import warm_up as warm_up_words
from ..privacy.roll import warm_up as warm_up_roll
from ..privacy.sealing import warm_up as warm_up_sealing
from ..state.checkpoint import Snapshot
from ..state.cold import warm_up as warm_up_cold
from ..state.compiling import compiled, nobody_listens
from ..state.memory import State
from ..state.schema import Capacity, Schema
from .partition import Partition

_TENANT = "default"
_CAPACITY = Capacity(cells=1_024, items=1_024)
_START_MS = 1_700_000_000_000
_HOUR_MS = 3_600_000
_PEOPLE, _ITEMS = 3, 60
_DEADLINE_MS = 60_000.0
_PASSED_MS = 0.0
"""A deadline that has passed: the answer comes from the lower rungs, which otherwise run when something is slow."""

_RARER = 6
"""Nearly all that the compiler makes stays or goes at once: looking through everything as often as else took a
twentieth of a first start. 20 MB more are in use meanwhile."""

KernelProgress = Callable[[int, int], None]
"""Told at each kernel that is compiled how many there are by now, and how many at most there will be."""


def warm_up(
    schema: Schema, decider: Decider, placements: tuple[str, ...], progress: KernelProgress | None = None
) -> None:
    """Do once what serving does: fold, publish, tick, snapshot, hash, erase, decide. After that nothing is compiled any
    more, whatever comes; `tests/engine/test_warmup.py` holds that.

    The first time on a machine it takes 15 s or so, and `progress` is told at each kernel that is compiled; afterwards
    it takes half a second, and `progress` is told nothing.
    """
    if progress is not None:
        compiled.on_compile = lambda: progress(len(compiled.functions), len(compiled.kernels))
    thresholds = gc.get_threshold()
    gc.set_threshold(*thresholds[:2], _RARER * thresholds[2])
    try:
        _do_all(schema, decider, placements)
    finally:
        gc.set_threshold(*thresholds)
        compiled.on_compile = nobody_listens


def _do_all(schema: Schema, decider: Decider, placements: tuple[str, ...]) -> None:
    partition = Partition(msgspec.structs.replace(schema, capacity=_CAPACITY))
    state = partition.state
    records = list(_records(schema))
    partition.apply(records, ends=[*map(LogPosition, range(1, len(records) + 1))])
    for _ in Snapshot(state, position=1, at_ms=_START_MS, control={}).sections():
        pass
    state.hash()
    state.received_of([1, 2])
    warm_up_roll()
    warm_up_sealing()
    warm_up_models()
    warm_up_learners()
    warm_up_reasons()
    warm_up_words()
    state.catalogue.lacking(np.zeros(0, np.int64))
    known = tuple(DecideRequest(placements=[PlacementRequest(id=placement)]) for placement in placements)
    together = DecideRequest(
        placements=[PlacementRequest(id=placement, item=_item(0)) for placement in placements], explain=True
    )
    searches = tuple(
        DecideRequest(placements=[PlacementRequest(id=placement, query=query) for placement in placements])
        for query in ("text te", "nothing")
    )
    for keys in ([], [1], [1, 2]):
        for request in (*known, together, *searches):
            for deadline_ms in (_DEADLINE_MS, _PASSED_MS):
                _decide(decider, state, request, keys, deadline_ms)
        for placement in decider.placements:
            if placement.kind == "rerank":
                _complete(decider, state, placement.id, keys)
        # The lists that stand follow the catalogue from now on.
        sold_out = ItemPatched(_START_MS + _HOUR_MS, _TENANT, _item(len(keys)), {"stock": 0})
        renamed = ItemPatched(_START_MS + _HOUR_MS, _TENANT, _item(len(keys)), {"title": f"text {len(keys)}"})
        partition.apply([sold_out, renamed], ends=[LogPosition(1), LogPosition(2)])
    warm_up_cold(state.tables.memory, state.tables.cell_index)
    state.erase([_PEOPLE])


def _decide(decider: Decider, state: State, request: DecideRequest, keys: list[int], deadline_ms: float) -> None:
    decision = decider.decide(
        request, state=state, keys=keys, tenant=_TENANT, now_ms=_START_MS + _HOUR_MS, position=LogPosition(1),
        decision_id="d_warm_up", deadline=Deadline(deadline_ms), meter=NoMeter(),
    )  # fmt: skip
    decision.encode()


def _complete(decider: Decider, state: State, placement: str, keys: list[int]) -> None:
    for query in ("te", "text te", "nothing"):
        decider.complete(
            CompleteRequest(query=query, placement=placement), state=state, keys=keys, tenant=_TENANT,
            now_ms=_START_MS + _HOUR_MS, position=LogPosition(1), deadline=Deadline(_DEADLINE_MS), meter=NoMeter(),
        )  # fmt: skip


def _item(number: int) -> str:
    return f"item-{number}"


def _records(schema: Schema) -> list[Record]:
    items, references = [_item(number) for number in range(_ITEMS)], References()
    vector = pack_vector([1.0, 0.5])
    fields = {"price": 1.0, "stock": 1, VECTOR: vector, **dict.fromkeys(schema.attributes, "text")}
    records: list[Record] = [Configured(_START_MS, dict(schema.settings), schema.declared())]
    records += [ItemUpserted(_START_MS, _TENANT, item, fields, CANONICAL_FIELDS) for item in items]
    for place, name in enumerate(schema.codes):
        for person in range(1, _PEOPLE + 1):
            at_ms = _START_MS + 1_000 * place
            item = references.item(_TENANT, items[(place + person) % len(items)])
            records.append(Tracked(at_ms, at_ms, _TENANT, person, 100 * place + person, name, items=(item,)))
    end_ms = _START_MS + _HOUR_MS
    return [*records, Epoch(end_ms, 1, ""), Ticked(end_ms + 48 * _HOUR_MS), Epoch(end_ms, 2, "")]
