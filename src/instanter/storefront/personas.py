"""Somebody else to start as: a few tastes that one can try on, each with the views it begins with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from ..foundation.limits import STOREFRONT_PLAYED_MAX
from .shelf import Shelf, ShelfItem


class Persona(msgspec.Struct, frozen=True):
    """A visitor with a past: the items looked at, in that order; none for a stranger."""

    id: str
    name: str
    line: str
    views: tuple[ShelfItem, ...] = ()


STRANGER: Final = Persona("stranger", "A stranger", "Nobody has seen them before.")
_SECTIONS_TRIED: Final = 4


def personas_of(shelf: Shelf) -> tuple[Persona, ...]:
    """Those that the shelf has something for; a stranger is always among them."""
    if shelf.kind != "furniture":
        return (STRANGER, *_by_section(shelf))
    made = [Persona(name, title, line, _views(shelf, wants)) for name, title, line, wants in _FURNITURE]
    return (STRANGER, *(persona for persona in made if persona.views))


def _by_section(shelf: Shelf) -> list[Persona]:
    """For a shelf of which nothing is known: somebody for each of the large sections."""
    made = []
    for section in shelf.categories[:_SECTIONS_TRIED]:
        views = tuple(shelf.found(section.ids, STOREFRONT_PLAYED_MAX // 2))
        made.append(Persona(section.slug, f"Into {section.title}", f"Has looked at {len(views)} of them.", views))
    return made


def _views(shelf: Shelf, wants: Callable[[ShelfItem], bool]) -> tuple[ShelfItem, ...]:
    """One item of each category first, then more."""
    found = [item for item in shelf.items() if not item.sold_out and wants(item)]
    apart = list({item.category: item for item in reversed(found)}.values())
    return tuple(apart[:STOREFRONT_PLAYED_MAX // 2])


_FURNITURE: Final[tuple[tuple[str, str, str, Callable[[ShelfItem], bool]], ...]] = (
    ("midcentury", "Mid-century lover", "Teak, walnut, tapered legs. Furnishing a living room.",
     lambda item: item.style == "mid-century" and item.room == "living room"),
    ("minimalist", "Minimalist, small flat", "Japandi, nothing dear, nothing large.",
     lambda item: item.style == "japandi" and (item.price or 0) < 300 and item.room in ("office", "hall", "bedroom")),
    ("family", "Family of four", "Something for the children's room.",
     lambda item: item.room == "kids"),
    ("collector", "Art deco collector", "Velvet and brass, and the price is no matter.",
     lambda item: item.style == "art deco" and item.room in ("living room", "dining") and (item.price or 0) > 600),
    ("gardener", "Balcony gardener", "Planters, parasols, and light by the sea.",
     lambda item: item.room == "outdoor" and item.style in ("coastal", "bohemian")),
)
