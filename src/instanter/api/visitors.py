"""What a visitor's browser says of itself in the headers of HTTP, for events that do not say it.

Only of a browser: what a server's library sends as its agent and its address are the library's and the server's. A
page's request carries `Origin` or `Sec-Fetch-Site`, which the programs that send events from servers do not.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.types import Scope

from ..events.addresses import truncated
from ..foundation.limits import AGENT_CHARS_MAX, NAME_CHARS_MAX, PROXIES_LISTED_MAX, REFERRER_CHARS_MAX
from .browsers import PAGE
from .tenancy import Caller

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_OF_BROWSERS: Final = ("Mozilla/", "Opera/")
"""How the agents of all browsers begin."""
_BRAND = re.compile(r'"([^"]{1,64})" *; *v="([0-9.]{1,16})"')
_BRANDS_MAX: Final = 8
_FORWARDED_FOR = re.compile(r'(?:^|[;,])\s*for=("[^"]*"|[^";,]*)', re.IGNORECASE)


class Proxies:
    """The proxies whose word on an address counts."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks: Sequence[Network] = [ipaddress.ip_network(network, strict=False) for network in networks]

    def client_address(self, peer: str, forwarded: str, forwarded_for: str) -> str:
        """Who asked: the peer, or behind proxies of ours the nearest address that is none of theirs.

        Most proxies write one of the two headers and pass the other on as the visitor sent it. Nobody can tell which;
        where the two disagree nobody is believed.

        >>> Proxies(["10.0.0.0/8"]).client_address("10.0.0.7", "", "203.0.113.9, 198.51.100.4, 10.1.1.1")
        '198.51.100.4'
        >>> Proxies(["10.0.0.7"]).client_address("10.0.0.7", "for=192.0.2.66", "203.0.113.9")
        ''
        >>> Proxies([]).client_address("198.51.100.4", "for=203.0.113.9", "203.0.113.9")
        '198.51.100.4'
        """
        if not self.trusts(peer):
            return peer
        named = [self._nearest(told) for told in (_FORWARDED_FOR.findall(forwarded), forwarded_for.split(","))
                 if told and told != [""]]  # fmt: skip
        return named[0] if named and len(set(named)) == 1 else ""

    def _nearest(self, told: Sequence[str]) -> str:
        """The nearest address of a header that is none of our proxies'; "" where it cannot be read."""
        for sent in reversed(told[-PROXIES_LISTED_MAX:]):
            address = _plain_address(sent)
            if not address:
                return ""
            if not self.trusts(address):
                return address
        return ""

    def trusts(self, address: str) -> bool:
        """Whether this is one of them."""
        if not self._networks:
            return False
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)


def proxy_fault(network: str) -> str:
    """Why a text cannot stand in `serve.proxies`; "" where it can.

    >>> proxy_fault("10.0.0.0/8"), proxy_fault("127.0.0.1"), proxy_fault("balancer")
    ('', '', 'a proxy is an address or a network, as in 10.0.0.7 or 10.0.0.0/8')
    """
    try:
        ipaddress.ip_network(network, strict=False)
    except ValueError:
        return "a proxy is an address or a network, as in 10.0.0.7 or 10.0.0.0/8"
    return ""


def context_of(request: Request, caller: Caller, proxies: Proxies) -> dict[str, Any] | None:
    """Context for events that lack it; None where no browser sent them."""
    if not caller.public and PAGE not in request.scope:
        return None
    headers = {name: value for name, value in request.scope["headers"] if name in _HEADERS}
    agent = _text(headers, b"user-agent", AGENT_CHARS_MAX)
    hints = _hints(headers)
    if agent and not agent.startswith(_OF_BROWSERS):
        return None
    found: dict[str, Any] = {}
    if agent or hints:
        found["userAgent"] = agent or _agent_of(hints)
    if hints:
        found["userAgentData"] = hints
    if (page := _text(headers, b"referer", REFERRER_CHARS_MAX)).startswith(("http://", "https://")):
        found["page"] = {"url": page}
    language = _text(headers, b"accept-language", NAME_CHARS_MAX).partition(",")[0].partition(";")[0].strip()
    if language and language != "*":
        found["locale"] = language
    if address := _address(request.scope, headers, proxies):
        found["ip"] = address
    return found or None


