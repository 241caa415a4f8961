"""Run by a test in a process of its own: warms up, serves a bit of everything, and prints what was compiled or loaded
after that."""

from __future__ import annotations

import asyncio
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from instanter.decisions.placement import DEFAULT_PLACEMENTS, Placement
from instanter.engine.models import StoredModels
from instanter.features.assemble import Column
from instanter.foundation.clock import ManualClock
from instanter.foundation.disk import RealDisk
from instanter.models.artefact import Artefact, Calibration, Input, Kind, make_check
from instanter.models.bodies import Body
from instanter.models.online import LearnerDeclaration
from instanter.models.store import ModelStore
from instanter.models.trained import row_ranker_of
from instanter.state.cold_files import ColdPlace
from instanter.state.compiled import Reals
from instanter.state.compiling import compiled

from ..api.client import Client, track, warmed, with_client
from ..models.examples import small_linear, small_trees, small_weights
from .harness import iso, set_stock

HOME = "home.recommended"
LEARNING = Placement(
    id="home.learning", limit=6, learner=LearnerDeclaration(inputs=("item.price", "cross.session_categories"))
)


def artefacts() -> list[Artefact]:
    """A model of each kind, over an input that there is and one that there is not."""
    matrix = np.array([[np.nan, 1.0], [0.0, np.nan], [1.0, 0.0]], np.float32)
    columns = [Column("item.price"), Column("item.no_such")]
    calibration = Calibration("isotonic", (0.0, 1.0), (0.0, 1.0), 1.0)
    bodies: tuple[tuple[Kind, Body], ...] = (
        ("lambdamart", small_trees().packed()), ("logistic", small_weights().packed()),
        ("conditional_logit", small_linear().packed()),
    )  # fmt: skip
    made = []
    for kind, body in bodies:
        def artefact(scores: Reals, kind: Kind = kind, body: Body = body) -> Artefact:
            return Artefact(kind=kind, inputs=tuple(Input(one.name) for one in columns), body=body,
                            check=make_check(matrix, scores), calibration=calibration)
        made.append(artefact(row_ranker_of(columns, artefact(np.zeros(3))).raw_scores(matrix, columns)))
    return made


async def done(client: Client, method: str, path: str, body: Any = None) -> None:
    reply = await client.call(method, path, body)
    assert reply.status_code == 200, (path, reply.text)


