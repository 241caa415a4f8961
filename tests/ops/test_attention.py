"""Nets of the extra `torch`: learned, written down, run in a process of their own, and trained from a directory's log.

What needs the extra says so and skips: it is not among what the tests install.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from instanter.decisions.enclosed import told_again
from instanter.engine.decision_ids import find_decision
from instanter.engine.paths import Windows
from instanter.foundation import limits
from instanter.foundation.deadline import Deadline
from instanter.foundation.errors import Broken, ConfigRejected, RequestRejected, Unavailable
from instanter.models.attention_training import NetOptions
from instanter.models.bodies import Attention, LinearWeights
from instanter.ops.attention import fitting, nets, running, serving
from instanter.ops.attention.fitting import LENGTH, check_learning, fitted
from instanter.ops.attention.nets import PooledNets
from instanter.ops.attention.running import NetsHere
from instanter.ops.attention.shape import Shape, Weights, begun
from instanter.ops.cli import main as frame
from instanter.ops.config import load
from instanter.ops.reading import reading
from instanter.ops.replaying import made_at
from instanter.ops.wiring import open_engine

from ..engine.harness import decide, event, take
from .clicks import look
from .shop_data import write_config

HOME = "home.recommended"
NEEDED = ("torch", "onnx", "onnxruntime")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]
WITH_EXTRA = pytest.mark.skipif(
    bool(MISSING), reason='needs the extra: .venv/bin/pip install "torch>=2.5" "onnx>=1.17" "onnxruntime>=1.20"'
)
SMALL = Shape(40, 6, 8, 2, 2)
PATIENT_MS = 20_000.0
Printed = pytest.CaptureFixture[str]


def plainly(shape: Shape, weights: Weights, recent: list[int], candidates: list[int]) -> list[float]:
    """What a net tells, one place and one head after another."""

    def norm(values: np.ndarray, name: str) -> np.ndarray:
        lying = (values - values.mean()) / np.sqrt(values.var() + 1e-5)
        return lying * weights[name] + weights[f"{name}_bias"]

    stream = [weights["items"][item] + weights["places"][place] for place, item in enumerate(recent)]
    size = shape.width // shape.heads
    for layer in range(shape.layers):
        normed = [norm(one, f"{layer}.norm") for one in stream]
        query, key, value = ([one @ weights[f"{layer}.{name}"] for one in normed] for name in ("query", "key", "value"))
        read = []
        for place in range(len(recent)):
            seen = [other for other in range(place + 1) if recent[other] > 0] or list(range(len(recent)))
            parts = []
            for head in range(shape.heads):
                cut = slice(head * size, (head + 1) * size)
                likeness = np.array([query[place][cut] @ key[other][cut] * size**-0.5 for other in seen])
                looked = np.exp(likeness - likeness.max())
                looked /= looked.sum()
                parts.append(sum(one * value[other][cut] for one, other in zip(looked, seen, strict=True)))
            read.append(np.concatenate(parts))
        stream = [one + two @ weights[f"{layer}.out"] for one, two in zip(stream, read, strict=True)]
        for place, one in enumerate(stream):
            normed_2 = norm(one, f"{layer}.norm_2")
            wide = np.maximum(normed_2 @ weights[f"{layer}.widen"] + weights[f"{layer}.widen_bias"], 0.0)
            stream[place] = one + wide @ weights[f"{layer}.narrow"] + weights[f"{layer}.narrow_bias"]
    newest = norm(stream[-1], "norm")
    return [float(weights["items"][item] @ newest) for item in candidates]


def small_net() -> Attention:
    """A net that has learned nothing."""
    from instanter.ops.attention.graph import graph_of

    graph = graph_of(SMALL, begun(SMALL, np.random.default_rng(3).standard_normal))
    recent, candidates = np.array([0, 0, 5, 6, 7, 8], np.int32), np.array([1, 9, 40], np.int32)
    return Attention(
        LinearWeights(np.zeros(0), np.zeros(0, np.uint8)), 0.0, graph,
        tuple(f"item-{number}" for number in range(SMALL.items)), SMALL.recent, recent, candidates,
        running.run_once(graph, recent, candidates),
    )  # fmt: skip


def walks(people: int = 120, items: int = 30, seed: int = 2) -> Windows:
    """People who go on to the next item, in a circle."""
    rng = np.random.default_rng(seed)
    numbers = np.zeros((people, LENGTH), np.int32)
    for row in numbers:
        length = int(rng.integers(2, LENGTH + 1))
        row[-length:] = (rng.integers(items) + np.arange(length)) % items + 1
    return Windows(tuple(f"item-{number}" for number in range(1, items + 1)), numbers)


@WITH_EXTRA
@pytest.mark.parametrize("recent", [[1, 2, 3, 4, 5, 6], [0, 0, 0, 7, 7, 9], [0, 0, 0, 0, 0, 40]])
def test_the_graph_tells_what_is_worked_out_step_by_step(recent: list[int]) -> None:
    from instanter.ops.attention.graph import graph_of

    weights = begun(SMALL, np.random.default_rng(3).standard_normal)
    rng = np.random.default_rng(1)
    weights = {name: value + rng.normal(size=value.shape).astype(np.float32) * 0.3 for name, value in weights.items()}
    candidates = [1, 2, 17, 40]
    told = running.run_once(graph_of(SMALL, weights), np.array(recent, np.int32), np.array(candidates, np.int32))
    assert told.tolist() == pytest.approx(plainly(SMALL, weights, recent, candidates), rel=1e-3, abs=1e-3)


@WITH_EXTRA
@pytest.mark.slow
def test_a_net_learns_what_comes_next_and_the_same_paths_give_the_same_bytes() -> None:
    windows, options = walks(), NetOptions(epochs=40, width=16, dropout=0.0, learning_rate=0.01)
    made, again = fitted(windows, options), fitted(windows, options)
    assert made.attention.graph == again.attention.graph
    assert made.attention.known_told.tolist() == again.attention.known_told.tolist()
    assert fitted(windows, msgspec.structs.replace(options, seed=1)).attention.graph != made.attention.graph
    here = NetsHere()
    here.prepare("", made.attention)
    every = np.arange(1, len(windows.items) + 1, dtype=np.int32)
    hits = 0
    for newest in range(1, 21):
        recent = np.zeros(made.attention.recent, np.int32)
        recent[-1] = newest
        hits += int(np.argmax(here.ask("", recent, every, 1.0)) == newest)
    assert hits >= 18
    assert made.libraries["torch"]


@WITH_EXTRA
@pytest.mark.slow
def test_a_net_of_many_items_is_learned_against_some_that_are_drawn() -> None:
    from instanter.ops.attention.learning import DRAWN

    made = fitted(walks(people=300, items=2 * DRAWN + 10), NetOptions(epochs=2, width=8))
    assert made.loss < np.log(DRAWN + 1) + 0.5


@WITH_EXTRA
def test_a_process_of_the_pool_tells_what_is_told_here_and_ends() -> None:
    net, pooled, here = small_net(), PooledNets(), NetsHere()
    here.prepare("net", net)
    try:
        pooled.prepare("net", net)
        recent = np.array([0, 1, 2, 3, 4, 5], np.int32)
        for count in (1, 200):
            candidates = (np.arange(count, dtype=np.int32) % 40) + 1
            told = pooled.ask("net", recent, candidates, PATIENT_MS)
            assert told.tobytes() == here.ask("net", recent, candidates, PATIENT_MS).tobytes()
        with pytest.raises(Broken, match="failed"):  # What the graph cannot do ends the process.
            pooled.ask("net", recent[:3], candidates, PATIENT_MS)
        with pytest.raises(Unavailable):
            pooled.ask("net", recent, candidates, PATIENT_MS)
    finally:
        pooled.close()


@WITH_EXTRA
@pytest.mark.parametrize("where", [NetsHere, PooledNets])
def test_a_net_that_does_not_run_or_tells_something_else_is_refused(where: Callable[[], Any]) -> None:
    net, made = small_net(), where()
    try:
        with pytest.raises(Broken):
            made.prepare("a", msgspec.structs.replace(net, graph=b"no graph"))
        with pytest.raises(Broken, match="another answer"):
            made.prepare("b", msgspec.structs.replace(net, known_told=net.known_told + 1.0))
    finally:
        made.close()


@WITH_EXTRA
def test_a_net_that_is_too_slow_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nets, "NET_ANSWER_MS_MAX", 0.0)
    with pytest.raises(Broken, match="more than 0"):
        PooledNets().prepare("a", small_net())


@WITH_EXTRA
def test_few_nets_are_kept_by_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_NETS_KEPT", 1)
    here, net = NetsHere(), small_net()
    for name in ("a", "b"):
        here.prepare(name, net)
    with pytest.raises(Broken, match="not prepared"):
        here.ask("a", net.known_recent, net.known_candidates, 1.0)


def test_paths_that_are_too_few_teach_nothing() -> None:
    for windows in (walks(people=fitting.WINDOWS_LEAST - 1), walks(items=fitting.ITEMS_LEAST - 1)):
        with pytest.raises(RequestRejected, match="too few"):
            fitted(windows, NetOptions())


@pytest.mark.parametrize(("program", "reason"), [
    ("raise SystemExit('no memory left')", "exit code 1 no memory left"), ("print('?')", "not learned"),
])  # fmt: skip
def test_a_process_that_fails_is_told(program: str, reason: str) -> None:
    with pytest.raises(Unavailable, match=reason):
        fitted(walks(), NetOptions(), [sys.executable, "-c", program])


def test_a_process_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "NET_TRAINING_S_MAX", -fitting._OVER_S)
    with pytest.raises(Unavailable, match="was not learned within"):
        fitted(walks(), NetOptions(), [sys.executable, "-c", "import time; time.sleep(60)"])


def test_bounds_are_those_of_the_limits() -> None:
    assert fitting.NET_TRAINING_S_MAX == limits.NET_TRAINING_S_MAX
    assert fitting.NET_STEPS_MAX == limits.NET_STEPS_MAX
    assert limits.NET_TRAINING_MEMORY_MB_MAX >= limits.NET_MEMORY_MB_MAX == serving.NET_MEMORY_MB_MAX
    assert serving.NET_LOAD_S_MAX == limits.NET_LOAD_S_MAX
    assert serving.NET_JOB_S_MAX == limits.NET_JOB_S_MAX


def test_without_the_extra_it_is_said_how_to_install_it(
    tmp_path: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (fitting, running):
        monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ConfigRejected, match=r"torch, onnx, onnxruntime.*instanter\[torch\]"):
        check_learning()
    net = Attention(LinearWeights(np.zeros(0), np.zeros(0, np.uint8)), 0.0, b"", ("a",), 1, np.zeros(1, np.int32),
                    np.zeros(1, np.int32), np.zeros(1, np.float32))  # fmt: skip
    with pytest.raises(ConfigRejected, match=r"instanter\[torch\]"):
        PooledNets().prepare("a", net)
    here = NetsHere()
    here.prepare("a", net)  # A decision that was made is made again without.
    with pytest.raises(ConfigRejected, match=r"instanter\[torch\]"):
        here.ask("a", net.known_recent, net.known_candidates, 1.0)


@pytest.mark.parametrize("words", [
    ("--examples", "lists"), ("--set", "trees_max=5"), ("--set", "epochs=0"), ("--set", "width=many"),
])  # fmt: skip
def test_what_a_net_cannot_be_trained_by_is_refused(words: tuple[str, str], tmp_path: Path, capsys: Printed) -> None:
    config = write_config(tmp_path)
    code = frame.main(["train", "--data", str(tmp_path / "data"), "--config", str(config), "--placement",
                       "home.recommended", "--kind", "attention", *words])  # fmt: skip
    assert code != 0
    assert capsys.readouterr().err


@WITH_EXTRA
@pytest.mark.slow
def test_a_model_is_trained_from_a_log_served_and_its_decisions_are_made_again(
    tmp_path: Path, capsys: Printed
) -> None:
    config, data = write_config(tmp_path), tmp_path / "data"
    look(data, config, visits=150)
    words = ["train", "--json", "--data", str(data), "--config", str(config), "--placement", HOME, "--gate",
             "--kind", "attention", "--set", "width=8", "--set", "epochs=30", "--set", "dropout=0"]  # fmt: skip
    reports = []
    for _ in range(2):
        assert frame.main(words) == 0
        reports.append(json.loads(capsys.readouterr().out.splitlines()[-1]))
    assert reports[0]["model"] == reports[1]["model"], "the same log gives the same file"
    assert reports[0]["model"].startswith("attention@")
    assert reports[0]["verdict"]["lists"] >= 50
    loaded = load(config)

    async def serve() -> str:
        engine = open_engine(loaded, data)()
        await engine.start()
        try:
            await engine.models.place("default", HOME, reports[0]["model"], actor="tests")
            for number in range(3):
                fields = {"properties": {"product_id": f"sku-{number}"}}
                await take(engine, event(90_000 + number, person="new", at_ms=engine.clock.now_ms(), **fields))
                told = await decide(engine, person="new", deadlineMs=10_000)
            placed = told["placements"][HOME]
            assert (placed["model"], told["degraded"]) == (reports[0]["model"], [])
            return str(told["decisionId"])
        finally:
            await engine.stop(Deadline(10_000))

    decision_id = asyncio.run(serve())
    with reading(loaded, data) as read:
        found = find_decision(decision_id, read.log, read.moved)
        assert found is not None
        made = made_at(read, found[0])
        told = told_again(made.receipt.placements[0], made.enclosed)
        assert told is not None
        assert not np.isnan(told).all()
        again = read.replay.decision(made)
    assert again.identical, again.differences
