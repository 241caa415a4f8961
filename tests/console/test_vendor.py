"""Files of others are as their makers released them: named, with their licence, and unchanged."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

VENDOR = Path("src/instanter/console/static/vendor")


def test_every_file_of_others_is_the_one_that_was_released() -> None:
    root = Path(__file__).parents[2] / VENDOR
    told = (root / "README.md").read_text(encoding="utf-8")
    named = dict(re.findall(r"^\| `([^`]+)` \|.*\| `([0-9a-f]{64})` \|$", told, re.MULTILINE))
    there = {path.name for path in root.iterdir() if not path.name.endswith((".txt", ".md"))}
    assert set(named) == there
    assert {name: hashlib.sha256((root / name).read_bytes()).hexdigest() for name in there} == named
    licences = set(re.findall(r"`([a-z]+-LICENSE\.txt)`", told))
    assert {name for name in licences if not (root / name).is_file()} == set()
