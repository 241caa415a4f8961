"""The decision routes: bytes in, bytes out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection
from typing import Final, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ..decisions.decide import Decision
from ..decisions.misnamed import misnamed
from ..decisions.receipt import decode_receipt
from ..decisions.request import (
    AboutPerson,
    Asking,
    DecideRequest,
    RankedItem,
    RankRequest,
    Warned,
    decode_decide,
    decode_rank,
    has_unknown_fields,
)
from ..decisions.why import PlacementExplained, PlacementWhy
from ..engine.decision_ids import is_decision_id, is_from_elsewhere
from ..engine.loop import Engine
from ..engine.tally import EventWarning
from ..events.claims import FORBIDDEN, user_token_in
from ..events.identifiers import FOR_NONE
from ..events.notes import CONSENT_UNREAD, PLACEHOLDER, Note, sentence
from ..events.statements import unread_in
from ..foundation.deadline import Deadline
from ..foundation.errors import DiskFull, RequestRejected, Unavailable
from ..foundation.limits import BODY_BYTES_MAX, ID_CHARS_MAX, REPLAY_WAIT_MS_MAX
from ..foundation.measure import Meter
from ..log.frames import LogPosition
from .admission import arrived_ns
from .auth import count_events, meet_of
from .bodies import read_body, read_nothing
from .jobs import Refusal, accepted, jobs_of
from .pages import page_of
from .replies import encoded, reply
from .routing import path_id
from .tenancy import Caller, caller_of, objects, tenant_of, user_token_of
from .visitors import context_of

REPLAY: Final = "replay"
"""The kind of job that makes a decision again."""
WHY: Final = "why"
"""The kind of job that tells what became of an item in a decision."""
EXPLAIN: Final = "explain"
"""The kind of job that tells a decision with its reasons, and the parameter that asks for it."""
ITEM: Final = "item"
ELSEWHERE_WAITS_S: Final = (0.02, 0.1)
"""A receipt that another process made is on its way for a moment: it is looked for again after these pauses."""
_POSITION_DIGITS_MAX = 19
_Q = TypeVar("_Q", bound=AboutPerson)


class ReplayReply(msgspec.Struct, rename="camel"):
    """`POST /v1/decisions/{id}/replay`: the decision made again from the log, beside what its receipt says."""

    decision_id: str
    identical: bool
    differences: list[str]
    """Names of what is not the same, e.g. "home.hero.items"."""
    folded_events: int
    """Records of the log that were folded to come to where it was made."""
    took_ms: float


class WhyReply(msgspec.Struct, rename="camel"):
    """`GET /v1/decisions/{id}?item=`: what became of an item in each list of the decision, which was made again."""

    decision_id: str
    item: str
    in_catalogue: bool
    """Whether the catalogue had such an item when the decision was made."""
    identical: bool
    """Whether the decision came out as it was made. If not, what is told is of the one made again."""
    differences: list[str]
    """As a replay names them."""
    placements: dict[str, PlacementWhy]
    folded_events: int
    took_ms: float


class ExplainedReply(msgspec.Struct, rename="camel"):
    """`GET /v1/decisions/{id}?explain=true`: the decision made again, with scores, reasons and what was ruled out."""

    decision_id: str
    identical: bool
    """Whether the decision came out as it was made. If not, what is told is of the one made again."""
    differences: list[str]
    placements: dict[str, PlacementExplained]
    folded_events: int
    took_ms: float


def why_subject(decision_id: str, item_id: str) -> str:
    """What a job is about that tells what became of an item; no id of a decision has a blank.

    >>> asked_why(why_subject("d_1", "red sofa"))
    ('d_1', 'red sofa')
    """
    return f"{decision_id} {item_id}"


def asked_why(subject: str) -> tuple[str, str]:
    """The id of the decision and that of the item that such a job is about."""
    decision_id, _, item_id = subject.partition(" ")
    return decision_id, item_id


async def decide(engine: Engine, request: Request) -> Response:
    """`POST /v1/decide`."""
    body = await read_body(request, bytes_max=BODY_BYTES_MAX)
    asked = decode_decide(body)
    decision = await _decide(engine, asked, asked, request)
    if has_unknown_fields(asked):
        decision = decision.warned(misnamed(body, DecideRequest))
    return encoded(decision.encode())


async def rank(engine: Engine, request: Request) -> Response:
    """`POST /v1/rank`: a decision with one placement, flattened."""
    body = await read_body(request, bytes_max=BODY_BYTES_MAX)
    asked = decode_rank(body)
    decision = await _decide(engine, asked, asked.as_decide(), request)
    if has_unknown_fields(asked):
        decision = decision.warned(misnamed(body, RankRequest))
    return encoded(decision.encode_rank())


async def receipt(engine: Engine, request: Request) -> Response:
    """`GET /v1/decisions/{id}`: what the decision stood on; one just made is waited for until it is on disk. With
    `?item=` what became of that item in it, with `?explain=true` all of it with its reasons."""
    item_id, explain = _asked_of(request)
    decision_id = path_id(request)
    receipt = await read_receipt(engine, tenant_of(request), decision_id)
    if item_id:
        return await told_by_job(request, WHY, why_subject(decision_id, item_id))
    if explain:
        return await told_by_job(request, EXPLAIN, decision_id)
    return reply(decode_receipt(receipt).readable(engine.partition.state.catalogue))


def _asked_of(request: Request) -> tuple[str, bool]:
    """The item that is asked about, "" where none is, and whether the reasons are; `RequestRejected` for what is no
    such question."""
    query = request.query_params
    item, explain = query.get(ITEM), query.get(EXPLAIN, "false")
    if item is not None and not 1 <= len(item) <= ID_CHARS_MAX:
        raise RequestRejected("schema", f"{ITEM} is one id of an item, of 1 to {ID_CHARS_MAX} characters")
    if explain not in ("true", "false"):
        raise RequestRejected("schema", f"{EXPLAIN} is true or false")
    if item is not None and explain == "true":
        raise RequestRejected("schema", f"{ITEM} and {EXPLAIN} are two questions: ask one of them")
    return item or "", explain == "true"


async def list_(engine: Engine, request: Request) -> Response:
    """`GET /v1/decisions`: the newest first; one just made is waited for until it is on disk."""
    page = page_of(request)
    await engine.journal.settled()
    return reply(await engine.listings.decisions(tenant_of(request), limit=page.limit, after=page.after))


async def replay(engine: Engine, request: Request) -> Response:
    """`POST /v1/decisions/{id}/replay`: make it again from the log. What takes longer is answered 202, with the job."""
    await read_nothing(request)
    decision_id = path_id(request)
    await read_receipt(engine, tenant_of(request), decision_id)
    return await told_by_job(request, REPLAY, decision_id)


async def told_by_job(request: Request, kind: str, subject: str) -> Response:
    """The outcome of a job, or 202 with the job where that takes longer."""
    jobs = jobs_of(request)
    job = await jobs.ended(jobs.start(tenant_of(request), kind, subject), REPLAY_WAIT_MS_MAX / 1_000)
    if job.refusal is not None:
        raise _not_replayed(job.refusal)
    return encoded(job.outcome) if job.state == "done" else accepted(job)


def _not_replayed(refusal: Refusal) -> RequestRejected | Unavailable:
    if refusal.status < 500:
        return RequestRejected(refusal.code, refusal.message, status=refusal.status)
    return Unavailable(refusal.message)


async def read_receipt(
    engine: Engine, tenant: str, decision_id: str, *, only_of: Collection[int] | None = None
) -> bytes:
    """The receipt of a decision, which is on disk then. Raises what `Engine.receipt` does."""
    if not is_decision_id(decision_id):
        raise RequestRejected("unknown_decision", "that is not the id of a decision", status=404)
    for wait_s in ELSEWHERE_WAITS_S if is_from_elsewhere(decision_id) else ():
        await engine.journal.settled()
        with contextlib.suppress(RequestRejected):
            return await asyncio.to_thread(engine.receipt, tenant, decision_id, only_of=only_of)
        await asyncio.sleep(wait_s)
    await engine.journal.settled()
    # A made-up id can cost a pass over a segment: not on the loop.
    return await asyncio.to_thread(engine.receipt, tenant, decision_id, only_of=only_of)


def check_caller(caller: Caller, asked: Asking) -> None:
    """Refuse what the question asks beyond the scope of the route."""
    if asked.explain:
        caller.require_private("asks for no explanation: that is what is known of the person")
    if asked.events:
        caller.require("write")
    if asked.timestamp is not None:
        caller.require("admin")


async def _decide(engine: Engine, asked: Asking, question: DecideRequest, request: Request) -> Decision:
    """Refuse what cannot be answered, then take the events, then decide on what they have changed.

    The deadline runs from the last byte of the request: waiting for the loop, for the tenant's turn and for the disk to
    take the events counts.
    """
    caller = caller_of(request)
    check_caller(caller, asked)
    deadline = Deadline(asked.deadline_ms or engine.options.deadline_ms, started_ns=arrived_ns(request))
    waited_ns = deadline.elapsed_ns()
    engine.decider.admit(question)
    tenant, gpc = caller.tenant, objects(request)
    user_token = user_token_of(request) or user_token_in(asked.context)
    if caller.public and question.user is not None:
        question = of_device(engine, question, tenant, user_token)
    position = _position(engine, asked.min_position)
    told = without_effect(asked, engine.meter)
    if asked.events:
        count_events(request, len(asked.events))
        taken = await engine.intake.take(
            asked.events, kind=None, tenant=tenant, public=caller.public, gpc=gpc,
            user_token=user_token, defaults=context_of(request, caller, request.app.state.proxies),
            meet=meet_of(request),
        )  # fmt: skip
        if taken.rejected:
            first = taken.rejected[0]
            status = 403 if first.code == FORBIDDEN else 400
            raise RequestRejected(first.code, f"events: {first.message}", status=status)
        told += [_of_events(warning) for warning in taken.warnings]
    await _reach(engine, position, deadline)
    engine.meter.observe("wait", waited_ns)
    if asked.events or position:
        engine.meter.observe("events", deadline.elapsed_ns() - waited_ns)
    decision = await engine.decide(question, tenant=tenant, deadline=deadline, gpc=gpc)
    decision = decision.warned(last=told) if told else decision
    public_fields = engine.options.catalogue.public_fields
    return published(decision, public_fields) if caller.public and public_fields is not None else decision


def without_effect(asked: Asking, meter: Meter) -> list[Warned]:
    """What is said of ids that are none, and of statements of consent that no decision reads."""
    notes = [Note(PLACEHOLDER, field, FOR_NONE) for field in asked.placeholders]
    notes += [Note(CONSENT_UNREAD, f"context.{name}") for name in unread_in(asked.context)]
    for note in notes:
        meter.count(f"questions_warned.{note.code}")
    return [Warned(code=note.code, message=sentence(note)) for note in notes]


def _of_events(warning: EventWarning) -> Warned:
    """What is said of events that came with a question: they were taken, and something of them does not count."""
    return Warned(code=warning.code, message=f'events: {warning.count} "{warning.event}": {warning.message}')


def published(decision: Decision, public_fields: Collection[str]) -> Decision:
    """The decision as everybody may read it: of an item's fields those that are public."""
    placements = {
        placement: msgspec.structs.replace(placed, items=[public_item(item, public_fields) for item in placed.items])
        for placement, placed in decision.reply.placements.items()
    }
    return msgspec.structs.replace(decision, reply=msgspec.structs.replace(decision.reply, placements=placements))


