"""Models made of examples. Only training commands call this: it takes LightGBM, which a server never loads.

Memory: the matrix is taken as it is. Beside it LightGBM holds its bins, one byte a value, and at the beginning a sample
of at most 200,000 rows in double precision, and a row takes about 100 bytes for gradients, scores, labels and weights.
A shown position as an input is put beside the others one block at a time. The logistic model needs two blocks of rows.
Measured with 500,000 rows of 40 inputs, whose matrix has 76 MiB: 185 MiB beside it, 80 for the logistic model.

The same examples, options and library versions give the same bytes.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
import numpy as np

from ..features.assemble import Column, Matrix
from ..foundation.errors import Broken, RequestRejected
from ..foundation.limits import MODEL_INPUTS_MAX, MODEL_NODES_MAX
from ..state.compiled import Reals
from .artefact import SHOWN_POSITION, Artefact, Input, Kind, Position, Window, make_check
from .attention import NO_NETS, Nets
from .bodies import Learned, LinearWeights, Trees, Weights
from .calibration import calibration_error, fit, probabilities
from .conditional_logit import fit as fit_conditional_logit
from .dataset import Dataset, TrainingRows
from .evaluate import log_loss, mean, ndcg, reciprocal_ranks
from .logistic import fit as fit_logistic
from .trained import check_scores, row_ranker_of, scores_of
from .trees import add_up, from_lightgbm, walk_of

if TYPE_CHECKING:
    import lightgbm

    from .attention_training import NetOptions

GRADES_MAX: Final = 31
"""Levels of reward that LambdaMART tells apart."""
Progress = Callable[[str, float], None]
"""Is told what is being done and how much of it is done, from 0 to 1."""
_CHECK_ROWS: Final = 16
_BLOCK_ROWS: Final = 4_096
_NDCG_AT: Final = 10


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Whose model it is and what its examples are from; goes into the artefact as it is."""

    tenant: str = ""
    placement: str = ""
    configuration: str = ""
    made_ms: int = 0
    window: Window = Window()
    parent: str = ""
    versions: dict[str, str] = {}
    """Versions of inputs, by name."""


class TrainingOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a model is trained. `RequestRejected` for what cannot be done."""

    kind: Literal["lambdamart", "logistic", "conditional_logit"] = "lambdamart"
    trees_max: int = 200
    leaves: int = 31
    learning_rate: float = 0.05
    min_data_in_leaf: int = 50
    l2: float = 1.0
    feature_fraction: float = 0.8
    row_fraction: float = 1.0
    """Of the rows, drawn anew for every tree."""
    bins: int = 255
    """Different values of an input that trees tell apart."""
    early_stopping_rounds: int = 20
    position: Position = "input"
    """What is done about where rows were shown: nothing, an input that is 1 at serving, or LightGBM's own de-bias."""
    calibration: Literal["none", "isotonic", "platt"] = "none"
    later_share: float = 0.2
    """Of the lists, the newest: they stop the growing of trees and give the metrics. If scores are calibrated, the
    first half of them does that and the second half is measured."""
    seed: int = 0
    threads: int = 2

    def __post_init__(self) -> None:
        bounds: tuple[tuple[str, float, float, float], ...] = (
            ("trees_max", self.trees_max, 1, 5_000), ("leaves", self.leaves, 2, 1_024),
            ("learning_rate", self.learning_rate, 1e-4, 1.0), ("min_data_in_leaf", self.min_data_in_leaf, 1, 1e6),
            ("l2", self.l2, 0.0, 1e6), ("feature_fraction", self.feature_fraction, 0.01, 1.0),
            ("row_fraction", self.row_fraction, 0.01, 1.0), ("bins", self.bins, 2, 255),
            ("early_stopping_rounds", self.early_stopping_rounds, 0, 1_000),
            ("later_share", self.later_share, 0.01, 0.9), ("seed", self.seed, 0, 2**31 - 1),
            ("threads", self.threads, 1, 256),
        )  # fmt: skip
        for name, value, least, most in bounds:
            if not least <= value <= most:
                raise RequestRejected("bad_option", f"{name} is from {least:g} to {most:g}, not {value:g}")
        if self.kind == "lambdamart" and self.trees_max * (2 * self.leaves - 1) > MODEL_NODES_MAX:
            raise RequestRejected("bad_option", f"the trees may have more than {MODEL_NODES_MAX} nodes together")
        if self.kind == "logistic" and self.position == "debiased":
            raise RequestRejected("bad_option", "a logistic model has no de-bias; take the position as an input")
        if self.kind == "conditional_logit" and self.position != "input":
            raise RequestRejected("bad_option", "a conditional logit leaves the weight of a position as it is")


