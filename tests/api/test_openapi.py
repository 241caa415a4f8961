"""The OpenAPI document: sound by itself, and of this application's routes, all and no other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from instanter.api.app import RESOURCES, document, make_app
from instanter.api.auth import Access
from instanter.api.routing import Endpoint
from instanter.api.tenancy import Terms
from instanter.engine.loop import Engine
from instanter.events.decode import Door
from instanter.events.subjects import HashedSubjects
from instanter.foundation.clock import ManualClock
from instanter.foundation.errors import EventRejected
from instanter.foundation.ids import Ids

from ..engine.harness import ENRICHER, SECRET, with_engine
from .client import validator

DOCUMENT = document()
WITHOUT_BODY = {"/v1/decisions/{id}/replay", "/v1/signing-secrets"}
"""What is posted to without anything to say."""
METHODS = {"get", "post", "put", "patch", "delete", "head", "options", "trace"}


@pytest.fixture(scope="module")
def door() -> Door:
    return Door(subjects=HashedSubjects(SECRET), ids=Ids(), enrich=ENRICHER)


def references(node: Any) -> Iterator[str]:
    """Every $ref below a node."""
    if isinstance(node, dict):
        yield from ([node["$ref"]] if "$ref" in node else [])
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from references(part)


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def test_the_document_is_openapi_3_1():
    assert re.fullmatch(r"3\.1\.\d+", DOCUMENT["openapi"])
    assert set(DOCUMENT) <= {"openapi", "info", "paths", "components", "servers", "tags"}
    assert {"title", "version"} <= set(DOCUMENT["info"])
    assert all(path.startswith("/") for path in DOCUMENT["paths"])
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(names) == len(set(names))
    for path, method, operation in operations():
        assert method in METHODS
        assert set(operation) <= {
            "operationId", "summary", "description", "parameters", "requestBody", "responses", "security"}, path
        declared = [one["name"] for one in operation.get("parameters", []) if one["in"] == "path" and one["required"]]
        assert declared == re.findall(r"\{(\w+)\}", path)
        assert (method in ("post", "patch", "put") and path not in WITHOUT_BODY) is ("requestBody" in operation)
        for status, response in operation["responses"].items():
            assert re.fullmatch(r"[1-5]\d\d", status)
            assert response["description"]


def test_every_schema_is_one_and_every_reference_leads_to_one():
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    known = {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}
    used = set(references(DOCUMENT))
    assert used <= known
    unused = known - used
    assert not unused, unused


def test_every_link_leads_to_an_operation_and_gives_it_what_it_needs():
    needs = {
        operation["operationId"]: {one["name"] for one in operation.get("parameters", []) if one["required"]}
        for _, _, operation in operations()
    }
    links = [
        link for _, _, operation in operations() for response in operation["responses"].values()
        for link in response.get("links", {}).values()
    ]
    assert len(links) > 10
    for link in links:
        assert set(link["parameters"]) == needs[link["operationId"]], link


def test_every_route_is_in_the_document_and_no_other(tmp_path: Path):
    aliases = {resource.path: resource.alias_of for resource in RESOURCES if resource.alias_of}
    for path, meant in aliases.items():
        assert f"`{path}`" in DOCUMENT["paths"][meant]["post"]["description"]

    async def work(engine: Engine) -> set[tuple[str, str]]:
        access = Access(engine, ManualClock(), Terms(key_requests_per_s=1), dev=True)
        app = make_app(engine, metrics=lambda: b"", access=access)
        found = set()
        for route in app.routes:
            endpoint = route.endpoint
            assert isinstance(endpoint, Endpoint)
            if route.path in aliases:
                continue
            found |= {(re.sub(r":path\}", "}", route.path), method.lower()) for method in endpoint.methods}
        return found

    assert with_engine(tmp_path, work) == {(path, method) for path, method, _ in operations()}


@pytest.mark.parametrize(("event", "fits", "taken"), [
    ({"type": "track", "event": "Product Viewed", "anonymousId": "a1", "properties": {"price": 3}}, True, True),
    ({"type": "track", "event": "Product Viewed", "anonymousId": 7, "timestamp": 17_000_000_000, "x": []}, True, True),
    ({"type": "track", "event": "Product Viewed", "anonymousId": "a1", "properties": []}, False, True),
    ({"type": "track", "event": "Product Viewed", "anonymousId": "a1", "context": {"ip": 4}}, False, True),
    ({"type": "track", "event": "Product Viewed", "anonymousId": {"id": "a1"}}, False, False),
])
def test_the_door_takes_what_the_document_says_and_loses_odd_fields_alone(
    event: dict[str, Any], fits: bool, taken: bool, door: Door
):
    schema = validator('{"$ref": "#/components/schemas/TrackingEvent"}')
    def admitted() -> bool:
        try:
            door.admit(json.dumps(event).encode(), kind=None, received_ms=0, tenant="default")
        except EventRejected:
            return False
        return True

    assert schema.is_valid(event) is fits
    assert admitted() is taken


def test_a_reply_that_breaks_the_document_would_be_noticed():
    schema = validator('{"$ref": "#/components/schemas/TrackReply"}')
    schema.validate({"success": True, "accepted": 1, "rejected": [], "position": "1"})
    with pytest.raises(ValidationError):
        schema.validate({"success": True, "accepted": 1, "rejected": [], "position": 1})
