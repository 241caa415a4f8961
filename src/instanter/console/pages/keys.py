"""Keys: access keys of the tenant, and the secrets under which its shop signs user tokens."""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import Response

from ...api.routing import path_id
from ...foundation.errors import RequestRejected
from ...privacy.roles import PUBLIC_SCOPES, ROLES
from ..asking import path_of
from ..tables import Button, Column, Row, Table
from ..views import Page, Visit, Way

_PATH: Final = "/console/keys"
_DIGITS_MAX: Final = 9
_KEYS: Final = (
    Column("name", "Name"), Column("id", "Key", "code"), Column("role", "Role"), Column("scopes", "Good for"),
    Column("kind", "Kind", "badge"), Column("rate", "Rate", "number"),
    Column("issuedAt", "Made", "moment"), Column("revokedAt", "Revoked", "moment"),
)  # fmt: skip
_SECRETS: Final = (
    Column("id", "Secret", "code"), Column("algorithm", "Algorithm"), Column("madeAt", "Made", "moment"),
)  # fmt: skip


async def show(visit: Visit) -> Response:
    """Both, those that count first."""
    keys = (await visit.ask.get("/v1/keys"))["keys"]
    secrets = (await visit.ask.get("/v1/signing-secrets"))["secrets"]
    return visit.tables(
        "keys.html",
        Table(title="Access keys", columns=_KEYS, rows=[_key_row(visit, key) for key in keys],
              empty="There is no access key.", note="rates are requests a second; without one as configured"),
        Table(title="Signing secrets", name="secrets", columns=_SECRETS, note="for user tokens",
              rows=[_secret_row(visit, one) for one in secrets], empty="There is none: no user token is good."),
        roles=ROLES, public=sorted(PUBLIC_SCOPES),
    )  # fmt: skip


async def create(visit: Visit) -> Response:
    """Make a key; its text is on this answer and nowhere else."""
    role, rate = visit.form.text("role"), visit.form.text("rate") or "0"
    if not (rate.isascii() and rate.isdigit() and len(rate) <= _DIGITS_MAX):
        raise RequestRejected("schema", "requests a second are a whole number, or empty as configured")
    body: dict[str, Any] = {"name": visit.form.text("name"), "requestsPerS": int(rate)}
    if role == "public":
        body |= {"scopes": sorted(PUBLIC_SCOPES), "public": True}
    else:
        body["role"] = role
    made = await visit.ask.send("POST", "/v1/keys", body)
    return visit.render("secret.html", what="access key", name=made["name"], secret=made["key"], id=made["id"])


async def revoke(visit: Visit) -> Response:
    """Revoke a key."""
    told = await visit.ask.send("DELETE", path_of("v1", "keys", path_id(visit.request)))
    return visit.done(f"The key {told['name']} ({told['id']}) counts no longer.")


async def create_secret(visit: Visit) -> Response:
    """Make a signing secret; likewise."""
    made = await visit.ask.send("POST", "/v1/signing-secrets")
    return visit.render("secret.html", what="signing secret", name=made["id"], secret=made["secret"], id=made["id"])


async def revoke_secret(visit: Visit) -> Response:
    """Revoke a signing secret."""
    told = await visit.ask.send("DELETE", path_of("v1", "signing-secrets", path_id(visit.request)))
    return visit.done(f"No user token signed under {told['id']} is good any more.")


def _key_row(visit: Visit, key: dict[str, Any]) -> Row:
    kind = "revoked" if key["revokedAt"] else "public" if key["public"] else "private"
    cells = {**key, "kind": kind, "scopes": ", ".join(key["scopes"]), "rate": key["requestsPerS"] or None}
    own = " You are logged in with it." if key["id"] == visit.caller.actor else ""
    ask = f"Revoke the key {key['name']}? Whoever uses it is refused from then on.{own}"
    buttons = (Button("Revoke", f"{_PATH}{path_of(key['id'])}/revoke", confirm=ask, is_grave=True),)
    return Row(cells, buttons=buttons if visit.may("admin") and not key["revokedAt"] else ())


def _secret_row(visit: Visit, secret: dict[str, Any]) -> Row:
    ask = f"Revoke the secret {secret['id']}? No token signed under it is good from then on."
    path = f"{_PATH}/secrets{path_of(secret['id'])}/revoke"
    return Row(secret, buttons=(Button("Revoke", path, confirm=ask, is_grave=True),) if visit.may("admin") else ())


PAGE: Final = Page(
    title="Keys", path=_PATH, group="Governance", scope="keys:read", show=show,
    ways=(
        Way("POST", "", create), Way("POST", "/secrets", create_secret), Way("POST", "/{id}/revoke", revoke),
        Way("POST", "/secrets/{id}/revoke", revoke_secret),
    ),
)  # fmt: skip
