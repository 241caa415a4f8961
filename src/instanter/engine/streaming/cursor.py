"""Where a stream has come to. Its text is the id of an entry, and what a reader resumes from."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_ID: Final = re.compile(r"([0-9]{1,19}):(-1|[0-9]{1,3})(?:/([0-9]{1,19}))?")
NOT_SAID: Final = -1


class Cursor(NamedTuple):
    """Everything of the log up to entry number `entry` of the record at `position` has been told, and everything of the
    quarantine below `quarantine`."""

    position: int
    entry: int = -1
    """-1: nothing of that record; it may be the one that comes next."""
    quarantine: int = NOT_SAID
    """`NOT_SAID` in the id of a stream without refusals."""

    def text(self, *, refusals: bool) -> str:
        """The id; `refusals` says that how far the quarantine was told is a part of it.

        >>> Cursor(120, 2, 77).text(refusals=False), Cursor(120, -1, 77).text(refusals=True)
        ('120:2', '120:-1/77')
        """
        return f"{self.position}:{self.entry}/{self.quarantine}" if refusals else f"{self.position}:{self.entry}"


def cursor_of(text: str) -> Cursor | None:
    """The cursor of an id; None for what is none.

    >>> cursor_of("120:2"), cursor_of("120:-1/77"), cursor_of("120")
    (Cursor(position=120, entry=2, quarantine=-1), Cursor(position=120, entry=-1, quarantine=77), None)
    """
    found = _ID.fullmatch(text)
    if found is None:
        return None
    position, index, quarantine = found.groups()
    return Cursor(int(position), int(index), NOT_SAID if quarantine is None else int(quarantine))
