"""Every call as a value: the request to be sent, and how its answer is read. No network is known here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar, Unpack
from urllib.parse import quote

import msgspec

from .answers import Answer, read_as, read_erasure, read_health, read_readiness, read_replay
from .asked import (
    Candidate,
    CompleteQuestion,
    DecideQuestion,
    PersonFields,
    Placement,
    QuestionFields,
    RankQuestion,
)
from .errors import ClientError
from .events import Alias, AnyEventFields, Event, EventFields, Group, Identify, Page, Screen, Track, stamped
from .replies import (
    CompletionReply,
    ConsentReply,
    DecisionReply,
    DeletionReply,
    Erasure,
    Item,
    ItemChange,
    ItemPage,
    ItemsReply,
    Job,
    PlacementReply,
    Profile,
    RankedItem,
    RankReply,
    Readiness,
    Replay,
    TrackReply,
)
from .surroundings import Surroundings

T = TypeVar("T")
Json = dict[str, Any]

DECIDE_WITHIN_S: Final = 0.3
"""A page waits for it."""
FALLBACK: Final = "fallback"
_DELETE: Final = "delete"
"""A name that a route has: an item of that id is called with its first letter escaped."""

_encode = msgspec.json.Encoder().encode


class Call(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A request, and what becomes of its answer."""

    method: str
    path: str
    """With what stands behind the `?`; ids in it are escaped."""
    read: Callable[[Answer], T]
    """Makes the value of an answer, or raises a `ClientError`."""
    body: bytes | None = None
    """JSON."""
    again: bool = True
    """Whether it may be sent twice."""
    within_s: float | None = None
    """All attempts together, where the client's own patience does not count."""
    fallback: Callable[[ClientError], T] | None = None
    """What to answer where it fails."""


