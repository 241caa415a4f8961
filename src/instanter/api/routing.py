"""From a path and a method to the function that answers, and what becomes of an error on the way."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final, Literal, TypeVar
from urllib.parse import unquote

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ..engine.loop import Engine
from ..foundation.errors import Broken, InstanterError, RateLimited, RequestRejected
from ..foundation.ids import Ids
from ..foundation.limits import ID_CHARS_MAX, NAME_CHARS_MAX
from ..foundation.measure import Meter
from ..privacy.roles import Scope as KeyScope
from .auth import CALL, Access, Demand
from .bodies import skip_body
from .outgoing import LargeReply, Outgoing
from .parameters import check_parameters
from .replies import code_of, failure, refusal
from .tenancy import tenant_of

log = logging.getLogger("instanter.api")

Handler = Callable[[Engine, Request], Awaitable[Response]]
Part = TypeVar("Part")
Required = KeyScope | Literal["open"]
"""What a method asks of an access key: a scope, or nothing."""
_WITHOUT_BODY = frozenset({"GET", "HEAD", "DELETE"})


def given(part: Callable[[Engine], Part]) -> Callable[[Callable[[Part, Request], Awaitable[Response]]], Handler]:
    """Makes handlers of functions that are given one part of the engine and see no other."""
    return lambda answer: lambda engine, request: answer(part(engine), request)


def alone(answer: Callable[[Request], Awaitable[Response]]) -> Handler:
    """A handler of a function that needs nothing of the engine."""
    return lambda engine, request: answer(request)


class RawPath:
    """Routes by the path as it was sent: an identifier may hold any character, `/` too, as long as it is escaped.

    One `/` at the end is as good as none. The scope stays the same one: what is noted in it later, as the time when a
    body was there, is seen by the route.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["path"] = plain_path(scope["raw_path"].decode("ascii", "replace"))
        await self._app(scope, receive, send)


def plain_path(path: str) -> str:
    """A path without the `/` at its end.

    >>> plain_path("/v1/batch/"), plain_path("/v1/batch"), plain_path("/")
    ('/v1/batch', '/v1/batch', '/')
    """
    return path[:-1] if path[-1:] == "/" and len(path) > 1 else path


def path_id(request: Request, name: str = "id") -> str:
    """The identifier in the path, unescaped; `RequestRejected` if it cannot be one."""
    try:
        identifier = unquote(request.path_params[name], errors="strict")
    except UnicodeDecodeError:
        raise RequestRejected("schema", "an identifier in the path is UTF-8, percent-encoded") from None
    if not 1 <= len(identifier) <= ID_CHARS_MAX:
        raise RequestRejected("schema", f"an identifier has 1 to {ID_CHARS_MAX} characters")
    return identifier


class Resource(msgspec.Struct, frozen=True):
    """One path, who may use it, and what its methods do."""

    path: str
    methods: Mapping[str, tuple[Required, Handler]]
    """What an access key needs for each, which has no default: nobody opens a route by forgetting to say so; and what
    answers."""
    public: bool = False
    """Whether a public key will do."""
    all_tenants: bool = False
    """It is about all tenants at once: for keys of the tenant `default`, the operator's."""
    tracking: bool = False
    """Errors are told as the tracking clients expect them, and the key may stand in the body."""
    limited: bool = True
    """Whether calls count against the sender's rates."""
    always: bool = False
    """Whether it answers, too, when the engine has stopped: for whoever looks after it."""
    work: int = 1
    """About how much work an answer is, in units of 0.1 ms, beside its body."""
    alias_of: str = ""
    """The path under which the documents describe it, where other clients call it by another."""

    def demand(self, method: str) -> Demand | None:
        """What a call by this method has to bring; None where it is open."""
        scope = self.methods[method][0]
        if scope == "open":
            return None
        return Demand(scope, self.public, self.all_tenants, self.tracking, self.limited, self.work)

    @property
    def template(self) -> str:
        """The path as the OpenAPI document has it."""
        return self.path.replace(":path}", "}")


def route_of(
    resource: Resource, parameters: Mapping[str, Collection[str]], engine: Engine, access: Access, outgoing: Outgoing
) -> Route:
    """The route of a resource; the large replies of all of them share one room. `parameters` may stand in the query, by
    method."""
    return Route(resource.path, Endpoint(resource, parameters, engine, access, outgoing))


