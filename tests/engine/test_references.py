"""The key of a log's references, and what becomes of names that have one reference."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from instanter.engine.loop import Engine
from instanter.engine.partition import Partition
from instanter.engine.recovery import open_checkpoint
from instanter.events.envelope import (
    CONTROL_PARTITION,
    ItemDeleted,
    ItemPatched,
    ItemUpserted,
    Keyed,
    Record,
    Tracked,
    decode_record,
    encode_record,
)
from instanter.foundation.clock import ManualClock
from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import REFERENCE_TAKEN, ReferenceTaken
from instanter.foundation.ids import REFERENCE_KEY_BYTES, References, item_reference, reference
from instanter.log.commit import commit_now
from instanter.log.segment_log import SegmentLog
from instanter.log.segments import SegmentReader

from ..api.client import Client, with_client
from ..state.shop import SCHEMA, START_MS
from .harness import event, with_engine

ONE, OTHER = bytes(range(REFERENCE_KEY_BYTES)), bytes(reversed(range(REFERENCE_KEY_BYTES)))


def records(root: Path) -> list[Record]:
    return [decode_record(frame.payload) for frame in SegmentReader(RealDisk(), root / "log").read()]


def put(tenant: str, item: str, **fields: Any) -> ItemUpserted:
    return ItemUpserted(START_MS, tenant, item, fields)


def apply(partition: Partition, *told: Record) -> None:
    partition.apply(told, ends=[partition.position + place for place in range(1, len(told) + 1)])


def same_for_all(_: str) -> int:
    return 7


def one_for_items(text: str) -> int:
    return 7 if "\x00" in text else reference(text)


# The hash.


def test_without_a_key_references_are_those_of_old_logs() -> None:
    plain = References()
    assert (plain.of("m-1"), plain.item("t", "sofa")) == (reference("m-1"), item_reference("t", "sofa"))
    assert plain.group("t", "g") == reference("t\x00group\x00g")


def test_a_key_changes_every_reference_and_two_keys_share_none() -> None:
    keyed = [References(), References(), References()]
    keyed[1].use(ONE)
    keyed[2].use(OTHER)
    names = [f"sku-{number}" for number in range(200)]
    for made in (
        [{one.of(name) for name in names} for one in keyed],
        [{one.item("t", name) for name in names} for one in keyed],
        [{one.group("t", name) for name in names} for one in keyed],
    ):
        assert [len(one) for one in made] == [200, 200, 200]
        assert len(set.union(*made)) == 600


def test_a_cache_that_is_emptied_or_full_changes_nothing() -> None:
    small, large = References(cache_max=2), References()
    small.use(ONE)
    large.use(ONE)
    names = [f"sku-{number % 5}" for number in range(20)]
    assert [small.item("t", name) for name in names] == [large.item("t", name) for name in names]
    large.forget()
    assert large._items == {}
    assert large.item("t", "sku-1") == small.item("t", "sku-1")


def test_a_reference_is_never_none_and_takes_any_text() -> None:
    keyed = References()
    keyed.use(ONE)
    assert all(keyed.of(text) for text in ("", "\x00", "\ud800", "é" * 512))


# The key in the log.


def test_a_new_log_begins_with_a_key_that_restarts_and_checkpoints_keep(tmp_path: Path) -> None:
    clock = ManualClock()

    async def first(engine: Engine) -> tuple[bytes, str]:
        await engine.change_items([put("default", "sofa", category="sofas")])
        await engine.intake.take([event(1)], kind=None, tenant="default")
        return engine.partition.references.key, engine.partition.hash()

    async def again(engine: Engine) -> tuple[bytes, str]:
        return engine.partition.references.key, engine.partition.hash()

    key, before = with_engine(tmp_path, first, clock=clock, stop=False)
    assert len(key) == REFERENCE_KEY_BYTES
    assert with_engine(tmp_path, again, clock=clock, stop=False) == (key, before), "from the log"
    assert with_engine(tmp_path, again, clock=clock)[0] == key
    assert list((tmp_path / "checkpoints").iterdir())
    assert with_engine(tmp_path, again, clock=clock)[0] == key, "from a checkpoint"
    told = records(tmp_path)
    assert isinstance(told[0], Keyed)
    assert sum(isinstance(one, Keyed) for one in told) == 1
    (tracked,) = (one for one in told if isinstance(one, Tracked))
    keyed = References()
    keyed.use(key)
    assert (tracked.message, tracked.items) == (keyed.of("m-1"), (keyed.item("default", "sku-1"),))


def test_a_checkpoint_brings_the_texts_of_items_back_under_the_key(tmp_path: Path) -> None:
    clock = ManualClock()

    async def work(engine: Engine) -> Path:
        await engine.change_items([put("default", "sofa", category="sofas")])
        return await engine.checkpoint()

    path = with_engine(tmp_path, work, clock=clock, stop=False)

    async def schema_of(engine: Engine) -> Any:
        return engine.partition.state.schema

    schema = with_engine(tmp_path / "other", schema_of, clock=clock)
    opened, _ = open_checkpoint(schema, RealDisk(), path)
    row = opened.state.find_item(opened.references.item("default", "sofa"))
    category = schema.attributes.index("category")
    assert opened.state.tables.attributes.refs[row, category, 0] == opened.references.of("sofas")
    assert opened.references.of("sofas") != reference("sofas")


def test_a_log_that_began_without_a_key_goes_on_without_one(tmp_path: Path) -> None:
    clock = ManualClock()
    partition = Partition(SCHEMA)
    apply(partition, put("default", "sofa"), Keyed(START_MS, ONE), put("default", "lamp"))
    assert partition.references.key == b"", "a key that is not the first record means nothing"
    assert partition.state.catalogue.holds("default", "sofa")
    assert partition.state.find_item(item_reference("default", "lamp")) >= 0

    async def work(engine: Engine) -> bytes:
        return engine.partition.references.key

    log = SegmentLog(RealDisk(), tmp_path / "log", segment_bytes=1 << 20)
    commit_now(log, [(CONTROL_PARTITION, START_MS, encode_record(put("default", "sofa", price=5)))])
    log.close()
    assert with_engine(tmp_path, work, clock=clock) == b""
    assert with_engine(tmp_path, work, clock=clock) == b"", "from its checkpoint"
    assert not [one for one in records(tmp_path) if isinstance(one, Keyed)]


@pytest.mark.parametrize("key", [b"", b"short", bytes(64)])
def test_a_key_of_another_size_is_passed_over(key: bytes) -> None:
    partition = Partition(SCHEMA)
    apply(partition, Keyed(START_MS, key), put("default", "sofa"))
    assert partition.references.key == b""
    assert partition.state.catalogue.holds("default", "sofa")


def test_the_key_is_stored_as_its_tag_says() -> None:
    assert decode_record(encode_record(Keyed(START_MS, ONE))) == Keyed(START_MS, ONE)
    partition = Partition(SCHEMA)
    assert "reference_key" not in partition.control_rows(), "a checkpoint of an old log is as it was"
    apply(partition, Keyed(START_MS, ONE))
    assert partition.control_rows()["reference_key"] == [ONE]


# Names of one reference.


def test_the_fold_passes_over_what_is_about_another_item() -> None:
    partition = Partition(SCHEMA, references=References(hashed=same_for_all))
    catalogue = partition.state.catalogue
    apply(partition, put("one", "sofa", category="sofas", price=5))
    before = partition.hash()
    apply(partition, put("two", "bed", price=1), ItemPatched(START_MS, "two", "bed", {"price": 2}),
          ItemDeleted(START_MS, "two", "bed"), put("one", "lamp"), ItemDeleted(START_MS, "two", "sofa"))  # fmt: skip
    assert partition.hash() == before
    assert (catalogue.count_of("one"), catalogue.count_of("two")) == (1, 0)
    held = catalogue.get("one", "sofa")
    assert held is not None
    assert held.fields == {"category": "sofas", "price": 5}
    for tenant, item in (("two", "bed"), ("two", "sofa"), ("one", "lamp")):
        assert catalogue.get(tenant, item) is None
        assert not catalogue.holds(tenant, item)
        assert catalogue.size_of(tenant, item) == 0
        assert catalogue.is_taken(tenant, item)
        with pytest.raises(ReferenceTaken, match=item):
            catalogue.ref_of(tenant, item)
    assert (catalogue.name_of("one", 7), catalogue.name_of("two", 7)) == ("sofa", None)
    assert (catalogue.text_of("one", 7), catalogue.text_of("two", 7)) == ("sofas", None)
    apply(partition, ItemDeleted(START_MS, "one", "sofa"), put("two", "bed"))
    assert (catalogue.count_of("one"), catalogue.count_of("two")) == (0, 1)


def test_a_tenant_without_items_that_deletes_anothers_stops_no_start() -> None:
    partition = Partition(SCHEMA, references=References(hashed=same_for_all))
    apply(partition, put("one", "sofa"), ItemDeleted(START_MS, "nobody", "bed"))
    assert partition.state.catalogue.holds("one", "sofa")


@pytest.mark.parametrize(("tenant", "item"), [
    ("t", "sku"), ("t", "sku-10"), ("t", "sk"), ("tt", "sku-1"), ("", "sku-1"), ("t", "sku-1\x00"), ("T", "sku-1"),
])  # fmt: skip
def test_an_item_is_compared_with_tenant_and_id_whole(tenant: str, item: str) -> None:
    partition = Partition(SCHEMA, references=References(hashed=same_for_all))
    apply(partition, put("t", "sku-1"))
    assert partition.state.catalogue.holds("t", "sku-1")
    assert not partition.state.catalogue.holds(tenant, item)


def test_items_of_one_request_that_have_one_reference_are_told_apart_aloud(tmp_path: Path) -> None:

    async def work(client: Client) -> None:
        items = [{"id": name, "fields": {"title": name}} for name in ("sofa", "lamp")]
        reply = (await client.post("/v1/items", {"items": items})).json()
        assert (reply["accepted"], [(one["id"], one["code"]) for one in reply["rejected"]]) == (
            1, [("lamp", REFERENCE_TAKEN)]
        )  # fmt: skip
        assert (await client.get("/v1/items/lamp")).status_code == 409
        refused = await client.post("/v1/track", json.loads(event(1)) | {"properties": {"product_id": "lamp"}})
        assert refused.status_code == 400
        assert refused.json()["error"]["code"] == REFERENCE_TAKEN

    with_client(tmp_path, work, references=References(hashed=one_for_items))


# Nothing that two installations have in common is ordered by references.


def test_two_installations_with_other_keys_show_the_same_lists(tmp_path: Path) -> None:
    items = [f"sku-{number}" for number in range(12)]

    def salted(salt: int) -> Callable[[str], int]:
        return lambda text: reference(f"{salt}{text}")

    async def work(client: Client) -> list[Any]:
        await client.stock(*items, price=5)
        for person in range(6):
            for place, item in enumerate(items):
                told = {
                    "messageId": f"m-{person}-{place}", "anonymousId": f"b{person}", "event": "Product Viewed",
                    "properties": {"product_id": item},
                }  # fmt: skip
                assert (await client.post("/v1/track", told)).status_code == 200
        await client.engine.checkpoint()
        shown = []
        for page in items:
            for placement in ("cart.addons", "product.similar"):
                asked = [{"id": placement, "item": page}]
                reply = await client.decide(placement=placement, placements=asked, anonymousId="new")
                shown.append([one["id"] for one in reply["items"]])
        return shown

    shown = [with_client(tmp_path / str(salt), work, references=References(hashed=salted(salt))) for salt in range(3)]
    assert len(shown[0][0]) > 3
    assert shown[0] == shown[1] == shown[2]