NEXT_ACTS_OPTIONS: Final[Mapping[str, object]] = {
    "trees_max": 120, "leaves": 15, "learning_rate": 0.1, "min_data_in_leaf": 100, "l2": 5.0, "feature_fraction": 0.6,
    "row_fraction": 0.7, "bins": 63, "early_stopping_rounds": 0, "later_share": 0.1,
}  # fmt: skip
"""What is another default where people's next acts are learned from: many short lists with one reward each, of which
trees of this number learn what there is to be learned. So no list is kept from them to say when to stop."""


def _silent(stage: str, share: float) -> None:
    return None


def train(
    dataset: Dataset, options: TrainingOptions, origin: Origin | None = None, progress: Progress = _silent
) -> Artefact:
    """Learn from the earlier lists, stop and measure on the later ones. `RequestRejected` if there is too little to
    learn from."""
    origin = origin or Origin()
    if SHOWN_POSITION in dataset.columns or not 1 <= len(dataset.columns) < MODEL_INPUTS_MAX:
        raise RequestRejected("bad_examples", f"there are 1 to {MODEL_INPUTS_MAX - 1} inputs, none {SHOWN_POSITION}")
    if dataset.head is not None and options.calibration != "none":
        raise RequestRejected("bad_option", "what people did next says nothing of how likely a reward is where shown")
    earlier, later = dataset.split(at_share=1.0 - options.later_share)
    if not earlier.labels.any() or not later.labels.any():
        raise RequestRejected("no_examples", "there is no reward in the earlier or none in the later lists")
    if options.row_fraction * len(earlier.labels) < 1.0:
        raise RequestRejected("no_examples", f"{len(earlier.labels)} rows are too few to take a part of them")
    model = _LEARN[options.kind](earlier, later, options, progress)
    progress("measure", 0.0)
    artefact = artefact_of(model, dataset, options, origin)
    if options.calibration != "none":
        fitted, later = later.split(at_share=0.5)
        calibration = fit(options.calibration, scores_of(artefact, fitted), fitted.labels, fitted.weights)
        artefact = msgspec.structs.replace(artefact, calibration=calibration)
    artefact = msgspec.structs.replace(artefact, metrics=artefact.metrics | metrics_of(artefact, later))
    check_scores(artefact)
    progress("measure", 1.0)
    return artefact


def artefact_of(
    model: Learned, dataset: Dataset, options: TrainingOptions | NetOptions, origin: Origin
) -> Artefact:
    """The model with its origin and check, not measured yet."""
    names = (*dataset.columns, *((SHOWN_POSITION,) if options.position == "fixed" else ()))
    known = _known_rows(dataset)
    artefact = Artefact(
        kind=options.kind,
        inputs=tuple(Input(name, origin.versions.get(name, "")) for name in names),
        body=model.packed(),
        check=make_check(_with_position(known, options), np.zeros(len(known))),
        tenant=origin.tenant,
        placement=origin.placement,
        made_ms=origin.made_ms,
        configuration=origin.configuration,
        dataset=dataset.identity(),
        window=origin.window,
        lists=len(dataset),
        rows=len(dataset.labels),
        metrics={"trees": float(len(model))} if isinstance(model, Trees) else {},
        libraries=_libraries(options.kind),
        parent=origin.parent,
        options=msgspec.structs.asdict(options),
        position=options.position,
        # A linear order reads every row as fast as it finds the first ones.
        head=dataset.head if options.kind in ("lambdamart", "logistic") else None,
    )
    columns = [Column(name) for name in names]
    matrix = artefact.check.unpacked(len(names))[0]
    scores = row_ranker_of(columns, artefact).raw_scores(matrix, columns)
    return msgspec.structs.replace(artefact, check=make_check(matrix, scores))