class Calls:
    """Makes calls; what they need of time and chance comes from the surroundings."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings

    # Events.

    def track(
        self, event: str, properties: Mapping[str, Any] | None = None, **fields: Unpack[EventFields]
    ) -> Call[TrackReply]:
        """Tell something that somebody did. It counts in the next decision once this returns."""
        return self.send(Track(event, properties or {}, **fields))

    def page(
        self, name: str | None = None, properties: Mapping[str, Any] | None = None, **fields: Unpack[EventFields]
    ) -> Call[TrackReply]:
        """Tell that somebody sees a page."""
        return self.send(Page(name, properties or {}, **fields))

    def screen(
        self, name: str | None = None, properties: Mapping[str, Any] | None = None, **fields: Unpack[EventFields]
    ) -> Call[TrackReply]:
        """Tell that somebody sees a screen."""
        return self.send(Screen(name, properties or {}, **fields))

    def identify(
        self, user_id: str, traits: Mapping[str, Any] | None = None, **fields: Unpack[AnyEventFields]
    ) -> Call[TrackReply]:
        """Tell who somebody is; with `anonymous_id`, what that device did is theirs from now on."""
        return self.send(Identify(traits or {}, user_id=user_id, **fields))

    def group(
        self, group_id: str, traits: Mapping[str, Any] | None = None, **fields: Unpack[EventFields]
    ) -> Call[TrackReply]:
        """Tell what group somebody belongs to."""
        return self.send(Group(group_id, traits or {}, **fields))

    def alias(self, previous_id: str, user_id: str, **fields: Unpack[AnyEventFields]) -> Call[TrackReply]:
        """Tell that two ids are one person."""
        return self.send(Alias(previous_id, user_id=user_id, **fields))

    def send(self, event: Event) -> Call[TrackReply]:
        """Tell one event; one that cannot be taken is `Refused`."""
        sent = stamped(event, self._surroundings)
        return self._post(f"/v1/{type(event).__struct_config__.tag}", sent, TrackReply)

    def batch(self, events: Sequence[Event]) -> Call[TrackReply]:
        """Tell many events. Those that cannot be taken are `rejected` in the reply, and the others are kept."""
        return self._post("/v1/batch", {"batch": self._stamped(events)}, TrackReply)

    # Decisions.

    def decide(
        self, placements: Sequence[str | Placement], *, timeout_s: float = DECIDE_WITHIN_S,
        fallback: Mapping[str, Sequence[str]] | None = None, **asked: Unpack[QuestionFields],
    ) -> Call[DecisionReply]:  # fmt: skip
        """Ask what somebody should see, for all placements of a page at once.

        With `fallback` (placement -> ids) nothing is raised but for a wrong call: where there is no answer within
        `timeout_s` those items are the answer, and `failure` says why.
        """
        spots = [_spot_of(one) for one in _several(placements, "placements")]
        question = DecideQuestion(placements=spots, **self._asked(asked))
        answer = None if fallback is None else _decision_of([spot.id for spot in spots], fallback)
        return self._post("/v1/decide", question, DecisionReply, within_s=timeout_s, fallback=answer)

    def rank(
        self, placement: str, candidates: Sequence[str | Candidate], *, limit: int | None = None, query: str = "",
        item: str = "", timeout_s: float = DECIDE_WITHIN_S, fallback: bool = False, **asked: Unpack[QuestionFields],
    ) -> Call[RankReply]:  # fmt: skip
        """Ask for the order of the caller's own list. With `fallback` it is the caller's where there is no answer."""
        question = RankQuestion(
            placement=placement, candidates=_several(candidates, "candidates"), limit=limit, query=query, item=item,
            **self._asked(asked),
        )  # fmt: skip
        answer = _ranking_of(candidates, limit) if fallback else None
        return self._post("/v1/rank", question, RankReply, within_s=timeout_s, fallback=answer)

    def complete(
        self, query: str, *, limit: int | None = None, items: int | None = None, placement: str | None = None,
        timeout_s: float = DECIDE_WITHIN_S, fallback: bool = False, **asked: Unpack[PersonFields],
    ) -> Call[CompletionReply]:  # fmt: skip
        """Ask what completes a search. With `fallback` nothing does where there is no answer."""
        question = CompleteQuestion(query=query, limit=limit, items=items, placement=placement, **asked)
        answer = _no_completions if fallback else None
        return self._post("/v1/complete", question, CompletionReply, within_s=timeout_s, fallback=answer)

    def get_decision(self, id: str) -> Call[Json]:
        """The receipt of a decision: what it stood on."""
        return self._call("GET", f"/v1/decisions/{escaped(id)}", Json)

    def replay_decision(self, id: str) -> Call[Replay | Job]:
        """Make a decision again from the log; what takes longer is a `Job`."""
        return Call(method="POST", path=f"/v1/decisions/{escaped(id)}/replay", read=read_replay)

    def get_job(self, id: str) -> Call[Job]:
        """How a job stands."""
        return self._call("GET", f"/v1/jobs/{escaped(id)}", Job)

    # The catalogue.

    def upsert_items(self, items: Mapping[str, Mapping[str, Any]]) -> Call[ItemsReply]:
        """Put items (id -> fields) into the catalogue, whole. Those that do not fit are `rejected` in the reply; it is
        `Refused` where none fits."""
        if not isinstance(items, Mapping):
            raise TypeError('items are id -> fields: {"sku-1": {"title": ...}}')
        sent = [{"id": id, "fields": fields} for id, fields in items.items()]
        return self._post("/v1/items", {"items": sent}, ItemsReply)

    def patch_item(self, id: str, fields: Mapping[str, Any]) -> Call[ItemChange]:
        """Change fields of an item; None removes one."""
        return self._call("PATCH", f"/v1/items/{escaped(id)}", ItemChange, body={"fields": fields})

    def delete_items(self, ids: Sequence[str]) -> Call[DeletionReply]:
        """Take items out of the catalogue."""
        return self._post("/v1/items/delete", {"ids": _several(ids, "ids")}, DeletionReply)

    def get_item(self, id: str) -> Call[Item]:
        """An item of the catalogue."""
        return self._call("GET", f"/v1/items/{escaped(id)}", Item)

    def list_items(self, *, limit: int | None = None, after: str | None = None) -> Call[ItemPage]:
        """A page of the catalogue; the next one is behind what it says as `next`."""
        asked = {"limit": limit, "after": after}
        words = [f"{name}={quote(str(value), safe=UNESCAPED)}" for name, value in asked.items() if value is not None]
        return self._call("GET", "/v1/items" + ("?" + "&".join(words) if words else ""), ItemPage)

    # People. An id is a user's, or `anonymous:` and a device's.

    def get_profile(self, id: str) -> Call[Profile]:
        """What is known of a person."""
        return self._call("GET", f"/v1/profiles/{escaped(id)}", Profile)

    def erase_profile(self, id: str) -> Call[Erasure]:
        """Erase a person, with every linked id."""
        return Call(method="DELETE", path=f"/v1/profiles/{escaped(id)}", read=read_erasure, again=False)

    def set_consent(self, id: str, purposes: Mapping[str, bool]) -> Call[ConsentReply]:
        """State what a person has agreed to; purposes that are not named stay as they were."""
        return self._call("PUT", f"/v1/profiles/{escaped(id)}/consent", ConsentReply, body={"purposes": purposes})

    # The server.

    def health(self) -> Call[bool]:
        """Whether the process answers."""
        return Call(method="GET", path="/healthz", read=read_health)

    def ready(self) -> Call[Readiness]:
        """Whether it can answer decisions, and why not."""
        return Call(method="GET", path="/readyz", read=read_readiness)

    def _stamped(self, events: Sequence[Event]) -> list[Event]:
        return [stamped(event, self._surroundings) for event in events]

    def _asked(self, asked: QuestionFields) -> QuestionFields:
        """With events that have their times and ids, for a question that is asked again."""
        events = asked.get("events")
        return {**asked, "events": self._stamped(events)} if events else asked

    def _post(
        self, path: str, body: object, kind: type[T], *, within_s: float | None = None,
        fallback: Callable[[ClientError], T] | None = None,
    ) -> Call[T]:  # fmt: skip
        return self._call("POST", path, kind, body=body, within_s=within_s, fallback=fallback)

    def _call(
        self, method: str, path: str, kind: type[T], *, body: object = None, within_s: float | None = None,
        fallback: Callable[[ClientError], T] | None = None,
    ) -> Call[T]:  # fmt: skip
        if within_s is not None and not within_s > 0:
            raise ValueError("timeout_s is above 0")
        return Call(
            method=method, path=path, body=None if body is None else encoded(body), read=_reader(kind),
            within_s=within_s, fallback=fallback,
        )  # fmt: skip


def export_path(id: str) -> str:
    """Where all that is held about a person is read."""
    return f"/v1/profiles/{escaped(id)}/export"


UNESCAPED: Final = "-_.~"


def escaped(id: str) -> str:
    """An id as one part of a path; raises ValueError for what no path can hold.

    >>> escaped("sofa/2 äöü"), escaped("delete")
    ('sofa%2F2%20%C3%A4%C3%B6%C3%BC', '%64elete')
    """
    if id in ("", ".", ".."):
        raise ValueError(f"an id cannot be {id!r}")
    return f"%64{id[1:]}" if id == _DELETE else quote(id, safe=UNESCAPED)


def encoded(body: object) -> bytes:
    """JSON; raises ValueError for numbers that are none there, TypeError for what is no JSON at all."""
    _check_finite(msgspec.to_builtins(body))
    return _encode(body)


def _check_finite(value: object) -> None:
    if isinstance(value, dict):
        for name, held in value.items():
            if isinstance(held, float) and held - held != 0:
                raise ValueError(f"{name} is {held}: send a finite number, or None")
            _check_finite(held)
    elif isinstance(value, list | tuple):
        for held in value:
            _check_finite(held)


def _spot_of(given: object) -> Placement:
    """A placement by its name, or as it is; TypeError for anything else."""
    if isinstance(given, str):
        return Placement(id=given)
    if not isinstance(given, Placement):
        raise TypeError(f"a placement is a name or a Placement, not {type(given).__name__}")
    return given


def _several(given: Sequence[T], name: str) -> Sequence[T]:
    """The list; TypeError for a text alone, which would be a list of its letters."""
    if isinstance(given, str):
        raise TypeError(f"{name} is a list: [{given!r}]")
    return list(given)


def _ranked(ids: Sequence[str]) -> list[RankedItem]:
    return [RankedItem(id=id, position=place, score=0.0, propensity=0.0, reasons=[])
            for place, id in enumerate(ids, start=1)]  # fmt: skip


def _decision_of(
    placements: Sequence[str], fallback: Mapping[str, Sequence[str]]
) -> Callable[[ClientError], DecisionReply]:
    """Makes the answer of a fallback; ValueError where it names a placement that was not asked for."""
    if unknown := [name for name in fallback if name not in placements]:
        raise ValueError(f"fallback has {unknown[0]!r}, which is none of the placements")
    lists = {
        name: PlacementReply(items=_ranked(_several(fallback.get(name, ()), "fallback")), served_by=FALLBACK)
        for name in placements
    }
    return lambda error: DecisionReply(
        decision_id="", position="", epoch=0, took_ms=0.0, placements=lists, failure=error.code
    )


def _ranking_of(candidates: Sequence[str | Candidate], limit: int | None) -> Callable[[ClientError], RankReply]:
    ids = [one if isinstance(one, str) else one.id for one in candidates]
    return lambda error: RankReply(
        items=_ranked(ids[:limit]), served_by=FALLBACK, decision_id="", position="", epoch=0, took_ms=0.0,
        failure=error.code,
    )  # fmt: skip


def _no_completions(error: ClientError) -> CompletionReply:
    return CompletionReply(
        completions=[], items=[], served_by=FALLBACK, position="", epoch=0, took_ms=0.0, failure=error.code
    )


_READERS: Final[dict[Any, Callable[[Answer], Any]]] = {
    kind: read_as(kind)
    for kind in (
        CompletionReply, ConsentReply, DecisionReply, DeletionReply, Item, ItemChange, ItemPage, ItemsReply, Job, Json,
        Profile, RankReply, TrackReply,
    )
}  # fmt: skip


def _reader(kind: type[T]) -> Callable[[Answer], T]:
    return _READERS[kind]
