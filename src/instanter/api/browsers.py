"""Which names and which pages reach the server, and what browsers have to be told with every answer.

`Edge` stands around everything else, also around the refusals of `admission`: to a page an answer without the headers
of CORS is no answer but a network error, so it could not tell that it should wait.

`Host` is checked so that a foreign page cannot reach this server under a name of its own whose address it turns to
ours (DNS rebinding). `Origin` says which page asks: browsers send it, and a page cannot forge it. Who is no browser can
send any, which is why it stands beside the access key and never in its place.
"""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Callable, Iterable
from typing import Final, Literal, NamedTuple

import msgspec
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..foundation.errors import RequestRejected
from ..foundation.limits import (
    HEAD_BYTES_MAX,
    HOSTS_REMEMBERED_MAX,
    NAME_CHARS_MAX,
    ORIGINS_TOLD_MAX,
    PREFLIGHT_HEADERS_CHARS_MAX,
)
from ..foundation.measure import Meter
from .replies import refusal

log = logging.getLogger("instanter.serve")

PAGE: Final = "instanter.page"
"""Where a request's scope holds the `Page` that sent it; only where a browser did."""
Standing = Literal["listed", "same", "any", "foreign"]
"""Of a page: named in `serve.origins`; served under this server's own name; let in because everybody is; not let in."""
PROBES: Final = frozenset({"/healthz", "/healthz/", "/readyz", "/readyz/"})
"""Asked for by address, by whoever watches the server: answered under every name."""
_SHOWN_ANYWHERE: Final = PROBES | {"/", "/instanter.js", "/instanter.js/"}
"""What these answer is nobody's secret: pages of other sites may show it with `--dev`, too."""
ALLOWED_HEADERS: Final = (
    "authorization", "content-type", "content-encoding", "anonymousid", "sentat", "x-write-key", "x-user-token",
    "x-visitor-secret", "x-retry-count",
)  # fmt: skip
PREFLIGHT_S: Final = 7_200
"""How long a browser may remember the answer to a preflight; none remembers it for longer than Chromium's two hours."""

_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%-]+)(:[0-9]{0,5})?")
_NAME = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)(:[0-9]{1,5})?")
_HEADER_NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+( *, *[A-Za-z0-9!#$%&'*+.^_`|~-]+)*")
_LABELS = re.compile(r"[a-z0-9_.-]+")
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})


class Page(NamedTuple):
    """The page that sent a request."""

    origin: str
    """Empty where the browser did not say, as it does not for what a page merely looks at."""
    standing: Standing


class EdgeOptions(msgspec.Struct, frozen=True):
    """Who may reach the server; `ops/settings.ServeSettings` says what each means."""

    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    dev: bool = False
    """Loopback names and loopback origins, whatever else is named: no key is asked for."""


def origin_fault(origin: str) -> str:
    """Why a text cannot stand in `serve.origins`; "" where it can.

    >>> origin_fault("https://*.shop.example"), origin_fault("https://shop.example/")
    ('', 'an origin has no path: https://shop.example')
    """
    if origin == "*" or _ORIGIN.fullmatch(origin):
        return ""
    lower = origin.lower()
    if _ORIGIN.fullmatch(lower):
        return f"an origin is written in lower case: {lower}"
    if (found := _ORIGIN.match(lower)) and lower[found.end()] in "/?#":
        return f"an origin has no path: {found[0]}"
    if _NAME.fullmatch(lower):
        return f"an origin begins with its scheme: https://{lower}"
    return "an origin is a scheme, a name and perhaps a port, as in https://shop.example or https://*.shop.example"


