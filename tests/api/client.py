"""A client of the application in this process. Every reply it gets is held against the OpenAPI document."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import httpx
import msgspec
from jsonschema import Draft202012Validator

from instanter.api.app import NO_REGISTRY, RESOURCES, document, make_app
from instanter.api.auth import Access
from instanter.api.decide import EXPLAIN, WHY, asked_why
from instanter.api.jobs import Job, Jobs
from instanter.api.models import Registry
from instanter.api.openapi import OPERATIONS
from instanter.api.routing import plain_path
from instanter.api.tenancy import Terms
from instanter.api.whatif import WHATIF, asked_whatif
from instanter.engine.loop import Engine
from instanter.engine.warmup import warm_up
from instanter.foundation.clock import ManualClock
from instanter.ops import metrics
from instanter.ops.settings import Config
from instanter.ops.wiring import decider_of, schema_of
from instanter.privacy.access import DEFAULT_TENANT, Grant
from instanter.privacy.roles import RoleName, Scope

from ..engine.harness import with_engine

T = TypeVar("T")
ALIASES = {resource.path: resource.alias_of for resource in RESOURCES if resource.alias_of}
UNDESCRIBED = (404, 405)
"""What any path and method may be answered that is not in the document."""


class AccessKey(NamedTuple):
    """An access key, and the headers that carry it."""

    id: str
    text: str
    headers: dict[str, str]


class JobsInNoTime:
    """Jobs that are done when they are started, whatever they are."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}

    def start(self, tenant: str, kind: str, subject: str) -> Job:
        outcome: dict[str, Any] = {"decisionId": subject, "identical": True, "differences": [], "foldedEvents": 1,
                                   "tookMs": 0.5}  # fmt: skip
        if kind == WHY:
            outcome["decisionId"], outcome["item"] = asked_why(subject)
            outcome |= {"inCatalogue": True, "placements": {}}
        if kind == EXPLAIN:
            outcome["placements"] = {}
        if kind == WHATIF:
            decision, tried = asked_whatif(subject)
            outcome |= {"decisionId": decision, "tried": msgspec.to_builtins(tried), "placements": {}}
        job = Job(
            f"j_{len(self.jobs)}", tenant, kind, subject, "done", 1_000, 2_000, 3_000,
            outcome=json.dumps(outcome).encode(),
        )  # fmt: skip
        self.jobs[job.id] = job
        return job

    def get(self, tenant: str, job_id: str) -> Job | None:
        job = self.jobs.get(job_id)
        return job if job is not None and job.tenant == tenant else None

    def of(self, tenant: str) -> list[Job]:
        return [job for job in reversed(self.jobs.values()) if job.tenant == tenant]

    def with_outcomes(self) -> list[Job]:
        return [job for job in self.jobs.values() if job.outcome]

    def forget_outcome(self, job_id: str) -> None:
        self.jobs[job_id] = msgspec.structs.replace(self.jobs[job_id], outcome=b"")

    async def ended(self, job: Job, within_s: float | None) -> Job:
        return job


