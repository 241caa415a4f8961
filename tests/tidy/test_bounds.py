"""Every bound of docs/limits.md is named by a test that reaches it. A new bound without one fails here."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from instanter.foundation import limits


def bounds() -> list[str]:
    """The constants, in the order of the page."""
    return [name for name in vars(limits) if re.fullmatch(r"[A-Z][A-Z0-9_]*", name)]


def named_in(source: str) -> set[str]:
    """What the tests of a file name: constants, by themselves, as an attribute or as text that is set lower.

    An import alone is none.

    >>> sorted(named_in("from x import C_MAX\\nA_MAX = 1\\ndef test_b(): assert limits.B_MAX; put('D_MAX', 3)"))
    ['B_MAX', 'D_MAX']
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 256:
            found.update(re.findall(r"[A-Z][A-Z0-9_]+", node.value))
    return found


@pytest.fixture(scope="module")
def reached(root: Path) -> dict[str, list[str]]:
    """By bound, the test files that name it."""
    tests = {path: named_in(path.read_text(encoding="utf-8")) for path in sorted(root.glob("tests/*/test_*.py"))
             if path != Path(__file__)}  # fmt: skip
    return {name: [str(path.relative_to(root)) for path, names in tests.items() if name in names] for name in bounds()}


def test_every_bound_is_named_by_a_test(reached: dict[str, list[str]]) -> None:
    lacking = [name for name, files in reached.items() if not files]
    assert lacking == [], "write a test that reaches it on every way in, and names it"
