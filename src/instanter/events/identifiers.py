"""Identifiers as senders write them: what is taken as one, and the form in which one text tells both sorts apart."""

from __future__ import annotations

from typing import Any, Final

from ..foundation.errors import EventRejected
from ..foundation.limits import ID_CHARS_MAX
from .notes import kind_of
from .subjects import ANONYMOUS_PREFIX


def _written(*texts: str) -> frozenset[str]:
    """Texts in the ways that programs write them."""
    return frozenset(way for text in texts for way in (text, text.lower(), text.upper(), text.title()))


PLACEHOLDERS: Final = _written(
    "undefined", "null", "(null)", "nil", "None", "(none)", "NaN", "NaT", "n/a", "#N/A", "<NA>", "\\N", "-", "--",
    "[object Object]", "not set", "not_set", "(not set)", "unknown", "anonymous", "guest",
    "00000000-0000-0000-0000-000000000000",
)  # fmt: skip
"""What programs write in the place of an id where there is none. It would make all who have it one."""
NO_USER: Final = PLACEHOLDERS | {"0", "-1", "0.0", "false", "False", "FALSE"}
"""Likewise of a user, whose numbers begin with 1."""
FOR_NONE: Final = "is a text that programs write where there is no id"
"""What is said of one of them."""


def identifiers_of(anonymous_id: str | None, user_id: str | None) -> tuple[str, ...]:
    """In the form of `GET /v1/profiles/{id}`; the first is the one whose cell an event belongs to."""
    if not anonymous_id:
        return (user_id,) if user_id else ()
    anonymous = ANONYMOUS_PREFIX + anonymous_id
    return (anonymous, user_id) if user_id else (anonymous,)


def identifier(value: Any, field: str) -> str:
    """An id as text; numbers are taken, "" stands for none."""
    if type(value) is str and len(value) <= ID_CHARS_MAX and value.isprintable():
        return "" if value.isspace() else value
    return _unusual_identifier(value, field)


def _unusual_identifier(value: Any, field: str) -> str:
    """An id that is not simply printable text."""
    if value is None:
        return ""
    if type(value) is float and value.is_integer() and abs(value) < 2**63:  # Written as 5.0.
        return str(int(value))
    if type(value) is int:
        if not -(2**63) <= value < 2**64:
            raise EventRejected("schema", f"{field} is a number beyond 64 bits")
        return str(value)
    if type(value) is not str:
        raise EventRejected("schema", f"{field} is {kind_of(value)} where text or a whole number is wanted")
    if len(value) > ID_CHARS_MAX:
        raise EventRejected("too_large", f"{field} has at most {ID_CHARS_MAX} characters")
    refuse_control(value, field)
    return "" if value.isspace() else value


def refuse_control(text: str, field: str) -> None:
    if any(character < " " or "\x7f" <= character <= "\x9f" for character in text):
        raise EventRejected("schema", f"{field} has control characters")


def user_identifier(value: str | int | None, field: str) -> str:
    """A user id; it cannot look like an anonymous one, since both are addressed by one text."""
    if value is None:
        return ""
    text = identifier(value, field)
    if text.startswith(ANONYMOUS_PREFIX):
        raise EventRejected("schema", f"{field} does not begin with {ANONYMOUS_PREFIX!r}")
    return text