def host_fault(host: str) -> str:
    """Why a text cannot stand in `serve.hosts`; "" where it can.

    >>> host_fault("api.shop.example"), host_fault("*.shop.example"), host_fault("[::1]"), host_fault("10.0.0.7")
    ('', '', '', '')
    >>> host_fault("https://api.shop.example"), host_fault("api.shop.example:8080")
    ('a host has no scheme: api.shop.example', 'a host stands for all its ports: api.shop.example')
    """
    lower = host.lower()
    if "://" in lower:
        return f"a host has no scheme: {lower.partition('://')[2].partition('/')[0]}"
    if _is_address(lower) or _NAME.fullmatch(lower):
        return ""
    name, _, port = lower.rpartition(":")
    if name and port.isdigit() and (_is_address(name) or _NAME.fullmatch(name)):
        return f"a host stands for all its ports: {name}"
    return "a host is a name or an address, as in api.shop.example, *.shop.example or 10.0.0.7"


class Origins:
    """The pages that may ask: some by name, those of a domain, or all."""

    def __init__(self, named: Iterable[str]) -> None:
        self._any = False
        self._exact: set[str] = set()
        self._domains: list[tuple[str, str]] = []
        for origin in named:
            if origin == "*":
                self._any = True
            elif "://*." in origin:
                scheme, _, rest = origin.partition("://*")
                self._domains.append((f"{scheme}://", rest))
            else:
                self._exact.add(origin)

    def standing(self, origin: str) -> Standing:
        """How an origin stands.

        >>> shop = Origins(["https://shop.example", "https://*.shop.example:8443"])
        >>> shop.standing("https://shop.example"), shop.standing("https://a.b.shop.example:8443")
        ('listed', 'listed')
        >>> shop.standing("https://evil-shop.example"), shop.standing("http://shop.example"), shop.standing("null")
        ('foreign', 'foreign', 'foreign')
        """
        if origin in self._exact or any(self._is_within(origin, *domain) for domain in self._domains):
            return "listed"
        return "any" if self._any else "foreign"

    @staticmethod
    def _is_within(origin: str, scheme: str, rest: str) -> bool:
        """Whether it is a name below the domain; the domain itself is not."""
        if not (origin.startswith(scheme) and origin.endswith(rest)):
            return False
        return _LABELS.fullmatch(origin[len(scheme) : len(origin) - len(rest)]) is not None


class Hosts:
    """The names under which the server may be asked."""

    def __init__(self, named: Iterable[str], *, dev: bool) -> None:
        """None named: under every name, or with `dev` under those of this machine alone."""
        names = [name.lower().rstrip(".").strip("[]") for name in named]
        self._exact = {name for name in names if not name.startswith("*.")}
        self._domains = tuple(name[1:] for name in names if name.startswith("*."))
        self._all = not names
        self._dev = dev

    def allows(self, host: str) -> bool:
        """Whether this one, without its port, is among them.

        >>> Hosts([], dev=True).allows("shop.localhost"), Hosts([], dev=True).allows("shop.example")
        (True, False)
        >>> Hosts(["*.shop.example"], dev=False).allows("api.shop.example")
        True
        """
        name = host.lower().rstrip(".").strip("[]")
        if self._dev:
            return is_loopback(name)
        return self._all or name in self._exact or name.endswith(self._domains)


