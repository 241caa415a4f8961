"""Schemas of events by configuration: what is refused, repaired and reported, and what cannot be configured."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from instanter.events.admitted import Admitted
from instanter.events.decode import Door
from instanter.events.enrich import Enricher
from instanter.events.kinds import Names
from instanter.events.schemas import EventSchema, compile_schemas
from instanter.events.sent import kept_fields
from instanter.events.subjects import HashedSubjects
from instanter.foundation.errors import ConfigRejected, EventRejected
from instanter.foundation.ids import Ids, item_reference

NOW_MS = 1_750_000_000_000


def schema(**fields: Any) -> EventSchema:
    return msgspec.convert({"event": "Product Viewed"} | fields, EventSchema)


class At:
    """A door with one schema."""

    def __init__(self, enricher: Enricher, **fields: Any) -> None:
        self._door = Door(
            subjects=HashedSubjects(bytes(16)), ids=Ids(), enrich=enricher, schemas=[schema(**fields)]
        )  # fmt: skip

    def admit(self, properties: dict[str, Any] | None, event: str = "Product Viewed", **more: Any) -> Admitted:
        sent = {"type": "track", "anonymousId": "a1", "event": event, "properties": properties} | more
        return self._door.admit(msgspec.json.encode(sent), kind=None, received_ms=NOW_MS, tenant="default")

    def refusal(self, properties: dict[str, Any] | None, **more: Any) -> str:
        with pytest.raises(EventRejected) as caught:
            self.admit(properties, **more)
        assert caught.value.code == "schema"
        assert "[[events.schemas]]" in caught.value.message
        return caught.value.message

    def kept(self, properties: dict[str, Any], **more: Any) -> dict[str, Any]:
        return kept_fields(self.admit(properties, **more).record.body)["properties"]


def faults(admitted: Admitted) -> list[tuple[str, str]]:
    return [(note.field, note.found) for note in admitted.notes if note.code == "schema_fault"]


SOUND = {"product_id": "p", "price": 5.0, "colour": "red", "tags": ["a"], "products": []}
RULES = {
    "properties.price": {"type": "number", "min": 0, "max": 100},
    "properties.colour": {"type": "text", "enum": ["red", "Dark Blue"]},
    "properties.pieces": {"type": "integer"},
    "properties.gift": {"type": "boolean"},
    "properties.tags": {"type": "list"},
    "properties.when": {"type": "time"},
    "properties.size": {"type": "object"},
    "properties.sizes[].cm": {"type": "number"},
}
WRONG = [
    ("price", "5,00", "is text where a number is wanted", 5.0),
    ("price", "free", "is text where a number is wanted", None),
    ("price", -1, "is below 0", None),
    ("price", 101, "is above 100", None),
    ("price", True, "is true or false where a number is wanted", None),
    ("price", "-5", "is below 0", None),
    ("colour", "RED", "is none of the values of its enum", "red"),
    ("colour", "dark_blue", "is none of the values of its enum", "Dark Blue"),
    ("colour", "green", "is none of the values of its enum", None),
    ("colour", 5, "is none of the values of its enum", None),
    ("pieces", 1.5, "is a number where a whole number is wanted", None),
    ("pieces", "3", "is text where a whole number is wanted", 3),
    ("gift", "yes", "is text where true or false is wanted", True),
    ("gift", 0, "is a number where true or false is wanted", False),
    ("gift", [], "is a list where true or false is wanted", None),
    ("tags", "a", "is text where a list is wanted", ["a"]),
    ("tags", {}, "is an object where a list is wanted", None),
    ("when", "soon", "is text where a time is wanted", None),
    ("size", "L", "is text where an object is wanted", None),
]


class TestFields:
    def test_what_agrees_is_taken_without_a_word(self, enricher: Enricher):
        for how in ("refuse", "repair", "report"):
            at = At(enricher, required=["properties.product_id", "anonymousId"], fields=RULES, on_fault=how)
            assert faults(at.admit(SOUND | {"pieces": 3.0, "when": 1_750_000_000, "gift": False, "size": {}})) == []

    @pytest.mark.parametrize(("field", "value", "reason", "instead"), WRONG)
    def test_a_fault_is_refused_repaired_or_reported(self, enricher, field, value, reason, instead):
        sent = SOUND | {field: value}
        assert f"properties.{field} {reason}" in At(enricher, fields=RULES).refusal(sent)
        reported = At(enricher, fields=RULES, on_fault="report")
        assert faults(reported.admit(sent)) == [(f"properties.{field}", reason)]
        assert reported.kept(sent) == sent
        repaired = At(enricher, fields=RULES, on_fault="repair")
        assert faults(repaired.admit(sent)) == [(f"properties.{field}", reason)]
        assert repaired.kept(sent).get(field) == instead

    def test_lists_are_gone_through(self, enricher: Enricher):
        sent = SOUND | {"sizes": [{"cm": 5}, {"cm": "6"}, {"cm": []}, {}, 7]}
        assert "properties.sizes[].cm is text" in At(enricher, fields=RULES).refusal(sent)
        assert At(enricher, fields=RULES, on_fault="repair").kept(sent)["sizes"] == [{"cm": 5}, {"cm": 6.0}, {}, {}, 7]
        inner = At(enricher, fields={"properties.tags[]": {"type": "text"}}, on_fault="repair")
        assert inner.kept({"product_id": "p", "tags": ["a", 5, []]})["tags"] == ["a", "5", None]

    def test_null_and_absent_are_not_there(self, enricher: Enricher):
        assert faults(At(enricher, fields=RULES).admit({"price": None})) == []

    def test_what_was_repaired_is_what_counts(self, enricher: Enricher):
        at = At(enricher, fields={"properties.sku": {"type": "text"}, "properties.price": {"type": "number"}},
                on_fault="repair")
        record = at.admit({"sku": 5, "price": "7,50"}).record
        assert (record.items, record.prices) == ((item_reference("default", "5"),), (7.5,))


class TestRequired:
    @pytest.mark.parametrize("value", ["", " ", None, [], {}])
    @pytest.mark.parametrize("how", ["refuse", "repair"])
    def test_what_says_nothing_is_missing_and_cannot_be_repaired(self, enricher, value, how):
        at = At(enricher, required=["properties.product_id"], on_fault=how)
        assert "properties.product_id is missing" in at.refusal({"product_id": value})
        assert "is missing" in at.refusal({})
        assert "is missing" in at.refusal(None)

    def test_what_repair_has_to_leave_out_is_missing(self, enricher: Enricher):
        at = At(enricher, required=["properties.price"], fields=RULES, on_fault="repair")
        assert "properties.price is missing" in at.refusal({"price": "free"})

    def test_it_is_reported_where_that_is_asked_for(self, enricher: Enricher):
        at = At(enricher, required=["properties.product_id", "userId"], on_fault="report")
        assert faults(at.admit({"sku": "s"})) == [("properties.product_id", "is missing"), ("userId", "is missing")]

    def test_in_a_list_every_element_has_it_and_there_is_one(self, enricher: Enricher):
        at = At(enricher, required=["properties.products[].sku"])
        assert faults(at.admit({"products": [{"sku": "a"}, {"sku": 0}]})) == []
        for products in ([], [{"sku": "a"}, {"product_id": "b"}]):
            assert "properties.products[].sku is missing" in at.refusal({"products": products})


class TestUnknownFields:
    def test_they_are_ignored_reported_refused_or_left_out(self, enricher: Enricher):
        sent, named = {"product_id": "p", "colour": "red", "odd": 1, "a b": 2}, {"properties.colour": {"type": "text"}}
        how = {"required": ["properties.product_id"], "fields": named}
        assert faults(At(enricher, **how).admit(sent)) == []
        reported = At(enricher, **how, unknown_fields="report").admit(sent)
        assert [field for field, _ in faults(reported)] == ["properties.odd", "properties"]
        assert "properties.odd is a field that" in At(enricher, **how, unknown_fields="refuse").refusal(sent)
        repairing = At(enricher, **how, unknown_fields="refuse", on_fault="repair")
        assert repairing.kept(sent) == {"product_id": "p", "colour": "red"}


class TestConfiguration:
    def test_a_schema_is_of_a_name_in_any_spelling_and_of_no_other(self, enricher: Enricher):
        at = At(enricher, event="view_item", required=["properties.price"])
        for name in ("Product Viewed", "product_viewed", "view_item"):
            assert "is missing" in at.refusal({"product_id": "p"}, event=name)
        assert faults(at.admit({"product_id": "p"}, event="Product Added")) == []

    @pytest.mark.parametrize("fields", [
        {"required": ["properties..x"]}, {"required": ["properties.a[0]"]}, {"required": ["[]"]},
        {"fields": {"a..b": {}}}, {"fields": {"properties.x": {"min": 2, "max": 1}}},
        {"fields": {"properties.x": {"type": "text", "min": 1}}},
    ])
    def test_what_no_event_could_agree_with_is_refused(self, fields: dict[str, Any]):
        with pytest.raises(ConfigRejected) as caught:
            compile_schemas([schema(**fields)], Names())
        assert caught.value.setting == "schemas"

    def test_two_schemas_of_one_name_are_refused(self):
        with pytest.raises(ConfigRejected, match="twice"):
            compile_schemas([schema(), schema(event="product viewed")], Names())

    def test_no_message_holds_a_value(self, enricher: Enricher):
        for field, value, _, _ in WRONG:
            if isinstance(value, str) and len(value) > 1:
                assert f" {value} " not in At(enricher, fields=RULES).refusal(SOUND | {field: value})
