"""What browser clients ask before they send anything: settings that elsewhere a control plane would give them.

Nothing is set up here, so each is answered with the least that lets the client begin: events go to this server, to no
other destination, and it reports nothing about itself to its maker.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from ..foundation.errors import RequestRejected
from ..foundation.limits import ACCESS_KEY_CHARS_MAX
from .browsers import PAGE, is_loopback
from .replies import reply
from .routing import path_id
from .tenancy import caller_of
from .visitors import Proxies

_UNKEPT: Final = {"Cache-Control": "no-store"}


async def rudder_source(request: Request) -> Response:
    """`GET /sourceConfig`, for RudderStack's JavaScript SDK with `configUrl`."""
    name = hashlib.sha256(caller_of(request).tenant.encode()).hexdigest()[:27]
    off = {"enabled": False}
    source: dict[str, Any] = {
        "id": name, "name": "instanter", "writeKey": "", "workspaceId": name, "enabled": True, "destinations": [],
        "config": {"statsCollection": {"errors": off, "metrics": off}}, "connections": [], "dataplanes": {},
    }  # fmt: skip
    return reply({"source": source, "updatedAt": None}, headers=_UNKEPT)


async def segment_settings(request: Request) -> Response:
    """`GET /v1/projects/{key}/settings`, for Segment's Analytics.js with `cdnURL`: where its events go."""
    key = path_id(request, "key")
    if len(key) > ACCESS_KEY_CHARS_MAX:
        raise RequestRejected("schema", f"an access key has at most {ACCESS_KEY_CHARS_MAX} characters")
    host = request.headers.get("host", "")
    sending = {"apiKey": key, "apiHost": f"{host}/v1", "protocol": _protocol(request), "unbundledIntegrations": []}
    settings = {
        "integrations": {"Segment.io": sending}, "plan": {"track": {"__default": {"enabled": True}}},
        "metrics": {"sampleRate": 0}, "remotePlugins": [],
    }  # fmt: skip
    return reply(settings, headers=_UNKEPT)


def _protocol(request: Request) -> str:
    """How the page reached this server: as a proxy of ours says; else as the page itself came; else in the open."""
    proxies: Proxies = request.app.state.proxies
    peer = request.client.host if request.client else ""
    told = request.headers.get("x-forwarded-proto", "").lower()
    if told in ("http", "https") and proxies.trusts(peer):
        return told
    page = request.scope.get(PAGE)
    scheme: str = page.origin.partition("://")[0] if page is not None else ""
    name = request.headers.get("host", "").rpartition(":")[0] or request.headers.get("host", "")
    if is_loopback(name.strip("[]")) or scheme not in ("http", "https"):
        return "http"
    return scheme
