"""Access: which key a request came with, whether it is good for the route, and how often it may come.

A key stands in `Authorization`, as Bearer or as the user name of Basic; in `X-Write-Key`; on the tracking routes also
as `writeKey` in the query or in the body. The first of these that is there counts, in this order, and one that is not
in the body is judged before that is read. Missing, unknown and revoked keys get one and the same reply.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import msgspec
from starlette.requests import Request

from ..engine.partition import Partition
from ..events.batch import write_key_of
from ..foundation.clock import Clock
from ..foundation.errors import RequestRejected
from ..foundation.limits import ACCESS_KEYS_MAX, TENANT_PLACES_DIVISOR, VISITOR_RIGHTS_PER_S
from ..foundation.measure import Meter
from ..privacy.access import DEFAULT_TENANT, AccessKey, AccessKeys
from ..privacy.roles import Scope
from .browsers import PAGE, Page
from .fairness import Line, Turns
from .limiting import TokenBucket, take_all
from .newcomers import Networks, Newcomers
from .tenancy import CALLER, DEVELOPER, Caller, Terms
from .visitors import Proxies, network_of

CALL: Final = "instanter.call"
"""Where a request's scope holds its `Call`."""
BYTES_PER_WORK: Final = 4_096
"""Of a body; about ten events."""
_MESSAGE: Final = (
    "an access key is needed: Authorization: Bearer <key>, Basic with the key as user name, X-Write-Key, or writeKey "
    "in the query or the body of a tracking route"
)
_FOREIGN_PAGE: Final = "a page of this origin may not use a public access key; serve.origins names those that may"
_ANYBODYS_PAGE: Final = "a page uses a public access key, unless serve.origins names its origin"
_WRITE_KEY: Final = b'"writeKey"'


class Demand(msgspec.Struct, frozen=True):
    """What a route asks for before it answers."""

    scope: Scope
    public: bool
    """Whether a public key will do."""
    all_tenants: bool
    """Whether it takes a key of the tenant `default`, the operator's."""
    tracking: bool
    """Whether the key may stand in the body."""
    limited: bool
    """Whether calls count against the rates."""
    work: int
    """About how much work an answer is, in units of 0.1 ms, beside its body."""


class _Quotas:
    """What is counted of one tenant."""

    __slots__ = ("events", "line", "requests", "rights")

    def __init__(self, clock: Clock, caller: Caller) -> None:
        terms = caller.terms
        self.requests = TokenBucket(clock, per_s=terms.requests_per_s) if terms.requests_per_s else None
        self.events = TokenBucket(clock, per_s=terms.events_per_s, of="events") if terms.events_per_s else None
        self.rights = TokenBucket(clock, per_s=VISITOR_RIGHTS_PER_S, of="parts of what visitors ask of themselves")
        self.line = Line(share=terms.share)


class _Known:
    """A key in use: who it is, and what is counted of it."""

    __slots__ = ("buckets", "caller", "newcomers", "quotas")

    def __init__(self, caller: Caller, own: TokenBucket, quotas: _Quotas, newcomers: Newcomers | None) -> None:
        self.caller = caller
        self.newcomers = newcomers
        self.quotas = quotas
        self.buckets = [(own, 1), (quotas.requests, 1)] if quotas.requests else [(own, 1)]


class KeyHolder(Protocol):
    """What knows the access keys that count: an engine, or a follower of its log."""

    @property
    def partition(self) -> Partition: ...

    @property
    def meter(self) -> Meter: ...


