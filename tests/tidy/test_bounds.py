"""Every bound of docs/limits.md is named by a test that reaches it. A new bound without one fails here."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from instanter.foundation import limits

UNREACHED = frozenset({
    "BACKLOG_MAX", "BACKUP_TRIES_MAX", "BODIES_BYTES_MAX", "BODY_SKIPPED_BYTES_MAX", "CHECKPOINTS_KEPT_BYTES_MAX",
    "CHECKPOINTS_KEPT_MAX", "COLD_FILE_BYTES", "COLD_MOVED_MAX", "COLD_RECORD_BYTES_MAX", "DEDUP_IDS_MAX",
    "DIFFERING_TOLD_MAX", "EPOCHS_LOST_MAX", "ERASED_MESSAGES_MAX", "FIELDS_NESTED_MAX", "FOUND_MAX",
    "HISTORY_LINES_MAX", "ITEMS_MET_MAX", "JOB_MEMORY_MB_MAX", "JOB_S_MAX", "KEYS_LISTED_MAX", "LEARNERS_MAX",
    "LEARNER_INPUTS_MAX", "LEARNER_WEIGHT_MAX", "LESSONS_BYTES_MAX", "LESSONS_OPEN_MAX", "LESSON_ITEMS_MAX",
    "LITTLE_PIECES_PER_S", "MISSING_TOLD_MAX", "MODEL_INPUTS_MAX", "MODEL_NODES_MAX", "MOVED_ENDS_MAX",
    "PARSED_ADDRESSES_MAX", "POISON_NOTED_PER_MINUTE_MAX", "RANKER_MS_MAX", "RECEIPT_CANDIDATES_MAX",
    "REFERRER_CHARS_MAX", "REPLAY_EVENTS_MAX", "REPLAY_WAIT_MS_MAX", "SEALS_NESTED_MAX", "SHOWN_RECENTLY_MAX",
    "TENANT_PLACES_DIVISOR",
})  # fmt: skip
"""Bounds from before this check that no test names; some are reached by their value, or set lower by an option. The
list may only become shorter."""
UNREACHED_MAX = 41


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
    lacking = {name for name, files in reached.items() if not files}
    assert lacking - UNREACHED == set(), "write a test that reaches it on every way in, and names it"


def test_the_list_of_those_that_are_not_becomes_shorter(reached: dict[str, list[str]]) -> None:
    assert {name for name in UNREACHED if reached.get(name) or name not in reached} == set(), "take them off the list"
    assert len(UNREACHED) <= UNREACHED_MAX