def is_loopback(name: str) -> bool:
    """Whether a name or an address is this machine's own.

    >>> is_loopback("localhost"), is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("localhost.example")
    (True, True, True, False)
    """
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class Edge:
    """An application around another one. Used on the loop's thread."""

    def __init__(
        self, app: ASGIApp, options: EdgeOptions, meter: Meter, *, page_methods: Callable[[str], tuple[str, ...]],
        is_tracking: Callable[[str], bool], guards_itself: Callable[[str], bool] = lambda path: False,
    ) -> None:  # fmt: skip
        """`page_methods` tells the methods of a path that a page may use, `is_tracking` whether it takes events, and
        `guards_itself` whether it takes forms, and those of its own pages alone."""
        self._app = app
        self._meter = meter
        self._dev = options.dev
        self._origins = Origins(options.origins)
        self._hosts = Hosts(options.hosts, dev=options.dev)
        self._known_hosts: set[bytes] = set()
        self._told: set[str] = set()
        self._page_methods = page_methods
        self._is_tracking = is_tracking
        self._guards_itself = guards_itself

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        host = origin = site = kind = b""
        hosts = 0
        head_bytes = len(scope["path"]) + len(scope["query_string"])
        for name, value in scope["headers"]:
            head_bytes += len(name) + len(value)
            if name not in _LOOKED_AT:
                continue
            if name == b"host":
                host = value
                hosts += 1
            elif name == b"origin":
                origin = value
            elif name == b"content-type":
                kind = value
            else:
                site = value
        if head_bytes > HEAD_BYTES_MAX:
            await self._refuse(_HEAD_TOO_LARGE, scope, receive, send)
            return
        if hosts != 1 or host not in self._known_hosts:
            fault = self._fault_of_host(scope, host, hosts)
            if fault is not None:
                await self._refuse(fault, scope, receive, send)
                return
        if self._dev and (fault := self._fault_of_page(scope, kind, origin, site)) is not None:
            await self._refuse(fault, scope, receive, send)
            return
        if origin or site:
            await self._of_a_page(scope, receive, send, self._page(origin.decode("latin-1"), host, site))
        else:
            await self._app(scope, receive, send)

    def headers_for(self, head: bytes) -> list[tuple[bytes, bytes]]:
        """What an answer to a request with this head has to carry, where nobody looks at the request any closer."""
        found = re.search(rb"\r\n[Oo]rigin: *([^\r\n]*)", head)
        if found is None:
            return []
        page = self._page(found[1].decode("latin-1").strip(), b"", b"")
        return [] if page.standing == "foreign" else _told_to(page)

    def _fault_of_host(self, scope: Scope, host: bytes, count: int) -> RequestRejected | None:
        """Why this request is not for us. What is found to be in order is remembered."""
        if not host:
            if scope["http_version"] in ("1", "1.0"):
                return None
            return RequestRejected("host", "HTTP/1.1 asks for a Host header")
        if count > 1:
            return RequestRejected("host", "there is more than one Host header")
        found = _HOST.fullmatch(host)
        if found is None:
            return RequestRejected("host", "the Host header is neither a name nor an address")
        if not self._hosts.allows(found[1].decode()):
            if scope["path"] in PROBES:
                return None
            return RequestRejected("host", _FOREIGN_HOST[self._dev], status=421)
        if len(self._known_hosts) >= HOSTS_REMEMBERED_MAX:
            self._known_hosts.clear()
        self._known_hosts.add(host)
        return None

    def _page(self, origin: str, host: bytes, site: bytes) -> Page:
        """Who sends this: by name, or because the browser says that the page is of this very server."""
        if not origin:
            return Page("", "same" if site == b"same-origin" else "any")
        if self._dev:
            found = _ORIGIN.fullmatch(origin)
            return Page(origin, "listed" if found and is_loopback(found[2].strip("[]")) else "foreign")
        standing = self._origins.standing(origin)
        if standing in ("foreign", "any") and (
            site == b"same-origin" or (not site and origin.partition("://")[2].encode("latin-1") == host)
        ):
            standing = "same"
        return Page(origin, standing)

    async def _of_a_page(self, scope: Scope, receive: Receive, send: Send, page: Page) -> None:
        methods = self._page_methods(scope["path"])
        if page.standing == "foreign":
            self._tell(page.origin)
            if self._dev or (methods and _asks_first(scope)):
                await self._refuse(_FOREIGN_ORIGIN[self._dev], scope, receive, send)
                return
        elif methods and _asks_first(scope):
            await _preflight(scope, methods, page)(scope, receive, send)
            return
        scope[PAGE] = page
        headers = _told_to(page) if methods and page.origin and page.standing != "foreign" else [_VARY]

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *headers]}
            await send(message)

        await self._app(scope, receive, told)

    def _fault_of_page(self, scope: Scope, kind: bytes, origin: bytes, site: bytes) -> RequestRejected | None:
        """Why a developer's server does not take what a page could have sent it without asking first.

        What names no origin is what a page shows or links to: reads of profiles are noted, and a hash of the state
        takes long, so a foreign page is given nothing but the library for pages and the first page, which tells
        where to look.
        """
        if site == b"cross-site" and not origin and scope["path"] not in _SHOWN_ANYWHERE:
            return _FOREIGN_ORIGIN[True]
        if self._is_tracking(scope["path"]) or self._guards_itself(scope["path"]):
            return None
        told = kind.partition(b";")[0].strip().lower()
        if told == b"text/plain":
            return _UNASKED
        if (origin or site) and scope["method"] in _WITH_BODY and told != b"application/json":
            return _FOREIGN_ORIGIN[True] if origin and self._is_foreign(origin) else _UNASKED
        return None

    def _is_foreign(self, origin: bytes) -> bool:
        return self._page(origin.decode("latin-1"), b"", b"").standing == "foreign"

    def _tell(self, origin: str) -> None:
        """Say once of each origin that it was not let in, and how it would be."""
        if origin not in self._told and len(self._told) < ORIGINS_TOLD_MAX:
            self._told.add(origin)
            advice = "a page was not let in: name its origin in serve.origins, if it is yours"
            log.warning(advice, extra={"origin": origin[:NAME_CHARS_MAX]})

    async def _refuse(self, error: RequestRejected, scope: Scope, receive: Receive, send: Send) -> None:
        self._meter.count(f"requests_refused.{error.code}")
        await refusal(error, tracking=self._is_tracking(scope["path"]))(scope, receive, send)


