"""`instanter embed`: vectors of texts are loaded where people's own steps say that they find more than words."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from instanter.events.envelope import ItemUpserted
from instanter.events.vectors import pack_vector
from instanter.foundation.deadline import Deadline
from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import ConfigRejected, Unavailable
from instanter.foundation.limits import (
    EMBEDDING_PEOPLE_MAX,
    EMBEDDING_STEPS_MAX,
    EMBEDDING_TEXT_CHARS_MAX,
    VECTOR_LENGTH_MAX,
)
from instanter.log.segments import SegmentReader
from instanter.ops import embedding, encoders
from instanter.ops.child import running_server
from instanter.ops.cli import embed
from instanter.ops.cli import main as frame
from instanter.ops.cli.connection import Connection
from instanter.ops.config import load
from instanter.ops.datadir import DataDirectory
from instanter.ops.encoders import Vectors, encoder_of
from instanter.ops.wiring import open_engine

from ..engine.harness import event, take
from .shop_data import write_config

Printed = pytest.CaptureFixture[str]
SORTS = [("couch", "sofa"), ("lamp", "lantern"), ("rug", "carpet"), ("shelf", "rack")]
EACH, PEOPLE, STEPS = 30, 24, 12
"""Items with each of the two names of a sort; whoever looks at one goes on to one of the other name."""
START_MS = 1_700_000_000_000


def items() -> list[tuple[str, str]]:
    """Id and title of each. Titles of other sorts and names have as much in common in words."""
    return [(f"{name}-{n}", f"{name} number{n % 5}") for pair in SORTS for name in pair for n in range(EACH)]


class OneMeaning:
    """Knows what is the same by another name."""

    name, length = "one-meaning", 16

    def encode(self, texts: Sequence[str]) -> Vectors:
        vectors = np.zeros((len(texts), self.length), np.float32)
        for row, text in enumerate(texts):
            sort = next(number for number, pair in enumerate(SORTS) if text.split()[0] in pair)
            vectors[row, sort] = 1.0
            vectors[row, 4 + hash_of(text) % 12] = 0.1
        return vectors


class NoMeaning(OneMeaning):
    """Takes what has the same name for the same, which nobody goes on to."""

    name = "no-meaning"

    def encode(self, texts: Sequence[str]) -> Vectors:
        names = [name for pair in SORTS for name in pair]
        return np.eye(self.length, dtype=np.float32)[[names.index(text.split()[0]) for text in texts]]


def hash_of(text: str) -> int:
    return sum(map(ord, text))


def fill(data: Path, *, people: int = PEOPLE, fields: Sequence[tuple[str, dict[str, Any]]] = ()) -> Path:
    """A directory of a shop whose people look at a thing of one name, then at one of the other."""
    data.parent.mkdir(exist_ok=True)
    make = open_engine(load(write_config(data.parent)), data, clock_of_events=True, may_make_master_key=True)
    goods = fields or [(item, {"title": title, "price": 5}) for item, title in items()]

    async def work() -> None:
        engine = make()
        await engine.start()
        now_ms = engine.clock.now_ms()
        await engine.change_items([ItemUpserted(now_ms, "default", item, dict(told)) for item, told in goods])
        for person in range(people):
            await take(engine, *visit(person))
        await engine.journal.settled()
        await engine.stop(Deadline(10_000))

    asyncio.run(work())
    return data


def visit(person: int) -> list[bytes]:
    """What somebody looks at, a minute apart."""
    seen = [name for step in range(STEPS) for name in SORTS[(person + step) % len(SORTS)]]
    numbers = [2 * STEPS * person + place for place in range(len(seen))]
    return [event(number, person=f"p{person}", at_ms=START_MS + 60_000 * number,
                  properties={"product_id": f"{name}-{(7 * number) % EACH}"})
            for name, number in zip(seen, numbers, strict=True)]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read by several tests, and written by none."""
    return fill(tmp_path_factory.mktemp("shop") / "data")


def ran(capsys: Printed, *words: object) -> tuple[int, dict[str, Any]]:
    code = frame.main(["embed", "--json", *(str(word) for word in words)])
    printed = capsys.readouterr()
    told: dict[str, Any] = json.loads(printed.out.splitlines()[-1])
    return code, told


def with_encoder(monkeypatch: pytest.MonkeyPatch, encoder: OneMeaning) -> None:
    monkeypatch.setattr(embed, "encoder_of", lambda model: encoder)


def test_vectors_that_find_more_are_loaded_into_the_running_server(
    tmp_path: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "data")
    with_encoder(monkeypatch, OneMeaning())
    config = write_config(tmp_path)
    with running_server(tmp_path / "data", config=config) as server:
        code, told = ran(capsys, "--data", tmp_path / "data", "--config", config, "--url", server.url)
        assert (code, told["items"], told["loaded"]) == (0, len(items()), len(items()))
        assert told["steps"] > PEOPLE * STEPS
        assert told["difference"]["low"] > 0.0
        assert told["both"] > told["words"]
        connection = Connection(server.url)
        shown = connection.call("GET", "/v1/items/couch-0?vector=true", reply=dict[str, Any])
        similar = {"item": "couch-0", "id": "product.similar", "limit": 4}
        body = {"anonymousId": "new", "placements": [similar], "deadlineMs": 10_000}
        reply = connection.call("POST", "/v1/decide", body, reply=dict[str, Any])
        connection.close()
        # Told again it is the same, and its own vectors are no hindrance.
        assert ran(capsys, "--data", tmp_path / "data", "--config", config)[1]["difference"] == told["difference"]
    assert len(shown["fields"]["vector"]) == OneMeaning.length
    assert shown["fields"]["title"] == "couch number0"
    assert reply["placements"]["product.similar"]["items"]


