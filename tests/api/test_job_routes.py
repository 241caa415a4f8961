"""The routes of jobs, and the replay of a decision, which is one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from instanter.api.jobs import Job, NoJobs, Progress, Refusal
from instanter.api.outcomes import forget_erased
from instanter.api.tenancy import Terms
from instanter.foundation.clock import ManualClock
from instanter.foundation.errors import Overloaded
from instanter.foundation.ids import Ids
from instanter.foundation.limits import ID_CHARS_MAX, REPLAY_WAIT_MS_MAX, WHATIF_BYTES_MAX, WHATIF_WEIGHTS_MAX
from instanter.foundation.measure import Measurements
from instanter.ops.jobs.queue import Finished, JobQueue, Order

from .client import Client, JobsInNoTime, track, with_client

HOME = "home.recommended"
TERMS = Terms(key_requests_per_s=1_000_000)


async def decided(client: Client, **fields: Any) -> str:
    """The id of a decision that has just been made."""
    await client.stock("sku-1", "sku-2")
    return str((await client.decide(**fields))["whole"]["decisionId"])


class FullJobs(JobsInNoTime):
    """Nobody gets in any more."""

    def start(self, tenant: str, kind: str, subject: str) -> Job:
        raise Overloaded("too many jobs wait for their turn", retry_after_s=10)


def test_a_replay_that_is_done_in_time_is_the_reply(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        decision = await decided(client)
        reply = await client.post(f"/v1/decisions/{decision}/replay")
        assert reply.status_code == 200
        assert (reply.json()["decisionId"], reply.json()["identical"]) == (decision, True)

    with_client(tmp_path, work)


def test_a_replay_that_takes_long_is_a_job_to_be_asked_for(tmp_path: Path) -> None:
    release: list[Callable[[], None]] = []

    async def slow(order: Order, on_progress: Callable[[Progress], None]) -> Finished:
        on_progress(Progress(5, 10))
        end = asyncio.Event()
        release.append(end.set)
        await end.wait()
        return b'{"decisionId": "%s"}' % order.subject.encode()

    class Impatient(JobQueue):
        """Waits for nobody."""

        async def ended(self, job: Job, within_s: float | None) -> Job:
            assert within_s == REPLAY_WAIT_MS_MAX / 1_000
            return await super().ended(job, within_s / 1_000)

    async def work(client: Client) -> None:
        decision = await decided(client)
        reply = await client.post(f"/v1/decisions/{decision}/replay")
        assert reply.status_code == 202
        job = reply.json()
        assert reply.headers["Location"] == f"/v1/jobs/{job['id']}"
        assert (job["state"], job["kind"], job["subject"]) == ("running", "replay", decision)
        assert (job["progress"], job["outcome"], job["error"], job["endedAt"]) == ({"done": 5, "of": 10},) + (None,) * 3
        again = await client.post(f"/v1/decisions/{decision}/replay")
        assert again.json()["id"] == job["id"]
        release[0]()
        while (shown := (await client.get(reply.headers["Location"])).json())["state"] == "running":
            await asyncio.sleep(0)
        assert (shown["state"], shown["outcome"]) == ("done", {"decisionId": decision})
        (listed,) = (await client.get("/v1/jobs")).json()["jobs"]
        assert listed == {name: shown[name] for name in listed}
        assert "outcome" not in listed

    with_client(tmp_path, work, jobs=Impatient(slow, clock=ManualClock(), ids=Ids(), meter=Measurements()))


def test_why_an_item_is_not_there_is_a_job_about_the_decision_and_the_item(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        decision = await decided(client)
        reply = await client.get(f"/v1/decisions/{decision}?item=red%20sofa%2F2")
        assert reply.status_code == 200
        assert (reply.json()["decisionId"], reply.json()["item"]) == (decision, "red sofa/2")
        (job,) = (await client.get("/v1/jobs")).json()["jobs"]
        assert (job["kind"], job["subject"]) == ("why", f"{decision} red sofa/2")
        assert (await client.get("/v1/decisions/d_1?item=sku-1")).status_code == 404

    with_client(tmp_path, work)


def test_a_decision_with_its_reasons_is_a_job_and_without_them_its_receipt(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        decision = await decided(client)
        told = (await client.get(f"/v1/decisions/{decision}?explain=true")).json()
        assert (told["decisionId"], told["identical"]) == (decision, True)
        (job,) = (await client.get("/v1/jobs")).json()["jobs"]
        assert (job["kind"], job["subject"]) == ("explain", decision)
        plain = [(await client.get(f"/v1/decisions/{decision}{query}")).json() for query in ("", "?explain=false")]
        assert plain[0] == plain[1]
        assert "configuration" in plain[0]

    with_client(tmp_path, work)


def test_what_is_tried_instead_is_a_job_about_the_decision_and_the_trial(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        decision = await decided(client)
        path = f"/v1/decisions/{decision}/whatif"
        told = (await client.post(path, {"weights": {"item.price": 2}, "asNobody": True})).json()
        assert (told["decisionId"], told["identical"], told["tried"]["asNobody"]) == (decision, True, True)
        (job,) = (await client.get("/v1/jobs")).json()["jobs"]
        assert (job["kind"], job["subject"]) == ("whatif", decision + ' {"weights":{"item.price":2.0},"asNobody":true}')
        assert (await client.post("/v1/decisions/d_1/whatif", {"asNobody": True})).status_code == 404
        for wrong, said in (
            ({}, "nothing to try"), ({"placement": HOME}, "nothing to try"), ({"diversity": 2}, "at most 1"),
            ({"weights": {"a": 1}, "model": "lambdamart@1"}, "leave model away"), ({"limit": 0}, "at least 1"),
            ({"weights": dict.fromkeys(map(str, range(WHATIF_WEIGHTS_MAX + 1)), 1)}, f"at most {WHATIF_WEIGHTS_MAX}"),
            ({"seenBefore": "hide"}, "hide"),
        ):  # fmt: skip
            reply = await client.post(path, wrong)
            assert (reply.status_code, said in reply.json()["error"]["message"]) == (400, True), reply.text
        assert (await client.post(path, {"refused": ["x" * WHATIF_BYTES_MAX]})).status_code == 413

    with_client(tmp_path, work)


def test_why_that_takes_long_is_a_job_to_be_asked_for(tmp_path: Path) -> None:
    class Never(JobsInNoTime):
        def start(self, tenant: str, kind: str, subject: str) -> Job:
            return Job("j_1", tenant, kind, subject, "running", 1_000, 2_000, progress=Progress(5))

    async def work(client: Client) -> None:
        reply = await client.get(f"/v1/decisions/{await decided(client)}?item=sku-1")
        assert (reply.status_code, reply.headers["Location"]) == (202, "/v1/jobs/j_1")
        assert reply.json()["progress"] == {"done": 5, "of": 0}

    with_client(tmp_path, work, jobs=Never())


@pytest.mark.parametrize(("query", "said"), [
    ("item=", "item is one id of an item"), (f"item={'x' * (ID_CHARS_MAX + 1)}", "item is one id of an item"),
    ("item=a&item=b", "item stands 2 times"), ("itemId=a", "did you mean item?"),
    ("explain=1", "explain is true or false"), ("explain=true&explain=true", "explain stands 2 times"),
    ("item=a&explain=true", "ask one of them"),
])  # fmt: skip
def test_what_is_no_item_is_refused_and_no_job(query: str, said: str, tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        reply = await client.get(f"/v1/decisions/{await decided(client)}?{query}")
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "schema")
        assert said in reply.json()["error"]["message"]
        assert (await client.get("/v1/jobs")).json() == {"jobs": []}

    with_client(tmp_path, work)


@pytest.mark.parametrize(("decision", "status"), [("nothing", 404), ("d_" + "0" * 17, 404), ("%ff", 400)])
def test_what_is_no_decision_is_no_job(decision: str, status: int, tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        reply = await client.post(f"/v1/decisions/{decision}/replay")
        assert reply.status_code == status
        assert (await client.get("/v1/jobs")).json() == {"jobs": []}

    with_client(tmp_path, work)


def test_the_decision_of_somebody_erased_is_gone(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        await client.post("/v1/track", track(1))
        decision = await decided(client)
        assert (await client.call("DELETE", "/v1/profiles/anonymous:a1")).status_code == 200
        reply = await client.post(f"/v1/decisions/{decision}/replay")
        assert (reply.status_code, reply.json()["error"]["code"]) == (410, "erased")
        reply = await client.get(f"/v1/decisions/{decision}?item=sku-1")
        assert (reply.status_code, reply.json()["error"]["code"]) == (410, "erased")

    with_client(tmp_path, work)


@pytest.mark.parametrize(("refusal", "status", "code"), [
    (Refusal("not_kept", "the list that it was asked about was not kept", 410), 410, "not_kept"),
    (Refusal("expired", "the log does not reach back so far", 410), 410, "expired"),
    (Refusal("failed", "its process ended with exit code 1"), 503, "unavailable"),
])  # fmt: skip
def test_a_replay_that_comes_to_nothing_says_why(refusal: Refusal, status: int, code: str, tmp_path: Path) -> None:
    async def fail(order: Order, on_progress: Callable[[Progress], None]) -> Finished:
        return refusal

    async def work(client: Client) -> None:
        reply = await client.post(f"/v1/decisions/{await decided(client)}/replay")
        assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
        (job,) = (await client.get("/v1/jobs")).json()["jobs"]
        assert (job["state"], job["error"]) == ("failed", {"code": refusal.code, "message": refusal.message})

    with_client(tmp_path, work, jobs=JobQueue(fail, clock=ManualClock(), ids=Ids(), meter=Measurements()))


def test_too_many_jobs_are_answered_429_with_the_time_to_wait(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        reply = await client.post(f"/v1/decisions/{await decided(client)}/replay")
        assert (reply.status_code, reply.headers["Retry-After"]) == (429, "10")

    with_client(tmp_path, work, jobs=FullJobs())


def test_a_server_that_does_no_jobs_says_so(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        assert (await client.post(f"/v1/decisions/{await decided(client)}/replay")).status_code == 503
        assert (await client.get("/v1/jobs")).json() == {"jobs": []}
        assert (await client.get("/v1/jobs/j_1")).status_code == 404

    with_client(tmp_path, work, jobs=NoJobs())


def test_a_tenant_sees_its_own_jobs_alone(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        one, two = await client.key("admin", "decide"), await client.key("admin", "decide", tenant="two")
        asked = {"anonymousId": "a1", "deadlineMs": 10_000, "placements": [{"id": "home.recommended"}]}
        decision = (await client.post("/v1/decide", asked, headers=one.headers)).json()["decisionId"]
        assert (await client.post(f"/v1/decisions/{decision}/replay", headers=two.headers)).status_code == 404
        assert (await client.post(f"/v1/decisions/{decision}/replay", headers=one.headers)).status_code == 200
        (job,) = (await client.get("/v1/jobs", headers=one.headers)).json()["jobs"]
        assert (await client.get(f"/v1/jobs/{job['id']}", headers=one.headers)).status_code == 200
        assert (await client.get(f"/v1/jobs/{job['id']}", headers=two.headers)).status_code == 404
        assert (await client.get("/v1/jobs", headers=two.headers)).json() == {"jobs": []}

    with_client(tmp_path, work, terms=TERMS)


def test_an_explanation_takes_the_scope_of_the_receipt_from_whoever_asks_for_its_job(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        shop, jobs_alone = await client.key("admin", "decide"), await client.key("jobs:read")
        asked = {"anonymousId": "a1", "deadlineMs": 10_000, "placements": [{"id": HOME}]}
        decision = (await client.post("/v1/decide", asked, headers=shop.headers)).json()["decisionId"]
        assert (await client.post(f"/v1/decisions/{decision}/replay", headers=shop.headers)).status_code == 200
        assert (await client.get(f"/v1/decisions/{decision}?explain=true", headers=shop.headers)).status_code == 200
        (explanation, replay) = (await client.get("/v1/jobs", headers=jobs_alone.headers)).json()["jobs"]
        refused = await client.get(f"/v1/jobs/{explanation['id']}", headers=jobs_alone.headers)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
        assert "receipts:read" in refused.json()["error"]["message"]
        assert (await client.get(f"/v1/jobs/{explanation['id']}", headers=shop.headers)).json()["outcome"] is not None
        assert (await client.get(f"/v1/jobs/{replay['id']}", headers=jobs_alone.headers)).status_code == 200

    with_client(tmp_path, work, terms=TERMS)


@pytest.mark.parametrize("asked", ["?item=sku-1", "?explain=true", "/whatif"])
def test_an_explanation_goes_with_the_person_whom_it_is_about(asked: str, tmp_path: Path) -> None:
    jobs = JobsInNoTime()

    async def work(client: Client) -> None:
        await client.post("/v1/track", track(7, anonymousId="other"))
        other = await client.get(f"/v1/decisions/{await decided(client, anonymousId='other')}?explain=true")
        await client.post("/v1/track", track(1))
        path = f"/v1/decisions/{await decided(client)}{asked}"
        told = await (client.post(path, {"asNobody": True}) if asked == "/whatif" else client.get(path))
        assert told.status_code == 200
        job, kept = (await client.get("/v1/jobs")).json()["jobs"]
        assert (await client.get(f"/v1/jobs/{job['id']}")).json()["outcome"] == told.json()
        assert (await client.call("DELETE", "/v1/profiles/anonymous:a1")).status_code == 200
        gone = await client.get(f"/v1/jobs/{job['id']}")
        assert (gone.status_code, gone.json()["error"]["code"]) == (410, "erased")
        await forget_erased(client.engine, jobs)
        assert [one.id for one in jobs.with_outcomes()] == [kept["id"]], "nor is it kept in memory"
        assert (await client.get(f"/v1/jobs/{job['id']}")).status_code == 410
        assert (await client.get(f"/v1/jobs/{kept['id']}")).json()["outcome"] == other.json()

    with_client(tmp_path, work, jobs=jobs)
