"""Signed user tokens: by one, a page shows that the shop's own server has signed its visitor in."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final

import msgspec

from .limits import TOKEN_LIFETIME_S_MAX
from .surroundings import RealSurroundings, Surroundings

_HOUR_S: Final = 3_600


def user_token(
    user_id: str, *, secret_id: str, secret: str, tenant: str = "default", lifetime_s: int = _HOUR_S,
    surroundings: Surroundings | None = None,
) -> str:  # fmt: skip
    """A JWT (HS256) under a signing secret of the tenant, as `POST /v1/signing-secrets` made it.

    Give it to the visitor's page and to nobody else: whoever has it is that user until it ends. Raises ValueError for
    a lifetime that the server would not believe, and where a part is missing.
    """
    if not (user_id and secret_id and secret and tenant):
        raise ValueError("a user token needs user_id, secret_id, secret and tenant")
    if not 1 <= lifetime_s <= TOKEN_LIFETIME_S_MAX:
        raise ValueError(f"lifetime_s is from 1 to {TOKEN_LIFETIME_S_MAX}")
    now_s = (surroundings or RealSurroundings()).now_ms() // 1_000
    header = {"alg": "HS256", "typ": "JWT", "kid": secret_id}
    claims = {"sub": user_id, "aud": tenant, "iat": now_s, "exp": now_s + int(lifetime_s)}
    signed = f"{_part(msgspec.json.encode(header))}.{_part(msgspec.json.encode(claims))}"
    return f"{signed}.{_part(hmac.digest(secret.encode(), signed.encode(), hashlib.sha256))}"


def _part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
