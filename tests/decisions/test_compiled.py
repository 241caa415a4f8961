"""The compiled loops and the same functions run as plain Python give the same answer, bit for bit."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import hashlib
import msgspec
import numpy as np
from instanter.decisions.decide import Decider
from instanter.decisions.placement import DEFAULT_PLACEMENTS
from instanter.decisions.request import DecideRequest, PlacementRequest
from instanter.events.envelope import Configured, Epoch, ItemUpserted, Tracked
from instanter.features.compile import compile_features
from instanter.features.declaration import DEFAULT_FEATURES
from instanter.foundation.deadline import Deadline
from instanter.foundation.ids import item_reference
from instanter.foundation.measure import NoMeter
from instanter.foundation.rng import KeyedRng
from instanter.state.memory import State

np.seterr(over="ignore")  # Plain integers of numpy warn where compiled ones wrap, in hashing.
START_MS = 1_700_000_000_000
schema = compile_features(DEFAULT_FEATURES, memory_mb=64, items_max=200)
state = State(schema)
state.configure(Configured(0, {}, schema.declared()))
for n in range(30):
    fields = {"category": ["c%d" % (n % 4), "d"], "brand": "b%d" % (n % 3), "price": 5.5 + n, "stock": n % 9}
    state.catalogue.upsert(ItemUpserted(START_MS - n * 10**9, "shop", "sku-%d" % n, fields))
rng = KeyedRng("events")
names = ["Product Viewed", "Product Clicked", "Product Added", "Order Completed", "Product List Viewed"]
for n in range(120):
    items = tuple(item_reference("shop", "sku-%d" % rng.below(30)) for _ in range(1 + rng.below(3)))
    at_ms = START_MS + n * 7_001
    state.fold([Tracked(at_ms, at_ms, "shop", 1 + rng.below(4), n + 1, names[rng.below(5)], items=items)])
state.publish(Epoch(START_MS + 10**6, 1, ""))
decider = Decider(schema, DEFAULT_FEATURES, DEFAULT_PLACEMENTS, exploration=0.5)
request = DecideRequest(explain=True, placements=[
    PlacementRequest(id="home.hero"), PlacementRequest(id="home.recommended", limit=8),
    PlacementRequest(id="product.similar", item="sku-3"),
    PlacementRequest(id="search", candidates=["sku-%d" % n for n in range(0, 30, 2)] + ["unknown"]),
])
for keys in ([], [1], [1, 2, 3]):
    decision = decider.decide(
        request, state=state, keys=keys, tenant="shop", now_ms=START_MS + 10**6, position=1, decision_id="d_1",
        deadline=Deadline(1_000, stopwatch=lambda: 0), meter=NoMeter())
    print(decision.encode().decode())
    print(hashlib.sha256(decision.receipt).hexdigest())
"""


def answer(*, compiled: bool) -> str:
    environment = os.environ | {"NUMBA_DISABLE_JIT": "0" if compiled else "1"}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow
def test_compiled_and_plain_decide_alike() -> None:
    compiled = answer(compiled=True)
    assert compiled == answer(compiled=False)
    assert compiled.count('"servedBy":"personal"') > 0
