"""Which of the declared features has which role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from .declaration import BUILT_IN_ROLES, FeatureDeclaration
from .roles import FeatureRole, misfit

Carriers = Mapping[FeatureRole, str]
"""Role -> name of the feature that has it."""


def carriers(declarations: Sequence[FeatureDeclaration]) -> Carriers:
    """Who has which role; roles that nobody has are not in it.

    A feature that says nothing has the role of the built-in one whose name it has, if it can and no other declares it:
    configurations from before roles say nothing. By them the first co-occurrence stood in for one called `co_viewed`.

    >>> from .declaration import DEFAULT_FEATURES
    >>> carriers(DEFAULT_FEATURES)["purchases"], carriers(DEFAULT_FEATURES[:2])
    ('bought_items', {})
    """
    found: dict[FeatureRole, str] = {
        one.role: one.name for one in declarations if one.role is not None and one.role != "none"
    }
    silent = [one for one in declarations if one.role is None]
    for one in silent:
        role = BUILT_IN_ROLES.get(one.name)
        if role is not None and misfit(role, aggregate=one.aggregate, by=one.by, scope=one.scope) is None:
            found.setdefault(role, one.name)
    if other := next((one.name for one in silent if one.aggregate == "co_occurrence"), ""):
        found.setdefault("co_views", other)
    return found


def handed_over(built_in: Sequence[FeatureDeclaration], own: Sequence[FeatureDeclaration]) -> list[FeatureDeclaration]:
    """The built-in features without the roles that a configuration's own ones declare."""
    taken = {one.role for one in own} - {None}
    return [msgspec.structs.replace(one, role="none") if one.role in taken else one for one in built_in]
