"""When an event happened, told from all the times that clients and pipelines put into one."""

from __future__ import annotations

from typing import Final

import msgspec

from .notes import FIELD_DROPPED, TIME_CLAMPED, TIME_FAR, Note, add_note
from .schema import TrackingEvent
from .times import AHEAD_MS_MAX, FAR_MS, event_time_ms, read_time_ms

_PIPELINES_FROM_MS: Final = 946_684_800_000
"""The year 2000: nobody received an event before."""
_TIMES: Final = {
    "timestamp": "timestamp", "sent_at": "sentAt", "original_timestamp": "originalTimestamp",
    "received_at": "receivedAt",
}  # fmt: skip


def happened_ms_of(
    event: TrackingEvent, received_ms: int, sent_at_ms: int | None, *, events_set_time: bool, history: bool,
    notes: list[Note],
) -> int:  # fmt: skip
    """Event time, ms since 1970; `EventRejected` for what is no time.

    `originalTimestamp` is what the device said, `timestamp` too, unless a pipeline has put it right already, which
    shows by another `originalTimestamp` beside it. `sent_at_ms` is the batch's; what the event says itself stands. With
    `events_set_time` its time stands as sent, and with `history` too, but for the device's own clock.
    """
    told = event.timestamp
    told_ms: int | None
    if told and event.sent_at is None and event.original_timestamp is None and event.received_at is None:
        told_ms = read_time_ms(told, "timestamp")
        if sent_at_ms is not None and not history and not events_set_time:
            told_ms += received_ms - sent_at_ms
    elif events_set_time:
        told_ms = _said_ms(_without_empty_times(event, notes))
    else:
        told_ms = _of_several_ms(_without_empty_times(event, notes), received_ms, sent_at_ms, history=history)
    if told_ms is None:
        return received_ms
    if events_set_time or (0 <= received_ms - told_ms <= FAR_MS and told_ms >= 0):
        return told_ms
    clamped_ms = event_time_ms(received_ms=received_ms, timestamp_ms=told_ms, sent_at_ms=None)
    if clamped_ms != told_ms:
        add_note(notes, TIME_CLAMPED, "timestamp", "lies in the future")
    elif received_ms - clamped_ms > FAR_MS and not history:
        add_note(notes, TIME_FAR, "timestamp", "lies more than ten years back")
    return clamped_ms


def _said_ms(event: TrackingEvent) -> int | None:
    """What the event says of its own time, by the clock that it was told by."""
    if event.timestamp is not None:
        return read_time_ms(event.timestamp, "timestamp")
    if event.original_timestamp is not None:
        return read_time_ms(event.original_timestamp, "originalTimestamp")
    return None


def _of_several_ms(
    event: TrackingEvent, received_ms: int, sent_at_ms: int | None, *, history: bool
) -> int | None:
    """The time of an event that has others beside its timestamp, or none; None where it has no time at all."""
    if event.sent_at is not None:
        sent_at_ms = read_time_ms(event.sent_at, "sentAt")
    said_ms = _said_ms(event)
    if said_ms is None:
        if event.received_at is None:
            return None
        said_ms = read_time_ms(event.received_at, "receivedAt")
    if event.received_at is not None or event.original_timestamp is not None:
        return said_ms + _skew_ms(event, said_ms, received_ms, sent_at_ms, history=history)
    return said_ms + (received_ms - sent_at_ms if sent_at_ms is not None and not history else 0)


def _without_empty_times(event: TrackingEvent, notes: list[Note]) -> TrackingEvent:
    """Empty text says nothing of when it was."""
    empty = [name for name in _TIMES if getattr(event, name) == ""]
    for name in empty:
        add_note(notes, FIELD_DROPPED, _TIMES[name], "is empty text where a time is wanted")
    return msgspec.structs.replace(event, **dict.fromkeys(empty)) if empty else event


def _skew_ms(
    event: TrackingEvent, told_ms: int, received_ms: int, sent_at_ms: int | None, *, history: bool
) -> int:
    """How far the device's clock was behind, of an event that a pipeline has received before us, or may have.

    Where it says when that was, that is the clock it is judged by, unless it cannot be so.
    """
    if event.timestamp is not None:
        original = event.original_timestamp
        if history or (original is not None and (
            event.received_at is not None or read_time_ms(original, "originalTimestamp") != told_ms
        )):  # fmt: skip
            return 0
    if event.received_at is not None:
        first_ms = read_time_ms(event.received_at, "receivedAt")
        if _PIPELINES_FROM_MS <= first_ms <= received_ms + AHEAD_MS_MAX:
            return first_ms - sent_at_ms if event.sent_at is not None and sent_at_ms is not None else 0
    return received_ms - sent_at_ms if sent_at_ms is not None and not history else 0