_LOOKED_AT: Final = frozenset({b"host", b"origin", b"content-type", b"sec-fetch-site"})
_VARY: Final = (b"vary", b"Origin")
_HEAD_TOO_LARGE: Final = RequestRejected(
    "head_too_large", f"a request's line and headers have at most {HEAD_BYTES_MAX} bytes", status=431
)
"""The HTTP server itself refuses only what does not fit into what it reads at once, which may be twice as much."""
_FOREIGN_HOST: Final = (
    "this server is not asked under that name; serve.hosts names those under which it is",
    "with --dev this server is asked under the names of this machine alone, such as localhost",
)
_FOREIGN_ORIGIN: Final = (
    RequestRejected("origin", "pages of this origin are not let in; serve.origins names those that are", status=403),
    RequestRejected("origin", "with --dev only pages of this machine are let in, such as http://localhost", status=403),
)
_UNASKED: Final = RequestRejected(
    "content_type", "with --dev this route takes application/json; text/plain is for the tracking routes", status=415
)


def _told_to(page: Page) -> list[tuple[bytes, bytes]]:
    """What lets a page read an answer. The origin is named also where all are let in: what a proxy keeps is one's."""
    return [
        (b"access-control-allow-origin", page.origin.encode("latin-1")),
        (b"access-control-expose-headers", b"retry-after"),
        _VARY,
    ]


def _asks_first(scope: Scope) -> bool:
    """Whether this is a preflight: a browser asks whether it may send what it is about to."""
    return scope["method"] == "OPTIONS" and any(
        name == b"access-control-request-method" for name, _ in scope["headers"]
    )


def _preflight(scope: Scope, methods: tuple[str, ...], page: Page) -> Response:
    """The answer to a preflight. Any header may be sent: those that nobody here knows do nothing, and clients add
    new ones with new versions."""
    asked = next((value for name, value in scope["headers"] if name == b"access-control-request-headers"), b"")
    names = asked[:PREFLIGHT_HEADERS_CHARS_MAX].decode("latin-1")
    more = names.lower().replace(" ", "").split(",") if _HEADER_NAMES.fullmatch(names) else []
    allowed = dict.fromkeys([*ALLOWED_HEADERS, *more])
    headers = {
        "Access-Control-Allow-Methods": ", ".join(methods),
        "Access-Control-Allow-Headers": ", ".join(allowed),
        "Access-Control-Max-Age": str(PREFLIGHT_S),
    }
    response = Response(status_code=204, headers=headers)
    response.raw_headers.extend(_told_to(page))
    return response


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True
