"""Who is known and what was decided of late: pages read from the end of the log back, each of bounded work.

People stand in the state under pseudonyms, and no id is kept beside them: who somebody is is read from the body of
their newest event, where their key still opens it. So people are listed from the newest event on, each once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec

from ..events.envelope import Decided, Record, Tracked, read_record
from ..events.subjects import ANONYMOUS_PREFIX
from ..events.times import time_text
from ..foundation.errors import RequestRejected
from ..foundation.limits import FRAME_BYTES_MAX, TIMELINE_PIECES_MAX
from ..log.frames import Frame
from ..log.segment_log import SegmentLog
from ..log.segments import FIND_BYTES
from ..privacy.access import DEFAULT_TENANT
from ..privacy.subjects import KeyStore
from .export import line_of, read_receipt, stored_event
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
    looked_bytes: int
    """Of the log, what was looked through for them."""
    passed_over: PassedOver | None
    """A part of the log that was not, since no event of theirs lies there."""


class PassedOver(msgspec.Struct, frozen=True):
    """Newer than somebody's newest event: what was decided about them without an event of theirs may lie there."""

    after: str
    """Ask for this as `after` to look there."""
    down_to: str = msgspec.field(name="downTo")
    """Position at which it ends."""


RECEIVED_WITHIN_MS: Final = 1_000
"""So much later than it was received a record of an event may stand in the log."""
NEEDLES_MAX: Final = 16
"""Cells of a person that are looked for in bytes; with more, every record is read."""


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
            told = read_receipt(record, self._subjects)
            if told is None:
                continue
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
        newest_ms = max(self._partition.state.received_of(sorted(cells)), default=0)
        return await asyncio.to_thread(self._timeline, tenant, cells, limit, after, newest_ms)

    def _timeline(
        self, tenant: str, cells: frozenset[int], limit: int, after: int | None, newest_ms: int
    ) -> Timeline:
        """From `after` back, and where nothing of theirs lies among the newest records of all, from their newest event
        on. In a thread."""
        catalogue = self._partition.state.catalogue
        told = partial(line_of, tenant=tenant, cells=cells, subjects=self._subjects, catalogue=catalogue)
        looking = _Looking(self._log, told, _named_by(cells), limit)
        looking.look_back(after)
        passed_over = None
        if after is None and looking.following and looking.has_nothing and newest_ms:
            behind = self._log.find_time(newest_ms + RECEIVED_WITHIN_MS) + FIND_BYTES + FRAME_BYTES_MAX
            if behind < looking.following:
                passed_over = PassedOver(str(looking.following), str(behind))
                looking.look_back(behind)
        return Timeline(
            looking.entries, looking.left_out, _next(looking.following), looking.looked_bytes, passed_over
        )

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


class _Looking:
    """Goes through the log from a position back, for one person."""

    def __init__(
        self, log: SegmentLog, told: Callable[[object], dict[str, Any] | str | None], names: Callable[[bytes], bool],
        limit: int,
    ) -> None:  # fmt: skip
        """`told` is `line_of`; `names` says of a payload whether it may be theirs, for less than reading it costs."""
        self._log = log
        self._told = told
        self._names = names
        self._limit = limit
        self.entries: list[dict[str, Any]] = []
        self.left_out = 0
        self.following = 0
        """Position to go on from; 0 when there is nothing older."""
        self.looked_bytes = 0

    @property
    def has_nothing(self) -> bool:
        """Whether nothing of theirs was met so far."""
        return not self.entries and not self.left_out

    def look_back(self, before: int | None) -> None:
        """Look through `TIMELINE_PIECES_MAX` pieces, until there are as many entries as asked for."""
        for _ in range(TIMELINE_PIECES_MAX):
            frames, self.following = self._log.read_back(before)
            self._take(frames)
            if len(self.entries) == self._limit or not self.following:
                return
            before = self.following

    def _take(self, frames: list[Frame]) -> None:
        end = frames[-1].end if frames else 0
        for place, frame in enumerate(reversed(frames)):
            if not self._names(frame.payload):
                continue
            told = self._told(read_record(frame.payload))
            self.left_out += isinstance(told, str)
            if isinstance(told, dict):
                self.entries.append(told)
            if len(self.entries) == self._limit:
                self.following = frame.position if place + 1 < len(frames) else self.following
                break
        self.looked_bytes += end - (self.following or (frames[0].position if frames else 0))


def _named_by(cells: frozenset[int]) -> Callable[[bytes], bool]:
    """Says of the bytes of a record whether one of these cells may stand in them: without it, it is not theirs."""
    if len(cells) > NEEDLES_MAX:
        return lambda payload: True
    needles = [msgspec.msgpack.encode(cell) for cell in cells]
    return lambda payload: any(needle in payload for needle in needles)


def _of_kind(kind: type[Tracked] | type[Decided], tenant: str, frames: list[Frame]) -> Iterator[_Found]:
    for frame in reversed(frames):
        record = read_record(frame.payload)
        if isinstance(record, kind) and record.tenant == tenant:
            yield _Found(frame.position, record)


def _next(position: int) -> str | None:
    return str(position) if position else None
