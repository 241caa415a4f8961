"""What a furniture shop carries: rooms and their categories, styles, materials, colours, and the price bands.

Plain words and made-up prices. Everything the generator draws from stands here, and nothing is drawn here.
"""

from __future__ import annotations

import math

import msgspec

WOODS = ("walnut", "oak", "teak", "pine", "ash", "bamboo")
METALS = ("steel", "brass", "aluminium")
STONES = ("marble", "concrete", "glass", "ceramic")
CLOTHS = ("leather", "velvet", "linen", "wool", "boucle")
FIBRES = ("wool", "cotton", "jute", "linen")
WEATHERPROOF = ("teak", "rattan", "aluminium", "steel", "concrete")

PRICE_BANDS = ("value", "mid", "premium", "luxury")
"""Quarters of a category's price range on a logarithmic scale."""


class Category(msgspec.Struct, frozen=True):
    """One kind of piece. Prices of its products lie in [price_min, price_max]."""

    name: str
    room: str
    price_min: float
    price_max: float
    share: float
    """How often the shop's lines include it, in proportion to the others."""
    materials: tuple[str, ...]

    def price_at(self, level: float) -> float:
        """The price at a level of 0 (cheapest) to 1 (dearest) of the range, before rounding."""
        return self.price_min * math.exp(level * math.log(self.price_max / self.price_min))

    def level_of(self, price: float) -> float:
        """Where a price stands in the range, 0 to 1; the inverse of `price_at`."""
        return math.log(price / self.price_min) / math.log(self.price_max / self.price_min)

    def band_of(self, price: float) -> str:
        """The name of the price band."""
        return PRICE_BANDS[min(3, max(0, int(self.level_of(price) * 4.0)))]


CATEGORIES: tuple[Category, ...] = (
    Category("sofa", "living room", 390, 4900, 1.6, CLOTHS),
    Category("armchair", "living room", 149, 1900, 1.6, CLOTHS),
    Category("coffee table", "living room", 79, 1200, 1.5, WOODS + STONES),
    Category("floor lamp", "living room", 39, 640, 1.4, (*METALS, "rattan", "linen", "walnut")),
    Category("rug", "living room", 45, 1600, 1.4, FIBRES),
    Category("sideboard", "living room", 190, 2400, 1.2, WOODS),
    Category("bookcase", "living room", 89, 1500, 1.0, (*WOODS, "steel")),
    Category("media console", "living room", 119, 1400, 0.9, WOODS),
    Category("side table", "living room", 29, 420, 1.1, WOODS + STONES + METALS),
    Category("bed", "bedroom", 220, 3600, 1.2, (*WOODS, "velvet", "linen", "steel")),
    Category("nightstand", "bedroom", 39, 520, 1.1, WOODS),
    Category("wardrobe", "bedroom", 240, 3200, 0.8, WOODS),
    Category("dresser", "bedroom", 160, 1900, 0.9, WOODS),
    Category("bed bench", "bedroom", 79, 780, 0.6, CLOTHS),
    Category("bedside lamp", "bedroom", 19, 290, 1.0, (*METALS, "ceramic", "linen")),
    Category("dining table", "dining", 190, 3400, 1.1, (*WOODS, "marble", "glass")),
    Category("dining chair", "dining", 49, 690, 1.4, (*WOODS, "velvet", "leather", "steel")),
    Category("bar stool", "dining", 45, 560, 0.8, (*WOODS, "leather", "steel")),
    Category("pendant lamp", "dining", 29, 720, 1.0, (*METALS, "rattan", "glass", "bamboo")),
    Category("display cabinet", "dining", 210, 2600, 0.6, (*WOODS, "glass")),
    Category("desk", "office", 99, 1900, 1.0, (*WOODS, "steel", "glass")),
    Category("desk chair", "office", 89, 1300, 0.9, CLOTHS),
    Category("desk lamp", "office", 19, 340, 0.9, METALS),
    Category("wall shelf", "office", 19, 360, 0.8, (*WOODS, "steel")),
    Category("filing cabinet", "office", 79, 690, 0.5, ("steel", "oak", "walnut")),
    Category("outdoor sofa", "outdoor", 290, 3900, 0.8, WEATHERPROOF),
    Category("lounge chair", "outdoor", 89, 1200, 0.8, WEATHERPROOF),
    Category("patio table", "outdoor", 99, 1800, 0.7, WEATHERPROOF),
    Category("planter", "outdoor", 15, 290, 0.7, ("ceramic", "concrete", "rattan", "steel")),
    Category("parasol", "outdoor", 59, 780, 0.4, ("cotton", "linen", "bamboo")),
    Category("coat rack", "hall", 25, 390, 0.6, (*WOODS, "steel", "brass")),
    Category("shoe cabinet", "hall", 59, 590, 0.6, WOODS),
    Category("console table", "hall", 79, 1100, 0.8, WOODS + METALS + ("marble",)),
    Category("mirror", "hall", 29, 740, 0.9, (*METALS, "oak", "walnut", "rattan")),
    Category("kids bed", "kids", 149, 1300, 0.6, ("pine", "ash", "oak", "bamboo")),
    Category("toy chest", "kids", 39, 320, 0.5, ("pine", "ash", "rattan", "cotton")),
    Category("play table", "kids", 45, 380, 0.5, ("pine", "ash", "bamboo")),
    Category("kids chair", "kids", 25, 240, 0.5, ("pine", "ash", "rattan", "cotton")),
)

ROOMS: tuple[str, ...] = tuple(dict.fromkeys(category.room for category in CATEGORIES))

STYLES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "mid-century": (("walnut", "teak", "leather", "brass", "wool"), ("brown", "mustard", "olive", "teal")),
    "scandinavian": (("ash", "oak", "pine", "wool", "linen"), ("white", "grey", "natural", "blush")),
    "industrial": (("steel", "concrete", "leather", "oak", "glass"), ("black", "charcoal", "brown", "grey")),
    "rustic": (("pine", "oak", "jute", "cotton", "ceramic"), ("natural", "brown", "terracotta", "cream")),
    "japandi": (("bamboo", "oak", "linen", "ceramic", "boucle"), ("sand", "natural", "charcoal", "cream")),
    "art deco": (("velvet", "brass", "marble", "glass", "walnut"), ("teal", "black", "forest green", "blush")),
    "coastal": (("rattan", "cotton", "jute", "linen", "teak"), ("white", "navy", "sand", "sky blue")),
    "bohemian": (("rattan", "jute", "velvet", "wool", "brass"), ("terracotta", "mustard", "forest green", "plum")),
}
"""Style -> (materials, colours) that it is mostly made in."""

MATERIALS: dict[str, float] = {
    "walnut": 0.10, "oak": 0.05, "teak": 0.10, "pine": -0.15, "ash": 0.0, "bamboo": -0.08,
    "steel": -0.05, "brass": 0.10, "aluminium": -0.02, "marble": 0.18, "concrete": 0.0, "glass": 0.0, "ceramic": -0.04,
    "leather": 0.16, "velvet": 0.06, "linen": 0.0, "wool": 0.06, "boucle": 0.08, "cotton": -0.10, "jute": -0.10,
    "rattan": -0.05,
}
"""Material -> how far it moves a product up or down its category's price range."""

COLOURS: tuple[str, ...] = tuple(dict.fromkeys(colour for _, colours in STYLES.values() for colour in colours))
