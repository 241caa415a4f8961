"""What a feature is, in words: derived from its declaration, so that nobody has to write it down twice."""

from __future__ import annotations

import msgspec

from .declaration import FeatureDeclaration

_SECONDS = "s"


class Described(msgspec.Struct, frozen=True):
    """A feature for people."""

    title: str
    unit: str
    """Of the number, or of the scores of a list, as declared; "" where nothing is. `s` is seconds."""


def described(declaration: FeatureDeclaration) -> Described:
    """A feature in words.

    >>> described(FeatureDeclaration(name="views", on=("Product Viewed",), aggregate="windowed", window="24h")).title
    'Views, of the last 24h'
    >>> described(FeatureDeclaration(name="last_seen", on=("Product Viewed",), aggregate="time_since"))
    Described(title='Last seen, how long ago', unit='s')
    """
    words = declaration.name.replace("_", " ").replace(".", " ").strip()
    title = words[:1].upper() + words[1:] + _how(declaration)
    return Described(title, _SECONDS if declaration.aggregate == "time_since" else declaration.unit)


def _how(declaration: FeatureDeclaration) -> str:
    """How it is counted, where its name does not say it."""
    fading = f", fading by half in {declaration.half_life}" if declaration.half_life else ""
    match declaration.aggregate:
        case "windowed":
            return f", of the last {declaration.window}"
        case "time_since":
            return ", how long ago"
        case "mean":
            return ", on average"
        case "top_k":
            return f", the strongest first{fading}"
        case "last_k":
            return ", the newest first"
        case _:
            return fading
