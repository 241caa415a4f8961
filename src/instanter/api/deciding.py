"""The decision routes of a process that follows the log: what it can answer by itself, it does; the rest is handed on.

It hands on what changes something or asks for what only the writer has: events in the question, a user who is to be
confirmed by a token, a time other than now. And whatever comes while it cannot read on in time: so a reply is never
older than what was acknowledged, as long as there is a writer.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, NamedTuple, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..decisions.fallback import PERSON_SHARE
from ..decisions.misnamed import misnamed
from ..decisions.request import (
    DecideRequest,
    RankRequest,
    decode_complete,
    decode_decide,
    decode_rank,
    has_unknown_fields,
)
from ..engine.follower import Followed, Follower
from ..engine.receipts import DecidedElsewhere
from ..events.claims import user_token_in
from ..foundation.clock import Clock
from ..foundation.deadline import Deadline
from ..foundation.errors import InstanterError, Unavailable
from ..foundation.ids import Ids
from ..foundation.limits import BODY_BYTES_MAX
from .admission import arrived_ns
from .app import RESOURCES
from .auth import CALL, Access
from .bodies import read_body, skip_body
from .complete import published_completions
from .decide import check_caller, position_in, published, without_effect
from .replies import code_of, encoded, failure, refusal, reply
from .routing import plain_path
from .tenancy import Caller, caller_of, objects, user_token_of

log = logging.getLogger("instanter.api")

DECIDE: Final = "/v1/decide"
RANK: Final = "/v1/rank"
COMPLETE: Final = "/v1/complete"
_DEMANDS: Final = {
    resource.path: resource.demand("POST") for resource in RESOURCES if resource.path in (DECIDE, RANK, COMPLETE)
}


def decides(scope: Scope) -> bool:
    """Whether a request is one for these routes."""
    return scope["method"] == "POST" and plain_path(scope["path"]) in _DEMANDS


class Elsewhere(Protocol):
    """What is told to the writer of decisions that were made here."""

    def check(self, key_id: str) -> None:
        """Raise `RateLimited` for an access key that has spent what it may, here and elsewhere."""
        ...

    def tell(self, decided: DecidedElsewhere, key_id: str) -> None:
        """A decision was made for whoever has this key."""
        ...


class DecidingOptions(NamedTuple):
    """What answers depend on beside the state."""

    deadline_ms: float
    """Of a decision whose request names none."""
    public_fields: frozenset[str] | None
    """What a public key is shown of an item; None: all."""


HandOn = Callable[[Request, bytes], Awaitable[Response]]
"""Gives a request, whose body has been read, to the writer. Raises `Unavailable` where there is none."""


class Deciding:
    """An application of these routes. Used on the loop's thread."""

    def __init__(
        self, follower: Follower, access: Access, *, hand_on: HandOn, elsewhere: Elsewhere, clock: Clock,
        options: DecidingOptions,
    ) -> None:  # fmt: skip
        self._follower = follower
        self._access = access
        self._hand_on = hand_on
        self._elsewhere = elsewhere
        self._clock = clock
        self._options = options
        self._meter = follower.meter
        self._ids = Ids()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        try:
            return await self._called(request)
        except InstanterError as error:
            self._meter.count(f"requests_refused.{code_of(error)}")
            return refusal(error)
        except Exception:
            incident = self._ids.token()
            self._meter.count("requests_failed")
            log.exception("a request failed", extra={"incident": incident, "route": request.scope["path"]})
            return failure(incident)

    async def _called(self, request: Request) -> Response:
        """Answer whoever has the key for it. Which keys count is read first: they are in the log, too."""
        deadline = Deadline(self._options.deadline_ms)
        late = not await self._reached(deadline)
        if late:
            body = await read_body(request, bytes_max=BODY_BYTES_MAX)
            if (answer := await self._handed_on(request, body)) is not None:
                return answer
        demand = _DEMANDS[plain_path(request.scope["path"])]
        assert demand is not None
        try:
            call = request.scope[CALL] = self._access.admit(request, demand)
            self._elsewhere.check(caller_of(request).actor)
        except InstanterError:
            if not late:
                await skip_body(request)
            raise
        try:
            if late:
                await call.begin(body)
            else:
                body = await read_body(request, bytes_max=BODY_BYTES_MAX)
            if plain_path(request.scope["path"]) == COMPLETE:
                return await self._completed(request, body, late=late)
            return await self._decided(request, body, late=late)
        finally:
            call.end()

    async def _decided(self, request: Request, body: bytes, *, late: bool) -> Response:
        ranks = plain_path(request.scope["path"]) == RANK
        asked: DecideRequest | RankRequest = decode_rank(body) if ranks else decode_decide(body)
        question = asked.as_decide() if isinstance(asked, RankRequest) else asked
        caller = caller_of(request)
        if self._is_the_writers(request, question, caller):
            return await self._hand_on(request, body)
        check_caller(caller, asked)
        deadline = Deadline(asked.deadline_ms or self._options.deadline_ms, started_ns=arrived_ns(request))
        self._follower.decider.admit(question)
        if not late and not await self._reached(deadline):
            late = True
            if (answer := await self._handed_on(request, body)) is not None:
                return answer
        told = without_effect(asked, self._meter)
        self._meter.observe("wait", deadline.elapsed_ns())
        followed = self._follower.decide(
            question, tenant=caller.tenant, deadline=deadline, gpc=objects(request), late=late
        )
        self._elsewhere.tell(followed.told, caller.actor)
        decision = followed.decision.warned(last=told) if told else followed.decision
        if has_unknown_fields(asked):
            decision = decision.warned(misnamed(body, RankRequest if ranks else DecideRequest))
        if caller.public and self._options.public_fields is not None:
            decision = published(decision, self._options.public_fields)
        self._note(followed, deadline)
        return encoded(decision.encode_rank() if ranks else decision.encode())

    async def _completed(self, request: Request, body: bytes, *, late: bool) -> Response:
        asked = decode_complete(body)
        caller = caller_of(request)
        confirms = user_token_of(request) or user_token_in(asked.context)
        if confirms or (caller.public and asked.user is not None):
            return await self._hand_on(request, body)
        deadline = Deadline(asked.deadline_ms or self._options.deadline_ms, started_ns=arrived_ns(request))
        self._follower.decider.admit_complete(asked)
        if not late and not await self._reached(deadline):
            late = True
            if (answer := await self._handed_on(request, body)) is not None:
                return answer
        self._meter.observe("wait", deadline.elapsed_ns())
        made = self._follower.complete(
            asked, tenant=caller.tenant, deadline=deadline, gpc=objects(request), late=late
        )
        self._meter.observe("complete", deadline.elapsed_ns())
        return reply(published_completions(made, self._options.public_fields if caller.public else None))

    async def _handed_on(self, request: Request, body: bytes) -> Response | None:
        """The writer's answer; None where there is no writer, and this process can answer all the same."""
        try:
            return await self._hand_on(request, body)
        except Unavailable:
            if self._follower.broken:
                raise
            return None

    def _is_the_writers(self, request: Request, question: DecideRequest, caller: Caller) -> bool:
        """Whether only the writer can answer this."""
        if question.events or question.timestamp is not None:
            return True
        if position_in(question.min_position) > self._follower.partition.position:
            return True
        if user_token_of(request) or user_token_in(question.context):
            return True
        return caller.public and question.user is not None

    async def _reached(self, deadline: Deadline) -> bool:
        """Whether everything acknowledged by now has been read; False too while this process does not know the time."""
        if self._clock.doubted_ms():
            return False
        try:
            return await self._follower.reach(left_ms=partial(deadline.left_ms, PERSON_SHARE))
        except Unavailable:
            return False

    def _note(self, followed: Followed, deadline: Deadline) -> None:
        self._meter.observe("decide", deadline.elapsed_ns())
        for placed in followed.decision.reply.placements.values():
            self._meter.count(f"served.{placed.served_by}")
