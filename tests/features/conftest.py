"""A little state made by the fold, for tests that read it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import msgspec
import pytest

from instanter.events.envelope import Configured, Epoch, ItemUpserted, Tracked
from instanter.features.compile import compile_features
from instanter.features.declaration import DEFAULT_FEATURES, FeatureDeclaration
from instanter.foundation.ids import item_reference
from instanter.state.memory import State
from instanter.state.schema import Schema

START_MS = 1_700_000_000_000
TENANT = "shop"


class Little(msgspec.Struct):
    """A state and what leads to it."""

    schema: Schema
    state: State
    declarations: Sequence[FeatureDeclaration]
    messages: itertools.count[int]

    def item(self, item_id: str, **fields: object) -> int:
        """Put an item into the catalogue; its reference."""
        self.state.catalogue.upsert(ItemUpserted(START_MS, TENANT, item_id, fields))
        return item_reference(TENANT, item_id)

    def happen(self, name: str, *item_ids: str, key: int = 1, after_ms: int = 0) -> None:
        """Fold one event, `after_ms` after the start."""
        items = tuple(item_reference(TENANT, item_id) for item_id in item_ids)
        at_ms = START_MS + after_ms
        self.state.fold([Tracked(at_ms, at_ms, TENANT, key, next(self.messages), name, items=items)])

    def publish(self, after_ms: int = 0) -> None:
        self.state.publish(Epoch(START_MS + after_ms, self.state.epoch + 1, ""))


def make_little(*further: FeatureDeclaration, only: bool = False) -> Little:
    """An empty state of the default features and the given ones."""
    declarations = further if only else (*DEFAULT_FEATURES, *further)
    schema = compile_features(declarations, memory_mb=64, items_max=2_000)
    state = State(schema)
    state.configure(Configured(START_MS, {}, schema.declared()))
    return Little(schema, state, declarations, itertools.count(1))


@pytest.fixture
def little() -> Callable[..., Little]:
    """Makes an empty state of the default features and the given ones."""
    return make_little


@pytest.fixture(scope="session")
def little_once() -> Callable[..., Little]:
    """`little` for tests that are run with many examples: each call makes a state of its own."""
    return make_little
