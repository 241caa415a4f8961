"""R24: a model ranks on when a feature that it reads has gone, has another name, or means something else."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from instanter.engine.loop import Engine
from instanter.engine.models import StoredModels
from instanter.features.assemble import Assembler
from instanter.features.compile import compile_features
from instanter.features.declaration import DEFAULT_FEATURES, FeatureDeclaration
from instanter.features.view import Reader
from instanter.foundation.clock import ManualClock
from instanter.foundation.disk import RealDisk
from instanter.models.artefact import Artefact, Input, make_check
from instanter.models.bodies import Weights
from instanter.models.store import ModelStore
from instanter.models.trained import row_ranker_of

from ..engine.harness import decide, event, stock_shop, take, with_engine
from ..engine.test_replay import made_in
from .conftest import Figures

pytestmark = pytest.mark.faults

HOME = "home.recommended"


def declared(name: str, aggregate: str = "count", **rest: object) -> FeatureDeclaration:
    return msgspec.convert(
        {"name": name, "on": ["Product Viewed"], "aggregate": aggregate, "scope": "profile", "unit": "1",
         "owner": "tests", **rest}, FeatureDeclaration,
    )  # fmt: skip


LEARNED_WITH = (*DEFAULT_FEATURES, declared("looks"), declared("spent", "sum", value="price"), declared("kinds"))
SERVED_WITH = (
    *DEFAULT_FEATURES,
    declared("glances"),  # looks, under another name
    declared("spent", "mean", value="price"),  # another number under the same name
    declared("kinds", "top_k", by="item.category", k=3),  # another type under the same name
)
READ = ("person.looks", "person.spent", "person.kinds", "item.price")


def learned() -> Artefact:
    """A model over what was declared when it was trained."""
    schema = compile_features(LEARNED_WITH, memory_mb=64)
    columns = Assembler(schema, LEARNED_WITH, Reader(schema, LEARNED_WITH)).columns
    versions = {column.name: column.version for column in columns}
    ones = np.ones(len(READ))
    weights = Weights(0.0, ones, np.zeros(len(READ)), ones, np.ones(len(READ), np.uint8))
    matrix = np.arange(2.0 * len(READ), dtype=np.float32).reshape(2, -1)
    artefact = Artefact(
        kind="logistic", inputs=tuple(Input(name, versions[name]) for name in READ), body=weights.packed(),
        check=make_check(matrix, np.zeros(2)), tenant="default", placement=HOME,
    )  # fmt: skip
    read = tuple(column for name in READ for column in columns if column.name == name)
    scores = row_ranker_of(read, artefact).raw_scores(matrix, read)
    return msgspec.structs.replace(artefact, check=make_check(matrix, scores))


@pytest.mark.parametrize(("features", "missing"), [
    (LEARNED_WITH, ()),
    (SERVED_WITH, ("person.looks", "person.spent", "person.kinds")),
], ids=["as it was learned", "after the features have changed"])  # fmt: skip
def test_every_question_is_answered_and_the_receipt_names_what_was_missing(
    features: tuple[FeatureDeclaration, ...], missing: tuple[str, ...], tmp_path: Path, full: bool, figures: Figures
) -> None:
    count = 2_000 if full else 60
    store = ModelStore(RealDisk(), tmp_path / "models")
    model = f"logistic@{store.put(learned())}"
    clock = ManualClock()
    by_model: set[str] = set()

    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        await engine.models.place("default", HOME, model, actor="tests")
        for number in range(count):
            if number % 3 == 0:
                await take(engine, event(number, person=f"a{number % 7}"))
                clock.advance(700)
            person = f"a{number % 7}" if number % 5 else f"nobody-{number}"
            placed = (await decide(engine, person=person))["placements"][HOME]
            assert placed["items"]
            by_model.add(placed["model"])

    with_engine(tmp_path, work, clock=clock, features=features, models=StoredModels(store))
    told = [made.receipt.placements[0].missing for made in made_in(tmp_path)]
    figures(decisions=count, answered=len(told), missing=len(missing))
    assert by_model == {model}
    assert told == [missing] * count
