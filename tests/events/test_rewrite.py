"""A rewrite does what its steps say, within bounds, and never what the law forbids."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.events.rewrite import Rewrite, Step, decode_steps, parse_path
from instanter.foundation import limits
from instanter.foundation.errors import EventRejected, RequestRejected

SENT: dict[str, Any] = {
    "type": "track", "messageId": "m-1", "anonymousId": "a1", "userId": " u1 ", "event": "Product Viewed",
    "timestamp": "2026-01-01T00:00:00Z", "context": {"ip": "192.0.2.7", "consent": {"marketing": False}},
    "properties": {
        "price": "1.299,50", "rank": 7, "sold": True, "Color Code": "r", "note": " lamp ",
        "products": [{"sku": "s1", "price": "5"}, {"sku": "s2", "price": 6}, "s3"],
    },
}  # fmt: skip


def steps(*maps: dict[str, Any]) -> list[Step]:
    return decode_steps(json.dumps(maps).encode(), toml=False)


def rewritten(*maps: dict[str, Any], sent: dict[str, Any] | None = None) -> dict[str, Any]:
    """The event after these steps."""
    result: dict[str, Any] = json.loads(Rewrite(steps(*maps)).apply(json.dumps(sent or SENT).encode()))
    return result


def properties(*maps: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = rewritten(*maps)["properties"]
    return found


@pytest.mark.parametrize(("step", "path", "expected"), [
    ({"do": "set", "path": "properties.currency", "value": "EUR"}, ("currency",), "EUR"),
    ({"do": "set", "path": "properties.deep.er", "value": None}, ("deep",), {"er": None}),
    ({"do": "set", "path": "properties.products[].position", "value": 1, "when": {
        "path": "properties.products[].sku", "equals": "s2"}}, ("products",),
        [{"sku": "s1", "price": "5"}, {"sku": "s2", "price": 6, "position": 1}, "s3"]),
    ({"do": "remove", "path": 'properties."Color Code"'}, ("Color Code",), None),
    ({"do": "remove", "path": "properties.products[]"}, ("products",), []),
    ({"do": "rename", "path": "properties.products[].sku", "to": "product_id"}, ("products",),
        [{"product_id": "s1", "price": "5"}, {"product_id": "s2", "price": 6}, "s3"]),
    ({"do": "move", "path": "properties.note", "to": "properties.more.note"}, ("more",), {"note": " lamp "}),
    ({"do": "copy", "path": "properties.rank", "to": "properties.position"}, ("position",), 7),
    ({"do": "copy", "path": "properties.products[].sku", "to": "properties.products[].id"}, ("products",),
        [{"sku": "s1", "price": "5", "id": "s1"}, {"sku": "s2", "price": 6, "id": "s2"}, "s3"]),
    ({"do": "to_number", "path": "properties.price", "decimal": ","}, ("price",), 1299.5),
    ({"do": "to_number", "path": "properties.products[].price"}, ("products",),
        [{"sku": "s1", "price": 5}, {"sku": "s2", "price": 6}, "s3"]),
    ({"do": "to_text", "path": "properties.rank"}, ("rank",), "7"),
    ({"do": "to_text", "path": "properties.sold"}, ("sold",), "true"),
    ({"do": "trim", "path": "properties.note"}, ("note",), "lamp"),
    ({"do": "truncate", "path": "properties.price", "length": 1}, ("price",), "1"),
    ({"do": "truncate", "path": "properties.products", "length": 1}, ("products",), [{"sku": "s1", "price": "5"}]),
    ({"do": "map", "path": 'properties."Color Code"', "values": {"r": "red", "b": "blue"}}, ("Color Code",), "red"),
    ({"do": "map", "path": "properties.sold", "values": {"true": 1}}, ("sold",), 1),
    ({"do": "map", "path": "properties.rank", "values": {"8": "eight"}}, ("rank",), 7),
])  # fmt: skip
def test_a_step_does_what_it_says(step: dict[str, Any], path: tuple[str], expected: Any):
    assert properties(step).get(path[0]) == expected


def test_a_time_is_moved_whether_it_is_text_or_a_number():
    shift = {"do": "shift_time", "path": "timestamp", "by_ms": -1_000}
    assert rewritten(shift)["timestamp"] == 1_767_225_600_000 - 1_000
    assert rewritten(shift, shift)["timestamp"] == 1_767_225_600_000 - 2_000


def test_steps_follow_one_another():
    assert properties(
        {"do": "rename", "path": "properties.rank", "to": "position"},
        {"do": "to_text", "path": "properties.position"},
        {"do": "truncate", "path": "properties.position", "length": 0},
    )["position"] == ""


@pytest.mark.parametrize(("when", "holds"), [
    ({"path": "event", "equals": "Product Viewed"}, True), ({"path": "event", "equals": "Order Completed"}, False),
    ({"path": "properties.sold", "equals": 1}, False), ({"path": "properties.sold", "equals": True}, True),
    ({"path": "properties.rank", "type": "number"}, True), ({"path": "properties.rank", "type": "text"}, False),
    ({"path": "properties.gone", "type": "absent"}, True), ({"path": "properties.gone", "equals": None}, False),
    ({"path": "properties.products", "type": "list"}, True), ({"path": "properties", "type": "map"}, True),
])  # fmt: skip
def test_a_step_is_done_only_where_its_condition_holds(when: dict[str, Any], holds: bool):
    assert ("set" in properties({"do": "set", "path": "properties.set", "value": 1, "when": when})) is holds


def test_a_condition_that_does_not_hold_leaves_no_trace():
    assert rewritten({"do": "set", "path": "new.map", "value": 1, "when": {"path": "gone", "equals": 1}}) == SENT


def test_what_is_not_there_is_passed_over():
    for do, more in (("remove", {}), ("rename", {"to": "x"}), ("move", {"to": "x"}), ("to_number", {}), ("trim", {})):
        for path in ("nothing", "properties.nothing.at", "event.at", "properties.rank[].at"):
            assert rewritten({"do": do, "path": path, **more}) == SENT


@pytest.mark.parametrize(("step", "reason"), [
    ({"do": "to_number", "path": "event"}, r"step 1 \(to_number event\): the text is no number"),
    ({"do": "to_number", "path": "properties.sold"}, "neither a number nor the text of one"),
    ({"do": "to_text", "path": "properties"}, "no text"),
    ({"do": "copy", "path": "properties.products", "to": "x"}, "moved, not copied"),
    ({"do": "shift_time", "path": "event", "by_ms": 1}, "text that is no time"),
    ({"do": "set", "path": "event.name", "value": 1}, "no map to put it in"),
])
def test_a_step_that_cannot_be_done_is_named_and_says_nothing_of_the_value(step: dict[str, Any], reason: str):
    with pytest.raises(EventRejected, match=reason) as caught:
        rewritten(step)
    assert caught.value.code == "rewrite"
    assert "Product" not in caught.value.message


@pytest.mark.parametrize("step", [
    {"do": "set", "path": "userId", "value": "u2"}, {"do": "map", "path": "userId", "values": {" u1 ": "u2"}},
    {"do": "rename", "path": "event", "to": "userId"}, {"do": "move", "path": "event", "to": "anonymousId"},
    {"do": "copy", "path": "event", "to": "previousId"}, {"do": "truncate", "path": "anonymousId", "length": 1},
    {"do": "rename", "path": "userId", "to": "anonymousId"}, {"do": "copy", "path": "userId", "to": "properties.x"},
    {"do": "set", "path": "userId.x", "value": 1}, {"do": "set", "path": "messageId", "value": "m-2"},
    {"do": "set", "path": "context.consent.marketing", "value": True}, {"do": "remove", "path": "context.consent"},
    {"do": "remove", "path": "context"}, {"do": "rename", "path": "context.ip", "to": "consent"},
    {"do": "move", "path": "properties", "to": "context"}, {"do": "set", "path": "type", "value": "identify"},
])  # fmt: skip
def test_steps_that_break_the_law_are_refused_when_they_are_read(step: dict[str, Any]):
    with pytest.raises(RequestRejected, match="step 1"):
        Rewrite(steps(step))


def test_ids_may_be_removed_trimmed_and_written_as_text():
    event = rewritten({"do": "trim", "path": "userId"}, {"do": "remove", "path": "anonymousId"})
    assert (event["userId"], "anonymousId" in event) == ("u1", False)
    assert rewritten({"do": "to_text", "path": "userId"}, sent={"userId": 17})["userId"] == "17"
    assert rewritten({"do": "truncate", "path": "messageId", "length": 2})["messageId"] == "m-"


@pytest.mark.parametrize("step", [
    {"do": "map", "path": "type", "values": {"track": "alias"}}, {"do": "rename", "path": "category", "to": "type"},
])
def test_no_event_becomes_one_that_links_people(step: dict[str, Any]):
    with pytest.raises(EventRejected, match="links people"):
        rewritten(step, sent={**SENT, "category": "identify"})


def test_text_is_repaired_before_it_is_decoded():
    raw = b'{"type": "track", "userId": "u1", "event": Product Viewed, "properties": {"a": NaN}}'
    repair = [
        {"do": "replace", "find": "event\": Product Viewed", "put": "event\": \"Product Viewed\""},
        {"do": "replace", "find": "NaN", "put": "null"}, {"do": "remove", "path": "properties.a"},
    ]
    assert json.loads(Rewrite(steps(*repair)).apply(raw)) == {
        "type": "track", "userId": "u1", "event": "Product Viewed", "properties": {}}


@pytest.mark.parametrize(("raw", "find", "put"), [
    (b'{"userId": "ada", "x": "bob"}', "ada", "bob"), (b'{"userId": "ada"', 'ada"', 'adam"}'),
    (b'{"uid": "ada"}', "uid", "userId"), (b'{"userId": "ada", "anonymousId": "b"}', "anonymousId", "userId"),
    (b'{"userId": "ada", x}', ", x", ', "previousId": "bob"'),
    (b'{"userId": ada, "x": 1}', 'userId": ada', 'userId": "eve"'),
])
def test_no_replaced_text_names_another_person(raw: bytes, find: str, put: str):
    with pytest.raises(EventRejected, match=r"a person|was sent"):
        Rewrite(steps({"do": "replace", "find": find, "put": put})).apply(raw)


@pytest.mark.parametrize("raw", [
    b'{"userId": "u", "context": {"consent": {"personalization": false}}, x}',
    b'{"userId": "u", "context": {"consent": {"categoryPreferences": {"personalization":false}}}, x}',
])
def test_no_replaced_text_grants_what_was_refused(raw: bytes):
    mend = {"do": "replace", "find": ", x", "put": ""}
    assert b"false" in Rewrite(steps(mend)).apply(raw)
    for find, put in (("false", "true"), ("consent", "dissent")):
        with pytest.raises(EventRejected, match="refusal of consent"):
            Rewrite(steps(mend, {"do": "replace", "find": find, "put": put})).apply(raw)


def test_what_stays_broken_is_left_to_the_door():
    assert Rewrite(steps({"do": "trim", "path": "event"})).apply(b"[[[") == b"[[["
    with pytest.raises(EventRejected, match="still no JSON object"):
        Rewrite(steps({"do": "replace", "find": "[[[", "put": "[[["}, {"do": "replace", "find": "[", "put": "{"})
                ).apply(b"[[[")


def test_nothing_grows_beyond_its_bounds():
    double = steps(*({"do": "replace", "find": "x", "put": "xx"} for _ in range(30)))
    with pytest.raises(EventRejected, match="would have more than"):
        Rewrite(double).apply(b'{"a": "x"}')
    many = json.dumps({"products": [{}] * (limits.REWRITE_PLACES_MAX + 1), "pad": "x" * 20_000}).encode()
    with pytest.raises(EventRejected, match="more than 1000 places"):
        Rewrite(steps({"do": "set", "path": "products[].a", "value": 1})).apply(many)
    with pytest.raises(RequestRejected, match="at most 50 steps"):
        Rewrite(steps(*({"do": "remove", "path": "a"} for _ in range(limits.REWRITE_STEPS_MAX + 1))))
    with pytest.raises(RequestRejected, match="at most 65536 bytes"):
        decode_steps(b" " * (limits.REWRITE_BYTES_MAX + 1), toml=False)


@pytest.mark.parametrize("step", [
    {"do": "dance", "path": "a"}, {"do": "set", "path": "a"}, {"do": "remove", "path": "a", "vlaue": 1},
    {"do": "set", "path": "a", "value": {}}, {"do": "set", "path": "a", "value": "x" * 1_025},
    {"do": "truncate", "path": "a", "length": -1}, {"path": "a"}, {"do": "replace", "find": "", "put": ""},
])
def test_a_document_that_says_something_else_is_refused(step: dict[str, Any]):
    with pytest.raises(RequestRejected, match="rewrite"):
        steps(step)


@pytest.mark.parametrize("step", [
    {"do": "remove", "path": "a..b"}, {"do": "remove", "path": "a[0]"}, {"do": "remove", "path": "."},
    {"do": "move", "path": "a", "to": "b[].c"}, {"do": "move", "path": "a[].b", "to": "c[].d"},
    {"do": "rename", "path": "a[]", "to": "b"}, {"do": "rename", "path": "a", "to": "a"},
    {"do": "set", "path": "a", "value": 1, "when": {"path": "a"}},
    {"do": "set", "path": "a", "value": 1, "when": {"path": "a", "equals": 1, "type": "text"}},
    {"do": "set", "path": "a", "value": 1, "when": {"path": "b[].c", "equals": 1}},
])  # fmt: skip
def test_a_step_that_makes_no_sense_is_refused_by_its_number(step: dict[str, Any]):
    with pytest.raises(RequestRejected, match="step 2"):
        Rewrite(steps({"do": "remove", "path": "ok"}, step))


def test_text_steps_stand_first():
    with pytest.raises(RequestRejected, match="step 2"):
        Rewrite(steps({"do": "remove", "path": "ok"}, {"do": "replace", "find": "a", "put": "b"}))


def test_the_same_steps_in_toml():
    document = b'[[steps]]\ndo = "to_number"\npath = "properties.price"\ndecimal = ","\n'
    assert decode_steps(document, toml=True) == steps(
        {"do": "to_number", "path": "properties.price", "decimal": ","})
    with pytest.raises(RequestRejected, match="rewrite"):
        decode_steps(b"[[", toml=True)


def test_no_steps_change_nothing():
    raw = b'{ "a" : 1e400 '
    assert Rewrite([]).apply(raw) is raw
    assert Rewrite([]).is_empty


def test_paths_are_parts():
    assert parse_path('a."b.c"[].d[]') == ("a", "b.c", None, "d", None)


NAMES = st.sampled_from(["type", "event", "userId", "anonymousId", "previousId", "messageId", "properties", "context"])
PATHS = st.one_of(NAMES, st.builds("{}.{}".format, NAMES, st.sampled_from(["a", "consent", "userId", "b[]"])))
TEXTS = st.sampled_from(["ada", "bob", "u", "userId", "a", "true", "false", '"', ":", "x", "identify", "consent", " "])
ANY_STEP = st.one_of(
    st.fixed_dictionaries({"do": st.just("set"), "path": PATHS, "value": st.one_of(TEXTS, st.none(), st.booleans())}),
    st.fixed_dictionaries({"do": st.sampled_from(["remove", "to_text", "trim", "to_number"]), "path": PATHS}),
    st.fixed_dictionaries({"do": st.sampled_from(["rename", "move", "copy"]), "path": PATHS, "to": PATHS}),
    st.fixed_dictionaries({"do": st.just("truncate"), "path": PATHS, "length": st.integers(0, 3)}),
    st.fixed_dictionaries({"do": st.just("map"), "path": PATHS, "values": st.dictionaries(TEXTS, TEXTS, max_size=2)}),
    st.fixed_dictionaries({"do": st.just("replace"), "find": TEXTS, "put": TEXTS}),
)
PEOPLE = st.dictionaries(st.sampled_from(["userId", "anonymousId", "previousId"]), st.sampled_from(["ada", "bob", 7]))


@settings(max_examples=400)
@given(PEOPLE, st.lists(ANY_STEP, max_size=4), st.booleans())
def test_the_law_no_rewrite_makes_one_persons_event_anothers(
    people: dict[str, Any], maps: list[dict[str, Any]], agreed: bool
):
    """Whatever the steps: each id of the result is the one that was sent, and no refusal is lost."""
    sent = {**people, "type": "track", "event": "bob", "properties": {"a": "ada", "b": ["u"], "userId": "eve"},
            "context": {"consent": {"personalization": agreed}}}  # fmt: skip
    ordered = sorted(maps, key=lambda one: one["do"] != "replace")
    try:
        result = json.loads(Rewrite(steps(*ordered)).apply(json.dumps(sent).encode()))
    except (EventRejected, RequestRejected):
        return
    for field in ("userId", "anonymousId", "previousId"):
        assert result.get(field) is None or str(result[field]).strip() == str(people.get(field))
    assert result["type"] not in ("identify", "alias") if "type" in result else True
    assert agreed or result["context"]["consent"]["personalization"] is False
