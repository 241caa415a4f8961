"""Where in a TOML text each key stands. The standard parser does not say, and an error without a line is half an error.

The text is one that the parser has accepted: this reads its shape, checks nothing, and visits each character once.
"""

from __future__ import annotations

import tomllib
from typing import Final

Path = tuple[str | int, ...]
"""Keys from the root; an element of an array is its index from 0."""

_BLANK: Final = " \t\r\n"
_BARE_END: Final = ",]}#\n"


def key_lines(text: str) -> dict[Path, int]:
    """The line, from 1, of every key, table and array element of a valid TOML text.

    >>> key_lines("[log]\\npartitions = 4\\n\\n[[features]]\\nname = 'a'\\n")[("features", 0, "name")]
    5
    """
    scan = _Scan(text)
    scan.document()
    return scan.lines


def line_of(lines: dict[Path, int], path: Path) -> int:
    """The line of `path`, else of the nearest table around it, else 0."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return 0


class _Scan:
    """One pass over the text; `at` is the next character."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Path, int] = {}
        self._text = text
        self._at = 0
        self._line = 1
        self._tables_seen: dict[Path, int] = {}
        """Elements so far of each array of tables."""

    def document(self) -> None:
        table: Path = ()
        self._skip_blank()
        while self._at < len(self._text):
            if self._peek() == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip_blank()

    def _header(self) -> Path:
        line = self._line
        brackets = 2 if self._text.startswith("[[", self._at) else 1
        self._advance(brackets)
        keys = self._keys()
        self._advance(brackets)
        table: Path = ()
        for depth, key in enumerate(keys):
            table = (*table, key)
            if brackets == 2 and depth == len(keys) - 1:
                self._tables_seen[table] = self._tables_seen.get(table, 0) + 1
            self.lines.setdefault(table, line)
            if table in self._tables_seen:
                table = (*table, self._tables_seen[table] - 1)
                self.lines.setdefault(table, line)
        return table

    def _pair(self, table: Path) -> None:
        line = self._line
        path = table
        for key in self._keys():
            path = (*path, key)
            self.lines.setdefault(path, line)
        self._advance(1)
        self._value(path)

    def _keys(self) -> list[str]:
        """The parts of a dotted key; stops at what ends it, `=` or `]`."""
        keys = [self._key()]
        while self._peek() == ".":
            self._advance(1)
            keys.append(self._key())
        return keys

    def _key(self) -> str:
        self._skip_blank()
        start = self._at
        if self._peek() in "\"'":
            self._string()
            (key,) = tomllib.loads(f"{self._text[start:self._at]} = 0")
        else:
            while self._peek() not in " \t.=]":
                self._advance(1)
            key = self._text[start:self._at]
        self._skip_blank()
        return key

    def _value(self, path: Path) -> None:
        self._skip_blank()
        opening = self._peek()
        if opening == "[":
            self._array(path)
        elif opening == "{":
            self._inline_table(path)
        elif opening in "\"'":
            self._string()
        else:
            while self._at < len(self._text) and self._peek() not in _BARE_END:
                self._advance(1)

    def _array(self, path: Path) -> None:
        self._advance(1)
        self._skip_blank()
        index = 0
        while self._peek() != "]":
            self.lines[(*path, index)] = self._line
            self._value((*path, index))
            index += 1
            self._skip_separator()
        self._advance(1)

    def _inline_table(self, path: Path) -> None:
        self._advance(1)
        self._skip_blank()
        while self._peek() != "}":
            self._pair(path)
            self._skip_separator()
        self._advance(1)

    def _string(self) -> None:
        quote = self._peek()
        fence = quote * 3 if self._text.startswith(quote * 3, self._at) else quote
        self._advance(len(fence))
        while not self._text.startswith(fence, self._at):
            self._advance(2 if quote == '"' and self._peek() == "\\" else 1)
        self._advance(len(fence))
        while len(fence) == 3 and self._peek() == quote:
            self._advance(1)

    def _skip_separator(self) -> None:
        self._skip_blank()
        if self._peek() == ",":
            self._advance(1)
            self._skip_blank()

    def _skip_blank(self) -> None:
        """Past blanks, line ends and comments."""
        while self._at < len(self._text) and self._peek() in _BLANK + "#":
            if self._peek() == "#":
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end
            else:
                self._advance(1)

    def _peek(self) -> str:
        """The next character; a line end once there is none."""
        return self._text[self._at] if self._at < len(self._text) else "\n"

    def _advance(self, count: int) -> None:
        self._line += self._text.count("\n", self._at, self._at + count)
        self._at += count
