"""`POST /v1/complete`: who may ask, what is refused, and that nothing of it is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from instanter.api.tenancy import Terms
from instanter.engine.feeds import CatalogueOptions
from instanter.foundation.limits import COMPLETED_ITEMS_MAX, COMPLETIONS_MAX
from instanter.privacy.access import Grant

from .client import Client, track, with_client
from .test_deciding import Place, with_decider

TYPED: dict[str, Any] = {"anonymousId": "a1", "query": "so", "deadlineMs": 10_000}
PATH = "/v1/complete"


async def stocked(client: Client, **headers: Any) -> None:
    for item, title in (("s-1", "Red Sofa"), ("s-2", "Blue Sofa"), ("s-3", "Sofabed"), ("t-1", "Oak table")):
        body = {"items": [{"id": item, "fields": {"title": title, "category": "x", "margin": 3}}]}
        assert (await client.post("/v1/items", body, **headers)).status_code == 200


def test_it_answers_completions_and_items_and_leaves_nothing_in_the_log(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        await stocked(client)
        await client.engine.journal.settled()
        before = client.engine.journal.next_position
        told = (await client.post(PATH, TYPED)).json()
        assert [one["query"] for one in told["completions"]] == ["sofa", "sofabed"]
        assert {one["id"] for one in told["items"]} == {"s-1", "s-2", "s-3"}
        assert set(told) == {"completions", "items", "servedBy", "position", "epoch", "tookMs", "degraded"}
        assert client.engine.journal.next_position == before
        none = (await client.post(PATH, {**TYPED, "query": "xyz"})).json()
        assert (none["completions"], none["reason"]) == ([], "nothing_matched")
        assert client.engine.meter.stages["complete"].count == 2

    with_client(tmp_path, work)


def test_what_somebody_did_a_moment_ago_counts_and_without_their_agreement_it_does_not(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        await stocked(client)
        for number in range(3):
            viewed = track(number, properties={"product_id": "s-3"})
            assert (await client.post("/v1/track", viewed)).status_code == 200
        assert (await client.post("/v1/track", track(9, anonymousId="b", properties={"product_id": "s-1"}))).is_success
        first = (await client.post(PATH, TYPED)).json()["completions"][0]["query"]
        assert first == "sofabed"
        for refused in ({"headers": {"Sec-GPC": "1"}}, {}):
            asked = TYPED if refused else {**TYPED, "context": {"consent": {"personalization": False}}}
            told = (await client.post(PATH, asked, **refused)).json()
            assert told["completions"][0]["query"] == "sofa"
            assert told["servedBy"] != "personal"

    with_client(tmp_path, work)


@pytest.mark.parametrize(("body", "code", "said"), [
    ({"q": "so"}, "schema", "q"),
    ({**TYPED, "limit": 0}, "schema", "limit"),
    ({**TYPED, "limit": COMPLETIONS_MAX + 1}, "schema", "limit"),
    ({**TYPED, "items": COMPLETED_ITEMS_MAX + 1}, "schema", "items"),
    ({**TYPED, "items": -1}, "schema", "items"),
    ({**TYPED, "context": 5}, "schema", "context"),
    ({**TYPED, "events": []}, "schema", "events"),
    ({**TYPED, "placement": "serach"}, "unknown_placement", 'did you mean "search"'),
    ({**TYPED, "placement": "home.hero"}, "schema", "finds nothing by a query"),
    (b"{", "malformed", ""),
])  # fmt: skip
def test_what_is_wrong_is_told(body: Any, code: str, said: str, tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        refused = await client.post(PATH, body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, code)
        assert said in refused.json()["error"]["message"]

    with_client(tmp_path, work)


def test_a_key_needs_the_scope_and_a_public_one_sees_what_is_public_of_its_own_device(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        catalog, writes = await client.key("catalog"), await client.key("write")
        await stocked(client, headers=catalog.headers)
        assert (await client.post(PATH, TYPED)).status_code == 401
        assert (await client.post(PATH, TYPED, headers=writes.headers)).status_code == 403
        public = await client.key("decide", public=True)
        told = (await client.post(PATH, TYPED, headers=public.headers)).json()
        assert len(told["items"]) == 3
        assert all("margin" not in item["fields"] for item in told["items"])
        nobody = {**TYPED, "anonymousId": None, "userId": "u1"}
        assert (await client.post(PATH, nobody, headers=public.headers)).status_code == 403
        assert (await client.post(PATH, {**TYPED, "userId": "u1"}, headers=public.headers)).status_code == 200

    with_client(tmp_path, work, terms=Terms(key_requests_per_s=1_000),
        catalogue=CatalogueOptions(public_fields=frozenset({"title"})))  # fmt: skip


def test_a_process_that_follows_the_log_completes_too_and_tells_nobody(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        asked = {"anonymousId": "a1", "query": "ite", "deadlineMs": 10_000}
        told = (await place.ask(asked, path=PATH)).json()
        assert told["items"]
        assert (place.writer.told, place.writer.handed) == ([], [])
        confirmed = {**asked, "context": {"userToken": "x.y.z"}}
        assert (await place.ask(confirmed, path=PATH)).json() == {"by": "writer"}
        assert (await place.ask({**asked, "quer": "x"}, path=PATH)).status_code == 400

        async def never(**_: Any) -> bool:
            return False

        place.follower.reach = never  # type: ignore[method-assign]
        place.writer.gone = True
        assert (await place.ask(asked, path=PATH)).json()["degraded"][0] == "position"
        answers = iter([True, False, True, False])

        async def at_first(**_: Any) -> bool:
            return next(answers)

        place.follower.reach = at_first  # type: ignore[method-assign]
        assert (await place.ask(asked, path=PATH)).json()["degraded"][0] == "position"
        place.writer.gone = False
        assert (await place.ask(asked, path=PATH)).json() == {"by": "writer"}

    with_decider(tmp_path, work)


def test_a_public_keys_users_are_the_writers_to_confirm(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        _, text = await place.engine.credentials.issue_key(
            Grant("k", ("write", "decide"), public=True), tenant="default", actor="tests"
        )
        headers = {"authorization": f"Bearer {text}"}
        asked = {"anonymousId": "a1", "query": "ite", "deadlineMs": 10_000}
        shown = (await place.ask(asked, path=PATH, **headers)).json()
        assert all(set(item["fields"]) <= {"title"} for item in shown["items"])
        assert (await place.ask({**asked, "userId": "u1"}, path=PATH, **headers)).json() == {"by": "writer"}

    with_decider(tmp_path, work, dev=False, public_fields=frozenset({"title"}))
