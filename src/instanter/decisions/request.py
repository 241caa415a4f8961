"""What a decision is asked and what it answers, as it stands on the wire, and the one door through which it comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

from ..events.bodies import body_decoder
from ..events.identifiers import NO_USER, PLACEHOLDERS
from ..events.structure import is_deeper
from ..events.times import read_time_ms
from ..events.wanted import NO_FIELD
from ..foundation.errors import EventRejected, RequestRejected
from ..foundation.limits import (
    BATCH_EVENTS_MAX,
    CANDIDATES_MAX,
    COMPLETED_ITEMS_MAX,
    COMPLETIONS_MAX,
    DEADLINE_MS_MAX,
    ID_CHARS_MAX,
    ITEM_DEPTH_MAX,
    LIST_LIMIT_MAX,
    NAME_CHARS_MAX,
    PLACEMENTS_MAX,
    QUERY_CHARS_MAX,
    SHOWN_ID_CHARS,
)

Id = Annotated[str, Meta(min_length=1, max_length=ID_CHARS_MAX)]
WholeNumber = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
WrittenWhole = Annotated[float, Meta(ge=-(2**53), le=2**53, multiple_of=1)]
"""A whole number that was written as 5.0."""
AnyId = Id | WholeNumber | WrittenWhole
"""A whole number is an id as its decimal text, see `id_text`."""
_TEXT: Final[frozenset[type]] = frozenset({str})
Limit = Annotated[int, Meta(ge=1, le=LIST_LIMIT_MAX)]


def id_text(given: str | float) -> str:
    """The id that was given.

    >>> id_text(5), id_text("5"), id_text(5.0)
    ('5', '5', '5')
    """
    return given if isinstance(given, str) else str(int(given))


class Wire(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """An object of the API: camelCase, unknown fields ignored."""


class Candidate(Wire, frozen=True, kw_only=True):
    """One item of the caller's own list, with fields that count for this request only."""

    id: AnyId
    fields: dict[str, Any] = {}


class KnownCandidate(Candidate, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same without a field that means nothing."""


Candidates = Annotated[Sequence[AnyId | Candidate], Meta(max_length=CANDIDATES_MAX)]
KnownCandidates = Annotated[Sequence[AnyId | KnownCandidate], Meta(max_length=CANDIDATES_MAX)]


class PlacementRequest(Wire, frozen=True, kw_only=True):
    """One spot of the page that wants a list."""

    id: Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX)]
    limit: Limit | None = None
    """Fewer or more than the placement is configured for."""
    query: Annotated[str, Meta(max_length=QUERY_CHARS_MAX)] = ""
    """What somebody searches for. A placement that reranks finds what matches it where `candidates` is left out."""
    item: Annotated[str, Meta(max_length=ID_CHARS_MAX)] | WholeNumber | WrittenWhole = ""
    """The item that the page is about; it leads the list of what the person has looked at and is not shown."""
    candidates: Candidates | None = None


class KnownPlacement(PlacementRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same without a field that means nothing."""

    candidates: KnownCandidates | None = None


class AboutPerson(Wire, frozen=True, kw_only=True):
    """Who somebody asks about, under which circumstances, and how long the answer may take."""

    user_id: AnyId | None = None
    anonymous_id: AnyId | None = None
    context: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)
    """The circumstances, in the shape of the tracking routes; kept as they came until something asks for them."""
    deadline_ms: Annotated[float, Meta(gt=0, le=DEADLINE_MS_MAX)] | None = None

    @property
    def user(self) -> str | None:
        """The userId as a text; None where there is none, or only what programs write then."""
        text = None if self.user_id is None else id_text(self.user_id)
        return None if text in NO_USER else text

    @property
    def device(self) -> str | None:
        """The anonymousId as a text; likewise."""
        text = None if self.anonymous_id is None else id_text(self.anonymous_id)
        return None if text in PLACEHOLDERS else text

    @property
    def placeholders(self) -> list[str]:
        """The fields that hold what programs write where there is no id."""
        held = {"userId": self.user_id is not None and self.user is None,
                "anonymousId": self.anonymous_id is not None and self.device is None}  # fmt: skip
        return [field for field, is_held in held.items() if is_held]