def test_vectors_that_find_no_more_than_words_change_nothing(
    data: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_encoder(monkeypatch, NoMeaning())
    nowhere = "http://127.0.0.1:9"
    code, told = ran(capsys, "--data", data, "--url", nowhere)
    assert (code, told["loaded"]) == (0, 0)
    assert told["difference"]["low"] <= 0.0
    assert frame.main(["embed", "--data", str(data)]) == 0
    assert "nothing was loaded" in capsys.readouterr().out


def test_whoever_can_load_them_is_told_how(data: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    with_encoder(monkeypatch, OneMeaning())
    assert frame.main(["embed", "--data", str(data)]) == 0
    assert "--url" in capsys.readouterr().out


def test_too_little_to_tell_by_is_said(tmp_path: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    with_encoder(monkeypatch, OneMeaning())
    fill(tmp_path / "few", people=2)
    code, told = ran(capsys, "--data", tmp_path / "few")
    assert (code, told["error"]["code"]) == (2, "no_examples")
    fill(tmp_path / "mute", people=2, fields=[("couch-1", {"price": 5})])
    code, told = ran(capsys, "--data", tmp_path / "mute")
    assert (code, told["error"]["code"]) == (2, "no_texts")


def test_vectors_of_another_model_are_left_alone(
    tmp_path: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_encoder(monkeypatch, OneMeaning())
    fill(tmp_path / "data", people=2, fields=[("couch-1", {"title": "couch", "vector": pack_vector([0.5] * 3)})])
    code, told = ran(capsys, "--data", tmp_path / "data")
    assert (code, told["error"]["code"]) == (2, "other_vectors")
    assert "3 numbers" in told["error"]["message"]


def test_what_is_not_there_is_said_with_what_to_do(
    tmp_path: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, told = ran(capsys, "--data", tmp_path, "--model", tmp_path / "none")
    assert (code, told["error"]["code"]) == (2, "config")
    monkeypatch.setattr(encoders, "find_spec", lambda name: None)
    with pytest.raises(ConfigRejected, match="extra `text` is not installed"):
        encoder_of(encoders.SHIPPED)
    with pytest.raises(ConfigRejected, match="sentence-transformers"):
        encoder_of(str(tmp_path))


def test_the_shipped_model_knows_what_words_do_not() -> None:
    if importlib.util.find_spec(encoders.SHIPPED) is None:
        pytest.skip('needs the extra: .venv/bin/pip install "wordllama>=0.4", which has no wheel for every machine')
    encoder = encoder_of(encoders.SHIPPED)
    couch, sofa, lamp, nothing = encoder.encode(["couch", "sofa", "lamp", ""])
    assert couch @ sofa > couch @ lamp + 0.1
    assert not nothing.any()
    assert np.linalg.norm(couch) == pytest.approx(1.0)
    assert len(couch) == encoder.length <= VECTOR_LENGTH_MAX
    assert not [name for name in sys.modules if name.split(".")[0] in ("wordllama", "huggingface_hub", "httpx2")]


def test_a_step_is_two_acts_of_one_person_in_one_visit(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = SegmentReader(RealDisk(), DataDirectory(RealDisk(), data).log)
    steps, end = embedding.steps_in(log, "default", {"Product Viewed"})
    assert PEOPLE * STEPS <= len(steps) <= PEOPLE * (2 * STEPS - 1)
    assert end == [*log.read()][-1].end
    assert all(step.first != step.second for step in steps)
    assert not embedding.steps_in(log, "other", {"Product Viewed"})[0]
    assert not embedding.steps_in(log, "default", {"Product Added"})[0]
    monkeypatch.setattr(embedding, "STEP_MS_MAX", 30_000)
    assert not embedding.steps_in(log, "default", {"Product Viewed"})[0], "a minute apart"


def test_what_is_held_while_looking_is_bounded(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (EMBEDDING_STEPS_MAX, EMBEDDING_PEOPLE_MAX, EMBEDDING_TEXT_CHARS_MAX) == (20_000, 1_000_000, 2_000)
    log = SegmentReader(RealDisk(), DataDirectory(RealDisk(), data).log)
    monkeypatch.setattr(embedding, "EMBEDDING_STEPS_MAX", 10)
    assert len(embedding.steps_in(log, "default", {"Product Viewed"})[0]) == 10
    monkeypatch.setattr(embedding, "EMBEDDING_PEOPLE_MAX", 0)
    assert not embedding.steps_in(log, "default", {"Product Viewed"})[0], "nobody is remembered"


class Away:
    """A server that is not there for a while."""

    def __init__(self, times: int) -> None:
        self.times = times

    def call(self, method: str, path: str, body: object, *, reply: object) -> object:
        self.times -= 1
        if self.times >= 0:
            raise Unavailable("away", retry_after_s=0)
        return msgspec.Raw(b"{}")


def test_a_vector_is_sent_again_while_the_server_is_away_but_not_for_ever() -> None:
    assert embed._patched(Away(embed.TRIES_MAX - 1), "a/b", {})  # type: ignore[arg-type]
    with pytest.raises(Unavailable):
        embed._patched(Away(embed.TRIES_MAX), "a/b", {})  # type: ignore[arg-type]
