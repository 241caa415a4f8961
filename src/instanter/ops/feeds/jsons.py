"""Items from JSON: lines of objects, one list, or an object that holds a list. Read piece by piece."""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from ...foundation.limits import FEED_LINE_CHARS_MAX, FEED_WRAPS_MAX
from .columns import IDS, Renamer, letters
from .found import Aside, Broken, FeedItem, Finds, Problem, refused
from .opening import lines_of
from .shopify import is_shopify_product, items_of_product

LISTS: Final = ("items", "products", "entries", "data", "results", "records", "offers", "articles", "nodes", "result",
                "rows", "docs", "hits", "item", "entry", "product", "edges", "@graph", "itemListElement")  # fmt: skip
"""What a list of items within an object may be called."""
WRAPS: Final = ("data", "result", "results", "response", "payload", "body", "channel", "rss", "feed", "catalog",
                "catalogue", "shop", *LISTS)  # fmt: skip
"""What an object around such a list may be called, and one around that."""
_OTHER_TYPES: Final = frozenset({
    "Organization", "WebSite", "WebPage", "CollectionPage", "BreadcrumbList", "ImageObject", "Person", "SearchAction",
})  # fmt: skip
"""Of schema.org, what stands among a page's products and is none."""
_OF_JSON_LD: Final = frozenset({"@type", "@context"})
_KEYED: Final = "its names seem to be ids: write a list of items, each with its id, or an item a line"
_BEHIND: Final = "behind the list of items stands more, which is not read: make one list of it, or an object a line"
_CHUNK_CHARS: Final = 64 * 1024
_SPACE: Final = " \t\r\n"
_decode = json.JSONDecoder().raw_decode


def read_lines(text: io.TextIOWrapper, given: Mapping[str, str]) -> tuple[str, Finds]:
    """Lines with an object each."""
    return "NDJSON", _items_of(objects_of_lines(text), given)


def read_document(text: io.TextIOWrapper, given: Mapping[str, str]) -> tuple[str, Finds]:
    """One list, or one object."""
    name, objects = objects_of_document(text)
    return name, _items_of(objects, given)


def is_lines(head: str) -> bool:
    """Whether text that begins with `{` is an object a line: the first line is whole."""
    line = head.lstrip().partition("\n")[0].strip()
    try:
        value, end = _decode(line)
    except (ValueError, RecursionError):
        return False
    whole = end == len(line) and isinstance(value, dict)
    return whole and not _holds_list(value)


def _holds_list(value: dict[str, Any], depth: int = 0) -> bool:
    if any(isinstance(value.get(name), list) for name in LISTS):
        return True
    if depth == FEED_WRAPS_MAX or any(letters(name) in IDS for name in value):
        return False
    within = (value.get(name) for name in WRAPS)
    return any(isinstance(one, dict) and _holds_list(one, depth + 1) for one in within)


def objects_of_lines(text: io.TextIOWrapper) -> Iterator[tuple[str, Any]]:
    """What each line holds, or a `Problem`, with its place."""
    for number, line in enumerate(lines_of(text), start=1):
        plain = line.strip().lstrip("\ufeff")
        if not plain:
            continue
        place = f"line {number}"
        if len(line) > FEED_LINE_CHARS_MAX:
            yield place, Problem(f"the line has more than {FEED_LINE_CHARS_MAX:,} characters")
            continue
        try:
            value = json.loads(plain)
        except RecursionError:
            yield place, Problem("it is nested too deep")
        except ValueError as error:
            yield place, Problem(f"malformed: {error}")
        else:
            yield place, value


def objects_of_document(
    text: io.TextIOWrapper, lists: Collection[str] = LISTS
) -> tuple[str, Iterator[tuple[str, Any]]]:
    """What the list is called, and what it holds, or a `Broken`, with its place. `lists` are names of lists within an
    object; `RequestRejected` where it has none of them."""
    stream = _Stream(text, lists)
    opening = stream.peek()
    if opening == "[":
        return "JSON list", _elements(stream)
    try:
        name = stream.open_list()
    except _BreaksOff as broken:
        raise refused(str(broken)) from None
    if name is None:
        raise refused(f"the object holds no list of items: none of {', '.join(lists)}; if its names are ids, write a "
                      "list of items, each with its id")
    return f'JSON object with "{name}"', _elements(stream)


def _elements(stream: _Stream) -> Iterator[tuple[str, Any]]:
    number = 0
    try:
        for value in stream.elements():
            number += 1
            yield f"item {number}", value
        if stream.has_more():
            yield f"item {number + 1}", Broken(_BEHIND)
    except _BreaksOff as broken:
        yield f"item {number + 1}", Broken(str(broken))


