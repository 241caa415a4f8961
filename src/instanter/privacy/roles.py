"""What an access key may be good for: scopes, and roles, which are named sets of them.

Every method of a route asks for one scope (`api.app.RESOURCES`). A scope holds itself and no other, but for the three
that keys had before there were finer ones: they go on being good for what they always were. `docs/access.md` is
written from here and from the routes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal, get_args

Scope = Literal[
    "write", "decide", "catalog", "admin",
    "catalog:read", "receipts:read", "decisions:read", "decisions:replay", "models:read", "models:write",
    "health:read", "jobs:read", "metrics:read", "state:read", "quarantine:read", "quarantine:write", "events:remap",
    "profiles:read", "profiles:export", "privacy:write", "audit:read", "keys:read",
]  # fmt: skip
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
"""What a route may ask for."""
PUBLIC_SCOPES: Final[frozenset[str]] = frozenset({"write", "decide"})
"""What a key may be good for that stands in a page for everybody to read."""

_OF_DECIDE: Final = frozenset[Scope]({"receipts:read"})
_OF_CATALOG: Final = frozenset[Scope]({"catalog:read"})
WIDE: Final[Mapping[Scope, frozenset[Scope]]] = {
    "decide": _OF_DECIDE,
    "catalog": _OF_CATALOG,
    "admin": frozenset(SCOPES) - {"write", "decide", "catalog", "admin"} - _OF_DECIDE - _OF_CATALOG,
}
"""The scopes that hold others, and which. Making and revoking keys asks for `admin` itself: no other scope is worth
the right to give rights away."""

RoleName = Literal["viewer", "merchandiser", "analyst", "operator", "privacy", "admin"]
_LOOK: Final[tuple[Scope, ...]] = ("catalog:read", "models:read", "health:read")
ROLES: Final[Mapping[RoleName, tuple[Scope, ...]]] = {
    "viewer": _LOOK,
    "merchandiser": ("catalog", *_LOOK),
    "analyst": (*_LOOK, "decisions:read", "receipts:read", "decisions:replay", "jobs:read"),
    "operator": (
        "health:read", "metrics:read", "state:read", "jobs:read", "models:read", "models:write", "quarantine:read",
        "quarantine:write", "events:remap",
    ),
    "privacy": ("profiles:read", "profiles:export", "privacy:write", "audit:read"),
    "admin": ("write", "decide", "catalog", "admin"),
}  # fmt: skip
"""Each role with its scopes. A key keeps the name: it is worth what stands here when it is used."""


def scopes_of(role: str) -> tuple[str, ...]:
    """The scopes of a role; none for one that a later program gave out.

    >>> scopes_of("viewer"), scopes_of("seer")
    (('catalog:read', 'models:read', 'health:read'), ())
    """
    return next((scopes for name, scopes in ROLES.items() if name == role), ())


def held(scopes: Iterable[str]) -> frozenset[str]:
    """All that a key with these scopes is good for.

    >>> sorted(held(["write", "catalog"]))
    ['catalog', 'catalog:read', 'write']
    """
    given = frozenset(scopes)
    return given.union(*(inner for wide, inner in WIDE.items() if wide in given))


def roles_with(scope: str) -> list[str]:
    """The roles that are good for what asks for a scope.

    >>> roles_with("models:write")
    ['operator', 'admin']
    """
    return [role for role, scopes in ROLES.items() if scope in held(scopes)]


def wide_with(scope: str) -> list[str]:
    """The wider scopes that hold this one.

    >>> wide_with("catalog:read"), wide_with("catalog")
    (['catalog'], [])
    """
    return [wide for wide, inner in WIDE.items() if scope in inner]


def comes_with(scope: str) -> str:
    """Where a scope is to be had, to go behind its name.

    >>> comes_with("catalog:read")
    'it comes with the scope catalog, or with a role: viewer, merchandiser, analyst, admin'
    """
    wide = "".join(f" the scope {name}, or" for name in wide_with(scope))
    return f"it comes with{wide + ' with' if wide else ''} a role: {', '.join(roles_with(scope))}"
