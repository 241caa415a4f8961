"""Whose request this is."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request

DEFAULT_TENANT: Final = "default"


def tenant_of(request: Request) -> str:
    """The tenant of a request. A server that runs with `--dev` has one, and asks for no key."""
    return DEFAULT_TENANT
