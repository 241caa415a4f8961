"""Profiles: what is known of a person, and the person's rights: a copy, consent, erasure, a link taken back."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from ..engine.erase import Eraser
from ..engine.loop import Engine
from ..engine.profile import Profile
from ..events.bodies import body_decoder
from ..events.subjects import ANONYMOUS_PREFIX
from ..foundation.deadline import Deadline
from ..foundation.errors import RequestRejected
from ..foundation.limits import BODY_BYTES_MAX, NAME_CHARS_MAX, PURPOSES_MAX
from .bodies import read_body
from .lines import LinesResponse
from .pages import page_of
from .replies import reply
from .routing import path_id
from .tenancy import caller_of, tenant_of

Purpose = Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX)]


class UnlinkReply(msgspec.Struct):
    """The two are two again; each is exactly what it was."""

    unlinked: bool
    position: str


class ConsentRequest(msgspec.Struct, forbid_unknown_fields=True):
    """`PUT /v1/profiles/{id}/consent`: purposes that are not named stay as they were."""

    purposes: Annotated[dict[Purpose, bool], Meta(min_length=1, max_length=PURPOSES_MAX)]


class ConsentReply(msgspec.Struct):
    """It counts from the next event and decision on."""

    purposes: dict[str, bool]
    position: str


_consent_of = body_decoder(ConsentRequest)


async def list_(engine: Engine, request: Request) -> Response:
    """`GET /v1/profiles`: who is known, whoever was there last first."""
    page = page_of(request)
    await engine.audit.note("profiles.listed", actor=caller_of(request).actor, tenant=tenant_of(request))
    return reply(await engine.listings.people(tenant_of(request), limit=page.limit, after=page.after))


async def get(engine: Engine, request: Request) -> Response:
    """`GET /v1/profiles/{id}`."""
    tenant = tenant_of(request)
    profile = await read_profile(engine, tenant, path_id(request))
    await _note(engine, request, "profile.read")
    return reply(await engine.listings.named(tenant, profile))


async def erase(eraser: Eraser, request: Request) -> Response:
    """`DELETE /v1/profiles/{id}`: erase the person, with every linked id; the signed receipt says what went where."""
    return reply(await eraser.erase(tenant_of(request), path_id(request), actor=caller_of(request).actor))


async def export(engine: Engine, request: Request) -> Response:
    """`GET /v1/profiles/{id}/export`: everything held about the person, one JSON object a line."""
    tenant, identifier = tenant_of(request), path_id(request)
    profile = await read_profile(engine, tenant, identifier)
    await _note(engine, request, "profile.exported")
    first = msgspec.json.encode({"kind": "profile", "profile": profile}) + b"\n"
    return LinesResponse(engine.export(tenant, identifier), first=first)


async def timeline(engine: Engine, request: Request) -> Response:
    """`GET /v1/profiles/{id}/timeline`: what a person did and was shown, the newest first."""
    page = page_of(request)
    tenant, identifier = tenant_of(request), path_id(request)
    await engine.journal.settled()
    told = await engine.listings.timeline(tenant, identifier, limit=page.limit, after=page.after)
    await _note(engine, request, "profile.timeline")
    return reply(told)


async def consent(engine: Engine, request: Request) -> Response:
    """`PUT /v1/profiles/{id}/consent`: state what the person has agreed to."""
    stated = _consent_of(await read_body(request, bytes_max=BODY_BYTES_MAX))
    tenant, identifier = tenant_of(request), path_id(request)
    _check_identifier(identifier)
    position = await engine.consent(tenant, identifier, stated.purposes, actor=caller_of(request).actor)
    return reply(ConsentReply(engine.consent_of(tenant, identifier), str(position)))


async def unlink(engine: Engine, request: Request) -> Response:
    """`DELETE /v1/profiles/{id}/links/{linked}`: take the link between the two back."""
    caller = caller_of(request)
    tenant = caller.tenant
    owner = engine.subjects.find(tenant, path_id(request))
    cell = engine.subjects.find(tenant, path_id(request, "linked"))
    if not owner or not cell or not engine.partition.links.are_linked(cell, owner):
        raise RequestRejected("not_linked", "no such link", status=404)
    position = await engine.unlink(tenant, cell, owner, actor=caller.actor)
    return reply(UnlinkReply(True, str(position)))


async def _note(engine: Engine, request: Request, act: str) -> None:
    """Note that an administrator sees what is held about a person, before it is answered."""
    await engine.note_person_seen(act, caller_of(request).actor, tenant_of(request), path_id(request))


def _check_identifier(identifier: str) -> None:
    """Refuse what no event could name: nobody could ever be behind it."""
    plain = identifier.removeprefix(ANONYMOUS_PREFIX)
    if not plain or plain.isspace() or any(character < " " or "\x7f" <= character <= "\x9f" for character in plain):
        raise RequestRejected("schema", "that cannot be the id of a person")


async def read_profile(engine: Engine, tenant: str, identifier: str) -> Profile:
    """The profile; whoever lies on disk is read beside the loop, unless that takes longer than a decision may."""
    left_ms = Deadline(engine.options.deadline_ms).left_ms
    await engine.fetch_person(lambda: engine.profiles.cells_read(tenant, identifier), left_ms=left_ms)
    return engine.profiles.profile(tenant, identifier, now_ms=engine.clock.now_ms())
