"""Whole logs that are read for somebody, line by line: few at once, since each takes time of everybody's."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from ..foundation.errors import Overloaded
from ..foundation.limits import EXPORTS_MAX, EXPORTS_PER_TENANT_MAX

RETRY_S: Final = 10


class Reading(Iterator[list[bytes]]):
    """Lines, a bounded piece at a time. Held from when it is made to its last piece, or until it is closed."""

    def __init__(self, lines: Iterator[list[bytes]], on_end: Callable[[], None]) -> None:
        self._lines = lines
        self._on_end = on_end
        self._open = True

    def __next__(self) -> list[bytes]:
        piece, ended = None, True
        try:
            piece, ended = next(self._lines), False
        finally:
            if ended:
                self.close()
        return piece

    def close(self) -> None:
        """Make room for another one. May be called twice, and beside a thread that reads a last piece."""
        if self._open:
            self._open = False
            self._on_end()


class Readings:
    """All of one kind. May be used by several threads."""

    def __init__(self, what: str) -> None:
        """`what` they are, as a refusal says it."""
        self._what = what
        self._held = Counter[str]()
        self._lock = threading.Lock()

    def begin(self, tenant: str, lines: Iterator[list[bytes]]) -> Reading:
        """A reading of lines that is to be closed; `Overloaded` while there are as many as may be, or of the tenant."""
        with self._lock:
            if self._held[tenant] >= EXPORTS_PER_TENANT_MAX or self._held.total() >= EXPORTS_MAX:
                raise Overloaded(f"{self._what} are being read, as many as may be at once", retry_after_s=RETRY_S)
            self._held[tenant] += 1
        return Reading(lines, lambda: self._end(tenant))

    def _end(self, tenant: str) -> None:
        with self._lock:
            self._held[tenant] -= 1
            if not self._held[tenant]:
                del self._held[tenant]
