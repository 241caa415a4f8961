"""The one decision path: context, candidates, eligibility, features, score, arrange, policy, receipt.

Synchronous, and a function of its arguments alone: the same state, request, times, rankers and id give the same
answer. So a decision that was made is made again from its receipt, by the same stages.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial, reduce
from typing import Final, NamedTuple

import msgspec
import numpy as np

from ..events.envelope import Decided, Lesson
from ..events.subjects import NOBODY
from ..features.assemble import (
    BESIDE,
    EVIDENCE,
    ONE_SESSION,
    RULES_NOW,
    WHAT_IS_COMMON,
    WHAT_IS_PROVEN,
    Assembler,
    Matrix,
)
from ..features.beside import Told
from ..features.declaration import FeatureDeclaration
from ..features.neighbours import Neighbourhood
from ..features.next_items import NO_STEPS, Ahead, NextItems, live_steps
from ..features.together import GoesWith, Together
from ..features.view import Person, Reader
from ..foundation.clock import elapsed_ns
from ..foundation.deadline import Deadline
from ..foundation.errors import REFERENCE_TAKEN, Broken, ReferenceTaken, RequestRejected, Unavailable
from ..foundation.limits import (
    CALIBRATION_ITEMS_MAX,
    LESSON_ITEMS_MAX,
    NEW_ITEMS_DRAWN_MAX,
    RANKER_MS_MAX,
    REQUEST_WARNINGS_MAX,
    SEEN_STEPS_MAX,
)
from ..foundation.measure import Meter, NoMeter
from ..foundation.rng import KeyedRng
from ..log.frames import LogPosition
from ..models.attention import Listed, ReadsSteps
from ..models.base import Ranker, SourceContext
from ..models.bodies import Logits
from ..models.in_common import Commons
from ..models.item_words import read_query
from ..models.linear import LinearRanker, default_weights, goes_with_weights
from ..models.lineup import Fault, NoRankers, Rankers
from ..models.online import LearnedWeights, LessonInputs, NothingLearned, Taught
from ..models.sources import BOUGHT_WITH, VECTORS
from ..models.standing import Standing
from ..models.transitions import Transitions
from ..models.vectors import Vectors
from ..models.words import Words
from ..state.catalogue import Catalogue
from ..state.compiled import Ints, Reals
from ..state.layout import Scope
from ..state.memory import State
from ..state.program import FOLDING
from ..state.recent import Steps
from ..state.schema import Schema
from .answer import Answers, placement_receipt, query_hash
from .arrange import arrange, in_tiers
from .candidates import NEW_ITEMS, STOCK, Given, Pool, found, given_by, joined, of_caller, of_rows
from .completing import asked_for, completed, told_of_items
from .eligibility import Filters, beside_the_best, best_of_groups, bought_recently, count_seen, groups_of
from .enclosed import enclose, given_again, query_again, told_again
from .explain import Explainer
from .fallback import DEFAULT, PERSONAL, POPULAR, RANKER_FAILURES, SESSION, StageFailed, Stages, descend
from .placement import Placement
from .plain import NOTHING_MATCHED, default, eligible, empty, popular, told_of
from .policy import Draw, allowed, draw, draw_new
from .receipt import RECEIPT_VERSION, PlacementReceipt, Receipt, encode_receipt, inputs_hash
from .request import (
    CompleteReply,
    CompleteRequest,
    DecideReply,
    DecideRequest,
    PlacementReply,
    PlacementRequest,
    RankReply,
    Warned,
    id_text,
)
from .score import score as checked_scores
from .score import shown_scores
from .searching import popular_instead, searched
from .slate import Asked, Inputs, Moment, Slate, Spot
from .why import AskedItem, Beside, PlacementExplained, PlacementWhy, Reasons, explained

_encoder = msgspec.json.Encoder()
_BUILT_IN: Final = NoRankers()
_NOTHING_LEARNED: Final = NothingLearned()
DAY_MS: Final = 86_400_000
UNHURRIED_MS: Final = 86_400_000.0
"""The deadline of a decision that nobody waits for."""


class Promised(NamedTuple):
    """What a list says of its items, where its scores are probabilities of a reward: from the top, as shown."""

    placement: str
    model: str
    items: tuple[int, ...]
    """References."""
    chances: tuple[float, ...]


class Decision(msgspec.Struct, frozen=True):
    """An answer, and the receipt that goes into the log."""

    id: str
    reply: DecideReply
    made: Receipt
    """What it stood on: the same for the same question, so it does not say yet how long it took."""
    enclosed: bytes = b""
    """What lies beside the receipt, see `enclosed`."""
    faults: tuple[Fault, ...] = ()
    """Rankers that did not do their work."""
    lessons: tuple[Lesson, ...] = ()
    """What online learners read of the items shown."""
    promised: tuple[Promised, ...] = ()

    def warned(self, first: Sequence[Warned] = (), last: Sequence[Warned] = ()) -> Decision:
        """The same with more to be told of the question, before and behind what is told already."""
        told = [*first, *self.reply.warnings, *last][:REQUEST_WARNINGS_MAX]
        return msgspec.structs.replace(self, reply=msgspec.structs.replace(self.reply, warnings=told))

    def record(self, tenant: str, cell: int, at_ms: int, lessons: tuple[Lesson, ...]) -> Decided:
        """As it goes into the log once the receipt, and what lies beside it, is sealed; `cell` 0 is nobody."""
        receipt = encode_receipt(msgspec.structs.replace(self.made, took_ms=self.reply.took_ms))
        return Decided(at_ms, tenant, cell, self.id, receipt, cell or NOBODY, self.enclosed, lessons)

    @property
    def receipt(self) -> bytes:
        """`made` as bytes."""
        return encode_receipt(self.made)

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
            took_ms=self.reply.took_ms, degraded=self.reply.degraded, warnings=self.reply.warnings, **own,
        )  # fmt: skip


class Scorers(NamedTuple):
    """Who scores, beside the rankers that come with the configuration."""

    rankers: Rankers
    learned: LearnedWeights


class Scored(NamedTuple):
    """Scores of the eligible candidates, and whose they are."""

    ranker: Ranker
    scores: Reals
    lesson: Matrix | None = None
    learned: int = -1
    told: Logits | None = None
    """What a net told of all of them."""

    def of(self, places: Ints) -> Scored:
        """Those of some of the candidates."""
        lesson = None if self.lesson is None else self.lesson[places]
        return Scored(self.ranker, self.scores[places], lesson, self.learned, self.told)


_NO_GROUPS: Final[Ints] = np.zeros(0, np.int64)


class Decider:
    """Decides for one configuration. Holds caches, and nothing that an answer depends on."""

    def __init__(
        self, schema: Schema, declarations: Sequence[FeatureDeclaration], placements: Sequence[Placement], *,
        weights: Mapping[str, float] | None = None, exploration: float = 0.05, config_hash: str = "",
        rules: int = RULES_NOW,
    ) -> None:  # fmt: skip
        """`weights` differ from the built-in ones, by name; raises `ConfigRejected` for one that has no input.
        `rules` are those that inputs are made by, see `assemble.EVIDENCE`."""
        self.rules = rules
        self.reader = Reader(schema, declarations, sessions_together=rules >= ONE_SESSION)
        self.assembler = Assembler(schema, declarations, self.reader, rules)
        carriers = self.assembler.carriers
        self._purchases = carriers.get("purchases")
        self._neighbourhood = Neighbourhood(schema, carriers)
        self._next_items = NextItems(schema, carriers) if rules >= BESIDE else None
        self._goes_with = GoesWith(schema, carriers) if rules >= BESIDE else None
        self._commons = Commons()
        self._transitions = (
            Transitions(schema, carriers, proves=rules >= WHAT_IS_PROVEN) if rules >= WHAT_IS_COMMON else None
        )
        self._cart = carriers.get("cart")
        self._standing = Standing(schema.layout, self.assembler)
        self._words = Words()
        self._vectors = Vectors()
        self._reads_vectors = any(VECTORS in placement.sources for placement in placements)
        explainer = Explainer(
            self.assembler.columns, self.reader.lists, schema.attributes,
            {placed.spec.name: placed.spec.purpose for placed in schema.layout.features}, carriers,
        )  # fmt: skip
        self._answers = Answers(explainer, self.assembler.columns, carriers)
        self._reasons = Reasons(explainer, self.assembler.columns)
        self.config_hash = config_hash
        self._features_hash = hashlib.blake2b(repr(schema.declared()).encode(), digest_size=8).hexdigest()
        self._numbers = schema.numbers
        self._fields = frozenset((*schema.numbers, *schema.attributes, STOCK))
        self._spots = {
            placement.id: Spot(
                placement,
                self._ranker(placement, weights or {}),
                exploration if placement.exploration is None else placement.exploration,
                self._lesson(placement),
            )
            for placement in placements
        }
        looked_at = [spec for spec in self.reader.lists if spec.is_history]
        self._looked_at = tuple(
            spec.name for scope in (Scope.SESSION, Scope.PROFILE) for spec in looked_at if spec.scope is scope
        )

    def _ranker(self, placement: Placement, weights: Mapping[str, float]) -> LinearRanker:
        """The built-in weights, then the configuration's, then the placement's own."""
        columns, lists, carriers = self.assembler.columns, self.reader.lists, self.assembler.carriers
        if placement.goal == "goes_with":
            built_in = goes_with_weights(columns, carriers)
        else:
            built_in = default_weights(
                columns, lists, carriers, reorders=placement.kind == "rerank",
                about_item=placement.needs_item and self.rules >= BESIDE, rules=self.rules,
            )  # fmt: skip
        return LinearRanker(columns, {**built_in, **weights, **placement.weights}, rules=self.rules)

    def _lesson(self, placement: Placement) -> LessonInputs | None:
        return None if placement.learner is None else LessonInputs(self.assembler.columns, placement.learner.inputs)

    @property
    def placements(self) -> tuple[Placement, ...]:
        """What can be asked for."""
        return tuple(spot.placement for spot in self._spots.values())

    @property
    def looks(self) -> int:
        """How often all items of a tenant have been looked at."""
        return self._standing.looks

    def follow(self, state: State) -> None:
        """Keep what holds for everybody up with the state, so that no decision has to: call it after a fold."""
        self._standing.follow(state)
        if self.rules >= BESIDE:
            self._words.follow(state)
        if self._transitions is not None:
            self._commons.follow(state)
        if self._reads_vectors:
            self._vectors.follow(state)

    def admit(self, request: DecideRequest) -> None:
        """Raise `RequestRejected` if the request names a placement that there is not, or one twice."""
        seen: set[str] = set()
        for placement in request.placements:
            self._check_placement(placement.id)
            if placement.id in seen:
                raise RequestRejected("duplicate_placement", f'placement "{placement.id}" is asked for twice')
            seen.add(placement.id)

    def find_items(self, state: State, tenant: str, query: str, limit: int) -> Sequence[int]:
        """Rows of up to `limit` available items that have words of a query, the best first. No decision: for whoever
        looks after the catalogue."""
        rows: Sequence[int] = self._words.of(state).search(tenant, read_query(query), _NO_GROUPS, limit).rows.tolist()
        return rows

    def admit_complete(self, request: CompleteRequest) -> None:
        """Raise `RequestRejected` if the request names a placement that there is not, or that does not search."""
        self._check_placement(request.placement)
        asked_for(self._spots[request.placement], request.query, request.items)

    def _check_placement(self, name: str) -> None:
        if name not in self._spots:
            close = difflib.get_close_matches(name, self._spots, n=1)
            hint = f'did you mean "{close[0]}"?' if close else "there are " + ", ".join(self._spots)
            raise RequestRejected("unknown_placement", f'there is no placement "{name}" ({hint})')

    def complete(
        self, request: CompleteRequest, *, state: State, keys: Sequence[int], tenant: str, now_ms: int,
        position: LogPosition, deadline: Deadline, meter: Meter, denied: frozenset[str] = frozenset(),
        rankers: Rankers = _BUILT_IN, learned: LearnedWeights = _NOTHING_LEARNED, cut: frozenset[str] = frozenset(),
    ) -> CompleteReply:  # fmt: skip
        """What somebody may be typing, and what matches it: as `decide`, but no decision. Nothing is explored, and
        there is no receipt. Raises what `admit_complete` raises and nothing else."""
        self.admit_complete(request)
        stages = Stages(deadline, meter, cut=cut)
        moment = self.look(state, keys, tenant, now_ms, stages, denied)
        try:
            completions = stages.run("candidates", lambda: completed(moment, request.query, request.limit))
        except StageFailed:
            completions = []
        placed: PlacementReply | None = None
        if request.items:
            asked = asked_for(self._spots[request.placement], request.query, request.items)
            slate = self._serve(moment, asked, set(), Scorers(rankers, learned), None)
            began_ns = elapsed_ns()
            placed = self._answers.reply(slate, moment, explain=False, denied=denied)
            stages.spend("reply", elapsed_ns() - began_ns)
        stages.report()
        return CompleteReply(
            completions=completions, items=placed.items if placed else [], served_by=placed.served_by if placed else "",
            position=str(position), epoch=state.epoch, took_ms=round(deadline.elapsed_ms(), 3),
            degraded=stages.degraded, reason=told_of_items(request.query, placed.reason) if placed else "",
        )  # fmt: skip

    def decide(
        self, request: DecideRequest, *, state: State, keys: Sequence[int], tenant: str, now_ms: int,
        position: LogPosition, decision_id: str, deadline: Deadline, meter: Meter, denied: frozenset[str] = frozenset(),
        rankers: Rankers = _BUILT_IN, learned: LearnedWeights = _NOTHING_LEARNED, cut: frozenset[str] = frozenset(),
    ) -> Decision:  # fmt: skip
        """Answer. Raises what `admit` raises and nothing else; `keys` are the person's cells, none for nobody.

        Features kept for a purpose in `denied` are left out. The stages in `cut` lack what they need: they fail.
        """
        self.admit(request)
        stages = Stages(deadline, meter, cut=cut)
        moment = self.look(state, keys, tenant, now_ms, stages, denied)
        asked = [self._asked(state.catalogue, tenant, one) for one in request.placements]
        slates = self._slates(moment, asked, decision_id, Scorers(rankers, learned))
        receipt = stages.run("receipt", lambda: self._receipt(
            moment, slates, keys=keys, position=position, decision_id=decision_id, denied=denied,
            deadline_ms=request.deadline_ms or 0.0,
        ))  # fmt: skip
        began_ns = elapsed_ns()
        replies = {
            slate.asked.id: self._answers.reply(slate, moment, explain=request.explain, denied=denied)
            for slate in slates
        }
        for slate in slates:
            if slate.asked.leaves_out_seen:
                meter.count("seen_before_left_out", count_seen(slate.codes))
            if slate.new:
                drawn = int(slate.draw is not None and slate.draw.is_new)
                for which, count in (("places", len(slate.order)), ("drawn", drawn)):
                    meter.count(f"new_items.{which}", count)
        warnings = [one for asked_for, slate in zip(request.placements, slates, strict=True)
                    for one in _warnings(asked_for, slate, state)]  # fmt: skip
        for one in warnings:
            meter.count(f"questions_warned.{one.code}")
        stages.spend("reply", elapsed_ns() - began_ns)
        stages.report()
        reply = DecideReply(
            decision_id=decision_id, position=str(position), epoch=state.epoch, took_ms=round(deadline.elapsed_ms(), 3),
            degraded=stages.degraded, placements=replies, warnings=warnings[:REQUEST_WARNINGS_MAX],
        )  # fmt: skip
        told = {slate.asked.id: slate.told for slate in slates if slate.told is not None}
        enclosed = enclose(((one.id, one.given, one.query) for one in asked), told)
        return Decision(
            decision_id, reply, receipt, enclosed, tuple(stages.faults), tuple(_lessons(slates)),
            tuple(_promised(slates)),
        )

    def again(
        self, receipt: Receipt, asked: Sequence[Asked], *, state: State, meter: Meter, rankers: Rankers,
        learned: LearnedWeights = _NOTHING_LEARNED, as_made: bool = True,
    ) -> tuple[Receipt, list[Slate]]:  # fmt: skip
        """The decision of a receipt once more, on the state it was made on; the receipt that comes of it, which says of
        the time it took what that one says.

        `asked` is what `asked_again` found in it. `as_made` lets answer the rungs that answered then and cuts what was
        cut then; else every placement is decided anew, as if there had been time for all of it, and nets are asked
        once more.
        """
        if not as_made:
            asked = [msgspec.structs.replace(one, told=None) for one in asked]
        cut = frozenset(receipt.degraded) if as_made else frozenset()
        stages = Stages(Deadline(UNHURRIED_MS), meter, cut=cut & {"context", "policy"})
        denied = frozenset(receipt.denied)
        moment = self.look(state, receipt.keys, receipt.tenant, receipt.at_ms, stages, denied)
        rungs = {one.id: one for one in receipt.placements} if as_made else {}
        slates = self._slates(moment, asked, receipt.decision_id, Scorers(rankers, learned), rungs)
        made = self._receipt(
            moment, slates, keys=receipt.keys, position=receipt.position, decision_id=receipt.decision_id,
            denied=denied, deadline_ms=receipt.deadline_ms,
        )  # fmt: skip
        return msgspec.structs.replace(made, took_ms=receipt.took_ms), slates

    def why(self, receipt: Receipt, slates: Sequence[Slate], item_id: str, *, state: State) -> dict[str, PlacementWhy]:
        """What became of an item in each list of a decision made again: `slates` are what `again` made on this state.

        Raises `ReferenceTaken` for an id that cannot be told from another item's.
        """
        denied = frozenset(receipt.denied)
        moment = self._look_again(receipt, state)
        ref = state.catalogue.ref_of(receipt.tenant, item_id)
        item = AskedItem(item_id, ref, state.find_item(ref))
        shown_in = [slate.asked.id for slate in slates if ref in slate.shown()]
        told: dict[str, PlacementWhy] = {}
        shown: set[int] = set()
        for slate in slates:
            elsewhere = next((one for one in shown_in if one != slate.asked.id), "")
            told[slate.asked.id] = self._reasons.told(item, slate, Beside(
                moment, self._filters(moment, slate.asked, frozenset(shown)),
                self._answers.reply(slate, moment, explain=False, denied=denied), elsewhere,
                self._context_again(moment, slate),
            ), denied)  # fmt: skip
            shown.update(slate.keys_shown())
        return told

    def explained(
        self, receipt: Receipt, slates: Sequence[Slate], *, state: State
    ) -> dict[str, PlacementExplained]:
        """Each list of a decision made again, with scores, reasons and what was ruled out; `slates` as for `why`."""
        moment, denied = self._look_again(receipt, state), frozenset(receipt.denied)
        return {
            slate.asked.id: explained(slate, self._answers.reply(slate, moment, explain=True, denied=denied))
            for slate in slates
        }

    def _look_again(self, receipt: Receipt, state: State) -> Moment:
        """What a decision stood on, on the state that it was made on."""
        stages = Stages(Deadline(UNHURRIED_MS), NoMeter(), cut=frozenset(receipt.degraded) & {"context", "policy"})
        return self.look(state, receipt.keys, receipt.tenant, receipt.at_ms, stages, frozenset(receipt.denied))

    def _context_again(self, moment: Moment, slate: Slate) -> SourceContext | None:
        """What the sources of a list looked at; None where a stage failed then and does now."""
        try:
            return self._source_context(moment, slate.asked, slate.rung)
        except StageFailed:
            return None

    def asked(
        self, placement: str, *, limit: int = 0, page: int = 0, given: Given | None = None, query_hash: int = 0,
        query: str = "",
    ) -> Asked:  # fmt: skip
        """A question about one placement, in references, `query` where items are found by one; `RequestRejected` if
        there is no such placement."""
        spot = self._spots.get(placement)
        if spot is None:
            raise RequestRejected("unknown_placement", f'there is no placement "{placement}"')
        return Asked(spot, limit or spot.placement.limit, page, given, query_hash, query)

    def asked_again(self, receipt: Receipt, enclosed: bytes, catalogue: Catalogue) -> list[Asked]:
        """What a receipt was asked; `RequestRejected` if it was not kept, or a placement is gone."""
        return [
            msgspec.structs.replace(self.asked(
                one.id, limit=one.limit, page=one.page, given=given_again(one, enclosed, receipt.tenant, catalogue),
                query_hash=one.query_hash, query=query_again(one, enclosed) if self._is_search(one) else "",
            ), told=told_again(one, enclosed))
            for one in receipt.placements
        ]  # fmt: skip

    def inputs(self, moment: Moment, asked: Asked) -> Inputs | None:
        """What a ranker would read to answer, or None if nothing is eligible; for training on lists others chose."""
        rung = self._ranked_rungs(moment, asked, modelled=True)[0]
        return self._inputs(moment, asked, self._filters(moment, asked, frozenset()), rung)

    def newest_item(self, moment: Moment) -> int:
        """The item that the person acted on last, as far as features tell; 0 for none."""
        return next(iter(self._recent(moment.person, 0)), 0)

    # Context.

    def _asked(self, catalogue: Catalogue, tenant: str, request: PlacementRequest) -> Asked:
        given = None
        is_rerank = self._spots[request.id].placement.kind == "rerank"
        query = request.query if is_rerank and request.candidates is None and self.rules >= BESIDE else ""
        query = "" if query.isspace() else query
        if request.candidates is not None or (is_rerank and not query):
            given = given_by(catalogue, tenant, request.candidates or (), self._fields, self._numbers)
        try:
            page = catalogue.ref_of(tenant, id_text(request.item)) if request.item != "" else 0
        except ReferenceTaken:  # As if none were named; the reply says so.
            page = 0
        return self.asked(
            request.id, limit=request.limit or 0, page=page, given=given,
            query_hash=query_hash(request.query, catalogue.references), query=query,
        )

    def _is_search(self, made: PlacementReceipt) -> bool:
        """Whether items were found by a query: the placement orders the caller's list, and there was none."""
        spot = self._spots.get(made.id)
        return made.given < 0 and spot is not None and spot.placement.kind == "rerank"

    def look(
        self, state: State, keys: Sequence[int], tenant: str, now_ms: int, stages: Stages,
        denied: frozenset[str] = frozenset(),
    ) -> Moment:  # fmt: skip
        """What a decision for this person at this time stands on."""
        try:
            person = stages.run("context", lambda: self.reader.person(state, keys, now_ms, denied))
        except StageFailed:
            person = self.reader.person(state, (), now_ms)
        lists = stages.run("context", lambda: self._standing.of(state, tenant), hurried=True)
        bought = bought_recently(person, self._purchases, now_ms)
        if bought and self.rules >= EVIDENCE:
            rows = np.array([state.find_item(ref) for ref in bought], np.int64)
            bought |= set(groups_of(state, rows).tolist()) - {0}
        return Moment(
            state, tenant, now_ms, person, lists, bought, stages, self._words, self._vectors, tuple(keys),
            self._steps(state, keys, stages, denied),
        )  # fmt: skip

    def _steps(self, state: State, keys: Sequence[int], stages: Stages, denied: frozenset[str]) -> Steps:
        if self._next_items is None:
            return NO_STEPS
        next_items = self._next_items
        try:
            return stages.run("context", lambda: next_items.steps(state, keys, denied))
        except StageFailed:
            return NO_STEPS

    def _ahead(self, moment: Moment, asked: Asked, rung: str) -> Ahead | None:
        """What may come next; on the rung of the session by the steps of the live visit alone. Of a list that somebody
        else ordered nothing is said where neither steps nor a page are known: what goes on elsewhere is no reason
        against that order."""
        if self._next_items is None:
            return None
        state = moment.state
        steps = live_steps(moment.steps, moment.now_ms) if rung == SESSION else moment.steps
        page_row = state.find_item(asked.page) if asked.page else -1
        if asked.is_callers and page_row < 0 and not len(steps.rows):
            return None
        tenant = state.catalogue.code_of(moment.tenant)
        return self._next_items.of(state, moment.keys, steps, page_row, moment.now_ms, tenant)

    def _together(self, moment: Moment, asked: Asked, person: Person, ahead: Ahead | None) -> Together | None:
        """What goes with the item of the page and what is in the cart, or else with the person's newest items; None
        where nobody asked."""
        placement = asked.spot.placement
        if self._goes_with is None or not (placement.goal == "goes_with" or BOUGHT_WITH in placement.sources):
            return None
        state = moment.state
        refs = dict.fromkeys([*((asked.page,) if asked.page else ()), *self._in_cart(person, moment.bought)])
        rows = np.array([state.find_item(ref) for ref in refs], np.int64)
        rows = rows[rows >= 0]
        if not len(rows) and ahead is not None:
            rows = ahead.own
        return self._goes_with.of(state, rows)

    def _in_cart(self, person: Person, bought: frozenset[int]) -> list[int]:
        """What is in the person's cart, the newest first."""
        refs = [] if self._cart is None else person.last(self._cart)[0].tolist()
        return [ref for ref in refs if ref not in bought]

    def _cart_of(self, moment: Moment) -> frozenset[int]:
        """What is in the cart, as references of items and groups."""
        refs = self._in_cart(moment.person, moment.bought)
        rows = np.array([moment.state.find_item(ref) for ref in refs], np.int64)
        return frozenset(refs) | (frozenset(groups_of(moment.state, rows).tolist()) - {0})

    def _seen_by(self, moment: Moment) -> frozenset[int]:
        """What the person has looked at, as far as features they agreed to tell, as references of items and groups."""
        state, steps = moment.state, moment.steps
        if len(steps.rows) and self._next_items is not None:  # They agreed, and may have more steps.
            steps = self._next_items.steps(state, moment.keys, frozenset(), SEEN_STEPS_MAX)
        refs = {ref for name in self._looked_at for ref in moment.person.top(name)[0].tolist()}
        rows = np.concatenate([steps.rows, np.array([state.find_item(ref) for ref in refs], np.int64)])
        return frozenset(refs).union(steps.refs.tolist(), groups_of(state, rows).tolist()) - {0}

    def _recent(self, person: Person, page: int) -> list[int]:
        """The page's item, then what the person looked at last: in the live session, else before."""
        recent = [page] if page else []
        for name in self._looked_at:
            refs = person.top(name)[0].tolist()
            if refs:
                return [*recent, *(ref for ref in refs if ref != page)]
        return recent

    # The rungs.

    def _slates(
        self, moment: Moment, questions: Sequence[Asked], decision_id: str, scorers: Scorers,
        rungs: Mapping[str, PlacementReceipt] | None = None,
    ) -> list[Slate]:  # fmt: skip
        """All lists of one decision; `rungs` names which have to answer."""
        slates: list[Slate] = []
        shown: set[int] = set()
        for asked in questions:
            slate = self._serve(moment, asked, shown, scorers, rungs.get(asked.id) if rungs else None)
            slates.append(slate)
            shown.update(slate.keys_shown())
        return self._explore(slates, shown, decision_id, moment)

    def _serve(
        self, moment: Moment, asked: Asked, shown: set[int], scorers: Scorers, made: PlacementReceipt | None
    ) -> Slate:
        """The list of one placement, from the highest rung that holds, or from the one that made it."""
        filters = self._filters(moment, asked, frozenset(shown))
        plain: dict[str, Callable[[], Slate]] = {
            POPULAR: partial(popular, moment, asked, filters), DEFAULT: partial(default, moment, asked, filters)
        }
        if made is None:
            rungs = self._ranked_rungs(moment, asked, modelled=bool(scorers.rankers.of(moment.tenant, asked.id)))
            ranked = [partial(self._ranked, moment, asked, filters, rung, scorers) for rung in rungs]
            return descend([*ranked, *plain.values()], otherwise=empty(asked))
        if made.model == made.rung:
            return descend([plain[made.rung]] if made.rung in plain else [], otherwise=empty(asked))
        return descend([partial(self._ranked, moment, asked, filters, made.rung, scorers)], otherwise=empty(asked))

    def _filters(self, moment: Moment, asked: Asked, shown: frozenset[int]) -> Filters:
        """What is ruled out. By the first rules nobody looks at times and groups."""
        looks = self.rules >= EVIDENCE
        page_row = moment.state.find_item(asked.page) if asked.page and looks else -1
        return Filters(
            moment.bought if asked.spot.placement.kind == "items" else frozenset(),
            frozenset() if asked.spot.placement.repeats else shown,
            asked.page,
            int(moment.state.catalogue.groups[page_row]) if page_row >= 0 else 0,
            moment.now_ms if looks else 0,
            self._cart_of(moment) if asked.offers_beside_cart else frozenset(),
            self._seen_by(moment) if asked.leaves_out_seen else frozenset(),
        )

    def _ranked_rungs(self, moment: Moment, asked: Asked, *, modelled: bool) -> list[str]:
        """The rungs that use the ranker, the highest first. What is known of a person counts where it can move the
        answer: numbers of theirs are the same for all candidates, so only a model can make anything of them."""
        person = moment.person
        rungs = [PERSONAL] if person.known and self._tells(person, modelled) else []
        page_known = asked.page != 0 and moment.state.find_item(asked.page) >= 0
        if page_known or (person.in_session and self._tells(self.reader.without_profile(person), modelled)):
            rungs.append(SESSION)
        return rungs or [POPULAR if moment.lists.has_interest else DEFAULT]

    def _tells(self, person: Person, modelled: bool) -> bool:
        return self.reader.lists_anything(person) or self.assembler.mean_price(person) > 0.0 or (
            modelled and self.reader.counts_anything(person)
        )

    def _ranked(self, moment: Moment, asked: Asked, filters: Filters, rung: str, scorers: Scorers) -> Slate:
        stages = moment.stages
        read = self._inputs(moment, asked, filters, rung)
        if read is None:
            return default(moment, asked, filters)
        pool, inputs = read.pool, read
        scored = stages.run("score", lambda: self._scored(moment, asked, read, scorers))
        candidates = pool.columns if len(inputs.eligible) == len(pool) else pool.columns.taken(inputs.eligible)
        groups = groups_of(moment.state, candidates.rows) if filters.now_ms else _NO_GROUPS
        groups = groups if groups.any() else _NO_GROUPS
        best = best_of_groups(groups, scored.scores) if len(groups) else None
        if best is not None:
            inputs, scored, groups = _of_best(inputs, best), scored.of(best), groups[best]
            candidates = candidates.taken(best)
        ordered_by = scored.scores
        if pool.matches is not None:
            ordered_by = in_tiers(ordered_by, pool.matches.words[inputs.eligible])
        arranged = stages.run("arrange", lambda: arrange(
            candidates, ordered_by, limit=asked.limit, diversity=asked.spot.placement.diversity
        ))  # fmt: skip
        return Slate(
            asked, rung, f"{scored.ranker.name}@{scored.ranker.version}", pool, inputs.codes, inputs.eligible,
            candidates.refs.tolist(), scored.scores, arranged.order.tolist(), arranged,
            inputs.matrix, scored.ranker, lesson=scored.lesson, learned=scored.learned, told=scored.told,
            groups=groups, reason=told_of(asked, pool),
        )  # fmt: skip

    def _inputs(self, moment: Moment, asked: Asked, filters: Filters, rung: str) -> Inputs | None:
        """The matrix of the eligible, or None if nothing is."""
        stages, state = moment.stages, moment.state
        context = self._source_context(moment, asked, rung)
        pool = stages.run("candidates", lambda: self._pool(moment, asked, context))
        codes, places = eligible(moment, pool, filters)
        if asked.query and not len(places):
            pool = popular_instead(moment)
            codes, places = eligible(moment, pool, filters)
        if not len(places):
            return None
        candidates = pool.columns if len(places) == len(pool) else pool.columns.taken(places)
        ahead = context.ahead
        beside_row = int(ahead.own[0]) if ahead is not None and len(ahead.own) else context.page_row
        matrix = stages.run("features", lambda: self.assembler.matrix(
            state, context.person, candidates, context.neighbours, moment.lists.averages, moment.now_ms, beside_row,
            self._told(moment, asked, pool, places, beside_row), ahead, context.goes_with,
        ))  # fmt: skip
        return Inputs(pool, codes, places, matrix, _recent_items(moment, asked, rung))

    def _source_context(self, moment: Moment, asked: Asked, rung: str) -> SourceContext:
        """What the sources look at on this rung."""
        stages, state = moment.stages, moment.state
        person = self.reader.without_profile(moment.person) if rung == SESSION else moment.person
        near = stages.run("candidates", lambda: self._neighbourhood.of(state, self._recent(person, asked.page)))
        ahead = stages.run("candidates", lambda: self._ahead(moment, asked, rung))
        goes_with = stages.run("candidates", lambda: self._together(moment, asked, person, ahead))
        page_row = state.find_item(asked.page) if asked.page else -1
        return SourceContext(
            state, moment.lists, self.reader, person, near, page_row, ahead, self.rules >= BESIDE, goes_with,
            moment.words, moment.vectors,
        )  # fmt: skip

    def _told(self, moment: Moment, asked: Asked, pool: Pool, places: Ints, row: int) -> Told:
        """What words tell of the candidates: beside the item of this row, and of the query; and, where the placement is
        about an item, how people go on from it."""
        if self.rules < BESIDE:
            return Told()
        state, rows = moment.state, pool.columns.rows[places]
        words = moment.words.of(state).likeness(moment.tenant, row, rows)
        match = None if pool.matches is None else pool.matches.shares[places]
        if self._transitions is None or row < 0 or not asked.spot.placement.needs_item:
            return Told(words, match)
        index = self._commons.of(state)
        chance = self._transitions.chances(state, moment.tenant, row, rows, index)
        learned = self._transitions.of(state, moment.tenant, index)
        return Told(words, match, chance, learned.explained, learned.half_hits)

    def _scored(self, moment: Moment, asked: Asked, inputs: Inputs, scorers: Scorers) -> Scored:
        """What the ranker gives, with what the online learner adds."""
        standing = (*scorers.rankers.of(moment.tenant, asked.id), asked.spot.ranker)
        ranker, scores, told = self._ranker_scored(moment, asked, inputs, standing)
        if asked.spot.lesson is None:
            return Scored(ranker, scores, told=told)
        lesson = asked.spot.lesson.rows(inputs.matrix, scores)
        learned = scorers.learned.of(moment.tenant, asked.id, asked.spot.lesson.names)
        if learned is None:
            return Scored(ranker, scores, lesson, 0, told)
        taught = Taught(ranker, asked.spot.lesson, learned)
        return Scored(taught, taught.added(scores, lesson), lesson, learned.lessons, told)

    def _ranker_scored(
        self, moment: Moment, asked: Asked, inputs: Inputs, standing: Sequence[Ranker]
    ) -> tuple[Ranker, Reals, Logits | None]:
        """The first ranker that gives scores, these, and what it was told beside the inputs. One that fails or takes
        too long is noted."""
        stages = moment.stages
        for ranker in standing:
            began_ns, told, informed = elapsed_ns(), None, ranker
            try:
                if isinstance(ranker, ReadsSteps):
                    told = ranker.told(_listed(moment, inputs)) if asked.told is None else asked.told
                    informed = ranker.after(told)
                scores = checked_scores(informed, inputs.matrix, self.assembler.columns)
            except RANKER_FAILURES as error:
                away = isinstance(error, Unavailable)
                stages.note(Fault(asked.id, ranker, str(error), counts=not away), failed=True)
                continue
            took_ms = (elapsed_ns() - began_ns) / 1e6
            if took_ms > RANKER_MS_MAX and ranker is not asked.spot.ranker:
                stages.note(Fault(asked.id, ranker, f"it took {took_ms:.0f} ms"), failed=False)
            return ranker, scores, told
        raise Broken("no ranker gave scores")

    def _pool(self, moment: Moment, asked: Asked, context: SourceContext) -> Pool:
        callers = [] if asked.given is None else [of_caller(moment.state, asked.given, moment.now_ms)]
        if asked.is_callers:
            return callers[0]
        if asked.query:
            return searched(moment, asked)
        placement, now_ms = asked.spot.placement, moment.now_ms
        pool = reduce(joined, [*callers, found(
            context, placement.sources, now_ms, tenant=moment.tenant, parts=self.rules < BESIDE
        )])
        if not placement.new_items:
            return pool
        since_ms = now_ms - placement.new_items_days * DAY_MS
        rows = moment.lists.fresh(since_ms, placement.new_items_shown, NEW_ITEMS_DRAWN_MAX)
        fresh = of_rows(moment.state, rows, [(NEW_ITEMS, len(rows))], now_ms)
        return msgspec.structs.replace(joined(pool, fresh), fresh=frozenset(fresh.columns.refs.tolist()))

    # Policy.

    def _explore(self, slates: list[Slate], shown: set[int], decision_id: str, moment: Moment) -> list[Slate]:
        """Draw the explored slot of each list that has one."""
        stages, by_reference = moment.stages, int(moment.state.program.settings[FOLDING]) < 4
        try:
            return stages.run("policy", lambda: self._drawn(slates, shown, decision_id, by_reference=by_reference))
        except StageFailed:
            return slates

    def _drawn(
        self, slates: list[Slate], shown: set[int], decision_id: str, *, by_reference: bool
    ) -> list[Slate]:  # fmt: skip
        new = allowed([slate.new_keys() for slate in slates], shown)
        kept = shown.union(*new)
        explores = [bool(slate.order) and slate.asked.spot.exploration > 0.0 for slate in slates]
        # Of a list that shows all it has there is nothing to draw.
        pools = [slate.keys if explored and len(slate.order) < len(slate.refs) else []
                 for slate, explored in zip(slates, explores, strict=True)]  # fmt: skip
        sets = allowed(pools, kept, by_reference=by_reference)
        return [
            self._with_draw(slate, others, fresh, decision_id) if explored or fresh else slate
            for slate, others, fresh, explored in zip(slates, sets, new, explores, strict=True)
        ]

    def _with_draw(self, slate: Slate, others: list[int], fresh: list[int], decision_id: str) -> Slate:
        incumbent, spot = slate.refs[slate.order[-1]], slate.asked.spot
        name = f"{decision_id}/{slate.asked.id}"
        if len(slate.groups):
            ref_of = dict(zip(slate.keys, slate.refs, strict=True))
            others, fresh = [ref_of[key] for key in others], [ref_of[key] for key in fresh]
        explored = Draw(incumbent, 1.0, explored=False)
        if others:
            explored = draw(incumbent, others, epsilon=spot.exploration, rng=KeyedRng(name))
        chance = min(spot.placement.new_items * len(slate.order), 1.0)
        drawn = draw_new(explored, fresh, chance=chance, rng=KeyedRng(f"{name}/new")) if fresh else explored
        order = slate.order
        if drawn.explored:
            order = [*order[:-1], slate.refs.index(drawn.ref)]
        return msgspec.structs.replace(
            slate, order=order, draw=drawn, incumbent=incumbent, allowed=len(others) + 1, new=len(fresh),
            new_chance=chance if fresh else 0.0,
        )

    # The receipt.

    def _receipt(
        self, moment: Moment, slates: list[Slate], *, keys: Sequence[int], position: LogPosition, decision_id: str,
        denied: frozenset[str], deadline_ms: float,
    ) -> Receipt:  # fmt: skip
        state = moment.state
        return Receipt(
            RECEIPT_VERSION, decision_id, moment.tenant, moment.now_ms, position, state.epoch, state.epoch_hash,
            tuple(keys), inputs_hash(moment.person, state.epoch_hash, [slate.pool for slate in slates]),
            self.config_hash, self._features_hash, tuple(moment.stages.degraded),
            tuple(placement_receipt(slate) for slate in slates), deadline_ms, tuple(sorted(denied)),
        )  # fmt: skip


