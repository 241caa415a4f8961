"""Streams of events as they may arrive: in order, late, very late, and again."""

from __future__ import annotations

import math
import random
from typing import Any

from hypothesis import strategies as st

from instanter.events.envelope import Context, Flag, Tracked

from .shop import (
    DAY_MS,
    DEVICES,
    HOUR_MS,
    ITEM_IDS,
    LEFT,
    MINUTE_MS,
    NAMES,
    ORDERS,
    SECOND_MS,
    START_MS,
    VIEWED,
    tracked,
)

PEOPLE = 3
STEPS_MS = (0, SECOND_MS, 5 * MINUTE_MS, 29 * MINUTE_MS, 31 * MINUTE_MS, 2 * HOUR_MS, 23 * HOUR_MS, 25 * HOUR_MS)
LAGS_MS = (0, 0, 0, 0, 10 * MINUTE_MS, 25 * MINUTE_MS, 30 * MINUTE_MS, 30 * MINUTE_MS + 1, 5 * HOUR_MS, DAY_MS,
           DAY_MS + 1, 3 * DAY_MS, 9 * DAY_MS)  # fmt: skip
PRICES = (math.nan, 0.0, 0.1, 19.99, 1e9, 1e300)

_shapes = st.fixed_dictionaries({
    "who": st.integers(0, PEOPLE - 1),
    "step_ms": st.sampled_from(STEPS_MS),
    "lag_ms": st.sampled_from(LAGS_MS),
    "name": st.sampled_from(NAMES),
    "items": st.lists(st.sampled_from(ITEM_IDS), max_size=3),
    "prices": st.one_of(st.none(), st.lists(st.sampled_from(PRICES), min_size=3, max_size=3)),
    "quantities": st.one_of(st.none(), st.lists(st.integers(0, 5), min_size=3, max_size=3)),
    "dwell_ms": st.one_of(st.none(), st.sampled_from((0.0, -3.5, 1234.5678, -1e308))),
    "device": st.sampled_from(DEVICES),
    "order": st.sampled_from(ORDERS),
    "bot": st.sampled_from((False, False, False, True)),
    "again": st.one_of(st.none(), st.integers(0, 100)),
})  # fmt: skip


class Sending:
    """Turns shapes into events: each person has a clock of their own, and some messages are sent again."""

    def __init__(self) -> None:
        self.clocks_ms = [START_MS] * PEOPLE
        self.sent: list[Tracked] = []

    def send(self, shape: dict[str, Any], *, in_order: bool = False) -> Tracked:
        again = shape["again"]
        if again is not None and again < len(self.sent):
            return self.sent[again]
        who = shape["who"]
        self.clocks_ms[who] += shape["step_ms"]
        items = () if shape["name"] == LEFT else tuple(shape["items"])
        event = tracked(
            who, self.clocks_ms[who] - (0 if in_order else shape["lag_ms"]), shape["name"], number=len(self.sent),
            items=items, received_ms=max(self.clocks_ms),
            prices=tuple(shape["prices"][: len(items)]) if shape["prices"] and items else (),
            quantities=tuple(map(float, shape["quantities"][: len(items)])) if shape["quantities"] and items else (),
            values={} if shape["dwell_ms"] is None else {"dwell_ms": shape["dwell_ms"]},
            context=Context(device=shape["device"]), flags=Flag.BOT if shape["bot"] else Flag.NONE,
            order=shape["order"] if shape["name"].startswith("Order") else 0,
        )  # fmt: skip
        self.sent.append(event)
        return event


    def burst(self, who: int, chance: random.Random) -> list[Tracked]:
        """More of one person than is looked through one by one, within 20 minutes, some again and in any order."""
        first, at_ms = len(self.sent), self.clocks_ms[who]
        self.sent += [tracked(who, at_ms + n * 5 * SECOND_MS, VIEWED, number=first + n) for n in range(220)]
        events = self.sent[first:] + chance.choices(self.sent[first:], k=40)
        chance.shuffle(events)
        self.clocks_ms[who] += 20 * MINUTE_MS
        return events


def shapes(*, min_size: int = 1, max_size: int = 60) -> st.SearchStrategy[list[dict[str, Any]]]:
    """What is to be sent, one after another."""
    return st.lists(_shapes, min_size=min_size, max_size=max_size)
