"""What is fuzzed (row R13): each target takes any bytes, and lets nothing out but what it says it refuses with.

A target that returns took the bytes; `Refused` tells that they were refused in the way that is drawn in the tree of
errors. Anything else that comes out of `run` is a finding, and so is taking longer than a second of CPU.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import importlib.util
import io
import os
import struct
import sys
import tempfile
import zlib
from collections.abc import Callable
from functools import cache
from itertools import count, islice
from pathlib import Path
from time import thread_time_ns
from typing import Any

import msgspec
import numpy as np
from starlette.requests import Request

from instanter.api.bodies import read_body
from instanter.api.imports import _lines_of
from instanter.api.items import _items_in, _Reading
from instanter.decisions.request import decode_decide, decode_rank
from instanter.engine.holdings import Holdings, read_holdings, write_holdings
from instanter.events.admitted import Admitted
from instanter.events.batch import decode_batch
from instanter.events.decode import Door
from instanter.events.enrich import Enricher
from instanter.events.envelope import decode_record, encode_record
from instanter.events.items import FieldReader, FieldTypes
from instanter.events.reject import decode_quarantined, encode_quarantined, message_id_of, quarantined
from instanter.events.rewrite import Rewrite, decode_steps
from instanter.events.statements import Statements
from instanter.events.subjects import HashedSubjects
from instanter.features.compile import compile_features
from instanter.features.declaration import DEFAULT_FEATURES
from instanter.foundation.errors import Broken, ConfigRejected, Corrupt, EventRejected, RequestRejected
from instanter.foundation.ids import Ids
from instanter.foundation.limits import BATCH_BYTES_MAX, EVENT_BYTES_MAX
from instanter.log.commit import commit_now
from instanter.log.frames import FRAME_HEADER_BYTES
from instanter.log.segment_log import SegmentLog
from instanter.log.segments import SEGMENT_HEADER_BYTES, SegmentReader, encode_segment_header, segment_path
from instanter.models import artefact
from instanter.ops.archives import opened_archive
from instanter.ops.backup.manifest import MANIFEST, read_manifest
from instanter.ops.config import load
from instanter.ops.feeds.reading import read_items
from instanter.ops.master import master_key
from instanter.privacy.audit import decode_entry
from instanter.privacy.erasures import read_erasures, read_headstones
from instanter.privacy.roll import Roll, number_of
from instanter.privacy.user_tokens import FILE as SECRETS_FILE
from instanter.privacy.user_tokens import SigningSecrets, read_signing_secrets
from instanter.privacy.vault import KEY_BYTES, NAME_BYTES, SLOT_BYTES, MasterKey, Vault
from instanter.sim.disk import SimulatedDisk
from instanter.state.checkpoint import (
    MAGIC,
    Snapshot,
    check_checkpoint,
    checkpoint_path,
    load_checkpoint,
    people_on_disk,
    write_checkpoint,
)
from instanter.state.cold_files import (
    ALIGNED_BYTES,
    ColdFiles,
    ColdPlace,
    cold_path,
    list_cold_files,
    parts_of,
    place_of,
)
from instanter.state.cold_files import MAGIC as COLD_MAGIC
from instanter.state.memory import State

Target = Callable[[bytes], None]

ROOT = Path(__file__).resolve().parents[2]
RUN_S_MAX = 1.0
KINDS = (None, "track", "identify", "page", "screen", "group", "alias", None)
RECEIVED_MS = 1_750_000_000_000
BATCH_EVENTS = 40
FOUND_READ = 400
"""Events or items that are read of a file."""
LOG = Path("/log")
CHECKPOINT = checkpoint_path(Path("/checkpoints"), 7)
KEYS = Path("/keys/subjects.keys")
COLD = Path("/cold")
HOLDINGS = Path("/data/holdings.json")
BACKUP = Path("/backup")
COLD_PLACES_MAX = 64
COLD_START = struct.Struct("<8sII")
COLD_RECORD = struct.Struct("<IIIIqq")
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
    refused = said(error.code, error.message)
    assert len(quarantined(raw, error, at_ms=RECEIVED_MS, tenant="default").raw) <= EVENT_BYTES_MAX
    assert isinstance(message_id_of(raw), str)
    return refused


def said(code: str, message: str) -> Refused:
    """A refusal has a code and a sentence."""
    assert code
    assert message
    return Refused(f"{code}: {message}")


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
        people_on_disk(disk, CHECKPOINT)
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


def ticking() -> Callable[[int], bytes]:
    """Bytes for nonces, the same in every run."""
    numbers = count(1)
    return lambda size: next(numbers).to_bytes(size, "little")


def vault(chunk: bytes) -> None:
    """A file of keys, and the roll made of it. The first byte says whether its checksums and its head are made right,
    and whether it is only read."""
    how, raw = chunk[0] if chunk else 0, chunk[1:]
    disk, master = SimulatedDisk(), MasterKey(bytes(KEY_BYTES), ticking())
    disk.put(KEYS, repaired_vault(raw) if how & 1 else raw)
    try:
        opened = Vault(disk, KEYS, master, read_only=how & 2 > 0)
        check_roll(opened, Roll(opened.entries))
        if how & 2:
            return
        there = sum(len(some.slots) for some in opened.entries)
        slot = opened.add(b"somebody".ljust(NAME_BYTES), 1, bytes(KEY_BYTES))
        opened.flush()
        opened.close()
        again = Vault(disk, KEYS, master)
        assert sum(len(some.slots) for some in again.entries) == there + 1
        again.destroy(range(1, slot + 1))
        assert all(again.key(one) is None for one in range(1, slot + 1))
    except (Broken, ConfigRejected) as error:
        raise Refused(str(error)) from None


def check_roll(opened: Vault, roll: Roll) -> None:
    """Who is in the file is found, by the newest slot of the name and of the pseudonym."""
    newest: dict[int, int] = {}
    cells: dict[int, int] = {}
    damage: Broken | None = None
    for some in opened.entries:
        for slot, cell in zip(some.slots.tolist(), some.numbers.tolist(), strict=True):
            newest[number_of(opened.name(slot))] = slot
            cells[cell] = slot
            try:
                assert opened.key(slot) is not None
            except Broken as error:
                damage = error
    for some in opened.entries:
        for slot in some.slots.tolist():
            name = opened.name(slot)
            assert roll.of_name(name)[0] == newest[number_of(name)]
    assert all(roll.slot_of_cell(cell) >= 0 for cell in cells if cell), "0 is nobody"
    if damage is not None:
        raise damage


@cache
def vault_head() -> bytes:
    """The head of a file of keys that the fuzzer's master key opens."""
    disk = SimulatedDisk()
    Vault(disk, KEYS, MasterKey(bytes(KEY_BYTES), ticking())).close()
    return disk.read(KEYS, 0, SLOT_BYTES)


