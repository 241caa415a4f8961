"""Past moments decided anew: by what was learned online as far as it fits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from instanter.decisions.placement import Placement
from instanter.engine.anew import Anew
from instanter.engine.configuration import Configuration
from instanter.engine.loop import Engine
from instanter.engine.replay import NoModels
from instanter.features.assemble import RULES_NOW
from instanter.features.declaration import DEFAULT_FEATURES
from instanter.foundation.errors import RequestRejected
from instanter.models.online import LearnerDeclaration

from .harness import stock_shop, with_engine
from .test_learning import INPUTS, LEARNING, PLACEMENTS, choose
from .test_replay import made_in, replay_of


@pytest.fixture
def learnt(tmp_path: Path) -> Path:
    """A directory where a learner has learned."""
    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        await choose(engine, 1, 8)
        await engine.journal.settled()

    with_engine(tmp_path, work, placements=PLACEMENTS)
    return tmp_path


def anew(root: Path, learner: LearnerDeclaration | None) -> list[Any]:
    """The newest lists, by the same configuration with another learner."""
    placements = (*PLACEMENTS[:-1], msgspec.structs.replace(LEARNING, learner=learner))
    made = made_in(root)
    (kept,) = {one.receipt.config_hash for one in made}
    replay = replay_of(root)
    served = replay.footing(kept)[1].schema
    configuration = Configuration(
        DEFAULT_FEATURES, placements, served.settings, exploration=0.0, rules=RULES_NOW
    )
    other = Anew(configuration, replay.past(served), NoModels())
    return [other.decide(one, other.named(one.receipt)).receipt.placements[0] for one in made]


def test_what_was_learned_online_counts_for_the_same_inputs(learnt: Path) -> None:
    then = [made.receipt.placements[0] for made in made_in(learnt)]
    assert anew(learnt, LEARNING.learner) == then
    assert then[-1].learned > 0


def test_what_was_learned_about_other_inputs_counts_for_nothing(learnt: Path) -> None:
    alone = anew(learnt, None)
    for inputs in (INPUTS[:1], (*INPUTS, "item.click_lift"), tuple(reversed(INPUTS))):
        other = anew(learnt, LearnerDeclaration(inputs=inputs))
        assert [one.items for one in other] == [one.items for one in alone]
        assert {one.learned for one in other} == {0}
    assert {one.learned for one in alone} == {-1}
    assert [one.scores_hash for one in alone] != [made.receipt.placements[0].scores_hash for made in made_in(learnt)]


def test_a_placement_that_there_is_not_is_said(learnt: Path) -> None:
    replay, made = replay_of(learnt), made_in(learnt)[0]
    served = replay.footing(made.receipt.config_hash)[1].schema
    other = Anew(
        Configuration(DEFAULT_FEATURES, (Placement(id="home.hero"),), served.settings, rules=RULES_NOW),
        replay.past(served), NoModels(),
    )
    with pytest.raises(RequestRejected, match="no placement"):
        other.decide(made, other.named(made.receipt))
