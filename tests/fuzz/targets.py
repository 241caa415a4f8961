"""What is fuzzed (row R13): each target takes any bytes, and lets nothing out but what it says it refuses with.

A target that returns took the bytes; `Refused` tells that they were refused in the way that is drawn in the tree of
errors. Anything else that comes out of `run` is a finding, and so is taking longer than a second of CPU.
"""

from __future__ import annotations

import gc
import os
import struct
import tempfile
import zlib
from collections.abc import Callable
from functools import cache
from itertools import count
from pathlib import Path
from time import thread_time_ns

from instanter.events.decode import Admitted, Door, decode_batch
from instanter.events.enrich import Enricher
from instanter.events.envelope import decode_record, encode_record
from instanter.events.reject import message_id_of, quarantined
from instanter.events.subjects import HashedSubjects
from instanter.features.compile import compile_features
from instanter.features.declaration import DEFAULT_FEATURES
from instanter.foundation.errors import Broken, ConfigRejected, Corrupt, EventRejected
from instanter.foundation.ids import Ids
from instanter.foundation.limits import EVENT_BYTES_MAX
from instanter.log.commit import commit_now
from instanter.log.frames import FRAME_HEADER_BYTES
from instanter.log.segment_log import SegmentLog
from instanter.log.segments import SEGMENT_HEADER_BYTES, SegmentReader, encode_segment_header, segment_path
from instanter.ops.config import load
from instanter.sim.disk import SimulatedDisk
from instanter.state.checkpoint import (
    MAGIC,
    Snapshot,
    check_checkpoint,
    checkpoint_path,
    load_checkpoint,
    write_checkpoint,
)
from instanter.state.memory import State

Target = Callable[[bytes], None]

RUN_S_MAX = 1.0
KINDS = (None, "track", "identify", "page", "screen", "group", "alias", None)
RECEIVED_MS = 1_750_000_000_000
BATCH_EVENTS = 40
LOG = Path("/log")
CHECKPOINT = checkpoint_path(Path("/checkpoints"), 7)
SECTION = struct.Struct("<IIB")
FRAME = struct.Struct("<IIQ")
COLLECT_EVERY = 16
"""States refer to themselves, and are larger than the collector of garbage can know."""
LOADS = count()
SCHEMA = compile_features(DEFAULT_FEATURES, memory_mb=4, items_max=64)


class Refused(Exception):
    """The bytes were refused as they should be."""


class TooSlow(Exception):
    """The bytes took longer than `RUN_S_MAX`."""


@cache
def door() -> Door:
    return Door(subjects=HashedSubjects(bytes(32)), ids=Ids(lambda size: b"\x07" * size), enrich=Enricher())


def check_refusal(raw: bytes, error: EventRejected) -> Refused:
    """A refusal has a code and goes into the quarantine within its bounds."""
    assert error.code, error
    assert error.message, error
    assert len(quarantined(raw, error, at_ms=RECEIVED_MS, tenant="default").raw) <= EVENT_BYTES_MAX
    assert isinstance(message_id_of(raw), str)
    return Refused(error.code)


def event(chunk: bytes) -> None:
    """One event at the door. The first byte says by which route it came, and how."""
    how, raw = chunk[0] if chunk else 0, chunk[1:]
    try:
        admitted = door().admit(
            raw, kind=KINDS[how % 8], received_ms=RECEIVED_MS, tenant="default", gpc=how & 64 > 0, public=how & 128 > 0
        )
    except EventRejected as error:
        raise check_refusal(raw, error) from None
    check_admitted(admitted)


def check_admitted(admitted: Admitted) -> None:
    assert encode_record(decode_record(admitted.payload)) == admitted.payload
    assert len(admitted.message_id) > 0


def batch(chunk: bytes) -> None:
    """A batch, and the first of its events."""
    try:
        sent = decode_batch(chunk)
    except EventRejected as error:
        raise check_refusal(chunk, error) from None
    for raw in sent.events[:BATCH_EVENTS]:
        try:
            check_admitted(door().admit(
                raw, kind=None, received_ms=RECEIVED_MS, tenant="default", sent_at_ms=sent.sent_at_ms,
                defaults=sent.defaults,
            ))  # fmt: skip
        except EventRejected as error:
            check_refusal(bytes(raw), error)


