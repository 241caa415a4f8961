"""`instanter whatif`: what another configuration, model or weights would have shown."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from instanter.decisions.decide import Decider
from instanter.engine.anew import OtherPast
from instanter.engine.replay import Made, Past
from instanter.foundation.deadline import Deadline
from instanter.ops.cli import main as frame
from instanter.ops.config import load
from instanter.ops.reading import reading
from instanter.ops.replaying import Span, made_at, positions_in
from instanter.ops.wiring import configuration_of, open_engine

from ..engine.harness import decide, event, stock_shop, take

Printed = pytest.CaptureFixture[str]
START_MS = 1_700_000_000_000
VISITS = 60
HOME, OWN = "home.recommended", "own"
BASE = "[state]\nmemory_mb = 64\n[decide]\nexploration = 0.0\n"
PLACED = f'[[placements]]\nid = "{OWN}"\nlimit = 1\n'
WEIGHTS = """
[ranker.weights]
"person.tests_views" = 0.0
"item.tests_item_views" = 9.0
"""
FEATURES = """
[[features]]
name = "tests_views"
on = ["Product Viewed"]
aggregate = "count"
scope = "profile"
unit = "views"
owner = "tests"
[[features]]
name = "tests_item_views"
on = ["Product Viewed"]
aggregate = "count"
scope = "item"
unit = "views"
owner = "tests"
"""


def written(folder: Path, name: str, *parts: str) -> Path:
    path = folder / name
    path.write_text(BASE + "".join(parts))
    return path


def live(config: Path, data: Path, *, first: int = 0) -> None:
    """Serve a directory with this configuration while people look at things and are shown others."""
    make = open_engine(load(config), data, clock_of_events=True, may_make_master_key=True)

    async def fill() -> None:
        engine = make()
        await engine.start()
        await stock_shop(engine)
        for number in range(first, first + VISITS):
            person, at_ms = f"p{number % 7}", START_MS + 700 * number
            await take(engine, event(number, person=person, at_ms=at_ms))
            await decide(engine, person=person if number % 5 else "nobody", placements=[{"id": OWN}, {"id": HOME}])
            if number == first + VISITS // 2:
                await engine.checkpoint()
        await engine.journal.settled()
        await engine.stop(Deadline(10_000))

    asyncio.run(fill())


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with configurations, and a directory that was served with the first of them. Nobody writes to it."""
    folder = tmp_path_factory.mktemp("shop")
    live(written(folder, "served.toml", PLACED), folder / "data")
    written(folder, "other.toml", WEIGHTS, PLACED, FEATURES)
    return folder


def told(capsys: Printed, shop: Path, *words: object) -> dict[str, Any]:
    code = frame.main([str(word) for word in ("whatif", "--data", shop / "data", "--json", *words)])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    report: dict[str, Any] = json.loads(printed.out.splitlines()[-1])
    return report


def by_name(report: dict[str, Any]) -> dict[str, Any]:
    return {one["placement"]: one for one in report["placements"]}


def test_nothing_changes_under_the_configuration_that_served(shop: Path, capsys: Printed) -> None:
    report = told(capsys, shop, "--config", shop / "served.toml")
    assert (report["decisions"], report["skipped"], report["counted_from"]) == (VISITS, {}, 0)
    for placement in by_name(report).values():
        assert placement["all"] == {"lists": VISITS, "first_changed": 0.0, "list_changed": 0.0, "overlap": 1.0}
        assert (placement["gained"], placement["lost"]) == ([], [])
        assert placement["rungs_before"] == placement["rungs_after"]
    assert told(capsys, shop, "--model", "built-in")["placements"] == report["placements"]


def test_the_state_of_the_same_features_comes_from_a_checkpoint(shop: Path, capsys: Printed) -> None:
    late = ("--from", "2023-11-14T22:13:55", "--config")
    same = told(capsys, shop, *late, shop / "served.toml")
    other = told(capsys, shop, *late, shop / "other.toml")
    assert 0 < same["decisions"] == other["decisions"] < VISITS / 2
    assert same["folded_events"] < other["folded_events"] - VISITS