def repaired_vault(raw: bytes) -> bytes:
    """The bytes with a right head, and each slot that is not of zeros with a right checksum."""
    whole = bytearray(vault_head() + raw[SLOT_BYTES:])
    for at in range(SLOT_BYTES, len(whole) - SLOT_BYTES + 1, SLOT_BYTES):
        content = bytes(whole[at : at + SLOT_BYTES - 8])
        if any(content):
            whole[at + SLOT_BYTES - 8 : at + SLOT_BYTES] = zlib.crc32(content).to_bytes(8, "little")
    return bytes(whole)


def cold(chunk: bytes) -> None:
    """A file of idle people: read at every place, then everybody in it erased. The first byte says whether its
    checksums are made right, and whether its preamble is ours."""
    how, raw = chunk[0] if chunk else 0, chunk[1:]
    disk = SimulatedDisk()
    place, path = ColdPlace(disk, COLD), cold_path(COLD, 1)
    if how & 2:
        raw = cold_start() + raw
    disk.put(path, repaired_cold(raw) if how & 1 else raw)
    files = ColdFiles(place, SCHEMA.layout)
    offsets = list(range(0, len(raw), ALIGNED_BYTES))[:COLD_PLACES_MAX]
    people = {place_of(1, at): COLD_RECORD.unpack_from(raw, at)[4]
              for at in offsets if at + COLD_RECORD.size <= len(raw)}  # fmt: skip
    damage = read_people(files, people)
    try:
        files.adopt({1: len(people)}, np.array(sorted(people) or [place_of(1, 0)], np.int64))
    except Broken as error:
        damage = damage or error
    erase_people(files, people)
    assert list_cold_files(disk, COLD) == [1]
    assert disk.size(path) - len(raw) < ALIGNED_BYTES, "a record that was cut off is not made whole"
    if damage is not None:
        raise Refused(str(damage))


