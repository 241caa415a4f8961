"""A product's picture, by the fields that the catalogue has of it; a neutral card for what has no recipe here."""

from __future__ import annotations

import html
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from ...foundation.limits import STOREFRONT_PICTURES_MAX
from . import others, seating, storage, tables
from .palette import COLOURS, Look, look_of, mixed
from .shapes import FLOOR, SIDE, framed, oval, path, rect, texture

PIECES: Final[dict[str, Callable[[Look], str]]] = {
    "sofa": seating.sofa, "armchair": seating.armchair, "outdoor sofa": seating.outdoor_sofa,
    "lounge chair": seating.lounge_chair, "dining chair": seating.dining_chair, "bar stool": seating.bar_stool,
    "desk chair": seating.desk_chair, "bed": seating.bed, "kids bed": seating.kids_bed,
    "kids chair": seating.kids_chair,
    "bed bench": seating.bed_bench, "coffee table": tables.coffee_table, "side table": tables.side_table,
    "dining table": tables.dining_table, "patio table": tables.patio_table, "desk": tables.desk,
    "console table": tables.console_table, "play table": tables.play_table, "sideboard": storage.sideboard,
    "media console": storage.media_console, "bookcase": storage.bookcase, "wardrobe": storage.wardrobe,
    "dresser": storage.dresser, "nightstand": storage.nightstand, "display cabinet": storage.display_cabinet,
    "wall shelf": storage.wall_shelf, "filing cabinet": storage.filing_cabinet, "shoe cabinet": storage.shoe_cabinet,
    "toy chest": storage.toy_chest, "floor lamp": others.floor_lamp, "bedside lamp": others.table_lamp,
    "desk lamp": others.desk_lamp, "pendant lamp": others.pendant_lamp, "rug": others.rug, "planter": others.planter,
    "parasol": others.parasol, "coat rack": others.coat_rack, "mirror": others.mirror,
}  # fmt: skip
"""What can be drawn, by the name of the category."""
_WITHOUT_FLOOR: Final = frozenset({"mirror", "wall shelf", "pendant lamp"})
_ENLARGED: Final[dict[str, float]] = {
    "armchair": 1.2, "bookcase": 1.06, "wardrobe": 1.06, "display cabinet": 1.06, "nightstand": 1.2, "side table": 1.3,
    "dining chair": 1.14, "bar stool": 1.18, "desk chair": 1.12, "kids chair": 1.3, "kids bed": 1.04,
    "bed bench": 1.1, "planter": 1.12, "console table": 1.12, "coffee table": 1.08, "filing cabinet": 1.14,
    "shoe cabinet": 1.16, "toy chest": 1.12, "dresser": 1.1, "bedside lamp": 1.04, "floor lamp": 1.06,
}  # fmt: skip
"""What is small in its room is drawn that much larger."""
_TINTS: Final = ("#b9853f", "#4f7f86", "#8a5a6d", "#5f7d5a", "#a3613f", "#5b6c97", "#7d7363", "#8f6aa0")


@lru_cache(maxsize=STOREFRONT_PICTURES_MAX)
def furniture(category: str, style: str, colour: str, material: str, variant: int) -> str:
    """An SVG of the piece in its room; KeyError for a category that is not among `PIECES`.

    >>> furniture("armchair", "mid-century", "teal", "velvet", 0).startswith("<svg")
    True
    """
    draw = PIECES[category]
    look = look_of(style, colour, material, variant)
    floor = "" if category in _WITHOUT_FLOOR else rect(0, 276, SIDE, SIDE - 276, look.style.floor)
    enlarged = _ENLARGED.get(category, 1.0)
    left, up = SIDE / 2 * (1 - enlarged), (FLOOR + 8) * (1 - enlarged)
    piece = f'<g transform="translate({left:g} {up:g}) scale({enlarged:g})">{draw(look)}</g>'
    return framed(rect(0, 0, SIDE, SIDE, look.style.wall) + floor + piece, texture(look))


@lru_cache(maxsize=STOREFRONT_PICTURES_MAX)
def card(title: str, kind: str) -> str:
    """A quiet card with the first letters of a title, in a tint of its kind: for whatever has no recipe.

    >>> "&lt;b&gt;" in card("<b>", "") and "<b>" not in card("<b>", "")
    True
    """
    tint = _TINTS[zlib.crc32((kind or title).encode()) % len(_TINTS)]
    turn = zlib.crc32(title.encode())
    words = title.split()
    letters = "".join(word[0] for word in words[:2]).upper() if len(words) > 1 else title[:3]
    paper = mixed(tint, "#ffffff", 0.82)
    circle = oval(90 + turn % 220, 80 + turn // 7 % 200, 92 + turn % 40, 92 + turn % 40, mixed(tint, "#ffffff", 0.68))
    crest, dip, edge = 300 - turn % 60, 220 + turn % 50, 270 + turn // 3 % 60
    hill = path(f"M0 {crest}Q{120 + turn % 90} {dip} {SIDE} {edge}V{SIDE}H0Z", mixed(tint, "#ffffff", 0.52))
    label = (f'<text x="200" y="222" text-anchor="middle" font-family="Georgia, serif" font-size="84" '
             f'fill="{mixed(tint, "#1d1a18", 0.35)}">{html.escape(letters)}</text>')
    return framed(rect(0, 0, SIDE, SIDE, paper) + circle + hill + label, "")


def swatch(colour: str) -> str:
    """The colour by which a product's colour is shown, as "#rrggbb"."""
    return COLOURS.get(colour, "#b9b2a4")


def variant_of(item_id: str) -> int:
    """Which of the three variants of its kind a product is: always the same."""
    return zlib.crc32(item_id.encode()) % 3

