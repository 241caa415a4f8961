"""Six made-up shops of different kinds and the people who look around in them, from a seed. No engine in here.

An item has a category, a line (an author, a brand, a destination), themes that its title names, and a price. Somebody
who looks at one goes on to another of the line, to one with a theme in common, to one of the category at much the same
price, to what goes with it, or to what everybody looks at. How often each, differs from kind to kind and from seed to
seed, and nobody is told.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

NEAR: Final = 1.35
"""Prices at most so many times one another are much the same."""
VIEWS_LEAST, VIEWS_MOST = 4, 9
STEPS: Final = ("line", "theme", "near", "beside", "popular")


class Kind(NamedTuple):
    """What shops of a kind have in common."""

    items: int
    categories: Sequence[str]
    lines: Sequence[str]
    themes: Sequence[str]
    price: float
    """The middle one; 0 where nothing is sold."""
    steps: Sequence[float]
    """About how often people go on by each of `STEPS`."""
    fields: Callable[[Thing, random.Random], dict[str, Any]]


class Thing(NamedTuple):
    """An item as its shop knows it."""

    id: str
    number: int
    category: str
    line: str
    themes: tuple[str, ...]
    price: float
    appeal: float


def _words(text: str) -> list[str]:
    return [word.replace("_", " ") for word in text.split()]


def _book(thing: Thing, chance: random.Random) -> dict[str, Any]:
    first, second = thing.themes
    form = chance.choice(["The {0} of the {1}", "{0} and {1}", "A {1} in the {0}", "The last {1}: a {0}"])
    return {
        "title": form.format(first, second), "category": f"Books > {thing.category}", "author": thing.line,
        "format": chance.choice(["paperback", "hardcover", "ebook"]), "pages": chance.randint(120, 700),
        "publisher": chance.choice(["Harbour Press", "Lindgren & Sons", "Nightjar", "Quill"]), "price": thing.price,
        "isbn": f"978{thing.number:010}",
    }  # fmt: skip


def _grocery(thing: Thing, chance: random.Random) -> dict[str, Any]:
    first, second = thing.themes
    return {
        "title": f"{thing.line} {first} {second} {chance.choice(['250 g', '500 g', '1 kg', '6 x 1 l'])}",
        "category": thing.category, "brand": thing.line, "price": thing.price, "unit": chance.choice(["g", "kg", "l"]),
        "tags": [second, chance.choice(["vegan", "organic", "family size"])],
    }  # fmt: skip


def _garment(thing: Thing, chance: random.Random) -> dict[str, Any]:
    first, second = thing.themes
    noun = thing.category.removesuffix("s")
    return {
        "title": f"{first} {noun} with {second}".capitalize(), "category": thing.category, "brand": thing.line,
        "price": thing.price, "colour": chance.choice(["black", "navy", "white", "olive", "sand", "red"]),
        "material": chance.choice(["cotton", "wool", "linen", "polyester"]), "sizes": ["S", "M", "L"],
        "gender": chance.choice(["women", "men"]),
    }  # fmt: skip


def _article(thing: Thing, chance: random.Random) -> dict[str, Any]:
    first, second = thing.themes
    form = chance.choice(["Why {0} worries the {1}", "{0}: what {1} means now", "After {1}, a new look at {0}"])
    return {
        "title": form.format(first, second), "category": thing.category, "author": thing.line, "tags": [first],
        "type": chance.choice(["article", "video", "podcast"]),
    }  # fmt: skip


def _tool(thing: Thing, chance: random.Random) -> dict[str, Any]:
    first, second = thing.themes
    model = f"{thing.line[:2].upper()}{chance.randint(10, 99)}-{chance.randint(100, 999)}"
    return {
        "title": f"{thing.line} {model} {thing.category.removesuffix('s')} {first}", "category": thing.category,
        "brand": thing.line, "price": thing.price, "system": first, "description": f"For {second}, with {first}.",
    }  # fmt: skip


def _stay(thing: Thing, chance: random.Random) -> dict[str, Any]:
    first, second = thing.themes
    name = chance.choice(["Miramar", "Central", "Bellevue", "Astoria", "Aurora", "Continental", "Lindenhof", "Riva"])
    return {
        "title": f"{name} {thing.line}", "category": thing.category, "destination": thing.line,
        "tags": [first, second], "price": thing.price, "stars": chance.randint(2, 5),
        "board": chance.choice(["breakfast", "half board", "none"]),
    }  # fmt: skip


_PEOPLE = _words("Ana_Duarte Bram_Visser Carla_Rossi Dmitri_Orlov Elin_Berg Farid_Haddad Greta_Holm Hugo_Lemaire "
                 "Ines_Castro Jonas_Vik Kaya_Demir Liam_Byrne Mira_Novak Nils_Aalto Olga_Petrova Paul_Weber "
                 "Quentin_Roy Rosa_Marin Sven_Krog Tara_Singh Ulla_Lund Viktor_Kiss Wanda_Zajac Yuki_Mori")  # fmt: skip

KINDS: Final[dict[str, Kind]] = {
    "books": Kind(
        1_500, _words("Crime Romance Fantasy History Cooking Travel Science Poetry Children Business"),
        [*_PEOPLE, *(f"{name.split()[1]}, {name.split()[0]}" for name in _PEOPLE), *(f"{name} Jr" for name in _PEOPLE)],
        _words("winter harbour dragon murder garden empire kitchen silence river crown orphan island letters moon war "
               "summer forest ghost detective bakery queen stars train desert secret lighthouse library storm"),
        14.0, (0.35, 0.25, 0.2, 0.05, 0.15), _book,
    ),
    "groceries": Kind(
        800,
        _words("dairy bakery fruit vegetables meat fish drinks snacks pasta sauces frozen breakfast household baby"),
        _words("Alpina Bioland Campo Daily Eden Frisch Golden Haus Iris Juno Karma Lago Marina Nonna"),
        _words("oat almond strawberry lemon tomato basil chocolate vanilla chicken salmon spinach cheese garlic honey "
               "apple ginger pepper olive mushroom coconut"),
        3.5, (0.15, 0.15, 0.25, 0.3, 0.15), _grocery,
    ),
    "fashion": Kind(
        1_200, _words("dresses shirts jeans jackets sneakers boots bags skirts sweaters coats hats swimwear"),
        _words("Arket Bellini Cobalt Dune Eskil Fjord Gala Heron Isla Juniper Kite Loom Moss North Orla Pine Quay Rue"),
        _words("striped floral pleated cropped oversized slim quilted hooded belted ribbed embroidered checked ruffled "
               "velvet denim lace"),
        59.0, (0.2, 0.25, 0.3, 0.1, 0.15), _garment,
    ),
    "media": Kind(
        600, _words("politics economy sport culture science health travel technology local opinion"), _PEOPLE,
        _words("election inflation budget drought vaccine football housing energy border strike museum satellite "
               "startup railway harvest festival court school chip climate tennis flood merger novel"),
        0.0, (0.1, 0.45, 0.2, 0.05, 0.2), _article,
    ),
    "tools": Kind(
        500, _words("drills saws grinders sanders batteries chargers screwdrivers wrenches ladders measuring gloves"),
        _words("Bohrer Casta Draken Eisen Fortis Gruv Hammerli Ironside"),
        _words("12V 18V 36V 230V brushless compact masonry wood metal concrete precision heavy-duty"),
        95.0, (0.35, 0.15, 0.25, 0.15, 0.1), _tool,
    ),
    "travel": Kind(
        300, _words("hotels apartments hostels villas campsites"),
        _words("Palma Lisbon Vienna Crete Prague Porto Nice Split Rome Oslo Seville Bergen Athens Riga Turin"),
        _words("beach spa pool family city_centre romantic quiet pets hiking skiing golf nightlife"),
        120.0, (0.45, 0.2, 0.2, 0.05, 0.1), _stay,
    ),
}  # fmt: skip


class Shop:
    """One shop of a kind: its catalogue, and what people do in it."""

    def __init__(self, kind: str, seed: int) -> None:
        self.kind = KINDS[kind]
        self._chance = random.Random(f"{kind}/{seed}")
        kind_of, chance = self.kind, self._chance
        homes = {line: chance.sample(kind_of.categories, min(3, len(kind_of.categories))) for line in kind_of.lines}
        levels = {category: chance.lognormvariate(0.0, 0.5) for category in kind_of.categories}
        self._beside = {category: chance.choice(kind_of.categories) for category in kind_of.categories}
        self._steps = [chance.gammavariate(20.0 * share, 1.0) for share in kind_of.steps]
        self.things: list[Thing] = []
        for number in range(kind_of.items):
            line = chance.choice(kind_of.lines)
            category = chance.choice(homes[line])
            price = round(kind_of.price * levels[category] * chance.lognormvariate(0.0, 0.45), 2)
            themes = tuple(chance.sample(kind_of.themes, 2))
            appeal = 1.0 / (1.0 + chance.randrange(kind_of.items)) ** 0.6
            self.things.append(Thing(f"{kind}-{number}", number, category, line, themes, price, appeal))
        self.items = [
            {"id": thing.id, "fields": {k: v for k, v in kind_of.fields(thing, chance).items() if v or k != "price"}}
            for thing in self.things
        ]

    def visit(self) -> list[Thing]:
        """What somebody looks at, one after the other."""
        seen = [self._one_of(self.things)]
        for _ in range(self._chance.randint(VIEWS_LEAST, VIEWS_MOST) - 1):
            seen.append(self._next(seen[-1]))
        return seen

    def likeliest(self, now: Thing, count: int) -> list[str]:
        """What most people look at next, as nobody can know who does not know all of the shop."""
        chances = dict.fromkeys((one.id for one in self.things), 0.0)
        for step, share in zip(STEPS, self._steps, strict=True):
            found = self._reached(now, step)
            appeal = sum(one.appeal for one in found)
            for one in found:
                chances[one.id] += share * one.appeal / appeal
        return sorted(chances, key=lambda one: -chances[one])[:count]

    def _next(self, now: Thing) -> Thing:
        (step,) = self._chance.choices(STEPS, self._steps)
        return self._one_of(self._reached(now, step))

    def _reached(self, now: Thing, step: str) -> list[Thing]:
        """Where people go by such a step; anywhere, where there is nothing of the kind."""
        goes = {
            "line": lambda one: one.line == now.line,
            "theme": lambda one: bool({*one.themes} & {*now.themes}),
            "near": lambda one: one.category == now.category and _is_near(one.price, now.price),
            "beside": lambda one: one.category == self._beside[now.category],
            "popular": lambda one: True,
        }[step]
        return [one for one in self.things if one is not now and goes(one)] or self.things

    def _one_of(self, things: Sequence[Thing]) -> Thing:
        return self._chance.choices(things, [one.appeal for one in things])[0]


def _is_near(one: float, other: float) -> bool:
    return max(one, other) <= NEAR * min(one, other)
