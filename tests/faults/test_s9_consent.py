"""S9: consent withdrawn in the midst of a session: from the next call on nothing is kept and nothing is personal."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from instanter.engine.export import stored_event
from instanter.events.envelope import Consented, Decided, Linked, Tracked, Withheld, decode_record
from instanter.foundation.clock import SystemClock, elapsed_ns
from instanter.foundation.disk import RealDisk
from instanter.log.segments import SegmentReader

from ..leaks import planted
from .accountant import Client, Reply, keys_of
from .conftest import MakeSite
from .servers import ForkedServer, Site

MINUTE_MS = 60_000
DEVICE, USER = planted("anonymous"), planted("user")
REFUSED, GRANTED = {"consent": {"personalization": False}}, {"consent": {"personalization": True}}
ADS = """
[[features]]
name = "ads_views"
on = ["Product Viewed"]
aggregate = "count"
scope = "profile"
unit = "views"
purpose = "ads"
owner = "tests"
"""

pytestmark = pytest.mark.faults


class Session:
    """One visitor's session with a server, and what the log has of it."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.sent = 0
        self.began_ns = elapsed_ns()
        self.meet(site.start())

    def meet(self, server: ForkedServer) -> None:
        self.server = server
        self.client = Client(server.port)

    def restart(self, *, kill: bool) -> None:
        self.client.close()
        if kill:
            self.server.kill()
        else:
            self.server.stop()
        self.meet(self.site.start())

    def post(self, path: str, body: Any, **headers: str) -> Reply:
        return self.client.call("POST", path, body, headers=headers)

    def view(self, *, gpc: bool = False, context: dict[str, Any] | None = None, **fields: Any) -> None:
        """One more event, acknowledged."""
        self.sent += 1
        event = {"event": "Product Viewed", "messageId": f"m-{self.sent}", "anonymousId": DEVICE,
                 "context": {"page": {"url": f"https://shop.example/{planted('name')}"}, **(context or {})},
                 "properties": {"product_id": "sku-1", "note": planted("text")}, **fields}
        reply = self.post("/v1/track", event, **({"Sec-GPC": "1"} if gpc else {}))
        assert reply.status == 200, reply.body

    def decide(self, *, gpc: bool = False, **fields: Any) -> dict[str, Any]:
        body = {"anonymousId": DEVICE, "placements": [{"id": "home.recommended"}], "explain": True, **fields}
        reply = self.post("/v1/decide", body, **({"Sec-GPC": "1"} if gpc else {}))
        assert reply.status == 200, reply.body
        return reply.json

    def served_by(self, **fields: Any) -> str:
        rung: str = self.decide(**fields)["placements"]["home.recommended"]["servedBy"]
        return rung

    def profile(self) -> Any:
        return self.client.call("GET", f"/v1/profiles/anonymous:{DEVICE}").json

    def records(self) -> list[Any]:
        """All of the log, which is durable as far as was acknowledged; decisions a moment later."""
        self.client.call("GET", "/v1/decisions/d_" + "0" * 17)
        frames = SegmentReader(RealDisk(), self.site.data / "log").read()
        return [decode_record(frame.payload) for frame in frames]

    def kept(self) -> list[str]:
        """The message ids that the log holds, opened with the keys."""
        keys = keys_of(self.site.data)
        events = [stored_event(one, keys) for one in self.records() if isinstance(one, Tracked)]
        keys.close()
        return [event["messageId"] for event in events if event is not None]

    def close(self) -> None:
        self.client.close()


@pytest.fixture
def session(make_site: MakeSite) -> Iterator[Session]:
    site = make_site(checkpoint_s=1)
    session = Session(site)
    stock(session)
    yield session
    session.close()


def stock(session: Session) -> None:
    items = [{"id": f"sku-{number}", "fields": {"title": f"Item {number}", "category": "c"}} for number in range(30)]
    assert session.post("/v1/items", {"items": items}).status == 200


def withdraw_by_event(session: Session) -> None:
    session.view(context=REFUSED)


def withdraw_by_category(session: Session) -> None:
    session.view(context={"consent": {"categoryPreferences": {"personalization": False}}})


def withdraw_by_identify(session: Session) -> None:
    body = {"messageId": "i-1", "anonymousId": DEVICE, "userId": USER, "context": REFUSED,
            "traits": {"email": planted("email")}}
    assert session.post("/v1/identify", body).status == 200


def withdraw_by_put(session: Session) -> None:
    path = f"/v1/profiles/anonymous:{DEVICE}/consent"
    assert session.client.call("PUT", path, {"purposes": {"personalization": False}}).status == 200