def _recent_items(moment: Moment, asked: Asked, rung: str) -> Ints:
    """References of what the person acted on last, the newest first, as far as the rung looks back."""
    steps = live_steps(moment.steps, moment.now_ms) if rung == SESSION else moment.steps
    if not asked.page or steps.refs[:1].tolist() == [asked.page]:
        return steps.refs
    return np.concatenate([[asked.page], steps.refs])


def _listed(moment: Moment, inputs: Inputs) -> Listed:
    """What a net is told of a list."""
    catalogue, tenant = moment.state.catalogue, moment.tenant
    return Listed(
        inputs.recent, inputs.pool.columns.refs[inputs.eligible], partial(catalogue.name_of, tenant),
        moment.stages.left_ms(),
    )  # fmt: skip


def _lessons(slates: Sequence[Slate]) -> Iterator[Lesson]:
    """What the online learners of these lists read of what is shown, from the top."""
    for slate in slates:
        if slate.lesson is not None and slate.order:
            shown = slate.order[:LESSON_ITEMS_MAX]
            rows = np.ascontiguousarray(slate.lesson[shown], "<f4")
            yield Lesson(slate.asked.id, tuple(slate.refs[place] for place in shown), rows.tobytes())


def _promised(slates: Sequence[Slate]) -> Iterator[Promised]:
    for slate in slates:
        if slate.order and slate.gives_probabilities:
            shown = slate.order[:CALIBRATION_ITEMS_MAX]
            chances = shown_scores(slate.scores[shown])
            yield Promised(slate.asked.id, slate.model, tuple(slate.refs[place] for place in shown), tuple(chances))


