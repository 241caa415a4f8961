"""The verbs that read a data directory: what they find, what they say, and how they end."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from instanter.events.envelope import Configured
from instanter.features.compile import compile_features
from instanter.features.declaration import DEFAULT_FEATURES
from instanter.foundation.deadline import Deadline
from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import ConfigRejected
from instanter.ops.cli import main as frame
from instanter.ops.config import parse
from instanter.ops.datadir import DataDirectory
from instanter.ops.settings import Config
from instanter.ops.wiring import check_kept, open_engine
from instanter.state.checkpoint import Snapshot, write_checkpoint
from instanter.state.cold_files import ColdPlace
from instanter.state.memory import State

from ..state.shop import DECLARATIONS, START_MS, fold_all, publish, schema_of, tracked
from .shop_data import make_data, write_config

Printed = pytest.CaptureFixture[str]
PEOPLE = 40


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_data(tmp_path_factory.mktemp("made") / "data")


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    """A directory of the test's own."""
    return Path(shutil.copytree(made, tmp_path / "data"))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_config(tmp_path)


def flip(path: Path, *, at: float) -> int:
    """Flip one bit at that share of a file; the byte it is in."""
    content = bytearray(path.read_bytes())
    place = int(len(content) * at)
    content[place] ^= 0x10
    path.write_bytes(content)
    return place


def only(folder: Path, pattern: str = "*") -> Path:
    """The newest file of a folder that is not its lock."""
    return sorted(path for path in folder.glob(pattern) if path.name != "lock" and path.is_file())[-1]


def told(capsys: Printed) -> Any:
    """What a verb printed as JSON."""
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_the_rebuilt_state_is_that_of_checkpoint_and_tail(data: Path, config: Path, capsys: Printed) -> None:
    words = ["replay", "--config", str(config), "--data", str(data), "--verify"]
    assert frame.main([*words, "--json"]) == 0
    report = told(capsys)
    assert (report["identical"], report["compared_with"], report["passed_over"]) == (True, "checkpoint", [])
    assert report["records"] > 340
    assert report["people"] == 9
    assert frame.main(words) == 0
    assert "identical to the state" in capsys.readouterr().out


def test_without_verify_nothing_is_compared(data: Path, config: Path, capsys: Printed) -> None:
    assert frame.main(["replay", "--config", str(config), "--data", str(data), "--json"]) == 0
    assert told(capsys)["identical"] is None


def test_a_checkpoint_of_another_history_is_found_out(
    data: Path, config: Path, tmp_path: Path, capsys: Printed,
) -> None:
    other = make_data(tmp_path / "other", item="sku-4")
    ours, theirs = only(data / "checkpoints"), only(other / "checkpoints")
    assert ours.name == theirs.name
    assert ours.read_bytes() != theirs.read_bytes()
    shutil.copy(theirs, ours)
    words = ["replay", "--config", str(config), "--data", str(data), "--verify"]
    assert frame.main([*words, "--json"]) == 1
    report = told(capsys)
    assert (report["identical"], report["passed_over"]) == (False, [])
    assert frame.main(words) == 1
    assert "DIFFERENT" in capsys.readouterr().out


def test_a_checkpoint_that_cannot_be_used_is_named(data: Path, config: Path, capsys: Printed) -> None:
    checkpoint = only(data / "checkpoints")
    flip(checkpoint, at=0.5)
    assert frame.main(["replay", "--config", str(config), "--data", str(data), "--verify", "--json"]) == 0
    (reason,) = told(capsys)["passed_over"]
    assert checkpoint.name in reason


def test_a_whole_directory_is_whole(data: Path, capsys: Printed) -> None:
    assert frame.main(["verify", "--data", str(data), "--json"]) == 0
    report = told(capsys)
    assert report["records"] > 340
    assert (report["quarantined"], report["checkpoints"], report["damage"]) == (2, 1, [])
    assert frame.main(["verify", "--data", str(data)]) == 0
    assert "whole" in capsys.readouterr().out


