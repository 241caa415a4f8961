"""Invented, pronounceable names. They mean nothing and are meant to be nobody's brand."""

from __future__ import annotations

from .chance import Chance

_FIRST = ("br", "d", "f", "fl", "h", "k", "l", "m", "n", "r", "s", "st", "t", "tr", "v")
_LATER = ("b", "d", "l", "m", "n", "r", "s", "t", "v")
_VOWELS = ("a", "e", "i", "o", "u")
_ENDS = ("", "", "", "n", "l", "r", "m", "s")


def invent(chance: Chance, syllables: int) -> str:
    """One capitalised name of so many syllables.

    >>> invent(Chance("name", seed=3), 3).isalpha()
    True
    """
    parts = [chance.pick(_LATER if index else _FIRST) + chance.pick(_VOWELS) for index in range(syllables)]
    return ("".join(parts) + chance.pick(_ENDS)).capitalize()


def invent_distinct(chance: Chance, count: int, *, syllables: int, taken: frozenset[str] = frozenset()) -> list[str]:
    """`count` names, none twice and none of `taken`; far fewer than there are (150,000 of three syllables)."""
    used = set(taken)
    names: list[str] = []
    while len(names) < count:
        name = invent(chance, syllables)
        if name not in used:
            used.add(name)
            names.append(name)
    return names