def _known_rows(dataset: Dataset) -> Matrix:
    """Rows evenly out of the examples; in the place of the first ones nothing, zeros and infinities."""
    places = np.linspace(0, len(dataset.labels) - 1, _CHECK_ROWS).astype(np.int64)
    known = dataset.matrix[places].copy()
    for place, value in enumerate((np.nan, 0.0, np.inf, -np.inf)):
        known[place] = value
    return known


def _with_position(known: Matrix, options: TrainingOptions | NetOptions) -> Matrix:
    if options.position != "fixed":
        return known
    return np.column_stack([known, np.ones(len(known), np.float32)])


def metrics_of(artefact: Artefact, later: Dataset, nets: Nets = NO_NETS) -> dict[str, float]:
    """Of lists that the model has not learned from. Probabilities are measured only where scores mean some."""
    scores = scores_of(artefact, later, nets)
    shown = -np.where(later.positions > 0, later.positions, np.iinfo(np.int32).max).astype(np.float64)
    figures = {
        "lists_measured": float(len(later)),
        f"ndcg_{_NDCG_AT}": mean(ndcg(later.labels, scores, later.groups, k=_NDCG_AT)),
        f"ndcg_{_NDCG_AT}_as_shown": mean(ndcg(later.labels, shown, later.groups, k=_NDCG_AT)),
        "mrr": mean(reciprocal_ranks(later.labels, scores, later.groups)),
    }
    if artefact.calibration is not None or artefact.kind == "logistic":
        figures |= _stated(scores, later)
    return figures


def _stated(odds: Reals, later: Dataset) -> dict[str, float]:
    return {
        "log_loss": log_loss(later.labels, odds, later.weights),
        "calibration_error": calibration_error(probabilities(odds), later.labels, later.weights),
    }


def _libraries(kind: Kind) -> dict[str, str]:
    found = {"python": platform.python_version(), "numpy": np.__version__}
    if kind == "lambdamart":
        import lightgbm

        found["lightgbm"] = lightgbm.__version__
    return found


# Logistic regression.


def _logistic(earlier: Dataset, later: Dataset, options: TrainingOptions, progress: Progress) -> Weights:
    rows = _rows(earlier, options)
    # A position has no scale of its own: the tenth place is to the first as the hundredth to the tenth.
    unbounded = [name in earlier.unbounded or name == SHOWN_POSITION for name in (*earlier.columns, SHOWN_POSITION)]
    return fit_logistic(
        rows, np.array(unbounded[: rows.columns], np.uint8), (earlier.labels > 0.0).astype(np.float64),
        earlier.weights, l2=options.l2, progress=lambda share: progress("train", share),
    )  # fmt: skip


def _rows(part: Dataset, options: TrainingOptions) -> TrainingRows:
    return TrainingRows(part.matrix, part.positions if options.position == "fixed" else None)


# Conditional logit.


def _conditional_logit(
    earlier: Dataset, later: Dataset, options: TrainingOptions, progress: Progress
) -> LinearWeights:
    """The built-in weights are those that say which rows come first, where lists are of what people did next."""
    built_in = {} if earlier.head is None else dict(earlier.head.weights)
    return fit_conditional_logit(earlier, later, built_in, lambda share: progress("train", share)).weights


# LambdaMART.


