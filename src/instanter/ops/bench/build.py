"""A data folder as a server leaves it, made without HTTP: the same records, segments and checkpoints, written directly.

For cases that need a long log and measure something else than its making.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from ...engine.partition import Partition
from ...events.decode import Door
from ...events.enrich import Enricher
from ...events.envelope import CONTROL_PARTITION, Configured, Epoch, ItemUpserted, Record, Tracked, encode_record
from ...foundation.clock import Clock
from ...foundation.disk import RealDisk
from ...foundation.ids import Ids
from ...log.commit import commit_now
from ...log.frames import LogPosition
from ...log.segment_log import SegmentLog
from ...privacy.subjects import KeyStore
from ...sim.shop import Shop
from ...state.checkpoint import Snapshot, write_checkpoint
from ..datadir import DataDirectory
from ..master import master_key
from ..settings import Config
from ..wiring import schema_of
from .traffic import Traffic, in_stock

TENANT: Final = "default"
GROUP: Final = 1_000
"""Records written and synced together; an epoch follows each ten."""
GROUPS_PER_EPOCH: Final = 10


class Builder:
    """Writes one data folder. Close it before a server opens the folder."""

    def __init__(self, folder: Path, *, clock: Clock) -> None:
        config = Config()
        self._directory = DataDirectory(RealDisk(), folder)
        secret = self._directory.open()
        self._log = SegmentLog(
            self._directory.disk, self._directory.log, segment_bytes=config.log.segment_mb * 1024 * 1024
        )
        master = master_key(self._directory.disk, self._directory.keys, file="", may_make=True)
        self._subjects = KeyStore(self._directory.disk, self._directory.keys, secret=secret, master=master)
        self._partitions = config.log.partitions
        self._partition = Partition(schema_of(config))
        self._door = Door(
            subjects=self._subjects, ids=Ids(), enrich=Enricher(), references=self._partition.references
        )
        self._clock = clock
        self._written = 0
        schema = self._partition.state.schema
        self._control([Configured(clock.now_ms(), dict(schema.settings), schema.declared())])

    def close(self) -> None:
        """Let the folder go."""
        self._log.close()
        self._subjects.close()

    def catalogue(self, shop: Shop) -> None:
        """Put the shop's products in."""
        now_ms = self._clock.now_ms()
        self._control([
            ItemUpserted(now_ms, TENANT, item.id, msgspec.to_builtins(in_stock(item).fields)) for item in shop.items()
        ])  # fmt: skip

    def events(self, traffic: Traffic, people: int, count: int) -> None:
        """Put `count` events in, of the people in turn."""
        now_ms = self._clock.now_ms()
        raws = (traffic.event(number % people, now_ms) for number in range(count))
        for group in _groups(raws, GROUP):
            self.write(group)

    def write(self, raws: Iterable[bytes]) -> None:
        """Put at most `GROUP` events in, received now; now and then an epoch follows."""
        self._write(self._admitted(raws))
        self._written += 1
        if self._written % GROUPS_PER_EPOCH == 0:
            self._publish()

    def checkpoint(self) -> Path:
        """Write a checkpoint of everything so far."""
        self._publish()
        snapshot = Snapshot(
            self._partition.state, position=self._partition.position, at_ms=self._clock.now_ms(),
            control=self._partition.control_rows(),
        )  # fmt: skip
        return write_checkpoint(self._directory.disk, self._directory.checkpoints, snapshot)

    def _admitted(self, raws: Iterable[bytes]) -> Iterator[tuple[int, bytes, Record]]:
        for raw in raws:
            admitted = self._door.admit(raw, kind=None, received_ms=self._clock.now_ms(), tenant=TENANT)
            assert isinstance(admitted.record, Tracked), "nobody in the traffic has objected"
            yield admitted.record.key % self._partitions, admitted.payload, admitted.record

    def _publish(self) -> None:
        state = self._partition.state
        self._control([Epoch(self._clock.now_ms(), state.epoch + 1, state.epoch_hash)])

    def _control(self, records: Iterable[Record]) -> None:
        self._write((CONTROL_PARTITION, encode_record(record), record) for record in records)

    def _write(self, entries: Iterable[tuple[int, bytes, Record]]) -> None:
        """Into the log, then into the state, as the engine does."""
        partitions, payloads, records = zip(*entries, strict=True)
        self._subjects.flush()
        now_ms = self._clock.now_ms()
        positions = commit_now(
            self._log, [(partition, now_ms, payload) for partition, payload in zip(partitions, payloads, strict=True)]
        )
        ends = [*positions[1:], LogPosition(self._log.begin().start)]
        self._partition.apply(records, ends=ends)


def _groups(raws: Iterator[bytes], size: int) -> Iterator[list[bytes]]:
    while group := list(islice(raws, size)):
        yield group
