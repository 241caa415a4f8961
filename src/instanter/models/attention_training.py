"""Self-attention models made of examples and of a net that was learned elsewhere: how much the net moves the order."""

from __future__ import annotations

from itertools import pairwise
from typing import Final, Literal

import msgspec
import numpy as np

from ..features.assemble import Column
from ..foundation.errors import RequestRejected
from ..state.compiled import Reals
from .artefact import Artefact
from .attention import Nets, centred
from .bodies import Attention, LinearWeights
from .dataset import Dataset
from .evaluate import mean, ndcg
from .linear import LinearRanker
from .trained import check_scores, scored_by_list, told_by_list
from .training import Origin, artefact_of, metrics_of

SHARES: Final = (0.03, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Times what the net tells is added to the linear score; one is chosen on the later lists."""
_CHOSEN_AT: Final = 10


class NetOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a net is learned. `RequestRejected` for what cannot be done."""

    kind: Literal["attention"] = "attention"
    position: Literal["input"] = "input"
    epochs: int = 20
    """How often each piece of a path is learned from, where that is no more than `NET_STEPS_MAX` steps."""
    width: int = 64
    """Numbers that stand for an item."""
    dropout: float = 0.2
    learning_rate: float = 0.001
    later_share: float = 0.1
    """Of the lists, the newest: the net has not learned from them, how much it moves the order is chosen by them, and
    they give the metrics."""
    seed: int = 0

    def __post_init__(self) -> None:
        bounds: tuple[tuple[str, float, float, float], ...] = (
            ("epochs", self.epochs, 1, 200), ("width", self.width, 8, 128), ("dropout", self.dropout, 0.0, 0.9),
            ("learning_rate", self.learning_rate, 1e-5, 0.1), ("later_share", self.later_share, 0.01, 0.9),
            ("seed", self.seed, 0, 2**31 - 1),
        )  # fmt: skip
        for name, value, least, most in bounds:
            if not least <= value <= most:
                raise RequestRejected("bad_option", f"{name} is from {least:g} to {most:g}, not {value:g}")
        if self.width % 2:
            raise RequestRejected("bad_option", "width is a multiple of 2")


def later_from_ms(dataset: Dataset, options: NetOptions) -> int:
    """From when on the net may know nothing. `RequestRejected` where the examples say too little for a net."""
    if dataset.acted is None or dataset.head is None or not dataset.head.weights:
        raise RequestRejected(
            "no_examples", "a net learns what people did one after another: that needs a feature that keeps sequences, "
            "and examples of what people did next")  # fmt: skip
    return int(dataset.split(at_share=1.0 - options.later_share)[1].at_ms[0])


def attention_model(
    dataset: Dataset, options: NetOptions, origin: Origin, net: Attention, nets: Nets, libraries: dict[str, str]
) -> Artefact:
    """The model of a net: with the built-in weights of the examples and the share that orders the later lists best."""
    _, later = dataset.split(at_share=1.0 - options.later_share)
    if not later.labels.any():
        raise RequestRejected("no_examples", "there is no reward in the later lists")
    assert dataset.head is not None
    weights = dict(dataset.head.weights)
    columns = tuple(Column(name, name in dataset.unbounded) for name in dataset.columns)
    linear = LinearWeights(
        np.array([weights.get(name, 0.0) for name in dataset.columns]),
        np.array([column.unbounded for column in columns], np.uint8),
    )
    scores = scored_by_list(LinearRanker(columns, weights), columns, later)
    moves = _moves(net, later, nets)
    figures = [mean(ndcg(later.labels, scores + share * moves, later.groups, k=_CHOSEN_AT)) for share in SHARES]
    share = SHARES[int(np.argmax(figures))]
    model = msgspec.structs.replace(net, linear=linear, share=share)
    artefact = artefact_of(model, dataset, options, origin)
    artefact = msgspec.structs.replace(
        artefact, libraries=artefact.libraries | libraries,
        metrics={"share": share, "items": float(len(net.items))} | metrics_of(artefact, later, nets),
    )  # fmt: skip
    check_scores(artefact)
    return artefact


def _moves(net: Attention, lists: Dataset, nets: Nets) -> Reals:
    """What a net moves each row by, before the share."""
    told = told_by_list(net, lists, nets)
    return np.concatenate([centred(told[first:last]) for first, last in pairwise(lists.groups.tolist())])
