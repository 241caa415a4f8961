from __future__ import annotations

import argparse
import ast
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from instanter.foundation.errors import (
    Broken,
    ConfigRejected,
    Corrupt,
    DiskFull,
    LogClosed,
    RequestRejected,
)
from instanter.ops.cli import main as frame
from instanter.ops.cli.arguments import port, positive
from instanter.ops.config import load
from instanter.ops.settings import Config

CLI = Path(frame.__file__).parent


def instanter(*words: str, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, *python, "-m", "instanter.ops.cli.main", *words], capture_output=True, text=True, check=False)


class Fails:
    """A verb's module whose work ends as told."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        return None

    def run(self, arguments: argparse.Namespace) -> int:
        raise self._error


def test_help_says_what_it_is_and_names_every_verb() -> None:
    result = instanter("--help")
    assert result.returncode == 0
    assert "real-time personalization" in result.stdout
    assert "examples:" in result.stdout
    assert [verb.name for verb in frame.VERBS if f"    {verb.name} " not in result.stdout] == []


def test_help_imports_no_verb_and_no_engine() -> None:
    imported = instanter("--help", python=("-X", "importtime")).stderr
    assert "instanter.ops.cli.arguments" in imported
    for module in ("numba", "numpy", "msgspec", "starlette", "instanter.ops.config", "instanter.ops.cli.init"):
        assert f" {module}\n" not in imported


def verb_modules() -> set[str]:
    """The modules beside the frame that have what a verb has."""
    found = set()
    for path in CLI.glob("*.py"):
        functions = {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}
        found |= {path.stem.removesuffix("_")} if {"add_arguments", "run"} <= functions else set()
    return found


def test_every_verb_has_a_module_and_every_module_is_listed() -> None:
    assert {verb.name for verb in frame.VERBS} == verb_modules()


@pytest.mark.parametrize("verb", frame.VERBS, ids=lambda verb: verb.name)
def test_a_verb_explains_itself_with_an_example_and_speaks_json(
    verb: frame.Verb, capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        frame.main([verb.name, "--help"])
    help_text = capsys.readouterr().out
    assert ended.value.code == 0
    assert f"instanter {verb.name}" in help_text.split("example", 1)[1]
    assert "--json" in help_text


@pytest.mark.parametrize("words", [[], ["frobnicate"], ["init"], ["init", "a", "--frob"], ["doctor", "--port", "0"]])
def test_a_wrong_command_is_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        frame.main(words)
    assert ended.value.code == 2
    assert "usage: instanter" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "named"), [
    (["keys", "create", "--scope", "write", "--name", "caf\udce9"], "name"),
    (["keys", "create", "--name", "x", "--scope", "write", "--scope", "\udcff"], "scope"),
    (["export", "\udce9"], "id"), (["audit", "list", "--actor", "a\udce9"], "actor"),
])  # fmt: skip
def test_an_argument_that_is_no_text_is_wrong_and_not_a_defect(
    words: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        frame.main(words)
    assert ended.value.code == frame.WRONG
    assert f"{named} holds bytes that are no UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "told"), [
    (["improt"], "there is no verb 'improt', did you mean import?"),
    (["import", "--items", "x", "--replce"], "unrecognized arguments: --replce, did you mean --replace?"),
    (["import", "--itms=x"], "--itms=x, did you mean --items?"),
])
def test_what_is_misspelt_is_told_with_what_was_meant(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        frame.main(words)
    assert ended.value.code == 2
    assert capsys.readouterr().err.rstrip().endswith(told)


@pytest.mark.parametrize(("error", "exit_code", "code", "sentence"), [
    (ConfigRejected("no such", file="a.toml", line=3), 2, "config", "a.toml:3: no such"),
    (RequestRejected("unknown_id", "there is none"), 2, "unknown_id", "there is none"),
    (DiskFull("the disk is full"), 1, "disk_full", "the disk is full"),
    (LogClosed("closed"), 1, "log_closed", "closed"),
    (Corrupt(file="0.seg", offset=7, reason="checksum"), 1, "corrupt", "0.seg: damaged at byte 7: checksum"),
    (Broken("diverged"), 1, "broken", "diverged"),
    (PermissionError(13, "Permission denied", "x/log"), 1, "system", "x/log: Permission denied"),
    (KeyboardInterrupt(), 1, "interrupted", "stopped before it was done"),
])
def test_an_error_is_one_sentence(
    error: BaseException, exit_code: int, code: str, sentence: str, capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = argparse.Namespace(verb="serve", json=True)
    assert frame.run_verb(Fails(error), arguments) == exit_code
    printed = capsys.readouterr()
    assert printed.err == f"instanter serve: {sentence}\n"
    assert json.loads(printed.out) == {"error": {"code": code, "message": sentence}}


def test_without_json_an_error_leaves_stdout_alone(capsys: pytest.CaptureFixture[str]) -> None:
    frame.run_verb(Fails(Broken("diverged")), argparse.Namespace(verb="serve", json=False))
    assert capsys.readouterr().out == ""


def test_a_defect_of_ours_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        frame.run_verb(Fails(ZeroDivisionError()), argparse.Namespace(verb="serve", json=True))


def test_a_start_without_checks_is_refused(tmp_path: Path) -> None:
    result = instanter("init", str(tmp_path / "shop"), python=("-O",))
    assert result.returncode == 2
    assert "without -O" in result.stderr
    assert not (tmp_path / "shop").exists()


def test_a_reader_that_leaves_early_is_no_defect() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as nobody_reads:
        result = subprocess.run(
            [sys.executable, "-m", "instanter.ops.cli.main", "doctor"], stdout=nobody_reads, stderr=subprocess.PIPE,
            text=True, check=False)
    assert (result.returncode, result.stderr) == (1, "")


def test_init_writes_the_defaults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new" / "shop"
    assert frame.main(["init", str(folder)]) == 0
    assert load(folder / "instanter.toml") == Config()
    assert "instanter doctor --config" in capsys.readouterr().out


def test_init_leaves_a_file_that_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "instanter.toml"
    path.write_text("mine")
    assert frame.main(["init", str(tmp_path), "--json"]) == 2
    assert path.read_text() == "mine"
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "config"


@pytest.mark.parametrize(("kind", "text", "value"), [(port, "1", 1), (port, "65535", 65_535), (positive, "12", 12)])
def test_a_number_is_read(kind: Callable[[str], int], text: str, value: int) -> None:
    assert kind(text) == value


@pytest.mark.parametrize(("kind", "text"), [
    (port, "0"), (port, "65536"), (port, "http"), (port, "٣"), (port, ""), (positive, "0"), (positive, "-1"),
    (positive, "²"),
])
def test_what_is_no_such_number_is_refused(kind: Callable[[str], int], text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        kind(text)


def test_every_module_of_the_table_can_be_imported() -> None:
    for verb in frame.VERBS:
        module = importlib.import_module(f"instanter.ops.cli.{verb.module}")
        assert callable(module.run)
