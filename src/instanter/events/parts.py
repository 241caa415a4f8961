"""The events of a batch whose JSON is broken: told apart by brackets, so that a broken one spoils no other.

Used only when the decoder has refused the body. One pass over the bytes in compiled code finds what stands outside of
texts and how deep it lies; where an event has lost a bracket or a quotation mark, what follows is cut where an event
seems to begin.
"""

from __future__ import annotations

import json
import re
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from ..foundation.errors import EventRejected
from ..foundation.limits import BATCH_EVENTS_MAX, EVENT_BYTES_MAX
from .mend import mended

_BATCH: Final = re.compile(rb'"batch"\s{0,64}+:\s{0,64}+\[')
_EVENT: Final = (
    r',\s{0,64}+(?=\{\s{0,64}+"(?:type|messageId|message_id|anonymousId|userId|event|timestamp|originalTimestamp|sentAt'
    r'|context|properties|traits|channel|integrations|writeKey|_metadata)"\s{0,16}+:)'
)
_BEGIN: Final = re.compile(_EVENT.encode())
"""What stands before an event, by the fields that one begins with."""
_BEGIN_TEXT: Final = re.compile(_EVENT)
_BLANK_TEXT: Final = re.compile(r"[ \t\r\n,]*+")
_LOOKED_SHARE: Final = 2
"""How often broken events may be read to no end, in lengths of the body."""
_REST: Final = re.compile(rb'\]\s{0,64}+(?:\}\s{0,64}+\S|,(?=.{0,4096}"context"))', re.DOTALL)
TOO_MANY: Final = f"a batch has at most {BATCH_EVENTS_MAX} events"
_BYTES_PER_BRACKET_MIN: Final = 3
_BRACKETS_FREE: Final = 65_536
"""Of a body that is broken: what takes the most time to look at, next to nothing to send, and is no event."""
_QUOTE, _COMMA = 0x22, 0x2C
_BLANK: Final = b" \t\r\n,"
_LIST_DEPTH: Final = 2
_TAIL_TRIES_MAX: Final = 64

Ints = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]

_STRUCTURAL: Final = bytes(byte in b'"{}[],' for byte in range(256))
_STEPS: Final = np.zeros(256, np.int8)
_STEPS[list(b"{[")] = 1
_STEPS[list(b"}]")] = -1

_read_raw = msgspec.json.Decoder(msgspec.Raw).decode


class Parts(NamedTuple):
    """A batch in parts."""

    events: list[bytes]
    """In their order, each as it was sent; a broken one may be any bytes."""
    envelope: bytes
    """The body with an empty list in place of the events; what was cut off is closed."""
    cut_off: bool
    """Whether the body ends before its list does."""


def split_batch(body: bytes) -> Parts | None:
    """The parts of a body that is no JSON, None when no list of events can be made out. About 15 ns a byte.

    >>> split_batch(rb'{"batch": [{"type": "page"}, {"a": "x\\ud83d"}], "sentAt": 1}')
    Parts(events=[b'{"type": "page"}', b'{"a": "x\\\\ud83d"}'], envelope=b'{"batch": [], "sentAt": 1}', cut_off=False)
    """
    if sum(map(body.count, (b"{", b"[", b"}", b"]"))) > _BRACKETS_FREE + len(body) // _BYTES_PER_BRACKET_MIN:
        reason = f"this is not JSON, and more than one byte in {_BYTES_PER_BRACKET_MIN} of it is a bracket"
        raise EventRejected("too_complex", reason)
    brackets = _brackets_of(body)
    place = _list_begin(body, brackets)
    if place < 0:
        return None
    begin = int(brackets.at[place])
    end, cuts = _list_end(place, brackets, len(body))
    if len(cuts) > BATCH_EVENTS_MAX:
        raise EventRejected("too_large", TOO_MANY, status=413)
    closes = _closes(body, end)
    events: list[bytes] = []
    for first, last in zip([begin, *cuts.tolist()], [*cuts.tolist(), end], strict=True):
        piece = body[first + 1 : last].strip(_BLANK)
        astray = last == end < len(body) or (bool(piece) and not _is_sound(piece))
        if _has_swallowed(piece) if closes else astray:
            return _walked(events, body, begin, first + 1)
        events += [piece] if piece else []
    return Parts(events, body[: begin + 1] + (body[end:] if closes else b"]}"), not closes)


def _closes(body: bytes, end: int) -> bool:
    """Whether the list ends there, and what follows is the rest of the envelope, sound or not.

    What looks like the rest of an envelope and cannot be read is not taken for the end of a body that was cut off: the
    context that stands there may say what nobody may overlook.
    """
    if body[end : end + 1] != b"]":
        return False
    if _is_envelope(body[end:]):
        return True
    return _REST.match(body, end) is not None and _BEGIN.search(body, end) is None


def _is_envelope(tail: bytes) -> bool:
    """Whether this can stand behind the events of a batch."""
    envelope = b'{"batch":[' + tail
    return _is_sound(envelope) or (len(envelope) <= EVENT_BYTES_MAX and _can_be_mended(envelope))


