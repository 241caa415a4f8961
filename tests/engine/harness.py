"""An engine in this process, on a real directory and a clock that the test moves."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace

from instanter.decisions.placement import DEFAULT_PLACEMENTS, Placement
from instanter.decisions.request import decode_decide
from instanter.engine.compose import EntryOptions, compose
from instanter.engine.configuration import Configuration, Configurations
from instanter.engine.intake import Taken
from instanter.engine.loop import Engine, EngineOptions
from instanter.engine.replay import Models, NoModels
from instanter.engine.stores import Places, StoreSizes, open_stores
from instanter.events.enrich import Enricher
from instanter.events.envelope import CONTROL_PARTITION, ItemPatched, ItemUpserted, Record, encode_record
from instanter.features.assemble import RULES_NOW
from instanter.features.compile import compile_features
from instanter.features.declaration import DEFAULT_FEATURES, FeatureDeclaration
from instanter.foundation.clock import Clock, ManualClock
from instanter.foundation.deadline import Deadline
from instanter.foundation.disk import Disk, RealDisk
from instanter.foundation.ids import Ids, References
from instanter.state.cold_files import ColdPlace

T = TypeVar("T")
SECRET = bytes(range(32))
ENRICHER = Enricher()
NO_MODELS = NoModels()


def iso(at_ms: int) -> str:
    """ISO 8601 of a time in ms."""
    seconds, ms = divmod(at_ms, 1_000)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{ms:03d}Z"


class CountingIds:
    """Bytes for ids that are the same in every run."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def __call__(self, size_bytes: int) -> bytes:
        return next(self._numbers).to_bytes(size_bytes, "big")


def open_engine(
    root: Path, *, clock: Clock, features: tuple[FeatureDeclaration, ...] = DEFAULT_FEATURES,
    disk: Disk | None = None, segment_bytes: int = 4 * 1024 * 1024, consent_required: bool = False,
    placements: tuple[Placement, ...] = DEFAULT_PLACEMENTS, exploration: float = 0.0,
    models: Models = NO_MODELS, cold: ColdPlace | None = None, cells: int = 0, references: References | None = None,
    secret: bytes = SECRET, chance: Callable[[int], bytes] | None = None, **options: Any,
) -> Engine:  # fmt: skip
    """Recover a directory and make its engine, as wiring does; with `cells` memory holds no more people at once,
    `references` may be some that make names collide, and `secret` and `chance` are those of another installation."""
    disk = disk or RealDisk()
    schema = compile_features(features, memory_mb=64, items_max=4_096)
    if cells:
        schema = replace(schema, capacity=replace(schema.capacity, cells=cells, cold=100_000))
    configuration = Configuration(features, placements, schema.settings, exploration=exploration, rules=RULES_NOW)
    places = Places(root)
    Configurations(disk, places.configurations).keep(configuration)
    sizes = StoreSizes(segment_bytes, 1 << 20, quarantine_bytes_max=8 << 20, audit_segment_bytes=1 << 20)
    with ExitStack() as opened:
        stores = open_stores(
            places, disk=disk, secret=secret, master=SECRET, opened=opened, sizes=sizes, models=models
        )
        partition, recovery = stores.recover(schema, cold=cold, references=references)
        opened.pop_all()
    return compose(
        stores=stores, partition=partition, recovery=recovery, decider=configuration.decider(schema), features=features,
        clock=clock, ids=Ids(chance or CountingIds()), enricher=ENRICHER,
        entry=EntryOptions(consent_required=consent_required),
        options=EngineOptions(**{"checkpoint_s": 3_600.0, "sync_window_ms": 0.0, **options}),
    )  # fmt: skip


def with_engine(
    root: Path, work: Callable[[Engine], Awaitable[T]], *, clock: ManualClock | None = None, stop: bool = True,
    **options: Any,
) -> T:  # fmt: skip
    """Run `work` with an engine that is started, and stopped afterwards unless the test wants it cut off."""

    async def run() -> T:
        engine = open_engine(root, clock=clock or ManualClock(), **options)
        await engine.start()
        try:
            return await work(engine)
        finally:
            if stop:
                await engine.stop(Deadline(10_000))
            else:
                await cut_off(engine)

    return asyncio.run(run())


async def cut_off(engine: Engine) -> None:
    """Leave an engine as a kill would: nothing more is written, no checkpoint."""
    await engine.abandon()


def event(number: int, *, person: str = "a1", name: str = "Product Viewed", at_ms: int = 0, **fields: Any) -> bytes:
    """A tracking event."""
    body: dict[str, Any] = {"type": "track", "event": name, "messageId": f"m-{number}", "anonymousId": person}
    if at_ms:
        body["timestamp"] = iso(at_ms)
    properties = fields.pop("properties", {"product_id": f"sku-{number % 7}", "price": 10 + number % 5})
    return json.dumps({**body, "properties": properties, **fields}).encode()


async def take(engine: Engine, *events: bytes) -> Taken:
    """Events through the front door."""
    return await engine.intake.take(events, kind=None, tenant="default")


async def stock_shop(engine: Engine, count: int = 20) -> None:
    """A catalogue of `count` items in three categories."""
    now_ms = engine.clock.now_ms()
    await engine.change_items([
        ItemUpserted(now_ms, "default", f"sku-{number}", {
            "title": f"Item {number}", "category": f"c{number % 3}", "brand": f"b{number % 2}",
            "price": 10.0 + number, "stock": 5})
        for number in range(count)
    ])  # fmt: skip


async def append_unchecked(engine: Engine, record: Record, *, partition: int = CONTROL_PARTITION) -> int:
    """Put a record into the log behind the door, as an older version or another writer could; its position."""
    position = engine.journal.extend([(partition, engine.clock.now_ms(), encode_record(record), record)])
    await engine.journal.durable(position)
    return position


async def set_stock(engine: Engine, item: str, stock: int) -> None:
    """Change the stock of an item."""
    await engine.change_items([ItemPatched(engine.clock.now_ms(), "default", item, {"stock": stock})])


async def decide(engine: Engine, *, person: str = "a1", **fields: Any) -> dict[str, Any]:
    """A decision as the client sees it."""
    body = {"anonymousId": person, "placements": [{"id": "home.recommended"}], "deadlineMs": 10_000, **fields}
    request = decode_decide(json.dumps(body).encode())
    decision = await engine.decide(request, tenant="default", deadline=Deadline(60_000))
    reply: dict[str, Any] = json.loads(decision.encode())
    return reply
