"""Who is known and what was decided of late: pages read from the end of the log back, each of bounded work.

People stand in the state under pseudonyms, and no id is kept beside them: who somebody is is read from the body of
their newest event, where their key still opens it. So people are listed from the newest event on, each once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from ..decisions.receipt import decode_receipt
from ..events.envelope import Decided, Record, Tracked, read_record
from ..events.subjects import ANONYMOUS_PREFIX
from ..events.times import time_text
from ..foundation.errors import RequestRejected
from ..log.frames import Frame
from ..log.segment_log import SegmentLog
from ..privacy.access import DEFAULT_TENANT
from ..privacy.subjects import KeyStore
from .export import line_of, opened_receipt, stored_event
from .partition import Partition
from .profile import Profile, Profiles


class PersonListed(msgspec.Struct, frozen=True, rename="camel"):
    """Somebody in a listing: whoever one cell is of."""

    id: str
    """A user id, or anonymous:<id>, as `GET /v1/profiles/{id}` takes it."""
    linked: list[str]
    """Other ids of the same person."""
    last_event: str
    """The name of the newest one."""
    last_received_at: str


class PeopleListed(msgspec.Struct, frozen=True, rename="camel"):
    """`GET /v1/profiles`: who was there last comes first."""

    profiles: list[PersonListed]
    known: int | None
    """People there are in all, of all tenants: cells that are not linked count one by one. Null but for
    the operator."""
    next: str | None
    """What to ask for as `after`; null at the end. A page may hold fewer than asked for, or none, and go on."""


class PlacementListed(msgspec.Struct, frozen=True, rename="camel"):
    """What one placement of a decision was answered."""

    id: str
    served_by: str
    items: int


class DecisionListed(msgspec.Struct, frozen=True, rename="camel"):
    """A decision in a listing; `GET /v1/decisions/{id}` is its receipt."""

    decision_id: str
    at: str
    named: bool
    """Whether somebody was named who may be remembered."""
    placements: list[PlacementListed]
    degraded: list[str]
    took_ms: float | None
    """null where it was made before that was kept."""


class Decisions(msgspec.Struct, frozen=True, rename="camel"):
    """`GET /v1/decisions`: the newest first."""

    decisions: list[DecisionListed]
    next: str | None
    """As in `People`."""


class Timeline(msgspec.Struct, frozen=True, rename="camel"):
    """`GET /v1/profiles/{id}/timeline`: the newest first."""

    entries: list[dict[str, Any]]
    """Events, decisions, links and statements of consent, each as a line of the person's export has it."""
    left_out: int
    """Entries of this page that cannot be read any more."""
    next: str | None
    """As in `People`."""


class _Found(NamedTuple):
    position: int
    record: Record


class Listings:
    """Pages over one partition and its log."""

    def __init__(self, partition: Partition, log: SegmentLog, subjects: KeyStore, profiles: Profiles) -> None:
        self._partition = partition
        self._log = log
        self._subjects = subjects
        self._profiles = profiles

    async def people(self, tenant: str, *, limit: int, after: int | None) -> PeopleListed:
        """Up to `limit` people whose newest event lies before position `after`. Who was erased is not among them."""
        found, following = await asyncio.to_thread(self._read, Tracked, tenant, after)
        listed: list[PersonListed] = []
        seen: set[int] = set()
        state = self._partition.state
        for place, (position, record) in enumerate(found):
            assert isinstance(record, Tracked)
            if record.key in seen or state.received_ms(record.key) != record.received_ms:
                continue  # They are further up, or gone.
            seen.add(record.key)
            identifier = self._identifier(record)
            if identifier is None:
                continue
            linked = sorted(self._profiles.identifiers(record.key) - {identifier})
            listed.append(PersonListed(identifier, linked, record.name, time_text(record.received_ms)))
            if len(listed) == limit:
                following = position if place + 1 < len(found) else following
                break
        known = state.cells_used if tenant == DEFAULT_TENANT else None
        return PeopleListed(listed, known, _next(following))

    async def decisions(self, tenant: str, *, limit: int, after: int | None) -> Decisions:
        """Up to `limit` decisions made before position `after`, those whose receipts can still be read."""
        found, following = await asyncio.to_thread(self._read, Decided, tenant, after)
        listed: list[DecisionListed] = []
        for place, (position, record) in enumerate(found):
            assert isinstance(record, Decided)
            receipt = opened_receipt(record, self._subjects)
            if receipt is None:
                continue
            told = decode_receipt(receipt)
            placements = [PlacementListed(one.id, one.rung, len(one.shown())) for one in told.placements]
            listed.append(DecisionListed(
                record.decision_id, time_text(record.at_ms), record.key != 0, placements, list(told.degraded),
                told.took_ms or None,
            ))  # fmt: skip
            if len(listed) == limit:
                following = position if place + 1 < len(found) else following
                break
        return Decisions(listed, _next(following))

    async def timeline(self, tenant: str, identifier: str, *, limit: int, after: int | None) -> Timeline:
        """Up to `limit` entries of a person that lie before position `after`. Raises `RequestRejected` for nobody."""
        cell = self._subjects.find(tenant, identifier)
        if not cell:
            raise RequestRejected("unknown_profile", "nothing is known under this identifier", status=404)
        cells = frozenset(self._partition.links.naming(cell))
        return await asyncio.to_thread(self._timeline, tenant, cells, limit, after)

    def _timeline(self, tenant: str, cells: frozenset[int], limit: int, after: int | None) -> Timeline:
        """In a thread."""
        frames, following = self._log.read_back(after)
        entries, left_out = list[dict[str, Any]](), 0
        for place, frame in enumerate(reversed(frames)):
            told = line_of(
                read_record(frame.payload), tenant, cells, self._subjects, self._partition.state.catalogue
            )
            left_out += isinstance(told, str)
            if isinstance(told, dict):
                entries.append(told)
            if len(entries) == limit:
                following = frame.position if place + 1 < len(frames) else following
                break
        return Timeline(entries, left_out, _next(following))

    async def named(self, tenant: str, profile: Profile) -> Profile:
        """As `Profiles.named`, in a thread."""
        return await asyncio.to_thread(self._profiles.named, tenant, profile, self._log)

    def _read(self, kind: type[Tracked] | type[Decided], tenant: str, after: int | None) -> tuple[list[_Found], int]:
        """The tenant's records of a kind, the newest first, and where to go on. In a thread."""
        frames, following = self._log.read_back(after)
        return list(_of_kind(kind, tenant, frames)), following

    def _identifier(self, record: Tracked) -> str | None:
        """Whose cell it is; None where the key is gone."""
        event = stored_event(record, self._subjects)
        if event is None:
            return None
        candidates = [f"{ANONYMOUS_PREFIX}{event.get('anonymousId')}", str(event.get("userId"))]
        known = {self._subjects.find(record.tenant, one): one for one in candidates}
        return known.get(record.key) or known.get(record.device)  # What it claims of a user is listed as the device's.


def _of_kind(kind: type[Tracked] | type[Decided], tenant: str, frames: list[Frame]) -> Iterator[_Found]:
    for frame in reversed(frames):
        record = read_record(frame.payload)
        if isinstance(record, kind) and record.tenant == tenant:
            yield _Found(frame.position, record)


def _next(position: int) -> str | None:
    return str(position) if position else None
