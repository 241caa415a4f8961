"""Ids of decisions, and finding a decision by its id.

    d_0 018bcfe56800 00112233445566778899     made by the process that writes the log
    d_1 018bcfe56800 00112233445566778899     made by one that follows it, whose record is appended a moment later

(without the blanks): a time in ms, 12 hexadecimal digits, and 10 bytes by chance. The decision's record was not
received before that time, and the times of a log never go back, so it is found by a search. Ids of an earlier version
stay good; they are shorter, and end with a position:

    d_ 0011223344556677 1000                  the record lies at that position, or was moved from there
    d_ 0011223344556677 0 1000                the record lies somewhere behind it
"""

from __future__ import annotations

import re
from typing import Final

from ..events.envelope import Decided, read_record
from ..foundation.errors import RequestRejected
from ..foundation.limits import DECISION_SEARCH_BYTES_MAX
from ..log.base import Readable, ReadableByTime, frame_at
from ..log.moved import MovedPositions, NothingMoved
from .replay import decided_in

TOKEN_BYTES: Final = 10
"""Of chance in an id: two decisions of one millisecond have different ones, and nobody guesses the next."""
WRITER: Final = "0"
ELSEWHERE: Final = "1"
_NEW: Final = re.compile("d_([01])([0-9a-f]{12})[0-9a-f]{20}")
_OLD: Final = re.compile("d_[0-9a-f]{16}(0?)([1-9a-f][0-9a-f]{0,14}|0)")


def new_decision_id(token: str, at_ms: int, *, made_by: str) -> str:
    """The id of a decision: `token` is `TOKEN_BYTES` of chance in hexadecimal, `at_ms` not after the time at which its
    record will be received.

    >>> new_decision_id("00112233445566778899", 1_700_000_000_000, made_by=WRITER)
    'd_0018bcfe5680000112233445566778899'
    """
    return f"d_{made_by}{at_ms:012x}{token}"


def is_decision_id(text: str) -> bool:
    """Whether a text can be the id of a decision.

    >>> [is_decision_id(f"d_{rest}") for rest in ("0018bcfe5680000112233445566778899", "00112233445566771000", "1")]
    [True, True, False]
    """
    return _NEW.fullmatch(text) is not None or _OLD.fullmatch(text) is not None


def is_from_elsewhere(decision_id: str) -> bool:
    """Whether another process than the writer made the decision: its record comes a moment after the answer.

    >>> [is_from_elsewhere(f"d_{mark}018bcfe5680000112233445566778899") for mark in (ELSEWHERE, WRITER)]
    [True, False]
    >>> [is_from_elsewhere(f"d_0011223344556677{rest}") for rest in ("01000", "1000")]
    [True, False]
    """
    new, old = _NEW.fullmatch(decision_id), _OLD.fullmatch(decision_id)
    return (new is not None and new[1] == ELSEWHERE) or (old is not None and old[1] != "")


def find_decision(
    decision_id: str, log: ReadableByTime, moved: MovedPositions | NothingMoved
) -> tuple[int, Decided] | None:
    """The position of the record of the decision of that id, and the record; None if there is none.

    A search reads some pieces of 32 KiB, then on from there, at most `DECISION_SEARCH_BYTES_MAX`. Raises
    `RequestRejected` (expired) where the log does not reach back so far any more.
    """
    new, old = _NEW.fullmatch(decision_id), _OLD.fullmatch(decision_id)
    try:
        if new is not None:
            return _found_since(decision_id, log, int(new[2], 16))
        if old is None:
            return None
        position = int(old[2], 16)
        if old[1]:
            return _found_behind(decision_id, log, position)
        return _found_at(decision_id, log, moved.find(position)) or _found_at(decision_id, log, position)
    except RequestRejected as error:
        if error.code == "expired":
            raise RequestRejected("expired", "the log no longer holds this decision", status=410) from None
        return None  # No record starts where one would.


def _found_since(decision_id: str, log: ReadableByTime, at_ms: int) -> tuple[int, Decided] | None:
    found = _found_behind(decision_id, log, log.find_time(at_ms))
    if found is None and log.start > 0:
        first = next(log.read(), None)
        if first is None or first.time_ms > at_ms:
            raise RequestRejected("expired", "the log begins later", status=410)
    return found


def _found_behind(decision_id: str, log: Readable, position: int) -> tuple[int, Decided] | None:
    for place, record in decided_in(log, start=position, until=position + DECISION_SEARCH_BYTES_MAX):
        if record.decision_id == decision_id:
            return place, record
    return None


def _found_at(decision_id: str, log: Readable, place: int | None) -> tuple[int, Decided] | None:
    if place is None:
        return None
    try:
        record = read_record(frame_at(log, place).payload)
    except RequestRejected as error:
        if error.code == "expired":
            raise
        return None
    return (place, record) if isinstance(record, Decided) and record.decision_id == decision_id else None