def public_item(item: RankedItem, public_fields: Collection[str]) -> RankedItem:
    """The item as everybody may read it."""
    if item.fields is None:
        return item
    fields = {name: value for name, value in item.fields.items() if name in public_fields}
    return msgspec.structs.replace(item, fields=fields)


def of_device(engine: Engine, question: _Q, tenant: str, user_token: str) -> _Q:
    """The question of a public key that names a user: about the device alone, unless a user token confirms it."""
    if engine.signing.confirm(tenant, user_token, question.user or "", engine.clock.now_ms()):
        return question
    if question.device is None:
        reason = "a public key decides for the device's anonymousId, or for the userId that a user token confirms"
        raise RequestRejected("forbidden", reason, status=403)
    return msgspec.structs.replace(question, user_id=None)


def position_in(text: str | None) -> LogPosition:
    """The position that a text names, 0 for none; `RequestRejected` for what is no position."""
    if text is None:
        return LogPosition(0)
    if not (text.isascii() and text.isdigit()) or len(text) > _POSITION_DIGITS_MAX:
        raise RequestRejected("position", "minPosition is a position as a reply gave it")
    return LogPosition(int(text))


def _position(engine: Engine, text: str | None) -> LogPosition:
    """The position that `minPosition` names; one that nobody gave out is refused."""
    position = position_in(text)
    if position > engine.partition.position and position > engine.journal.next_position:
        raise RequestRejected("position", f"minPosition {position} is beyond the end of the log")
    return position


async def _reach(engine: Engine, position: LogPosition, deadline: Deadline) -> None:
    """Wait until the state is at least there. When the deadline passes first, or the fold waits for room, the
    answer's own position says so."""
    if engine.partition.position < position:
        with contextlib.suppress(TimeoutError, DiskFull):
            async with asyncio.timeout(max(deadline.left_ms(), 0.0) / 1_000):
                await engine.journal.reached(position)
