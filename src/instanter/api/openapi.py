"""The OpenAPI document, generated from the types that the routes decode and encode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from .. import __version__
from ..decisions.receipt import ReceiptReply
from ..decisions.request import CompleteReply, CompleteRequest, DecideReply, DecideRequest, RankReply, RankRequest
from ..engine.acts import Acts
from ..engine.effects import DataHealth
from ..engine.erase import ErasureReceipt
from ..engine.importing import PieceTaken
from ..engine.listing import Decisions, PeopleListed, Timeline
from ..engine.profile import Profile
from ..engine.quarantine import Listing
from ..engine.remapping import RemapStep
from ..engine.repair import EntryReply, RepairReply, RepairRequest
from ..engine.streaming.kinds import KIND_NAMES
from ..events.schema import SentContext, TrackingEvent, WireTime
from ..foundation.limits import (
    BATCH_BYTES_MAX,
    BATCH_EVENTS_MAX,
    BODY_BYTES_MAX,
    EVENT_BYTES_MAX,
    ID_CHARS_MAX,
    ITEMS_LISTED_MAX,
    PAGE_ENTRIES_MAX,
)
from ..privacy.roles import roles_with, wide_with
from .decide import EXPLAIN, ITEM, ExplainedReply, ReplayReply, WhyReply
from .imports import ImportListing, PieceRequest
from .items import (
    ChangeReply,
    DeleteReply,
    DeleteRequest,
    ItemListing,
    ItemReply,
    ItemsReply,
    ItemsRequest,
    PatchRequest,
)
from .jobs import JobListing, JobShown
from .keys import KeyCreated, KeyListing, KeyRequest, KeyShown
from .learners import LearnerListing, LearnerRequest, LearnerShown
from .library import LIBRARY_MEDIA_TYPE
from .lines import NDJSON_MEDIA_TYPE
from .live import LiveReply
from .me import MeReply, MyDecisionReply
from .models import ModelListing, ModelRequest, ModelShown, TrainedListing
from .operations import HealthReply, NotReadyReply, ReadyReply, StateReply, WelcomeReply
from .profiles import ConsentReply, ConsentRequest, UnlinkReply
from .remap import RemapRequest
from .routing import Resource
from .signing import SecretCreated, SecretListing, SecretShown
from .stream import EVENT_STREAM, OLDEST
from .track import SINGLE_ROUTES, TrackReply
from .whatif import WhatIfReply, WhatIfRequest

ERROR = "#/components/schemas/Error"
TRACKING_ERROR = "#/components/schemas/TrackingError"

_LIMITED = (429,)
_STORES = (429, 503, 507)
_BODY = (400, 408, 413, 415)


class BatchRequest(msgspec.Struct, rename="camel"):
    """Many events in one body. `context` holds defaults; what an event says itself stands."""

    batch: Annotated[list[TrackingEvent], Meta(max_length=BATCH_EVENTS_MAX)]
    sent_at: WireTime | None = None
    context: SentContext | None = None
    write_key: str | None = None


class SignedErasureReply(msgspec.Struct, rename="camel"):
    """Reply of `DELETE /v1/profiles/{id}`. The signature (Ed25519, hexadecimal) is over the bytes of `receipt`."""

    receipt: ErasureReceipt
    signature: str
    public_key: str


class Operation(NamedTuple):
    """One route as the document describes it."""

    method: str
    path: str
    summary: str
    request: type | None = None
    reply: type | None = None
    errors: tuple[int, ...] = ()
    tracking: bool = False
    media_type: str = "application/json"
    accepted: type | None = None
    """The reply to a call whose work goes on, with 202."""
    other_replies: tuple[type, ...] = ()
    """Replies where a parameter of the query asks for something else."""
    query: tuple[tuple[str, dict[str, Any], str], ...] = ()
    """Name, schema and meaning of what may stand in the query."""
    proved: bool = False
    """Whether it is for visitors, who prove who they are beside the access key."""


_AFTER = ("after", {"type": "string"}, "What the page before says as `next`")
_VECTOR = ("vector", {"enum": ["true", "false"]}, "Also the vectors of items, as they are kept")
_COUNTS = ("counts", {"enum": ["true", "false"]}, "Also how often items were shown, clicked and so on")
_PAGE = (("limit", {"type": "integer", "minimum": 1, "maximum": PAGE_ENTRIES_MAX}, "Entries of the page"), _AFTER)

OPERATIONS = (
    *(
        Operation(
            "post", f"/v1/{kind}", f"Take one {kind} event of at most {EVENT_BYTES_MAX // 1024} KiB",
            TrackingEvent, TrackReply, (*_BODY, *_STORES), tracking=True)
        for kind in SINGLE_ROUTES
    ),
    Operation(
        "post", "/v1/batch", f"Take many events, at most {BATCH_BYTES_MAX // 1024} KiB; bad ones are set aside",
        BatchRequest, TrackReply, (*_BODY, *_STORES), tracking=True),
    Operation("post", "/v1/decide", "Decide what a person sees", DecideRequest, DecideReply, (*_BODY, *_STORES)),
    Operation("post", "/v1/rank", "Order the caller's own list", RankRequest, RankReply, (*_BODY, *_STORES)),
    Operation(
        "post", "/v1/complete", "Complete what is being typed into a search box, with items that match",
        CompleteRequest, CompleteReply, (*_BODY, 429, 503)),
    Operation(
        "get", "/v1/decisions", "The newest decisions, a page at a time", reply=Decisions, errors=(400, 429),
        query=_PAGE),
    Operation(
        "get", "/v1/decisions/{id}", "The receipt of a decision; or its reasons, or what became of an item in it, told "
        "by making it again: 202 and a job when that takes long", reply=ReceiptReply,
        errors=(400, 404, 409, 410, 429, 503), accepted=JobShown, other_replies=(WhyReply, ExplainedReply), query=(
            (ITEM, {"type": "string", "minLength": 1, "maxLength": ID_CHARS_MAX}, "Why this item is in a list of the "
             "decision, or why it is not: its id"),
            (EXPLAIN, {"enum": ["true", "false"]}, "The lists with scores, reasons and what was ruled out"),
        )),
    Operation(
        "post", "/v1/decisions/{id}/replay", "Make a decision again from the log; 202 and a job when that takes long",
        reply=ReplayReply, errors=(*_BODY, 404, 410, 429, 503), accepted=JobShown),
    Operation(
        "post", "/v1/decisions/{id}/whatif", "What the decision would have shown if something had been otherwise; 202 "
        "and a job when that takes long", WhatIfRequest, WhatIfReply, (*_BODY, 404, 410, 429, 503), accepted=JobShown),
    Operation("get", "/v1/jobs", "The tenant's jobs, the newest first", reply=JobListing, errors=_LIMITED),
    Operation(
        "get", "/v1/jobs/{id}", "How a job stands, and what came of it", reply=JobShown, errors=(400, 404, 410, 429)),
    Operation(
        "post", "/v1/items", f"Put items into the catalogue, at most {BODY_BYTES_MAX // 1024} KiB; bad ones are told",
        ItemsRequest, ItemsReply, (*_BODY, 404, 409, *_STORES), query=(
            ("replace", {"type": "string"}, "`begin`, or the token that its reply gave: this is a part of the feed"),
            ("commit", {"enum": ["true", "false"]}, "The feed is whole: what was there and not in it is deleted"),
            ("force", {"enum": ["true", "false"]}, "Also where that is more than half of the catalogue"),
        )),
    Operation(
        "get", "/v1/items", "The catalogue, page by page", reply=ItemListing, errors=(400, 409, 429), query=(
            ("limit", {"type": "integer", "minimum": 1, "maximum": ITEMS_LISTED_MAX}, "Items of the page"),
            _AFTER, _VECTOR, _COUNTS,
            ("query", {"type": "string"}, "Words: the available items that have them, the best first, on one page"),
        )),
    Operation(
        "post", "/v1/items/delete", "Take items out", DeleteRequest, DeleteReply, (*_BODY, *_STORES)),
    Operation(
        "get", "/v1/items/{id}", "An item", reply=ItemReply, errors=(400, 404, 409, 429), query=(_VECTOR, _COUNTS)),
    Operation(
        "patch", "/v1/items/{id}", "Change fields of an item; null removes one", PatchRequest, ChangeReply,
        (*_BODY, 404, 409, *_STORES)),
    Operation("delete", "/v1/items/{id}", "Take an item out", reply=ChangeReply, errors=(400, 404, 409, *_STORES)),
    Operation(
        "get", "/v1/imports", "What is known of imports, and the names of events that features hear",
        reply=ImportListing, errors=_LIMITED),
    Operation(
        "post", "/v1/imports", "Take a piece of what cannot be read again", PieceRequest, PieceTaken,
        (*_BODY, *_STORES)),
    Operation(
        "post", "/v1/imports/{id}", "Take a piece of a file; each line has one effect however often it is sent",
        PieceRequest, PieceTaken, (*_BODY, 404, *_STORES)),
    Operation(
        "get", "/v1/me", "What is known of whoever asks, in words and numbers", reply=MeReply,
        errors=(400, 404, *_STORES), proved=True),
    Operation(
        "delete", "/v1/me", "Erase whoever asks", reply=SignedErasureReply, errors=(400, 404, *_STORES), proved=True),
    Operation(
        "get", "/v1/me/decisions/{id}", "Why a list was shown to whoever asks", reply=MyDecisionReply,
        errors=(400, 404, 410, 429), proved=True),
    Operation(
        "get", "/v1/me/export", "Everything held about whoever asks, one JSON object a line",
        errors=(400, 404, *_STORES), media_type=NDJSON_MEDIA_TYPE, proved=True),
    Operation(
        "put", "/v1/me/consent", "State what whoever asks agrees to", ConsentRequest, ConsentReply,
        (*_BODY, 404, *_STORES), proved=True),
    Operation(
        "get", "/v1/profiles", "Who is known, a page at a time; whoever was there last first", reply=PeopleListed,
        errors=(400, *_STORES), query=_PAGE),
    Operation(
        "get", "/v1/profiles/{id}", "What is known of a person: a user id, or anonymous:<id>", reply=Profile,
        errors=(400, 404, *_STORES)),
    Operation(
        "delete", "/v1/profiles/{id}/links/{linked}", "Take the link between two identifiers back", reply=UnlinkReply,
        errors=(400, 404, *_STORES)),
    Operation(
        "delete", "/v1/profiles/{id}", "Erase a person", reply=SignedErasureReply, errors=(400, 404, *_STORES)),
    Operation(
        "get", "/v1/profiles/{id}/export", "Everything held about a person, one JSON object a line",
        errors=(400, 404, *_STORES), media_type=NDJSON_MEDIA_TYPE),
    Operation(
        "get", "/v1/profiles/{id}/timeline", "What a person did and was shown, the newest first, a page at a time",
        reply=Timeline, errors=(400, 404, *_STORES), query=_PAGE),
    Operation(
        "put", "/v1/profiles/{id}/consent", "State what a person has agreed to", ConsentRequest, ConsentReply,
        (*_BODY, *_STORES)),
    Operation(
        "post", "/v1/keys", "Make an access key of the caller's tenant; the reply is the only place it ever stands in",
        KeyRequest, KeyCreated, (*_BODY, *_STORES)),
    Operation("get", "/v1/keys", "The tenant's access keys, the oldest first", reply=KeyListing, errors=_LIMITED),
    Operation(
        "delete", "/v1/keys/{id}", "Revoke an access key", reply=KeyShown, errors=(400, 404, *_STORES)),
    Operation(
        "post", "/v1/signing-secrets", "Make a secret that user tokens are signed under; the reply is the only place "
        "it ever stands in", reply=SecretCreated, errors=(*_BODY, *_STORES)),
    Operation("get", "/v1/signing-secrets", "The tenant's signing secrets", reply=SecretListing, errors=_LIMITED),
    Operation(
        "delete", "/v1/signing-secrets/{id}", "Revoke a signing secret", reply=SecretShown,
        errors=(400, 404, *_STORES)),
    Operation(
        "get", "/v1/audit", "What administrators did, a page at a time; as NDJSON all of it, the oldest first",
        reply=Acts, errors=(400, 429), query=(
            *_PAGE,
            ("since", {"type": "string"}, "Only acts from then on: a time as ISO 8601"),
            ("until", {"type": "string"}, "Only acts before then"),
            ("actor", {"type": "string"}, "By whom: the id of an access key, or as a listing has it"),
            ("act", {"type": "string"}, "An act, as key.issued, or all acts of a kind, as key"),
            ("subject", {"type": "string"}, "On what"),
            ("tenant", {"type": "string"}, "Of which tenant; but for the operator of the own one alone"),
        )),
    Operation("get", "/v1/models", "The placements that a model ranks for", reply=ModelListing, errors=_LIMITED),
    Operation(
        "put", "/v1/models/{placement}", "Put a model in charge of a placement; the one before it stands in",
        ModelRequest, ModelShown, (*_BODY, 404, 422, *_STORES)),
    Operation(
        "delete", "/v1/models/{placement}", "Let the stand-in take over, or the built-in ranker", reply=ModelShown,
        errors=(400, 404, *_STORES)),
    Operation(
        "get", "/v1/trained-models", "The models that were trained, with their figures, the newest first",
        reply=TrainedListing, errors=_LIMITED),
    Operation(
        "get", "/v1/learners", "The placements that learn from every outcome, with their weights", reply=LearnerListing,
        errors=_LIMITED),
    Operation(
        "put", "/v1/learners/{placement}", "Freeze, thaw or reset an online learner", LearnerRequest, LearnerShown,
        (*_BODY, 404, *_STORES)),
    Operation(
        "get", "/v1/quarantine", "Events that could not be taken, by reason", reply=Listing, errors=(429, 503)),
    Operation(
        "get", "/v1/quarantine/{id}", "One of them, whole; that it was read is noted", reply=EntryReply,
        errors=(400, 404, *_STORES)),
    Operation(
        "post", "/v1/quarantine/repair", "Try them once more, rewritten if need be", RepairRequest, RepairReply,
        (*_BODY, 404, *_STORES)),
    Operation(
        "post", "/v1/remap", "Tell kept events that nobody heard again, under the names and features of today",
        RemapRequest, RemapStep, (*_BODY, *_STORES)),
    Operation(
        "get", "/v1/health/data", "What of the data has no effect, and what to do about it", reply=DataHealth,
        errors=_LIMITED),
    Operation(
        "get", "/v1/state", "Position and hash of the state; the engine stands still while it hashes",
        reply=StateReply, errors=_LIMITED),
    Operation("get", "/", "What this is and where to look; HTML where a browser asks", reply=WelcomeReply),
    Operation(
        "get", "/sourceConfig", "What RudderStack's JavaScript SDK asks before it begins", errors=_LIMITED,
        tracking=True),
    Operation(
        "get", "/v1/projects/{key}/settings", "What Segment's Analytics.js asks before it begins", errors=(400,)),
    Operation("get", "/instanter.js", "The library for pages", media_type=LIBRARY_MEDIA_TYPE),
    Operation("get", "/healthz", "Whether the process answers", reply=HealthReply),
    Operation("get", "/readyz", "Whether decisions can be answered", reply=ReadyReply, errors=(503,)),
    Operation(
        "get", "/v1/stream", "Decisions, outcomes, events and refusals as they come: server-sent events",
        errors=(400, 404, 410, 429, 503), media_type=EVENT_STREAM, query=(
            ("kinds", {"type": "string"}, f"Of {', '.join(KIND_NAMES)}, those that are wanted; without it all"),
            ("placement", {"type": "string"}, "Only what was shown there; what is about none comes all the same"),
            ("from", {"type": "string"}, f"The id of the last entry that came, or `{OLDEST}`; without it, from now on"),
        )),
    Operation(
        "get", "/v1/live", "How the server has been doing, by the second, over the last hour", reply=LiveReply,
        errors=(400, 429), query=(("since", {"type": "string"}, "What the reply before says as `next`"),)),
    Operation("get", "/metrics", "Measurements in the Prometheus text format", media_type="text/plain"),
    Operation("get", "/openapi.json", "This document"),
)  # fmt: skip


def parameters_of(resource: Resource) -> dict[str, frozenset[str]]:
    """What may stand in the query, by method."""
    path = resource.alias_of or resource.template
    return {
        operation.method.upper(): frozenset(name for name, _, _ in operation.query)
        for operation in OPERATIONS if operation.path == path
    }  # fmt: skip


def openapi_document(resources: Sequence[Resource]) -> dict[str, Any]:
    """The document, OpenAPI 3.1; what each route asks of an access key is what the resources say."""
    resource_of = {resource.template: resource for resource in resources}
    types = [
        kind for operation in OPERATIONS
        for kind in (operation.request, operation.reply, *operation.other_replies, operation.accepted)
        if kind is not None
    ]
    unique = list(dict.fromkeys([*types, NotReadyReply]))
    schemas, components = msgspec.json.schema_components(unique, ref_template="#/components/schemas/{name}")
    schema_of = dict(zip(unique, schemas, strict=True))
    for asking in ("DecideRequest", "RankRequest"):
        components[asking]["properties"]["events"]["items"] = schema_of[TrackingEvent]
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _described(
            operation, resource_of[operation.path], schema_of,
            [resource.path for resource in resources if resource.alias_of == operation.path],
        )
    paths["/"]["get"]["responses"]["200"]["content"]["text/html"] = {"schema": {"type": "string"}}
    paths["/v1/audit"]["get"]["responses"]["200"]["content"][NDJSON_MEDIA_TYPE] = {"schema": {"type": "string"}}
    paths["/readyz"]["get"]["responses"]["503"] = _content("Not ready", schema_of[NotReadyReply])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Instanter",
            "version": __version__,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": {**components, "Error": _error(), "TrackingError": _error(tracking=True)},
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def _error(*, tracking: bool = False) -> dict[str, Any]:
    told: dict[str, Any] = {"code": {"type": "string"}, "message": {"type": "string"}}
    inner = {
        "type": "object",
        "required": ["code", "message", "details"],
        "properties": {**told, "details": {"type": "array"}},
    }
    if not tracking:
        return {"type": "object", "required": ["error"], "properties": {"error": inner}}
    return {
        "type": "object",
        "required": ["success", "code", "message", "error"],
        "properties": {"success": {"const": False}, **told, "error": inner},
    }


SECURITY_SCHEMES = {
    "writeKey": {"type": "apiKey", "in": "header", "name": "X-Write-Key", "description": "An access key"},
    "bearer": {"type": "http", "scheme": "bearer", "description": "An access key"},
    "basic": {"type": "http", "scheme": "basic", "description": "An access key as user name, without a password"},
}
_PROOFS = (
    ("X-User-Token", "A user token that the shop's server has signed"),
    ("X-Visitor-Secret", "The secret of the device, if nobody has signed in there; one of the two is needed"),
)
_IN_BODY = "The access key may stand as `writeKey` in the query, or in the body."
_OPERATOR = "For keys of the tenant `default`, the operator's."
_PUBLIC = "A public key will do; it asserts no userId, alias or order."

_DESCRIPTIONS = {
    400: "Not as this document says",
    401: "No access key, or one that does not count",
    403: "The access key is not good for this; the message names what it lacks",
    404: "There is none",
    408: "The body came too slowly",
    409: "It would do more than was meant, or to another thing than was meant, perhaps; nothing was done",
    410: "There was one, and it is no longer held",
    413: "Over a size",
    415: "A content-encoding that is not known",
    422: "Understood, and refused for what it is",
    429: "Over a limit; Retry-After says when there is room",
    503: "Not now; Retry-After says when to try again",
    507: "The disk is full; Retry-After says when to try again",
}


def _described(
    operation: Operation, resource: Resource, schema_of: dict[type, dict[str, Any]], also: Sequence[str]
) -> dict[str, Any]:
    schema = schema_of[operation.reply] if operation.reply else _any_of(operation.media_type)
    if operation.other_replies:
        schema = {"anyOf": [schema, *(schema_of[other] for other in operation.other_replies)]}
    described: dict[str, Any] = {
        "operationId": _operation_id(operation),
        "summary": operation.summary,
        "responses": {"200": _content("Done", schema, media_type=operation.media_type)},
    }
    links = _links(operation)
    if links:
        described["responses"]["200"]["links"] = links
    if operation.accepted is not None:
        described["responses"]["202"] = _goes_on(schema_of[operation.accepted])
    asked = _asked_of_a_key(resource, operation.method, also)
    described.update(asked)
    for status in sorted({*operation.errors, *((400, 401, 403, 429, 503) if asked["security"] else ())}):
        described["responses"][str(status)] = _refusal(status, tracking=operation.tracking)
    names = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}} for name in names
    ]
    parameters += [
        {"name": name, "in": "query", "required": False, "schema": schema, "description": meaning}
        for name, schema, meaning in operation.query
    ]
    if operation.proved:
        parameters += [
            {"name": name, "in": "header", "required": False, "schema": {"type": "string"}, "description": meaning}
            for name, meaning in _PROOFS
        ]
    if parameters:
        described["parameters"] = parameters
    if operation.request is not None:
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema_of[operation.request]}},
        }
    return described


def _links(operation: Operation) -> dict[str, Any]:
    """What can be asked next with what this call was sent or answered."""
    if operation.request is TrackingEvent:
        user, anonymous = "$request.body#/userId", "anonymous:{$request.body#/anonymousId}"
        return {
            "profile": _link("get_profiles_id", id=user),
            "anonymousProfile": _link("get_profiles_id", id=anonymous),
            "export": _link("get_profiles_id_export", id=user),
            "unlink": _link("delete_profiles_id_links_linked", id=user, linked=anonymous),
            "erase": _link("delete_profiles_id", id=user),
        }
    if operation.path in ("/v1/decide", "/v1/rank"):
        decision = "$response.body#/decisionId"
        return {
            "receipt": _link("get_decisions_id", id=decision),
            "replay": _link("post_decisions_id_replay", id=decision),
            "whatif": _link("post_decisions_id_whatif", id=decision),
        }
    if operation.request is ItemsRequest:
        return {verb: _link(f"{verb}_items_id", id="$request.body#/items/0/id") for verb in ("get", "patch", "delete")}
    if operation.request is KeyRequest:
        return {"revoke": _link("delete_keys_id", id="$response.body#/id")}
    return {}


def _link(operation_id: str, **parameters: str) -> dict[str, Any]:
    return {"operationId": operation_id, "parameters": parameters}


def _asked_of_a_key(resource: Resource, method: str, also: Sequence[str]) -> dict[str, Any]:
    """`security` names the scope in each way in which a key may be sent; the description, what else holds it."""
    scope, _ = resource.methods[method.upper()]
    if scope == "open":
        return {"security": []}
    aliases = ", ".join(f"`{path}`" for path in also)
    told = (
        (f"Also as {aliases}.", bool(also)),
        (_PUBLIC, resource.public), (_IN_BODY, resource.tracking), (_OPERATOR, resource.all_tenants),
        (f"The scope {', '.join(wide_with(scope))} holds {scope}.", bool(wide_with(scope))),
        (f"Roles: {', '.join(roles_with(scope))}.", True),
    )  # fmt: skip
    description = " ".join(text for text, holds in told if holds)
    return {
        "security": [{"bearer": [scope]}, {"basic": [scope]}, {"writeKey": [scope]}], "description": description,
    }


def _operation_id(operation: Operation) -> str:
    path = operation.path if operation.path != "/" else "welcome"
    words = path.replace("{", "").replace("}", "").replace(".", "/").split("/")
    return "_".join([operation.method, *(word for word in words if word not in ("", "v1"))])


def _any_of(media_type: str) -> dict[str, Any]:
    return {"type": "object"} if media_type == "application/json" else {"type": "string"}


def _refusal(status: int, *, tracking: bool) -> dict[str, Any]:
    described = _content(_DESCRIPTIONS[status], {"$ref": TRACKING_ERROR if tracking else ERROR})
    if status in _STORES:
        described["headers"] = {"Retry-After": {"description": "Seconds", "schema": {"type": "integer"}}}
    return described


def _goes_on(schema: dict[str, Any]) -> dict[str, Any]:
    """The reply to a call whose work goes on."""
    location = {"description": "Where the job can be asked for", "schema": {"type": "string"}}
    return {
        **_content("It takes longer: a job goes on with it", schema),
        "headers": {"Location": location},
        "links": {"job": _link("get_jobs_id", id="$response.body#/id")},
    }


def _content(description: str, schema: dict[str, Any], *, media_type: str = "application/json") -> dict[str, Any]:
    return {"description": description, "content": {media_type: {"schema": schema}}}
