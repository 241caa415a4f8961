"""`instanter quarantine`, over a server: what is sealed can be shown and repaired by whoever has the keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from instanter.ops.child import ChildServer, running_server
from instanter.ops.cli import main as frame

from .shop_data import REJECTED, write_config

Printed = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with two rejected events, which nobody serves."""
    folder = tmp_path_factory.mktemp("made")
    with running_server(folder / "data", config=write_config(folder)) as server:
        refuse(server)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChildServer]:
    folder = tmp_path_factory.mktemp("served")
    with running_server(folder / "data", config=write_config(folder)) as server:
        refuse(server)
        yield server


def refuse(server: ChildServer) -> None:
    for raw in REJECTED:
        assert httpx.post(f"{server.url}/v1/track", content=raw).status_code == 400


def told(capsys: Printed) -> Any:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def example(capsys: Printed, code: str, *where: str) -> str:
    """The position of an entry with this code."""
    assert frame.main(["quarantine", "list", "--json", "--code", code, *where]) == 0
    (group,) = told(capsys)["groups"]
    position: str = group["example"]
    return position


def test_what_a_sender_wrote_cannot_steer_the_terminal(server: ChildServer, capsys: Printed) -> None:
    position = example(capsys, "malformed", "--url", server.url)
    assert frame.main(["quarantine", "show", position, "--url", server.url]) == 0
    printed = capsys.readouterr().out
    assert "bad-2" in printed
    assert all(character.isprintable() or character == "\n" for character in printed)


def test_what_is_not_there_is_one_sentence(server: ChildServer, capsys: Printed) -> None:
    assert frame.main(["quarantine", "show", "7", "--url", server.url]) == 2
    printed = capsys.readouterr()
    assert (printed.out, len(printed.err.splitlines())) == ("", 1)
    assert "holds nothing at 7" in printed.err


def test_a_directory_that_nobody_serves_is_repaired_by_a_server_of_its_own(
    made: Path, tmp_path: Path, capsys: Printed
) -> None:
    where = ["--data", str(made / "data"), "--config", str(made / "small.toml")]
    steps = tmp_path / "steps.toml"
    steps.write_text('[[steps]]\ndo = "set"\npath = "event"\nvalue = "Product Viewed"\n')
    repair = ["quarantine", "repair", "--rewrite", str(steps), "--code", "schema", *where]
    assert frame.main([*repair, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "1 entries: 1 would be taken, 0 refused" in printed
    assert '"event":"Product Viewed"' in printed
    assert frame.main([*repair, "--json"]) == 0
    assert told(capsys)["passed"] == 1
    assert frame.main(["quarantine", "replay", *where]) == 1
    printed = capsys.readouterr().out
    assert "1 entries: 0 taken, 1 refused" in printed
    assert "malformed" in printed
    assert frame.main(["quarantine", "list", "--data", str(made / "data"), "--json"]) == 0
    assert told(capsys)["total"] == 1
