"""Write docs/limits.md: every bound of foundation/limits.py with its value and what is said about it there.

    python tools/limits_page.py docs/limits.md
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from instanter.foundation import limits

_OPENING = """\
# Bounds

Every queue, cache, batch, list and text has a bound. Reaching one is counted and answered clearly. They are constants
of `src/instanter/foundation/limits.py`; this page is written from there by `make docs`. What can be set instead stands
in [Configuration](configuration.md). `tests/tidy/test_bounds.py` fails at a new one that no test names.
"""
_ONE_BYTE_UNITS = ((1024 * 1024, "MiB"), (1024, "KiB"))


class Bound(NamedTuple):
    """One constant."""

    name: str
    value: int | float
    meaning: str
    section: str


def bounds() -> Iterator[Bound]:
    """The constants, each with the docstring behind it and the comment that heads its section."""
    source = inspect.getsource(limits)
    lines = source.splitlines()
    body = ast.parse(source).body
    for place, node in enumerate(body):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            meaning = _docstring(body[place + 1 : place + 2])
            yield Bound(name, getattr(limits, name), meaning, _section(lines[: node.lineno]))


def page() -> str:
    """The page."""
    parts = [_OPENING]
    section = ""
    for bound in bounds():
        if bound.section != section:
            section = bound.section
            parts.append(f"\n## {section}\n\n| bound | is | |\n|---|---|---|\n")
        parts.append(f"| `{bound.name}` | {_shown(bound)} | {bound.meaning} |\n")
    return "".join(parts)


def _docstring(following: list[ast.stmt]) -> str:
    match following:
        case [ast.Expr(value=ast.Constant(value=str(text)))]:
            return " ".join(text.split()).replace("|", "\\|")
    return ""


def _section(lines_before: list[str]) -> str:
    headings = [line.removeprefix("# ").rstrip(".") for line in lines_before if line.startswith("# ")]
    return headings[-1] if headings else "General"


def _shown(bound: Bound) -> str:
    if "BYTES" in bound.name.split("_"):
        for size, unit in _ONE_BYTE_UNITS:
            if bound.value >= size and bound.value % size == 0:
                return f"{bound.value // size} {unit}"
    return f"{bound.value:,}"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
