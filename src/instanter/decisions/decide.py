"""The one decision path: context, candidates, eligibility, features, score, arrange, policy, receipt.

Synchronous, and a function of its arguments alone: the same state, request, times and id give the same answer.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import msgspec
import numpy as np

from ..features.assemble import Assembler, Candidates, Matrix
from ..features.declaration import FeatureDeclaration
from ..features.neighbours import Neighbourhood, Neighbours
from ..features.view import Person, Reader
from ..foundation.deadline import Deadline
from ..foundation.errors import RequestRejected
from ..foundation.ids import item_reference, reference
from ..foundation.measure import Meter
from ..foundation.rng import KeyedRng
from ..models.base import SourceContext
from ..models.linear import LinearRanker, default_weights
from ..models.standing import Standing, TenantLists
from ..state.compiled import Bytes, Ints, Reals
from ..state.layout import BySource, Kind, Scope
from ..state.memory import State
from ..state.schema import Schema
from .arrange import arrange
from .candidates import CALLER, Pool, found, joined, of_caller, of_rows
from .eligibility import DUPLICATE, OVER_LIMIT, Filters, bought_recently, judge, reason_of
from .explain import EXPLORED, NEW, POPULAR_NOW, Explainer
from .fallback import DEFAULT, PERSONAL, POPULAR, SESSION, StageFailed, Stages, descend
from .placement import Placement
from .policy import Draw, allowed, draw
from .receipt import (
    RECEIPT_VERSION,
    ExploredSlot,
    PlacementReceipt,
    Receipt,
    caller_part,
    encode_receipt,
    inputs_hash,
    packed,
    short_hash,
)
from .request import (
    Candidate,
    DecideReply,
    DecideRequest,
    ExcludedItem,
    PlacementReply,
    PlacementRequest,
    RankedItem,
    RankReply,
)
from .score import score as checked_scores
from .score import shown_amounts, shown_scores

EMPTY_CATALOGUE: Final = "empty_catalogue"
NOTHING_ELIGIBLE: Final = "nothing_eligible"
NO_CANDIDATES: Final = "no_candidates"

_encoder = msgspec.json.Encoder()


class Decision(msgspec.Struct, frozen=True):
    """An answer, and the receipt that goes into the log."""

    id: str
    reply: DecideReply
    receipt: bytes

    def encode(self) -> bytes:
        """The body of the reply of `POST /v1/decide`."""
        return _encoder.encode(self.reply)

    def encode_rank(self) -> bytes:
        """The body of the reply of `POST /v1/rank`: the one placement, flattened."""
        return _encoder.encode(self.flattened())

    def flattened(self) -> RankReply:
        """The reply for a decision with one placement."""
        (placement,) = self.reply.placements.values()
        own = {name: getattr(placement, name) for name in PlacementReply.__struct_fields__}
        return RankReply(
            decision_id=self.reply.decision_id, position=self.reply.position, epoch=self.reply.epoch,
            took_ms=self.reply.took_ms, degraded=self.reply.degraded, **own,
        )  # fmt: skip


class _Spot(msgspec.Struct, frozen=True):
    """A placement as configured, with its ranker."""

    placement: Placement
    ranker: LinearRanker
    exploration: float


class _Asked(msgspec.Struct, frozen=True):
    """A placement as asked for."""

    spot: _Spot
    request: PlacementRequest
    limit: int
    page: int
    """Reference of the item of the page, 0 if there is none."""

    @property
    def is_callers(self) -> bool:
        """Whether only the caller's list may be shown."""
        if self.spot.placement.kind == "rerank":
            return True
        return self.request.candidates is not None and CALLER not in self.spot.placement.sources

    @property
    def given(self) -> Sequence[str | Candidate]:
        return self.request.candidates or ()


class _Moment(msgspec.Struct, frozen=True):
    """What one decision stands on, for all its placements."""

    state: State
    tenant: str
    now_ms: int
    person: Person
    lists: TenantLists
    bought: frozenset[int]
    stages: Stages


class _Slate(msgspec.Struct, frozen=True):
    """A placement's list in the making. `order`, `scores`, `gains` and the matrix go by place among the eligible."""

    asked: _Asked
    rung: str
    model: str
    pool: Pool
    codes: Bytes
    eligible: Ints
    """Places in the pool."""
    refs: list[int]
    """References of the eligible."""
    scores: Reals
    order: list[int]
    gains: dict[int, float]
    matrix: Matrix | None = None
    reason: str = ""
    draw: Draw | None = None
    incumbent: int = 0
    allowed: int = 1

    def shown(self) -> list[int]:
        """References in the order of the list."""
        return [self.refs[place] for place in self.order]


