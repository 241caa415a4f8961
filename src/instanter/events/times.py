"""Event time: what the sender's clock said, put right by what ours said."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from ..foundation.errors import EventRejected

AHEAD_MS_MAX = 5 * 60 * 1000
"""An event is at most this far after its receipt; beyond it the sender's clock is wrong."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS_MIN = int((datetime(1, 1, 2, tzinfo=UTC) - _EPOCH).total_seconds()) * 1000
_MS_MAX = int((datetime(9999, 12, 30, tzinfo=UTC) - _EPOCH).total_seconds()) * 1000
_TEXT_CHARS_MAX = 64
_LEAP_SECOND = ":60"
_WANTED = "send ISO 8601 with zone, such as 2026-03-01T10:00:00Z, or seconds or milliseconds since 1970"

FAR_MS = 3_653 * 86_400_000
"""Ten years: an event that says it is older than that is taken, and its sender told."""
_SECOND = 1e-3
_SECONDS_FROM = 1e8
_UNITS = ((1e11, _SECOND), (1e14, 1.0), (1e17, 1e3), (1e20, 1e6))
"""Numbers below the first are the second for each millisecond: seconds, milliseconds, micro- and nanoseconds."""
_NUMBER = re.compile(r"[+-]?(?:[0-9]{9,20}|[0-9]{1,15}\.[0-9]{1,9})", re.ASCII)
_MAIL = re.compile(
    r"(?:[A-Za-z]{3}, )?[0-9]{1,2} [A-Za-z]{3} [0-9]{4} [0-9:]{5,8} (?:[+-][0-9]{4}|[A-Z]{1,3})", re.ASCII
)
_NUMBERED = re.compile(
    r"(?:([0-9]{4})/([0-9]{1,2})/([0-9]{1,2})|([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4}))(?=[ T]|$)", re.ASCII
)
_ZONE_BESIDE = re.compile(r"(Z|[+-][0-9]{2}:[0-9]{2})\[[A-Za-z0-9_+/-]{1,40}\]$", re.ASCII)
"""The name of a zone behind its offset, as Java writes it (RFC 9557): the offset says it all."""
_BROWSER = re.compile(
    r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) ([0-9]{2}) ([0-9]{4}) ([0-9]{2}:[0-9]{2}:[0-9]{2})"
    r"(?: (?:GMT|UTC)([+-][0-9]{4})?.*)?",
    re.ASCII,
)
"""`String(new Date())`."""


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
        raise EventRejected("schema", f"{field} is a number that is no time: {_WANTED}")
    return int(sent)


def _leap_second(sent: str, field: str) -> datetime:
    """23:59:60 is the second after 23:59:59. Anything else that was refused is no time."""
    if len(sent) <= _TEXT_CHARS_MAX and sent.count(_LEAP_SECOND) == 1:
        try:
            return datetime.fromisoformat(sent.replace(_LEAP_SECOND, ":59")) + timedelta(seconds=1)
        except (ValueError, OverflowError):
            pass
    raise EventRejected("schema", f"{field} is text that is no time: {_WANTED}")


def read_time_ms(sent: str | int | float, field: str) -> int:
    """Milliseconds since 1970 from whatever clients send as a time; else `EventRejected`.

    Seconds, milliseconds, microseconds and nanoseconds since 1970 are told apart by size, so that all of them lie in
    the years 1973 to 5138; smaller numbers are milliseconds. They may be text, and so may the forms of mail and of
    browsers.

    >>> read_time_ms(1_795_890_814, "t"), read_time_ms("1795890814123", "t"), read_time_ms(1795890814.5, "t")
    (1795890814000, 1795890814123, 1795890814500)
    >>> read_time_ms("Thu, 01 Jan 1970 00:00:01 GMT", "t"), read_time_ms("1970-01-01 00:00:01 UTC", "t")
    (1000, 1000)
    >>> read_time_ms("2.1.1970 00:00:01", "t") == read_time_ms("1970/01/02 00:00:01", "t") == 86_401_000
    True
    """
    if type(sent) is not str:
        return _from_number(sent, field)
    if sent[4:5] != "-":
        return _from_text(sent, field)
    try:
        moment = datetime.fromisoformat(sent)
    except ValueError:
        return _from_text(sent, field)
    since = (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def _from_number(sent: str | int | float, field: str) -> int:
    number = float(sent)
    size = abs(number)
    if size < _SECONDS_FROM:
        return int(number)
    for until, per_ms in _UNITS:
        if size < until:
            return int(sent) * 1000 if per_ms == _SECOND and isinstance(sent, int) else round(number / per_ms)
    raise EventRejected("schema", f"{field} is a number that is no time: {_WANTED}")


def _from_text(sent: str, field: str) -> int:
    """The rarer forms of a time in text."""
    if len(sent) > _TEXT_CHARS_MAX:
        return parse_time_ms(sent, field)
    text = sent.strip()
    if _NUMBER.fullmatch(text):
        return _from_number(float(text) if "." in text else int(text), field)
    if text[-1:] == "z":
        text = f"{text[:-1]}Z"
    text = _ZONE_BESIDE.sub(r"\1", text)
    if text[-3:].upper() in ("UTC", "GMT") and text[4:5] == "-":
        text = f"{text[:-3].rstrip()}Z"
    numbered = _NUMBERED.match(text)
    if numbered is not None:
        day, month, year = (numbered[3], numbered[2], numbered[1]) if numbered[1] else numbered.group(4, 5, 6)
        text = f"{year}-{month:0>2}-{day:0>2}{text[numbered.end():]}"
    match = _BROWSER.match(text)
    if match is not None:
        text = f"{match[2]} {match[1]} {match[3]} {match[4]} {match[5] or '+0000'}"
    if match is not None or _MAIL.fullmatch(text):
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            raise EventRejected("schema", f"{field} is text that is no time: {_WANTED}") from None
        text = (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).isoformat()
    return parse_time_ms(text, field)


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
        raise EventRejected("schema", f"the event time is before 1970: {_WANTED}")
    latest_ms = received_ms + AHEAD_MS_MAX
    return happened_ms if happened_ms < latest_ms else latest_ms


def time_text(at_ms: int) -> str:
    """A time as replies have it.

    >>> time_text(1_700_000_000_123)
    '2023-11-14T22:13:20.123+00:00'
    """
    return (_EPOCH + timedelta(milliseconds=at_ms)).isoformat(timespec="milliseconds")
