"""What is unpacked from bytes is what the plain way makes of them, or is left to it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numba
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.events.envelope import Context, Tracked, encode_record, read_record
from instanter.events.folding import APART_MS_MAX, is_in_time
from instanter.foundation.ids import References
from instanter.foundation.limits import FOLD_BATCH_EVENTS_MAX, FOLD_BATCH_ITEMS_MAX, WORDS_UNPACKED_MAX
from instanter.state.program import Columns
from instanter.state.schema import columns_of
from instanter.state.unpacking import EncodedRecords, Unpacking

from ..engine.nonsense import AT_MS, nonsense, payloads
from .shop import MINUTE_MS, NAMES, SCHEMA, START_MS, random_event, tracked, unpacked

REFERENCES = References()
PURPOSES = msgspec.structs.replace(SCHEMA, purposes=("email", "personalization"))


def story(seed: int, count: int) -> list[Tracked]:
    rng = random.Random(seed)
    events = [random_event(rng, rng.randrange(9), START_MS + n * MINUTE_MS, n) for n in range(count)]
    return [
        msgspec.structs.replace(
            event, list_id=rng.choice(("", "home")), body=bytes(rng.choice((0, 200, 300, 70_000))), subject=event.key,
            denied=rng.choice(((), (), ("email",), ("email", "ads", "email"))), device=rng.choice((0, -5)),
            received_ms=event.happened_ms + rng.randrange(MINUTE_MS), positions=tuple(range(1, len(event.items) + 1)),
        )
        for event in events
    ]  # fmt: skip


def times_of(events: Sequence[Tracked]) -> list[int]:
    return [event.received_ms for event in events]


def assert_same(columns: Columns, events: Sequence[Tracked], references: References = REFERENCES) -> None:
    plain = columns_of(PURPOSES, events, references)
    for name in Columns._fields[:-1]:
        one, other = getattr(columns, name), getattr(plain, name)
        assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes()), name
    assert len(columns.item_rows) == len(plain.item_rows)


@pytest.mark.parametrize("seed", [1, 2])
def test_all_that_our_door_writes_is_unpacked(seed: int) -> None:
    events = story(seed, 700)
    records = EncodedRecords.joined(list(map(encode_record, events)), times_of(events))
    unpacking, place = Unpacking(PURPOSES, REFERENCES), 0
    while place < len(events):
        columns = unpacking.columns(records, place)
        assert len(columns.keys) > 0
        assert_same(columns, events[place : place + len(columns.keys)])
        place += len(columns.keys)


def test_a_batch_is_full_with_its_events_or_its_items() -> None:
    unpacking = Unpacking(PURPOSES, REFERENCES)
    few = [tracked(1, START_MS, number=n) for n in range(FOLD_BATCH_EVENTS_MAX + 1)]
    many = [tracked(1, START_MS, number=n, items=["sofa"] * (FOLD_BATCH_ITEMS_MAX // 3)) for n in range(4)]
    most = [tracked(1, START_MS, number=1, items=["sofa"] * FOLD_BATCH_ITEMS_MAX)]
    over = [tracked(1, START_MS, number=1), tracked(1, START_MS, number=1, items=["sofa"] * (FOLD_BATCH_ITEMS_MAX + 1))]
    for events, found in ((few, FOLD_BATCH_EVENTS_MAX), (many, 3), (most, 1), (over, 1), (over[1:], 0)):
        records = EncodedRecords.joined(list(map(encode_record, events)), times_of(events))
        assert len(unpacking.columns(records, 0).keys) == found


@given(st.lists(st.sampled_from([payloads, nonsense(Tracked).map(encode_record)]).flatmap(lambda one: one), max_size=6))
@settings(deadline=None, max_examples=300)
def test_whatever_stands_there_is_unpacked_as_it_is_meant_or_left(found: list[bytes]) -> None:
    check(found)


@given(st.integers(0, 10_000), st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=3))
@settings(deadline=None, max_examples=300)
def test_bytes_that_were_changed_are_unpacked_as_they_are_read_now_or_left(
    seed: int, changes: list[tuple[int, int]]
) -> None:
    event = msgspec.structs.replace(story(seed, 1)[0], body=b"sealed", received_ms=AT_MS, happened_ms=AT_MS)
    raw = bytearray(encode_record(event))
    for place, byte in changes:
        raw[place % len(raw)] = byte
    check([bytes(raw), encode_record(event)])


def check(found: list[bytes]) -> None:
    records, unpacking, place = EncodedRecords.joined(found, [AT_MS] * len(found)), Unpacking(PURPOSES, REFERENCES), 0
    while place < len(found):
        columns = unpacking.columns(records, place)
        read = [read_record(payload) for payload in found[place : place + len(columns.keys)]]
        events = [one for one in read if isinstance(one, Tracked) and is_in_time(one, AT_MS)]
        assert len(events) == len(read)
        assert_same(columns, events)
        place += len(columns.keys) or 1


@pytest.mark.parametrize("change", [
    {"key": 0}, {"items": (5, 0)}, {"name": "Gesehen: Stühle"}, {"prices": (1.0, 2.0)}, {"message": 2**63},
    {"received_ms": START_MS + APART_MS_MAX + 1}, {"received_ms": START_MS - APART_MS_MAX - 1},
    {"happened_ms": START_MS + APART_MS_MAX + 1}, {"happened_ms": -(2**54)}, {"happened_ms": -(2**63)},
    {"context": Context(device="x" * 300)},
])  # fmt: skip
def test_what_is_out_of_the_ordinary_is_left(change: dict[str, object]) -> None:
    event = msgspec.structs.replace(tracked(1, START_MS, number=1, items=["sofa"]), **change)
    for events, found in (([event], 0), ([tracked(1, START_MS, number=2), event], 1)):
        records = EncodedRecords.joined(list(map(encode_record, events)), [START_MS] * len(events))
        assert len(Unpacking(PURPOSES, REFERENCES).columns(records, 0).keys) == found


def test_contexts_beyond_the_bound_begin_anew_and_a_new_key_is_heeded() -> None:
    references = References()
    unpacking = Unpacking(PURPOSES, references)
    for first in range(0, WORDS_UNPACKED_MAX + 200, 100):
        events = [
            tracked(1, START_MS, number=n, context=Context(device=f"device {n}")) for n in range(first, first + 100)
        ]
        records = EncodedRecords.joined(list(map(encode_record, events)), times_of(events))
        assert_same(unpacking.columns(records, 0), events, references)
    references.use(bytes(range(16)))
    assert_same(unpacking.columns(records, 0), events, references)


def test_compiled_and_plain_unpack_alike() -> None:
    script = Path(__file__).with_name("plain_unpacking.py")
    run = subprocess.run(
        [sys.executable, "-W", "error", str(script)], env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == unpacked(1, 60)


def test_the_story_has_what_the_schema_looks_for() -> None:
    assert (SCHEMA.contexts, SCHEMA.properties) == (("device",), ("dwell_ms",))
    assert len(NAMES) > len(SCHEMA.codes) > 3


def test_columns_are_of_the_types_that_the_fold_was_resolved_for_whoever_makes_them() -> None:
    """`State.fold_columns` calls the compiled form for these without looking at types again."""
    events = story(3, 40)
    payloads_of = EncodedRecords.joined([encode_record(event) for event in events], times_of(events))
    unpacked_ones = Unpacking(PURPOSES, REFERENCES).columns(payloads_of, 0)
    assert len(unpacked_ones.keys)
    plain = columns_of(PURPOSES, events, REFERENCES)
    forms = [plain, plain.part(0, 7), plain.part(7, 9), unpacked_ones, columns_of(PURPOSES, [], REFERENCES),
             columns_of(PURPOSES, events[:1], REFERENCES)]  # fmt: skip
    assert len({numba.typeof(form) for form in forms}) == 1
    for form in forms:
        assert all(column.flags.c_contiguous and column.flags.aligned for column in form)
