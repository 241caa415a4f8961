"""The decision routes of a process that follows the log: what it answers, what it hands on, and whom it refuses."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from instanter.api.auth import Access
from instanter.api.browsers import PAGE, Page
from instanter.api.deciding import Deciding, DecidingOptions, decides
from instanter.api.replies import reply
from instanter.api.tenancy import Terms
from instanter.engine.follower import POSITION, Follower
from instanter.engine.loop import Engine
from instanter.engine.receipts import DecidedElsewhere
from instanter.foundation.errors import RateLimited, Unavailable
from instanter.privacy.access import Grant

from ..engine.harness import event, stock_shop, take, with_engine
from ..engine.test_follower import follow

HOME = "home.recommended"
QUESTION: dict[str, Any] = {"anonymousId": "a1", "placements": [{"id": HOME}], "deadlineMs": 10_000}
RANKING: dict[str, Any] = {
    "anonymousId": "a1", "placement": HOME, "candidates": ["sku-1", "sku-2"], "deadlineMs": 10_000,
}  # fmt: skip


class Writer:
    """What is handed on and told to; may be gone."""

    def __init__(self) -> None:
        self.gone = False
        self.handed: list[dict[str, Any]] = []
        self.told: list[tuple[DecidedElsewhere, str]] = []
        self.spent: set[str] = set()

    async def hand_on(self, request: Request, body: bytes) -> Response:
        if self.gone:
            raise Unavailable("there is no writer")
        self.handed.append(json.loads(body))
        return reply({"by": "writer"})

    def check(self, key_id: str) -> None:
        if key_id in self.spent:
            raise RateLimited("more requests than agreed", retry_after_s=2)

    def tell(self, decided: DecidedElsewhere, key_id: str) -> None:
        self.told.append((decided, key_id))


class Place:
    """A decider in this process, and how to ask it."""

    def __init__(self, engine: Engine, follower: Follower, *, dev: bool, public_fields: frozenset[str] | None) -> None:
        self.engine = engine
        self.follower = follower
        self.writer = Writer()
        self.page: Page | None = None
        self._app = Deciding(
            follower, Access(follower, engine.clock, Terms(key_requests_per_s=1_000), dev=dev),
            hand_on=self.writer.hand_on, elsewhere=self.writer, clock=engine.clock,
            options=DecidingOptions(deadline_ms=10_000.0, public_fields=public_fields),
        )  # fmt: skip

    async def ask(self, body: Any = QUESTION, *, path: str = "/v1/decide", **headers: str) -> httpx.Response:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            assert decides(scope)
            if self.page is not None:
                scope[PAGE] = self.page
            await self._app(scope, receive, send)

        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://x") as client:
            return await client.post(path, content=content, headers={"content-type": "application/json", **sent})


def with_decider(
    root: Path, work: Callable[[Place], Awaitable[None]], *, dev: bool = True,
    public_fields: frozenset[str] | None = None,
) -> None:  # fmt: skip
    async def run(engine: Engine) -> None:
        await stock_shop(engine)
        await take(engine, event(1))
        await work(Place(engine, follow(root, engine), dev=dev, public_fields=public_fields))

    with_engine(root, run)


def test_decisions_and_rankings_are_answered_here_and_told_to_the_writer(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        decided = (await place.ask()).json()
        ranked = (await place.ask(RANKING, path="/v1/rank/")).json()
        assert decided["placements"][HOME]["servedBy"] == ranked["servedBy"] == "personal"
        assert [one[0].record.decision_id for one in place.writer.told] == [
            decided["decisionId"], ranked["decisionId"]
        ]
        assert {key for _, key in place.writer.told} == {"dev"}
        assert place.writer.handed == []
        assert place.follower.meter.counts["served.personal"] == 2  # type: ignore[attr-defined]

    with_decider(tmp_path, work)


def test_what_is_said_of_a_question_is_said_here_too(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        told = (await place.ask({**QUESTION, "context": {"gpp": "DBAA"}, "placments": []})).json()
        assert len({one["code"] for one in told["warnings"]}) == 2, "what the writer's route says, too"
        refused = await place.ask({**QUESTION, "placements": [{"id": "home.recomended"}]})
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unknown_placement")
        assert (await place.ask(b"{")).status_code == 400
        assert (await place.ask({**QUESTION, "minPosition": "x"})).json()["error"]["code"] == "position"

    with_decider(tmp_path, work)


@pytest.mark.parametrize("more", [
    {"events": [{"type": "track", "event": "Product Viewed", "messageId": "m"}]},
    {"timestamp": "2026-01-01T00:00:00Z"},
    {"context": {"userToken": "x.y.z"}},
    {"minPosition": str(1 << 40)},
])  # fmt: skip
def test_what_only_the_writer_can_answer_is_handed_to_it(more: dict[str, Any], tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        assert (await place.ask({**QUESTION, **more})).json() == {"by": "writer"}
        assert place.writer.handed == [{**QUESTION, **more}]
        place.writer.gone = True
        gone = await place.ask({**QUESTION, **more})
        assert (gone.status_code, gone.json()["error"]["code"]) == (503, "unavailable")
        assert place.writer.told == []

    with_decider(tmp_path, work)


def test_a_user_token_in_a_header_is_the_writers(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        assert (await place.ask(x_user_token="a.b.c")).json() == {"by": "writer"}

    with_decider(tmp_path, work)


def test_a_revoked_key_does_not_count_once_that_is_acknowledged(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        key, text = await place.engine.credentials.issue_key(Grant("k", ("decide",)), tenant="default", actor="tests")
        assert (await place.ask(authorization=f"Bearer {text}")).status_code == 200
        assert place.writer.told[0][1] == key.id
        await place.engine.credentials.revoke_key("default", key.id, actor="tests")
        for headers in ({"authorization": f"Bearer {text}"}, {}):
            assert (await place.ask(**headers)).status_code == 401
        assert len(place.writer.told) == 1

    with_decider(tmp_path, work, dev=False)


def test_a_key_that_has_spent_all_through_all_workers_is_refused_here_too(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        place.writer.spent.add("dev")
        refused = await place.ask()
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "2")

    with_decider(tmp_path, work)


def test_a_public_key_sees_what_is_public_and_its_users_are_the_writers(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        _, text = await place.engine.credentials.issue_key(
            Grant("k", ("write", "decide"), public=True), tenant="default", actor="tests"
        )
        headers = {"authorization": f"Bearer {text}"}
        shown = (await place.ask({**QUESTION, "placements": [{"id": HOME, "fields": True}]}, **headers)).json()
        assert "error" not in shown
        for item in shown["placements"][HOME]["items"]:
            assert set(item.get("fields") or {}) <= {"title"}
        assert (await place.ask({**QUESTION, "userId": "u1"}, **headers)).json() == {"by": "writer"}
        assert (await place.ask({**QUESTION, "explain": True}, **headers)).status_code == 403
        place.page = Page("https://evil.example", "foreign")
        assert (await place.ask(**headers)).status_code == 403

    with_decider(tmp_path, work, dev=False, public_fields=frozenset({"title"}))


def test_what_cannot_be_read_in_time_is_the_writers_and_without_one_the_answer_says_so(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        position = place.follower.partition.position
        await take(place.engine, event(2))
        hurried = {**QUESTION, "deadlineMs": 10}

        async def never(*, left_ms: Callable[[], float]) -> bool:
            return False

        place.follower.reach = never  # type: ignore[method-assign]
        assert (await place.ask(hurried)).json() == {"by": "writer"}
        place.writer.gone = True
        for body, path in ((QUESTION, "/v1/decide"), (RANKING, "/v1/rank")):
            late = (await place.ask(body, path=path)).json()
            assert (late["degraded"], late["position"]) == ([POSITION], str(position))
        answers = iter([True, False])

        async def at_first(*, left_ms: Callable[[], float]) -> bool:
            return next(answers)

        place.follower.reach = at_first  # type: ignore[method-assign]
        assert (await place.ask()).json()["degraded"] == [POSITION]
        answers = iter([True, False])
        place.writer.gone = False
        assert (await place.ask()).json() == {"by": "writer"}

    with_decider(tmp_path, work)


def test_a_process_that_cannot_follow_any_more_decides_nothing(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        place.follower.broken = "it cannot be read"
        assert (await place.ask()).json() == {"by": "writer"}
        place.writer.gone = True
        assert (await place.ask()).status_code == 503
        assert place.writer.told == []

    with_decider(tmp_path, work)


def test_a_process_that_does_not_know_the_time_leaves_it_to_the_writer(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        place.engine.clock.doubted_ms = lambda: 5  # type: ignore[method-assign]
        assert (await place.ask()).json() == {"by": "writer"}

    with_decider(tmp_path, work)


def test_a_defect_of_ours_is_told_by_its_incident_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def work(place: Place) -> None:
        def fails(*_: Any, **__: Any) -> Any:
            raise ZeroDivisionError("secret")

        place.follower.decide = fails  # type: ignore[method-assign]
        failed = await place.ask()
        assert failed.status_code == 500
        assert "secret" not in failed.text

    with_decider(tmp_path, work)
    assert "a request failed" in caplog.text
