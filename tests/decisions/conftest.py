"""A small shop, its state made by the fold, and somebody to ask it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from instanter.decisions.decide import Decider, Decision
from instanter.decisions.placement import DEFAULT_PLACEMENTS, Placement
from instanter.decisions.request import decode_decide
from instanter.events.envelope import CANONICAL_FIELDS, Configured, Epoch, ItemUpserted, Tracked
from instanter.features.compile import compile_features
from instanter.features.declaration import DEFAULT_FEATURES, FeatureDeclaration
from instanter.foundation.deadline import Deadline
from instanter.foundation.ids import item_reference
from instanter.foundation.measure import Measurements
from instanter.models.lineup import NoRankers, Rankers
from instanter.state.memory import State

START_MS = 1_700_000_000_000
TENANT = "shop"


class Shop:
    """A state of the default features, or of others, with a decider over it."""

    def __init__(self, features: Sequence[FeatureDeclaration] = DEFAULT_FEATURES) -> None:
        self._features = features
        self.schema = compile_features(features, memory_mb=64, items_max=2_000)
        self.state = State(self.schema)
        self.state.configure(Configured(START_MS, {}, self.schema.declared()))
        self.meter = Measurements()
        self.decider = self.decider_of(DEFAULT_PLACEMENTS, exploration=0.0)
        self._messages = itertools.count(1)
        self._decisions = itertools.count(1)

    def decider_of(self, placements: Sequence[Placement], **options: Any) -> Decider:
        return Decider(self.schema, self._features, placements, **options)

    def stock(self, count: int = 40, **fields: object) -> None:
        """sku-0 ... of 5 categories, 4 brands and all prices."""
        for number in range(count):
            own = {
                "title": f"Item {number}", "category": f"category {number % 5}", "brand": f"brand {number % 4}",
                "price": 10.0 + number,
            }
            self.item(f"sku-{number}", **(own | fields))

    def item(self, item_id: str, **fields: object) -> int:
        self.state.catalogue.upsert(ItemUpserted(START_MS, TENANT, item_id, fields, CANONICAL_FIELDS))
        return item_reference(TENANT, item_id)

    def happen(self, name: str, *item_ids: str, key: int = 1, after_ms: int = 0) -> None:
        items = tuple(item_reference(TENANT, item_id) for item_id in item_ids)
        at_ms = START_MS + after_ms
        self.state.fold([Tracked(at_ms, at_ms, TENANT, key, next(self._messages), name, items=items)])

    def publish(self) -> None:
        self.state.publish(Epoch(START_MS, self.state.epoch + 1, ""))

    def decide(
        self, *placements: dict[str, Any], keys: Sequence[int] = (1,), after_ms: int = 0,
        deadline: Deadline | None = None, decision_id: str = "", decider: Decider | None = None,
        rankers: Rankers | None = None, **rest: Any,
    ) -> Decision:  # fmt: skip
        request = decode_decide(msgspec.json.encode({"placements": placements, **rest}))
        return (decider or self.decider).decide(
            request, state=self.state, keys=keys, tenant=TENANT, now_ms=START_MS + after_ms, position=77,
            decision_id=decision_id or f"d_{next(self._decisions)}", deadline=deadline or Deadline(600_000),
            meter=self.meter, rankers=rankers or NoRankers(),
        )  # fmt: skip

    def ask(self, placement: str, **options: Any) -> dict[str, Any]:
        """The answer for one placement as it stands on the wire."""
        own = {name: options.pop(name) for name in ("limit", "candidates", "item", "query") if name in options}
        reply: dict[str, Any] = msgspec.json.decode(self.decide({"id": placement, **own}, **options).encode())
        answer: dict[str, Any] = reply["placements"][placement]
        return answer | {"degraded": reply["degraded"]}


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def make_shop() -> Callable[..., Shop]:
    return Shop


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["id"] for item in answer["items"]]


@pytest.fixture(name="ids")
def ids_of() -> Callable[[dict[str, Any]], list[str]]:
    return ids
