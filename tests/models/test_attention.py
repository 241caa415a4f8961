"""A self-attention model: what its net is asked, what that does to a list, and what a file of one may be."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np
import pytest

from instanter.features.assemble import Column
from instanter.foundation import limits
from instanter.foundation.errors import Broken, Corrupt, RequestRejected, Unavailable
from instanter.models import attention, bodies
from instanter.models.acted import NOTHING, Acted, numbered
from instanter.models.artefact import decode, encode
from instanter.models.attention import AttentionRanker, Listed, ReadsSteps
from instanter.models.attention_training import SHARES, NetOptions, attention_model, later_from_ms
from instanter.models.base import Uncalibrated
from instanter.models.dataset import Dataset
from instanter.models.evaluate import mean, ndcg
from instanter.models.head import Head
from instanter.models.trained import check_scores, ranker_of, scores_of
from instanter.models.training import Origin

from .examples import small_artefact, small_attention
from .nets import PlainNets

COLUMNS = (Column("item.a"), Column("item.b", unbounded=True))
MATRIX = np.array([[0.0, 1.0], [1.0, 3.0], [2.0, 0.0]], np.float32)
NAMES: Mapping[int, str] = {11: "sofa", 12: "lamp", 13: "rug", 14: "vase"}
ITEMS = tuple(f"item-{number:02}" for number in range(30))


def listed(recent: list[int], candidates: list[int], left_ms: float = 20.0) -> Listed:
    return Listed(np.array(recent, np.int64), np.array(candidates, np.int64), NAMES.get, left_ms)


def ranker(nets: PlainNets) -> AttentionRanker:
    return AttentionRanker(COLUMNS, small_artefact(kind="attention"), "v", nets)


def test_the_net_is_asked_about_what_it_knows_the_newest_item_last() -> None:
    nets = PlainNets()
    told = ranker(nets).told(listed([12, 99, 11], [13, 14, 11]))
    assert nets.asked == [("v", [0, 0, 1, 2], [3, 1], limits.NET_ANSWER_MS_MAX)]
    assert np.isnan(told).tolist() == [False, True, False], "nobody told it of the vase"
    assert told[[0, 2]].tolist() == [0.0, -2.0]


def test_no_more_is_read_than_the_net_reads() -> None:
    nets = PlainNets()
    ranker(nets).told(listed([11, 12, 13, 11, 12, 13], [11]))
    assert nets.asked[0][1] == [1, 3, 2, 1]


@pytest.mark.parametrize(("recent", "candidates"), [([], [11, 12]), ([99], [11]), ([11], [99]), ([11], [])])
def test_where_it_knows_nothing_it_is_not_asked_and_the_linear_order_stands(
    recent: list[int], candidates: list[int]
) -> None:
    nets = PlainNets(Broken("never asked"))
    made = ranker(nets)
    told = made.told(listed(recent, candidates))
    assert nets.asked == []
    assert np.isnan(told).all()
    matrix = MATRIX[: len(candidates)]
    assert made.after(told).score(matrix, COLUMNS).tolist() == made.score(matrix, COLUMNS).tolist()


def test_what_is_told_moves_the_linear_order_and_no_mean() -> None:
    made = ranker(PlainNets())
    linear = made.score(MATRIX, COLUMNS)
    told = made.told(listed([11], [12, 14, 13]))
    moved = made.after(told).score(MATRIX, COLUMNS)
    assert moved - linear == pytest.approx([0.25, 0.0, -0.25]), "half of what lies off the mean, nothing for the vase"
    assert made.after(told).contributions(MATRIX, COLUMNS).tolist() == made.contributions(MATRIX, COLUMNS).tolist()


def test_what_was_told_of_another_list_is_refused() -> None:
    made = ranker(PlainNets())
    with pytest.raises(Broken, match="2 candidates were told of, not 3"):
        made.after(np.zeros(2, np.float32)).score(MATRIX, COLUMNS)


def test_whoever_is_in_haste_may_not_ask() -> None:
    nets = PlainNets()
    with pytest.raises(Unavailable, match="14 ms are too little"):
        ranker(nets).told(listed([11], [12], left_ms=14.2))
    assert nets.asked == [], "one that is late is ended: somebody with a short deadline would end it for all"


@pytest.mark.parametrize("error", [Broken("it failed"), Unavailable("it is away")])
def test_a_net_that_does_not_answer_is_told(error: Broken | Unavailable) -> None:
    with pytest.raises(type(error)):
        ranker(PlainNets(error)).told(listed([11], [12]))


def test_an_answer_that_is_no_finite_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    nets = PlainNets()
    for answer in (np.array([np.nan], np.float32), np.zeros(2, np.float32)):
        monkeypatch.setattr(nets, "ask", lambda *_, answer=answer: answer)
        with pytest.raises(Broken, match="one finite number"):
            ranker(nets).told(listed([11], [12]))


def test_numbers_are_remembered_within_a_bound_and_an_item_may_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "_NUMBERS_KEPT_MAX", 2)
    names = dict(NAMES)
    made = AttentionRanker(COLUMNS, small_artefact(kind="attention"), "v", PlainNets())
    asked = Listed(np.array([11]), np.array([12, 13, 20]), names.get, 20.0)
    assert np.isnan(made.told(asked)).tolist() == [False, False, True]
    assert len(made._numbers) <= 2
    names[20] = "rug"
    assert not np.isnan(made.told(asked)).any()


def test_it_is_told_from_rankers_that_read_inputs_alone() -> None:
    assert isinstance(ranker(PlainNets()), ReadsSteps)
    for kind in ("lambdamart", "logistic", "conditional_logit"):
        made = ranker_of(COLUMNS, small_artefact(kind=kind))  # type: ignore[arg-type]
        assert not isinstance(made, ReadsSteps)
        assert not isinstance(Uncalibrated(made), ReadsSteps)


def test_a_model_comes_back_as_it_was_and_its_net_is_prepared() -> None:
    made = small_artefact(kind="attention")
    raw = encode(made)
    assert raw[8] == 3, "an older program refuses what it cannot read"
    found = decode(raw)
    assert encode(found) == raw
    check_scores(found)
    nets = PlainNets()
    assert ranker_of(COLUMNS, found, "v", nets).version == "v"
    assert nets.prepared == ["v"]


@pytest.mark.parametrize("change", [
    {"share": np.nan}, {"items": ()}, {"items": ("sofa", "sofa", "rug")}, {"recent": 0}, {"recent": 5},
    {"recent": limits.STEPS_READ_MAX + 1}, {"known_recent": np.zeros(3, np.int32)},
    {"known_candidates": np.array([1, 4], np.int32)}, {"known_candidates": np.array([-1, 1], np.int32)},
    {"known_candidates": np.zeros(0, np.int32)}, {"known_told": np.zeros(3, np.float32)},
    {"known_told": np.array([np.inf, 0.0], np.float32)},
])  # fmt: skip
def test_what_no_net_has_is_refused(change: dict[str, object]) -> None:
    body = msgspec.structs.replace(small_attention(), **change).packed()
    with pytest.raises(Corrupt):
        decode(encode(msgspec.structs.replace(small_artefact(kind="attention"), body=body)))


def test_a_net_knows_so_many_items_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits.ATTENTION_ITEMS_MAX == bodies.ATTENTION_ITEMS_MAX == 50_000
    raw = encode(small_artefact(kind="attention"))
    monkeypatch.setattr(bodies, "ATTENTION_ITEMS_MAX", 2)
    with pytest.raises(Corrupt, match="1 to 2 items"):
        decode(raw)


# Examples.


def steps(lists: int = 200, rows: int = 6, seed: int = 1) -> Dataset:
    """Lists of people who go on to the next item, most of the time; the inputs say nothing of it."""
    rng = np.random.default_rng(seed)
    items = np.stack([rng.permutation(len(ITEMS) - 1)[:rows] for _ in range(lists)])
    wanted = rng.integers(0, rows, lists)
    recent = np.full((lists, 3), NOTHING)
    recent[:, 0] = items[np.arange(lists), wanted] - 1
    recent[::10, 0] = NOTHING
    labels = np.zeros((lists, rows))
    labels[np.arange(lists), wanted] = 1.0
    count = lists * rows
    return Dataset(
        ("item.a", "item.b"), rng.normal(size=(count, 2)).astype(np.float32), np.arange(0, count + 1, rows),
        labels.ravel(), np.zeros(count, np.int32), np.ones(count), np.arange(lists) * 1_000, ("item.b",),
        Head("next.chance", weights=(("item.a", 0.5),)), Acted(ITEMS, items.ravel(), recent),
    )  # fmt: skip


def net() -> bodies.Attention:
    return msgspec.structs.replace(small_attention(), items=ITEMS)


def test_items_are_numbered_as_a_net_knows_them() -> None:
    assert numbered(("b", "x", "a"), ("a", "b")).tolist() == [2, 0, 1, 0]


def test_examples_keep_their_items_when_they_are_cut() -> None:
    lists = steps()
    earlier, later = lists.split(at_share=0.75)
    assert lists.acted is not None
    assert later.acted is not None
    assert later.acted.items.tolist() == lists.acted.items[len(earlier.labels) :].tolist()
    assert later.acted.recent.tolist() == lists.acted.recent[len(earlier) :].tolist()
    assert lists.identity() == msgspec.structs.replace(lists, acted=None).identity(), "as files of before name it"


def test_the_share_is_the_one_that_orders_the_later_lists_best() -> None:
    lists, nets = steps(), PlainNets()
    made = attention_model(lists, NetOptions(), Origin(placement="home"), net(), nets, {"torch": "x"})
    assert (made.kind, made.head, made.libraries["torch"]) == ("attention", None, "x")
    assert made.metrics["share"] in SHARES
    _, later = lists.split(at_share=0.9)
    figure = mean(ndcg(later.labels, scores_of(made, later, nets), later.groups, k=10))
    assert figure == pytest.approx(made.metrics["ndcg_10"])
    assert figure > 0.9
    for share in SHARES:
        other = msgspec.structs.replace(
            made, body=msgspec.structs.replace(made.body, share=share))  # type: ignore[type-var]
        assert mean(ndcg(later.labels, scores_of(other, later, nets), later.groups, k=10)) <= figure + 1e-12


def test_the_same_examples_give_the_same_file() -> None:
    made = [encode(attention_model(steps(), NetOptions(), Origin(), net(), PlainNets(), {})) for _ in range(2)]
    assert made[0] == made[1]


def test_lists_are_scored_as_they_are_served() -> None:
    lists, nets = steps(lists=20), PlainNets()
    made = attention_model(lists, NetOptions(), Origin(), net(), nets, {})
    columns = (Column("item.a"), Column("item.b", unbounded=True))
    served = AttentionRanker(columns, made, "v", nets)
    acted, scores = lists.acted, scores_of(made, lists, nets)
    assert acted is not None
    for place in range(len(lists)):
        rows = slice(int(lists.groups[place]), int(lists.groups[place + 1]))
        recent = acted.recent[place][acted.recent[place] >= 0]
        told = served.told(Listed(recent, acted.items[rows], dict(enumerate(ITEMS)).get, 20.0))
        alone = served.after(told).score(lists.matrix[rows], columns)
        assert alone.tolist() == scores[rows].tolist()


def test_where_nobody_wrote_down_which_items_they_are_nothing_is_told() -> None:
    lists, nets = steps(), PlainNets()
    made = attention_model(lists, NetOptions(), Origin(), net(), nets, {})
    bare = msgspec.structs.replace(lists, acted=None)
    assert scores_of(made, bare, nets).tolist() != scores_of(made, lists, nets).tolist()
    with pytest.raises(RequestRejected, match="sequences"):
        later_from_ms(bare, NetOptions())
    with pytest.raises(RequestRejected, match="sequences"):
        later_from_ms(msgspec.structs.replace(lists, head=None), NetOptions())
    assert later_from_ms(lists, NetOptions()) == 180_000


@pytest.mark.parametrize("chosen", [
    {"epochs": 0}, {"width": 7}, {"width": 9}, {"dropout": 1.0}, {"learning_rate": 0.0}, {"later_share": 1.0},
    {"seed": -1},
])  # fmt: skip
def test_options_that_cannot_be_done_are_refused(chosen: dict[str, float]) -> None:
    with pytest.raises(RequestRejected):
        NetOptions(**chosen)  # type: ignore[arg-type]
