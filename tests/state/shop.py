"""A small shop to test the state on: every aggregation at every scope it allows, items, and people who do things."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import msgspec

from instanter.events.envelope import (
    Configured,
    Context,
    Epoch,
    Flag,
    ItemUpserted,
    Ticked,
    Tracked,
    encode_record,
    retold,
)
from instanter.features.compile import DEFAULT_SETTINGS, compile_features
from instanter.features.declaration import FeatureDeclaration
from instanter.foundation.ids import References, item_reference, reference
from instanter.state.memory import State
from instanter.state.schema import Capacity, Schema
from instanter.state.unpacking import EncodedRecords, Unpacking

SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000
START_MS = 1_700_000_000_000
TENANT = "default"

VIEWED, CLICKED, ORDERED, LEFT, UNHEARD = (
    "Product Viewed", "Product Clicked", "Order Completed", "Page Left", "Nobody Counts This",
)  # fmt: skip
UPDATED, REFUNDED, CANCELLED = "Order Updated", "Order Refunded", "Order Cancelled"
NAMES = (VIEWED, CLICKED, ORDERED, LEFT, UNHEARD, UPDATED, REFUNDED, CANCELLED)
ORDERS = (0, 50, 51, 52)
"""References of orders; 0 where none is named."""
DEVICES = ("", "desktop", "mobile", "tablet")

_INTEREST = (VIEWED, CLICKED)
_PER_SCOPE = (
    {"name": "count", "on": _INTEREST, "aggregate": "count"},
    {"name": "sum", "on": (ORDERED,), "aggregate": "sum", "value": "revenue"},
    {"name": "mean", "on": _INTEREST, "aggregate": "mean", "value": "price"},
    {"name": "min", "on": (*_INTEREST, ORDERED), "aggregate": "min", "value": "price"},
    {"name": "max", "on": _INTEREST, "aggregate": "max", "value": "item.width"},
    {"name": "decayed", "on": _INTEREST, "aggregate": "decayed", "half_life": "20m"},
    {"name": "windowed", "on": (VIEWED,), "aggregate": "windowed", "window": "2h", "tiles": 4},
    {"name": "last", "on": (ORDERED, CLICKED), "aggregate": "last", "value": "quantity"},
    {"name": "since", "on": (LEFT, VIEWED), "aggregate": "time_since"},
)
_RETURNED = (REFUNDED, CANCELLED)
_OF_PEOPLE = (
    {"name": "held", "on": (ORDERED,), "aggregate": "last_k", "by": "item", "k": 4, "takes_back": _RETURNED},
    {"name": "orders", "on": (ORDERED, UPDATED), "aggregate": "count", "by": "order", "k": 4, "takes_back": _RETURNED},
    {"name": "kept", "on": (ORDERED,), "aggregate": "count", "takes_back": _RETURNED},
    {"name": "net", "on": (ORDERED,), "aggregate": "sum", "value": "revenue", "takes_back": (REFUNDED,)},
    {"name": "dwell", "on": (LEFT,), "aggregate": "sum", "value": "properties.dwell_ms"},
    {"name": "categories", "on": _INTEREST, "aggregate": "top_k", "by": "item.category", "k": 3, "half_life": "1h"},
    {"name": "tags", "on": _INTEREST, "aggregate": "top_k", "by": "item.tags", "k": 3},
    {"name": "spent", "on": (ORDERED,), "aggregate": "top_k", "by": "item", "value": "revenue", "k": 8},
    {"name": "devices", "on": (LEFT, *_INTEREST), "aggregate": "top_k", "by": "context.device", "k": 4},
    {"name": "recent", "on": _INTEREST, "aggregate": "last_k", "by": "item", "k": 3},
    {"name": "recent_tags", "on": (VIEWED,), "aggregate": "last_k", "by": "item.tags", "k": 2},
)
_OF_ITEMS = (
    {"name": "item_week", "on": (VIEWED,), "aggregate": "windowed", "window": "7d", "tiles": 7},
    {"name": "item_kept", "on": (ORDERED,), "aggregate": "count", "takes_back": _RETURNED},
    {"name": "item_net", "on": (ORDERED,), "aggregate": "sum", "value": "revenue", "takes_back": (REFUNDED,)},
    {"name": "together", "on": _INTEREST, "aggregate": "co_occurrence", "k": 6},
    {"name": "steps", "on": (*_INTEREST, ORDERED), "aggregate": "sequences"},
    {"name": "baskets", "on": (ORDERED,), "aggregate": "sequences"},
)


def _declared(fields: dict[str, object], scope: str) -> FeatureDeclaration:
    name = fields["name"] if scope == "item" and str(fields["name"]).startswith("item") else f"{scope}_{fields['name']}"
    return msgspec.convert({**fields, "name": name, "scope": scope}, FeatureDeclaration)


DECLARATIONS = (
    *(_declared(fields, "session") for fields in (*_PER_SCOPE, *_OF_PEOPLE)),
    *(_declared(fields, "profile") for fields in (*_PER_SCOPE, *_OF_PEOPLE)),
    msgspec.convert(
        {"name": "week", "on": (VIEWED, ORDERED), "aggregate": "windowed", "window": "7d", "tiles": 7,
         "value": "price", "scope": "profile"},
        FeatureDeclaration,
    ),
    *(_declared(fields, "item") for fields in (*_PER_SCOPE, *_OF_ITEMS)),
)  # fmt: skip

ITEMS: dict[str, dict[str, object]] = {
    "chair": {"category": "seats", "price": 49.5, "width": 45, "tags": ["oak", "small"]},
    "sofa": {"category": "seats", "price": 899, "width": 220.25, "tags": ["wool", "large", "grey"]},
    "lamp": {"category": "lights", "price": 19.99, "tags": "brass"},
    "desk": {"category": "tables", "width": 140, "tags": []},
    "shelf": {"price": 75.0, "width": True, "tags": ["oak", "tall", "open", "a", "b", "never seen"]},
    "rug": {"category": "floors"},
}
UNKNOWN_ITEM = "not in the catalogue"
ITEM_IDS = (*ITEMS, UNKNOWN_ITEM)
STEPS_KEPT = 40
"""So few that a story runs over what a ring keeps."""


def ref(item_id: str) -> int:
    return item_reference(TENANT, item_id)


def person(number: int) -> int:
    return reference(f"person {number}")


def message(number: int) -> int:
    return reference(f"message {number}")


def schema_of(
    declarations: Sequence[FeatureDeclaration] = DECLARATIONS, *, cells: int = 64, items: int = 64, **settings: int
) -> Schema:
    """A schema with room for a few; `settings` over the defaults."""
    schema = compile_features(declarations, settings=DEFAULT_SETTINGS | {"steps_kept": STEPS_KEPT} | settings)
    return msgspec.structs.replace(schema, capacity=Capacity(cells=cells, items=items))


SCHEMA = schema_of()


def empty_state(schema: Schema = SCHEMA) -> State:
    """A state in which all features count and nothing has happened."""
    state = State(schema)
    state.configure(Configured(START_MS, {}, schema.declared()))
    return state


def open_shop(schema: Schema = SCHEMA) -> State:
    """An empty state with the catalogue in it."""
    state = empty_state(schema)
    for item_id, fields in ITEMS.items():
        state.catalogue.upsert(ItemUpserted(START_MS, TENANT, item_id, fields))
    return state


def tracked(
    who: int, at_ms: int, name: str = VIEWED, *, number: int, items: Sequence[str] = (), received_ms: int | None = None,
    **fields: object,
) -> Tracked:  # fmt: skip
    """An event of person `who` with message number `number`."""
    received_ms = at_ms if received_ms is None else received_ms
    refs = tuple(ref(item_id) for item_id in items)
    return Tracked(received_ms, at_ms, TENANT, person(who), message(number), name, items=refs, **fields)


def publish(state: State) -> None:
    state.publish(Epoch(START_MS, state.epoch + 1, ""))


def fold_all(state: State, events: Iterable[Tracked], *, batch: int = 32) -> list[int]:
    """Fold in batches of that size; all verdicts."""
    events = list(events)
    return [int(v) for first in range(0, len(events), batch) for v in state.fold(events[first : first + batch])]


def random_event(rng: random.Random, who: int, at_ms: int, number: int, *, bots: bool = True) -> Tracked:
    """One event of any kind."""
    name = rng.choice(NAMES)
    items = [] if name == LEFT else [rng.choice(ITEM_IDS) for _ in range(rng.choice((0, 1, 1, 1, 2, 3)))]
    prices = tuple(rng.choice((float("nan"), 0.0, 12.345678, 1e12)) for _ in items) if rng.random() < 0.5 else ()
    quantities = tuple(float(rng.randint(0, 3)) for _ in items) if rng.random() < 0.5 else ()
    return tracked(
        who, at_ms, name, number=number, items=items, prices=prices, quantities=quantities,
        values={"dwell_ms": rng.choice((0.0, 1234.5, -7.25, 1e300))} if rng.random() < 0.7 else {},
        context=Context(device=rng.choice(DEVICES)), flags=Flag.BOT if bots and rng.random() < 0.05 else Flag.NONE,
        order=rng.choice(ORDERS) if name.startswith("Order") else 0,
    )  # fmt: skip


def told_often(seed: int, count: int) -> list[str]:
    """Fold many messages of two people, some of them again and in any order; what became of each, and the hash."""
    rng = random.Random(seed)
    state = empty_state(schema_of((), dedup_ids_max=300))
    sent = [tracked(n % 2, START_MS + n * MINUTE_MS, number=n) for n in range(count)]
    arrived = sorted(sent + rng.choices(sent, k=count), key=lambda one: one.happened_ms + rng.uniform(0, 40 * HOUR_MS))
    verdicts = fold_all(state, arrived, batch=128)
    return ["".join(map(str, verdicts)), state.hash(), str(state.messages_forgotten)]


def unpacked(seed: int, count: int) -> list[str]:
    """The columns of a seeded story, unpacked from its records, in hexadecimal."""
    rng = random.Random(seed)
    events = [random_event(rng, rng.randrange(5), START_MS + n * MINUTE_MS, n) for n in range(count)]
    records = EncodedRecords.joined([encode_record(event) for event in events], [event.received_ms for event in events])
    columns = Unpacking(SCHEMA, References()).columns(records, 0)
    return [column.tobytes().hex() for column in columns[:-1]]


def told(seed: int, count: int) -> list[str]:
    """Fold a seeded story in which everything happens; the hash of the state after each chapter.

    Two programs that fold alike tell the same hashes.
    """
    rng = random.Random(seed)
    state = open_shop()
    hashes: list[str] = []
    sent: list[Tracked] = []
    clocks_ms = [START_MS] * 6
    for number in range(count):
        who = rng.randrange(len(clocks_ms))
        clocks_ms[who] += rng.choice((SECOND_MS, 10 * MINUTE_MS, 20 * MINUTE_MS, 40 * MINUTE_MS, 5 * HOUR_MS))
        lag_ms = rng.choice((0, 0, 0, 15 * MINUTE_MS, 29 * MINUTE_MS, 2 * HOUR_MS, 30 * HOUR_MS))
        sent.append(random_event(rng, who, clocks_ms[who] - lag_ms, number))
        again = [retold(rng.choice(sent), name=rng.choice(NAMES), first_told=number + 1)] if number % 7 == 6 else []
        state.fold([*sent[-1:], *rng.choices(sent, k=rng.choice((0, 0, 1, 2))), *again])
        if number % 40 == 39:
            publish(state)
            state.tick(Ticked(max(clocks_ms) - 10 * HOUR_MS))
            hashes += [state.hash(), state.hash(order_free=True), state.epoch_hash, *map(str, state.verdicts.values())]
    return hashes
