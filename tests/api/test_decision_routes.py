"""The decision routes, sentence by sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from instanter.foundation.clock import ManualClock
from instanter.foundation.limits import REQUEST_WARNINGS_MAX

from ..engine.harness import iso
from .client import Client, track, with_client

START_MS = 1_700_000_000_000
HOUR_MS = 3_600_000


def ids(placed: Any) -> list[str]:
    return [item["id"] for item in placed["items"]]


def test_the_contracts_example_is_answered_as_the_contract_says(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.stock("sku-1", "sku-2", "sku-9", price=120, stock=3)
        context = {
            "userAgent": "Mozilla/5.0", "ip": "203.0.113.9", "page": {"path": "/"}, "locale": "en-GB",
            "timezone": "Europe/London", "sessionId": "s1"}
        asked = {
            "userId": "u1", "anonymousId": "a1", "context": context, "events": [], "deadlineMs": 10_000,
            "timestamp": None, "explain": False, "placements": [
                {"id": "home.hero"}, {"id": "home.recommended", "limit": 12},
                {"id": "search", "query": "sofa", "candidates": ["sku-1", {"id": "sku-2", "fields": {"price": 90}}]}]}
        reply = (await client.post("/v1/decide", asked)).json()
        assert set(reply) == {"decisionId", "position", "epoch", "tookMs", "degraded", "placements"}
        assert reply["decisionId"].startswith("d_")
        assert reply["degraded"] == []
        assert reply["tookMs"] > 0
        assert list(reply["placements"]) == ["home.hero", "home.recommended", "search"]
        shown = [ids(placed) for placed in reply["placements"].values()]
        assert (len(shown[0]), len(shown[1])) == (1, 2)
        assert not set(shown[0]) & set(shown[1])
        item = reply["placements"]["home.hero"]["items"][0]
        assert set(item) == {"id", "position", "score", "propensity", "reasons", "fields"}
        assert item["position"] == 1
        assert item["fields"]["price"] == 120

    with_client(tmp_path, work)


def test_a_receipt_says_how_long_its_reply_took(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.stock("sku-1")
        whole = (await client.decide())["whole"]
        receipt = (await client.get(f"/v1/decisions/{whole['decisionId']}")).json()
        assert receipt["tookMs"] == whole["tookMs"] > 0
        assert [one["tookMs"] for one in (await client.get("/v1/decisions")).json()["decisions"]] == [whole["tookMs"]]

    with_client(tmp_path, work)


def test_every_id_of_the_callers_own_list_comes_back(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.stock("sku-1", "sku-2", "sku-3")
        await client.stock("sold-out", stock=0)
        candidates = ["sku-1", "sku-2", "sold-out", "unknown", "sku-1", {"id": "sku-3", "fields": {"stock": 0}}]
        placed = await client.decide(placement="search", placements=[{"id": "search", "candidates": candidates}])
        excluded = {(one["id"], bool(one["reason"])) for one in placed["excluded"]}
        assert set(ids(placed)) | {name for name, _ in excluded} == {"sku-1", "sku-2", "sku-3", "sold-out", "unknown"}
        assert {("sold-out", True), ("sku-3", True)} <= excluded
        assert "fields" not in placed["items"][0]
        assert "sku-3" in ids(await client.decide()), "fields beside a candidate count for that request only"

    with_client(tmp_path, work)


def test_rank_is_one_placement_flattened(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.stock("sku-1", "sku-2")
        asked = {"placement": "search", "candidates": ["sku-1", "sku-2"], "anonymousId": "a1", "deadlineMs": 10_000}
        reply = (await client.post("/v1/rank", asked)).json()
        assert sorted(ids(reply)) == ["sku-1", "sku-2"]
        assert set(reply) >= {
            "items", "excluded", "decisionId", "position", "epoch", "tookMs", "degraded", "servedBy", "model",
            "experiments"}
        placements = [{"id": "search", "candidates": ["sku-1", "sku-2"]}]
        decided = await client.decide(placement="search", placements=placements)
        assert ids(decided) == ids(reply)

    with_client(tmp_path, work)


def test_events_of_the_request_are_folded_before_it_is_answered(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.stock("sku-1", "sku-2")
        before = await client.decide()
        bought = {"type": "track", **track(1), "event": "Order Completed"}
        after = await client.decide(events=[bought])
        assert "sku-1" in ids(before)
        assert "sku-1" not in ids(after)
        assert after["servedBy"] == "personal"
        assert int(after["whole"]["position"]) > int(before["whole"]["position"])

    with_client(tmp_path, work)


@pytest.mark.parametrize("path", ["/v1/decide", "/v1/rank"])
def test_what_of_the_requests_events_does_not_count_is_said_behind_what_is_said_of_the_question(
    path: str, tmp_path: Path
):  # fmt: skip
    async def work(client: Client) -> None:
        question = {"placement": "search"} if path == "/v1/rank" else {"placements": [{"id": "search"}]}
        asked = {"anonymousId": "a1", "deadlineMs": 10_000, "user": "u1", "candidates": ["sku-1"], **question}
        unheard = [{"type": "track", **track(number, event=f"Odd {number}")} for number in (2, 1, 2)]
        told = (await client.post(path, {**asked, "events": unheard})).json()["warnings"]
        assert (told[0]["code"], told[0]["message"].partition(" ")[0]) == ("unknown_field", '"user"')
        said = [one["message"] for one in told if one["message"].startswith("events: ")]
        assert [one["message"] for one in told][-len(said) :] == said
        assert [one["code"] for one in told].count("unheard") == 2
        assert any(one.startswith('events: 2 "Odd 2": ') for one in said), said
        many = [{"type": "track", **track(number, event=f"Odd {number}")} for number in range(REQUEST_WARNINGS_MAX)]
        told = (await client.post(path, {**asked, "events": many})).json()["warnings"]
        assert (len(told), told[0]["code"]) == (REQUEST_WARNINGS_MAX, "unknown_field")

    with_client(tmp_path, work)


def test_a_bad_event_of_the_request_is_refused_with_its_reason(tmp_path: Path):
    async def work(client: Client) -> None:
        asked = {"anonymousId": "a1", "placements": [{"id": "home.hero"}], "events": [{"type": "track"}]}
        reply = await client.post("/v1/decide", asked)
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "schema")
        assert reply.json()["error"]["message"].startswith("events: ")

    with_client(tmp_path, work)


def test_a_refused_question_leaves_its_events_untaken(tmp_path: Path):
    async def work(client: Client) -> None:
        for wrong in ({"placements": [{"id": "nowhere"}]}, {"minPosition": "999999999"}):
            asked = {
                "anonymousId": "a1", "placements": [{"id": "home.hero"}], "events": [{"type": "track", **track(1)}],
                **wrong}
            assert (await client.post("/v1/decide", asked)).status_code == 400
        assert (await client.get("/v1/profiles/anonymous:a1")).status_code == 404

    with_client(tmp_path, work)


def test_a_position_that_a_reply_gave_is_taken_and_any_other_refused(tmp_path: Path):
    async def work(client: Client) -> None:
        old = (await client.post("/v1/track", track(1))).json()["position"]
        new = (await client.post("/v1/track", track(2))).json()["position"]
        for position in (old, new, "0"):
            assert int((await client.decide(minPosition=position))["whole"]["position"]) >= int(position)
        for position in ("", "x", "-1", "²", "1e3", " 1", "9" * 30, str(int(new) + 10_000), 7, [], {}):
            asked = {"minPosition": position, "placements": [{"id": "home.hero"}]}
            reply = await client.post("/v1/decide", asked)
            assert reply.status_code == 400, position
            assert reply.json()["error"]["code"] in ("position", "schema")

    with_client(tmp_path, work)


def test_an_epoch_of_the_past_or_an_iso_time_sets_the_time_of_the_decision(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.stock("sku-1", "sku-2")
        await client.post("/v1/track", track(1))
        at_ms = START_MS + 6 * HOUR_MS
        receipts = []
        for timestamp in (at_ms, iso(at_ms), iso(at_ms).replace("Z", "+00:00"), float(at_ms)):
            reply = await client.decide(timestamp=timestamp)
            receipts.append((await client.get(f"/v1/decisions/{reply['whole']['decisionId']}")).json()["atMs"])
        assert receipts == [at_ms] * 4
        now = await client.decide(timestamp=None)
        assert (await client.get(f"/v1/decisions/{now['whole']['decisionId']}")).json()["atMs"] == START_MS

    with_client(tmp_path, work, clock=ManualClock(START_MS))


@pytest.mark.parametrize("timestamp", ["soon", "", "2023-13-01T00:00:00Z", True, [], 1e300, -1e300, "9" * 40, {}])
def test_a_timestamp_that_is_no_time_is_refused(timestamp: Any, tmp_path: Path):
    async def work(client: Client) -> None:
        reply = await client.post("/v1/decide", {"timestamp": timestamp, "placements": [{"id": "home.hero"}]})
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "schema"), reply.text

    with_client(tmp_path, work)


def test_explain_adds_features_scores_and_what_took_part(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.stock("sku-1", "sku-2", "sku-3")
        await client.post("/v1/track", track(1))
        plain, explained = await client.decide(), await client.decide(explain=True)
        assert "rules" not in plain
        assert "features" not in plain["items"][0]
        assert explained["rules"]
        assert explained["items"][0]["features"]
        assert explained["items"][0]["stages"]["score"] == pytest.approx(explained["items"][0]["stages"]["score"])
        assert ids(explained) == ids(plain)

    with_client(tmp_path, work)


WRONG = {
    "no placement": {"placements": []},
    "placements missing": {},
    "too many placements": {"placements": [{"id": f"p{number}"} for number in range(21)]},
    "unknown placement": {"placements": [{"id": "home.heros"}]},
    "placement twice": {"placements": [{"id": "home.hero"}, {"id": "home.hero"}]},
    "limit 0": {"placements": [{"id": "home.hero", "limit": 0}]},
    "limit 201": {"placements": [{"id": "home.hero", "limit": 201}]},
    "limit 1.5": {"placements": [{"id": "home.hero", "limit": 1.5}]},
    "1,001 candidates": {"placements": [{"id": "search", "candidates": [f"c{n}" for n in range(1_001)]}]},
    "candidate without id": {"placements": [{"id": "search", "candidates": [{"fields": {}}]}]},
    "empty candidate": {"placements": [{"id": "search", "candidates": [""]}]},
    "deadline 0": {"placements": [{"id": "home.hero"}], "deadlineMs": 0},
    "deadline below 0": {"placements": [{"id": "home.hero"}], "deadlineMs": -5},
    "deadline too long": {"placements": [{"id": "home.hero"}], "deadlineMs": 10_001},
    "explain no boolean": {"placements": [{"id": "home.hero"}], "explain": "yes"},
    "id too long": {"placements": [{"id": "home.hero"}], "anonymousId": "x" * 513},
    "context no map": {"placements": [{"id": "home.hero"}], "context": []},
    "events no list": {"placements": [{"id": "home.hero"}], "events": {}},
    "huge integer": {"placements": [{"id": "home.hero", "limit": 10**40}]},
}


def test_what_cannot_be_answered_is_refused_with_a_code(tmp_path: Path):
    async def work(client: Client) -> None:
        for what, asked in WRONG.items():
            reply = await client.post("/v1/decide", asked)
            assert reply.status_code == 400, (what, reply.text)
            error = reply.json()["error"]
            assert (error["code"], error["details"]) in [
                (code, []) for code in ("schema", "unknown_placement", "duplicate_placement")], what
        for body, code in ((b"", "malformed"), (b"{", "malformed"), (b"[]", "schema"), (b"[" * 100_000, "too_complex"),
                           (b'{"placements": [{"id": "\xff"}]}', "malformed")):
            for path in ("/v1/decide", "/v1/rank"):
                reply = await client.post(path, body)
                assert (reply.status_code, reply.json()["error"]["code"]) in [(400, code), (400, "schema")], body[:20]
        reply = await client.post("/v1/decide", b" " * (1024 * 1024 + 1))
        assert (reply.status_code, reply.json()["error"]["code"]) == (413, "too_large")

    with_client(tmp_path, work)


def test_an_unknown_placement_is_named_with_a_suggestion(tmp_path: Path):
    async def work(client: Client) -> None:
        reply = await client.post("/v1/decide", {"placements": [{"id": "home.heros"}]})
        assert reply.json()["error"]["code"] == "unknown_placement"
        assert 'did you mean "home.hero"?' in reply.json()["error"]["message"]

    with_client(tmp_path, work)


def test_the_bounds_themselves_are_within(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.stock(*(f"c{number}" for number in range(250)))
        candidates = [f"c{number}" for number in range(1_000)]
        placements = [{"id": "search", "candidates": candidates, "limit": 200}]
        placed = await client.decide(placement="search", placements=placements)
        assert len(ids(placed)) == 200
        assert len(ids(placed)) + len(placed["excluded"]) == 1_000
        assert len(ids(await client.decide(placements=[{"id": "home.recommended", "limit": 1}]))) == 1

    with_client(tmp_path, work)


def test_a_deadline_that_cannot_be_kept_is_answered_all_the_same_and_says_so(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.stock("sku-1")
        await client.post("/v1/track", track(1))
        placed = await client.decide(deadlineMs=0.001)
        assert ids(placed) == ["sku-1"]
        assert placed["servedBy"] in ("popular", "default")
        assert placed["whole"]["degraded"]

    with_client(tmp_path, work)


def test_with_nothing_to_show_the_list_is_empty_and_says_why(tmp_path: Path):
    async def work(client: Client) -> None:
        placed = await client.decide()
        assert (placed["items"], bool(placed["reason"])) == ([], True)
        anonymous = await client.post("/v1/decide", {"placements": [{"id": "home.hero"}]})
        assert anonymous.status_code == 200, "a decision about nobody in particular"

    with_client(tmp_path, work)


def test_unknown_fields_of_a_question_are_ignored(tmp_path: Path):
    async def work(client: Client) -> None:
        assert (await client.decide(futureField={"a": 1}))["items"] == []

    with_client(tmp_path, work)


def test_a_receipt_can_be_read_as_soon_as_the_decision_is_answered(tmp_path: Path):
    async def work(client: Client) -> None:
        await client.stock("sku-1", "sku-2")
        reply = (await client.decide())["whole"]
        receipt = (await client.get(f"/v1/decisions/{reply['decisionId']}")).json()
        assert receipt["decisionId"] == reply["decisionId"]
        assert receipt["position"] == reply["position"]
        shown = receipt["placements"]["home.recommended"]["items"]
        assert [item["id"] for item in shown] == ids(reply["placements"]["home.recommended"])

    with_client(tmp_path, work, sync_window_ms=50.0)


def test_a_decision_that_there_never_was_is_404(tmp_path: Path):
    async def work(client: Client) -> None:
        known = (await client.decide())["whole"]["decisionId"]
        position = int(known[18:], 16)
        nearby = [f"{known[:18]}{place:x}" for place in range(position - 40, position + 40) if place != position]
        forged = [f"d_{'0' * 16}{position:x}", "d_", "x", "%00", "d_" + "€" * 20, known + "%20", known[:18]]
        forged += [known[:18] + "-5", known[:18] + "f" * 30, known[:18] + "1"]
        for unknown in [*nearby, *forged]:
            reply = await client.get(f"/v1/decisions/{unknown}")
            assert (reply.status_code, reply.json()["error"]["code"]) == (404, "unknown_decision"), unknown

    with_client(tmp_path, work)


def test_a_receipt_that_retention_has_removed_is_410(tmp_path: Path):
    clock = ManualClock(START_MS)

    async def work(client: Client) -> None:
        known = (await client.decide())["whole"]["decisionId"]
        for number in range(2_500):
            if number % 500 == 0:
                batch = [
                    {"type": "track", **track(number + n), "context": {"page": {"title": "x" * 1_000}}}
                    for n in range(400)]
                assert (await client.post("/v1/batch", {"batch": batch})).status_code == 200
                clock.advance(HOUR_MS)
        for _ in range(3):
            clock.advance(48 * HOUR_MS)
            await client.engine.checkpoint()
        reply = await client.get(f"/v1/decisions/{known}")
        assert (reply.status_code, reply.json()["error"]["code"]) == (410, "expired")

    with_client(tmp_path, work, clock=clock, segment_bytes=1 << 20, keep_days=1)


def test_nothing_personal_is_in_a_receipt(tmp_path: Path):
    async def work(client: Client) -> None:
        planted = {"anonymousId": "planted-person", "userId": "planted-user", "context": {"ip": "203.0.113.9"}}
        placements = [{"id": "home.hero", "query": "planted-query"}]
        reply = await client.post("/v1/decide", {**planted, "placements": placements})
        receipt = await client.get(f"/v1/decisions/{reply.json()['decisionId']}")
        assert "planted" not in json.dumps(receipt.json())

    with_client(tmp_path, work)
