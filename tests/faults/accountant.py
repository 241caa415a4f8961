"""The accountant: every id is on disk before it is sent, every answer before the next request; nothing is believed.

After a fault `lost` = acknowledged - present, `phantom` = present - sent, and `double` is by how much the effects on
the state differ from the ids present, person by person. Present is what the log holds, read frame by frame; effects
are what a state recovered from the newest checkpoint and the tail has counted.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from instanter.engine.export import stored_event
from instanter.engine.partition import Partition
from instanter.engine.recovery import beginning, catch_up, recover
from instanter.events.envelope import Tracked, decode_record
from instanter.foundation.clock import elapsed_ns
from instanter.foundation.disk import RealDisk
from instanter.log.segments import SegmentReader
from instanter.ops.config import load
from instanter.ops.datadir import DataDirectory
from instanter.ops.master import master_key
from instanter.ops.wiring import schema_of
from instanter.privacy.subjects import KeyStore
from instanter.state.layout import CELL_EVENTS
from instanter.state.table import CELLS, address

from ..conftest import About

TIMEOUT_S = 30.0
PEOPLE = 1_000
REPLACED_MAX = 20
"""Checkpoints in a row that a server may replace before `recovered` gives up."""


@dataclass
class Reply:
    """One answer over HTTP."""

    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """One kept-alive connection. Raises `OSError` or `HTTPException` when the server is gone."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)

    def call(self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None) -> Reply:
        """`body` is sent as it is if it is bytes, else as JSON."""
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        self._connection.request(method, path, body=raw, headers=headers or {})
        response = self._connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, response.read(), names)

    def close(self) -> None:
        self._connection.close()


def ask(port: int, method: str, path: str, body: Any = None) -> Reply:
    """One call on a connection of its own."""
    client = Client(port)
    try:
        return client.call(method, path, body)
    finally:
        client.close()


class Ledger:
    """Lines in a file, synced before `note` returns. Safe for threads."""

    def __init__(self, path: Path) -> None:
        self._guard = threading.Lock()
        self._file = path.open("ab")
        self._lines: list[str] = []

    def note(self, lines: Iterable[str]) -> None:
        lines = list(lines)
        with self._guard:
            self._file.write("".join(line + "\n" for line in lines).encode())
            self._file.flush()
            os.fdatasync(self._file.fileno())
            self._lines.extend(lines)

    def __iter__(self) -> Iterable[str]:
        return iter(list(self._lines))

    def __len__(self) -> int:
        return len(self._lines)

    def close(self) -> None:
        self._file.close()


def event(message_id: str, *, padding: int = 0) -> dict[str, Any]:
    """A tracking event that can be made again from its id alone."""
    number = int(message_id.rpartition("-")[2])
    properties = {"product_id": f"sku-{number % 50}", "price": 10 + number % 5, "note": "x" * padding}
    return {
        "type": "track", "event": "Product Viewed", "messageId": message_id,
        "anonymousId": f"p{number % PEOPLE}", "properties": properties,
    }  # fmt: skip


@dataclass
class Shift:
    """What one stretch of sending met."""

    acked: int = 0
    refused: Counter[int] = field(default_factory=Counter)
    """Refused requests by status."""
    unpolite: list[Reply] = field(default_factory=list)
    """Refusals that did not say when to come back, or why."""
    acked_after_refusal: int = 0
    """Requests sent after the first refusal and taken all the same."""
    broken_off: int = 0
    """Connections that ended under us."""