def network_of(request: Request, proxies: Proxies) -> str:
    """The network that a request comes from, an IPv4 address or an IPv6 /64; "" where that is nobody's in particular: a
    private one, such as that of a proxy which is not among `proxies`."""
    headers = {name: value for name, value in request.scope["headers"] if name in _HEADERS}
    parsed = _public_address(request.scope, headers, proxies)
    if parsed is None:
        return ""
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, _IPV6_BITS), strict=False))
    return str(parsed)


_IPV6_BITS: Final = 64
"""Of an address, those that tell one customer of a provider from the next."""
_PRIVATE: Final = [
    ipaddress.ip_network(network) for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
        "::/127", "fc00::/7", "fe80::/10",
    )
]  # fmt: skip
_HEADERS: Final = frozenset({
    b"user-agent", b"referer", b"accept-language", b"sec-ch-ua", b"sec-ch-ua-mobile", b"sec-ch-ua-platform",
    b"x-forwarded-for", b"forwarded",
})  # fmt: skip


def _text(headers: dict[bytes, bytes], name: bytes, chars_max: int) -> str:
    """A header as text, without what no header should hold."""
    return "".join(one for one in headers.get(name, b"")[:chars_max].decode("latin-1") if one.isprintable()).strip()


def _hints(headers: dict[bytes, bytes]) -> dict[str, Any]:
    """The client hints as `navigator.userAgentData` has them, which is how clients send them in events."""
    brands = _BRAND.findall(_text(headers, b"sec-ch-ua", AGENT_CHARS_MAX))[:_BRANDS_MAX]
    if not brands:
        return {}
    return {
        "brands": [{"brand": brand, "version": version} for brand, version in brands],
        "mobile": headers.get(b"sec-ch-ua-mobile") == b"?1",
        "platform": _text(headers, b"sec-ch-ua-platform", NAME_CHARS_MAX).strip('"'),
    }


def _agent_of(hints: dict[str, Any]) -> str:
    """The hints in the shape of an agent, where there is none: what reads agents finds system, device and browser."""
    brand = next((one for one in reversed(hints["brands"]) if "Brand" not in one["brand"]), hints["brands"][0])
    name = brand["brand"].rpartition(" ")[2].replace("Chromium", "Chrome")
    mobile = "Mobile " if hints["mobile"] else ""
    system = _SYSTEMS.get(hints["platform"], hints["platform"])
    version = brand["version"] if "." in brand["version"] else f"{brand['version']}.0.0.0"
    return f"Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) {name}/{version} {mobile}Safari/537.36"


_SYSTEMS: Final = {
    "Windows": "Windows NT 10.0; Win64; x64", "macOS": "Macintosh; Intel Mac OS X 10_15_7", "Android": "Linux; Android",
    "Chrome OS": "X11; CrOS x86_64", "Linux": "X11; Linux x86_64",
}  # fmt: skip


def _address(scope: Scope, headers: dict[bytes, bytes], proxies: Proxies) -> str:
    """The network that the visitor asks from; none that is private, for that is nobody's in particular."""
    parsed = _public_address(scope, headers, proxies)
    return "" if parsed is None else truncated(str(parsed))


def _public_address(
    scope: Scope, headers: dict[bytes, bytes], proxies: Proxies
) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    peer = scope["client"][0] if scope.get("client") else ""
    address = proxies.client_address(
        peer, headers.get(b"forwarded", b"").decode("latin-1"), headers.get(b"x-forwarded-for", b"").decode("latin-1")
    )
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return None if any((mapped or parsed) in network for network in _PRIVATE) else parsed


def _plain_address(sent: str) -> str:
    """An address as proxies list it, without a port and brackets; "" if it is none."""
    text = sent.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""