def test_other_weights_change_the_lists_and_their_items(shop: Path, capsys: Printed) -> None:
    report = told(capsys, shop, "--weights", "item.click_lift=-5", "item.price=50")
    home = by_name(report)[HOME]
    assert home["all"]["list_changed"] > 0.5
    assert 0 < home["all"]["overlap"] < 1
    assert home["gained"][0]["after"] > home["gained"][0]["before"]
    assert home["lost"][0]["after"] < home["lost"][0]["before"]
    gains = [one["after"] - one["before"] for one in home["gained"]]
    assert gains == sorted(gains, reverse=True)
    known, new = (home["segments"][name]["lists"] for name in ("known", "new"))
    assert (known + new, new) == (VISITS, VISITS // 5)
    live, not_live = (home["segments"].get(name, {"lists": 0})["lists"] for name in ("in_session", "not_in_session"))
    assert live + not_live == VISITS


def test_one_placement_is_tried_and_the_others_stay(shop: Path, capsys: Printed) -> None:
    words = ("--placement", OWN, "--weights", "item.price=50")
    report = told(capsys, shop, *words)
    assert set(by_name(report)) == {OWN}
    assert by_name(report)[OWN]["all"]["list_changed"] > 0.5
    assert told(capsys, shop, *words, "--sample", "7")["decisions"] == 7


def test_another_configuration_counts_as_if_it_had_always_been_in_force(
    shop: Path, tmp_path: Path, capsys: Printed
) -> None:
    data = Path(shutil.copytree(shop / "data", tmp_path / "data"))
    live(written(tmp_path, "third.toml", PLACED, FEATURES.replace("tests_", "third_")), data, first=VISITS)
    with reading(load(shop / "served.toml"), data) as read:
        made = [made_at(read, position) for position in positions_in(read, Span())]
        other = configuration_of(load(shop / "other.toml"))
        schema, folder = other.schema(memory_mb=64), read.directory
        always = OtherPast(schema, read.log, disk=folder.disk, checkpoints=folder.checkpoints, cold=read.cold)
        lived = read.replay.past(schema)
        decider = other.decider(schema)
        for number, one in enumerate(made):
            if number % 5:
                views = sum(before % 7 == number % 7 for before in range(number + 1))
                assert numbers(decider, always, one)["tests_views"] == views
                assert numbers(decider, lived, one)["tests_views"] == 0, "it was never in force"
    report = told(capsys, tmp_path, "--config", shop / "other.toml")
    assert (report["decisions"], report["counted_from"]) == (2 * VISITS, 0)
    assert report["folded_events"] > 4 * VISITS


def numbers(decider: Decider, past: Past | OtherPast, made: Made) -> dict[str, float]:
    """What is known of the person that a decision was made for."""
    state = past.at(made.receipt.position).state
    return decider.reader.person(state, made.receipt.keys, made.receipt.at_ms).numbers


def test_what_cannot_be_asked_of_the_other_configuration_is_left_out(
    shop: Path, tmp_path: Path, capsys: Printed
) -> None:
    fewer = written(tmp_path, "fewer.toml")
    report = told(capsys, shop, "--config", fewer)
    assert (report["decisions"], report["skipped"], report["placements"]) == (0, {"unknown_placement": VISITS}, [])


def test_a_report_for_people_says_the_same(shop: Path, capsys: Printed) -> None:
    here = ["whatif", "--data", str(shop / "data"), "--weights", "item.price=50"]
    assert frame.main([*here, "--sample", "9"]) == 0
    out = capsys.readouterr().out
    assert "decided 9 decisions anew" in out
    for words in (HOME, OWN, "shown more: sku-", "shown less: sku-", "known", "answered by: "):
        assert words in out


def test_a_placement_that_nobody_asked_for_is_said_to_be_none(shop: Path, capsys: Printed) -> None:
    here = ["whatif", "--data", str(shop / "data"), "--model", "built-in", "--placement", "cart.addons"]
    assert frame.main(here) == 0
    assert "nothing to compare" in capsys.readouterr().out


@pytest.mark.parametrize(("words", "message"), [
    ((), "nothing to try"),
    (("--model", "lambdamart@0123456789abcdef"), "no model"),
    (("--model", "lambdamart@0123456789abcdef", "--weights", "item.price=1"), "built-in ranker"),
    (("--placement", "nowhere", "--model", "built-in"), 'no placement "nowhere"'),
    (("--weights", "item.prize=1"), "item.price"),
    (("--weights", "item.price"), "NAME=VALUE"),
    (("--weights", "item.price=inf"), "NAME=VALUE"),
    (("--model", "built-in", "--from", "2035-01-01"), "no decision"),
])  # fmt: skip
def test_what_cannot_be_tried_is_said(words: tuple[str, ...], message: str, shop: Path, capsys: Printed) -> None:
    try:
        code = frame.main(["whatif", "--data", str(shop / "data"), *words])
    except SystemExit as ended:
        code = int(str(ended.code))
    assert code == 2
    assert message in capsys.readouterr().err
