"""What may be folded: the bounds that each control record keeps, whoever wrote it, and the shape of a change.

Folding has two steps. The first makes everything that can fail, and changes nothing: what it raises (`UNFIT`) says
why the record is passed over. The second, a `Change`, cannot fail. So the state after a record that was passed over
is the state before it, here as in every replay.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from ..foundation.ids import REFERENCE_KEY_BYTES
from ..foundation.limits import FIELDS_NESTED_MAX, LESSON_ITEMS_MAX, NAME_CHARS_MAX
from .envelope import (
    Audited,
    Configured,
    Consented,
    Decided,
    Epoch,
    Flag,
    Imported,
    ItemPatched,
    ItemUpserted,
    Keyed,
    KeyIssued,
    LearnerDeclared,
    LearnerTurned,
    Linked,
    Record,
    Tied,
    Tracked,
)

UNFIT: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What is raised for a record that cannot be folded."""

Change = Callable[[], object]
"""The second step: it cannot fail."""
Prepare = Callable[[Any, int], Change]
"""The first step for one record; also given is the position behind it."""
Rows = Mapping[str, Sequence[Any]]
"""What a checkpoint holds of control state, by section."""

INT_MAX: Final = 2**63 - 1
TIME_MS_MAX: Final = 2**53
"""No difference of two times, nor a time with a window, comes near the end of 64 bits."""
APART_MS_MAX: Final = 86_400_000
"""No record of our own door tells of a moment that is further than this after the time of its frame."""
LEARNER_ACTS: Final = frozenset({"freeze", "thaw", "reset"})
_TIED: Final = frozenset(map(int, Tied))
_HASH_CHARS: Final = 32
_CHAIN_BYTES: Final = 32
_DIGEST_BYTES: Final = 32
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})


def always(fold: Callable[[Any], object]) -> Prepare:
    """The first step of a fold that no record within the bounds of `check_record` can make fail."""
    return lambda record, _end: partial(fold, record)


def check_record(record: Record) -> None:
    """Raise `ValueError` for a control record with a field that is out of bounds. Our own door writes none.

    What it finds does not depend on anything but the record.

    >>> check_record(Epoch(1, 2, "no hash"))
    Traceback (most recent call last):
    ValueError: Epoch: hash is not 32 hexadecimal digits
    """
    for name in record.__struct_fields__:
        value = getattr(record, name)
        kind = type(value)
        if kind is int:
            _check(-INT_MAX <= value <= INT_MAX, record, f"{name} is beyond 64 bits")
            if name.endswith("_ms"):
                _check(-TIME_MS_MAX <= value <= TIME_MS_MAX, record, f"{name} is no time")
        elif kind is float:
            _check(math.isfinite(value), record, f"{name} is no number")
        elif kind is tuple:
            fits = all(-INT_MAX <= one <= INT_MAX for one in value if type(one) is int)
            _check(fits, record, f"{name} holds a number beyond 64 bits")
    check = _CHECKS.get(type(record))
    if check is not None:
        check(record)


def is_in_time(event: Tracked, time_ms: int) -> bool:
    """Whether the times of an event are such as our own door writes into a frame of that time: it was received then,
    but where it is told again, and happened before."""
    latest_ms = time_ms + APART_MS_MAX
    if event.happened_ms > latest_ms or event.received_ms > latest_ms:
        return False
    return event.received_ms >= time_ms - APART_MS_MAX or bool(event.flags & Flag.RETOLD)


def check_time(record: Record, time_ms: int) -> None:
    """Raise `ValueError` for a record that tells of a time to come, as seen from the time of its frame: time would be
    turned by it, and people expire. One that tells of long ago turns nothing, but for the receipt of an event. What it
    finds depends on the record and its frame alone.

    >>> check_time(Keyed(9_000_000_000_000, bytes(16)), 1_700_000_000_000)
    Traceback (most recent call last):
    ValueError: Keyed: at_ms is of another time than its frame
    """
    if isinstance(record, Tracked):
        _check(is_in_time(record, time_ms), record, "its times are of another time than its frame")
    elif not isinstance(record, Decided | Epoch):  # These can be asked for at any time, see `check_record`.
        fits = 0 <= record.at_ms <= time_ms + APART_MS_MAX
        _check(fits, record, "at_ms is of another time than its frame")


def _check(holds: bool, record: Record, what: str) -> None:
    if not holds:
        raise ValueError(f"{type(record).__name__}: {what}")