class Asking(AboutPerson, frozen=True, kw_only=True):
    """What every question for a decision has."""

    events: Annotated[list[msgspec.Raw], Meta(max_length=BATCH_EVENTS_MAX)] = []
    min_position: Annotated[str, Meta(max_length=ID_CHARS_MAX)] | None = None
    timestamp: str | int | float | None = None
    explain: bool = False

    @property
    def timestamp_ms(self) -> int:
        """The time the caller gives the decision; only asked where there is one. Checked by the door."""
        assert self.timestamp is not None
        return read_time_ms(self.timestamp, "timestamp")


class DecideRequest(Asking, frozen=True, kw_only=True):
    """`POST /v1/decide`."""

    placements: Annotated[Sequence[PlacementRequest], Meta(min_length=1, max_length=PLACEMENTS_MAX)]


class KnownDecide(DecideRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same without a field that means nothing."""

    placements: Annotated[Sequence[KnownPlacement], Meta(min_length=1, max_length=PLACEMENTS_MAX)]


class RankRequest(Asking, frozen=True, kw_only=True):
    """`POST /v1/rank`: one placement and the caller's list."""

    placement: Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX)]
    candidates: Candidates
    limit: Limit | None = None
    query: Annotated[str, Meta(max_length=QUERY_CHARS_MAX)] = ""
    item: Annotated[str, Meta(max_length=ID_CHARS_MAX)] | WholeNumber | WrittenWhole = ""

    def as_decide(self) -> DecideRequest:
        """The same question as a decision with one placement."""
        placement = PlacementRequest(
            id=self.placement, limit=self.limit, query=self.query, item=self.item, candidates=self.candidates
        )
        shared = {name: getattr(self, name) for name in Asking.__struct_fields__}
        return DecideRequest(placements=[placement], **shared)


class KnownRank(RankRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same without a field that means nothing."""

    candidates: KnownCandidates


class CompleteRequest(AboutPerson, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/complete`: what somebody has typed into a search box so far."""

    query: Annotated[str, Meta(max_length=QUERY_CHARS_MAX)] = ""
    """As it stands there: a blank at its end says that the last word is whole."""
    limit: Annotated[int, Meta(ge=1, le=COMPLETIONS_MAX)] = 8
    """Most completions."""
    items: Annotated[int, Meta(ge=0, le=COMPLETED_ITEMS_MAX)] = 6
    """Most items beside them; 0 asks for none."""
    placement: Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX)] = "search"
    """Whose order the items have: a placement that finds by a query."""


class Warned(Wire, frozen=True, kw_only=True):
    """Something about a question that was answered, and probably not as it was meant."""

    code: str
    message: str


class RankedItem(Wire, frozen=True, omit_defaults=True, gc=False):
    """One item of an answer. Leads back to nothing, so the collector need not look at it: a reply has hundreds."""

    id: str
    position: int
    """From 1."""
    score: float
    """Of the rung that answered; the ranker's lie between 0 and 1. What that means says the list's `scoreKind`: of an
    order 0.5 is an average item."""
    propensity: float
    """Probability, over the policy's draw alone, that this item stands at this position."""
    reasons: list[str]
    fields: dict[str, Any] | None = None
    """The catalogue's; left out for the items of the caller's own list."""
    features: dict[str, float] | None = None
    stages: dict[str, float] | None = None
    """With `explain`: the score after each stage."""


ScoreKind = Literal["probability", "order"]


class ExcludedItem(Wire, frozen=True, gc=False):
    """A candidate that is not shown, and why."""

    id: str
    reason: str


class PlacementReply(Wire, frozen=True, kw_only=True, omit_defaults=True):
    """The answer for one placement."""

    items: list[RankedItem]
    excluded: list[ExcludedItem]
    served_by: str
    """The rung: personal, session, popular or default."""
    experiments: list[str]
    model: str
    score_kind: ScoreKind
    """What the scores are: the probability of a reward by calibration, or numbers that put in order and no more."""
    reason: str = ""
    """Why the list is empty, when it is, or is not of what was asked for: `nothing_matched`."""
    rules: list[str] | None = None
    """With `explain`: what took part besides the ranker."""


class DecideReply(Wire, frozen=True, kw_only=True, omit_defaults=True):
    """Reply of `POST /v1/decide`."""

    decision_id: str
    position: str
    epoch: int
    took_ms: float
    degraded: list[str]
    """Every stage that was cut or failed."""
    placements: dict[str, PlacementReply]
    warnings: list[Warned] = []
    """What of the question had no effect, and the remedy."""