def read_people(files: ColdFiles, people: dict[int, int]) -> Broken | None:
    """Read everybody; what was wrong with somebody, if with all."""
    damage: Broken | None = None
    found = 0
    for place, key in people.items():
        try:
            stored = files.read(place, key)
            found += 1
            if stored is not None:
                parts = parts_of(stored.words, SCHEMA.layout)
                assert parts.cell.shape == (SCHEMA.layout.cell_words,)
        except Broken as error:
            damage = error
    return None if found else damage


def erase_people(files: ColdFiles, people: dict[int, int]) -> None:
    """Overwrite everybody; whoever the steps come by is not there any more."""
    condemned = dict.fromkeys(people.values(), files.end())
    step, steps = 0, 0
    while step >= 0:
        step = files.scrub(1, step, condemned, files.end())
        steps += 1
        assert steps <= len(people) + 2, "a step goes on"


@cache
def cold_start() -> bytes:
    """How a file of people begins under our layout."""
    disk = SimulatedDisk()
    files = ColdFiles(ColdPlace(disk, COLD), SCHEMA.layout)
    files.write(files.append([], era=1))
    return disk.read(cold_path(COLD, 1), 0, disk.size(cold_path(COLD, 1)))


def repaired_cold(raw: bytes) -> bytes:
    """The bytes with the magic, and with checksums that are right as far as the lengths make sense."""
    whole = bytearray(raw)
    if len(whole) < COLD_START.size:
        return raw
    length = COLD_START.unpack_from(whole)[1] % (len(whole) - COLD_START.size + 1)
    COLD_START.pack_into(whole, 0, COLD_MAGIC, length, zlib.crc32(whole[COLD_START.size : COLD_START.size + length]))
    at = -(-(COLD_START.size + length) // ALIGNED_BYTES) * ALIGNED_BYTES
    while at + COLD_RECORD.size <= len(whole):
        words = min(COLD_RECORD.unpack_from(whole, at)[2], (len(whole) - at - COLD_RECORD.size) // 8)
        end = at + COLD_RECORD.size + 8 * words
        whole[at + 8 : at + 12] = words.to_bytes(4, "little")
        whole[at : at + 4] = zlib.crc32(whole[at + 4 : end]).to_bytes(4, "little")
        at += -(-(end - at) // ALIGNED_BYTES) * ALIGNED_BYTES
    return bytes(whole)


def feed(chunk: bytes) -> None:
    """A file of items of any format. Each item that it yields can be written as JSON, and stands somewhere."""
    try:
        with read_items(io.BytesIO(chunk)) as found:
            for place, one in islice(found, FOUND_READ):
                assert place
                msgspec.json.encode(one)
    except RequestRejected as error:
        raise said(error.code, error.message) from None


def archive(chunk: bytes) -> None:
    """A file of events of any shape, plain or packed. Each event goes through the door, as an import's does."""
    path, told = Path(scratch().name) / "archive", list[str]()
    path.write_bytes(chunk)
    last = -1
    try:
        with opened_archive(str(path), told.append) as lines:
            for line in islice(lines, FOUND_READ):
                assert line.number > last
                last = line.number
                try:
                    check_admitted(door().admit(line.text, kind=None, received_ms=RECEIVED_MS, tenant="default"))
                except EventRejected as error:
                    check_refusal(line.text, error)
    except (RequestRejected, Broken) as error:
        raise Refused(str(error)) from None
    assert all(told)
    if last < 0:
        raise Refused("; ".join(told[:1]))


def statement(chunk: bytes) -> None:
    """What a person agrees to, in the context of an event: a map, lists of ids, or a string of IAB's framework."""
    how, raw = chunk[0] if chunk else 0, chunk[1:]
    try:
        sent: Any = raw.decode("utf-8", "surrogateescape") if how & 1 else msgspec.json.decode(raw)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        raise Refused("no JSON") from None
    try:
        stated = Statements().stated(*(None, None, sent) if how & 1 else (None, sent) if how & 2 else (sent,))
    except EventRejected as error:
        raise said(error.code, error.message) from None
    assert stated is None or all(isinstance(agreed, bool) for agreed in stated.values())


@cache
def signing_secrets() -> SigningSecrets:
    """One secret, made by its file's own code."""
    secrets = SigningSecrets(SimulatedDisk(), KEYS.parent, master=bytes(KEY_BYTES), source=ticking())
    secrets.make("default", RECEIVED_MS)
    return secrets


def token(chunk: bytes) -> None:
    """A user token. Nobody can sign one by chance."""
    text = chunk.decode("utf-8", "surrogateescape")
    assert not signing_secrets().confirm("default", text, "u", RECEIVED_MS)
    raise Refused("no good")


def holdings(chunk: bytes) -> None:
    """What a data directory held, as it is written down; the same again once it was read."""
    disk = SimulatedDisk()
    disk.put(HOLDINGS, chunk)
    try:
        held = read_holdings(disk, HOLDINGS)
    except Broken as error:
        raise Refused(str(error)) from None
    assert isinstance(held, Holdings)
    write_holdings(disk, HOLDINGS, held)
    assert read_holdings(disk, HOLDINGS) == held


CODINGS = ("", "gzip", "deflate", "identity, gzip")
MEDIA_TYPES = ("application/json", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "")


def request_of(raw: bytes, headers: list[tuple[bytes, bytes]]) -> Request:
    """A request with this body, which comes in two pieces."""
    pieces = [(raw[: len(raw) // 2], True), (raw[len(raw) // 2 :], False)]

    async def receive() -> dict[str, Any]:
        body, more = pieces.pop(0)
        return {"type": "http.request", "body": body, "more_body": more}

    return Request({"type": "http", "method": "POST", "path": "/v1/batch", "headers": headers}, receive)


@cache
def runner() -> asyncio.Runner:
    return asyncio.Runner()


def body(chunk: bytes) -> None:
    """A body as a browser's beacon or a client's library sends it: packed or not, under any media type; then the batch
    that it is, or one event. The first byte says how it comes."""
    how, raw = chunk[0] if chunk else 0, chunk[1:]
    headers = [(b"content-type", MEDIA_TYPES[how % 4].encode()), (b"content-encoding", CODINGS[how // 4 % 4].encode())]
    try:
        read = runner().run(read_body(request_of(raw, headers), bytes_max=BATCH_BYTES_MAX, any_text=how & 16 > 0))
    except RequestRejected as error:
        raise said(error.code, error.message) from None
    assert len(read) <= BATCH_BYTES_MAX
    if how & 32:
        piece(read)
    else:
        batch(read)


def piece(chunk: bytes) -> None:
    """A piece of an import: what it says of its lines, and its batch."""
    try:
        told = _lines_of(chunk)
    except RequestRejected as error:
        raise said(error.code, error.message) from None
    assert all(line > 0 for line in told.lines)
    batch(chunk)


def question(chunk: bytes) -> None:
    """The body of a decision; the first byte says of which kind."""
    how, raw = chunk[0] if chunk else 0, chunk[1:]
    try:
        decode_rank(raw) if how & 1 else decode_decide(raw)
    except RequestRejected as error:
        raise said(error.code, error.message) from None


def items(chunk: bytes) -> None:
    """A body of items. What fits can be written into the log."""
    reading = _Reading(FieldReader(FieldTypes()))
    try:
        for index, sent in enumerate(_items_in(chunk, may_be_none=False)):
            reading.read(index, sent)
    except RequestRejected as error:
        raise said(error.code, error.message) from None
    for rejected in reading.rejected:
        said(rejected.code, rejected.message)
    msgspec.json.encode([reading.warnings.all(), reading.rejected])
    for fields in reading.fit.values():
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(fields)) == fields


def rewrite(chunk: bytes) -> None:
    """Steps for the quarantine and an event, with a zero byte in between. The first byte says how the steps come."""
    how, (document, _, raw) = chunk[0] if chunk else 0, chunk[1:].partition(b"\0")
    try:
        steps = Rewrite(decode_steps(document, toml=how & 1 > 0))
        steps.apply(raw)
    except RequestRejected as error:
        raise said(error.code, error.message) from None
    except EventRejected as error:
        raise said(error.code, error.message) from None


def manifest(chunk: bytes) -> None:
    """The manifest of a backup, of which the first byte says whether its checksum is made right."""
    how, raw = chunk[0] if chunk else 0, chunk[1:]
    disk = SimulatedDisk()
    disk.put(BACKUP / MANIFEST, raw + b"\n" + hashlib.sha256(raw).hexdigest().encode() + b"\n" if how & 1 else raw)
    try:
        read = read_manifest(disk, BACKUP)
    except Broken as error:
        raise Refused(str(error)) from None
    assert all(((BACKUP / file.path).resolve()).is_relative_to(BACKUP) for file in read.files)


def keyfile(chunk: bytes) -> None:
    """Small files beside the keys of people: the master key, signing secrets, who was erased, and headstones. The first
    byte says which."""
    how, raw = chunk[0] if chunk else 0, chunk[1:]
    disk = SimulatedDisk()
    try:
        if how % 4 == 0:
            disk.put(KEYS.parent / "given", raw)
            key = master_key(disk, KEYS.parent, file=str(KEYS.parent / "given"), may_make=False, environment={})
            assert len(key) == KEY_BYTES
        elif how % 4 == 1:
            disk.put(KEYS.parent / SECRETS_FILE, raw)
            read_signing_secrets(disk, KEYS.parent)
        else:
            commit_now(SegmentLog(disk, KEYS.parent, segment_bytes=1 << 20), [(0, 1, raw)])
            list((read_erasures if how % 4 == 2 else read_headstones)(disk, KEYS.parent))
    except (Broken, ConfigRejected) as error:
        raise Refused(str(error)) from None


def model(chunk: bytes) -> None:
    """A trained model. The first byte says whether its checksum is made right."""
    how, raw = chunk[0] if chunk else 0, chunk[1:]
    try:
        read = artefact.decode(repaired_model(raw) if how & 1 else raw)
    except Broken as error:
        raise Refused(str(error)) from None
    again = artefact.encode(read)
    assert artefact.encode(artefact.decode(again)) == again


def repaired_model(raw: bytes) -> bytes:
    """The bytes behind a right header."""
    return artefact._HEADER.pack(artefact.MAGIC, artefact.FORMAT, artefact._checksum(artefact.FORMAT, raw)) + raw


def entry(chunk: bytes) -> None:
    """An entry of the quarantine, or of the record of administrators' acts, as the first byte says."""
    how, raw = chunk[0] if chunk else 0, chunk[1:]
    try:
        if how & 1:
            decode_entry(raw)
        else:
            read = decode_quarantined(raw, offset=0)
            assert decode_quarantined(encode_quarantined(read), offset=0) == read
    except Broken as error:
        raise Refused(str(error)) from None


@cache
def dependencies() -> Any:
    """The tool that reads advisories."""
    spec = importlib.util.spec_from_file_location("dependencies", ROOT / "tools" / "dependencies.py")
    assert spec is not None
    assert spec.loader is not None
    tool = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


def advisories(chunk: bytes) -> None:
    """A file of advisories, and what it says of one package."""
    path, tool = Path(scratch().name) / "advisories.json", dependencies()
    path.write_bytes(chunk)
    try:
        read = tool.read_advisories(path)
    except ValueError as error:
        raise Refused(str(error)) from None
    tool.concerned([tool.Package("starlette", "1.10.0", "required", "")], read)


TARGETS: dict[str, Target] = {
    "event": event, "batch": batch, "segment": segment, "checkpoint": checkpoint, "configuration": configuration,
    "vault": vault, "cold": cold, "feed": feed, "archive": archive, "statement": statement, "token": token,
    "holdings": holdings, "body": body, "question": question, "items": items, "rewrite": rewrite,
    "manifest": manifest, "keyfile": keyfile, "model": model, "entry": entry, "advisories": advisories,
}  # fmt: skip
NEVER_TAKEN = frozenset({"token"})
"""Targets that refuse whatever comes."""


@cache
def warm() -> None:
    """Load the kernels, so that no target is blamed for that."""
    disk = SimulatedDisk()
    path = write_checkpoint(disk, CHECKPOINT.parent, Snapshot(State(SCHEMA), position=7, at_ms=9, control={}))
    load_checkpoint(disk, path, State(SCHEMA))
    door()
    vault(b"\1" + vault_head() + bytes(SLOT_BYTES - 8) + b"key")


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