@pytest.mark.parametrize("part", ["log", "quarantine", "checkpoints"])
def test_one_flipped_bit_is_named_by_file_and_byte(part: str, data: Path, capsys: Printed) -> None:
    path = only(data / part)
    flip(path, at=0.6)
    assert frame.main(["verify", "--data", str(data), "--json"]) == 1
    report = told(capsys)
    (damage,) = report["damage"] + report["unfinished"]
    assert path.name in damage
    assert re.search(r"byte \d+", damage)
    assert frame.main(["verify", "--data", str(data)]) == 1
    assert damage in capsys.readouterr().out


@pytest.mark.parametrize("part", ["log", "quarantine"])
def test_an_end_that_was_cut_off_is_told_from_damage(part: str, data: Path, capsys: Printed) -> None:
    """As a crash leaves it: the record that was being written is there in part."""
    path = only(data / part)
    path.write_bytes(path.read_bytes() + b"\x01" * 9)
    assert frame.main(["verify", "--data", str(data), "--json"]) == 1
    report = told(capsys)
    assert report["damage"] == []
    assert path.name in report["unfinished"][0]
    assert frame.main(["verify", "--data", str(data)]) == 1
    assert "whole but for an unfinished end" in capsys.readouterr().out


def test_a_damaged_log_is_not_replayed_past_the_damage(data: Path, config: Path, capsys: Printed) -> None:
    path = only(data / "log")
    flip(path, at=0.6)
    assert frame.main(["replay", "--config", str(config), "--data", str(data), "--json"]) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)["error"]["code"] == "corrupt"
    assert path.name in printed.err


def test_reading_a_directory_changes_nothing(data: Path, config: Path, capsys: Printed) -> None:
    def contents() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in sorted(data.rglob("*")) if path.is_file()}

    before = contents()
    for words in (["replay", "--verify", "--config", str(config)], ["verify"], ["quarantine", "list"]):
        assert frame.main([*words, "--data", str(data)]) == 0
    assert contents() == before


def test_rejected_events_are_listed_by_their_reasons(data: Path, capsys: Printed) -> None:
    assert frame.main(["quarantine", "list", "--data", str(data), "--json"]) == 0
    report = told(capsys)
    assert (report["total"], report["droppedBytes"]) == (2, 0)
    assert {group["code"]: group["count"] for group in report["groups"]} == {"schema": 1, "malformed": 1}
    first = report["groups"][0]
    assert frame.main(["quarantine", "list", "--data", str(data), "--json", "--group", first["group"]]) == 0
    assert told(capsys)["groups"] == [first]
    assert frame.main(["quarantine", "list", "--data", str(data), "--json", "--code", "too_deep"]) == 0
    assert told(capsys) == {"total": 2, "groups": [], "droppedBytes": 0}
    assert frame.main(["quarantine", "list", "--data", str(data), "--code", "too_deep"]) == 0
    assert capsys.readouterr().out.endswith("none has the reason asked for\n")
    assert frame.main(["quarantine", "list", "--data", str(data), "--code", "schema"]) == 0
    assert "schema: " in capsys.readouterr().out


