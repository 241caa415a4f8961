"""What pieces are drawn in: the colours of cloth, wood, metal and stone, and what tells one style from another."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

Legs = Literal["splayed", "tapered", "frame", "block", "low", "pointed", "turned", "cane"]

COLOURS: Final[dict[str, str]] = {
    "brown": "#8a5a3c", "mustard": "#d3a03a", "olive": "#7f8152", "teal": "#2f7f80", "white": "#f1efe9",
    "grey": "#a3a7a8", "natural": "#d8c3a0", "blush": "#dfaea5", "black": "#33312f",
    "charcoal": "#4e5255", "terracotta": "#c06a48", "cream": "#eee2c9", "sand": "#d9c8a9", "forest green": "#3c6350",
    "navy": "#32496e", "sky blue": "#94bdd4", "plum": "#7a4a68",
}  # fmt: skip
"""Colour of a product -> what cloth, paint and shades of it are drawn in."""

MATERIALS: Final[dict[str, str]] = {
    "walnut": "#7a5137", "oak": "#c79f70", "teak": "#a3703f", "pine": "#dfbd8a", "ash": "#dcc8a8", "bamboo": "#d3b06a",
    "steel": "#50575d", "brass": "#c39c4f", "aluminium": "#b3babf", "marble": "#efece7", "concrete": "#b0aea8",
    "glass": "#bfdadd", "ceramic": "#e7ddcf", "rattan": "#cda66c", "jute": "#c7a877", "leather": "#8f5b3a",
}  # fmt: skip
"""Material -> its own colour; cloths have none, they take the product's."""
WOODS: Final = frozenset({"walnut", "oak", "teak", "pine", "ash", "bamboo"})
METALS: Final = frozenset({"steel", "brass", "aluminium"})


class Style(msgspec.Struct, frozen=True):
    """What all pieces of a style have in common."""

    legs: Legs
    foot: str
    """The material of legs and frames."""
    radius: float
    """How round corners and cushions are, in units of the drawing."""
    wall: str
    floor: str
    accent: str


STYLES: Final[dict[str, Style]] = {
    "mid-century": Style("splayed", "walnut", 12, "#f0e4d2", "#e2cfb4", "#d08a3e"),
    "scandinavian": Style("tapered", "oak", 18, "#edf0ee", "#dde2de", "#8fa8a4"),
    "industrial": Style("frame", "steel", 5, "#e5e2de", "#d3cec7", "#8a4f36"),
    "rustic": Style("block", "oak", 8, "#f1e8da", "#e0d0b8", "#9c6b45"),
    "japandi": Style("low", "walnut", 16, "#eeebe3", "#dfd9cc", "#74694f"),
    "art deco": Style("pointed", "brass", 22, "#e6e5ea", "#d3d0da", "#c39c4f"),
    "coastal": Style("turned", "ash", 14, "#e4eef1", "#d3e0e2", "#5f8ea6"),
    "bohemian": Style("cane", "rattan", 16, "#f5e5da", "#e7cfbd", "#b9573a"),
}
PLAIN: Final = Style("tapered", "oak", 14, "#ecebe6", "#dddbd3", "#8c8a82")
"""Stands in for a style that is not named or not known."""


class Look(msgspec.Struct, frozen=True):
    """What one product is drawn in; every colour is "#rrggbb"."""

    style: Style
    style_name: str
    main: str
    """The cloth, paint or shade."""
    body: str
    """What the piece is built of; the same as `main` for what is upholstered."""
    foot: str
    material: str
    variant: int
    """0, 1 or 2: small differences between products that are alike otherwise."""

    def darker(self, by: float = 0.16) -> str:
        """The cloth in shadow."""
        return mixed(self.main, "#1d1a18", by)

    def lighter(self, by: float = 0.22) -> str:
        """The cloth in light."""
        return mixed(self.main, "#ffffff", by)

    def stained(self, by: float) -> str:
        """The body with the product's colour in it."""
        return mixed(self.body, self.main, by)

    def body_darker(self, by: float = 0.18) -> str:
        """The body in shadow."""
        return mixed(self.body, "#1d1a18", by)

    def body_lighter(self, by: float = 0.2) -> str:
        """The body in light."""
        return mixed(self.body, "#ffffff", by)


def look_of(style: str, colour: str, material: str, variant: int = 0) -> Look:
    """The look of a product by its fields; what is not known is drawn plainly.

    >>> look_of("mid-century", "teal", "velvet").main
    '#2f7f80'
    >>> look_of("", "", "").style == PLAIN
    True
    """
    found = STYLES.get(style, PLAIN)
    main = COLOURS.get(colour, "#b9b2a4")
    body = MATERIALS.get(material, main)
    if material == "leather" and colour in COLOURS:
        body = mixed(body, main, 0.6)
    return Look(found, style, main, body, MATERIALS[found.foot], material, variant % 3)


def mixed(one: str, other: str, share: float) -> str:
    """`share` of the other colour in the one.

    >>> mixed("#000000", "#ffffff", 0.5)
    '#808080'
    """
    pairs = zip(_channels(one), _channels(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