class CompletedQuery(Wire, frozen=True):
    """What may be meant."""

    query: str
    """All that was typed, with its last word completed as an item writes it."""
    items: int
    """How many items that can be shown have these words; about, where thousands have."""


class CompleteReply(Wire, frozen=True, kw_only=True, omit_defaults=True):
    """Reply of `POST /v1/complete`."""

    completions: list[CompletedQuery]
    """The likeliest first."""
    items: list[RankedItem]
    """What matches, in the order of the placement; or what is popular, and then `reason` says why."""
    served_by: str
    """The rung that ordered the items; empty where none were asked for."""
    position: str
    epoch: int
    took_ms: float
    degraded: list[str]
    reason: str = ""
    """`nothing_typed` or `nothing_matched` where items are not those of the query."""


class RankReply(PlacementReply, frozen=True, kw_only=True, omit_defaults=True):
    """Reply of `POST /v1/rank`: a decision's one placement, flattened."""

    decision_id: str
    position: str
    epoch: int
    took_ms: float
    degraded: list[str]
    warnings: list[Warned] = []


_T = TypeVar("_T", bound=Asking)
_Q = TypeVar("_Q", bound=AboutPerson)
_known_decide, _decide_of = body_decoder(KnownDecide), body_decoder(DecideRequest)
_complete_of = body_decoder(CompleteRequest)
_known_rank, _rank_of = body_decoder(KnownRank), body_decoder(RankRequest)


def decode_decide(raw: bytes) -> DecideRequest:
    """The body of `POST /v1/decide`, or `RequestRejected`; never anything else.

    >>> decode_decide(b'{"anonymousId": "a1", "placements": [{"id": "home.hero"}]}').placements[0].id
    'home.hero'
    """
    request = _checked(_decoded(raw, _known_decide, _decide_of))
    for placement in request.placements:
        _check_candidates(placement.candidates or ())
    return request


def decode_rank(raw: bytes) -> RankRequest:
    """The body of `POST /v1/rank`, or `RequestRejected`; never anything else."""
    request = _checked(_decoded(raw, _known_rank, _rank_of))
    _check_candidates(request.candidates)
    return request


def decode_complete(raw: bytes) -> CompleteRequest:
    """The body of `POST /v1/complete`, or `RequestRejected`; never anything else.

    >>> decode_complete(b'{"query": "red so"}').limit
    8
    """
    return _with_context(_complete_of(raw))


def _check_candidates(candidates: Sequence[AnyId | Candidate]) -> None:
    """Refuse fields that are nested too deep for whoever reads them later."""
    if _TEXT.issuperset(map(type, candidates)):
        return
    for candidate in candidates:
        if not isinstance(candidate, Candidate):
            continue
        for name, value in candidate.fields.items():
            if isinstance(value, list | dict) and is_deeper(value, ITEM_DEPTH_MAX - 1):
                reason = f"{name[:SHOWN_ID_CHARS]!a} is nested too deep: a candidate's fields are at most"
                raise RequestRejected("too_deep", f"{reason} {ITEM_DEPTH_MAX} deep")


def has_unknown_fields(request: Asking) -> bool:
    """Whether the body had fields that mean nothing."""
    return not isinstance(request, KnownDecide | KnownRank)


def _decoded(raw: bytes, known: Callable[[bytes], _T], lenient: Callable[[bytes], _T]) -> _T:
    """By the narrow types where they fit, so that who sends what is known pays nothing for finding out."""
    try:
        return known(raw)
    except RequestRejected as error:
        if NO_FIELD not in error.message:
            raise
    return lenient(raw)


def _with_context(request: _Q) -> _Q:
    """The request, if its context is an object; null counts as none."""
    if bytes(memoryview(request.context)[:1]) not in (b"", b"{"):
        if bytes(request.context) == b"null":
            return msgspec.structs.replace(request, context=msgspec.Raw())
        raise RequestRejected("schema", "context is no object where an object is wanted")
    return request


def _checked(request: _T) -> _T:
    """The request, if its context is an object and its time is one."""
    request = _with_context(request)
    if request.timestamp is not None:
        try:
            read_time_ms(request.timestamp, "timestamp")
        except EventRejected as error:
            raise RequestRejected("schema", error.message) from None
    return request