class Decider:
    """Decides for one configuration. Holds caches, and nothing that an answer depends on."""

    def __init__(
        self, schema: Schema, declarations: Sequence[FeatureDeclaration], placements: Sequence[Placement], *,
        weights: Mapping[str, float] | None = None, exploration: float = 0.05, config_hash: str = "",
    ) -> None:  # fmt: skip
        """`weights` differ from the built-in ones, by name; raises `ConfigRejected` for one that has no input."""
        self.reader = Reader(schema, declarations)
        self.assembler = Assembler(schema, declarations, self.reader)
        self._neighbourhood = Neighbourhood(schema)
        self._standing = Standing(schema.layout, self.assembler)
        self._explainer = Explainer(self.assembler.columns, self.reader.lists, schema.attributes)
        self._config_hash = config_hash
        self._features_hash = hashlib.blake2b(repr(schema.declared()).encode(), digest_size=8).hexdigest()
        self._spots = {
            placement.id: _Spot(
                placement,
                self._ranker(placement, weights or {}),
                exploration if placement.exploration is None else placement.exploration,
            )
            for placement in placements
        }
        looked_at = [spec for spec in self.reader.lists if spec.kind is Kind.LAST_K and spec.by is BySource.ITEM]
        self._looked_at = tuple(
            spec.name for scope in (Scope.SESSION, Scope.PROFILE) for spec in looked_at if spec.scope is scope
        )

    def _ranker(self, placement: Placement, weights: Mapping[str, float]) -> LinearRanker:
        """The built-in weights, then the configuration's, then the placement's own."""
        columns, lists = self.assembler.columns, self.reader.lists
        built_in = default_weights(columns, lists, reorders=placement.kind == "rerank")
        return LinearRanker(columns, {**built_in, **weights, **placement.weights})

    def admit(self, request: DecideRequest) -> None:
        """Raise `RequestRejected` if the request names a placement that there is not, or one twice."""
        seen: set[str] = set()
        for placement in request.placements:
            if placement.id not in self._spots:
                close = difflib.get_close_matches(placement.id, self._spots, n=1)
                hint = f'did you mean "{close[0]}"?' if close else "there are " + ", ".join(self._spots)
                raise RequestRejected("unknown_placement", f'there is no placement "{placement.id}" ({hint})')
            if placement.id in seen:
                raise RequestRejected("duplicate_placement", f'placement "{placement.id}" is asked for twice')
            seen.add(placement.id)

    def decide(
        self, request: DecideRequest, *, state: State, keys: Sequence[int], tenant: str, now_ms: int, position: int,
        decision_id: str, deadline: Deadline, meter: Meter, denied: frozenset[str] = frozenset(),
    ) -> Decision:  # fmt: skip
        """Answer. Raises what `admit` raises and nothing else; `keys` are the person's cells, none for nobody.

        Features kept for a purpose in `denied` are left out.
        """
        self.admit(request)
        stages = Stages(deadline, meter)
        moment = self._look(state, keys, tenant, now_ms, stages, denied)
        slates: list[_Slate] = []
        shown: set[int] = set()
        for asked in map(partial(self._asked, tenant), request.placements):
            slate = self._serve(moment, asked, shown)
            slates.append(slate)
            shown.update(slate.shown())
        slates = self._explore(slates, shown, decision_id, stages)
        receipt = stages.run("receipt", lambda: encode_receipt(
            self._receipt(request, moment, slates, keys=keys, position=position, decision_id=decision_id)
        ))  # fmt: skip
        replies = {
            slate.asked.request.id: self._reply(slate, moment, explain=request.explain) for slate in slates
        }
        stages.report()
        reply = DecideReply(
            decision_id=decision_id, position=str(position), epoch=state.epoch, took_ms=round(deadline.elapsed_ms(), 3),
            degraded=stages.degraded, placements=replies,
        )  # fmt: skip
        return Decision(decision_id, reply, receipt)

    # Context.

    def _asked(self, tenant: str, request: PlacementRequest) -> _Asked:
        spot = self._spots[request.id]
        page = item_reference(tenant, request.item) if request.item else 0
        return _Asked(spot, request, request.limit or spot.placement.limit, page)

    def _look(
        self, state: State, keys: Sequence[int], tenant: str, now_ms: int, stages: Stages, denied: frozenset[str]
    ) -> _Moment:
        try:
            person = stages.run("context", lambda: self.reader.person(state, keys, now_ms, denied))
        except StageFailed:
            person = self.reader.person(state, (), now_ms)
        lists = stages.run("context", lambda: self._standing.of(state, tenant))
        return _Moment(state, tenant, now_ms, person, lists, bought_recently(person, now_ms), stages)

    def _recent(self, person: Person, page: int) -> list[int]:
        """The page's item, then what the person looked at last: in the live session, else before."""
        recent = [page] if page else []
        for name in self._looked_at:
            refs = person.lasts[name][0].tolist()
            if refs:
                return [*recent, *(ref for ref in refs if ref != page)]
        return recent

    # The rungs.

    def _serve(self, moment: _Moment, asked: _Asked, shown: set[int]) -> _Slate:
        """The list of one placement, from the highest rung that holds."""
        filters = Filters(
            moment.bought if asked.spot.placement.kind == "items" else frozenset(),
            frozenset() if asked.spot.placement.repeats else frozenset(shown),
            asked.page,
        )
        attempts: list[Callable[[], _Slate]] = [
            partial(self._ranked, moment, asked, filters, rung) for rung in _ranked_rungs(moment, asked)
        ]
        attempts.append(partial(self._popular, moment, asked, filters))
        attempts.append(partial(self._default, moment, asked, filters))
        return descend(attempts, otherwise=self._empty(asked))

    def _ranked(self, moment: _Moment, asked: _Asked, filters: Filters, rung: str) -> _Slate:
        stages, state, ranker = moment.stages, moment.state, asked.spot.ranker
        person = self.reader.without_profile(moment.person) if rung == SESSION else moment.person
        near = stages.run("candidates", lambda: self._neighbourhood.of(state, self._recent(person, asked.page)))
        pool = stages.run("candidates", lambda: self._pool(moment, asked, person, near))
        codes, eligible = self._eligible(moment, pool, filters)
        if not len(eligible):
            return self._default(moment, asked, filters)
        candidates = pool.columns if len(eligible) == len(pool) else pool.columns.taken(eligible)
        matrix = stages.run("features", lambda: self.assembler.matrix(
            state, person, candidates, near, moment.lists.priors, moment.now_ms
        ))  # fmt: skip
        scores = stages.run("score", lambda: checked_scores(ranker, matrix, self.assembler.columns))
        arranged = stages.run("arrange", lambda: arrange(
            candidates, scores, limit=asked.limit, diversity=asked.spot.placement.diversity
        ))  # fmt: skip
        order = arranged.order.tolist()
        return _Slate(
            asked, rung, f"{ranker.name}@{ranker.version}", pool, codes, eligible, candidates.refs.tolist(), scores,
            order, dict(zip(order, arranged.gains.tolist(), strict=True)), matrix,
        )  # fmt: skip

    def _pool(self, moment: _Moment, asked: _Asked, person: Person, near: Neighbours) -> Pool:
        callers = of_caller(moment.state, moment.tenant, asked.given)
        if asked.is_callers:
            return callers
        page_row = moment.state.find_item(asked.page) if asked.page else -1
        context = SourceContext(moment.state, moment.lists, self.reader, person, near, page_row)
        finds = found(context, asked.spot.placement.sources)
        return joined(callers, finds) if asked.given else finds

    def _popular(self, moment: _Moment, asked: _Asked, filters: Filters) -> _Slate:
        """By what everybody likes; nothing of it can be cut."""
        pool = self._plain_pool(moment, asked, moment.lists.popular, POPULAR)
        rows = pool.columns.rows
        popularity = moment.lists.popularity
        known = (rows >= 0) & (rows < len(popularity))
        scores = np.zeros(len(pool))
        scores[known] = popularity[rows[known]]
        return self._plain(moment, asked, filters, pool, scores, POPULAR)

    def _default(self, moment: _Moment, asked: _Asked, filters: Filters) -> _Slate:
        """The newest, looking through the whole catalogue if need be; a caller's list in its own order."""
        slate = self._by_age(moment, asked, filters, moment.lists.newest)
        if slate.order or asked.is_callers or len(moment.lists.rows) == len(moment.lists.newest):
            return slate
        rows = moment.lists.rows
        created = moment.state.catalogue.created_ms[rows].astype(np.float64)
        return self._by_age(moment, asked, filters, rows[np.argsort(-created, kind="stable")])

    def _by_age(self, moment: _Moment, asked: _Asked, filters: Filters, rows: Ints) -> _Slate:
        pool = self._plain_pool(moment, asked, rows, "newest")
        return self._plain(moment, asked, filters, pool, 1.0 / np.arange(1.0, len(pool) + 1.0), DEFAULT)

    def _plain_pool(self, moment: _Moment, asked: _Asked, rows: Ints, source: str) -> Pool:
        def made() -> Pool:
            callers = of_caller(moment.state, moment.tenant, asked.given)
            if asked.is_callers:
                return callers
            listed = of_rows(moment.state, rows, [(source, len(rows))])
            return joined(callers, listed) if asked.given else listed

        return moment.stages.run("candidates", made, hurried=True)

    def _plain(
        self, moment: _Moment, asked: _Asked, filters: Filters, pool: Pool, scores: Reals, rung: str
    ) -> _Slate:
        codes, eligible = self._eligible(moment, pool, filters)
        kept = scores[eligible]
        order = np.argsort(-kept, kind="stable")[: asked.limit].tolist()
        reason = "" if order else self._why_empty(moment, asked, pool)
        return _Slate(
            asked, rung, rung, pool, codes, eligible, pool.columns.refs[eligible].tolist(), kept, order, {},
            reason=reason,
        )  # fmt: skip

    def _eligible(self, moment: _Moment, pool: Pool, filters: Filters) -> tuple[Bytes, Ints]:
        codes = moment.stages.run("eligibility", lambda: judge(moment.state, pool, filters))
        return codes, np.flatnonzero(codes == 0)

    def _why_empty(self, moment: _Moment, asked: _Asked, pool: Pool) -> str:
        if asked.is_callers:
            return NOTHING_ELIGIBLE if len(pool) else NO_CANDIDATES
        has_items = next(moment.state.catalogue.of_tenant(moment.tenant), None) is not None
        return NOTHING_ELIGIBLE if has_items else EMPTY_CATALOGUE

    def _empty(self, asked: _Asked) -> _Slate:
        nothing, weightless = np.zeros(0, np.int64), np.zeros(0)
        columns = Candidates(nothing, nothing, nothing, np.zeros((0, 1, 1), np.int64), np.zeros((0, 1)))
        return _Slate(
            asked, DEFAULT, DEFAULT, Pool(columns, []), np.zeros(0, np.uint8), nothing, [], weightless, [], {},
            reason=NOTHING_ELIGIBLE,
        )  # fmt: skip

    # Policy.

    def _explore(self, slates: list[_Slate], shown: set[int], decision_id: str, stages: Stages) -> list[_Slate]:
        """Draw the explored slot of each list that has one."""
        try:
            return stages.run("policy", lambda: self._drawn(slates, shown, decision_id))
        except StageFailed:
            return slates

    def _drawn(self, slates: list[_Slate], shown: set[int], decision_id: str) -> list[_Slate]:
        explores = [bool(slate.order) and slate.asked.spot.exploration > 0.0 for slate in slates]
        pools = [slate.refs if explored else [] for slate, explored in zip(slates, explores, strict=True)]
        sets = allowed(pools, shown)
        return [
            self._with_draw(slate, others, decision_id) if explored else slate
            for slate, others, explored in zip(slates, sets, explores, strict=True)
        ]

    def _with_draw(self, slate: _Slate, others: list[int], decision_id: str) -> _Slate:
        incumbent = slate.refs[slate.order[-1]]
        rng = KeyedRng(f"{decision_id}/{slate.asked.request.id}")
        drawn = draw(incumbent, others, epsilon=slate.asked.spot.exploration, rng=rng)
        order = slate.order
        if drawn.explored:
            order = [*order[:-1], slate.refs.index(drawn.ref)]
        return msgspec.structs.replace(
            slate, order=order, draw=drawn, incumbent=incumbent, allowed=len(others) + 1
        )

    # The answer.

    def _reply(self, slate: _Slate, moment: _Moment, *, explain: bool) -> PlacementReply:
        reasons = self._reasons(slate)
        raw = slate.scores[slate.order]
        scores = shown_amounts(raw) if slate.matrix is None else shown_scores(raw)
        state, pool = moment.state, slate.pool
        items = []
        last = len(slate.order)
        in_pools = slate.eligible[slate.order].tolist()
        for position, (place, in_pool, score, texts) in enumerate(
            zip(slate.order, in_pools, scores, reasons, strict=True), start=1
        ):
            drawn = slate.draw if position == last else None
            found_row = int(pool.columns.rows[in_pool]) if in_pool >= len(pool.ids) else -1
            items.append(RankedItem(
                id=pool.id_at(in_pool, state),
                position=position,
                score=score,
                propensity=drawn.propensity if drawn else 1.0,
                reasons=[EXPLORED, *texts] if drawn and drawn.explored else texts,
                fields=state.catalogue.at_row[found_row].fields if found_row >= 0 else None,
                features=self._features(slate, place) if explain else None,
                stages=_stages(slate, place) if explain else None,
            ))  # fmt: skip
        return PlacementReply(
            items=items, excluded=_excluded(slate, state, explain=explain), served_by=slate.rung, experiments=[],
            model=slate.model, reason=slate.reason, rules=_rules(slate) if explain else None,
        )  # fmt: skip

    def _features(self, slate: _Slate, place: int) -> dict[str, float] | None:
        return None if slate.matrix is None else self._explainer.features(slate.matrix[place])

    def _reasons(self, slate: _Slate) -> list[list[str]]:
        if slate.matrix is None:
            if slate.rung == POPULAR:
                return [[POPULAR_NOW] if slate.scores[place] > 0.0 else [] for place in slate.order]
            return [[] if slate.asked.is_callers else [NEW] for _ in slate.order]
        rows = slate.matrix[slate.order]
        contributions = slate.asked.spot.ranker.contributions(rows, self.assembler.columns)
        return self._explainer.reasons(rows, contributions)

    def _receipt(
        self, request: DecideRequest, moment: _Moment, slates: list[_Slate], *, keys: Sequence[int], position: int,
        decision_id: str,
    ) -> Receipt:  # fmt: skip
        state = moment.state
        return Receipt(
            RECEIPT_VERSION, decision_id, moment.tenant, moment.now_ms, position, state.epoch, state.epoch_hash,
            tuple(keys), inputs_hash(moment.person, state.epoch_hash, [slate.pool for slate in slates]),
            self._config_hash, self._features_hash, tuple(moment.stages.degraded),
            tuple(_placement_receipt(slate) for slate in slates), request.deadline_ms or 0.0,
        )  # fmt: skip