def _warnings(request: PlacementRequest, slate: Slate, state: State) -> Iterator[Warned]:
    """What of a question about a placement comes to nothing."""
    asked = slate.asked
    taken = [*((id_text(request.item),) if request.item != "" and not asked.page else ()),
             *(asked.given.taken if asked.given is not None else ())]  # fmt: skip
    for item_id in taken:
        yield Warned(code=REFERENCE_TAKEN, message=f'placement "{asked.id}": {ReferenceTaken(item_id).message}; it is '
                     "left out")
    if not asked.page and asked.spot.placement.needs_item and request.item == "":
        yield Warned(code="item_missing", message=f'placement "{asked.id}" is about an item, and the request names '
                     'none: give the id of the page\'s item as "item"')
    if slate.reason == NOTHING_MATCHED:
        yield Warned(code=NOTHING_MATCHED, message=f'placement "{asked.id}": no item that may be shown has a word of '
                     "the query: what is popular stands in its place")
    if asked.page and not state.catalogue.has(asked.page):
        seen = "events have named it" if state.find_item(asked.page) >= 0 else "no event has named it either"
        yield Warned(code="unknown_item", message=f'placement "{asked.id}": the item "{request.item}" is not in the '
                     f"catalogue, and {seen}: is it the id that the catalogue has?")
    if asked.given is not None and len(asked.given.refs):
        unknown = state.catalogue.lacking(slate.pool.columns.rows[: len(asked.given.refs)])
        if len(unknown):
            yield Warned(code="unknown_candidates", message=f'placement "{asked.id}": {len(unknown)} of '
                         f"{len(asked.given.refs)} candidates are not in the catalogue, the first "
                         f'"{asked.given.ids[unknown[0]]}": nothing is known of them but what the request says')


def _of_best(inputs: Inputs, best: Ints) -> Inputs:
    """The inputs of the candidates at these places; the others stand back."""
    codes = inputs.codes.copy()
    beside_the_best(codes, np.delete(inputs.eligible, best))
    return Inputs(inputs.pool, codes, inputs.eligible[best], inputs.matrix[best], inputs.recent)
