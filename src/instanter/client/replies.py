"""Answers as they come: fields that are not named here are not read, so that a newer server can say more."""

from __future__ import annotations

from typing import Any

import msgspec


class Reply(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An object of an answer."""


# Events.


class RejectedEvent(Reply, frozen=True, kw_only=True):
    """An event of a batch that was not taken; the server keeps it in its quarantine."""

    message_id: str
    code: str
    message: str
    index: int = 0
    """Its place in the batch, from 0."""


class WarnedEvents(Reply, frozen=True, kw_only=True):
    """What several events have in common: they were taken, and something of them does not count."""

    code: str
    event: str
    count: int
    message_id: str
    """Of the first of them."""
    message: str


class TrackReply(Reply, frozen=True, kw_only=True):
    """What was accepted is on disk, and counts in the next decision."""

    accepted: int
    rejected: list[RejectedEvent] = []
    position: str
    warnings: list[WarnedEvents] = []


# Decisions.


class RankedItem(Reply, frozen=True, kw_only=True):
    """One item of a list."""

    id: str
    position: int
    """From 1."""
    score: float
    propensity: float
    """Probability that this item stands at this place."""
    reasons: list[str]
    fields: dict[str, Any] | None = None
    """The catalogue's; none for items of the caller's own list."""
    features: dict[str, float] | None = None
    """With `explain`."""
    stages: dict[str, float] | None = None
    """With `explain`."""


class ExcludedItem(Reply, frozen=True, kw_only=True):
    """A candidate that is not shown, and why."""

    id: str
    reason: str


class Warned(Reply, frozen=True, kw_only=True):
    """Something of the question that had no effect."""

    code: str
    message: str


class PlacementReply(Reply, frozen=True, kw_only=True):
    """The list for one placement."""

    items: list[RankedItem]
    excluded: list[ExcludedItem] = []
    served_by: str
    """The rung that answered: personal, session, popular or default; `fallback` for the caller's own."""
    experiments: list[Any] = []
    model: str = ""
    score_kind: str = ""
    reason: str = ""
    """Why the list is empty or not of what was asked for."""
    rules: list[Any] | None = None
    """With `explain`."""

    @property
    def ids(self) -> list[str]:
        """The items' ids, in order."""
        return [item.id for item in self.items]


class DecisionReply(Reply, frozen=True, kw_only=True):
    """Lists for all placements of a question."""

    decision_id: str
    """"" of a fallback: there is no such decision."""
    position: str
    epoch: int
    took_ms: float
    degraded: list[str] = []
    placements: dict[str, PlacementReply]
    warnings: list[Warned] = []
    failure: str = ""
    """Of a fallback, the code of the error that there would have been without it."""


class RankReply(PlacementReply, frozen=True, kw_only=True):
    """One placement's list, with its decision."""

    decision_id: str
    position: str
    epoch: int
    took_ms: float
    degraded: list[str] = []
    warnings: list[Warned] = []
    failure: str = ""


class Completion(Reply, frozen=True, kw_only=True):
    """What may be meant by what was typed."""

    query: str
    items: int
    """How many items have these words."""


class CompletionReply(Reply, frozen=True, kw_only=True):
    """What completes a search, and items that match."""

    completions: list[Completion]
    items: list[RankedItem]
    served_by: str
    position: str
    epoch: int
    took_ms: float
    degraded: list[str] = []
    reason: str = ""
    failure: str = ""


class Replay(Reply, frozen=True, kw_only=True):
    """A decision made again from the log, beside what its receipt says."""

    decision_id: str
    identical: bool
    differences: list[str]
    folded_events: int = 0
    took_ms: float = 0.0


class Progress(Reply, frozen=True, kw_only=True):
    """How far a job has come; `of` is 0 where that is not known."""

    done: int
    of: int = 0


class JobError(Reply, frozen=True, kw_only=True):
    """Why a job failed."""

    code: str
    message: str


class Job(Reply, frozen=True, kw_only=True):
    """Work that takes longer than a request: ask again by its id."""

    id: str
    kind: str
    subject: str
    state: str
    """waiting, running, done or failed."""
    progress: Progress | None = None
    error: JobError | None = None
    outcome: Any = None


# The catalogue.


class RejectedItem(Reply, frozen=True, kw_only=True):
    """An item that was not taken; what the catalogue held of it stays."""

    index: int
    id: str
    code: str
    message: str


class ItemWarning(Reply, frozen=True, kw_only=True):
    """A value that was taken and has less effect than it may have been meant to have."""

    field: str
    code: str
    message: str
    items: int
    ids: list[str]


class ItemsReply(Reply, frozen=True, kw_only=True):
    """What was accepted is on disk, and counts in the next decision."""

    accepted: int
    position: str
    rejected: list[RejectedItem] = []
    warnings: list[ItemWarning] = []


class ItemChange(Reply, frozen=True, kw_only=True):
    """Likewise of one item."""

    accepted: int
    position: str
    warnings: list[ItemWarning] = []


class DeletionReply(Reply, frozen=True, kw_only=True):
    """The items are gone."""

    deleted: int
    unknown: list[str]
    """Ids of which there was no item."""
    position: str
    rejected: list[RejectedItem] = []


class Item(Reply, frozen=True, kw_only=True):
    """An item of the catalogue."""

    id: str
    fields: dict[str, Any]


class ItemPage(Reply, frozen=True, kw_only=True):
    """A page of the catalogue."""

    items: list[Item]
    count: int
    """Items of the whole catalogue."""
    next: str | None = None
    """What to ask for as `after`; None: this is the last page."""
    position: str


# People.


class Profile(Reply, frozen=True, kw_only=True):
    """What is known of a person."""

    id: str
    linked: list[str]
    known: bool
    in_session: bool
    features: dict[str, Any]
    segments: list[str]
    consent: dict[str, bool]
    position: str


class ConsentReply(Reply, frozen=True, kw_only=True):
    """What the person has agreed to, all purposes."""

    purposes: dict[str, bool]
    position: str


class Erasure(Reply, frozen=True, kw_only=True):
    """What was erased where. The signature (Ed25519, hexadecimal) is over `receipt_text`."""

    receipt: dict[str, Any]
    receipt_text: str
    """As it came."""
    signature: str
    public_key: str


# The server.


class Readiness(Reply, frozen=True, kw_only=True):
    """Whether decisions can be answered."""

    ready: bool
    reason: str = ""
    """Why not."""
    position: str = ""
    warnings: list[str] = []
