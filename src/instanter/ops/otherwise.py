"""One decision beside what it would have been: another ranker, another person, another list, at the same moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from ..api.whatif import BUILT_IN_MODEL, ItemBeside, ListBeside, ListSide, WhatIfReply, WhatIfRequest
from ..decisions.decide import Decider
from ..decisions.receipt import Receipt
from ..decisions.slate import Slate
from ..decisions.why import TITLE, PlacementExplained, PlacementWhy
from ..engine.anew import Anew
from ..engine.configuration import Configuration
from ..engine.models import StoredModels
from ..engine.replay import Again, Made
from ..events.bodies import meant_of
from ..foundation.clock import elapsed_ns
from ..foundation.errors import ConfigRejected, RequestRejected
from ..foundation.limits import EXPLAINED_ITEMS_MAX
from ..state.memory import State
from .attention.running import NetsHere
from .reading import Reading
from .whatif import Trial, rankers_tried

_OF_PLACEMENTS = ("diversity", "exploration", "repeats", "seen_before")


def decided_otherwise(read: Reading, made: Made, tried: WhatIfRequest) -> WhatIfReply:
    """A decision made again as it was and as it is tried, on the one state that it was made on.

    Hard filters, the catalogue and what had happened are as they were: of those nothing can be tried. Raises as
    `Replay.decision` does, and `RequestRejected` for a placement, a model, a weight or a purpose that there is not.
    """
    began_ns = elapsed_ns()
    configuration = read.configurations.get(made.receipt.config_hash)
    _check_names(tried, made.receipt, configuration)
    before = read.replay.decision(made)
    decider, past = read.replay.footing(made.receipt.config_hash)
    try:
        anew = Anew(_configured(configuration, tried), past, StoredModels(read.models, NetsHere()))
    except ConfigRejected as error:
        raise RequestRejected("unknown_input", str(error)) from None
    ranker = anew.ranker(tried.model) if tried.model not in ("", BUILT_IN_MODEL) else None
    trial = Trial(None, tried.model, tried.placement, tried.weights)
    after = anew.decide(
        made._replace(receipt=_asked(made.receipt, tried)), rankers_tried(trial, made, anew, ranker)
    )
    state = before.partition.state
    return WhatIfReply(
        decision_id=made.receipt.decision_id, identical=before.identical, differences=before.differences, tried=tried,
        placements=_beside(_Side(decider, before, state), _Side(anew.decider, after, state)),
        folded_events=read.replay.folded, took_ms=round((elapsed_ns() - began_ns) / 1e6, 3),
    )  # fmt: skip


def _check_names(tried: WhatIfRequest, receipt: Receipt, configuration: Configuration) -> None:
    lists = [one.id for one in receipt.placements]
    if tried.placement and tried.placement not in lists:
        raise RequestRejected(
            "unknown_placement", f'the decision has no list "{tried.placement}"{meant_of(tried.placement, lists)}')
    purposes = sorted({feature.purpose for feature in configuration.features if feature.purpose})
    for purpose in tried.refused:
        if purpose not in purposes:
            known = f"features are kept for {', '.join(purposes)}" if purposes else "no feature is kept for a purpose"
            raise RequestRejected("unknown_purpose", f'no feature is kept for "{purpose}": {known}')


def _configured(configuration: Configuration, tried: WhatIfRequest) -> Configuration:
    """The configuration as it is tried."""
    replace = msgspec.structs.replace
    placed = {name: value for name in _OF_PLACEMENTS if (value := getattr(tried, name)) is not None}
    return replace(configuration, placements=tuple(
        replace(placement, weights={**placement.weights, **tried.weights}, **placed)
        if tried.placement in ("", placement.id) else placement
        for placement in configuration.placements
    ))  # fmt: skip


def _asked(receipt: Receipt, tried: WhatIfRequest) -> Receipt:
    """The receipt as if that had been asked, about such a person."""
    replace = msgspec.structs.replace
    return replace(
        receipt, keys=() if tried.as_nobody else receipt.keys,
        denied=tuple(sorted({*receipt.denied, *tried.refused})), degraded=(),
        placements=tuple(
            replace(one, limit=tried.limit) if tried.limit and tried.placement in ("", one.id) else one
            for one in receipt.placements
        ),
    )  # fmt: skip


class _Side(NamedTuple):
    """One of the two decisions."""

    decider: Decider
    again: Again
    state: State

    def explained(self) -> dict[str, PlacementExplained]:
        return self.decider.explained(self.again.made.receipt, self.again.slates, state=self.state)

    def why(self, item: str) -> dict[str, PlacementWhy]:
        return self.decider.why(self.again.made.receipt, self.again.slates, item, state=self.state)


def _beside(before: _Side, after: _Side) -> dict[str, ListBeside]:
    told = (before.explained(), after.explained())
    whys: tuple[dict[str, dict[str, PlacementWhy]], ...] = ({}, {})
    found: dict[str, ListBeside] = {}
    for slates in zip(before.again.slates, after.again.slates, strict=True):
        name = slates[0].asked.id
        shown = [_ids(slate, before.state) for slate in slates]
        rows = dict.fromkeys([*shown[1][:EXPLAINED_ITEMS_MAX], *shown[0][:EXPLAINED_ITEMS_MAX]])
        items = []
        for item in rows:
            for ids, side, kept in zip(shown, (before, after), whys, strict=True):
                if item not in ids and item not in kept:
                    kept[item] = side.why(item)
            lists = [one[name] for one in told]
            left = [None if item in ids else kept[item][name] for ids, kept in zip(shown, whys, strict=True)]
            items.append(_item(item, shown, lists, left))
        found[name] = ListBeside(
            before=_side(told[0][name]), after=_side(told[1][name]), changed=shown[0] != shown[1], items=items
        )
    return found


def _item(
    item: str, shown: Sequence[Sequence[str]], lists: Sequence[PlacementExplained],
    absent: Sequence[PlacementWhy | None],
) -> ItemBeside:  # fmt: skip
    """An item: in each of the two lists either shown or not, and then `absent` says why."""
    places = [ids.index(item) + 1 if item in ids else None for ids in shown]
    rows = [next((row for row in one.items if row.id == item), None) for one in lists]
    scores = [
        row.score if row is not None else why.score if why is not None else None
        for row, why in zip(rows, absent, strict=True)
    ]
    title = next((row.fields[TITLE] for row in rows if row is not None and row.fields), None)
    gone = absent[1]
    return ItemBeside(
        id=item, title=title, before=places[0], after=places[1], score_before=scores[0], score_after=scores[1],
        outcome="shown" if gone is None else gone.outcome, why=next((one.why for one in absent if one is not None), ""),
    )  # fmt: skip


def _ids(slate: Slate, state: State) -> list[str]:
    return [slate.pool.id_at(int(slate.eligible[place]), state) for place in slate.order]


def _side(told: PlacementExplained) -> ListSide:
    return ListSide(
        served_by=told.served_by, model=told.model, score_kind=told.score_kind, candidates=told.candidates,
        eligible=told.eligible, places=told.places,
    )  # fmt: skip
