"""The steps of one feature in a plain list, and whether a ring holds the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from instanter.events.envelope import Flag, Tracked
from instanter.events.meanings import number_of_role
from instanter.foundation.limits import STEP_ITEMS_MAX
from instanter.state import steps
from instanter.state.layout import ITEM_KEY, companion_of
from instanter.state.memory import State
from instanter.state.table import ITEMS, rows_of

from .contents import cell_at, item_at

LOOKED_AT = 8


@dataclass
class Step:
    key: int
    item: int
    role: int
    at_ms: int
    gone: bool = False


class PlainSteps:
    """What one feature that hears the events `on` keeps in a ring of `kept`."""

    def __init__(self, name: str, on: Sequence[str], kept: int) -> None:
        self.name, self.on, self.kept = name, on, kept
        self.steps: list[Step] = []
        self.as_of = 0

    def take(self, event: Tracked, verdict: str) -> None:
        if verdict != "applied" or event.name not in self.on or event.flags & Flag.BOT:
            return
        role, until, mine = number_of_role(event.name), len(self.steps), self._of_person(event.key)
        alike = bool(mine) and self.steps[mine[-1] - 1].role == role
        for item in event.items[:STEP_ITEMS_MAX]:
            mine = self._of_person(event.key)
            looked_at = [n for n in mine if n > until]
            if not alike:
                looked_at += [n for n in mine if n <= until][-LOOKED_AT:]
            if item not in [self.steps[n - 1].item for n in looked_at]:
                self.steps.append(Step(event.key, item, role, event.happened_ms))

    def erase(self, key: int) -> None:
        for step in self.steps:
            step.gone = step.gone or step.key == key

    def _of_person(self, key: int) -> list[int]:
        return [n for n in self._kept() if self.steps[n - 1].key == key and not self.steps[n - 1].gone]

    def _kept(self) -> range:
        return range(max(len(self.steps) - self.kept, 0) + 1, len(self.steps) + 1)

    def links(self, number: int) -> tuple[int, int, int]:
        """The numbers of the earlier step, the one before and the one after; 0 for none."""
        step, kept = self.steps[number - 1], self._kept()
        earlier = [n for n in kept if n < number and self.steps[n - 1].item == step.item]
        mine = [] if step.gone else self._of_person(step.key)
        return (
            earlier[-1] if earlier else 0,
            max((n for n in mine if n < number), default=0),
            min((n for n in mine if n > number), default=0),
        )

    def assert_agreement(self, state: State) -> None:
        """The ring holds these steps, and items and people know their newest."""
        ints, ring = state.tables.memory.ints, state.ring(self.name)
        assert (steps.written(ints, ring), steps.as_of(ints, ring)) == (len(self.steps), self.as_of)
        keys = rows_of(state.tables.memory, ITEMS)[:, ITEM_KEY]
        kept = self._kept()
        assert [n for n in range(-2, len(self.steps) + 3) if steps.is_kept(ints, ring, n)] == list(kept)
        for number in kept:
            told = self.steps[number - 1]
            row = steps.item_at(ints, ring, number)
            item = int(keys[row]) if row >= 0 else 0
            said = item, steps.code_at(ints, ring, number), steps.at_ms(ints, ring, number)
            assert said == ((0, 0, 0) if told.gone else (told.item, told.role, told.at_ms)), number
            walked = tuple(step(ints, ring, number) for step in (steps.earlier, steps.before, steps.after))
            assert walked == self.links(number), number
        self._assert_heads(state, ints)

    def _assert_heads(self, state: State, ints: np.ndarray) -> None:
        heads = {step.item: number for number, step in enumerate(self.steps, 1)}
        offset = state.schema.layout.named(self.name).offset
        for item, number in heads.items():
            assert state.find_item(item) >= 0
            assert ints[item_at(state, item) + offset] == number
        placed = state.schema.layout.named(self.name)
        assert placed.spec.aggregation.companion is not None
        word = state.schema.layout.named(companion_of(self.name, placed.spec.aggregation.companion)).offset
        newest = {step.key: number for number, step in enumerate(self.steps, 1) if not step.gone}
        for key, number in newest.items():
            if state.cell_row(key) >= 0:
                assert ints[cell_at(state, key) + word] == number

