"""The state against a naive one, in any interleaving of folding, ticking, publishing, changing items and saving."""

from __future__ import annotations

import copy
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from instanter.events.envelope import ItemDeleted, ItemPatched, ItemUpserted, Ticked, Tracked
from instanter.sim.disk import SimulatedDisk
from instanter.state.checkpoint import CheckpointWriter, Snapshot, load_checkpoint
from instanter.state.layout import ITEM_WORDS
from instanter.state.memory import State, batches

from .contents import assert_agreement, fold_both
from .oracle import Oracle
from .plain_steps import PlainSteps
from .shop import DECLARATIONS, HOUR_MS, ITEM_IDS, STEPS_KEPT, TENANT, empty_state, person, publish, ref, schema_of
from .streams import PEOPLE, Sending, shapes

FULL = os.environ.get("INSTANTER_FULL") == "1"
DIRECTORY = Path("/checkpoints")
BURSTS_MAX = 3
SCHEMA = schema_of(cells=256, dedup_ids_max=400)
"""More messages are remembered than are looked through one by one, and fewer than come in a few bursts."""
FIELDS = st.fixed_dictionaries({}, optional={
    "category": st.sampled_from(("seats", "lights", "tables", "")),
    "tags": st.lists(st.sampled_from(("oak", "wool", "grey", "tall")), max_size=5),
    "price": st.sampled_from((1.0, 19.99, 5, True, "dear")),
    "width": st.sampled_from((45, 0.5, -1e12)),
    "stock": st.integers(0, 2),
})  # fmt: skip


