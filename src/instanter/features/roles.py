"""What decisions rely on features for: the roles that a feature may declare, and what a feature of each has to be.

A decision looks for purchases or popularity by role, never by the name of a feature, so names are free.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from ..state.aggregations import DECLARED, declared

FeatureRole = Literal[
    "purchases", "co_views", "trending", "popularity", "impressions", "clicks", "item_views", "carts", "buys",
    "sequences", "baskets", "cart", "none",
]
"""`none` is declared to have no role, where the name of a built-in feature would give one."""


class RoleRule(NamedTuple):
    """What a feature of a role has to be, and what decisions do with it."""

    aggregates: tuple[str, ...]
    scopes: tuple[str, ...]
    use: str
    by: str = ""


_NUMBERS: Final = tuple(name for name in DECLARED if declared(name, "").is_number)

ROLES: Final[dict[FeatureRole, RoleRule]] = {
    "purchases": RoleRule(("last_k",), ("profile", "session"), "the filter `just_bought`", by="item"),
    "co_views": RoleRule(("co_occurrence",), ("item",), "the source `co_viewed`, the input `cross.co_viewed`"),
    "trending": RoleRule(_NUMBERS, ("item",), "the source `trending`"),
    "popularity": RoleRule(_NUMBERS, ("item",), "the sources `popular` and `same_category`, the rung `popular`"),
    "impressions": RoleRule(("count",), ("item",), "the rates of clicks and views"),
    "clicks": RoleRule(("count",), ("item",), "the rate of clicks"),
    "item_views": RoleRule(("count",), ("item",), "the rates of views, carts and buys"),
    "carts": RoleRule(("count",), ("item",), "the rate of carts"),
    "buys": RoleRule(("count",), ("item",), "the rate of buys"),
    "sequences": RoleRule(("sequences",), ("item",), "what people did one after another"),
    "baskets": RoleRule(("sequences",), ("item",), "the source `bought_with`, the inputs `with.*`"),
    "cart": RoleRule(
        ("last_k",), ("profile", "session"), "the items that `bought_with` goes by, the filter `in_cart`", by="item"
    ),
}


class Misfit(NamedTuple):
    """Which field keeps a feature from a role, and what it has to be."""

    field: str
    reason: str


def misfit(role: FeatureRole, *, aggregate: str, by: str, scope: str) -> Misfit | None:
    """Why a feature cannot have the role, or None.

    >>> misfit("purchases", aggregate="last_k", by="item", scope="profile") is None
    True
    >>> misfit("buys", aggregate="sum", by="", scope="item")
    Misfit(field='aggregate', reason='a feature of the role "buys" is a count')
    """
    if role == "none":
        return None
    rule = ROLES[role]
    if aggregate not in rule.aggregates:
        shapes = " or ".join(rule.aggregates) if len(rule.aggregates) == 1 else "number: " + ", ".join(rule.aggregates)
        return Misfit("aggregate", f'a feature of the role "{role}" is a {shapes}')
    if by != rule.by:
        kept = f"is kept by {rule.by}" if rule.by else "tells nothing apart"
        return Misfit("by", f'a feature of the role "{role}" {kept}')
    if scope not in rule.scopes:
        return Misfit("scope", f'a feature of the role "{role}" has the scope {" or ".join(rule.scopes)}')
    return None
