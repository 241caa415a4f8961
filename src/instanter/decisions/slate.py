"""What the path of a decision carries from stage to stage."""

from __future__ import annotations

import msgspec
import numpy as np

from ..features.assemble import Matrix
from ..features.next_items import NO_STEPS
from ..features.view import Person
from ..foundation.limits import FOUND_MAX, SEARCHED_ENTRIES_MAX
from ..models.base import Ranker, gives_probabilities
from ..models.bodies import Logits
from ..models.linear import LinearRanker
from ..models.online import LessonInputs
from ..models.standing import TenantLists
from ..models.vectors import Vectors
from ..models.words import Words
from ..state.compiled import Bytes, Ints, Reals
from ..state.memory import State
from ..state.recent import Steps
from .arrange import Arrangement, in_tiers
from .candidates import CALLER, Given, Pool
from .fallback import Stages
from .placement import Placement
from .policy import Draw


class Spot(msgspec.Struct, frozen=True):
    """A placement as configured, with the ranker that always answers for it."""

    placement: Placement
    ranker: LinearRanker
    exploration: float
    lesson: LessonInputs | None = None
    """What its online learner reads, if it has one."""


class Asked(msgspec.Struct, frozen=True):
    """A placement as asked for."""

    spot: Spot
    limit: int
    page: int = 0
    """Reference of the item of the page, 0 if there is none."""
    given: Given | None = None
    """The caller's own list."""
    query_hash: int = 0
    query: str = ""
    """What items are found by; "" where the caller's list or the placement's sources say which there are."""
    found_max: int = FOUND_MAX
    """Candidates that the query finds, at most."""
    entries_max: int = SEARCHED_ENTRIES_MAX
    """As `WordIndex.search` has it."""
    told: Logits | None = None
    """What a net told of the candidates, where the decision is made again for which it did."""

    @property
    def id(self) -> str:
        return self.spot.placement.id

    @property
    def offers_beside_cart(self) -> bool:
        """Whether what is in the cart is not offered again."""
        return self.spot.placement.goal == "goes_with" and self.spot.placement.kind == "items"

    @property
    def leaves_out_seen(self) -> bool:
        """Whether what the person has looked at before is not shown."""
        return self.spot.placement.seen_before == "leave_out"

    @property
    def is_callers(self) -> bool:
        """Whether only the caller's list may be shown."""
        if self.spot.placement.kind == "rerank":
            return not self.query
        return self.given is not None and CALLER not in self.spot.placement.sources


class Moment(msgspec.Struct, frozen=True):
    """What one decision stands on, for all its placements."""

    state: State
    tenant: str
    now_ms: int
    person: Person
    lists: TenantLists
    bought: frozenset[int]
    stages: Stages
    words: Words
    vectors: Vectors
    keys: tuple[int, ...] = ()
    """The cells of the person."""
    steps: Steps = NO_STEPS
    """What they did last."""


class Inputs(msgspec.Struct, frozen=True):
    """The eligible candidates of one placement, and what a ranker reads of them."""

    pool: Pool
    codes: Bytes
    """By place in the pool: 0 for an eligible candidate, else why not."""
    eligible: Ints
    """Places in the pool."""
    matrix: Matrix
    """[eligible candidates, columns]."""
    recent: Ints
    """References of the items that the person acted on last, the newest first, that of the page before them."""


class Slate(msgspec.Struct, frozen=True):
    """A placement's list in the making. `order`, `scores` and the matrix go by place among the eligible."""

    asked: Asked
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
    arranged: Arrangement | None = None
    """What each place was won with; None where nothing was arranged."""
    matrix: Matrix | None = None
    ranker: Ranker | None = None
    """That gave the scores; None where no ranker did."""
    reason: str = ""
    draw: Draw | None = None
    incumbent: int = 0
    allowed: int = 1
    new: int = 0
    """New items among which the slot was drawn with `new_chance`; 0 where there was none, or one was shown already."""
    new_chance: float = 0.0
    lesson: Matrix | None = None
    """[eligible candidates, 1 + inputs]: what the online learner read."""
    told: Logits | None = None
    """What a net told of the eligible candidates, all of them: before those of one group were told apart."""
    learned: int = -1
    """Lessons that the scores stand on, -1 where no learner added to them."""
    groups: Ints = msgspec.field(default_factory=lambda: np.zeros(0, np.int64))
    """By place: the group of variants, 0 for none; empty where nobody is in a group. No group is there twice."""

    @property
    def gives_probabilities(self) -> bool:
        """Whether the scores are log-odds of a reward."""
        return self.matrix is not None and self.ranker is not None and gives_probabilities(self.ranker)

    @property
    def order_before_draw(self) -> list[int]:
        """The order as it was before the last place was drawn, if it was."""
        if self.draw is None or not self.draw.explored:
            return self.order
        return [*self.order[:-1], self.refs.index(self.incumbent)]

    @property
    def ordered_by(self) -> Reals:
        """By place: what puts the items in order before they are arranged, the scores by how many words match."""
        matches = self.pool.matches
        return self.scores if matches is None else in_tiers(self.scores, matches.words[self.eligible])

    def gains(self) -> dict[int, float]:
        """What each of the arranged places was won with."""
        won = self.arranged
        return {} if won is None else dict(zip(won.order.tolist(), won.gains.tolist(), strict=True))

    @property
    def keys(self) -> list[int]:
        """By place: what must not be shown twice, the group or else the item."""
        if not len(self.groups):
            return self.refs
        return [group or ref for ref, group in zip(self.refs, self.groups.tolist(), strict=True)]

    def keys_shown(self) -> set[int]:
        """References and groups of what the list shows, before a place was drawn: no list below shows them again."""
        order = self.order_before_draw
        shown = {self.refs[place] for place in order}
        if len(self.groups):
            keys = self.keys
            shown.update(keys[place] for place in order)
        return shown

    def new_keys(self) -> list[int]:
        """New items that its last place may go to: none where it has one by itself."""
        fresh = self.pool.fresh
        if not fresh or not self.order or any(self.refs[place] in fresh for place in self.order):
            return []
        return [key for key, ref in zip(self.keys, self.refs, strict=True) if ref in fresh]

    def shown(self) -> list[int]:
        """References in the order of the list."""
        return list(map(self.refs.__getitem__, self.order))
