from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instanter.decisions.candidates import given_by
from instanter.decisions.misnamed import misnamed
from instanter.decisions.request import (
    Candidate,
    DecideRequest,
    RankRequest,
    decode_decide,
    decode_rank,
    has_unknown_fields,
    id_text,
)
from instanter.foundation.errors import RequestRejected
from instanter.foundation.ids import item_reference
from instanter.foundation.limits import CANDIDATES_MAX, LIST_LIMIT_MAX, PLACEMENTS_MAX, REQUEST_WARNINGS_MAX

CONTRACT = {
    "userId": "u1", "anonymousId": "a1",
    "context": {"userAgent": "x", "ip": "::1", "page": {"path": "/"}, "locale": "en-GB", "sessionId": "s1"},
    "placements": [
        {"id": "home.hero"}, {"id": "home.recommended", "limit": 12},
        {"id": "search", "query": "sofa", "candidates": ["sku-1", {"id": "sku-2", "fields": {"price": 90}}]},
    ],
    "events": [], "minPosition": "7", "deadlineMs": 50, "timestamp": None, "explain": False, "unknown": [1],
}


def test_the_contracts_example_is_understood() -> None:
    request = decode_decide(json.dumps(CONTRACT).encode())
    assert (request.user_id, request.anonymous_id, request.min_position) == ("u1", "a1", "7")
    assert (request.deadline_ms, request.timestamp, request.explain) == (50.0, None, False)
    assert request.placements[1].limit == 12
    assert request.placements[2].candidates == ["sku-1", Candidate(id="sku-2", fields={"price": 90})]


def test_a_rank_is_a_decision_with_one_placement() -> None:
    rank = decode_rank(json.dumps({
        "placement": "search", "candidates": ["a"], "limit": 3, "query": "sofa", "item": "b", "anonymousId": "a1",
        "timestamp": "2024-01-01T00:00:00Z", "explain": True,
    }).encode())  # fmt: skip
    request = rank.as_decide()
    (placement,) = request.placements
    assert (placement.id, placement.candidates, placement.limit) == ("search", ["a"], 3)
    assert (placement.query, placement.item) == ("sofa", "b")
    assert (request.anonymous_id, request.explain, request.timestamp_ms) == ("a1", True, 1_704_067_200_000)


@pytest.mark.parametrize("change", [
    {"placements": []},
    {"placements": [{"id": "a"}] * (PLACEMENTS_MAX + 1)},
    {"placements": [{"id": ""}]},
    {"placements": [{"id": "a", "limit": 0}]},
    {"placements": [{"id": "a", "limit": LIST_LIMIT_MAX + 1}]},
    {"placements": [{"id": "a", "candidates": ["x"] * (CANDIDATES_MAX + 1)}]},
    {"placements": [{"id": "a", "candidates": [{"fields": {}}]}]},
    {"placements": [{"id": "a", "candidates": [7.5]}]},
    {"placements": [{"id": "a", "candidates": [True]}]},
    {"placements": [{"id": "a", "candidates": [2**70]}]},
    {"placements": [{"id": "a", "item": None}]},
    {"userId": 2**70},
    {"placements": None},
    {"deadlineMs": 0},
    {"deadlineMs": 1e9},
    {"timestamp": "yesterday"},
    {"timestamp": 1e300},
    {"userId": ""},
    {"userId": "x" * 1_000},
])
def test_what_is_out_of_bounds_is_refused_by_name(change: dict[str, object]) -> None:
    with pytest.raises(RequestRejected) as caught:
        decode_decide(json.dumps(CONTRACT | change).encode())
    assert (caught.value.code, caught.value.status) == ("schema", 400)
    assert caught.value.message


@pytest.mark.parametrize(("raw", "code"), [
    (b"", "malformed"), (b"{", "malformed"), (b"[]", "schema"), (b"\xff\xfe", "malformed"),
    (b'{"userId": "\xff"}', "malformed"),
    (b'{"context": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b', "placements": [{"id": "a"}]}', "too_complex"),
    (b'{"placements": [{"id": "a"}], "deadlineMs": NaN}', "malformed"),
])
def test_bytes_that_are_no_request_are_refused(raw: bytes, code: str) -> None:
    for decode in (decode_decide, decode_rank):
        with pytest.raises(RequestRejected) as caught:
            decode(raw)
        assert caught.value.code == code


Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["placements", "id", "candidates", "fields", "limit", "events", "timestamp"]), inner),
    max_leaves=10,
)


@given(Json | st.fixed_dictionaries({"placements": Json}))
def test_whatever_comes_is_taken_or_refused_and_nothing_else(body: object) -> None:
    raw = json.dumps(body).encode()
    for decode in (decode_decide, decode_rank):
        with contextlib.suppress(RequestRejected):
            assert isinstance(decode(raw).explain, bool)


def test_a_whole_number_may_be_written_with_a_point() -> None:
    placement = {"id": "search", "item": 5.0, "candidates": [7.0, {"id": 8.0}]}
    request = decode_decide(json.dumps({"userId": 5.0, "anonymousId": 6.0, "placements": [placement]}).encode())
    assert (request.user, request.device, id_text(request.placements[0].item)) == ("5", "6", "5")
    for odd in (5.5, 1e300, True):
        with pytest.raises(RequestRejected):
            decode_decide(json.dumps({"userId": odd, "placements": [{"id": "a"}]}).encode())


