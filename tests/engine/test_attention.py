"""A net ranks, fails and is away: everybody is answered, and every decision is made again without it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from instanter.decisions.decide import Decider
from instanter.decisions.enclosed import told_again
from instanter.engine.loop import Engine
from instanter.engine.replay import Again
from instanter.features.declaration import DEFAULT_FEATURES
from instanter.foundation.clock import ManualClock
from instanter.foundation.errors import Broken, RequestRejected, Unavailable
from instanter.foundation.limits import MODEL_FAULTS_MAX, NET_ANSWER_MS_MAX
from instanter.models.artefact import Artefact, Input, make_check
from instanter.models.attention import AttentionRanker, Nets, NoNets
from instanter.models.base import Ranker
from instanter.models.bodies import Attention, LinearWeights

from ..models.nets import PlainNets
from .harness import decide, event, stock_shop, take, with_engine
from .test_replay import made_in, replay_of

HOME = "home.recommended"
MODEL = "attention@net"
ITEMS = tuple(f"sku-{number}" for number in range(12))


class Shelf:
    """One model, over whatever columns there are, with its net in these nets."""

    def __init__(self, nets: Nets) -> None:
        self.nets = nets

    def ranker(self, model: str, decider: Decider) -> Ranker:
        if model != MODEL:
            raise RequestRejected("unknown_model", f"there is no model {model}", status=404)
        linear = LinearWeights(np.zeros(1), np.zeros(1, np.uint8))
        net = Attention(linear, 1.0, b"", ITEMS, 4, np.array([0, 0, 0, 1], np.int32), np.array([2], np.int32),
                        np.zeros(1, np.float32))  # fmt: skip
        artefact = Artefact(
            kind="attention", inputs=(Input("item.recency"),), body=net.packed(),
            check=make_check(np.zeros((1, 1), np.float32), np.zeros(1)),
        )  # fmt: skip
        return AttentionRanker(decider.assembler.columns, artefact, "net", self.nets)


async def shown(engine: Engine, person: str = "a1") -> tuple[list[str], str, list[str]]:
    reply = await decide(engine, person=person)
    placed = reply["placements"][HOME]
    return [item["id"] for item in placed["items"]], placed["model"], reply["degraded"]


async def looked_at(engine: Engine, number: int, item: str, person: str = "a1") -> None:
    fields = {"properties": {"product_id": item}}
    await take(engine, event(number, person=person, at_ms=engine.clock.now_ms(), **fields))


def again_without_nets(root: Path) -> list[Again]:
    replay = replay_of(root)
    replay._models = Shelf(NoNets())
    return list(replay.decisions(made_in(root)))


def test_what_a_net_tells_ranks_and_is_made_again_without_it(tmp_path: Path) -> None:
    nets = PlainNets()

    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        await engine.models.place("default", HOME, MODEL, actor="tests")
        for number, item in enumerate(["sku-3", "sku-7"]):
            await looked_at(engine, number, item)
            ids, model, degraded = await shown(engine)
            assert (model, degraded) == (MODEL, [])
            behind = f"sku-{int(item.partition('-')[2]) + 1}"
            assert behind in ids[:3], "the one behind the newest is what this net likes best"
        assert nets.asked[-1][1] == [0, 0, 4, 8], "the newest last, by numbers of the net"
        assert nets.asked[-1][3] == NET_ANSWER_MS_MAX
        asked = len(nets.asked)
        assert (await shown(engine, person="nobody-yet"))[1] == MODEL
        assert len(nets.asked) == asked, "of somebody who did nothing there is nothing to ask"

    with_engine(tmp_path, work, models=Shelf(nets))
    made = made_in(tmp_path)
    told = [told_again(one.receipt.placements[0], one.enclosed) for one in made]
    assert [None if one is None else bool(np.isnan(one).all()) for one in told] == [False, False, True]
    again = again_without_nets(tmp_path)
    assert [one.differences for one in again] == [[], [], []]
    assert [one.receipt for one in again] == [one.receipt for one in made]


def test_a_damaged_answer_beside_a_receipt_is_told_and_changes_no_receipt(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        await engine.models.place("default", HOME, MODEL, actor="tests")
        await looked_at(engine, 1, "sku-3")
        await shown(engine)

    with_engine(tmp_path, work, models=Shelf(PlainNets()))
    replay = replay_of(tmp_path)
    replay._models = Shelf(NoNets())
    (made,) = made_in(tmp_path)
    told = told_again(made.receipt.placements[0], made.enclosed)
    assert told is not None
    shorter = made._replace(enclosed=made.enclosed.replace(told.tobytes(), told[1:].tobytes()))
    with pytest.raises(Broken):
        replay.decision(shorter)
    without = replay.decision(made._replace(enclosed=b""))
    assert f"{HOME}.model" in without.differences, "nobody is there to be asked: another ranker answers"


def test_a_net_that_fails_is_stood_in_for_and_benched_and_all_is_made_again(tmp_path: Path) -> None:
    nets, clock = PlainNets(), ManualClock()

    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        await engine.models.place("default", HOME, MODEL, actor="tests")
        await looked_at(engine, 1, "sku-3")
        nets.error = Broken("it did not answer within 15 ms")
        for _ in range(MODEL_FAULTS_MAX):
            clock.advance(10)
            ids, model, degraded = await shown(engine)
            assert ids
            assert model.startswith("linear@")
            assert degraded == ["score"]
        assert engine.meter.counts["models_benched"] == 1
        ids, model, degraded = await shown(engine)
        assert (model.startswith("linear@"), degraded) == (True, [])

    with_engine(tmp_path, work, models=Shelf(nets), clock=clock)
    assert {tuple(one.differences) for one in again_without_nets(tmp_path)} == {()}


def test_a_net_that_is_away_for_a_moment_is_stood_in_for_and_not_benched(tmp_path: Path) -> None:
    nets = PlainNets()

    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        await engine.models.place("default", HOME, MODEL, actor="tests")
        await looked_at(engine, 1, "sku-3")
        nets.error = Unavailable("it is begun again")
        for _ in range(2 * MODEL_FAULTS_MAX):
            assert (await shown(engine))[1].startswith("linear@")
        assert engine.meter.counts["models_away"] == 2 * MODEL_FAULTS_MAX
        assert "models_benched" not in engine.meter.counts
        nets.error = None
        assert (await shown(engine))[1] == MODEL

    with_engine(tmp_path, work, models=Shelf(nets))


def test_the_features_of_a_shop_keep_the_steps_that_a_net_reads() -> None:
    assert any(feature.aggregate == "sequences" for feature in DEFAULT_FEATURES)
