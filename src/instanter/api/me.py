"""`/v1/me`: what visitors may ask about themselves and do, by a proof of their own beside the page's access key.

The proof is a user token that the shop's server has signed, or the secret that `web/instanter.js` made on the device:
`anonymousId` is `v_` and the beginning of the secret's hash, so whoever knows the secret is that device, and nobody
finds a secret for the id of another. Ids that were made otherwise cannot be asked for by a secret.

A secret proves the device and not who signs in there: once somebody has, what is theirs takes their token.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ..decisions.receipt import PlacementReceipt, decode_receipt, id_of
from ..engine.loop import Engine
from ..engine.profile import Profile
from ..events.bodies import body_decoder
from ..events.subjects import ANONYMOUS_PREFIX
from ..events.times import time_text
from ..foundation.errors import RequestRejected
from ..foundation.limits import (
    BODY_BYTES_MAX,
    VISITOR_ERASURE_COST,
    VISITOR_EXPORT_COST,
    VISITOR_SECRET_CHARS_MAX,
    VISITOR_WHY_COST,
)
from ..state.layout import BySource
from .auth import count_rights
from .bodies import read_body
from .decide import read_receipt
from .lines import LinesResponse
from .profiles import ConsentReply, ConsentRequest, read_profile
from .replies import reply
from .routing import path_id
from .tenancy import caller_of, tenant_of, user_token_of

VISITOR_PREFIX: Final = "v_"
"""How the `anonymousId` of a device with a secret begins."""
HASH_CHARS: Final = 22
"""Of the hash of the secret, in base64url: 132 bits."""
SECRET_CHARS_MIN: Final = 22
_SECRET: Final = re.compile(rf"[A-Za-z0-9_-]{{{SECRET_CHARS_MIN},{VISITOR_SECRET_CHARS_MAX}}}")
_PROOF: Final = (
    "this asks who you are: X-User-Token with a token that the shop's server has signed, or X-Visitor-Secret with what "
    "the device keeps"
)
_NOT_PROVED: Final = "that proves nobody"
_SIGNED_IN: Final = "somebody has signed in on this device: what is known of them takes their user token"
_SAID: Final = {
    "session_categories": "In this visit you look at {}.",
    "session_brands": "In this visit you look at the brands {}.",
    "session_price": "What you look at in this visit costs about {}.",
    "session_items": "In this visit you have looked at {}.",
    "category_affinity": "You like {}.",
    "brand_affinity": "You like the brands {}.",
    "bought_items": "You have bought {}.",
    "price_level": "What you look at costs about {}.",
    "views": "You have viewed {} products in the last 24 hours.",
    "orders": "You have ordered {} times.",
    "last_seen": "You were here {} seconds ago.",
    "cart_items": "In your cart there is {}.",
    "wishlist_items": "On your wishlist there is {}.",
    "searches": "You have searched {} times in the last 24 hours.",
}
"""Sentences about the built-in features; of others the name is told."""
_RUNGS: Final = {
    "personal": "It was put together for you, by what is known of you.",
    "session": "It was put together by what you did in that visit.",
    "popular": "It shows what many like. Nothing of you was used for its order.",
    "default": "It shows what everybody sees.",
}
_consent_of = body_decoder(ConsentRequest)


class MeReply(msgspec.Struct, rename="camel"):
    """`GET /v1/me`: what is known of whoever asks."""

    ids: list[str]
    """Under which it is known: user ids, and devices as `anonymous:<id>`."""
    known: bool
    words: list[str]
    """In sentences, for people."""
    consent: dict[str, bool]
    features: dict[str, float | list[dict[str, Any]] | None]
    position: str


class ShownToMe(msgspec.Struct, rename="camel", omit_defaults=True):
    """An item of a list that was shown."""

    id: str
    position: int
    title: str = ""
    drawn: bool = False
    """Its place was drawn, so that the shop learns what people like."""


class ListToldMe(msgspec.Struct, rename="camel"):
    """Why a list was as it was."""

    served_by: str
    """The rung: personal, session, popular or default."""
    words: list[str]
    items: list[ShownToMe]


class MyDecisionReply(msgspec.Struct, rename="camel"):
    """`GET /v1/me/decisions/{id}`."""

    decision_id: str
    at: str
    placements: dict[str, ListToldMe]


async def get(engine: Engine, request: Request) -> Response:
    """`GET /v1/me`."""
    tenant = tenant_of(request)
    profile = await read_profile(engine, tenant, _person(engine, request))
    profile = await engine.listings.named(tenant, profile)
    return reply(MeReply(
        [profile.id, *profile.linked], profile.known, list(_words(engine, request, profile)), profile.consent,
        profile.features, profile.position,
    ))  # fmt: skip


async def decision(engine: Engine, request: Request) -> Response:
    """`GET /v1/me/decisions/{id}`: why a list was shown; of decisions for others as if there were none."""
    tenant, person = tenant_of(request), _person(engine, request)
    _count(request, VISITOR_WHY_COST)
    cells = frozenset(engine.partition.links.cells(engine.subjects.find(tenant, person)))
    receipt = decode_receipt(await read_receipt(engine, tenant, path_id(request), only_of=cells))
    refused = f"You have not agreed to {_listed(receipt.denied)}: what is kept for that was not used."
    told = [refused] if receipt.denied else []
    return reply(MyDecisionReply(
        receipt.decision_id, time_text(receipt.at_ms),
        {one.id: _told(engine, request, one, told) for one in receipt.placements},
    ))  # fmt: skip


async def export(engine: Engine, request: Request) -> Response:
    """`GET /v1/me/export`: everything held, one JSON object a line."""
    tenant, person = tenant_of(request), _person(engine, request)
    profile = await read_profile(engine, tenant, person)
    _count(request, VISITOR_EXPORT_COST)
    await engine.journal.settled()
    first = msgspec.json.encode({"kind": "profile", "profile": profile}) + b"\n"
    return LinesResponse(engine.export(tenant, person), first=first)


async def consent(engine: Engine, request: Request) -> Response:
    """`PUT /v1/me/consent`: state what one agrees to. Nobody becomes known by that."""
    stated = _consent_of(await read_body(request, bytes_max=BODY_BYTES_MAX))
    tenant, person = tenant_of(request), _person(engine, request)
    position = await engine.consent(tenant, person, stated.purposes, actor=caller_of(request).actor)
    return reply(ConsentReply(engine.consent_of(tenant, person), str(position)))


async def erase(engine: Engine, request: Request) -> Response:
    """`DELETE /v1/me`: erase whoever asks; the signed receipt says what went where."""
    tenant, person = tenant_of(request), _person(engine, request)
    _count(request, VISITOR_ERASURE_COST)
    return reply(await engine.eraser.erase(tenant, person, actor=caller_of(request).actor))


def visitor_id(secret: str) -> str:
    """The `anonymousId` of the device that keeps a secret.

    >>> visitor_id("0123456789abcdef0123456789abcdef")
    'v_PrG9Q5lH63YpmOVmzMLgmc'
    """
    digest = hashlib.sha256(secret.encode()).digest()
    return VISITOR_PREFIX + base64.urlsafe_b64encode(digest).decode()[:HASH_CHARS]


def _person(engine: Engine, request: Request) -> str:
    """Who has proved to be asking, as profiles name people; somebody of whom something is known.

    Raises `RequestRejected`: 400 without a proof, 403 for one that proves nobody, 404 where nothing is known. A token
    that is good goes before a secret.
    """
    tenant, token, secret = tenant_of(request), user_token_of(request), request.headers.get("x-visitor-secret", "")
    if not token and not secret:
        raise RequestRejected("proof_missing", _PROOF)
    user = engine.signing.user_of(tenant, token, engine.clock.now_ms())
    if not user and not _SECRET.fullmatch(secret):
        raise RequestRejected("forbidden", _NOT_PROVED, status=403)
    person = user or ANONYMOUS_PREFIX + visitor_id(secret)
    cell = engine.subjects.find(tenant, person)
    if not cell:
        raise RequestRejected("unknown_profile", "nothing is known of you", status=404)
    if not user and not request.app.state.dev and engine.partition.links.is_anybodys(cell):
        raise RequestRejected("forbidden", _SIGNED_IN, status=403)
    return person


def _count(request: Request, cost: int) -> None:
    """Count what takes long against what pages may ask for of it. A key that is secret is its holder's to spend."""
    if caller_of(request).public:
        count_rights(request, cost)