def _check_fields(record: ItemUpserted | ItemPatched) -> None:
    """Only what JSON has, so that it can be shown; and not so deep that reading it depends on who reads."""
    _check(record.canonical >= 0, record, "canonical is less than 0")
    waiting: list[tuple[Any, int]] = [(record.fields, 0)]
    while waiting:
        value, depth = waiting.pop()
        _check(depth < FIELDS_NESTED_MAX, record, f"fields are nested more than {FIELDS_NESTED_MAX} deep")
        if isinstance(value, dict):
            _check(all(type(name) is str for name in value), record, "a field has a name that is no text")
        for one in value.values() if isinstance(value, dict) else value:
            if type(one) in (dict, list):
                waiting.append((one, depth + 1))
            else:
                _check(type(one) in _PLAIN, record, f"a field holds {type(one).__name__}, which JSON has not")


def _check_configured(record: Configured) -> None:
    fits = all(0 <= value <= TIME_MS_MAX for value in record.settings.values())
    _check(fits, record, "a setting is out of bounds")
    _check_purposes(record, record.purposes)


def _check_linked(record: Linked) -> None:
    _check(record.kind in _TIED, record, "kind is none that there is")


def _check_consented(record: Consented) -> None:
    _check_purposes(record, record.purposes)


def _check_purposes(record: Configured | Consented, purposes: Mapping[str, bool] | tuple[str, ...]) -> None:
    fits = all(len(purpose) <= NAME_CHARS_MAX for purpose in purposes)
    _check(fits, record, f"a purpose is longer than {NAME_CHARS_MAX} characters")


def _check_epoch(record: Epoch) -> None:
    digits = not record.hash.strip("0123456789abcdef") and len(record.hash) in (0, _HASH_CHARS)
    _check(digits, record, f"hash is not {_HASH_CHARS} hexadecimal digits")


def _check_decided(record: Decided) -> None:
    for lesson in record.lessons:
        _check(len(lesson.items) <= LESSON_ITEMS_MAX, record, f"a lesson has more than {LESSON_ITEMS_MAX} items")
        fits = all(-INT_MAX <= item <= INT_MAX for item in lesson.items)
        _check(fits, record, "a lesson names an item beyond 64 bits")
        _check(len(lesson.inputs) % 4 == 0, record, "the inputs of a lesson are cut off")
        finite = bool(np.isfinite(np.frombuffer(lesson.inputs, "<f4")).all())
        _check(finite, record, "an input of a lesson is no number")


def _check_key(record: KeyIssued) -> None:
    _check(len(record.digest) == _DIGEST_BYTES, record, f"digest has not {_DIGEST_BYTES} bytes")
    _check(record.requests_per_s >= 0, record, "requests_per_s is less than 0")


def _check_keyed(record: Keyed) -> None:
    _check(len(record.key) == REFERENCE_KEY_BYTES, record, f"key has not {REFERENCE_KEY_BYTES} bytes")


def _check_audited(record: Audited) -> None:
    _check(record.number >= 0, record, "number is less than 0")
    _check(len(record.chain) == _CHAIN_BYTES, record, f"chain has not {_CHAIN_BYTES} bytes")


def _check_learner(record: LearnerDeclared) -> None:
    _check(len(set(record.inputs)) == len(record.inputs), record, "an input is named twice")
    _check(record.step >= 0.0 and record.weight_max >= 0.0, record, "step or weight_max is less than 0")
    _check(record.window_ms >= 0, record, "window_ms is less than 0")
    _check(all(map(math.isfinite, record.worths.values())), record, "a worth is no number")


def _check_turned(record: LearnerTurned) -> None:
    _check(record.act in LEARNER_ACTS, record, "act is none that there is")


def _check_imported(record: Imported) -> None:
    _check(record.taken >= 0 and record.of >= 0 and record.size_bytes >= 0, record, "a count is less than 0")
    _check(len(record.lines) == len(record.messages), record, "there are not as many lines as messages")
    _check(list(record.lines) == sorted(set(record.lines)), record, "lines do not ascend")


_CHECKS: Final[Mapping[type[Record], Callable[[Any], None]]] = {
    ItemUpserted: _check_fields,
    ItemPatched: _check_fields,
    Configured: _check_configured,
    Consented: _check_consented,
    Linked: _check_linked,
    Epoch: _check_epoch,
    Decided: _check_decided,
    KeyIssued: _check_key,
    Keyed: _check_keyed,
    Audited: _check_audited,
    LearnerDeclared: _check_learner,
    LearnerTurned: _check_turned,
    Imported: _check_imported,
}
