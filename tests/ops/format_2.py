"""Makes a data directory of format 2, the same bytes in every run: python -m tests.ops.format_2 DIR

It holds one record of every kind, people with keys and one without any more, a checkpoint and a tail behind it, a
quarantine, an audit record. `tests/ops/formats/2` was made by it; `test_formats` shows that the program still reads
that, and still writes the same.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from instanter.decisions.receipt import RECEIPT_VERSION, PlacementReceipt, Receipt, encode_receipt
from instanter.engine.partition import Partition
from instanter.events.decode import Door
from instanter.events.enrich import Enricher
from instanter.events.envelope import (
    CONTROL_PARTITION,
    Audited,
    Configured,
    Consented,
    Decided,
    Epoch,
    Erased,
    Imported,
    ItemDeleted,
    ItemPatched,
    ItemUpserted,
    KeyIssued,
    KeyRevoked,
    LearnerDeclared,
    LearnerTurned,
    Lesson,
    ModelPlaced,
    Record,
    Ticked,
    Tracked,
    Unlinked,
    Withheld,
    encode_record,
)
from instanter.events.reject import encode_quarantined, quarantined, sealed
from instanter.events.subjects import Sealed
from instanter.features.compile import compile_features
from instanter.features.declaration import FeatureDeclaration
from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import EventRejected
from instanter.foundation.ids import Ids
from instanter.log.commit import commit_now
from instanter.log.segment_log import SegmentLog
from instanter.ops.datadir import DataDirectory
from instanter.privacy.audit import COMMAND_LINE, Act, Head, audit_key, chained
from instanter.privacy.erasures import VERSION, Erasure, ErasureList
from instanter.privacy.subjects import KeyStore
from instanter.state.checkpoint import Snapshot, write_checkpoint

FORMAT = 2
SECRET, MASTER = bytes(range(32)), bytes(range(32, 64))
START_MS = 1_790_000_000_000
SEGMENT_BYTES = 1 << 20
TENANT = "default"
DECISION = "d_00112233445566778899"
FEATURES = (
    FeatureDeclaration(name="views", on=("Product Viewed",), aggregate="count"),
    FeatureDeclaration(name="viewed_items", on=("Product Viewed",), aggregate="last_k", by="item", k=4),
    FeatureDeclaration(name="item_views", on=("Product Viewed",), aggregate="count", scope="item"),
)
SCHEMA = compile_features(FEATURES, memory_mb=64, items_max=1_024)


class Stream:
    """Bytes that look random and are the same in every run."""

    def __init__(self) -> None:
        self._number = 0

    def __call__(self, size_bytes: int) -> bytes:
        self._number += 1
        return hashlib.shake_256(self._number.to_bytes(8, "little")).digest(size_bytes)


class Writing:
    """The log, and the partition that its records are folded into."""

    def __init__(self, root: Path) -> None:
        self.log = SegmentLog(RealDisk(), root / "log", segment_bytes=SEGMENT_BYTES)
        self.partition = Partition(SCHEMA)
        self.at_ms = START_MS
        self.kinds: set[str] = set()

    def write(self, *records: Record) -> None:
        """One group, durable and folded."""
        self.at_ms += 1_000
        entries = []
        for record in records:
            place = record.key % 16 if isinstance(record, Tracked | Decided) else CONTROL_PARTITION
            entries.append((place, self.at_ms, encode_record(record)))
            self.kinds.add(type(record).__name__)
        positions = commit_now(self.log, entries)
        self.partition.apply(list(records), ends=[*positions[1:], self.log.begin().start])


def make(root: Path) -> dict[str, Any]:
    """Make the directory, and say what is in it."""
    disk, stream, directory = RealDisk(), Stream(), DataDirectory(RealDisk(), root)
    for folder in (directory.keys, directory.checkpoints):
        folder.mkdir(parents=True)
    (directory.keys / "installation.key").write_text(SECRET.hex())
    (directory.keys / "master.key").write_text(MASTER.hex())
    subjects = KeyStore(disk, directory.keys, secret=SECRET, master=MASTER, source=stream)
    door = Door(subjects=subjects, ids=Ids(stream), enrich=Enricher())
    writing = Writing(root)
    heads = audit(root)
    fill(writing, door, subjects, heads)
    write_checkpoint(disk, directory.checkpoints, Snapshot(
        writing.partition.state, position=writing.partition.position, at_ms=writing.at_ms,
        control=writing.partition.control_rows()))
    erase(writing, root, subjects)
    writing.write(tracked(door, writing, {"anonymousId": "a1", "messageId": "m-tail"}))
    quarantine(root, subjects, writing.at_ms)
    subjects.flush()
    found = {
        "hash": writing.partition.state.hash(), "position": writing.partition.position,
        "people": writing.partition.state.cells_used, "links": len(writing.partition.links), "decision": DECISION,
        "acts": len(heads), "quarantined": 2, "kinds": sorted(writing.kinds),
    }  # fmt: skip
    subjects.close()
    writing.log.close()
    for lock in root.rglob("*lock"):
        lock.unlink()
    directory.mark(FORMAT)
    return found


def tracked(door: Door, writing: Writing, ids: dict[str, str], **fields: Any) -> Tracked:
    """An event through the front door."""
    body = {"type": "track", "event": "Product Viewed", "properties": {"product_id": "sku-1", "price": 5, "note": "x"}}
    raw = json.dumps({**body, **ids, **fields}).encode()
    record = door.admit(raw, kind=None, received_ms=writing.at_ms, tenant=TENANT).record
    assert isinstance(record, Tracked)
    return record


def fill(writing: Writing, door: Door, subjects: KeyStore, heads: list[Head]) -> None:
    """Records of all kinds but `Erased`."""
    at_ms, write = writing.at_ms, writing.write
    write(Configured(at_ms, dict(SCHEMA.settings), SCHEMA.declared()))
    write(*(ItemUpserted(at_ms, TENANT, f"sku-{one}", {"title": "T", "price": 1.5, "stock": one}) for one in range(3)),
          ItemPatched(at_ms, TENANT, "sku-1", {"stock": 9}), ItemDeleted(at_ms, TENANT, "sku-2"))
    for number in range(4):
        write(tracked(door, writing, {"anonymousId": f"a{number}", "messageId": f"m{number}"}))
    raw = json.dumps({"type": "identify", "anonymousId": "a1", "userId": "u1", "messageId": "mi"}).encode()
    for place, cell in enumerate(("a1", "a2")):
        named = raw.replace(b'"a1"', f'"{cell}"'.encode())
        admitted = door.admit(named, kind=None, received_ms=writing.at_ms, tenant=TENANT)
        (claim,) = admitted.links
        write(admitted.record, claim.record(at_ms, TENANT))
        if place:
            write(Unlinked(at_ms, TENANT, claim.cell, claim.owner))
    cell = subjects.find(TENANT, "anonymous:a1")
    write(Consented(at_ms, TENANT, cell, {"personalization": True, "ads": False}),
          Withheld(at_ms, TENANT, "Product Viewed", "gpc"))
    write(KeyIssued(at_ms, "k1", TENANT, bytes(32), ("events:write",), name="site"), KeyRevoked(at_ms, "k1"))
    write(Audited(at_ms, heads[-1].number, heads[-1].chain),
          ModelPlaced(at_ms, TENANT, "home.hero", "lambdamart@0a1b", "logistic@2c3d", "placed"))
    receipt = Receipt(
        RECEIPT_VERSION, DECISION, TENANT, at_ms, writing.partition.position, 1, "e", (cell,), b"i" * 16, "c", "f", (),
        (PlacementReceipt("home", 3, "personal", "linear", 2, b"h" * 8, b""),),
    )  # fmt: skip
    body = subjects.seal(cell, Sealed.RECEIPT, at_ms, encode_receipt(receipt))
    write(LearnerDeclared(at_ms, "home", ("item.recency",), 0.1, 2.0, False, 60_000, {"click": 1.0}),
          LearnerTurned(at_ms, TENANT, "home", "thaw"))
    lesson = Lesson("home", (1, 2), np.array([[1.0, 0.5], [0.5, 0.25]], "<f4").tobytes())
    write(Decided(at_ms, TENANT, cell, DECISION, body, cell, subjects.seal(cell, Sealed.RECEIPT, at_ms, b"\x90"),
                  (lesson,)))
    import_event = tracked(door, writing, {"anonymousId": "a2", "messageId": "m-imported"})
    write(Imported(at_ms, TENANT, bytes(range(16)), 3, 3, 900, (3,), (import_event.message,)), import_event)
    write(Ticked(writing.at_ms))
    write(Epoch(writing.at_ms, 1, writing.partition.state.epoch_hash))


def erase(writing: Writing, root: Path, subjects: KeyStore) -> None:
    """One person, as an erasure does it."""
    cell = subjects.find(TENANT, "anonymous:a3")
    erasures = ErasureList(RealDisk(), root / "keys" / "erasures")
    erasures.add(Erasure(VERSION, "e1", writing.at_ms, TENANT, (cell,)))
    erasures.close()
    writing.write(Erased(writing.at_ms, TENANT, "e1", (cell,), (subjects.tombstone(TENANT, "anonymous:a3"),), (),
                         writing.at_ms + 86_400_000))
    subjects.flush()
    subjects.overwrite(subjects.take_out([cell]))


def audit(root: Path) -> list[Head]:
    """Three acts."""
    log, head, heads = SegmentLog(RealDisk(), root / "audit", segment_bytes=SEGMENT_BYTES), Head(), list[Head]()
    for number in range(3):
        act = Act("key.issued", COMMAND_LINE, TENANT, f"k{number}", {"public": False})
        entry = chained(audit_key(SECRET), head, act, at_ms=START_MS + number)
        commit_now(log, [(CONTROL_PARTITION, entry.at_ms, msgspec.msgpack.encode(entry))])
        head = Head(entry.number, entry.chain)
        heads.append(head)
    log.close()
    return heads


def quarantine(root: Path, subjects: KeyStore, at_ms: int) -> None:
    """An event of somebody who is known, and one of nobody."""
    log = SegmentLog(RealDisk(), root / "quarantine", segment_bytes=SEGMENT_BYTES)
    for raw in (b'{"type":"dance","anonymousId":"a1"}', b"garbage"):
        entry = quarantined(raw, EventRejected("schema", "no"), at_ms=at_ms, tenant=TENANT)
        commit_now(log, [(CONTROL_PARTITION, at_ms, encode_quarantined(sealed(entry, subjects)))])
    log.close()


if __name__ == "__main__":
    target = Path(sys.argv[1])
    (target / "expected.json").write_text(json.dumps(make(target), indent=1) + "\n")