@pytest.mark.parametrize("words", [
    ["show"], ["show", "x"], ["repair"], ["replay", "--limit", "10001"], ["repair", "--rewrite", "STEPS"],
])
def test_a_wrong_use_of_the_quarantine_is_one_sentence(
    words: list[str], data: Path, tmp_path: Path, capsys: Printed
) -> None:
    steps = tmp_path / "steps.json"
    steps.write_text('[{"do": "set", "path": "userId", "value": "eve"}]')
    told_words = [str(steps) if word == "STEPS" else word for word in words]
    assert frame.main(["quarantine", *told_words, "--data", str(data)]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("instanter quarantine: ")
    assert len(printed.err.splitlines()) == 1


def test_a_directory_without_rejected_events_says_so(tmp_path: Path, capsys: Printed) -> None:
    DataDirectory(RealDisk(), tmp_path / "new").open()
    assert frame.main(["quarantine", "list", "--data", str(tmp_path / "new")]) == 0
    assert capsys.readouterr().out == "nothing is quarantined\n"
    assert frame.main(["verify", "--data", str(tmp_path / "new"), "--json"]) == 0
    assert told(capsys)["records"] == 0


@pytest.mark.parametrize("words", [
    ["replay"], ["verify"], ["verify", "--audit"], ["quarantine", "list"], ["quarantine", "replay", "--code", "schema"],
    ["erase", "u1"], ["export", "u1"], ["remap"], ["remap", "--dry-run"], ["audit", "list"], ["keys", "list"],
    ["migrate"], ["clock", "--confirm"], ["backup", "--to", "to"],
])
def test_what_is_no_data_directory_is_one_sentence(words: list[str], tmp_path: Path, capsys: Printed) -> None:
    assert frame.main([*words, "--data", str(tmp_path / "nothing")]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith(f"instanter {words[0]}: ")
    assert "is not a data directory" in printed.err
    assert len(printed.err.splitlines()) == 1
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize(("name", "content", "sentence"), [
    ("instanter.json", b'{"format": 99}', "has format 99; this program reads up to 2"),
    ("instanter.json", b'{"format": 0}', "says format 0, 1 is least"),
    ("instanter.json", b'{"format": -1}', "says format -1, 1 is least"),
    ("instanter.json", b"garbage", "cannot be opened"),
    ("instanter.json", b'{"format": "\xff"}', "cannot be opened"),
    ("keys/installation.key", b"abcd", "does not hold a key"),
    ("keys/installation.key", b"not hexadecimal", "cannot be opened"),
])
def test_a_directory_that_this_program_cannot_read_is_one_sentence(
    name: str, content: bytes, sentence: str, data: Path, capsys: Printed,
) -> None:
    (data / name).write_bytes(content)
    assert frame.main(["verify", "--data", str(data)]) == 1
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(("words", "exit_code", "sentence"), [
    ([], 2, "no master key is given"),
    (["--dev", "--host", "0.0.0.0"], 2, "loopback addresses only, not on 0.0.0.0"),
    (["--dev", "--host", "shop.example"], 2, "loopback addresses only, not on shop.example"),
    (["--dev", "--host", "192.0.2.1"], 2, "loopback"),
])
def test_serving_is_refused_where_it_would_be_open_to_others(
    words: list[str], exit_code: int, sentence: str, tmp_path: Path, capsys: Printed,
) -> None:
    assert frame.main(["serve", *words, "--data", str(tmp_path / "data")]) == exit_code
    printed = capsys.readouterr()
    assert sentence in printed.err
    assert len(printed.err.splitlines()) == 1
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("words", [
    ["import"], ["import", "--items", "-", "--events", "-"], ["import", "--url", "ftp://x", "--items", "-"],
    ["replay", "--verify", "--url", "nowhere", "--data", "DATA"],
])
def test_a_command_that_makes_no_sense_is_2(words: list[str], data: Path, capsys: Printed) -> None:
    assert frame.main([str(data) if word == "DATA" else word for word in words]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_file_that_is_not_there_is_named_before_anything_is_started(tmp_path: Path, capsys: Printed) -> None:
    words = ["import", "--data", str(tmp_path / "data"), "--events", str(tmp_path / "nothing.ndjson")]
    assert frame.main(words) == 1
    assert "nothing.ndjson: No such file" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_a_server_that_is_not_there_is_one_sentence(tmp_path: Path, data: Path, capsys: Printed) -> None:
    events = tmp_path / "events.ndjson"
    events.write_text('{"type": "page", "anonymousId": "a"}\n')
    assert frame.main(["import", "--url", "http://127.0.0.1:9", "--events", str(events)]) == 1
    assert "no answer from http://127.0.0.1:9" in capsys.readouterr().err


def test_a_directory_is_not_opened_without_the_features_it_has_unless_they_are_let_go():
    kept = frozenset({("frame_sizes", "1-a"), ("views", "1-b")})
    schema = compile_features([declaration for declaration in DEFAULT_FEATURES if declaration.name == "views"])
    with pytest.raises(ConfigRejected) as refused:
        check_kept(kept, schema)
    assert "frame_sizes" in str(refused.value)
    assert "views" not in refused.value.reason.split(":")[1]
    assert "--drop-features" in refused.value.suggestion
    check_kept(frozenset(schema.declared()), schema)


def test_a_directory_is_not_opened_under_another_declaration_of_a_feature_it_has_counted():
    schema = compile_features([declaration for declaration in DEFAULT_FEATURES if declaration.name == "views"])
    with pytest.raises(ConfigRejected, match="in another way: views; what they have kept") as refused:
        check_kept(frozenset({("views", "another version")}), schema)
    assert "--drop-features" in refused.value.suggestion


def test_a_server_with_fewer_features_than_its_directory_says_so_and_serves_when_told_to(tmp_path: Path):
    declared = parse('[[features]]\nname = "frame_sizes"\non = ["Product Viewed"]\naggregate = "top_k"\n'
                     'by = "item.frame"\nk = 4\nhalf_life = "7d"\nunit = "views"\nowner = "shop"\n')

    async def once(config: Config, *, drop: bool) -> None:
        engine = open_engine(config, tmp_path, drop_features=drop, may_make_master_key=True)()
        await engine.start()
        await engine.stop(Deadline(5_000))

    asyncio.run(once(declared, drop=False))
    with pytest.raises(ConfigRejected, match="frame_sizes"):
        asyncio.run(once(Config(), drop=False))
    asyncio.run(once(declared, drop=False))
    asyncio.run(once(Config(), drop=True))
    asyncio.run(once(Config(), drop=False))


def test_an_address_to_compare_with_is_refused_where_nothing_is_compared(data: Path, capsys: Printed) -> None:
    assert frame.main(["replay", "--data", str(data), "--url", "http://127.0.0.1:1"]) == 2
    assert "add --verify" in capsys.readouterr().err


# People on disk.


def shelve(data: Path) -> Path:
    """Most people of a state lie on disk, by a checkpoint beside the one that is there; the file that they lie in."""
    schema = schema_of(DECLARATIONS, cells=4)
    room = msgspec.structs.replace(schema.capacity, cold=PEOPLE)
    state = State(msgspec.structs.replace(schema, capacity=room), ColdPlace(RealDisk(), data / "cold"))
    state.configure(Configured(START_MS, {}, schema.declared()))
    fold_all(state, [tracked(who, START_MS + who, number=who) for who in range(PEOPLE)])
    publish(state)
    write_checkpoint(RealDisk(), data / "checkpoints", Snapshot(state, position=1, at_ms=9, control={}))
    return only(data / "cold")


def test_people_on_disk_are_read(data: Path, capsys: Printed) -> None:
    shelve(data)
    assert frame.main(["verify", "--data", str(data), "--json"]) == 0
    report = told(capsys)
    assert (report["checkpoints"], report["people_on_disk"], report["damage"]) == (2, PEOPLE - 4, [])


def test_every_damaged_person_is_named(data: Path, capsys: Printed) -> None:
    path = shelve(data)
    whole = path.read_bytes()
    for share in (0.3, 0.6, 0.9):
        flip(path, at=share)
    assert frame.main(["verify", "--data", str(data), "--json"]) == 1
    damage = told(capsys)["damage"]
    assert len(damage) == 3
    assert all(path.name in one and re.search(r"byte \d+", one) for one in damage)
    path.write_bytes(whole[: len(whole) // 2])
    assert frame.main(["verify", "--data", str(data), "--json"]) == 1
    assert 10 < len(told(capsys)["damage"]) < PEOPLE


def test_a_lost_file_of_people_is_named_once(data: Path, capsys: Printed) -> None:
    path = shelve(data)
    path.unlink()
    assert frame.main(["verify", "--data", str(data), "--json"]) == 1
    (damage,) = told(capsys)["damage"]
    assert path.name in damage
