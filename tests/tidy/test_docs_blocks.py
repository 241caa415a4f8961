"""Docs that run: every block of code parses as what it says it is, and the tour prints what stands there."""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, get_args

import pytest

from instanter.decisions.decide import Decider
from instanter.features.compile import compile_features
from instanter.features.declaration import Aggregate
from instanter.ops.cli.arguments import add_json
from instanter.ops.cli.main import VERBS
from instanter.ops.config import parse

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TOUR = "docs/tour.md"
LANGUAGES = {"", "bash", "html", "javascript", "json", "python", "text", "toml"}


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    language: str
    text: str


def blocks_of(page: str, text: str) -> list[Block]:
    return [Block(page, match[1], match[2]) for match in BLOCK.finditer(text)]


@pytest.fixture(scope="module")
def tour(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("tour", root / "tools" / "tour.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def blocks(root: Path, tracked: list[Path], tour: ModuleType) -> list[Block]:
    """All blocks of all pages, those of the tour left out: they are run as a whole."""
    found = []
    for path in tracked:
        if path.suffix == ".md":
            text = path.read_text(encoding="utf-8")
            if tour.BEGIN in text:
                text = text[: text.index(tour.BEGIN)] + text[text.index(tour.END) :]
            found += blocks_of(path.relative_to(root).as_posix(), text)
    return found


def run_commands(text: str) -> list[list[str]]:
    """The command lines of a shell block as words."""
    joined = text.replace("\\\n", " ")
    return [words for line in joined.splitlines() if (words := shlex.split(line, comments=True))]


def wrong_command(words: list[str], targets: set[str], root: Path) -> str:
    """Why a command of the docs cannot work, or ""."""
    match words:
        case ["python" | ".venv/bin/python", script, *_]:
            return "" if (root / script).is_file() else f"there is no {script}"
        case ["make", *rest]:
            unknown = [word for word in rest if "=" not in word and word not in targets]
            return f"make has no {unknown}" if unknown else ""
        case ["instanter", name, *rest]:
            verb = next((verb for verb in VERBS if verb.name == name), None)
            return f"there is no verb {name}" if verb is None else _wrong_arguments(verb.module, rest)
        case [".", ".venv/bin/activate"] | ["python3.11", "-m", "venv", _]:
            return ""
        case ["shop/bin/instanter", *rest]:
            return wrong_command(["instanter", *rest], targets, root)
        case ["shop/bin/python", "-m", "pip", "install" | "check", *rest]:
            gone = [word for word in rest if word.endswith((".lock", ".txt")) and not (root / word).is_file()]
            return f"there is no {gone}" if gone else ""
    return "the docs know make, instanter, pip and scripts of ours only"


def _wrong_arguments(module: str, words: list[str]) -> str:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_json(parser)
    importlib.import_module(f"instanter.ops.cli.{module}").add_arguments(parser)
    try:
        unknown = parser.parse_known_args(words)[1]
    except argparse.ArgumentError as error:
        return str(error)
    return f"unknown {unknown}" if unknown else ""


def test_every_block_says_what_it_is(blocks: list[Block]) -> None:
    assert [block for block in blocks if block.language not in LANGUAGES] == []


def test_every_toml_block_is_a_configuration_that_loads(blocks: list[Block]) -> None:
    found = [block for block in blocks if block.language == "toml"]
    assert found
    for block in found:
        parse(block.text, file=block.page)


def test_the_features_that_the_tour_declares_are_three(root: Path, blocks: list[Block]) -> None:
    (block,) = (block for block in blocks if block.page == TOUR and block.language == "toml")
    names = re.findall(r'^name = "(\w+)"', block.text, re.MULTILINE)
    assert len(names) == 3
    assert set(names) <= {feature.name for feature in parse(block.text).features}


def test_the_guide_has_an_example_of_every_aggregation(blocks: list[Block]) -> None:
    text = "".join(block.text for block in blocks if block.page == "docs/guides/features.md")
    assert [kind for kind in get_args(Aggregate) if f'aggregate = "{kind}"' not in text] == []


def test_every_declared_feature_and_weight_of_a_page_makes_a_ranker(blocks: list[Block]) -> None:
    for page in {block.page for block in blocks if block.language == "toml"}:
        config = parse("".join(block.text for block in blocks if block.page == page and block.language == "toml"))
        schema = compile_features(config.features, memory_mb=64, items_max=1_024)
        Decider(schema, config.features, config.placements, weights=config.ranker.weights)


def test_every_json_block_is_json(blocks: list[Block]) -> None:
    for block in blocks:
        if block.language == "json":
            json.loads(block.text)


def test_every_python_block_is_python(blocks: list[Block]) -> None:
    for block in blocks:
        if block.language == "python":
            ast.parse(block.text)


def test_every_shell_command_is_one_that_exists(root: Path, blocks: list[Block]) -> None:
    targets = set(re.findall(r"^([a-z]+):", (root / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    wrong = [
        f"{block.page}: {' '.join(words)}: {reason}" for block in blocks if block.language == "bash"
        for words in run_commands(block.text) if (reason := wrong_command(words, targets, root))
    ]
    assert wrong == []


@pytest.mark.parametrize("line", [
    "make dance", "instanter fly", "instanter serve --wings", "instanter serve --port x", "python gone.py",
    "shop/bin/python -m pip install -r gone.lock", "shop/bin/instanter fly",
])
def test_a_command_that_does_not_exist_is_found(line: str, root: Path) -> None:
    assert wrong_command(shlex.split(line), {"demo"}, root)


def test_the_tour_prints_what_its_page_says(root: Path) -> None:
    for needed in ("bash", "curl"):
        if shutil.which(needed) is None:
            pytest.skip(f"the tour needs {needed}")
    ran = subprocess.run(
        [sys.executable, root / "tools" / "tour.py", root / TOUR], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"run `make docs`\n{ran.stdout}\n{ran.stderr}"


def test_a_tour_whose_port_is_taken_says_so_and_ends(root: Path, tour: ModuleType, tmp_path: Path) -> None:
    if shutil.which("bash") is None or shutil.which("curl") is None:
        pytest.skip("the tour needs bash and curl")
    start = tour.steps((root / TOUR).read_text(encoding="utf-8"))[0].commands
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ran = subprocess.run(
            ["bash", "-c", start.replace(tour.PORT, str(taken.getsockname()[1]))], cwd=tmp_path, capture_output=True,
            text=True, check=False, timeout=120, env={**os.environ, "PATH": path})
    assert "Address already in use; choose another --port" in ran.stdout


def test_a_tour_that_prints_something_else_is_put_right(tour: ModuleType) -> None:
    text = f"{tour.BEGIN}\n```bash\necho one\n```\n\n```text\ntwo\n```\n\n```bash\ntrue\n```\n{tour.END}\n"
    outputs = tour.run([step.commands for step in tour.steps(text)])
    assert outputs == ["one\n", ""]
    assert tour.rewritten(text, outputs) == text.replace("two", "one")


def test_what_differs_from_run_to_run_is_left_as_it_is(tour: ModuleType) -> None:
    written = '{"decisionId":"d_a0144914196e9cce4ea","position":"12","tookMs":1.5}\n'
    text = f"{tour.BEGIN}\n```bash\nask\n```\n\n```text\n{written}```\n{tour.END}\n"
    again = '{"decisionId":"d_ffffffffffffffff2b9","position":"13","tookMs":0.7}\n'
    assert tour.rewritten(text, [again]) == text
    assert tour.rewritten(text, [again.replace("position", "place")]) != text


def test_a_tour_whose_command_fails_says_so(tour: ModuleType) -> None:
    with pytest.raises(tour.TourFailed):
        tour.run(["true\n", "false\n"])
