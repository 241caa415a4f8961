"""Replies and errors in the shape of the contract."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from ..foundation.errors import Broken, InstanterError, Rejected, Unavailable

_encode = msgspec.json.Encoder().encode
_MEDIA_TYPE = "application/json"
RETRY_BROKEN_S = 5


def reply(content: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON reply."""
    return encoded(_encode(content), status=status, headers=headers)


def encoded(body: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A reply that is JSON already."""
    return Response(body, status_code=status, headers=headers, media_type=_MEDIA_TYPE)


def refusal(error: InstanterError, *, tracking: bool = False) -> Response:
    """The reply to an error raised on purpose. On the tracking routes code and message stand on top as well."""
    headers: dict[str, str] = {}
    if isinstance(error, Rejected):
        status, code, message = error.status, error.code, error.message
    elif isinstance(error, Unavailable):
        status, code, message = error.status, error.code, error.message
        headers["Retry-After"] = str(error.retry_after_s)
    else:
        assert isinstance(error, Broken)
        status, code, message = 503, "broken", "the engine has stopped to keep its data whole; see its log"
        headers["Retry-After"] = str(RETRY_BROKEN_S)
    return _error(status, code, message, tracking=tracking, headers=headers)


def failure(incident: str, *, tracking: bool = False) -> Response:
    """The reply to a defect of ours: nothing of it is shown but the name under which it was logged."""
    return _error(500, "internal", f"an error on our side, logged as incident {incident}", tracking=tracking)


def _error(
    status: int, code: str, message: str, *, tracking: bool, headers: dict[str, str] | None = None
) -> Response:
    content: dict[str, Any] = {"error": {"code": code, "message": message, "details": []}}
    if tracking:
        content = {"success": False, "code": code, "message": message, **content}
    return reply(content, status=status, headers=headers)
