"""People with hidden tastes, a budget, patience and a goal. Person n of a seed is always the same person."""

from __future__ import annotations

import msgspec

from .assortment import CATEGORIES, COLOURS, MATERIALS, ROOMS, STYLES, Category
from .chance import Chance
from .shop import Shop

GOAL_PIECES_MAX = 5

_AGENTS: tuple[tuple[float, str, str], ...] = (
    (0.24, "mobile", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
                     "Version/17.6 Mobile/15E148 Safari/604.1"),
    (0.24, "mobile", "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) "
                     "Chrome/129.0.0.0 Mobile Safari/537.36"),
    (0.22, "desktop", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
                      "Chrome/129.0.0.0 Safari/537.36"),
    (0.08, "desktop", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
                      "Version/17.6 Safari/605.1.15"),
    (0.07, "desktop", "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:130.0) Gecko/20100101 Firefox/130.0"),
    (0.07, "desktop", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
                      "Chrome/129.0.0.0 Safari/537.36 Edg/129.0.0.0"),
    (0.05, "tablet", "Mozilla/5.0 (iPad; CPU OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
                     "Version/17.6 Mobile/15E148 Safari/604.1"),
    (0.03, "desktop", "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"),
)
_PLACES: tuple[tuple[float, str, str], ...] = (
    (0.40, "en-GB", "Europe/London"), (0.20, "de-DE", "Europe/Berlin"), (0.15, "fr-FR", "Europe/Paris"),
    (0.10, "nl-NL", "Europe/Amsterdam"), (0.10, "sv-SE", "Europe/Stockholm"), (0.05, "en-IE", "Europe/Dublin"),
)


class Tastes(msgspec.Struct, frozen=True):
    """Weights in the units of utility, each tuple in the order of its vocabulary in `assortment` (brands: of the shop).

    Nobody outside the simulator may see them: they are what an engine has to find out.
    """

    styles: tuple[float, ...]
    materials: tuple[float, ...]
    colours: tuple[float, ...]
    brands: tuple[float, ...]
    rooms: tuple[float, ...]


class Goal(msgspec.Struct, frozen=True):
    """What the person came to buy: one piece, or the pieces of a room."""

    room: str
    categories: tuple[str, ...]


class Person(msgspec.Struct, frozen=True):
    """One visitor. `anonymous_id` and what a browser tells are public; the rest is hidden."""

    index: int
    anonymous_id: str
    user_id: str
    """What the person is called once signed in."""
    device: str
    user_agent: str
    locale: str
    timezone: str
    ip: str
    tastes: Tastes
    goal: Goal
    level: float
    """The part of a category's price range the person feels at home in, 0 (cheapest) to 1."""
    budget: float
    """Money to spend on the goal."""
    patience: float
    """0 to 1: how far down a list they look, how many pages they open, how readily they return."""


class People:
    """The population of a shop, made person by person on demand; nothing is kept.

    >>> people = People(Shop(products=50), seed=1)
    >>> people.person(3) == people.person(3)
    True
    """

    def __init__(self, shop: Shop, *, seed: int = 1) -> None:
        self._brands = len(shop.brands)
        self._seed = seed

    def person(self, index: int) -> Person:
        """Person number `index` >= 0."""
        chance = Chance(f"person/{index}", seed=self._seed)
        device, agent = chance.weighted([each[1:] for each in _AGENTS], [each[0] for each in _AGENTS])
        locale, timezone = chance.weighted([each[1:] for each in _PLACES], [each[0] for each in _PLACES])
        goal = _goal(chance)
        level = min(0.9, max(0.1, chance.normal(0.42, 0.16)))
        return Person(
            index=index, anonymous_id=f"anon-{self._seed}-{index}", user_id=f"user-{self._seed}-{index}",
            device=device, user_agent=agent, locale=locale, timezone=timezone, ip=f"203.0.113.{1 + chance.below(254)}",
            tastes=self._tastes(chance, goal), goal=goal, level=level, budget=_budget(goal, level),
            patience=chance.uniform(),
        )

    def _tastes(self, chance: Chance, goal: Goal) -> Tastes:
        liked, second, disliked = chance.sample(tuple(STYLES), 3)
        leaning = {liked: 2.2, second: 1.0, disliked: -1.2}
        return Tastes(
            styles=tuple(leaning.get(style, 0.0) + chance.normal(0.0, 0.25) for style in STYLES),
            materials=tuple(chance.normal(0.0, 0.5) for _ in MATERIALS),
            colours=tuple(chance.normal(0.0, 0.4) for _ in COLOURS),
            brands=tuple(chance.normal(0.0, 0.4) for _ in range(self._brands)),
            rooms=tuple((0.5 if room == goal.room else -0.5) + chance.normal(0.0, 0.2) for room in ROOMS),
        )


def _goal(chance: Chance) -> Goal:
    """A room to furnish for every third person, one piece for the others; common pieces more often."""
    anchor = chance.weighted(CATEGORIES, [category.share for category in CATEGORIES])
    if not chance.happens(1.0 / 3.0):
        return Goal(room=anchor.room, categories=(anchor.name,))
    others = [each.name for each in CATEGORIES if each.room == anchor.room and each.name != anchor.name]
    count = 1 + chance.below(GOAL_PIECES_MAX - 1)
    return Goal(room=anchor.room, categories=(anchor.name, *chance.sample(others, count)))


def _budget(goal: Goal, level: float) -> float:
    """Enough for every piece at the person's level, and a third more."""
    return round(1.33 * sum(_named(name).price_at(level) for name in goal.categories), 2)


def _named(name: str) -> Category:
    return next(category for category in CATEGORIES if category.name == name)