def _items_of(objects: Iterable[tuple[str, Any]], given: Mapping[str, str]) -> Finds:
    renamer = Renamer(given)
    for place, value in objects:
        if isinstance(value, Aside):
            yield place, value
            continue
        for found in _items(value, renamer, given):
            yield place, found


def _items(value: Any, renamer: Renamer, given: Mapping[str, str]) -> Iterator[FeedItem | Problem]:
    if not isinstance(value, dict):
        yield Problem("it is no object")
        return
    product = _inner(value)
    if value.get("@type") in _OTHER_TYPES:
        return
    if len(product) > 1 and all(isinstance(one, dict) for one in product.values()):
        yield Problem(_KEYED)
        return
    if not is_shopify_product(product):
        yield renamer.item(product)
        return
    for found in items_of_product(product):
        own = found.fields.get(given["id"]) if isinstance(found, FeedItem) and "id" in given else None
        yield FeedItem(str(own), found.fields) if isinstance(found, FeedItem) and own is not None else found


def _inner(value: dict[str, Any]) -> dict[str, Any]:
    """The item within what GraphQL (`node`), Elasticsearch (`_source`) and schema.org (`item`) put around it."""
    around = next((name for name in ("node", "_source") if isinstance(value.get(name), dict)), "")
    if not around and value.get("@type") == "ListItem" and isinstance(value.get("item"), dict):
        around = "item"
    item: dict[str, Any] = value[around] if around else value
    item = {name: one for name, one in item.items() if name not in _OF_JSON_LD}
    for name, holder in (("_id", value), ("@id", item)):
        if name in holder and not any(letters(one) in IDS for one in item if one != name):
            item = {"id": holder[name], **{one: other for one, other in item.items() if one != name}}
        elif name == "@id" and name in item:  # The address of the thing; beside it stands what the shop calls it.
            item = {one: other for one, other in item.items() if one != name}
    return item


class _BreaksOff(Exception):
    """The document cannot be read on."""


class _Stream:
    """JSON as it comes, so much of it in memory as one element takes."""

    def __init__(self, text: io.TextIOWrapper, lists: Collection[str]) -> None:
        self._text = text
        self._lists = lists
        self._left = ""
        self._at = 0
        self._ended = False
        self._open = 0
        """Objects around the list of items."""

    def peek(self) -> str:
        """The next sign that is no space, "" at the end."""
        while True:
            while self._at < len(self._left) and self._left[self._at] in _SPACE:
                self._at += 1
            if self._at < len(self._left) or not self._more():
                return self._left[self._at : self._at + 1]

    def open_list(self) -> str | None:
        """Of an object, go to the list of items within it, and say what it is called; None if there is none."""
        self._take("{")
        self._open += 1
        while self.peek() == '"':
            name = self._value()
            self._take(":")
            if (sign := self.peek()) == "[" and name in self._lists:
                return str(name)
            if sign == "{" and name in WRAPS and self._open <= FEED_WRAPS_MAX:
                if (inner := self.open_list()) is not None:
                    return f"{name}.{inner}"
            else:
                self._value()
            if self.peek() == ",":
                self._take(",")
        self._take("}")
        self._open -= 1
        return None

    def has_more(self) -> bool:
        """Whether anything stands behind the list and the objects around it, whose other fields are passed over."""
        while self._open:
            while self.peek() == ",":
                self._take(",")
                self._value()
                self._take(":")
                self._value()
            self._take("}")
            self._open -= 1
        return bool(self.peek())

    def elements(self) -> Iterator[Any]:
        """The elements of the list that begins here."""
        self._take("[")
        if self.peek() == "]":
            self._take("]")
            return
        while True:
            yield self._value()
            if self.peek() == "]":
                self._take("]")
                return
            self._take(",")

    def _take(self, sign: str) -> None:
        if self.peek() != sign:
            raise _BreaksOff(self._where(f"{sign!r} is missing"))
        self._at += 1

    def _value(self) -> Any:
        self.peek()
        while True:
            try:
                value, end = _decode(self._left, self._at)
            except RecursionError:
                raise _BreaksOff(self._where("it is nested too deep")) from None
            except ValueError as error:
                if len(self._left) - self._at > FEED_LINE_CHARS_MAX:
                    raise _BreaksOff(f"the JSON cannot be read: {error}") from None
                if not self._more():
                    raise _BreaksOff(self._where(f"{error}")) from None
                continue
            # A number may go on in what has not been read yet.
            if end < len(self._left) or not self._more():
                self._at = end
                return value

    def _more(self) -> bool:
        if self._ended:
            return False
        chunk = self._text.read(_CHUNK_CHARS)
        self._ended = not chunk
        self._left = self._left[self._at :] + chunk
        self._at = 0
        return bool(chunk)

    def _where(self, what: str) -> str:
        return "the JSON ends in the middle" if self._ended and not self.peek() else f"the JSON cannot be read: {what}"
