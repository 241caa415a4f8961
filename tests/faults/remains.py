"""The memory of a live process, read for what may not be in it: live objects, caches, buffers and what was freed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PRESENT_OR_SWAPPED = np.uint64(62)
_PART_BYTES = 64 * 1024 * 1024
_AROUND_BYTES = 48


class Remnant(NamedTuple):
    """Where something was found, and what is around it."""

    address: int
    mapping: str
    around: bytes


def remnants(pid: int, texts: Sequence[str]) -> list[Remnant]:
    """Where these texts stand, as UTF-8 (which their JSON, MessagePack and URL forms are, if they are of plain letters
    and digits), and as Python and others hold wider texts."""
    spellings = {text.encode(coding) for text in texts for coding in ("utf-8", "utf-16-le", "utf-32-le")}
    wanted = re.compile(b"|".join(re.escape(one) for one in sorted(spellings)))
    found = []
    for first, mapping, raw in _written(pid):
        for match in wanted.finditer(raw):
            around = raw[max(match.start() - _AROUND_BYTES, 0) : match.end() + _AROUND_BYTES]
            found.append(Remnant(first + match.start(), mapping, around))
    return found


def _written(pid: int) -> Iterator[tuple[int, str, bytes]]:
    """All memory that the process may write to, as far as it is there: address, name and content of each piece."""
    with open(f"/proc/{pid}/mem", "rb", 0) as memory, open(f"/proc/{pid}/pagemap", "rb", 0) as pages:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights, _, _, _, *name = line.split(maxsplit=5)
            if not rights.startswith("rw"):
                continue
            first, end = (int(address, 16) for address in span.split("-"))
            count = (end - first) // PAGE_BYTES
            states = np.frombuffer(os.pread(pages.fileno(), 8 * count, first // PAGE_BYTES * 8), np.uint64)
            there = (states >> _PRESENT_OR_SWAPPED) != 0
            edges = np.flatnonzero(np.diff(there.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
            for begun, over in edges.tolist():
                at, size = first + begun * PAGE_BYTES, (over - begun) * PAGE_BYTES
                for part in range(0, size, _PART_BYTES):
                    raw = os.pread(memory.fileno(), min(_PART_BYTES + PAGE_BYTES, size - part), at + part)
                    yield at + part, "".join(name), raw