def _lambdamart(earlier: Dataset, later: Dataset, options: TrainingOptions, progress: Progress) -> Trees:
    import lightgbm

    gains, cuts = _grades(earlier.labels)
    learned = _examples(earlier, cuts, options, None)
    measured = _examples(later, cuts, options, learned)

    def told(environment: Any) -> None:
        progress("train", (environment.iteration + 1) / options.trees_max)

    callbacks: list[Callable[..., Any]] = [told]
    if options.early_stopping_rounds:
        callbacks.append(lightgbm.early_stopping(options.early_stopping_rounds, verbose=False))
    booster = lightgbm.train(
        _parameters(options, gains), learned, options.trees_max, valid_sets=[measured], callbacks=callbacks
    )
    known = _with_position(_known_rows(later), options)
    trees = from_lightgbm(booster.model_to_string(num_iteration=booster.best_iteration or -1), known.shape[1])
    walk = walk_of(trees)
    if add_up(walk, walk.slots, known).tobytes() != np.asarray(booster.predict(known, raw_score=True)).tobytes():
        raise Broken("the trees do not score as LightGBM scores")
    return trees


def _parameters(options: TrainingOptions, gains: list[float]) -> dict[str, Any]:
    return {
        "objective": "lambdarank", "metric": "ndcg", "eval_at": [_NDCG_AT], "label_gain": gains,
        "num_leaves": options.leaves, "learning_rate": options.learning_rate,
        "min_data_in_leaf": options.min_data_in_leaf, "lambda_l2": options.l2,
        "feature_fraction": options.feature_fraction, "bagging_fraction": options.row_fraction,
        "bagging_freq": int(options.row_fraction < 1.0), "seed": options.seed, "num_threads": options.threads,
        "deterministic": True, "force_row_wise": True, "verbosity": -1,
    }  # fmt: skip


def _grades(labels: Reals) -> tuple[list[float], Reals]:
    """The gain of each grade, and the least reward of each grade but the first, which is 0: LightGBM takes whole
    numbers. With more rewards than grades neighbours are put together.

    >>> gains, cuts = _grades(np.array([0.0, 5.0, 1.0, 0.0]))
    >>> gains, cuts.tolist()
    ([0.0, 1.0, 5.0], [1.0, 5.0])
    """
    rewards = labels[labels > 0.0]
    values = np.unique(rewards)
    if len(values) < GRADES_MAX:
        return [0.0, *values.tolist()], values
    cuts = np.unique(np.quantile(rewards, np.arange(GRADES_MAX - 1) / (GRADES_MAX - 1), method="lower"))
    grade = np.searchsorted(cuts, rewards, side="right") - 1
    return [0.0, *(np.bincount(grade, rewards) / np.bincount(grade)).tolist()], cuts


def _examples(
    part: Dataset, cuts: Reals, options: TrainingOptions, reference: lightgbm.Dataset | None
) -> lightgbm.Dataset:
    import lightgbm

    grades = np.searchsorted(cuts, part.labels, side="right")
    # A reward below all that were learned from is still one.
    grades[(grades == 0) & (part.labels > 0.0)] = 1
    debiased = options.position == "debiased" and reference is None
    return lightgbm.Dataset(
        _source(part, options), grades.astype(np.int32), weight=part.weights, group=np.diff(part.groups),
        position=part.positions if debiased else None, reference=reference, free_raw_data=True,
        params={
            "num_threads": options.threads, "verbosity": -1, "deterministic": True, "force_row_wise": True,
            "max_bin": options.bins,
        },
    )  # fmt: skip


def _source(part: Dataset, options: TrainingOptions) -> Any:
    """What LightGBM reads the inputs from: the matrix itself, or blocks with the position behind the others."""
    if options.position != "fixed":
        return part.matrix
    import lightgbm

    rows = _rows(part, options)

    class Blocks(lightgbm.Sequence):
        batch_size = _BLOCK_ROWS

        def __len__(self) -> int:
            return len(rows)

        def __getitem__(self, index: int | slice | list[int]) -> Reals:
            if isinstance(index, list):
                return np.stack([rows.row(one) for one in index])
            if isinstance(index, slice):
                first, last, _ = index.indices(len(rows))
                return rows.block(first, last).astype(np.float64)
            return rows.row(index)

    return Blocks()


_LEARN: Final[Mapping[Kind, Callable[[Dataset, Dataset, TrainingOptions, Progress], Learned]]] = {
    "lambdamart": _lambdamart, "logistic": _logistic, "conditional_logit": _conditional_logit
}  # fmt: skip
