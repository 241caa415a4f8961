"""An event whose JSON or encoding is broken in a way that leaves no doubt about what it says.

Used only when the decoder has refused the bytes, so it costs nothing else. Mended are broken characters (half of an
emoji, bytes that are not UTF-8), control characters within text, `NaN`, `Infinity` and numbers beyond all bounds (they
count as not sent), commas before a closing bracket, escapes that JSON has not, and a byte order mark. Everything else
stays refused, with words that say what is wrong.
"""

from __future__ import annotations

import json
import re
from math import inf, isfinite
from typing import Any, Final

from ..foundation.errors import EventRejected
from ..foundation.limits import MENDED_PLACES_MAX
from .notes import NUMBER_UNREADABLE, TEXT_REPAIRED, Note, add_note, kind_of

BOM: Final = b"\xef\xbb\xbf"
BROKEN: Final = "\ufffd"
"""Stands for what is no character."""

_IDENTIFIERS: Final = ("messageId", "anonymousId", "userId", "previousId", "groupId")
"""Two of these that differ in nothing but their broken characters would become one."""
_HEX: Final = "[0-9a-fA-F]"
_ESCAPES: Final = re.compile(
    rf"\\\\|\\u[dD][89abAB]{_HEX}{{2}}\\u[dD][c-fC-F]{_HEX}{{2}}"
    rf"|(\\u[dD][89a-fA-F]{_HEX}{{2}}|\\u(?!{_HEX}{{4}}){_HEX}{{0,3}})|(\\(?![\"\\/bfnrtu]))"
)
"""Whole escapes that may be mistaken for broken ones, then halves of pairs and cut ones, then unknown ones."""
_COMMAS: Final = re.compile(r'("(?:[^"\\]++|\\.)*+")|,(?=\s*+[}\]])', re.DOTALL)
_HOLDERS: Final = ("properties", "traits", "context")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_$-]{1,64}", re.ASCII)
"""A name as programs have them, which notes may repeat."""
_LONG_NUMBER: Final = re.compile("(?<![0-9])[0-9]{1000}")
"""Looked for once in a run of digits, not once for each digit of it."""
_WORDS: Final = {
    "Expecting property name enclosed in double quotes": "a name in double quotes is wanted",
    "Expecting ':' delimiter": "a colon is wanted",
    "Expecting ',' delimiter": "a comma or a closing bracket is wanted",
    "Expecting value": "a value is wanted",
    "Extra data": "something stands behind the end of the event",
}
_NOT_FINITE: Final = "is NaN, Infinity or beyond all bounds"
_INTEGER_MIN, _INTEGER_END = -(2**63), 2**64


def mended(raw: bytes, notes: list[Note]) -> dict[str, Any]:
    """The event that these bytes say, with notes on what was mended; `EventRejected` when there is doubt.

    The bytes are within `EVENT_BYTES_MAX`, and their structure has been checked.

    >>> notes: list[Note] = []
    >>> mended(rb'{"q": "sofa \\ud83d", "n": NaN,}', notes), [note.code for note in notes]
    ({'q': 'sofa \ufffd', 'n': None}, ['text_repaired', 'number_unreadable', 'text_repaired'])
    """
    text, broken = _whole_text(raw, notes)
    if _LONG_NUMBER.search(text):
        raise EventRejected("schema", "a number has more than 1000 digits")
    event = _decoded(text, notes)
    if not isinstance(event, dict):
        raise EventRejected("schema", f"an event is an object, not {kind_of(event)}")
    if broken:
        for field in _IDENTIFIERS:
            if BROKEN in str(event.get(field, "")):
                raise EventRejected("malformed", f"{field} has broken characters: send it as UTF-8")
    if not notes and not _is_strict(text):
        add_note(notes, TEXT_REPAIRED, "", "it has control characters within text (send them escaped)")
    return event


