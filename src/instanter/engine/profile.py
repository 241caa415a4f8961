"""A person as the engine sees them now: identifiers, live session, features; references named where names are known."""

from __future__ import annotations

from typing import Any

import msgspec

from ..features.view import Person, Reader
from ..foundation.errors import RequestRejected
from ..privacy.subjects import KeyStore
from ..state.layout import BySource
from .export import ids_of
from .partition import Partition


class Profile(msgspec.Struct, frozen=True, rename="camel"):
    """`GET /v1/profiles/{id}`."""

    id: str
    linked: list[str]
    """The other identifiers of the same person."""
    known: bool
    in_session: bool
    features: dict[str, float | list[dict[str, Any]]]
    """Numbers by name; lists as [{"name" or "ref", "score" or "atMs"}], strongest or newest first."""
    segments: list[str]
    consent: dict[str, bool]
    position: str


class Profiles:
    """Reads profiles of one partition."""

    def __init__(self, partition: Partition, reader: Reader, subjects: KeyStore) -> None:
        self._partition = partition
        self._reader = reader
        self._subjects = subjects

    def profile(self, tenant: str, identifier: str, *, now_ms: int) -> Profile:
        """The profile, or `RequestRejected` when nothing is known under this identifier."""
        cell = self._subjects.find(tenant, identifier)
        partition = self._partition
        keys = partition.links.cells(cell)
        person = self._reader.person(partition.state, keys, now_ms)
        consent = partition.consents.of(keys)
        if not cell or not (person.known or consent):
            raise RequestRejected("unknown_profile", "nothing is known under this identifier", status=404)
        return Profile(
            id=identifier,
            linked=sorted(self._linked(cell) - {identifier}),
            known=person.known,
            in_session=person.in_session,
            features=self._features(person),
            segments=[],
            consent=consent,
            position=str(partition.position),
        )

    def _linked(self, cell: int) -> set[str]:
        links = self._partition.links.of_profile(cell)
        return {identifier for link in links for identifier in ids_of(link, self._subjects)}

    def _features(self, person: Person) -> dict[str, float | list[dict[str, Any]]]:
        features: dict[str, float | list[dict[str, Any]]] = dict(person.numbers)
        for name, (refs, scores) in person.tops.items():
            features[name] = [
                {**self._name(name, int(ref)), "score": float(score)} for ref, score in zip(refs, scores, strict=True)
            ]
        for name, (refs, times_ms) in person.lasts.items():
            features[name] = [
                {**self._name(name, int(ref)), "atMs": int(at)} for ref, at in zip(refs, times_ms, strict=True)
            ]
        return features

    def _name(self, feature: str, ref: int) -> dict[str, Any]:
        spec = self._partition.state.schema.feature(feature)
        catalogue = self._partition.state.catalogue
        name = catalogue.name_of(ref) if spec.by is BySource.ITEM else catalogue.text_of(ref)
        return {"name": name} if name is not None else {"ref": f"{ref & 0xFFFFFFFFFFFFFFFF:016x}"}
