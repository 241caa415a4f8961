"""Records that were read before they are needed: as many as may be, and each only for the place it was read at."""

from __future__ import annotations

import numpy as np

from instanter.foundation.limits import FETCHED_BYTES_MAX, FETCHED_PEOPLE_MAX
from instanter.state.cold_files import Stored
from instanter.state.fetched import ColdRecord, Fetched, FetchedRecord

ERASED = FetchedRecord(128, None)


def record(place: int, size_bytes: int) -> FetchedRecord:
    return FetchedRecord(place, Stored(0, np.zeros(size_bytes // 8, np.int64)))


def test_a_record_is_found_at_its_place_alone_and_until_it_is_forgotten() -> None:
    fetched, read = Fetched(), record(128, 64)
    fetched.put(7, read)
    assert fetched.find(ColdRecord(7, 128)) is read
    assert fetched.find(ColdRecord(7, 256)) is None
    assert fetched.find(ColdRecord(8, 128)) is None
    fetched.put(7, record(256, 32))
    assert fetched.find(ColdRecord(7, 128)) is None
    assert (len(fetched), fetched.size_bytes) == (1, 32)
    fetched.forget(7)
    fetched.forget(8)
    assert (len(fetched), fetched.size_bytes) == (0, 0)


def test_who_was_erased_at_a_place_has_been_read_there() -> None:
    fetched = Fetched()
    fetched.put(7, ERASED)
    assert fetched.find(ColdRecord(7, 128)) is ERASED


def test_no_more_people_are_kept_than_may_be_and_who_was_needed_longest_ago_goes() -> None:
    fetched = Fetched()
    for key in range(FETCHED_PEOPLE_MAX):
        fetched.put(key, ERASED)
    assert fetched.find(ColdRecord(0, 128)) is not None
    fetched.put(FETCHED_PEOPLE_MAX, ERASED)
    assert len(fetched) == FETCHED_PEOPLE_MAX
    assert fetched.find(ColdRecord(0, 128)) is not None
    assert fetched.find(ColdRecord(1, 128)) is None


def test_no_more_bytes_are_kept_than_may_be() -> None:
    fetched, size_bytes = Fetched(), FETCHED_BYTES_MAX // 4
    for key in range(6):
        fetched.put(key, record(128, size_bytes))
    assert (len(fetched), fetched.size_bytes) == (4, FETCHED_BYTES_MAX)
    fetched.put(9, record(128, FETCHED_BYTES_MAX + 8))
    assert (len(fetched), fetched.size_bytes) == (0, 0)