@pytest.mark.parametrize("withdraw", [withdraw_by_event, withdraw_by_category, withdraw_by_identify, withdraw_by_put])
def test_s9_from_the_next_call_on_nothing_is_kept_and_nothing_is_personal(
    session: Session, withdraw: Callable[[Session], None], record_property: Callable[[str, object], None]
) -> None:
    for _ in range(5):
        session.view()
    assert session.served_by() == "personal"
    began = len(session.records())
    at_ns = elapsed_ns()
    withdraw(session)
    assert session.served_by() in ("popular", "default")
    record_property("until_obeyed_ms", round((elapsed_ns() - at_ns) / 1e6, 1))
    for number in range(20):
        session.view(**({"userId": USER} if number % 2 else {}))
        assert session.served_by(**({"userId": USER} if number % 3 else {})) in ("popular", "default")
    assert session.served_by(events=[{"type": "track", "event": "Product Viewed", "anonymousId": DEVICE,
                                      "properties": {"product_id": "sku-2"}}]) in ("popular", "default")  # fmt: skip
    assert_nothing_kept(session, since=began)
    features = session.profile()["features"]["views"]
    assert features == 5
    for kill in (True, False):
        session.restart(kill=kill)
        session.view()
        assert session.served_by() in ("popular", "default"), "also after a restart"
    assert session.profile()["consent"] == {"personalization": False}
    assert len(session.kept()) == 5
    record_property("kept_beyond_the_stub", 0)


def assert_nothing_kept(session: Session, *, since: int) -> None:
    records = session.records()[since:]
    assert not [one for one in records if isinstance(one, (Tracked, Linked))]
    assert [one.reason for one in records if isinstance(one, Withheld)][-21:] == ["consent"] * 21
    assert len([one for one in records if isinstance(one, Consented)]) <= 2, "it is written down once for each id"
    decided = [one for one in records if isinstance(one, Decided)]
    assert len(decided) >= 20
    assert {(one.key, one.subject) for one in decided} == {(0, -1)}, "receipts name nobody"


def test_s9_the_signal_of_the_browser_holds_for_the_call_it_comes_with(session: Session) -> None:
    session.view()
    began = len(session.records())
    for _ in range(5):
        session.view(gpc=True)
        assert session.served_by(gpc=True) in ("popular", "default")
    bad = session.post("/v1/track", {"event": 7, "anonymousId": DEVICE}, **{"Sec-GPC": "1"})
    assert bad.status == 400
    records = session.records()[began:]
    assert [one.reason for one in records if isinstance(one, Withheld)] == ["gpc"] * 5
    assert not [one for one in records if isinstance(one, (Tracked, Consented, Linked))]
    assert {one.key for one in records if isinstance(one, Decided)} == {0}
    (group,) = session.client.call("GET", "/v1/quarantine").json["groups"]
    assert session.client.call("GET", f"/v1/quarantine/{group['example']}").json["event"] == ""
    session.view()
    assert session.served_by() == "personal"
    assert session.kept() == ["m-1", "m-7"]


def test_s9_the_ids_of_a_request_that_may_not_be_kept_are_nowhere_in_the_data(session: Session) -> None:
    session.view(gpc=True)
    session.decide(gpc=True)
    session.decide(context=REFUSED)
    session.server.stop()
    keys = keys_of(session.site.data)
    assert keys.count == 0, "nobody was even given a pseudonym"
    keys.close()
    raw = b"".join(path.read_bytes() for path in Path(session.site.data).rglob("*") if path.is_file())
    assert DEVICE.encode() not in raw


def test_s9_consent_given_again_counts_from_then_on(session: Session) -> None:
    session.view()
    withdraw_by_event(session)
    session.view()
    session.view(context=GRANTED)
    session.view()
    assert session.served_by() == "personal"
    assert session.kept() == ["m-1", "m-4", "m-5"]


def test_s9_a_late_statement_does_not_override_a_newer_one(session: Session) -> None:
    now_ms = SystemClock().now_ms()
    session.view(timestamp=now_ms - 3 * MINUTE_MS)
    session.view(context=REFUSED, timestamp=now_ms - MINUTE_MS)
    session.view(context=GRANTED, timestamp=now_ms - 2 * MINUTE_MS)
    session.view()
    assert session.kept() == ["m-1"]
    assert session.served_by() in ("popular", "default")


def test_s9_a_purpose_refused_is_left_out_of_the_profile_and_of_decisions(make_site: MakeSite) -> None:
    site = make_site(checkpoint_s=1)
    site.config.write_text(site.config.read_text() + ADS)
    session = Session(site)
    stock(session)
    session.view()
    assert session.profile()["features"]["ads_views"] == 1
    session.view(context={"consent": {"ads": False}})
    session.view()
    session.restart(kill=True)
    session.view()
    features = session.profile()["features"]
    assert (features["views"], features["ads_views"]) == (4, 1)
    decision = session.decide()
    assert decision["placements"]["home.recommended"]["servedBy"] == "personal"
    assert "ads_views" not in json.dumps(decision)
    session.view(context={"consent": {"ads": True}})
    assert session.profile()["features"]["ads_views"] == 2
    session.close()


def test_s9_where_consent_is_required_nothing_is_kept_without_it(make_site: MakeSite) -> None:
    site = make_site(checkpoint_s=1)
    site.config.write_text(site.config.read_text() + "[privacy]\nconsent_required = true\n")
    session = Session(site)
    stock(session)
    session.view()
    assert session.served_by() in ("popular", "default")
    session.view(context=GRANTED)
    session.view()
    session.restart(kill=True)
    session.view()
    assert session.served_by() == "personal"
    assert session.kept() == ["m-2", "m-3", "m-4"]
    session.close()
