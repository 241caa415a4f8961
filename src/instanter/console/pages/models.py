"""Models: who ranks for which placement, whether its probabilities hold, which were trained; putting others in charge;
online learners."""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import Response

from ...api.routing import path_id
from ..asking import path_of
from ..tables import Button, Column, Row, Table
from ..views import Page, Visit, Way
from ..words import moment, pretty

_PATH: Final = "/console/models"
_BUILT_IN: Final = "built-in ranker"
_MODELS: Final = (
    Column("placement", "Placement", "code"), Column("model", "In charge", "code"),
    Column("standIn", "Stand-in", "code"), Column("since", "Since", "moment"), Column("reason", "Why"),
    Column("scoreKind", "Scores are"), Column("error", "Calibration error", "percent"),
    Column("holds", "Probabilities hold", "badge"), Column("missing", "Cannot be loaded"),
)  # fmt: skip
_LEARNERS: Final = (
    Column("placement", "Placement", "code"), Column("lessons", "Lessons", "number"),
    Column("scoreWeight", "Weight of the score", "number"), Column("state", "State", "badge"),
    Column("strongest", "Strongest inputs"),
)  # fmt: skip
_TRAINED: Final = (
    Column("model", "Model", "code"), Column("placement", "For", "code"), Column("trainedAt", "Trained", "moment"),
    Column("now", "Now"), Column("verdict", "The gate said"), Column("ndcg", "NDCG@10", "number"),
    Column("asShown", "As shown", "number"), Column("ece", "Calibration error", "percent"),
    Column("lists", "Lists", "number"), Column("seen", "Learned from"), Column("size", "Size", "size"),
)  # fmt: skip
_STRONGEST: Final = 3


async def show(visit: Visit) -> Response:
    """Both tables, and how the probabilities of each model hold."""
    models = (await visit.ask.get("/v1/models"))["models"]
    learners = (await visit.ask.get("/v1/learners"))["learners"]
    told = await visit.ask.get("/v1/trained-models")
    trained = told["models"]
    acts = visit.may("models:write")
    calibrated = [model for model in models if model["calibration"]]
    return visit.tables(
        "models.html",
        Table(title="Models in charge", columns=_MODELS, rows=[_model_row(model, acts) for model in models],
              empty="No placement has a model: the built-in ranker orders all lists."),
        Table(title="Trained models", name="trained", columns=_TRAINED,
              rows=[_trained_row(model, acts) for model in trained],
              empty="No model was trained yet: the server trains by itself, and instanter train does."),
        Table(title="Online learners", name="learners", columns=_LEARNERS,
              rows=[_learner_row(learner, acts) for learner in learners],
              empty="No placement declares a learner."),
        calibrated=calibrated, kept=[one for one in trained if one["kept"] and not one["damage"]],
        placements=told["placements"],
    )  # fmt: skip


async def place(visit: Visit) -> Response:
    """Put a model in charge."""
    placement, model = visit.form.text("placement"), visit.form.text("model")
    body = {"model": model, "keepStandIn": visit.form.ticked("keep")}
    told = await visit.ask.send("PUT", path_of("v1", "models", placement), body)
    return visit.done(f"{told['model']} ranks {placement} now; {told['standIn'] or _BUILT_IN} stands in.")


async def roll_back(visit: Visit) -> Response:
    """Let the stand-in take over."""
    placement = path_id(visit.request)
    told = await visit.ask.send("DELETE", path_of("v1", "models", placement))
    return visit.done(f"{told['model'] or _BUILT_IN} ranks {placement} now.")


async def turn(visit: Visit) -> Response:
    """Freeze, thaw or reset a learner."""
    placement = path_id(visit.request)
    told = await visit.ask.send("PUT", path_of("v1", "learners", placement), {"act": visit.form.text("act")})
    state = "is frozen" if told["frozen"] else "learns"
    return visit.done(f"The learner of {placement} {state}; it has had {told['lessons']:,} lessons.")


