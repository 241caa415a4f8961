"""What came in by event name since the start, and what of it had no effect: for replies, metrics and reports.

In memory alone, so it begins anew with the process. Nothing of a value is kept: names of events, names of fields, kinds
of values. `Tally.read` is what `GET /v1/health/data` and `doctor --data` stand on.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from typing import Final

import msgspec

from ..events.notes import Note, sentence
from ..foundation.limits import (
    TALLY_NAMES_PER_TENANT_MAX,
    TALLY_NOTES_PER_TENANT_MAX,
    TALLY_TENANTS_MAX,
    WARNINGS_PER_REPLY_MAX,
)

FURTHER: Final = "(further names)"
"""Stands for the event names of a tenant beyond the bound."""


class EventWarning(msgspec.Struct, frozen=True, rename="camel"):
    """What several events of one request have in common: they were taken, and something of them does not count."""

    code: str
    event: str
    """The event's name as it is known."""
    count: int
    message_id: str
    """Of the first of them."""
    message: str


class Warnings:
    """Gathers the warnings of one request; there is one only where something is to be said."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, Note], list[int | str]] = {}

    def add(self, name: str, note: Note, message_id: str) -> None:
        """Count one."""
        found = self._found.get((name, note))
        if found is not None:
            found[0] = int(found[0]) + 1
        elif len(self._found) < WARNINGS_PER_REPLY_MAX:
            self._found[name, note] = [1, message_id]

    def told(self) -> list[EventWarning]:
        """As the reply has them, in the order in which they came up."""
        return [
            EventWarning(note.code, name, int(count), str(message_id), sentence(note))
            for (name, note), (count, message_id) in self._found.items()
        ]


class NameCount(msgspec.Struct, frozen=True, rename="camel"):
    """Events of one name that were taken since the start."""

    event: str
    taken: int
    heard: bool
    """Whether the name has an effect: a feature hears it, or it links people."""
    newest_ms: int
    """When the newest was received."""


class NoteCount(msgspec.Struct, frozen=True, rename="camel"):
    """So many events of one name had the same to be said about."""

    event: str
    code: str
    """One of `events.notes.CODES`."""
    field: str
    found: str
    """The kind of what stood there, as of the first."""
    count: int
    newest_ms: int
    message: str
    """In a sentence."""


class TallyReading(msgspec.Struct, frozen=True, rename="camel"):
    """What a tenant sent since `since_ms`, the start of this process."""

    since_ms: int
    events: list[NameCount]
    """Most frequent first."""
    notes: list[NoteCount]
    """Most frequent first."""
    left_out: int
    """Notes beyond the bound: counted here, and told nowhere."""


class _Tenant:
    """The counts of one tenant."""

    __slots__ = ("left_out", "names", "notes")

    def __init__(self) -> None:
        self.names: dict[str, list[int]] = {}
        """By event name: [taken, heard, newest_ms]."""
        self.notes: dict[tuple[str, Note], list[int]] = {}
        """By event name and note: [count, newest_ms]."""
        self.left_out = 0


class Tally:
    """Counts for all tenants, within bounds: what is beyond them is counted together. Used on the loop's thread.

    >>> tally = Tally(since_ms=0)
    >>> tally.count_events("default", {"Product Viewed": 2, "basket_add": 1}, unheard={"basket_add"}, at_ms=5)
    >>> [(one.event, one.taken, one.heard) for one in tally.read("default").events]
    [('Product Viewed', 2, True), ('basket_add', 1, False)]
    """

    def __init__(self, *, since_ms: int) -> None:
        self._since_ms = since_ms
        self._tenants: dict[str, _Tenant] = {}
        self._beyond = _Tenant()
        """Of all tenants beyond the bound; read for none of them."""

    def count_events(
        self, tenant: str, taken: Mapping[str, int], *, unheard: Container[str], at_ms: int
    ) -> None:
        """Count what was taken in one step, by name; `unheard` holds the names of these that have no effect."""
        names = self._tenant(tenant).names
        for name, count in taken.items():
            counts = names.get(name)
            if counts is None:
                if len(names) >= TALLY_NAMES_PER_TENANT_MAX:
                    counts = names.setdefault(FURTHER, [0, 0, 0])
                else:
                    counts = names[name] = [0, 0, 0]
            counts[0] += count
            counts[1] = name not in unheard
            counts[2] = at_ms

    def count_note(self, tenant: str, name: str, note: Note, *, at_ms: int) -> None:
        """Count one note about one event."""
        counts = self._tenant(tenant)
        found = counts.notes.get((name, note))
        if found is None:
            if len(counts.notes) >= TALLY_NOTES_PER_TENANT_MAX:
                counts.left_out += 1
                return
            found = counts.notes[name, note] = [0, 0]
        found[0] += 1
        found[1] = at_ms

    def read(self, tenant: str) -> TallyReading:
        """The counts of a tenant."""
        counts = self._tenants.get(tenant, _Tenant())
        return TallyReading(
            self._since_ms,
            sorted(_name_counts(counts), key=lambda one: (-one.taken, one.event)),
            sorted(_note_counts(counts), key=lambda one: (-one.count, one.event, one.code, one.field)),
            counts.left_out,
        )

    def _tenant(self, tenant: str) -> _Tenant:
        counts = self._tenants.get(tenant)
        if counts is None:
            if len(self._tenants) >= TALLY_TENANTS_MAX:
                return self._beyond
            counts = self._tenants[tenant] = _Tenant()
        return counts


def _name_counts(counts: _Tenant) -> Iterator[NameCount]:
    for name, (taken, heard, newest_ms) in counts.names.items():
        yield NameCount(name, taken, bool(heard), newest_ms)


def _note_counts(counts: _Tenant) -> Iterator[NoteCount]:
    for (name, note), (count, newest_ms) in counts.notes.items():
        yield NoteCount(name, note.code, note.field, note.found, count, newest_ms, sentence(note))
