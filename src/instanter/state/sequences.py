"""What the fold appends to the rings of steps.

One interest, such as a view, an add to the cart and an order of one item, is often told by several events: it is one
step. So an item becomes a step if the event does the same as the person's step before it (a second view is a second
step), or if it is not among the person's newest steps.
"""

from __future__ import annotations

from ..foundation.limits import STEP_ITEMS_MAX
from .aggregations.base import Trait
from .compiled import Ints, kernel
from .layout import CELL_KEY
from .program import ACTIVE, AT, COMPANION_AT, FOLDING, HEARD_SINCE, PURPOSE, RING, TRAITS, Columns, Program, Tables
from .steps import KEPT, append, before, code_at, is_kept, item_at, written
from .table import ITEMS, STEPS, address

STEPS_LOOKED_AT = 8
"""A person's newest steps among which an item is looked for."""
_STEPS = int(Trait.STEPS)


@kernel
def add_steps(program: Program, tables: Tables, columns: Columns, event: int, cell: int) -> None:
    """Append the event's items, in their order, for each feature that keeps steps of it. The cell at word `cell` and
    the items have been touched."""
    code, features, regions = columns.codes[event], program.features, tables.memory.regions
    for op in range(program.first[code + 1] - 1, program.first[code] - 1, -1):
        feature = program.ops[op]
        if not features[feature, TRAITS] & _STEPS:
            return
        if not features[feature, ACTIVE]:
            continue
        if program.acts[op, HEARD_SINCE] > program.settings[FOLDING]:
            continue
        if columns.denied[event] >> features[feature, PURPOSE] & 1:
            continue
        table = STEPS + features[feature, RING]
        if tables.memory.ints[address(regions, table, 0) + KEPT] > 0:
            head_at, newest_at = features[feature, AT], cell + features[feature, COMPANION_AT]
            _add_act(program.roles[code], tables, columns, event, table, head_at, cell, newest_at)


@kernel
def _add_act(
    role: int, tables: Tables, columns: Columns, event: int, table: int, head_at: int, cell: int, newest_at: int
) -> None:  # fmt: skip
    memory, first = tables.memory, columns.first_item[event]
    ints, ring = memory.ints, address(memory.regions, table, 0)
    newest, until = ints[newest_at], written(ints, ring)
    alike = is_kept(ints, ring, newest) and code_at(ints, ring, newest) == role
    for place in range(first, min(columns.first_item[event + 1], first + STEP_ITEMS_MAX)):
        row = columns.item_rows[place]
        if row < 0 or _is_told(ints, ring, row, ints[newest_at], until, 0 if alike else STEPS_LOOKED_AT):
            continue
        head = address(memory.regions, ITEMS, row) + head_at
        step = append(
            memory, table, row, role, columns.times_ms[event], ints[cell + CELL_KEY], ints[head], ints[newest_at]
        )
        ints[head] = step
        ints[newest_at] = step


@kernel
def _is_told(ints: Ints, ring: int, row: int, step: int, until: int, looked_at: int) -> bool:
    """Whether the item of a row is among the steps from `step` back: those behind `until`, and so many before them."""
    while step > 0 and is_kept(ints, ring, step) and (step > until or looked_at > 0):
        if item_at(ints, ring, step) == row:
            return True
        if step <= until:
            looked_at -= 1
        step = before(ints, ring, step)
    return False
