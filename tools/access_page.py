"""Write docs/access.md: what each role and each scope is good for, route by route.

    python tools/access_page.py docs/access.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from instanter.api.app import RESOURCES
from instanter.privacy.roles import PUBLIC_SCOPES, ROLES, SCOPES, WIDE, roles_with

_OPENING = """\
# Roles, scopes and routes

What an access key may do is said by its role, or by scopes of its own; [Access keys and tenants](guides/keys.md) says
how keys are made. This page is written by `make docs` from `src/instanter/privacy/roles.py` and the table of routes in
`src/instanter/api/app.py`, and the S1 test calls every route with every role and every scope.
"""
_ROLES = """\
## Roles

A role is a named set of scopes.

| role | scopes |
|---|---|
"""
_SCOPES = f"""
## Scopes that hold others

A scope is good for the routes that ask for it. Three hold further ones; nothing else implies anything. A public key has
at most {' and '.join(f'`{scope}`' for scope in SCOPES if scope in PUBLIC_SCOPES)}, and no role.

| scope | holds |
|---|---|
"""
_ROUTES = f"""
## Routes

¹ for keys of the tenant `default` alone, since it is about all tenants. ² for public keys, too.

| route | asks for | {' | '.join(ROLES)} |
|---|---|{'---|' * len(ROLES)}
"""


def page() -> str:
    """The whole page."""
    roles = [f"| `{role}` | {_listed(scopes)} |\n" for role, scopes in ROLES.items()]
    wide = [f"| `{scope}` | {_listed([one for one in SCOPES if one in inner])} |\n" for scope, inner in WIDE.items()]
    return "".join([_OPENING, "\n", _ROLES, *roles, _SCOPES, *wide, _ROUTES, *_rows()])


def _rows() -> Iterator[str]:
    for resource in RESOURCES:
        if resource.alias_of:
            continue
        marks = ("¹" if resource.all_tenants else "") + ("²" if resource.public else "")
        for method, (scope, _) in resource.methods.items():
            route = f"`{method} {resource.template}`"
            if scope == "open":
                yield f"| {route} | nothing | {' | '.join('yes' for _ in ROLES)} |\n"
                continue
            able = roles_with(scope)
            yield f"| {route}{marks} | `{scope}` | {' | '.join('yes' if role in able else '' for role in ROLES)} |\n"


def _listed(scopes: tuple[str, ...] | list[str]) -> str:
    return ", ".join(f"`{scope}`" for scope in scopes)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