class Site:
    """Answers what is no route of the API, such as pages; nothing but a cancellation gets out of it."""

    def __init__(self, answer: Callable[[Request], Awaitable[Response]], meter: Meter, outgoing: Outgoing) -> None:
        self._site = answer
        self._meter = meter
        self._outgoing = outgoing
        self._ids = Ids()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response | LargeReply:
        try:
            return self._outgoing.held(await self._site(request))
        except InstanterError as error:
            self._meter.count(f"requests_refused.{code_of(error)}")
            return refusal(error)
        except Exception:
            incident = self._ids.token()
            self._meter.count("requests_failed")
            log.exception("a page failed", extra={"incident": incident, "path": request.scope["path"][:NAME_CHARS_MAX]})
            return failure(incident)


CONSOLE_PATH: Final = "/console"
"""Where pages for people are, with all that lies below it."""


def console_routes(site: Site) -> list[Route]:
    """What leads to the pages."""
    return [Route(path, site) for path in (CONSOLE_PATH, f"{CONSOLE_PATH}/{{path:path}}")]


def guards_itself(path: str) -> bool:
    """Whether a path is of pages that look themselves at which page sends them a form."""
    return path == CONSOLE_PATH or path.startswith(f"{CONSOLE_PATH}/")


class Endpoint:
    """Answers all methods of one resource; nothing but a cancellation gets out of it."""

    def __init__(
        self, resource: Resource, parameters: Mapping[str, Collection[str]], engine: Engine, access: Access,
        outgoing: Outgoing,
    ) -> None:  # fmt: skip
        self._resource = resource
        self._parameters = parameters
        self._lenient = resource.tracking or resource.always
        """Trackers and scrapers put into an address what they like."""
        self._outgoing = outgoing
        self._engine = engine
        self._access = access
        self.methods = tuple(resource.methods)
        self._answers = {
            method: (resource.demand(method), handler) for method, (_, handler) in resource.methods.items()
        }
        if "GET" in self._answers:
            self._answers["HEAD"] = self._answers["GET"]
        self._allow = ", ".join(sorted([*self._answers, "OPTIONS"]))
        self._ids = Ids()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response | LargeReply:
        tracking = self._resource.tracking
        try:
            if request.method not in self._answers:
                return self._other_method(request.method)
            demand, handler = self._answers[request.method]
            if demand is None:
                return self._outgoing.held(await handler(self._engine, request))
            response = await self._called(handler, request, demand)
            return self._outgoing.held(response, tenant_of(request))
        except InstanterError as error:
            self._engine.meter.count(f"requests_refused.{code_of(error)}")
            return refusal(error, tracking=tracking)
        except Exception:
            incident = self._ids.token()
            self._engine.meter.count("requests_failed")
            log.exception("a request failed", extra={"incident": incident, "route": self._resource.path})
            return failure(incident, tracking=tracking)

    async def _called(self, handler: Handler, request: Request, demand: Demand) -> Response:
        """Answer whoever has the key for it; a request with a body begins when that has been read."""
        try:
            if self._engine.broken and not self._resource.always:
                raise Broken(self._engine.broken)
            call = request.scope[CALL] = self._access.admit(request, demand)
        except (Broken, RequestRejected, RateLimited):
            if request.method not in _WITHOUT_BODY:
                await skip_body(request)
            raise
        try:
            if request.method in _WITHOUT_BODY:
                await call.begin()
            if request.scope["query_string"] and not self._lenient:
                await self._check_query(request)
            return await handler(self._engine, request)
        finally:
            call.end()

    async def _check_query(self, request: Request) -> None:
        method = "GET" if request.method == "HEAD" else request.method
        try:
            check_parameters(request.query_params, self._parameters.get(method, ()))
        except RequestRejected:
            if request.method not in _WITHOUT_BODY:
                await skip_body(request)
            raise

    def _other_method(self, method: str) -> Response:
        if method == "OPTIONS":
            return Response(status_code=204, headers={"Allow": self._allow})
        message = f"that method is not possible here; there is {self._allow}"
        response = refusal(
            RequestRejected("method_not_allowed", message, status=405), tracking=self._resource.tracking
        )
        response.headers["Allow"] = self._allow
        return response
