"""The verbs for people's rights: erase, export, and checking an erasure's receipt."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from instanter.foundation.deadline import Deadline
from instanter.foundation.disk import RealDisk
from instanter.log.segments import SegmentReader
from instanter.ops.child import running_server
from instanter.ops.cli import main as frame
from instanter.ops.config import load
from instanter.ops.wiring import open_engine
from instanter.privacy.audit import COMMAND_LINE, read_entries

from ..engine.harness import event, take
from .shop_data import write_config

Printed = pytest.CaptureFixture[str]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_config(tmp_path)


@pytest.fixture
def data(tmp_path: Path, config: Path) -> Path:
    """A directory as a server leaves it, with one event of `a1`, who is `u1`, and one of `b1` of another tenant."""
    make = open_engine(load(config), tmp_path / "data", may_make_master_key=True)

    async def fill() -> None:
        engine = make()
        await engine.start()
        login = {"type": "identify", "messageId": "i", "anonymousId": "a1", "userId": "u1"}
        await take(engine, event(1, person="a1"), json.dumps(login).encode())
        await engine.intake.take([event(2, person="b1")], kind=None, tenant="film")
        await engine.stop(Deadline(10_000))

    asyncio.run(fill())
    return tmp_path / "data"


def run(capsys: Printed, *words: object) -> tuple[int, str, str]:
    code = frame.main([str(word) for word in words])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def lines_of(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("name", ["subjects.keys", "days.keys", "erasures", "headstones"])
def test_a_damaged_key_and_a_damaged_erasure_are_named_as_a_start_names_them(
    name: str, data: Path, config: Path, capsys: Printed
) -> None:
    here = ("--data", data, "--config", config)
    assert run(capsys, "erase", "u1", *here)[0] == 0
    code, out, _ = run(capsys, "verify", *here, "--json")
    report = json.loads(out)
    assert (code, report["keys"] > 2, report["erasures"]) == (0, True, 1)
    path = data / "keys" / name
    if path.is_dir():
        path = max(path.iterdir(), key=lambda file: file.stat().st_size)
    content = bytearray(path.read_bytes())
    content[-40] ^= 0x10
    path.write_bytes(content)
    code, out, _ = run(capsys, "verify", *here, "--json")
    report = json.loads(out)
    named = report["damage"] + report["missing"]  # A list whose last entry is damaged ends before it.
    assert (code, [one for one in named if name not in one], len(named)) == (1, [], 1)
    code, _, said = run(capsys, "erase", "u1", *here)
    assert (code, name in said) == (1, True)


def test_export_and_erase_open_a_directory_that_nobody_serves(data: Path, config: Path, capsys: Printed) -> None:
    here = ("--data", data, "--config", config)
    code, out, _ = run(capsys, "export", "u1", *here)
    assert (code, [line["kind"] for line in lines_of(out)]) == (0, ["profile", "event", "event", "link"])
    assert lines_of(run(capsys, "export", "u1", *here, "--json")[1])[-1] == {"lines": 4}

    code, out, err = run(capsys, "erase", "anonymous:a1", *here)
    receipt = json.loads(out)["receipt"]
    assert (code, receipt["tenant"]) == (0, "default")
    assert "keys: destroyed (2)" in err
    assert run(capsys, "export", "u1", *here)[0] == 2
    assert run(capsys, "erase", "u1", *here)[0] == 2

    (act,) = [one for one in read_entries(SegmentReader(RealDisk(), data / "audit")) if one.act == "person.erased"]
    assert (act.actor, act.subject) == (COMMAND_LINE, receipt["id"])


def test_a_person_of_another_tenant_is_another_person(data: Path, config: Path, capsys: Printed) -> None:
    here = ("--data", data, "--config", config)
    assert run(capsys, "erase", "anonymous:b1", *here)[0] == 2
    assert run(capsys, "erase", "anonymous:b1", "--tenant", "film", *here, "--json")[0] == 0
    assert run(capsys, "export", "anonymous:b1", "--tenant", "film", *here)[0] == 2


def test_both_ask_a_running_server(data: Path, config: Path, capsys: Printed) -> None:
    with running_server(data, config=config) as server:
        code, out, _ = run(capsys, "export", "anonymous:a1", "--url", server.url)
        assert (code, len(lines_of(out))) == (0, 4)
        assert run(capsys, "erase", "u1", "--data", data, "--config", config)[0] == 1, "it is being served"
        assert run(capsys, "erase", "u1", "--url", server.url)[0] == 0
        assert run(capsys, "export", "u1", "--url", server.url)[0] == 2


def test_a_receipt_is_checked_here_and_by_whoever_has_the_public_key(
    data: Path, config: Path, tmp_path: Path, capsys: Printed
) -> None:
    here = ("--data", data, "--config", config)
    file = tmp_path / "receipt.json"
    file.write_text(run(capsys, "erase", "u1", *here, "--json")[1])
    signed = json.loads(file.read_text())
    assert run(capsys, "verify", "--erasure", file, *here)[:2] == (
        0, f"erasure {signed['receipt']['id']} of {signed['receipt']['at']}: the signature is right\n"
    )  # fmt: skip
    assert run(capsys, "verify", "--erasure", file, "--public-key", signed["publicKey"])[0] == 0
    assert run(capsys, "verify", "--erasure", file, "--public-key", "00" * 32)[0] == 1
    assert run(capsys, "verify", "--erasure", file, "--public-key", "no key")[0] == 1

    file.write_text(file.read_text().replace('"destroyed"', '"still there"'))
    code, out, _ = run(capsys, "verify", "--erasure", file, *here, "--json")
    assert (code, "changed" in json.loads(out)["broken"]) == (1, True)
    file.write_text("{}")
    assert run(capsys, "verify", "--erasure", file, *here)[0] == 2


def test_acts_are_listed_of_a_directory_and_of_a_server_alike(data: Path, config: Path, capsys: Printed) -> None:
    here = ("--data", data, "--config", config)
    run(capsys, "export", "u1", *here)
    code, out, _ = run(capsys, "audit", "list", *here, "--act", "profile", "--json")
    [act] = lines_of(out)
    assert (code, act["act"], act["actor"], act["tenant"]) == (0, "profile.exported", COMMAND_LINE, "default")
    assert "u1" not in out
    code, out, _ = run(capsys, "audit", "list", *here, "--actor", COMMAND_LINE)
    assert (code, f"  {COMMAND_LINE}  profile.exported  {act['subject']}" in out) == (0, True)
    since = ("--since", "2100-01-01")
    assert run(capsys, "audit", "list", *here, *since)[:2] == (0, "")
    assert lines_of(run(capsys, "audit", "list", *here, "--until", "2100-01-01", "--json")[1])
    with running_server(data, config=config) as server:
        there = ("--url", server.url, "--act", "profile")
        assert lines_of(run(capsys, "audit", "list", *there, "--json")[1]) == [act]
        assert run(capsys, "audit", "list", *there, *since)[1] == ""
        assert lines_of(run(capsys, "audit", "list", *here, "--act", "profile", "--json")[1]) == [act]
    assert run(capsys, "audit", "list", "--data", data / "nowhere")[0] != 0
    assert run(capsys, "audit", "list", *here, "--tenant", "No Name")[0] == 2