def _ranked_rungs(moment: _Moment, asked: _Asked) -> list[str]:
    """The rungs that use the ranker, the highest first."""
    rungs = [PERSONAL] if moment.person.known else []
    if moment.person.in_session or asked.page:
        rungs.append(SESSION)
    return rungs or [POPULAR if moment.lists.has_interest else DEFAULT]


def _placement_receipt(slate: _Slate) -> PlacementReceipt:
    asked, pool, drawn = slate.asked, slate.pool, slate.draw
    slot = None
    if drawn is not None and slate.allowed > 1:
        slot = ExploredSlot(
            len(slate.order), slate.incumbent, slate.allowed, asked.spot.exploration, drawn.propensity
        )
    return PlacementReceipt(
        asked.request.id, asked.limit, slate.rung, slate.model, len(pool), short_hash(packed(pool.columns.refs)),
        packed(slate.shown()), caller_part(pool), pool.fields_hash, asked.page,
        reference(asked.request.query) if asked.request.query else 0, slot,
    )  # fmt: skip


def _stages(slate: _Slate, place: int) -> dict[str, float]:
    """The score after each stage that changed it."""
    after = {"score": float(slate.scores[place])}
    if place in slate.gains:
        after["arrange"] = slate.gains[place]
    return after


def _excluded(slate: _Slate, state: State, *, explain: bool) -> list[ExcludedItem]:
    """Every id of the caller's list that is not shown; with `explain` also what was found and ruled out."""
    pool = slate.pool
    excluded = [
        ExcludedItem(id=pool.id_at(place, state), reason=reason_of(int(slate.codes[place])))
        for place in np.flatnonzero(slate.codes).tolist()
        if place < len(pool.ids) or explain
    ]
    if pool.ids:
        shown = set(slate.order)
        excluded += [
            ExcludedItem(id=pool.ids[place], reason=OVER_LIMIT)
            for i, place in enumerate(slate.eligible.tolist())
            if place < len(pool.ids) and i not in shown
        ]
    return excluded + [ExcludedItem(id=item_id, reason=DUPLICATE) for item_id in pool.duplicates]


def _rules(slate: _Slate) -> list[str]:
    """What took part: the sources with what they gave, and the filters with what they ruled out."""
    rules = [f"source {name}: {count}" for name, count in slate.pool.origins]
    codes, counts = np.unique(slate.codes[slate.codes > 0], return_counts=True)
    return rules + [
        f"filter {reason_of(code)}: {count}" for code, count in zip(codes.tolist(), counts.tolist(), strict=True)
    ]