def segment(chunk: bytes) -> None:
    """A log of one or two segment files. The first byte says how many, and whether their checksums are made right."""
    how, raw = chunk[0] if chunk else 0, chunk[1:]
    disk, middle = SimulatedDisk(), len(raw) // 2 if how & 2 else len(raw)
    for base, part in ((0, raw[:middle]), *([(middle, raw[middle:])] if how & 2 else [])):
        disk.put(segment_path(LOG, base), repaired_segment(part, base) if how & 1 else part)
    reader = SegmentReader(disk, LOG)
    damage: Exception | None = None
    frames = []
    try:
        for frame in reader.read():
            frames.append(frame)
            try:
                decode_record(frame.payload, offset=frame.position)
            except Corrupt as error:
                damage = error
    except Broken as error:
        damage = error
    try:
        log = SegmentLog(disk, LOG, segment_bytes=4_096)
        commit_now(log, [(1, 1, b"one more")])
        assert [frame.payload for frame in log.read()][-1] == b"one more"
        assert list(log.read())[: len(frames)] == frames
    except Broken as error:
        raise Refused(str(error)) from None
    if damage is not None:
        raise Refused(str(damage))


def repaired_segment(raw: bytes, base: int) -> bytes:
    """The bytes with a header, and with positions and checksums that are right as far as the lengths make sense."""
    whole = bytearray(encode_segment_header(base) + raw[SEGMENT_HEADER_BYTES:])
    at = SEGMENT_HEADER_BYTES
    while at + FRAME_HEADER_BYTES <= len(whole):
        length = FRAME.unpack_from(whole, at)[1] % (len(whole) - at - FRAME_HEADER_BYTES + 1)
        end = at + FRAME_HEADER_BYTES + length
        FRAME.pack_into(whole, at, 0, length, base + at)
        whole[at : at + 4] = zlib.crc32(whole[at + 4 : end]).to_bytes(4, "little")
        at = end
    return bytes(whole)


def checkpoint(chunk: bytes) -> None:
    """A checkpoint. The first byte says whether its checksums are made right."""
    how, raw = chunk[0] if chunk else 0, chunk[1:]
    disk = SimulatedDisk()
    disk.put(CHECKPOINT, repaired_checkpoint(raw) if how & 1 else raw)
    try:
        check_checkpoint(disk, CHECKPOINT)
        if next(LOADS) % COLLECT_EVERY == 0:
            gc.collect()
        load_checkpoint(disk, CHECKPOINT, State(SCHEMA))
    except Broken as error:
        raise Refused(str(error)) from None


def repaired_checkpoint(raw: bytes) -> bytes:
    """The bytes with the magic, and with checksums that are right as far as the lengths make sense."""
    whole = bytearray(MAGIC + raw[len(MAGIC) :])
    at = len(MAGIC)
    while at + SECTION.size <= len(whole):
        length, _, kind = SECTION.unpack_from(whole, at)
        length %= len(whole) - at - SECTION.size + 1
        payload = whole[at + SECTION.size : at + SECTION.size + length]
        SECTION.pack_into(whole, at, length, zlib.crc32(payload, kind), kind)
        at += SECTION.size + length
    return bytes(whole)


@cache
def scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder in memory, where there is one, that goes with the process."""
    return tempfile.TemporaryDirectory(prefix="fuzz-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)


def configuration(chunk: bytes) -> None:
    """A configuration file."""
    path = Path(scratch().name) / "instanter.toml"
    path.write_bytes(chunk)
    try:
        load(path)
    except ConfigRejected as error:
        raise Refused(error.reason) from None


TARGETS: dict[str, Target] = {
    "event": event, "batch": batch, "segment": segment, "checkpoint": checkpoint, "configuration": configuration,
}  # fmt: skip


@cache
def warm() -> None:
    """Load the kernels, so that no target is blamed for that."""
    disk = SimulatedDisk()
    path = write_checkpoint(disk, CHECKPOINT.parent, Snapshot(State(SCHEMA), position=7, at_ms=9, control={}))
    load_checkpoint(disk, path, State(SCHEMA))
    door()


def run(target: Target, chunk: bytes) -> bool:
    """Whether the target took the bytes. Raises whatever is a finding."""
    warm()
    began_ns = thread_time_ns()
    try:
        target(chunk)
        taken = True
    except Refused:
        taken = False
    took_s = (thread_time_ns() - began_ns) / 1e9
    if took_s > RUN_S_MAX:
        raise TooSlow(f"{took_s:.1f} s of CPU")
    return taken
