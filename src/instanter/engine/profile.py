"""A person as the engine sees them now: identifiers, live session, features; references named where names are known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from ..events.envelope import Tracked, read_record
from ..features.described import Described
from ..features.view import Person, Reader
from ..foundation.errors import RequestRejected
from ..foundation.limits import LINKED_CELLS_MAX
from ..log.segment_log import SegmentLog
from ..privacy.subjects import KeyStore
from ..state.layout import BySource
from ..state.memory import State
from .export import ids_of, stored_event
from .partition import Partition


class Profile(msgspec.Struct, frozen=True, rename="camel"):
    """`GET /v1/profiles/{id}`."""

    id: str
    linked: list[str]
    """The other identifiers of the same person."""
    known: bool
    in_session: bool
    features: dict[str, float | list[dict[str, Any]] | None]
    """Numbers by name, null where one is missing; lists as [{"name", "score" or "atMs"}], strongest or newest first.
    The name is null, with the "ref" beside it, where neither the catalogue nor the person's newest events know it any
    more."""
    segments: list[str]
    consent: dict[str, bool]
    position: str
    session_features: list[str] = []
    """The names of those features that tell of the live session; the others tell of all that came before, too."""
    described: dict[str, Described] = {}
    """What each feature is, in words, with its unit."""


def most_active(state: State, cells: Sequence[int], *, first: int) -> list[int]:
    """Of the cells of a person those that are read together: `first`, then those that something came of last."""
    if len(cells) <= LINKED_CELLS_MAX:
        return sorted(cells, key=lambda cell: cell != first)
    received_ms = state.received_of(cells)
    order = sorted(range(len(cells)), key=lambda place: (cells[place] != first, -received_ms[place], cells[place]))
    return [cells[place] for place in order[:LINKED_CELLS_MAX]]


class Profiles:
    """Reads profiles of one partition."""

    def __init__(self, partition: Partition, reader: Reader, subjects: KeyStore) -> None:
        self._partition = partition
        self._reader = reader
        self._subjects = subjects

    def cells_read(self, tenant: str, identifier: str) -> list[int]:
        """The cells that a profile is read from; none for nobody."""
        cell = self._subjects.find(tenant, identifier)
        cells = self._partition.links.cells(cell) if cell else []
        return most_active(self._partition.state, cells, first=cell)

    def profile(self, tenant: str, identifier: str, *, now_ms: int) -> Profile:
        """The profile, or `RequestRejected` when nothing is known under this identifier."""
        cell = self._subjects.find(tenant, identifier)
        partition = self._partition
        cells = partition.links.cells(cell) if cell else []
        person = self._reader.person(partition.state, self.cells_read(tenant, identifier), now_ms)
        consent = partition.consents.of(cells)
        if not cell or not (person.known or consent):
            raise RequestRejected("unknown_profile", "nothing is known under this identifier", status=404)
        return Profile(
            id=identifier,
            linked=sorted(self.identifiers(cell) - {identifier}),
            known=person.known,
            in_session=person.in_session,
            features=self._features(tenant, person),
            segments=[],
            consent=consent,
            position=str(partition.position),
            session_features=list(self._reader.of_session),
            described=self._reader.described,
        )

    def identifiers(self, cell: int) -> set[str]:
        """All ids of the person whose cell it is that links name."""
        links = self._partition.links.of_profile(cell)
        return {identifier for link in links for identifier in ids_of(link, self._subjects)}

    def _features(self, tenant: str, person: Person) -> dict[str, float | list[dict[str, Any]] | None]:
        features: dict[str, float | list[dict[str, Any]] | None] = {
            name: value if value == value else None for name, value in person.numbers.items()
        }
        for name, (refs, scores) in person.tops.items():
            features[name] = [
                {**self._name(tenant, name, int(ref)), "score": float(score)}
                for ref, score in zip(refs, scores, strict=True)
            ]
        for name, (refs, times_ms) in person.lasts.items():
            features[name] = [
                {**self._name(tenant, name, int(ref)), "atMs": int(at)} for ref, at in zip(refs, times_ms, strict=True)
            ]
        return features

    def _name(self, tenant: str, feature: str, ref: int) -> dict[str, Any]:
        spec = self._partition.state.schema.feature(feature)
        catalogue = self._partition.state.catalogue
        name = catalogue.name_of(tenant, ref) if spec.by is BySource.ITEM else catalogue.text_of(tenant, ref)
        return {"name": name} if name is not None else {"name": None, "ref": _shown(ref)}

    def named(self, tenant: str, profile: Profile, log: SegmentLog) -> Profile:
        """The profile with names from the person's newest events for what the catalogue cannot name: items it does not
        hold, and countries, campaigns and the like. Looks at one page of the log; may run in a thread."""
        unnamed = {entry["ref"] for entry in _entries(profile) if entry["name"] is None}
        if not unnamed:
            return profile
        cells = frozenset(self._partition.links.cells(self._subjects.find(tenant, profile.id)))
        names: dict[str, str] = {}
        references = self._partition.references
        for frame in log.read_back()[0]:
            record = read_record(frame.payload)
            if not isinstance(record, Tracked) or record.key not in cells:
                continue
            for text in msgspec.structs.astuple(record.context):
                names[_shown(references.of(text))] = text
            event = stored_event(record, self._subjects) if record.items else None
            for text in _texts(event.get("properties") if event else None):
                names[_shown(references.item(tenant, text))] = text
        features = {
            name: value if not isinstance(value, list) else [
                {key: one for key, one in {**entry, "name": names.get(entry.get("ref", ""), entry["name"])}.items()
                 if key != "ref" or entry["ref"] not in names}
                for entry in value
            ]
            for name, value in profile.features.items()
        }  # fmt: skip
        return msgspec.structs.replace(profile, features=features)


def _entries(profile: Profile) -> Iterator[dict[str, Any]]:
    for value in profile.features.values():
        if isinstance(value, list):
            yield from value


def _texts(value: object) -> Iterator[str]:
    """All texts of an event's properties, and its whole numbers as ids have them."""
    if isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, str | int):
        yield str(value)


def _shown(ref: int) -> str:
    return f"{ref & 0xFFFFFFFFFFFFFFFF:016x}"
