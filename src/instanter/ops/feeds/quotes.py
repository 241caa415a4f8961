"""Quotes in a table that nobody closes: the rows behind them would be read as the text of one value.

A reader of CSV goes on over line ends within quotes, as it must. So one quote too many swallows rows, up to the next
quote or to the end of the file, and all that is left of them looks like a row that is sound.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

UNCLOSED: Final = 'a quote in it is not closed, or stands in a text and is not written twice ("")'
"""What is the matter with a line, in words."""
_LETTERS: Final = re.compile(r"[^\W\d_]+")
_DIGITS: Final = re.compile(r"\d+")


class WatchedLines:
    """Lines on their way to a reader of CSV, which can be read once more when a quote has swallowed them."""

    def __init__(
        self, read_line: Callable[[], str], *, begin_row: Callable[[], None], first_number: int = 1
    ) -> None:
        """`read_line` raises `StopIteration` at the end, and whatever it likes at a row of more than is read at once;
        `begin_row` says that what is read from here on belongs to another row."""
        self._read_line = read_line
        self._begin_row = begin_row
        self._again = deque[str]()
        self.number = first_number - 1
        """Of the line read last."""
        self.row: list[str] = []
        """The lines that the row read last consists of."""
        self.ended = False
        """Whether the reader asked for more than there is, which it does within quotes alone once a row has begun."""

    def begin_row(self) -> None:
        """What is read from here on belongs to another row."""
        self.row = []
        self._begin_row()

    def take_plain(self) -> str | None:
        """The next line where no quote stands in it, which is a row by itself; None where one does, or at the end."""
        if not self._again:
            self.number += 1  # Of a line that is too long to be read, too.
            try:
                line = self._read_line()
            except StopIteration:
                self.number -= 1
                return None
            if '"' not in line:
                self.row = [line]
                return line
            self.number -= 1
            self._again.append(line)
            return None
        if '"' in self._again[0]:
            return None
        self.number += 1
        self.row = [self._again.popleft()]
        return self.row[0]

    def read_again(self) -> None:
        """Read the lines of this row once more but for its first."""
        self._again.extendleft(reversed(self.row[1:]))
        self.number -= len(self.row) - 1
        self.ended = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self.number += 1
        try:
            line = self._again.popleft() if self._again else self._read_line()
        except StopIteration:
            self.number -= 1
            self.ended = True
            raise
        self.row.append(line)
        return line


class QuoteWatch:
    """Tells rows that a quote has swallowed, by what the lines of a row would be alone."""

    def __init__(self, columns: int, **format_: Any) -> None:
        """`format_` is how the table is written, as `csv.reader` takes it."""
        self._columns = columns
        self._format = format_
        self._sound: list[str] = []

    def pass_row(self, values: list[str]) -> None:
        """Take notice of a row that is sound, by which others are known."""
        self._sound = values

    def holds_rows(self, lines: Sequence[str], *, broken: bool = False) -> bool:
        """Whether lines that make one row hold others. `broken`: it is known already that the quote is not closed.

        A line within a text may have as many values as a row by chance. So it has to look like one too: two values as
        rows have them in that place, one of them with figures; or the quote that closes the text is followed by more.

        >>> watch = QuoteWatch(3)
        >>> watch.holds_rows(['p1,"27 inch,9\\n', 'p2,24",7\\n']), watch.holds_rows(['p1,"big,\\n', 'soft, warm",7\\n'])
        (True, False)
        """
        if self._columns < 2 or len(lines) < 2:
            return False
        own = self._values(lines[0])[:-1]  # All but the one that the quote opens.
        bare = self._values(lines[0].replace('"', ""), quoting=csv.QUOTE_NONE)
        references = [own + self._sound[len(own) :], bare if len(bare) == self._columns else []]
        rows = [
            values for line in lines[1:] for values in (self._values(line), self._values(line, quoting=csv.QUOTE_NONE))
            if len(values) == self._columns
        ]  # fmt: skip
        if not rows:
            return False
        return broken or self._is_odd(lines) or any(_alike(values, like) for values in rows for like in references)

    def _values(self, line: str, **otherwise: Any) -> list[str]:
        """The values of a line alone."""
        try:
            return next(csv.reader([line], **self._format, **otherwise), [])
        except csv.Error:
            return []

    def _is_odd(self, lines: Sequence[str]) -> bool:
        """Whether a quote that closes a text is followed by more of it, which no program writes."""
        try:
            list(csv.reader(lines, **self._format, strict=True))
        except csv.Error:
            return True
        return False


def _alike(values: Sequence[str], like: Sequence[str]) -> bool:
    """Whether values are written as those of a row are: figures where they stand there, and one value more."""
    shapes = ((_shape(value), _shape(other)) for value, other in zip(values, like, strict=False))
    agreeing = [shape for shape, other in shapes if shape == other]
    return len(agreeing) >= min(2, len(values) - 1) and any("0" in shape for shape in agreeing)


def _shape(value: str) -> str:
    return _DIGITS.sub("0", _LETTERS.sub("a", value.strip()))
