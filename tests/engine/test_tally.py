"""What came in and had no effect: counted by name, told in the reply, within bounds."""

from __future__ import annotations

from pathlib import Path

import pytest

from instanter.engine.loop import Engine
from instanter.engine.tally import FURTHER, Tally, Warnings
from instanter.events import notes
from instanter.events.notes import CODES, FIELD_DROPPED, NO_CATALOGUE, Note, add_note, kind_of, sentence
from instanter.foundation import limits

from .harness import event, stock_shop, take, with_engine


def test_every_code_has_its_sentence():
    public = {name: value for name, value in vars(notes).items() if name.isupper() and not name.startswith("_")}
    codes = {value for value in public.values() if isinstance(value, str)}
    assert codes == set(CODES)
    for code in CODES:
        assert sentence(Note(code, "properties.price", "is empty text")).startswith("properties.price is empty text: ")


def test_a_note_is_made_once_and_there_are_so_many_of_one_event():
    made: list[Note] = []
    for number in range(2 * limits.NOTES_PER_EVENT_MAX):
        add_note(made, FIELD_DROPPED, f"context.{number // 2}")
    assert len(made) == limits.NOTES_PER_EVENT_MAX == len(set(made))


@pytest.mark.parametrize(
    ("value", "kind"), [(1.5, "a number"), ("", "empty text"), (None, "null"), ([], "a list"), (False, "true or false")]
)
def test_a_value_is_told_by_its_kind(value: object, kind: str):
    assert kind_of(value) == kind


class TestTheTally:
    def test_names_beyond_the_bound_are_counted_together(self):
        tally = Tally(since_ms=1)
        for number in range(limits.TALLY_NAMES_PER_TENANT_MAX + 3):
            tally.count_events("t", {f"e{number}": 1}, unheard=(), at_ms=number)
        told = tally.read("t").events
        assert len(told) == limits.TALLY_NAMES_PER_TENANT_MAX + 1
        assert (told[0].event, told[0].taken) == (FURTHER, 3)

    def test_notes_beyond_the_bound_are_numbered(self):
        tally = Tally(since_ms=1)
        for number in range(limits.TALLY_NOTES_PER_TENANT_MAX + 3):
            tally.count_note("t", f"e{number}", NO_CATALOGUE, at_ms=number)
        assert len(tally.read("t").notes) == limits.TALLY_NOTES_PER_TENANT_MAX
        assert tally.read("t").left_out == 3

    def test_tenants_beyond_the_bound_take_no_memory(self):
        tally = Tally(since_ms=1)
        for number in range(limits.TALLY_TENANTS_MAX + 2):
            tally.count_events(f"t{number}", {"e": 1}, unheard=(), at_ms=number)
        assert tally.read("t0").events
        assert not tally.read(f"t{limits.TALLY_TENANTS_MAX + 1}").events

    def test_tenants_do_not_see_each_other(self):
        tally = Tally(since_ms=1)
        tally.count_events("one", {"e": 1}, unheard={"e"}, at_ms=2)
        tally.count_note("one", "e", NO_CATALOGUE, at_ms=2)
        assert (tally.read("other").events, tally.read("other").notes) == ([], [])
        assert tally.read("one").notes[0].message == NO_CATALOGUE.found

    def test_a_reply_has_so_many_warnings_and_counts_on_in_those(self):
        warnings = Warnings()
        for number in range(2 * limits.WARNINGS_PER_REPLY_MAX):
            warnings.add(f"e{number}", NO_CATALOGUE, f"m-{number}")
        warnings.add("e0", NO_CATALOGUE, "m-again")
        told = warnings.told()
        assert len(told) == limits.WARNINGS_PER_REPLY_MAX
        assert (told[0].count, told[0].message_id) == (2, "m-0")


class TestAtTheIntake:
    def test_what_no_feature_hears_is_said_once_a_name(self, tmp_path: Path):
        async def work(engine: Engine) -> None:
            await stock_shop(engine)
            taken = await take(engine, event(1), event(2, name="basket_add"), event(3, name="basket_add"))
            assert [(one.code, one.event, one.count, one.message_id) for one in taken.warnings] == [
                ("unheard", "basket_add", 2, "m-2")]
            assert taken.warnings[0].message.startswith('this looks like "Product Added": no feature hears this name')
            read = engine.intake.tally.read("default")
            assert [(one.event, one.taken, one.heard) for one in read.events] == [
                ("basket_add", 2, False), ("Product Viewed", 1, True)]
            assert engine.meter.counts["events_unheard"] == 2

        with_engine(tmp_path, work)

    def test_what_a_name_was_meant_to_be_is_looked_for_so_often(self, tmp_path: Path):
        async def work(engine: Engine) -> None:
            names = [f"zq{number}" for number in range(limits.TALLY_NAMES_PER_TENANT_MAX)]
            await take(engine, *(event(number, name=name) for number, name in enumerate(names)))
            taken = await take(engine, event(1_000, name="basket_add"))
            assert taken.warnings[0].message.startswith("no feature hears this name")

        with_engine(tmp_path, work)

    def test_an_item_that_is_in_no_catalogue_is_said_and_counted(self, tmp_path: Path):
        async def work(engine: Engine) -> None:
            await stock_shop(engine)
            taken = await take(engine, event(1), event(2, properties={"product_id": "gone"}))
            assert [(one.code, one.event, one.message_id) for one in taken.warnings] == [
                ("item_unknown", "Product Viewed", "m-2")]
            assert "not in the catalogue" in taken.warnings[0].message
            assert engine.meter.counts["events_notes.item_unknown"] == 1

        with_engine(tmp_path, work)

    def test_an_empty_catalogue_is_said_as_that(self, tmp_path: Path):
        async def work(engine: Engine) -> None:
            taken = await take(engine, event(1), event(2))
            assert [(one.code, one.count) for one in taken.warnings] == [("item_unknown", 2)]
            assert taken.warnings[0].message.startswith("the catalogue is empty")

        with_engine(tmp_path, work)

    def test_what_counts_gives_no_warning(self, tmp_path: Path):
        async def work(engine: Engine) -> None:
            await stock_shop(engine)
            identify = b'{"type": "identify", "userId": "u1", "anonymousId": "a1", "messageId": "i"}'
            assert (await take(engine, event(1), identify)).warnings == []
            assert all(one.heard for one in engine.intake.tally.read("default").events)

        with_engine(tmp_path, work)