def _model_row(model: dict[str, Any], acts: bool) -> Row:
    watched = model["calibration"]
    cells = {
        **model, "model": model["model"] or _BUILT_IN, "standIn": model["standIn"] or _BUILT_IN,
        "error": watched["error"] if watched else None, "missing": "; ".join(model["missing"]),
        "holds": None if watched is None else "holds" if watched["holds"] else "no",
    }  # fmt: skip
    ask = f"Let {cells['standIn']} rank {model['placement']}?"
    back = Button("Roll back", f"{_PATH}{path_of(model['placement'])}/back", confirm=ask, is_grave=True)
    return Row(cells, buttons=(back,) if acts and model["model"] else ())


def _trained_row(model: dict[str, Any], acts: bool) -> Row:
    metrics, verdict = model["metrics"], model["verdict"]
    cells = {
        **model, "now": _now(model), "verdict": None if verdict is None else _said(verdict),
        "ndcg": metrics.get("ndcg_10"), "asShown": metrics.get("ndcg_10_as_shown"),
        "ece": metrics.get("calibration_error"), "size": model["sizeBytes"] if model["kept"] else None,
        "seen": f"{moment(model['seenFrom'])} to {moment(model['seenUntil'])}" if model["seenUntil"] else None,
    }  # fmt: skip
    usable = model["kept"] and not model["damage"] and model["placement"] not in model["inChargeOf"]
    ask = f"Let {model['model']} rank {model['placement']}?"
    here = Button("Put in charge", _PATH, {"placement": model["placement"], "model": model["model"]}, ask)
    return Row(cells, buttons=(here,) if acts and usable and model["placement"] else (), more=pretty(model))


def _now(model: dict[str, Any]) -> str:
    """Where a model ranks.

    >>> _now({"kept": True, "damage": "", "inChargeOf": ["search"], "standsInFor": [], "tookOver": True})
    'ranks search'
    """
    if model["damage"]:
        return f"damaged: {model['damage']}"
    ranks = [f"ranks {', '.join(model['inChargeOf'])}"] if model["inChargeOf"] else []
    if model["standsInFor"]:
        ranks.append(f"stands in for {', '.join(model['standsInFor'])}")
    was = "ranked once" if model["tookOver"] else "never took over"
    return "; ".join(ranks) or (was if model["kept"] else f"{was}, not kept any more")


def _said(verdict: dict[str, Any]) -> str:
    """What the gate said, in a sentence.

    >>> _said({"passes": False, "why": "worse than popular", "lists": 60, "difference": -0.01, "low": -0.02, "high": 0})
    'no: worse than popular (-0.0100, between -0.0200 and +0.0000, over 60 lists)'
    """
    figures = f"{verdict['difference']:+.4f}, between {verdict['low']:+.4f} and {verdict['high']:+.4f}"
    return f"{'yes' if verdict['passes'] else 'no'}: {verdict['why']} ({figures}, over {verdict['lists']:,} lists)"


def _learner_row(learner: dict[str, Any], acts: bool) -> Row:
    strongest = sorted(learner["weights"].items(), key=lambda one: -abs(one[1]))[:_STRONGEST]
    cells = {
        **learner, "state": "frozen" if learner["frozen"] else "learns",
        "strongest": ", ".join(f"{name} {weight:+.3g}" for name, weight in strongest if weight),
    }  # fmt: skip
    path = f"{_PATH}{path_of(learner['placement'])}/learner"
    switch = ("thaw", "Thaw") if learner["frozen"] else ("freeze", "Freeze")
    ask = f"Let the learner of {learner['placement']} forget all it has learned?"
    buttons = (Button(switch[1], path, {"act": switch[0]}), Button("Reset", path, {"act": "reset"}, ask, True))
    return Row(cells, buttons=buttons if acts else ())


PAGE: Final = Page(
    title="Models", path=_PATH, group="Shop", scope="models:read", show=show,
    ways=(Way("POST", "", place), Way("POST", "/{id}/back", roll_back), Way("POST", "/{id}/learner", turn)),
)  # fmt: skip