class StateMachine(RuleBasedStateMachine):
    """A live state, its oracle, and perhaps a checkpoint in the making."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = SimulatedDisk()
        self.sending = Sending()
        self.bursts = 0
        self.saving: Iterator[bytes] | None = None
        self.tail: list[Any] = []
        """What was done since the checkpoint in the making."""
        self.position = 0

    @initialize()
    def begin(self) -> None:
        self.live = empty_state(SCHEMA)
        self.oracle = Oracle(DECLARATIONS, SCHEMA.settings)
        self.steps = [PlainSteps(one.name, one.on, STEPS_KEPT) for one in DECLARATIONS if one.aggregate == "sequences"]

    @rule(shapes=shapes(max_size=12), in_order=st.booleans())
    def fold(self, shapes: list[Any], in_order: bool) -> None:
        events = [self.sending.send(shape, in_order=in_order) for shape in shapes]
        self._fold(events)

    @precondition(lambda self: self.bursts < BURSTS_MAX)
    @rule(who=st.integers(0, PEOPLE - 1), seed=st.integers(0, 1_000))
    def burst(self, who: int, seed: int) -> None:
        self.bursts += 1
        for events in batches(self.sending.burst(who, random.Random(seed))):
            self._fold(list(events))

    def _fold(self, events: list[Tracked]) -> None:
        verdicts = fold_both(self.live, self.oracle, events)
        for model in self.steps:
            for event, verdict in zip(events, verdicts, strict=True):
                model.take(event, verdict)
        self.tail.append(events)

    @rule(hours=st.sampled_from((0, 1, 30)))
    def tick(self, hours: int) -> None:
        tick = Ticked(max(self.sending.clocks_ms) + hours * HOUR_MS)
        self.live.tick(tick)
        self.oracle.tick(tick.at_ms)
        self.tail.append(tick)

    @rule(who=st.integers(0, PEOPLE - 1))
    def erase(self, who: int) -> None:
        assert self.live.erase([person(who)]) == self.oracle.erase(person(who))
        for model in self.steps:
            model.erase(person(who))
        self.tail.append(person(who))

    @rule()
    def publish(self) -> None:
        self._publish()
        self.tail.append(None)

    def _publish(self) -> None:
        publish(self.live)
        for model in self.steps:
            model.as_of = len(model.steps)

    @rule(item_id=st.sampled_from(ITEM_IDS), fields=FIELDS)
    def upsert(self, item_id: str, fields: dict[str, Any]) -> None:
        event = ItemUpserted(1, TENANT, item_id, fields)
        self.live.catalogue.upsert(event)
        self.oracle.catalogue[ref(item_id)] = fields
        self.tail.append(event)

    @rule(item_id=st.sampled_from(ITEM_IDS), fields=FIELDS, gone=st.sampled_from(("tags", "price", "width")))
    def patch(self, item_id: str, fields: dict[str, Any], gone: str) -> None:
        event = ItemPatched(1, TENANT, item_id, {**fields, gone: None})
        self.live.catalogue.patch(event)
        if ref(item_id) in self.oracle.catalogue:
            patched = self.oracle.catalogue[ref(item_id)] | fields
            patched.pop(gone, None)
            self.oracle.catalogue[ref(item_id)] = patched
        self.tail.append(event)

    @rule(item_id=st.sampled_from(ITEM_IDS))
    def delete(self, item_id: str) -> None:
        event = ItemDeleted(1, TENANT, item_id)
        had_row = self.live.find_item(ref(item_id)) >= 0
        self.live.catalogue.delete(event)
        self.oracle.catalogue.pop(ref(item_id), None)
        if had_row and self.live.find_item(ref(item_id)) < 0:
            self.oracle.leave_row(ref(item_id))
        self.tail.append(event)

    @precondition(lambda self: self.saving is None)
    @rule()
    def begin_checkpoint(self) -> None:
        self._publish()
        self.position += 1
        self.snapshot = Snapshot(self.live, position=self.position, at_ms=5, control={"links": [[1, 2], [3, 4]]})
        self.wanted = self._what_is_saved(self.live)
        self.writer = CheckpointWriter(self.disk, DIRECTORY, self.position)
        self.saving = self.snapshot.sections()
        self.tail = []

    @precondition(lambda self: self.saving is not None)
    @rule(count=st.integers(1, 4))
    def write_sections(self, count: int) -> None:
        assert self.saving is not None
        for _ in range(count):
            section = next(self.saving, None)
            if section is None:
                self._reload()
                return
            self.writer.write(section)

    @precondition(lambda self: self.saving is not None)
    @rule()
    def give_up(self) -> None:
        self.snapshot.abandon()
        self.writer.give_up()
        self.saving = None

    def _reload(self) -> None:
        """Restart: the checkpoint is what was live when it was begun, and with the tail what is live now."""
        self.snapshot.abandon()
        self.saving = None
        loaded = State(SCHEMA)
        manifest, control = load_checkpoint(self.disk, self.writer.finish(), loaded)
        assert (manifest.position, control) == (self.position, {"links": [[1, 2], [3, 4]]})
        assert self._what_is_saved(loaded) == self.wanted
        for done in self.tail:
            _repeat(loaded, done)
        assert self._what_is_saved(loaded) == self._what_is_saved(self.live)
        self.live = loaded
        self._compare_steps()

    def _compare_steps(self) -> None:
        for model in self.steps:
            model.assert_agreement(self.live)

    def _what_is_saved(self, state: State) -> Any:
        # The key of an item that nothing was counted on yet is published only by a reload.
        published = state.published.reshape(-1, SCHEMA.layout.item_words)[: len(ITEM_IDS), ITEM_WORDS:]
        items = copy.deepcopy(list(state.catalogue.items.values()))
        return (
            state.hash(), items,
            published.tobytes(), state.epoch, state.epoch_hash, state.active, state.sweep_from,
        )  # fmt: skip

    def teardown(self) -> None:
        self._compare_steps()
        if not self.oracle.at_length_limit and not self.oracle.rows_left:
            assert_agreement(self.live, self.oracle)
        assert {item.ref: item.fields for item in self.live.catalogue.items.values()} == self.oracle.catalogue


def _repeat(state: State, done: Any) -> None:
    match done:
        case None:
            publish(state)
        case int():
            state.erase([done])
        case Ticked():
            state.tick(done)
        case ItemUpserted():
            state.catalogue.upsert(done)
        case ItemPatched():
            state.catalogue.patch(done)
        case ItemDeleted():
            state.catalogue.delete(done)
        case _:
            state.fold(done)


TestState = pytest.mark.about("P2", "P3")(pytest.mark.row("R27")(StateMachine.TestCase))
TestState.settings = settings(
    max_examples=2_000 if FULL else 100, stateful_step_count=50 if FULL else 30, deadline=None
)
