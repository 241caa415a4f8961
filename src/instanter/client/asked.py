"""Questions as they are sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict

import msgspec

from .events import Event


class Asked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """An object of a question: camelCase on the wire, without what was not said."""


class Candidate(Asked, frozen=True, kw_only=True):
    """An item of the caller's own list, with fields that count for this question only."""

    id: str
    fields: Mapping[str, Any] = {}


class Placement(Asked, frozen=True, kw_only=True):
    """A spot of the page that wants a list."""

    id: str
    limit: int | None = None
    query: str = ""
    """What somebody searches for."""
    item: str = ""
    """The item that the page is about."""
    candidates: Sequence[str | Candidate] | None = None
    """The caller's own list, to be ordered."""


class PersonFields(TypedDict, total=False):
    """Who is asked about, and how long the answer may take."""

    user_id: str | None
    anonymous_id: str | None
    context: Mapping[str, Any] | None
    deadline_ms: float | None
    """For the engine's own work; the time on the way is not in it."""


class QuestionFields(PersonFields, total=False):
    """What every question for a decision may have."""

    events: Sequence[Event]
    """What has just happened: it is taken first, and counts in the answer."""
    min_position: str | None
    """The position of an event that must count; what comes from one server counts anyway."""
    timestamp: datetime | str | None
    """A time that is not now; for an administrator's key."""
    explain: bool


class Person(Asked, frozen=True, kw_only=True):
    """See `PersonFields`."""

    user_id: str | None = None
    anonymous_id: str | None = None
    context: Mapping[str, Any] | None = None
    deadline_ms: float | None = None


class Question(Person, frozen=True, kw_only=True):
    """See `QuestionFields`."""

    events: Sequence[Event] = ()
    min_position: str | None = None
    timestamp: datetime | str | None = None
    explain: bool = False


class DecideQuestion(Question, frozen=True, kw_only=True):
    """`POST /v1/decide`."""

    placements: Sequence[Placement]


class RankQuestion(Question, frozen=True, kw_only=True):
    """`POST /v1/rank`."""

    placement: str
    candidates: Sequence[str | Candidate]
    limit: int | None = None
    query: str = ""
    item: str = ""


class CompleteQuestion(Person, frozen=True, kw_only=True):
    """`POST /v1/complete`."""

    query: str
    limit: int | None = None
    items: int | None = None
    placement: str | None = None
