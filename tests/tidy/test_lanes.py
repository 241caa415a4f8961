"""Every test runs in exactly one part of `make test`, and what measures time runs where nothing runs beside it."""

from __future__ import annotations

import ast
import os
import subprocess
from pathlib import Path

import pytest

ALONE = "alone"
MEASURE = {"in_time"}
"""Fixtures of tests that hold something against a span of time."""

Parts = dict[str, list[str]]


@pytest.fixture(scope="module")
def parts(root: Path) -> Parts:
    """The files and folders of each part, by its name, as the Makefile tells them."""
    # What a make around the tests was told is not for this one.
    surroundings = {name: text for name, text in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    told = subprocess.run(
        ["make", "parts"], cwd=root, capture_output=True, text=True, check=True, env=surroundings).stdout
    return {name: rest.split() for name, _, rest in (line.partition(": ") for line in told.splitlines())}


@pytest.fixture(scope="module")
def files(root: Path, tracked: list[Path]) -> dict[str, str]:
    """The text of each file of tests, by its path."""
    found = (path for path in tracked if path.name.startswith("test_") and path.suffix == ".py")
    return {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in found}


def parts_of(file: str, parts: Parts) -> list[str]:
    """The parts that a file of tests runs in; in those of folders it runs unless it is one of those alone."""
    if file in parts[ALONE]:
        return [ALONE, *(name for name, paths in parts.items() if name != ALONE and file in paths)]
    return [name for name, paths in parts.items() for path in paths if file == path or file.startswith(f"{path}/")]


def measures(text: str) -> bool:
    """Whether a test of this text asks for a fixture that measures time."""
    functions = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return any(argument.arg in MEASURE for function in functions if function.name.startswith("test_")
               for argument in (*function.args.args, *function.args.kwonlyargs))


def test_every_file_of_tests_is_in_exactly_one_part(files: dict[str, str], parts: Parts) -> None:
    assert len(files) > 100
    assert {file: found for file in files if len(found := parts_of(file, parts)) != 1} == {}


def test_what_measures_time_is_alone(files: dict[str, str], parts: Parts) -> None:
    measuring = {file for file, text in files.items() if measures(text)}
    assert measuring
    assert measuring - set(parts[ALONE]) == set()


def test_all_that_parts_name_is_there(root: Path, parts: Parts) -> None:
    assert [path for paths in parts.values() for path in paths if not (root / path).exists()] == []


@pytest.mark.parametrize(("file", "found"), [
    ("tests/a/test_x.py", ["lane-1"]), ("tests/b/test_y.py", ["lane-2", "lane-3"]), ("tests/c/test_z.py", []),
    ("tests/a/test_alone.py", ["alone"]), ("tests/b/test_both.py", ["alone", "lane-3"]),
])
def test_a_file_in_no_part_or_in_two_is_found(file: str, found: list[str]) -> None:
    parts = {"lane-1": ["tests/a"], "lane-2": ["tests/b"], "lane-3": ["tests/b/test_y.py", "tests/b/test_both.py"],
             "alone": ["tests/a/test_alone.py", "tests/b/test_both.py"]}
    assert sorted(parts_of(file, parts)) == found


def test_a_test_that_measures_is_found() -> None:
    assert measures("def test_quick(in_time): pass")
    assert measures("class TestIt:\n    async def test_quick(self, *, in_time: InTime): pass")
    assert not measures("def assert_resumed(in_time): pass\ndef test_it(tmp_path): pass")