@pytest.mark.parametrize("sent", [1_795_890_814, "1795890814", 1_795_890_814_000, "2026-11-28 18:33:34"])
def test_the_time_of_a_decision_is_read_as_that_of_an_event(sent: object) -> None:
    request = decode_decide(json.dumps({"timestamp": sent, "placements": [{"id": "a"}]}).encode())
    assert request.timestamp_ms == 1_795_890_814_000


def test_circumstances_that_are_none_are_as_if_not_sent_and_others_are_told() -> None:
    ranked = {"placement": "a", "candidates": []}
    for decode, body in ((decode_decide, {"placements": [{"id": "a"}]}), (decode_rank, ranked)):
        assert bytes(decode(json.dumps({**body, "context": None}).encode()).context) == b""
        with pytest.raises(RequestRejected, match="context is no object"):
            decode(json.dumps({**body, "context": []}).encode())


def test_whole_numbers_are_ids_as_their_decimal_text(shop) -> None:
    request = decode_decide(json.dumps({
        "userId": 5, "anonymousId": -5,
        "placements": [{"id": "search", "item": 0, "candidates": [5, {"id": 6, "fields": {"price": 1}}, "7"]}],
    }).encode())  # fmt: skip
    assert (request.user, request.device) == ("5", "-5")
    (placement,) = request.placements
    assert id_text(placement.item) == "0"
    given = given_by(shop.state.catalogue, "shop", placement.candidates or (), frozenset({"price"}))
    assert given.ids == ["5", "6", "7"]
    assert given.refs.tolist() == [item_reference("shop", one) for one in ("5", "6", "7")]


@pytest.mark.parametrize(("body", "said"), [
    ({"anonymousID": "a"}, {"anonymousID": "anonymousId"}),
    ({"user_id": "u"}, {"user_id": "userId"}),
    ({"placement": "home.hero"}, {"placement": "placements"}),
    ({"deadline": 5}, {"deadline": "deadlineMs"}),
    ({"placements": [{"id": "a", "productId": "p"}]}, {"placements[0].productId": "item"}),
    ({"placements": [{"id": "a", "itme": "p", "size": 3}]},
     {"placements[0].itme": "item", "placements[0].size": "limit"}),
    ({"placements": [{"id": "a"}, {"id": "b", "products": ["p"]}]}, {"placements[1].products": "candidates"}),
    ({"placements": [{"id": "a", "candidates": ["x", {"id": "p", "price": 1}, {"id": "q", "price": 2}]}]},
     {"placements[0].candidates[].price": "fields.price"}),
    ({"consent": False, "locale": "de"}, {"consent": "context.consent", "locale": "context.locale"}),
])
def test_a_field_that_was_meant_for_another_is_told_and_costs_nothing_else(body: Any, said: dict[str, str]) -> None:
    raw = json.dumps({"placements": [{"id": "a"}], **body}).encode()
    request = decode_decide(raw)
    assert has_unknown_fields(request)
    told = misnamed(raw, DecideRequest)
    assert {one.code for one in told} <= {"unknown_field"}
    assert [one.message for one in told] == [
        f'"{name}" means nothing here: did you mean "{meant}"?' for name, meant in said.items()
    ]


@pytest.mark.parametrize(("name", "remedy"), [
    ("colour", "the list was made without it"), ("page_size", "the list was made without it"),
    ("filter", "configuration"), ("excludeItems", "configuration"), ("where", "configuration"),
    ("sort_by", "configuration"), ("strategy", "configuration"),
])  # fmt: skip
def test_a_field_that_is_like_none_is_told_too(name: str, remedy: str) -> None:
    for body in ({name: 1, "placements": [{"id": "a"}]}, {"placements": [{"id": "a", name: 1}]}):
        (told,) = misnamed(json.dumps(body).encode(), DecideRequest)
        assert name in told.message
        assert remedy in told.message


@pytest.mark.parametrize("placeholder", ["undefined", "null", "NULL", "None", "NaN", "n/a", "[object Object]", "guest"])
def test_what_programs_write_for_no_id_is_none(placeholder: str) -> None:
    request = decode_decide(json.dumps({
        "userId": placeholder, "anonymousId": placeholder, "placements": [{"id": "a"}]}).encode())  # fmt: skip
    assert (request.user, request.device) == (None, None)
    assert request.placeholders == ["userId", "anonymousId"]
    zero = decode_decide(json.dumps({"userId": 0, "anonymousId": 0, "placements": [{"id": "a"}]}).encode())
    assert (zero.user, zero.device, zero.placeholders) == (None, "0", ["userId"])


def test_a_request_of_known_fields_alone_has_nothing_to_be_told() -> None:
    known = {name: value for name, value in CONTRACT.items() if name != "unknown"}
    assert not has_unknown_fields(decode_decide(json.dumps(known).encode()))
    assert has_unknown_fields(decode_decide(json.dumps(CONTRACT).encode()))
    rank = {"placement": "search", "candidates": ["a"], "productId": "x"}
    assert has_unknown_fields(decode_rank(json.dumps(rank).encode()))
    (told,) = misnamed(json.dumps(rank).encode(), RankRequest)
    assert told.message == '"productId" means nothing here: did you mean "item"?'


def test_what_is_told_of_a_request_is_bounded() -> None:
    many = {f"user_id{'_' * number}": 1 for number in range(REQUEST_WARNINGS_MAX + 5)}
    raw = json.dumps({"placements": [{"id": "a"}], **many}).encode()
    assert len(misnamed(raw, DecideRequest)) == REQUEST_WARNINGS_MAX
    assert misnamed(b"{", DecideRequest) == misnamed(b"[]", DecideRequest) == []
