"""Any file of items: what it is is told by its content, and its items are read one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import msgspec

from . import jsons, parquets, tables, xmls
from .found import Broken, FeedItem, Finds, Note, Problem, refused
from .opening import UNPACKING_ERRORS, Peeked, encoding_of, is_no_text, text_of, unpacked

__all__ = ["Feed", "FeedItem", "Problem", "read_items"]


class Feed:
    """The items of a file, once. Holds no more of it than one item and what is read ahead."""

    def __init__(self, format_: str, finds: Finds, closing: ExitStack) -> None:
        self.format = format_
        """In words, e.g. "Google Merchant RSS"."""
        self.broken = ""
        """Once all has been read: why the file cannot have been whole, "" if it was. Nothing may be deleted then."""
        self.notes: list[str] = []
        """Once all has been read: how the file was read, in sentences."""
        self._finds = finds
        self._closing = closing

    def __enter__(self) -> Feed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    def __iter__(self) -> Iterator[tuple[str, FeedItem | Problem]]:
        """Where it stands ("line 7", "item 3 (line 40)", "row 5"), and the item or why it is none."""
        place = "the file"
        try:
            for place, found in self._finds:
                if isinstance(found, Broken):
                    self.broken = found.reason
                    yield place, Problem(found.reason)
                elif isinstance(found, Note):
                    self.notes.append(found.sentence)
                else:
                    yield place, _encodable(found)
        except UNPACKING_ERRORS as error:
            self.broken = f"it cannot be unpacked to its end: {error}"
            yield f"behind {place}", Problem(self.broken)


def _encodable(found: FeedItem | Problem) -> FeedItem | Problem:
    """The item, unless it holds what no JSON can."""
    try:
        msgspec.json.encode(found)
    except (UnicodeEncodeError, OverflowError, RecursionError, TypeError, ValueError):
        return Problem("it holds text that is no Unicode, or was cut within a character")
    return found


def read_items(source: Path | BinaryIO, *, columns: Mapping[str, str] | None = None) -> Feed:
    """The items of a file or binary stream, whatever of these it is: CSV or TSV (any usual delimiter and encoding),
    a JSON list, a JSON object with a list, NDJSON, Parquet, Google Merchant's XML, CSV and TSV, Shopify's CSV and JSON;
    plain or in gzip, bzip2, xz or zip. A stream is left open.

    `columns` says field -> column (`{"id": "sku"}`) over what the names of the columns say. Raises `RequestRejected`
    ("feed") for a file that is none of these or has no ids, in a sentence with the remedy; what is wrong with a single
    item is a `Problem` among the items.
    """
    given = columns or {}
    with ExitStack() as closing:
        try:
            opened = unpacked(source, closing)
            format_, finds = _read(source, opened, opened.head, given)
        except UNPACKING_ERRORS as error:
            raise refused(f"it cannot be unpacked: {error}") from None
        return Feed(format_, finds, closing.pop_all())


def _read(
    source: Path | BinaryIO, opened: Peeked, head: bytes, given: Mapping[str, str]
) -> tuple[str, Finds]:
    if head.startswith(b"PAR1"):
        return parquets.read_parquet(source, given)
    if is_no_text(head):
        raise refused("it is no text, and none of the other files that are read: save it as CSV, JSON or Parquet")
    encoding, mark_bytes = encoding_of(head)
    begin = head[mark_bytes:].decode(encoding, "replace").lstrip()
    if not begin:
        raise refused("it is empty")
    if begin[0] == "<":
        return xmls.read_xml(opened, given)
    text = text_of(opened)
    if begin[0] not in "[{":
        return tables.read_table(text, given)
    lines = begin[0] == "{" and jsons.is_lines(begin)
    return jsons.read_lines(text, given) if lines else jsons.read_document(text, given)