class Access:
    """Lets requests in. One for an application, used on the loop's thread."""

    def __init__(self, engine: KeyHolder, clock: Clock, terms: Terms, *, dev: bool = False) -> None:
        """The clock is the machine's. With `dev` no key is asked for, and whatever is sent as one is ignored."""
        self._engine = engine
        self._clock = clock
        self._terms = terms
        self._known: dict[str, _Known] = {}
        self._quotas: dict[str, _Quotas] = {}
        self._networks = Networks(clock)
        self._developer = self._met(DEVELOPER, rate=0) if dev else None
        self.turns = Turns(
            competing=lambda: self._keys.tenants > 1 and not dev,
            in_flight_max=max(terms.requests_max // TENANT_PLACES_DIVISOR, 1),
            on_wait=lambda: engine.meter.count("turns_waited"),
        )

    def admit(self, request: Request, demand: Demand) -> Call:
        """Judge a request by its headers. Raises `RequestRejected` (401, 403), `RateLimited`."""
        call = Call(self, request, demand)
        if self._developer is not None:
            call.settle(self._developer)
            return call
        sent = _key_outside(request, demand)
        if sent is not None or not demand.tracking:
            call.settle(self.holder(sent or ""))
        return call

    def holder(self, text: str) -> _Known:
        """Who holds a key; `RequestRejected` (401) if nobody does."""
        key = self._keys.find(text)
        if key is None:
            raise RequestRejected("unauthorized", _MESSAGE, status=401)
        known = self._known.get(key.id)
        return known if known is not None else self._first_met(key)

    def caller(self, text: str) -> Caller:
        """Likewise, as answers depend on it; with `dev` whoever develops."""
        return (self._developer or self.holder(text)).caller

    def knows(self, text: str) -> bool:
        """Whether this is a key that counts."""
        return self._keys.find(text) is not None

    def spend_elsewhere(self, spent: Mapping[str, int]) -> dict[str, int]:
        """Count requests that another process has let in, by key, and tell for how many milliseconds each key that has
        spent all it may gets no answer. A key may owe what it has spent elsewhere before this was known."""
        waits_ms: dict[str, int] = {}
        for key_id, count in spent.items():
            known = self._known.get(key_id)
            if known is None:
                key = self._keys.get(key_id)
                if key is None or not key.counts:
                    continue
                known = self._first_met(key)
            for bucket, cost in known.buckets:
                bucket.wait_ms()
                bucket.spend(cost * count)
            if wait_ms := max(bucket.wait_ms(cost) for bucket, cost in known.buckets):
                waits_ms[key_id] = wait_ms
        return waits_ms

    @property
    def dev(self) -> bool:
        """Whether no key is asked for."""
        return self._developer is not None

    @property
    def counted(self) -> int:
        """Keys of which something is counted; at most `ACCESS_KEYS_MAX`."""
        return len(self._known)

    @property
    def _keys(self) -> AccessKeys:
        return self._engine.partition.access_keys

    def _first_met(self, key: AccessKey) -> _Known:
        if len(self._known) >= ACCESS_KEYS_MAX:
            self._forget_revoked()
        caller = Caller(key.tenant, key.id, key.held, key.public, self._terms.of(key.tenant))
        return self._met(caller, rate=key.requests_per_s)

    def _met(self, caller: Caller, *, rate: int) -> _Known:
        quotas = self._quotas.get(caller.tenant)
        if quotas is None:
            quotas = self._quotas[caller.tenant] = _Quotas(self._clock, caller)
        people_per_s = caller.terms.new_people_per_s if caller.public else 0
        newcomers = Newcomers(self._clock, self._networks, people_per_s) if people_per_s else None
        own = TokenBucket(self._clock, per_s=rate or self._terms.key_requests_per_s)
        known = self._known[caller.actor] = _Known(caller, own, quotas, newcomers)
        return known

    def _forget_revoked(self) -> None:
        """Of keys that do not count nothing is counted any more, nor of tenants without one."""
        held = {key.id: key.tenant for key in self._keys.kept() if key.counts}
        self._known = {key_id: known for key_id, known in self._known.items() if key_id in held}
        tenants = set(held.values())
        self._quotas = {tenant: quotas for tenant, quotas in self._quotas.items() if tenant in tenants}


class Call:
    """One request on its way in. Its turn is taken once, when its body has been read or there is none to read."""

    __slots__ = ("_access", "_begun", "_demand", "_known", "_request")

    def __init__(self, access: Access, request: Request, demand: Demand) -> None:
        self._access = access
        self._request = request
        self._demand = demand
        self._known: _Known | None = None
        self._begun = False

    def settle(self, known: _Known) -> None:
        """This is who sends the request. Raises `RequestRejected` (403) where that is not enough, `RateLimited`."""
        demand, caller = self._demand, known.caller
        caller.require(demand.scope)
        if demand.all_tenants and caller.tenant != DEFAULT_TENANT:
            raise RequestRejected("forbidden", f"this is for keys of the tenant {DEFAULT_TENANT}", status=403)
        if not demand.public:
            caller.require_private("is not good for this route")
        page = self._request.scope.get(PAGE)
        if page is not None:
            _check_page(page, caller)
        if demand.limited:
            take_all(known.buckets)
        self._known = known
        self._request.scope[CALLER] = caller

    async def begin(self, body: bytes = b"") -> None:
        """Settle who sends it, if only the body says so, then wait for its turn. Raises `Overloaded` too."""
        if self._begun:
            return
        if self._known is None:
            self.settle(self._access.holder(_key_in_body(body, self._access.knows)))
        assert self._known is not None
        turns, line = self._access.turns, self._known.quotas.line
        turns.enter(line)
        self._begun = True
        waiting = turns.take(line, self._demand.work + len(body) // BYTES_PER_WORK)
        if waiting is not None:
            await waiting

    def count_events(self, count: int) -> None:
        """Count events of the request against the tenant's rate, before any is taken. Raises `RateLimited`."""
        assert self._known is not None
        bucket = self._known.quotas.events
        if bucket is not None and count:
            bucket.take(count)

    def count_rights(self, cost: int) -> None:
        """Count what visitors ask of themselves and takes long against the tenant's rate. Raises `RateLimited`."""
        assert self._known is not None
        self._known.quotas.rights.take(cost)

    def meet(self, proxies: Proxies) -> Callable[[], None] | None:
        """What is asked before anybody is made known by this request; None where nothing is."""
        assert self._known is not None
        newcomers = self._known.newcomers
        return None if newcomers is None else newcomers.meet(network_of(self._request, proxies))

    def end(self) -> None:
        """It has been answered. The request forgets this: a cycle of the two would wait for the garbage collector."""
        self._request.scope.pop(CALL, None)
        if self._begun:
            assert self._known is not None
            self._access.turns.leave(self._known.quotas.line)


def call_of(request: Request) -> Call | None:
    """How a request came in; None for one that never had to."""
    call = request.scope.get(CALL)
    assert call is None or isinstance(call, Call)
    return call


def count_events(request: Request, count: int) -> None:
    """As `Call.count_events`."""
    call = call_of(request)
    assert call is not None
    call.count_events(count)


def count_rights(request: Request, cost: int) -> None:
    """As `Call.count_rights`."""
    call = call_of(request)
    assert call is not None
    call.count_rights(cost)


def meet_of(request: Request) -> Callable[[], None] | None:
    """As `Call.meet`."""
    call = call_of(request)
    assert call is not None
    return call.meet(request.app.state.proxies)


def _check_page(page: Page, caller: Caller) -> None:
    """A public key is good in the pages of the sites it was made for, and others are not for pages of anybody."""
    if caller.public and page.standing == "foreign":
        raise RequestRejected("origin", _FOREIGN_PAGE, status=403)
    if not caller.public and page.standing == "any" and page.origin:
        raise RequestRejected("origin", _ANYBODYS_PAGE, status=403)


def _key_outside(request: Request, demand: Demand) -> str | None:
    """The key that stands outside the body, None where there is none."""
    sent = request.headers.get("authorization")
    if sent is not None:
        return _key_in_header(sent)
    sent = request.headers.get("x-write-key")
    if sent is not None:
        return sent.strip().partition(":")[0]
    if demand.tracking and request.scope["query_string"]:
        return request.query_params.get("writeKey") or None
    return None


def _key_in_header(sent: str) -> str:
    """The key in `Authorization`; "" where there is none.

    >>> _key_in_header("Bearer ik_1_2"), _key_in_header("basic aWtfMV8yOg=="), _key_in_header("Digest x")
    ('ik_1_2', 'ik_1_2', '')
    """
    scheme, _, credentials = sent.partition(" ")
    match scheme.lower():
        case "bearer":
            return credentials.strip()
        case "basic":
            try:
                return binascii.a2b_base64(credentials.strip()).decode().partition(":")[0]
            except ValueError:
                return ""
    return ""


class _KeyInBody(msgspec.Struct):
    write_key: str | None = msgspec.field(default=None, name="writeKey")


_key_in = msgspec.json.Decoder(_KeyInBody).decode


_A_KEY: Final = re.compile(rb'"writeKey"\s{0,64}+:\s{0,64}+"([^"\\]{1,256})"')
_KEYS_TRIED_MAX: Final = 8


def _key_in_body(body: bytes, knows: Callable[[str], bool]) -> str:
    """The `writeKey` of a tracking body; "" where there is none. Looks at no more of it than it has to.

    One broken event of a batch keeps nobody out. But telling the events of a broken body apart takes long, and is done
    for nobody who has no key: only where one that `knows` knows stands somewhere in it.

    >>> _key_in_body(b'{"event": {"writeKey": "no"}, "writeKey": "ik_1_2"}', bool), _key_in_body(b'[', bool)
    ('ik_1_2', '')
    """
    if _WRITE_KEY not in body:
        return ""
    try:
        return _key_in(body).write_key or ""
    except msgspec.ValidationError:
        return ""
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return write_key_of(body) if any(knows(text) for text in _keys_said(body)) else ""


def _keys_said(body: bytes) -> list[str]:
    """What stands as a key anywhere in a body, each once; of very many only the first."""
    said: dict[bytes, None] = {}
    for match in _A_KEY.finditer(body):
        said[match[1]] = None
        if len(said) == _KEYS_TRIED_MAX:
            break
    return [text.decode("latin-1") for text in said]
