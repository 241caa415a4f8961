"""The OpenAPI document, generated from the types that the routes decode and encode."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import msgspec

from .. import __version__
from ..decisions.request import DecideReply, DecideRequest, RankReply, RankRequest
from ..engine.profile import Profile
from ..events.schema import BatchEnvelope, TrackingEvent
from .items import ChangeReply, ItemReply, ItemsRequest, PatchRequest
from .profiles import UnlinkReply
from .track import SINGLE_ROUTES, TrackReply


class Operation(NamedTuple):
    """One route as the document describes it."""

    method: str
    path: str
    summary: str
    request: type | None
    reply: type | None
    errors: tuple[int, ...] = ()


OPERATIONS = (
    *(
        Operation("post", f"/v1/{kind}", f"Take one {kind} event", TrackingEvent, TrackReply, (400, 413, 429, 503, 507))
        for kind in SINGLE_ROUTES
    ),
    Operation("post", "/v1/batch", "Take many events", BatchEnvelope, TrackReply, (400, 413, 429, 503, 507)),
    Operation("post", "/v1/decide", "Decide what a person sees", DecideRequest, DecideReply, (400, 413, 429, 503)),
    Operation("post", "/v1/rank", "Order the caller's own list", RankRequest, RankReply, (400, 413, 429, 503)),
    Operation("get", "/v1/decisions/{id}", "The receipt of a decision", None, None, (404, 410)),
    Operation("post", "/v1/items", "Put items into the catalogue", ItemsRequest, ChangeReply, (400, 413, 503, 507)),
    Operation("get", "/v1/items/{id}", "An item", None, ItemReply, (404,)),
    Operation("patch", "/v1/items/{id}", "Change an item", PatchRequest, ChangeReply, (400, 404, 413, 503, 507)),
    Operation("delete", "/v1/items/{id}", "Take an item out", None, ChangeReply, (404, 503, 507)),
    Operation("get", "/v1/profiles/{id}", "What is known of a person", None, Profile, (404,)),
    Operation("delete", "/v1/profiles/{id}/links/{linked}", "Take a link back", None, UnlinkReply, (404, 503, 507)),
    Operation("get", "/v1/state", "Position and hash of the state", None, None),
    Operation("get", "/healthz", "Whether the process answers", None, None),
    Operation("get", "/readyz", "Whether decisions can be answered", None, None, (503,)),
    Operation("get", "/metrics", "Measurements in the Prometheus text format", None, None),
    Operation("get", "/openapi.json", "This document", None, None),
)


@cache
def openapi_document() -> dict[str, Any]:
    """The document, OpenAPI 3.1."""
    types = [kind for operation in OPERATIONS for kind in (operation.request, operation.reply) if kind is not None]
    unique = list(dict.fromkeys(types))
    schemas, components = msgspec.json.schema_components(unique, ref_template="#/components/schemas/{name}")
    schema_of = dict(zip(unique, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _described(operation, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Instanter", "version": __version__, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {"schemas": {**components, "Error": _ERROR}},
    }


_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "details"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "details": {"type": "array"},
            },
        }
    },
}


def _described(operation: Operation, schema_of: dict[type, dict[str, Any]]) -> dict[str, Any]:
    names = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    described: dict[str, Any] = {
        "summary": operation.summary,
        "responses": {"200": _content("Done", schema_of[operation.reply] if operation.reply else {})},
    }
    for status in operation.errors:
        described["responses"][str(status)] = _content("Refused", {"$ref": "#/components/schemas/Error"})
    if names:
        described["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    if operation.request is not None:
        described["requestBody"] = {"required": True, **_content("", schema_of[operation.request])}
        del described["requestBody"]["description"]
    return described


def _content(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
