"""The words of items and of queries, folded so that how something is written makes no difference.

Small letters, no accents, one form for singular and plural in `s`. What is left is what several languages have in
common: no stemming and no lists of words that do not count; how rare a word is says how much it counts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple

from ..events.items import (
    AVAILABILITY,
    BRAND,
    CALLED,
    CATEGORY,
    CREATED,
    CURRENCY,
    GROUP,
    SALE_PERIOD,
    SHOWN_FROM,
    SHOWN_UNTIL,
    TAGS,
)
from ..events.vectors import VECTOR
from ..foundation.limits import FIELD_WORDS_CHARS_MAX, ITEM_WORDS_MAX, QUERY_WORDS_MAX, WORD_CHARS_MAX

TITLE_WEIGHT: Final = 3
SORT_WEIGHT: Final = 2
"""Of category, brand and tags."""
TEXT_WEIGHT: Final = 1
_SORTS: Final = (CATEGORY, BRAND, TAGS)
NO_WORDS: Final = frozenset(
    {CURRENCY, AVAILABILITY, SHOWN_FROM, SHOWN_UNTIL, CREATED, GROUP, SALE_PERIOD, VECTOR, "id", "condition"}
)
"""Fields that hold no words that anybody would search by."""
_TITLES: Final = CALLED["title"]
_VALUES_MAX: Final = 16
"""Values of a list of texts that words are taken from."""
_SINGULAR_CHARS_MIN: Final = 4
_SORTS_KNOWN_MAX: Final = 4_096
_ENDS: Final = re.compile(r"[\W_]$")
"""A word that is followed by a blank or a sign is not being typed any more."""
_TYPED: Final = re.compile(r"[^\W_]+$")
_TOKENS: Final = re.compile(r"[^\W_]+").findall
_words_in = re.compile(rf"([^\W_]{{1,{WORD_CHARS_MAX}}})[^\W_]*").findall
_without_tags = partial(re.compile(r"<[^<>]*>").sub, " ")


class Query(NamedTuple):
    """What somebody looks for."""

    words: list[str]
    beginning: str = ""
    """Of a word that is still being typed: the last one, as it stands there; "" where a blank or a sign ends it."""


def folded(text: str) -> str:
    """The text in small letters and without accents.

    >>> folded("Café GROẞ Ängström")
    'cafe gross angstrom'
    """
    if text.isascii():
        return text.lower()
    parted = unicodedata.normalize("NFKD", text.casefold())
    return "".join(one for one in parted if not unicodedata.combining(one))


def words_in(text: str) -> list[str]:
    """The words of a text, in their order: without the `s` that many languages put behind a word for several of it.
    Both sides of a comparison are cut, so it does no harm where it means nothing.

    >>> words_in("Two SOFAS, 3-seater (glass, Adidas)")
    ['two', 'sofa', '3', 'seater', 'glass', 'adida']
    """
    return [word if word[-1] != "s" else _singular(word) for word in _words_in(folded(text))]


_words_of_sort = lru_cache(_SORTS_KNOWN_MAX)(words_in)
"""Of categories, brands and tags: many items have the same ones."""


def read_query(text: str) -> Query:
    """What a query asks for: its first different words.

    >>> read_query("red Sofas"), read_query("red sofa ")
    (Query(words=['red', 'sofa'], beginning='sofas'), Query(words=['red', 'sofa'], beginning=''))
    """
    plain = folded(text)
    words, typed = list(dict.fromkeys(words_in(text)))[:QUERY_WORDS_MAX], _words_in(plain)
    is_open = bool(typed) and not _ENDS.search(plain) and words_in(typed[-1]) == words[-1:]
    return Query(words, typed[-1] if is_open else "")


def typed_last(text: str) -> tuple[str, str]:
    """What stands before the word that is being typed, and that word as it stands there; "" for no such word.

    >>> typed_last("Red So"), typed_last("red ")
    (('Red ', 'So'), ('red ', ''))
    """
    plain = unicodedata.normalize("NFC", text)
    found = _TYPED.search(plain)
    return (plain, "") if found is None else (plain[: found.start()], found[0])


def written_in(fields: Mapping[str, Any], word: str) -> str:
    """How an item writes one of its words, in small letters; the word itself where it does not have it.

    >>> written_in({"title": "Adidas Café"}, "adida"), written_in({"title": "Adidas Café"}, "cafe")
    ('adidas', 'café')
    """
    for value, _ in _texts(fields):
        text = _without_tags(value[:FIELD_WORDS_CHARS_MAX])
        if word not in (words := words_in(text)):
            continue
        tokens = _TOKENS(text if text.isascii() else unicodedata.normalize("NFC", text))
        if text.isascii():  # Word by word the same.
            return str(tokens[words.index(word)].lower()[:WORD_CHARS_MAX])
        for token in tokens:
            if words_in(token)[:1] == [word]:
                return str(token.lower()[:WORD_CHARS_MAX])
    return word


def words_of(fields: Mapping[str, Any]) -> dict[str, int]:
    """The words of an item, the first `ITEM_WORDS_MAX`, and by their fields how much each weighs, 255 at most.

    The title's come first, then those of category, brand and tags, then those of further texts by the name of the
    field. Addresses, and fields that say when and how it is sold, have none.

    >>> words_of({"title": "Oak table", "category": "tables", "price": 3, "link": "https://shop.example/1"})
    {'oak': 3, 'table': 5}
    """
    weights: dict[str, int] = {}
    for value, weight in _texts(fields):
        text = value[:FIELD_WORDS_CHARS_MAX]
        found = _words_of_sort(text) if weight == SORT_WEIGHT else words_in(_without_tags(text))
        for word in dict.fromkeys(found):
            known = weights.get(word)
            if known is not None:
                weights[word] = min(known + weight, 255)
            elif len(weights) < ITEM_WORDS_MAX:
                weights[word] = weight
    return weights


def text_of(fields: Mapping[str, Any]) -> str:
    """The texts of an item in a row, without marks of HTML: the title first, then as `words_of` has them.

    >>> text_of({"tags": ["oak", "new"], "title": "Table", "price": 3, "link": "https://shop.example/1"})
    'Table. oak. new'
    """
    parts = (" ".join(_without_tags(value[:FIELD_WORDS_CHARS_MAX]).split()) for value, _ in _texts(fields))
    return ". ".join(part for part in parts if part)


def _texts(fields: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """The texts of an item and what their words weigh, in the order in which they count."""
    title = title_of(fields)
    if title:
        yield from _values(fields[title], TITLE_WEIGHT)
    for name in _SORTS:
        yield from _values(fields.get(name), SORT_WEIGHT)
    for name in sorted(fields):
        if name != title and name not in _SORTS and name not in NO_WORDS:
            yield from _values(fields[name], TEXT_WEIGHT)


def title_of(fields: Mapping[str, Any]) -> str:
    """The name of the field that is the title, "" if none is."""
    if "title" in fields:
        return "title"
    named = {"".join(filter(str.isalnum, name.casefold())): name for name in sorted(fields, reverse=True)}
    return next((named[called] for called in _TITLES if called in named), "")


def _values(value: object, weight: int) -> Iterator[tuple[str, int]]:
    if isinstance(value, str):
        if "://" not in value:
            yield value, weight
    elif isinstance(value, list):
        for part in value[:_VALUES_MAX]:
            if isinstance(part, str) and "://" not in part:
                yield part, weight


def _singular(word: str) -> str:
    """A word in `s` without it."""
    return word[:-1] if len(word) >= _SINGULAR_CHARS_MIN and word[-2] not in "sui" and word.isalpha() else word
