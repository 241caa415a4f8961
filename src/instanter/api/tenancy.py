"""Whose request this is, and on what terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from starlette.requests import Request

from ..foundation.errors import RequestRejected
from ..foundation.limits import NEW_PEOPLE_PER_S
from ..privacy.access import DEFAULT_TENANT
from ..privacy.roles import SCOPES, Scope, comes_with

CALLER: Final = "instanter.caller"
"""Where a request's scope holds the `Caller`, once that is known."""


class TenantTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What a tenant may have."""

    requests_per_s: int = 0
    """Of all its keys together; 0: only the keys are limited."""
    events_per_s: int = 0
    """Of all its keys together; 0: only requests are."""
    share: int = 1
    """Its part of the work while tenants compete."""
    items_max: int = 0
    """Items in its catalogue; 0: as many as there is room for."""
    new_people_per_s: int = NEW_PEOPLE_PER_S
    """Whom one of its public keys may make known; 0: as many as come."""


NO_TERMS: Final = TenantTerms()


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """The terms of an installation."""

    key_requests_per_s: int
    """Of one key that has no rate of its own."""
    others: TenantTerms = NO_TERMS
    """Of the tenants that are not named."""
    named: Mapping[str, TenantTerms] = {}
    requests_max: int = 128
    """Requests of all tenants that are worked on at once."""

    def of(self, tenant: str) -> TenantTerms:
        """The terms of a tenant."""
        return self.named.get(tenant, self.others)


class Caller(msgspec.Struct, frozen=True):
    """Who sends a request: an access key, as far as an answer may depend on it."""

    tenant: str
    actor: str
    """The key's id, as the record of administrators' acts names it."""
    scopes: frozenset[str]
    """All that the key is good for."""
    public: bool = False
    terms: TenantTerms = NO_TERMS

    def require(self, scope: Scope) -> None:
        """Raise `RequestRejected` (403) if the key lacks a scope."""
        if scope not in self.scopes:
            reason = f"the access key lacks the scope {scope}; {comes_with(scope)}"
            raise RequestRejected("forbidden", reason, status=403)

    def require_private(self, what: str) -> None:
        """Raise `RequestRejected` (403) if the key is public."""
        if self.public:
            raise RequestRejected("forbidden", f"a public access key {what}", status=403)


DEVELOPER: Final = Caller(DEFAULT_TENANT, "dev", frozenset(SCOPES))
"""Who sends everything to a server that runs with `--dev`."""


def caller_of(request: Request) -> Caller:
    """Who sends this request. Known in every route that is not open, after `read_body` in those that have a body."""
    caller = request.scope[CALLER]
    assert isinstance(caller, Caller)
    return caller


def objects(request: Request) -> bool:
    """Whether it came with the Global Privacy Control signal (`Sec-GPC: 1`): the person wants not to be followed."""
    return request.headers.get("sec-gpc") == "1"


def user_token_of(request: Request) -> str:
    """The signed user token in a header; "" where there is none."""
    return request.headers.get("x-user-token", "")


def tenant_of(request: Request) -> str:
    """The tenant of a request; see `caller_of`."""
    return caller_of(request).tenant
