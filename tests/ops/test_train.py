"""`instanter train`: from a directory's log to a model in charge, gated or not, once or again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from instanter.foundation.limits import MODELS_KEPT_MAX
from instanter.ops.child import running_server
from instanter.ops.cli import main as frame
from instanter.ops.cli.connection import Connection
from instanter.ops.config import load
from instanter.ops.reading import reading
from instanter.ops.registry import TrainedModels
from instanter.ops.settings import Config
from instanter.ops.training import HISTORY, history

from ..models.examples import small_artefact
from .clicks import VIEWS, fill, look
from .shop_data import write_config

Printed = pytest.CaptureFixture[str]
HOME = "home.recommended"
VISITS = 240


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = write_config(tmp_path)
    path.write_text(path.read_text() + "\n[feedback]\nwindow_min = 1\ndelay_s = 0\n")
    return path


@pytest.fixture
def data(tmp_path: Path, config: Path) -> Path:
    """A directory in whose log people clicked the cheapest of what they were shown, most of the time."""
    fill(tmp_path / "data", config, visits=VISITS)
    return tmp_path / "data"


def run(capsys: Printed, *words: object) -> tuple[int, str, str]:
    code = frame.main([str(word) for word in words])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def told(capsys: Printed, *words: object) -> dict[str, Any]:
    code, out, err = run(capsys, "train", *words, "--set", "min_data_in_leaf=5", "--set", "leaves=7", "--json")
    assert code == 0, err
    report: dict[str, Any] = json.loads(out.splitlines()[-1])
    return report


def test_a_model_is_trained_kept_and_remembered(data: Path, config: Path, capsys: Printed) -> None:
    here = ("--data", data, "--config", config)
    report = told(capsys, "--placement", HOME, *here)
    assert (report["lists"], report["placed"], report["verdict"]) == (VISITS, False, None)
    assert report["counts"]["decisions"] == VISITS
    assert sum(report["counts"].values()) == VISITS
    assert report["metrics"]["ndcg_10"] > report["metrics"]["ndcg_10_as_shown"] + 0.1
    again = told(capsys, "--placement", HOME, *here, "--kind", "logistic")
    assert again["model"].startswith("logistic@")
    with reading(load(config), data) as read:
        assert [json.loads(line)["model"] for line in history(read.directory)] == [report["model"], again["model"]]
        artefact = read.models.get(report["model"].partition("@")[2])
    assert (artefact.placement, artefact.lists, artefact.tenant) == (HOME, VISITS, "default")
    assert {"lightgbm", "numpy"} <= set(artefact.libraries)
    check_registry(load(config), data, [again, report])


def check_registry(config: Config, data: Path, reports: list[dict[str, Any]]) -> None:
    """What the server tells of these trainings, the newest first; whatever becomes of their files."""
    with reading(config, data) as read:
        registry = TrainedModels(read.directory)
        told = registry.trained("default")
        assert [(one.model, one.metrics, one.kept) for one in told] == [
            (report["model"], report["metrics"], True) for report in reports]  # fmt: skip
        assert all(one.seen_from and one.seen_until and one.trained_at and one.size_bytes for one in told)
        assert registry.trained("two") == []
        newest, oldest = (read.directory.models / f"{report['model'].partition('@')[2]}.model" for report in reports)
        newest.write_bytes(newest.read_bytes()[:-1] + b"?")
        oldest.unlink()
        (read.directory.models / HISTORY).write_text("no training\n" + (read.directory.models / HISTORY).read_text())
        told = TrainedModels(read.directory).trained("default")
        assert [(one.model, one.kept, bool(one.damage)) for one in told] == [
            (reports[0]["model"], True, True), (reports[1]["model"], False, False)]  # fmt: skip
        (read.directory.models / HISTORY).unlink()
        (forgotten,) = TrainedModels(read.directory).trained("default")
        assert (forgotten.trained_at, bool(forgotten.damage)) == (None, True)


def test_a_shop_that_sends_views_alone_is_learned_from_by_what_people_do_next(
    tmp_path: Path, config: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    look(tmp_path / "views", config, visits=120)
    here = ("--placement", HOME, "--data", tmp_path / "views", "--config", config)
    assert run(capsys, "train", *here)[0] == 2, "no list was shown, and of acts there are too few"
    monkeypatch.setattr("instanter.ops.training.ACTS_LEAST", 200)
    report = told(capsys, *here, "--gate")
    counts = report["counts"]
    assert counts["next_acts"] + counts["unfound"] + counts["unread"] == 120 * VIEWS + 1
    assert report["lists"] + report["verdict"]["lists"] <= counts["next_acts"]
    assert report["lists"] > 100
    forced = told(capsys, *here, "--examples", "next_acts")
    assert forced["counts"] == counts
    assert run(capsys, "train", "--placement", "search", *here[2:], "--examples", "next_acts")[0] == 2


@pytest.mark.parametrize(("placement", "examples"), [(HOME, "next_acts"), ("search", "lists")])
def test_the_same_events_give_the_same_model_on_another_server_however_they_came(
    tmp_path: Path, config: Path, capsys: Printed, placement: str, examples: str
) -> None:
    """Byte for byte: keys, pseudonyms, epochs and batches of the two are others. A model is named by its bytes."""
    models = []
    for at_once in (1, 37):
        look(tmp_path / f"by-{at_once}", config, visits=120, at_once=at_once)
        report = told(capsys, "--placement", placement, "--data", tmp_path / f"by-{at_once}", "--config", config,
                      "--examples", examples)  # fmt: skip
        models.append(report["model"])
        assert report["metrics"]["trees"] >= 1
    assert models[0] == models[1]


def test_lists_are_learned_from_once_people_have_acted_on_enough_of_them(
    data: Path, config: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = ("--placement", HOME, "--data", data, "--config", config)
    monkeypatch.setattr("instanter.ops.training.ACTS_LEAST", 200)
    assert told(capsys, *here)["counts"]["decisions"] == 0
    monkeypatch.setattr("instanter.ops.training.REWARDED_ENOUGH", 100)
    assert told(capsys, *here)["counts"]["next_acts"] == 0


def test_a_model_takes_over_on_a_running_server_if_the_gate_lets_it(
    data: Path, config: Path, capsys: Printed
) -> None:
    with running_server(data, config=config) as server:
        here = ("--data", data, "--config", config, "--placement", HOME, "--url", server.url, "--place")
        good = told(capsys, *here, "--gate")
        assert good["verdict"]["passes"] is (good["verdict"]["lists"] >= 50)
        placed = told(capsys, *here)
        assert placed["placed"]
        connection = Connection(server.url)
        shown = connection.call("GET", "/v1/models", reply=msgspec.Raw)
        body = {"anonymousId": "p1", "placements": [{"id": HOME}]}
        reply = connection.call("POST", "/v1/decide", body, reply=dict[str, Any])
        connection.close()
        assert json.loads(bytes(shown))["models"][0]["model"] == placed["model"]
        assert reply["placements"][HOME]["model"] == placed["model"]
        assert reply["placements"][HOME]["items"][0]["id"] == min(
            (item["id"] for item in reply["placements"][HOME]["items"]), key=lambda one: int(one[4:])
        )


def test_where_no_more_models_are_kept_one_that_never_ranked_makes_room(
    data: Path, config: Path, capsys: Printed
) -> None:
    here = ("--data", data, "--config", config, "--placement", HOME)
    with running_server(data, config=config) as server:
        first = told(capsys, *here, "--place", "--url", server.url)["model"].partition("@")[2]
    with reading(load(config), data) as read:
        others = [read.models.put(small_artefact(made_ms=at_ms)) for at_ms in range(MODELS_KEPT_MAX - 1)]
        newest = told(capsys, *here, "--kind", "logistic")["model"].partition("@")[2]
        kept = {one.id for one in read.models.list()}
    assert kept == {first, newest, *others[1:]}


@pytest.mark.parametrize(("words", "message"), [
    (("--placement", "nowhere"), "there is no placement"),
    (("--placement", HOME, "--place"), "add --url"),
    (("--placement", HOME, "--set", "leafs=3"), "NAME=VALUE"),
    (("--placement", HOME, "--set", "leaves=many"), "leaves"),
    (("--placement", HOME, "--set", "leaves=1"), "from 2 to"),
    (("--placement", "home.hero"), "holds no list"),
    (("--placement", HOME, "--every", "soon"), "not a span"),
])  # fmt: skip
def test_what_cannot_be_trained_is_said(
    words: tuple[str, ...], message: str, data: Path, config: Path, capsys: Printed
) -> None:
    try:
        code, _, err = run(capsys, "train", "--data", data, "--config", config, *words)
    except SystemExit as ended:
        code, err = int(str(ended.code)), capsys.readouterr().err
    assert code == 2
    assert message in err