class Client:
    """Calls the application. `check` holds a reply against the document; `call` does it for each."""

    def __init__(self, http: httpx.AsyncClient, engine: Engine) -> None:
        self.http = http
        self.engine = engine

    async def call(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        """Send `body`: bytes as they are, anything else as JSON."""
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        reply = await self.http.request(method, path, content=content, **more)
        check(method, path, reply)
        return reply

    async def get(self, path: str, **more: Any) -> httpx.Response:
        return await self.call("GET", path, **more)

    async def key(
        self, *scopes: Scope, tenant: str = DEFAULT_TENANT, public: bool = False, requests_per_s: int = 0,
        role: RoleName | None = None,
    ) -> AccessKey:  # fmt: skip
        """A new access key."""
        grant = Grant("a test's", scopes, public, requests_per_s, role=role)
        key, text = await self.engine.credentials.issue_key(grant, tenant=tenant, actor="test")
        return AccessKey(key.id, text, {"Authorization": f"Bearer {text}"})

    async def post(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return await self.call("POST", path, body, **more)

    async def stock(self, *ids: str, **fields: Any) -> None:
        """Put items into the catalogue."""
        items = [{"id": item, "fields": {"title": item.title(), "category": "chairs", **fields}} for item in ids]
        assert (await self.post("/v1/items", {"items": items})).status_code == 200

    async def decide(self, *, placement: str = "home.recommended", **fields: Any) -> Any:
        """One placement's reply, with the whole reply under "whole"."""
        asked = {"anonymousId": "a1", "deadlineMs": 10_000, "placements": [{"id": placement}], **fields}
        reply = await self.post("/v1/decide", asked)
        assert reply.status_code == 200, reply.text
        return {**reply.json()["placements"][placement], "whole": reply.json()}


def check(method: str, path: str, reply: httpx.Response) -> None:
    """Fail unless the reply is one that the document describes for this call."""
    operation = operation_of(method, path)
    status = str(reply.status_code)
    if operation is None or status not in operation["responses"]:
        assert reply.status_code in UNDESCRIBED or (method, reply.status_code) == ("OPTIONS", 204), (path, reply.text)
        return
    media_type = reply.headers["content-type"].partition(";")[0]
    content = operation["responses"][status]["content"][media_type]
    if media_type == "application/json" and method != "HEAD":
        validator(json.dumps(content["schema"])).validate(reply.json())
    assert ("Retry-After" in reply.headers) is (reply.status_code in (429, 503, 507)), reply.headers


@cache
def validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator({**json.loads(schema), "components": document()["components"]})


def operation_of(method: str, path: str) -> dict[str, Any] | None:
    """The document's words on a call; None for what it does not describe."""
    found: dict[str, Any] | None = document()["paths"].get(template_of(path), {}).get(method.lower())
    return found


def template_of(path: str) -> str:
    """The path of the document that a call's is one of; "" if it is none."""
    sent = plain_path(path.partition("?")[0])
    sent = ALIASES.get(sent, sent)
    for template in sorted({operation.path for operation in OPERATIONS}, key=lambda one: ("{" in one, -len(one))):
        if re.fullmatch(re.sub(r"\{\w+\}", ".+", re.escape(template).replace(r"\{", "{").replace(r"\}", "}")), sent):
            return template
    return ""


def with_client(
    root: Path, work: Callable[[Client], Awaitable[T]], *, per_s: int = 1_000_000,
    bucket_clock: ManualClock | None = None, terms: Terms | None = None,
    render: Callable[[Engine], bytes] = metrics.render, jobs: Jobs | None = None,
    registry: Registry = NO_REGISTRY, **options: Any,
) -> T:  # fmt: skip
    """Run `work` with a client of an application over an engine of its own; `per_s` limits the rate.

    With `terms` access keys are asked for, else it is as with `--dev`.
    """

    warmed()

    async def run(engine: Engine) -> T:
        clock = bucket_clock or ManualClock()
        access = Access(engine, clock, terms or Terms(key_requests_per_s=per_s), dev=terms is None)
        app = make_app(
            engine, metrics=lambda: render(engine), access=access, jobs=jobs or JobsInNoTime(), registry=registry
        )
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as http:
            return await work(Client(http, engine))

    return with_engine(root, run, **options)


@cache
def warmed() -> None:
    """As a server that is ready: no decision waits for a kernel."""
    config = Config()
    schema = schema_of(config)
    warm_up(schema, decider_of(config, schema), tuple(placement.id for placement in config.placements))


def track(number: int = 1, **fields: Any) -> dict[str, Any]:
    """A track event without its type."""
    return {
        "messageId": f"m-{number}", "anonymousId": "a1", "event": "Product Viewed",
        "properties": {"product_id": "sku-1", "price": 9.5}, **fields,
    }
