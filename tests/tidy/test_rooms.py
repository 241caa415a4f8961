"""Rooms import downwards only, and every room has its place."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

UNKNOWN_TO_SIM = {"features", "models"}
KNOWN_TO_CONSOLE = {"api", "privacy", "foundation"}
"""Of privacy the names of roles: what pages show and do goes by the API alone."""


def rooms_imported(tree: ast.Module, depth: int) -> Iterator[tuple[int, str]]:
    """The rooms that a module `depth` folders below the package imports, with the line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (
                (node.lineno, alias.name.split(".")[1]) for alias in node.names if alias.name.startswith("instanter."))
        elif isinstance(node, ast.ImportFrom) and node.level == depth + 1 and node.module is None:
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == depth + 1 and node.module is not None:
            yield node.lineno, node.module.split(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").startswith("instanter"):
            parts = (node.module or "").split(".")
            yield from ([(node.lineno, parts[1])] if len(parts) > 1 else
                        [(node.lineno, alias.name) for alias in node.names])


def test_rooms_import_downwards_only(root: Path) -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run(
        [linter, "--no-cache", "--config", root / "pyproject.toml"], cwd=root, capture_output=True, text=True,
        check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_simulated_shop_knows_neither_features_nor_models(modules: dict[str, ast.Module]) -> None:
    found = [
        f"{path}:{line}: sim must not know {room}" for path, tree in modules.items() if path.startswith("sim/")
        for line, room in rooms_imported(tree, path.count("/")) if room in UNKNOWN_TO_SIM
    ]
    assert not found, "\n".join(found)


def test_the_console_knows_the_api_and_no_engine(modules: dict[str, ast.Module]) -> None:
    found = [
        f"{path}:{line}: pages ask the API, not {room}" for path, tree in modules.items() if path.startswith("console/")
        for line, room in rooms_imported(tree, path.count("/")) if room not in KNOWN_TO_CONSOLE
    ]
    assert not found, "\n".join(found)


def test_an_import_is_found_however_it_is_written() -> None:
    source = (
        "import instanter.models\nfrom instanter import features\nfrom instanter.models.ranker import Ranker\n"
        "from ..models import Ranker\nfrom .. import features\nfrom . import models\nfrom .models import Taste\n")
    assert [room for _, room in rooms_imported(ast.parse(source), depth=1)] == [
        "models", "features", "models", "models", "features"]
