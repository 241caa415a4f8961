"""Items from XML: Google Merchant's RSS 2.0 and Atom, and whatever else has one element for an item.

Read element by element. Entities that a document declares are refused, whatever they would be: they are how a small
file becomes a large one, and how it reads others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from xml.parsers import expat

from ...foundation.limits import FEED_XML_CHARS_MAX, FEED_XML_DEPTH_MAX, FEED_XML_ELEMENTS_MAX, FEED_XML_TAG_BYTES_MAX
from .columns import Renamer
from .found import Broken, FeedItem, Finds, Problem, refused
from .opening import HEAD_BYTES, Peeked

ITEM_ELEMENTS: Final = frozenset({"item", "entry", "product", "offer", "article"})
_HREF: Final = "href"
_GOOGLE: Final = "http://base.google.com/ns/"


def read_xml(peeked: Peeked, given: Mapping[str, str]) -> tuple[str, Finds]:
    """What kind of XML it is, and its items; `RequestRejected` where the file is none of it."""
    document = _Document(given)
    finds = document.read(peeked)
    first = next(finds, None)
    if first is None:
        raise refused(f"the XML has no items: no element is called {', '.join(sorted(ITEM_ELEMENTS))}")
    return document.kind, _again(first, finds)


def _again(first: Any, rest: Finds) -> Finds:
    yield first
    yield from rest


class _Refused(Exception):
    """The document is one that is not read."""


class _Document:
    def __init__(self, given: Mapping[str, str]) -> None:
        self.kind = "XML"
        self._renamer = Renamer(given, tables=True)
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.EntityDeclHandler = self._entity
        self._parser.AttlistDeclHandler = self._attributes
        self._fed_bytes = 0
        self._path: list[str] = []
        self._item_depth = 0
        self._item_line = 0
        self._fields: list[dict[str, Any]] = []
        """Of the item, and of the elements within it that hold others."""
        self._texts: list[list[str]] = []
        self._sizes: list[int] = []
        self._googles: set[str] = set()
        """Fields of the item that Google's namespace has said: they stand over others of the name."""
        self._elements = 0
        self._problem = ""
        self._number = 0
        self._found: list[tuple[str, FeedItem | Problem | Broken]] = []

    def read(self, peeked: Peeked) -> Finds:
        while True:
            data = peeked.read(HEAD_BYTES)
            try:
                self._parser.Parse(data or b"", not data)
                self._fed_bytes += len(data)
                if self._fed_bytes - self._parser.CurrentByteIndex > FEED_XML_TAG_BYTES_MAX:
                    raise _Refused(f"the XML has a tag of more than {FEED_XML_TAG_BYTES_MAX:,} bytes")
            except expat.ExpatError as error:
                yield from self._taken()
                where = f"line {error.lineno}"
                if not self._number and not self._path:
                    raise refused(f"the XML cannot be read: {where}: {expat.ErrorString(error.code)}") from None
                yield where, Broken(f"the XML breaks off: {expat.ErrorString(error.code)}")
                return
            except _Refused as reason:
                raise refused(str(reason)) from None
            yield from self._taken()
            if not data:
                return

    def _taken(self) -> Iterator[Any]:
        found, self._found = self._found, []
        return iter(found)

    def _entity(self, *declared: object) -> None:
        raise _Refused("the XML declares entities, which are not read: write them out")

    def _attributes(self, *declared: object) -> None:
        raise _Refused("the XML declares attributes, which are not read: write them out")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(" ")[2]
        self._path.append(local)
        if len(self._path) > FEED_XML_DEPTH_MAX:
            raise _Refused(f"the XML is nested more than {FEED_XML_DEPTH_MAX} deep")
        if len(self._path) == 1:
            self.kind = {"rss": "RSS", "feed": "Atom"}.get(local.casefold(), "XML")
            if local.casefold() == "html":
                raise _Refused("it is an HTML page, not a feed: most likely the address asks for a sign-in")
        if not self._item_depth:
            if local.casefold() in ITEM_ELEMENTS and len(self._path) > 1:
                self._begin_item(attributes)
            return
        self._elements += 1
        if self._elements > FEED_XML_ELEMENTS_MAX:
            self._problem = f"it has more than {FEED_XML_ELEMENTS_MAX:,} elements"
        self._fields.append({})
        self._texts.append([attributes[_HREF]] if _HREF in attributes else [])
        self._sizes.append(0)

    def _begin_item(self, attributes: dict[str, str]) -> None:
        self._item_depth, self._item_line = len(self._path), self._parser.CurrentLineNumber
        self._fields, self._texts, self._sizes = [dict(attributes)], [[]], [0]
        self._elements, self._problem, self._googles = 0, "", set()
        self._number += 1
        if sum(map(len, attributes.values())) > FEED_XML_CHARS_MAX:
            self._problem = f"its attributes have more than {FEED_XML_CHARS_MAX:,} characters"

    def _characters(self, text: str) -> None:
        if self._item_depth and not self._problem:
            self._sizes[-1] += len(text)
            if self._sizes[-1] > FEED_XML_CHARS_MAX:
                self._problem = f"{self._path[-1]} has more than {FEED_XML_CHARS_MAX:,} characters"
            else:
                self._texts[-1].append(text)

    def _end(self, name: str) -> None:
        local = self._path.pop()
        if not self._item_depth:
            return
        if len(self._path) < self._item_depth:
            self._end_item()
            return
        fields, texts = self._fields.pop(), self._texts.pop()
        self._sizes.pop()
        text = "".join(texts).strip()
        value: Any = fields or text
        if value and not self._problem:
            parent = self._fields[-1]
            if len(self._path) == self._item_depth:
                google = name.startswith(_GOOGLE)
                if google and local not in self._googles:
                    self._googles.add(local)
                    parent.pop(local, None)
                    self.kind = f"Google Merchant {self.kind}" if self.kind in ("RSS", "Atom") else self.kind
                elif not google and local in self._googles:
                    return
            known = parent.get(local)
            if known is None:
                parent[local] = value
            else:
                parent[local] = [*known, value] if isinstance(known, list) else [known, value]

    def _end_item(self) -> None:
        place = f"item {self._number} (line {self._item_line})"
        self._item_depth = 0
        found = Problem(self._problem) if self._problem else self._renamer.item(self._fields[0])
        self._found.append((place, found))