def within_bounds(value: Any, notes: list[Note], field: str = "") -> Any:
    """The value without numbers that nothing can hold, and with integers beyond 64 bits as fractions.

    Called for the few events that have such numbers; about 0.2 us for each value.
    """
    if isinstance(value, dict):
        return {name: within_bounds(one, notes, f"{field}.{name}" if field else name) for name, one in value.items()}
    if isinstance(value, list):
        return [within_bounds(one, notes, f"{field}[]") for one in value]
    if type(value) is int and not _INTEGER_MIN <= value < _INTEGER_END:
        value = float(value) if abs(value) < 2**1023 else inf
    if type(value) is float and not isfinite(value):
        known = _known_part(field)
        found = _NOT_FINITE if "." in known else f"{'has ' if known else ''}a number that {_NOT_FINITE}"
        add_note(notes, NUMBER_UNREADABLE, known, found)
        return None
    return value


def _known_part(field: str) -> str:
    """The field as far as its names are those of the specification; what senders make up may be personal, or endless.

    >>> _known_part("properties.price"), _known_part("properties.jane@shop.example"), _known_part("Jane Doe")
    ('properties.price', 'properties', '')
    """
    top, _, rest = field.partition(".")
    if top not in _HOLDERS:
        return ""
    name = rest.partition("[")[0]
    return f"{top}.{name}" if _PLAIN.fullmatch(name) else top


def _whole_text(raw: bytes, notes: list[Note]) -> tuple[str, int]:
    """The bytes as text with U+FFFD for what is no character, and how often that had to be."""
    sent = raw.removeprefix(BOM)
    text = sent.decode("utf-8", "replace")
    broken = text.count(BROKEN) - sent.count(BROKEN.encode())
    if broken > MENDED_PLACES_MAX or text.count("\\") > MENDED_PLACES_MAX:
        raise EventRejected("malformed", "it is no JSON, and has more escapes or broken characters than are mended")

    unknown = 0

    def whole(match: re.Match[str]) -> str:
        nonlocal broken, unknown
        if match[1]:
            broken += 1
            return BROKEN
        unknown += match[2] is not None
        return "\\\\" if match[2] else match[0]

    if "\\" in text:
        text = _ESCAPES.sub(whole, text)
    if broken:
        add_note(notes, TEXT_REPAIRED, "", "it has broken characters, which were replaced by U+FFFD (send UTF-8)")
    if unknown:
        add_note(notes, TEXT_REPAIRED, "", "it has escapes that JSON has not (send backslashes twice)")
    return text, broken


def _decoded(text: str, notes: list[Note]) -> Any:
    """The value, also with commas too many; the reason why there is none is that of the text as it is."""
    try:
        return _read(text, notes)
    except json.JSONDecodeError as error:
        reason = error
    if text.count('"') <= 2 * MENDED_PLACES_MAX:
        try:
            event = _read(_COMMAS.sub(lambda match: match[1] or "", text), notes)
        except json.JSONDecodeError:
            pass
        else:
            add_note(notes, TEXT_REPAIRED, "", "it has commas before closing brackets, which were left out")
            return event
    if reason.pos >= len(text.rstrip()) or reason.msg.startswith("Unterminated"):
        raise EventRejected("malformed", "this is not JSON: it ends too early, the event is cut off")
    words = _WORDS.get(reason.msg, "it cannot be read")
    raise EventRejected("malformed", f"this is not JSON: {words} (character {reason.pos})")


def _is_strict(text: str) -> bool:
    """Whether there are no control characters within texts."""
    try:
        json.loads(text)
    except json.JSONDecodeError:
        return False
    return True


def _read(text: str, notes: list[Note]) -> Any:
    constants: list[str] = []
    try:
        event = json.JSONDecoder(strict=False, parse_constant=constants.append).decode(text)
    except RecursionError:
        raise EventRejected("too_deep", "an event is nested too deep") from None
    if constants:
        add_note(notes, NUMBER_UNREADABLE, "", f"a number {_NOT_FINITE}")
    return event
