"""Consent as the tools in use send it: understood, or the event is refused with what could not be read."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instanter.events.decode import Door
from instanter.events.enrich import Enricher
from instanter.events.envelope import Tracked
from instanter.events.gate import FREE, Judgement, OpenGate
from instanter.events.statements import MISPLACED, NEARLY, UNREAD, Statements
from instanter.events.subjects import HashedSubjects
from instanter.foundation.errors import ConfigRejected, EventRejected, RequestRejected
from instanter.foundation.ids import Ids
from instanter.foundation.limits import CONSENT_IDS_MAX, NAME_CHARS_MAX, PURPOSES_MAX, TCF_CHARS_MAX

OWN = Statements({"C0003": "personalization", "tcf-8": "analytics", "Ads & co": "marketing"})


def tc_string(*purposes: int, version: int = 2, more: str = "") -> str:
    """A consent string in which these purposes are agreed to, made by the specification's own layout."""
    fields = [
        (version, 6), (15_000_000_000, 36), (15_000_000_000, 36), (31, 12), (1, 12), (0, 6), (133, 12), (48, 12),
        (4, 6), (1, 1), (0, 1), (0, 12), *((int(number in purposes), 1) for number in range(1, 25)), (0, 24),
        (0, 37),
    ]  # fmt: skip
    bits = "".join(f"{value:0{width}b}" for value, width in fields)
    bits += "0" * (-len(bits) % 8)
    raw = int(bits, 2).to_bytes(len(bits) // 8, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode() + more


@pytest.mark.parametrize(("consent", "said"), [
    ({"personalization": True}, {"personalization": True}),
    ({"Personalisation": "granted"}, {"personalization": True}),
    ({"personalization": "DENIED", "email": "yes"}, {"personalization": False, "email": True}),
    ({"personalization_storage": "denied", "analytics_storage": "granted"},
     {"personalization": False, "analytics_storage": True}),
    ({"personalization": 1, "email": 0}, {"personalization": True, "email": False}),
    ({"personalization": None}, None),
    ({"categoryPreferences": {"Functional": True, "C0003": False}}, {"Functional": True, "personalization": False}),
    ({"categoryPreferences": {"personalization": True}, "provider": "oneTrust"}, {"personalization": True}),
    ({"purposes": {"Ads & co": True}}, {"marketing": True}),
    ({"personalization": True, "C0003": False}, {"personalization": False}),
    ({"C0003": False, "personalization": True}, {"personalization": False}),
    ({"preferencesProcessingAllowed": False, "saleOfDataAllowed": True},
     {"personalization": False, "saleOfDataAllowed": True}),
    (True, {"personalization": True}),
    (False, {"personalization": False}),
    (["C0001", "C0003"], {"C0001": True, "personalization": True}),
    (["C0001"], {"C0001": True, "personalization": False}),
    ([], {"personalization": False}),
    (tc_string(1, 5, 6, 8), {"personalization": True, "analytics": True}),
    (tc_string(1, 5), {"personalization": False, "analytics": False}),
    (tc_string(1, 5, 6, more=".IFoEUQQgAIQwgIwQABAEAAAAOIAACAIAAAAQAIAgEAACEAAAAAgAQBAAAAAAAGBAAgAAAAAAAFAAECAAAgAAQARAEQAAAAAJAAIAAgAAAYQEAAAQmAgBC3ZAYzUw"),  # noqa: E501
     {"personalization": True, "analytics": False}),
    ({"tcString": tc_string(5, 6), "gdprApplies": True}, {"personalization": True, "analytics": False}),
    ({"tcString": tc_string(), "gdprApplies": False}, None),
    ({"IABTCF_TCString": tc_string()}, {"personalization": False, "analytics": False}),
    ("denied", {"personalization": False}),
    ("Granted", {"personalization": True}),
    ("", None),
    ({}, None),
])
def test_what_consent_tools_send_is_understood(consent: Any, said: dict[str, bool] | None) -> None:
    assert OWN.stated(consent) == said
    assert OWN.in_context(msgspec.Raw(msgspec.json.encode({"consent": consent}))) == said


@pytest.mark.parametrize(("management", "said"), [
    ({"allowedConsentIds": ["C0003"], "deniedConsentIds": ["C0004"], "provider": "oneTrust",
      "resolutionStrategy": "and"}, {"personalization": True, "C0004": False}),
    ({"allowedConsentIds": [], "deniedConsentIds": ["C0003", "C0004"]}, {"personalization": False, "C0004": False}),
    ({"allowedConsentIds": [1, 2], "deniedConsentIds": [3]}, {"1": True, "2": True, "3": False}),
    ({"allowedConsentIds": ["C0001"]}, {"C0001": True, "personalization": False}),
    ({"allowedConsentIds": {"purposes": {"C0003": True}}, "deniedConsentIds": []}, {"personalization": True}),
    ({"deniedConsentIds": []}, None),
])
def test_what_rudderstack_sends_is_understood(management: Any, said: dict[str, bool] | None) -> None:
    assert OWN.stated(None, management) == said
    assert OWN.in_context(msgspec.Raw(msgspec.json.encode({"consentManagement": management}))) == said


@pytest.mark.parametrize("consent", [
    "CO-not base64!", "abc", tc_string(5, version=1), tc_string(5)[:20], "x" * (TCF_CHARS_MAX + 1), 7, 1.5,
    {"personalization": "perhaps"}, {"personalization": 2}, {"personalization": {"granted": True}},
    {"personalization": []}, {"allowedConsentIds": "C0003"}, {"deniedConsentIds": [{"id": "C0003"}]}, [True], [None],
    {"categoryPreferences": 7}, {"tcString": 7}, {"p" * (NAME_CHARS_MAX + 1): True},
    {f"purpose {number}": True for number in range(PURPOSES_MAX + 1)},
])  # fmt: skip
def test_what_cannot_be_read_rejects_the_event_and_says_what_it_is(consent: Any) -> None:
    with pytest.raises(EventRejected, match=r"context\.consent") as refused:
        OWN.stated(consent)
    assert refused.value.code in ("schema", "too_large")
    with pytest.raises(RequestRejected, match=r"context\.consent"):
        OWN.in_context(msgspec.Raw(msgspec.json.encode({"consent": consent})))


def test_a_refusal_repeats_a_key_only_where_it_is_a_known_one() -> None:
    for key, told in (("ada@people.example", False), ("C0003", True), ("allowedConsentIds", True)):
        with pytest.raises(EventRejected) as refused:
            OWN.stated({key: "perhaps"})
        assert (key in refused.value.message) is told


@given(st.sets(st.integers(1, 24)))
def test_each_purpose_of_a_consent_string_is_read_at_its_place(purposes: set[int]) -> None:
    each = Statements({f"tcf-{number}": f"p{number}" for number in range(1, 25)})
    said = each.stated(tc_string(*purposes))
    assert said == {f"p{number}": number in purposes for number in range(1, 25)}


def test_there_are_only_so_many_ids() -> None:
    Statements({f"id {number}": "email" for number in range(CONSENT_IDS_MAX)})
    with pytest.raises(ConfigRejected, match="consent_ids"):
        Statements({f"id {number}": "email" for number in range(CONSENT_IDS_MAX + 1)})


@pytest.mark.parametrize("event", [
    {"context": {"consent": {"personalization": True}}},
    {"context": {"consentManagement": {"deniedConsentIds": ["email"]}}},
    {"context": {"tcString": tc_string(5, 6)}},
    {"consent": {"personalization": "granted"}},
    {"consent": {"personalization": "granted"}, "context": {"locale": "en"}},
])
def test_a_statement_counts_wherever_it_stands_in_an_event(event: dict[str, Any], admit: Any) -> None:
    sent = {"type": "track", "event": "Product Viewed", "anonymousId": "a1", **event}
    assert isinstance(admit(sent).record, Tracked)
    with pytest.raises(EventRejected, match="consent"):
        admit(msgspec.json.decode(msgspec.json.encode(sent).replace(b'"granted"', b'"perhaps"').replace(
            b"true", b'"perhaps"').replace(b'["email"]', b'"perhaps"').replace(tc_string(5, 6).encode(), b"perhaps")))


@pytest.mark.parametrize(("context", "said"), [
    ({"consent_management": {"deniedConsentIds": ["personalization"]}}, {"personalization": False}),
    ({"Consent": {"personalization": False}}, {"personalization": False}),
    ({"tc_string": tc_string()}, {"personalization": False, "analytics": False}),
    ({"gdpr_consent": tc_string(5, 6)}, {"personalization": True, "analytics": False}),
    ({"gdprConsent": tc_string(), "gdprApplies": False}, None),
    ({"IABTCF_TCString": tc_string(), "IABTCF_gdprApplies": 1}, {"personalization": False, "analytics": False}),
    ({"consent": {"personalization": True}, "tcf_string": tc_string()}, {"personalization": False, "analytics": False}),
    ({"tcString": "", "TCString": "", "CONSENT": None}, None),
])  # fmt: skip
def test_a_statement_under_nearly_its_name_is_one(
    context: dict[str, Any], said: dict[str, bool] | None, enricher: Enricher
) -> None:
    assert OWN.in_context(msgspec.Raw(msgspec.json.encode(context))) == said
    heard: list[Any] = []

    class Hearing(OpenGate):
        def judge(self, *about: Any, stated: Any, **how: Any) -> Judgement:
            heard.append(stated)
            return FREE

    door = Door(subjects=HashedSubjects(bytes(16)), ids=Ids(), enrich=enricher, gate=Hearing(), statements=OWN)
    sent = {"type": "track", "event": "Sofa Assembled", "anonymousId": "a1", "context": context}
    door.admit(msgspec.json.encode(sent), kind=None, received_ms=1_750_000_000_000, tenant="default")
    assert heard == [said]


@pytest.mark.parametrize(("event", "field"), [
    ({"context": {"gpp": "DBABMA~CPXxRfAPXxRfAAfKABENB", "gpp_sid": [2]}}, "context.gpp"),
    ({"context": {"us_privacy": "1YYN"}}, "context.us_privacy"),
    ({"context": {"globalPrivacyControl": True}}, "context.globalPrivacyControl"),
    ({"context": {"gpc": "1"}}, "context.gpc"), ({"context": {"doNotTrack": True}}, "context.doNotTrack"),
    ({"properties": {"opt_out": True}}, "properties.opt_out"),
    ({"properties": {"product_id": "p", "consent": {"personalization": False}}}, "properties.consent"),
    ({"traits": {"tcString": tc_string()}}, "traits.tcString"),
])
def test_a_statement_that_is_read_nowhere_is_told(event: dict[str, Any], field: str, admit: Any) -> None:
    sent = {"type": "identify", "userId": "u1", "anonymousId": "a1", **event}
    admitted = admit(sent)
    assert [(note.code, note.field) for note in admitted.notes] == [("consent_unread", field)]


@pytest.mark.parametrize("off", [False, 0, "0", "false", "unspecified", "", None])
def test_a_switch_that_is_off_says_nothing(off: Any, admit: Any) -> None:
    sent = {"type": "identify", "userId": "u1", "context": {"doNotTrack": off, "gpc": off}}
    assert admit(sent).notes == ()


def test_a_name_of_a_statement_is_near_unread_or_its_own() -> None:
    assert not NEARLY & UNREAD
    assert MISPLACED > NEARLY | UNREAD
