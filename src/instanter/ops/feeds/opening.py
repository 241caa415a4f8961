"""From a file to plain bytes: what it is packed in, and what it is, by its content."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from ...foundation.errors import RequestRejected
from ...foundation.limits import FEED_LINE_CHARS_MAX, UNPACKED_FREE_BYTES, UNPACKED_RATIO_MAX
from .found import refused

HEAD_BYTES: Final = 64 * 1024
"""Looked at to tell what a file is."""
_LOOKED_AT_BYTES: Final = 4_096
_CONTROLS_OF_TEXT: Final = "\t\n\r\f\v\x1a\x1b"
_ODD_SHARE_MAX: Final = 0.02
UNPACKING_ERRORS: Final = (
    EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError
)
"""What reading raises where a packed file is damaged, ends early or is packed in a way that is not known."""

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip


class _Bzip2(bz2.BZ2File):
    """As bz2 reads it, which has no error of its own for what is damaged."""

    def read(self, size: int | None = -1) -> bytes:
        try:
            return super().read(-1 if size is None else size)
        except OSError as error:
            if error.errno is not None:
                raise
            raise EOFError(str(error)) from None


class Peeked(io.RawIOBase):
    """A stream whose first bytes have been looked at and are still to be read. Raises `RequestRejected` where it is
    unpacked and has no end."""

    def __init__(self, stream: BinaryIO, packed_bytes: Callable[[], int] | None = None) -> None:
        """`packed_bytes` says how many bytes of the file were read until now, where these are unpacked from them."""
        self._stream = stream
        self._packed_bytes = packed_bytes
        self.head = _head(stream)
        self._left = memoryview(self.head)
        self.size_bytes = len(self.head)
        """Read of the stream."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._left:
            size = min(len(buffer), len(self._left))
            buffer[:size] = self._left[:size]
            self._left = self._left[size:]
            return size
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self.size_bytes += len(data)
        if self.size_bytes > UNPACKED_FREE_BYTES and self._packed_bytes is not None:
            self._check_end(self._packed_bytes())
        return len(data)

    def _check_end(self, packed_bytes: int) -> None:
        if self.size_bytes > UNPACKED_RATIO_MAX * packed_bytes:
            reason = f"{packed_bytes:,} packed bytes hold more than {self.size_bytes:,}: a file of data does not"
            raise RequestRejected("too_large", reason)


def unpacked(source: Path | BinaryIO, closing: ExitStack) -> Peeked:
    """The plain bytes of a file or stream, by its content: gzip, bzip2, xz, or zip with one file in it.

    What is opened for that is closed with `closing`, and a stream is not.
    """
    peeked = first = Peeked(closing.enter_context(source.open("rb")) if isinstance(source, Path) else source)

    def packed_bytes() -> int:
        return source.stat().st_size if isinstance(source, Path) else first.size_bytes

    for _ in range(2):  # Something packed may have been packed again on its way.
        inner = _inner(source, peeked, closing)
        if inner is None:
            break
        peeked = Peeked(closing.enter_context(inner), packed_bytes)
    return peeked


def encoding_of(head: bytes) -> tuple[str, int]:
    """The encoding of text by its first bytes, and the length of the mark in front of it."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding, len(mark)
    even, odd = head[0:200:2], head[1:200:2]
    if odd.count(0) * 2 > len(odd) > 0:
        return "utf-16-le", 0
    if even.count(0) * 2 > len(even) > 0:
        return "utf-16-be", 0
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "cp1252", 0
    return "utf-8", 0


def is_no_text(head: bytes) -> bool:
    """Whether these first bytes are those of a picture, a program or other data that nobody can read.

    >>> is_no_text(b"id,title\\n1,Sofa"), is_no_text(bytes(range(256))), is_no_text("id".encode("utf-16"))
    (False, True, False)
    """
    encoding, mark_bytes = encoding_of(head)
    text = head[mark_bytes : mark_bytes + _LOOKED_AT_BYTES].decode(encoding, "replace")
    odd = sum(char < " " and char not in _CONTROLS_OF_TEXT for char in text)
    return "\x00" in text or odd > _ODD_SHARE_MAX * len(text)


def text_of(peeked: Peeked) -> io.TextIOWrapper:
    """The text of a stream; bytes that are no UTF-8 further on in a UTF-8 file are escaped (`whole_text`)."""
    encoding, mark_bytes = encoding_of(peeked.head)
    buffered = io.BufferedReader(peeked, HEAD_BYTES)
    buffered.read(mark_bytes)
    errors = "surrogateescape" if encoding == "utf-8" else "replace"
    return io.TextIOWrapper(cast(BinaryIO, buffered), encoding=encoding, errors=errors, newline="")


def whole_text(text: str) -> str:
    """Text with the bytes that were no UTF-8 read as the Windows code page has them."""
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape").decode("cp1252", "replace")
    return text


def lines_of(text: io.TextIOWrapper) -> Iterator[str]:
    """The lines of a text, each at most `FEED_LINE_CHARS_MAX` and one: a longer one is cut there."""
    while line := text.readline(FEED_LINE_CHARS_MAX + 1):
        if len(line) > FEED_LINE_CHARS_MAX and not line.endswith(("\n", "\r")):
            while (rest := text.readline(FEED_LINE_CHARS_MAX)) and not rest.endswith(("\n", "\r")):
                pass
        yield whole_text(line)


def _head(stream: BinaryIO) -> bytes:
    parts, size = [], 0
    while size < HEAD_BYTES and (part := stream.read(HEAD_BYTES - size)):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def _inner(source: Path | BinaryIO, peeked: Peeked, closing: ExitStack) -> BinaryIO | None:
    """The bytes within packed ones, None where they are not packed."""
    head = peeked.head
    if head.startswith(b"\x1f\x8b"):
        return cast(BinaryIO, gzip.GzipFile(fileobj=io.BufferedReader(peeked), mode="rb"))
    if head.startswith(b"BZh"):
        return cast(BinaryIO, _Bzip2(io.BufferedReader(peeked)))
    if head.startswith(b"\xfd7zXZ\x00"):
        return cast(BinaryIO, lzma.LZMAFile(io.BufferedReader(peeked)))
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        raise refused("it is packed with zstd: unpack it first, or pack it with gzip")
    if head.startswith(b"PK\x03\x04"):
        return _only_member(source, head, closing)
    return None


def _only_member(source: Path | BinaryIO, head: bytes, closing: ExitStack) -> BinaryIO:
    if b"[Content_Types].xml" in head or b"mimetypeapplication/vnd.oasis" in head:
        raise refused("it is a spreadsheet: save it as CSV")
    if not isinstance(source, Path):
        raise refused("a zip file is read from a file, not from standard input")
    archive = closing.enter_context(zipfile.ZipFile(source))
    members = [one for one in archive.infolist() if not one.is_dir() and not one.filename.startswith("__MACOSX/")]
    if len(members) != 1:
        raise refused(f"the zip file holds {len(members)} files: unpack it, and name the one that is meant")
    if members[0].flag_bits & 1:
        raise refused("the zip file asks for a password: unpack it first")
    return cast(BinaryIO, archive.open(members[0]))