class Accountant:
    """Sends events with ids of its own and keeps the books."""

    def __init__(self, directory: Path) -> None:
        self.sent, self.acked = Ledger(directory / "sent"), Ledger(directory / "acked")
        self._numbers = 0
        self._guard = threading.Lock()

    def send(
        self, port: int, *, stop: threading.Event, events_per_s: int = 2_000, batch: int = 20, clients: int = 2,
        events_max: int = 1_000_000, padding: int = 0,
    ) -> Shift:  # fmt: skip
        """Send at that rate until `stop` is set, `events_max` are sent or the server is gone."""
        shift = Shift()
        pause_s = batch * clients / events_per_s
        end = self._numbers + events_max

        def work() -> None:
            client = Client(port)
            began_ns, requests = elapsed_ns(), 0
            try:
                while not stop.is_set() and (ids := self._next_ids(batch, end)):
                    self.exchange(client, ids, shift, padding)
                    requests += 1
                    stop.wait(max(0.0, requests * pause_s - (elapsed_ns() - began_ns) / 1e9))
            except (OSError, http.client.HTTPException):
                shift.broken_off += 1
            finally:
                client.close()

        workers = [threading.Thread(target=work) for _ in range(clients)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return shift

    def send_again(self, port: int, *, also_acked: int = 100, padding: int = 0) -> Shift:
        """Send what nobody has acknowledged once more, and some of the acknowledged as well."""
        acked = list(self.acked)
        missing = set(acked)
        again = [one for one in self.sent if one not in missing] + acked[-also_acked:]
        shift, client = Shift(), Client(port)
        try:
            for first in range(0, len(again), 50):
                self.exchange(client, again[first : first + 50], shift, padding)
        finally:
            client.close()
        return shift

    def close(self) -> None:
        self.sent.close()
        self.acked.close()

    def _next_ids(self, count: int, end: int) -> list[str]:
        with self._guard:
            first = self._numbers
            self._numbers = min(first + count, end)
            ids = [f"m-{number}" for number in range(first, self._numbers)]
            self.sent.note(ids)
        return ids

    def exchange(self, client: Client, ids: Sequence[str], shift: Shift, padding: int = 0) -> None:
        """One batch of ids that were noted as sent, and what became of it."""
        refused_before = sum(shift.refused.values())
        reply = client.call("POST", "/v1/batch", {"batch": [event(one, padding=padding) for one in ids]})
        if reply.status == 200:
            answer = reply.json
            assert (answer["accepted"], answer["rejected"]) == (len(ids), [])
            self.acked.note(ids)
            shift.acked += len(ids)
            shift.acked_after_refusal += 1 if refused_before else 0
            return
        shift.refused[reply.status] += 1
        if not (reply.json["error"]["code"] and reply.json["code"] and int(reply.headers.get("retry-after", "0"))):
            shift.unpolite.append(reply)


@dataclass
class Balance:
    """What is wrong, as ids; empty is right."""

    lost: set[str]
    phantom: set[str]
    double: dict[int, tuple[int, int]]
    """By cell: (ids present, effects)."""
    present: int

    @property
    def even(self) -> bool:
        return not (self.lost or self.phantom or self.double)

    def assert_even(self, about: About, where: object = "") -> None:
        """Nothing acknowledged is lost (P1), nothing came from nowhere or had two effects (P2)."""
        with about("P1"):
            assert not self.lost, (where, self)
        with about("P2"):
            assert not self.phantom, (where, self)
            assert not self.double, (where, self)

    @property
    def figures(self) -> dict[str, int]:
        """The same, counted."""
        return {"events": self.present, "lost": len(self.lost), "phantom": len(self.phantom),
                "double": len(self.double)}


def keys_of(data: Path) -> KeyStore:
    """The keys of a directory that a server with `--dev` made, to be read."""
    directory = DataDirectory(RealDisk(), data)
    master = master_key(directory.disk, directory.keys, file="", may_make=False)
    return KeyStore(directory.disk, directory.keys, secret=directory.check(), master=master, read_only=True)


def message_ids(data: Path) -> dict[int, Counter[str]]:
    """Every messageId in the log, by cell, with how often it is there."""
    found: dict[int, Counter[str]] = {}
    keys = keys_of(data)
    for frame in SegmentReader(RealDisk(), data / "log").read():
        record = decode_record(frame.payload, offset=frame.position)
        if isinstance(record, Tracked):
            event = stored_event(record, keys)
            if event is not None:  # Nothing can be read of people who were erased.
                found.setdefault(record.key, Counter())[event["messageId"]] += 1
    return found


def recovered(data: Path, config: Path) -> Partition:
    """The state as the next start would have it: newest checkpoint, then the tail.

    A server that runs may replace the checkpoint between its listing and its opening: then the newer one is read.
    """
    log = SegmentReader(RealDisk(), data / "log")
    first = next(log.read(), None)
    for _ in range(REPLACED_MAX):
        with contextlib.suppress(FileNotFoundError):
            return recover(
                schema_of(load(config)), log, log_start=0 if first is None or first.position < 100 else first.position,
                log_end=1 << 62, disk=RealDisk(), checkpoints=data / "checkpoints",
            )[0]  # fmt: skip
    raise AssertionError(f"every one of {REPLACED_MAX} checkpoints was replaced before it could be opened")


def replayed(data: Path, config: Path, *, until: int | None = None) -> Partition:
    """The state from the beginning of the log, whatever checkpoints there are."""
    log = SegmentReader(RealDisk(), data / "log")
    partition = beginning(schema_of(load(config)), log, disk=RealDisk(), checkpoints=data / "checkpoints")
    catch_up(partition, log, until=until)
    return partition


def effects(partition: Partition, key: int) -> int:
    """How many events changed a cell."""
    row = partition.state.cell_row(key)
    if row < 0:
        return 0
    memory = partition.state.tables.memory
    return int(memory.ints[address(memory.regions, CELLS, row) + CELL_EVENTS])


def balance(accountant: Accountant, data: Path, config: Path) -> Balance:
    """Close the books on a directory that nobody writes to right now."""
    by_cell = message_ids(data)
    present = {one for ids in by_cell.values() for one in ids}
    sent, acked = set(accountant.sent), set(accountant.acked)
    partition = recovered(data, config)
    double = {
        key: (len(ids), found) for key, ids in by_cell.items() if (found := effects(partition, key)) != len(ids)
    }
    return Balance(acked - present, present - sent, double, len(present))
