"""Load or compile every kernel before the first request, on a small state that is thrown away."""

from __future__ import annotations

import msgspec

from ..decisions.decide import Decider
from ..decisions.request import DecideRequest, PlacementRequest
from ..events.envelope import Configured, Epoch, ItemUpserted, Record, Ticked, Tracked
from ..foundation.deadline import Deadline
from ..foundation.ids import item_reference
from ..foundation.measure import NoMeter
from ..models.online import warm_up as warm_up_learners
from ..models.trained import warm_up as warm_up_models
from ..state.checkpoint import Snapshot
from ..state.schema import Capacity, Schema
from .partition import Partition

_TENANT = "default"
_CAPACITY = Capacity(cells=1_024, items=1_024)
_START_MS = 1_700_000_000_000
_HOUR_MS = 3_600_000
_PEOPLE = 3
_DEADLINE_MS = 60_000.0


def warm_up(schema: Schema, decider: Decider, placements: tuple[str, ...]) -> None:
    """Do once what serving does: fold, publish, tick, snapshot, hash, decide. The first time on a machine it takes
    half a minute, afterwards some tenths of a second."""
    partition = Partition(msgspec.structs.replace(schema, capacity=_CAPACITY))
    records = list(_records(schema))
    partition.apply(records, ends=range(1, len(records) + 1))
    for _ in Snapshot(partition.state, position=1, at_ms=_START_MS, control={}).sections():
        pass
    partition.state.hash()
    request = DecideRequest(placements=[PlacementRequest(id=placement) for placement in placements])
    warm_up_models()
    warm_up_learners()
    for keys in ([], [1]):
        decider.decide(
            request, state=partition.state, keys=keys, tenant=_TENANT, now_ms=_START_MS + _HOUR_MS, position=1,
            decision_id="d_warm_up", deadline=Deadline(_DEADLINE_MS), meter=NoMeter(),
        )  # fmt: skip


def _records(schema: Schema) -> list[Record]:
    items = [f"item-{number}" for number in range(4)]
    fields = {"price": 1.0, "stock": 1, **dict.fromkeys(schema.attributes, "text")}
    records: list[Record] = [Configured(_START_MS, dict(schema.settings), schema.declared())]
    records += [ItemUpserted(_START_MS, _TENANT, item, fields) for item in items]
    for place, name in enumerate(schema.codes):
        for person in range(1, _PEOPLE + 1):
            at_ms = _START_MS + 1_000 * place
            item = item_reference(_TENANT, items[(place + person) % len(items)])
            records.append(Tracked(at_ms, at_ms, _TENANT, person, 100 * place + person, name, items=(item,)))
    end_ms = _START_MS + _HOUR_MS
    return [*records, Epoch(end_ms, 1, ""), Ticked(end_ms + 48 * _HOUR_MS), Epoch(end_ms, 2, "")]
