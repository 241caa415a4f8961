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
    code = code_of(error)
    if isinstance(error, Rejected):
        headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
        return _error(error.status, code, error.message, tracking=tracking, headers=headers)
    if isinstance(error, Unavailable):
        headers = {"Retry-After": str(max(error.retry_after_s, 1))}
        return _error(error.status, code, error.message, tracking=tracking, headers=headers)
    headers = {"Retry-After": str(RETRY_BROKEN_S)}
    message = "the engine has stopped to keep its data whole; see its log"
    return _error(503, code, message, tracking=tracking, headers=headers)


def code_of(error: InstanterError) -> str:
    """The short, stable name of an error."""
    if isinstance(error, Rejected | Unavailable):
        return error.code
    assert isinstance(error, Broken)
    return "broken"


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