async def serve(client: Client, models: list[str], run: int) -> None:
    """Some of everything that a server is asked."""
    engine = client.engine
    clock = engine.clock
    assert isinstance(clock, ManualClock)
    await client.decide()  # Of an empty shop, about nobody.
    await client.stock("lamp", price=5.0)
    await client.decide()  # One item is an array that is contiguous either way.
    for number in range(40):
        await client.stock(f"sku-{number}", brand=f"b{number % 3}", category=[f"c{number % 4}", "all"],
                           price=3.5 + number, stock=number % 5)
    names = ["Product Viewed", "Product Clicked", "Product Added", "Order Completed", "Product List Viewed",
             "Products Searched", "Page Left", "Product Removed", "Rage Clicked"]
    number = 100_000 * run
    for turn in range(3):
        for person in range(12):
            batch = []
            for _ in range(9):
                number += 1
                batch.append({"type": "track", **track(
                    number, anonymousId=f"a{person}", event=names[number % len(names)],
                    properties={"product_id": f"sku-{number % 40}", "price": 2.0, "quantity": 2, "query": "lamp",
                                "products": [{"product_id": f"sku-{n}", "position": n} for n in range(3)]})})
            assert (await client.post("/v1/batch", {"batch": batch})).status_code == 200
            await client.decide(anonymousId=f"a{person}")
        clock.advance(2_000)
        await asyncio.sleep(0.05)  # An epoch, by the engine's beat.
        await set_stock(engine, f"sku-{turn}", 0)  # Lists follow the catalogue.
        await client.decide(anonymousId="a1", explain=True)
        await done(client, "PATCH", f"/v1/items/sku-{9 + turn}", {"fields": {"price": 1.0, "stock": 9}})
        await done(client, "DELETE", f"/v1/items/sku-{20 + turn}")
        await client.decide(anonymousId="a2", context={"page": {"path": "/"}})
        await client.decide(anonymousId="a2", deadlineMs=0.001)  # Nothing but the lower rungs.
        listed = [{"id": "search", "candidates": ["sku-9"]}]
        await client.decide(placement="search", placements=listed, deadlineMs=0.001)
    # A person of several cells, out of order, late and twice.
    for device in ("a1", "a2", "a3"):
        ids = {"messageId": f"i-{run}-{device}", "anonymousId": device, "userId": f"ada-{run}"}
        await done(client, "POST", "/v1/identify", ids)
    for hours in (0, 1, 3, 40):
        number += 1
        at = iso(clock.now_ms() - hours * 3_600_000)
        for _again in range(2):
            await client.post("/v1/track", track(number, anonymousId="a1", timestamp=at))
    await client.decide(userId=f"ada-{run}", anonymousId="a1")
    unknown = {"id": "unknown", "fields": {"price": 1.0}}
    mixed = ["sku-9", {"id": "sku-10", "fields": {"price": 90.0, "category": "c1"}}, unknown]
    for candidates in (["sku-9"], [unknown], mixed):
        asked = {"query": "lamp", "candidates": candidates}
        await client.decide(placement="search", placements=[{"id": "search", **asked}], explain=True)
        await done(client, "POST", "/v1/rank", {"anonymousId": "a1", "placement": "search", **asked})
    for query in ("la", "lamp i", "unheard", ""):
        await done(client, "POST", "/v1/complete", {"anonymousId": "a1", "query": query})
    shown: Any = {}
    for placement in ("home.hero", HOME, "product.similar", "cart.addons", LEARNING.id):
        of_page = {"id": placement, "item": "sku-9", "limit": 4}
        shown = await client.decide(placement=placement, placements=[of_page], explain=True)
        shown = await client.decide(placement=placement, placements=[{"id": placement, "limit": 40}])
    for item in shown["items"]:
        number += 1
        await client.post("/v1/track", track(
            number, event="Product Clicked", context={"decisionId": shown["whole"]["decisionId"]},
            properties={"product_id": item["id"]}))
    clock.advance(2_000)
    await asyncio.sleep(0.05)
    await client.decide(placement=LEARNING.id, explain=True)
    await client.get(f"/v1/decisions/{shown['whole']['decisionId']}")
    for path in (f"/v1/profiles/ada-{run}", "/v1/profiles/anonymous:a4", "/v1/profiles/anonymous:a4/export",
                 "/v1/items/sku-9", "/metrics", "/readyz"):
        await client.get(path)
    # Trained models.
    for model in models:
        await engine.models.place("default", HOME, model, actor="tests")
        await client.decide(explain=True)
        await client.decide(explain=False)
    # People who lie on disk and come back; people who are gone.
    for person in range(900):
        number += 1
        await client.post("/v1/track", track(number, anonymousId=f"many-{run}-{person}"))
    assert engine.partition.state.cells_cold > 0
    for person in (f"many-{run}-1", f"many-{run}-2", "a5"):
        await client.post("/v1/track", track(number := number + 1, anonymousId=person))
        await client.decide(anonymousId=person)
    for person in (f"anonymous:many-{run}-1", f"anonymous:many-{run}-899", *(["ada-0"] if run == 0 else [])):
        await done(client, "DELETE", f"/v1/profiles/{person}")
    await engine.checkpoint()
    clock.advance(49 * 3_600_000)
    await asyncio.sleep(0.05)  # A tick: sessions and messages of the idle are swept.
    await client.post("/v1/track", track(number + 1, anonymousId="a7"))
    await client.decide(anonymousId="a7")
    await engine.checkpoint()


def main(root: Path) -> list[str]:
    """Names of what was compiled or loaded while serving."""
    warmed()
    before = len(compiled.wholes)
    store = ModelStore(RealDisk(), root / "models")
    made = artefacts()
    del compiled.wholes[before:]  # Models are made elsewhere.
    models = [f"{one.kind}@{store.put(one)}" for one in made]
    for run in range(2):  # The second time from what the first has left on disk.
        with_client(
            root, partial(serve, models=models, run=run), placements=(*DEFAULT_PLACEMENTS, LEARNING), exploration=0.5,
            models=StoredModels(store), cold=ColdPlace(RealDisk(), root / "cold"), cells=512,
        )  # fmt: skip
    return compiled.wholes[before:]


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
