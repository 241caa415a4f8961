"""Event time: what the sender's clock said, put right by what ours said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ..foundation.errors import EventRejected

AHEAD_MS_MAX = 5 * 60 * 1000
"""An event is at most this far after its receipt; beyond it the sender's clock is wrong."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS_MIN = int((datetime(1, 1, 2, tzinfo=UTC) - _EPOCH).total_seconds()) * 1000
_MS_MAX = int((datetime(9999, 12, 30, tzinfo=UTC) - _EPOCH).total_seconds()) * 1000
_TEXT_CHARS_MAX = 64
_LEAP_SECOND = ":60"


def parse_time_ms(sent: str | int | float, field: str) -> int:
    """Milliseconds since 1970 from ISO 8601 text (no zone = UTC) or from a number of them; else `EventRejected`.

    >>> parse_time_ms("1970-01-01T01:00:01.5+01:00", "timestamp")
    1500
    >>> parse_time_ms("1970-01-02", "timestamp") == parse_time_ms(86_400_000, "timestamp")
    True
    """
    if isinstance(sent, str):
        try:
            moment = datetime.fromisoformat(sent)
        except ValueError:
            moment = _leap_second(sent, field)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        since = moment - _EPOCH
        return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000
    if not _MS_MIN <= sent <= _MS_MAX:
        raise EventRejected("schema", f"{field} is not a time between the years 1 and 9999")
    return int(sent)


def _leap_second(sent: str, field: str) -> datetime:
    """23:59:60 is the second after 23:59:59. Anything else that was refused is no time."""
    if len(sent) <= _TEXT_CHARS_MAX and sent.count(_LEAP_SECOND) == 1:
        try:
            return datetime.fromisoformat(sent.replace(_LEAP_SECOND, ":59")) + timedelta(seconds=1)
        except (ValueError, OverflowError):
            pass
    raise EventRejected("schema", f"{field} is not an ISO 8601 time or milliseconds since 1970")


def event_time_ms(*, received_ms: int, timestamp_ms: int | None, sent_at_ms: int | None) -> int:
    """When it happened: timestamp + (received - sentAt), at most `AHEAD_MS_MAX` after the receipt.

    The difference of the two clocks is taken out however large it is, so a device ten years off counts. Without
    `sentAt` the timestamp stands, without a timestamp the receipt. A time before 1970 is `EventRejected`.

    >>> event_time_ms(received_ms=10_000_000, timestamp_ms=500, sent_at_ms=900)
    9999600
    """
    if timestamp_ms is None:
        return received_ms
    happened_ms = timestamp_ms if sent_at_ms is None else timestamp_ms + received_ms - sent_at_ms
    if happened_ms < 0:
        raise EventRejected("schema", "the event time is before 1970")
    latest_ms = received_ms + AHEAD_MS_MAX
    return happened_ms if happened_ms < latest_ms else latest_ms


def time_text(at_ms: int) -> str:
    """A time as replies have it.

    >>> time_text(1_700_000_000_123)
    '2023-11-14T22:13:20.123+00:00'
    """
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="milliseconds")