def _has_swallowed(piece: bytes) -> bool:
    """Whether an element is so broken that it may hold events that follow it."""
    if not piece or _is_sound(piece) or _BEGIN.search(piece) is None:
        return False
    return len(piece) > EVENT_BYTES_MAX or not _can_be_mended(piece)


def _can_be_mended(text: bytes) -> bool:
    try:
        mended(text, [])
    except EventRejected:
        return False
    return True


def _walked(events: list[bytes], body: bytes, begin: int, first: int) -> Parts:
    """The parts where brackets cannot be trusted from `first` on: from one event to where the next seems to begin.

    What is sound is read to its end, so nothing within an event is taken for another. Bounded by the bytes that may be
    looked at again.
    """
    end, tail = len(body), b""
    if (at := _tail_begin(body)) < len(body):
        end, tail = at, body[at:]
    rest = body[first:end].decode("utf-8", "surrogateescape")
    scan = json.JSONDecoder(strict=False).raw_decode
    place, looked = _behind_blank(rest, 0), 0
    while place < len(rest) and len(events) <= BATCH_EVENTS_MAX:
        window = rest[place : place + EVENT_BYTES_MAX]  # An error's place is counted from the beginning of its text.
        try:
            length = scan(window)[1]
            behind = _behind_blank(window, length)
            whole = behind == len(window) or "," in window[length:behind]
        except json.JSONDecodeError as error:
            length, whole = error.pos, False
        except (RecursionError, ValueError):
            length, whole = len(window), False
        if whole:
            events.append(_bytes(window[:length]))
            place += behind
            continue
        looked += length
        found = _BEGIN_TEXT.search(rest, place + 1) if looked <= _LOOKED_SHARE * len(body) else None
        until = found.end() if found is not None else len(rest)
        events.append(_bytes(rest[place:until]).strip(_BLANK))
        place = until
    return _closed([event for event in events if event], body[: begin + 1], tail)


def _closed(events: list[bytes], head: bytes, tail: bytes) -> Parts:
    """The parts with what stands behind the list; where the last event needs that bracket, the body was cut off."""
    if tail and events and not _is_sound(events[-1]):
        longer = events[-1] + tail.rstrip(_BLANK)
        if _is_sound(longer):
            return Parts([*events[:-1], longer], head + b"]}", True)
    return Parts(events, head + (tail or b"]}"), not tail)


def _behind_blank(text: str, place: int) -> int:
    blank = _BLANK_TEXT.match(text, place)
    return blank.end() if blank is not None else place


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


class _Brackets(NamedTuple):
    """The commas and brackets that stand outside of texts."""

    at: Ints
    """Where each is."""
    sort: Bytes
    """Which it is."""
    depth: Ints
    """How deep what is behind it lies."""


def _brackets_of(body: bytes) -> _Brackets:
    marks = body.replace(b"\\\\", b"__").replace(b'\\"', b"__") if b"\\" in body else body
    at = np.flatnonzero(np.frombuffer(marks.translate(_STRUCTURAL), np.bool_)).astype(np.int32)
    sort = np.frombuffer(marks, np.uint8)[at]
    quotes = sort == _QUOTE
    outside = ~(np.logical_xor.accumulate(quotes) | quotes)
    at, sort = at[outside], sort[outside]
    return _Brackets(at, sort, np.cumsum(_STEPS[sort], dtype=np.int32))


def _list_begin(body: bytes, brackets: _Brackets) -> int:
    """Where the list of events opens: that of the envelope itself, not one within a text or deeper; -1 if nowhere."""
    for number, match in enumerate(_BATCH.finditer(body)):
        # Of another type, all that it is looked for in would be converted first.
        place = int(np.searchsorted(brackets.at, np.int32(match.end() - 1)))
        stands = place < len(brackets.at) and brackets.at[place] == match.end() - 1
        if stands and brackets.depth[place] == _LIST_DEPTH:
            return place
        if number == BATCH_EVENTS_MAX:
            break
    return -1


def _list_end(begin: int, brackets: _Brackets, size: int) -> tuple[int, Ints]:
    """Where the list closes, by the brackets alone, and the commas between its elements."""
    depth = brackets.depth[begin + 1 :]
    at = brackets.at[begin + 1 :]
    closes = np.flatnonzero(depth < _LIST_DEPTH)[:1]
    end = int(at[closes[0]]) if len(closes) else size
    cuts = at[(brackets.sort[begin + 1 :] == _COMMA) & (depth == _LIST_DEPTH) & (at < end)]
    return end, cuts[: BATCH_EVENTS_MAX + 1]


def _is_sound(piece: bytes) -> bool:
    try:
        _read_raw(piece)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _tail_begin(body: bytes) -> int:
    """Where the list closes, judged by what stands behind it alone; the end of the body if it is cut off."""
    at = len(body)
    for _ in range(_TAIL_TRIES_MAX):
        at = body.rfind(b"]", 0, at)
        if at < 0 or len(body) - at > EVENT_BYTES_MAX:
            break
        if _is_sound(b'{"batch":[' + body[at:]):
            return at
    return len(body)