def _words(engine: Engine, request: Request, profile: Profile) -> Iterator[str]:
    """What is known, in sentences; what is nothing is not said."""
    schema, named = engine.partition.state.schema, False
    for feature, value in profile.features.items():
        if not value:
            continue
        if isinstance(value, list):
            by_item = schema.feature(feature).by is BySource.ITEM
            known = [str(one["name"]) for one in value if one["name"] is not None]
            said = _listed([_title(engine, request, one) or one for one in known] if by_item else known)
        else:
            said = f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"
        if said:
            named = True
            yield _SAID.get(feature, feature.replace("_", " ") + ": {}.").format(said)
    if not named:
        yield "Nothing but that you were here."
    if profile.consent.get("personalization") is False:
        yield "You do not want to be remembered: nothing new is kept, and lists are as for everybody."


def _told(engine: Engine, request: Request, placement: PlacementReceipt, told: list[str]) -> ListToldMe:
    slot, tenant = placement.slot, tenant_of(request)
    ids = [id_of(ref, tenant, engine.partition.state.catalogue) for ref in placement.shown()]
    items = [
        ShownToMe(item, position, _title(engine, request, item), slot is not None and slot.position == position)
        for position, item in enumerate(ids, start=1)
    ]  # fmt: skip
    drawn = ["One place was drawn by chance, so that the shop learns what people like."] if slot is not None else []
    return ListToldMe(placement.rung, [_RUNGS[placement.rung], *drawn, *told], items)


def _title(engine: Engine, request: Request, item_id: str) -> str:
    """How the catalogue calls an item, where everybody may read that; "" where it does not."""
    public = engine.options.catalogue.public_fields
    item = engine.partition.state.catalogue.get(tenant_of(request), item_id)
    title = item.fields.get("title") if item is not None and (public is None or "title" in public) else None
    return title if isinstance(title, str) else ""


def _listed(names: Sequence[str]) -> str:
    """Names in a sentence.

    >>> _listed(["a", "b", "c"]), _listed(["a"]), _listed([])
    ('a, b and c', 'a', '')
    """
    *first, last = names or [""]
    return f"{', '.join(first)} and {last}" if first else last
