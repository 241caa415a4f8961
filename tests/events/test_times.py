"""Event time: every form a time is sent in, and the difference of two clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instanter.events.batch import decode_batch
from instanter.events.times import AHEAD_MS_MAX, event_time_ms, parse_time_ms, read_time_ms
from instanter.foundation.errors import EventRejected

RECEIVED_MS = 1_750_000_000_000
YEAR_MS = 365 * 86_400_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "sent",
    [
        "2025-06-15T15:06:40Z",
        "2025-06-15T15:06:40.000Z",
        "2025-06-15T17:06:40+02:00",
        "2025-06-15T15:06:40",
        "2025-06-15 15:06:40",
        "20250615T150640Z",
        "2025-06-15T10:36:40-0430",
        "2025-06-15T15:06:40.000000+00:00",
        1_750_000_000_000,
        1_750_000_000_000.9,
    ],
)
def test_a_moment_is_the_same_in_every_form(sent):
    assert parse_time_ms(sent, "timestamp") == RECEIVED_MS


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "soon",
        "2025-13-01",
        "2025-06-15T25:00:00Z",
        "1750000000000",
        "2025-06-15T15:06:40 Mars/Phobos",
        "\x00",
        "2025-02-29T00:00:00Z",
        "T" * 30_000,
        ":60",
        "9999-12-31T23:59:60Z",
        10**18,
        -(10**18),
        2**200,
        1e300,
        -1e300,
    ],
)
def test_what_is_no_time_is_refused(sent):
    with pytest.raises(EventRejected) as caught:
        parse_time_ms(sent, "timestamp")
    assert caught.value.code == "schema"
    assert "timestamp" in caught.value.message


def test_a_leap_second_is_the_second_after():
    assert parse_time_ms("2016-12-31T23:59:60.250Z", "t") == parse_time_ms("2017-01-01T00:00:00.250Z", "t")


def test_an_offset_across_a_change_of_the_clocks_is_taken_as_said():
    before, after = "2025-10-26T02:30:00+02:00", "2025-10-26T02:30:00+01:00"
    assert parse_time_ms(after, "t") - parse_time_ms(before, "t") == 3_600_000


@given(
    moment=st.datetimes(min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29)),
    offset_min=st.integers(-14 * 60, 14 * 60),
)
def test_text_and_milliseconds_agree(moment: datetime, offset_min: int):
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)
    local = moment.astimezone(timezone(timedelta(minutes=offset_min)))
    assert parse_time_ms(local.isoformat(), "t") == (moment - EPOCH) // timedelta(milliseconds=1)


def test_the_difference_of_the_clocks_is_taken_out_however_large():
    for skew_ms in (-10 * YEAR_MS, -3_600_000, 0, 3_600_000, 10 * YEAR_MS):
        happened = event_time_ms(
            received_ms=RECEIVED_MS, timestamp_ms=RECEIVED_MS - 7_000 + skew_ms, sent_at_ms=RECEIVED_MS - 40 + skew_ms
        )
        assert happened == RECEIVED_MS - 6_960


def test_without_sent_at_the_timestamp_stands_but_not_far_ahead():
    for ahead_ms in (-10 * YEAR_MS, -1, 0, AHEAD_MS_MAX, AHEAD_MS_MAX + 1, 10 * YEAR_MS):
        happened = event_time_ms(received_ms=RECEIVED_MS, timestamp_ms=RECEIVED_MS + ahead_ms, sent_at_ms=None)
        assert happened == RECEIVED_MS + min(ahead_ms, AHEAD_MS_MAX)


def test_without_a_timestamp_the_receipt_stands():
    assert event_time_ms(received_ms=RECEIVED_MS, timestamp_ms=None, sent_at_ms=5) == RECEIVED_MS


def test_a_time_before_1970_is_refused():
    with pytest.raises(EventRejected):
        event_time_ms(received_ms=RECEIVED_MS, timestamp_ms=-1, sent_at_ms=None)


@given(times=st.tuples(st.integers(-(10**14), 10**14), st.none() | st.integers(-(10**14), 10**14)))
def test_an_event_is_never_far_ahead_of_its_receipt_nor_before_1970(times):
    timestamp_ms, sent_at_ms = times
    try:
        happened = event_time_ms(received_ms=RECEIVED_MS, timestamp_ms=timestamp_ms, sent_at_ms=sent_at_ms)
    except EventRejected:
        assert timestamp_ms + (0 if sent_at_ms is None else RECEIVED_MS - sent_at_ms) < 0
    else:
        assert 0 <= happened <= RECEIVED_MS + AHEAD_MS_MAX


@pytest.mark.parametrize(
    ("times", "happened_ms"),
    [
        ({"timestamp": "2025-06-15T15:06:30Z", "sentAt": "2025-06-15T15:06:35Z"}, RECEIVED_MS - 5_000),
        ({"timestamp": "2035-06-15T15:06:30Z", "sentAt": "2035-06-15T15:06:35Z"}, RECEIVED_MS - 5_000),
        ({"originalTimestamp": "2025-06-15T15:06:30Z"}, RECEIVED_MS - 10_000),
        ({"timestamp": None, "sentAt": "2025-06-15T15:06:35Z"}, RECEIVED_MS),
        ({"timestamp": "2025-06-15T15:06:30Z"}, RECEIVED_MS - 10_000),
    ],
)
def test_the_door_goes_by_this_rule(admit, times, happened_ms):
    assert admit({"type": "page", "userId": "u"} | times).record.happened_ms == happened_ms


def test_the_event_own_sent_at_stands_over_that_of_its_batch(admit):
    event = {"type": "page", "userId": "u", "timestamp": RECEIVED_MS - 50}
    assert admit(event, sent_at_ms=RECEIVED_MS - 10).record.happened_ms == RECEIVED_MS - 40
    assert (
        admit(event | {"sentAt": RECEIVED_MS - 20}, sent_at_ms=RECEIVED_MS - 10).record.happened_ms == RECEIVED_MS - 30
    )


@pytest.mark.parametrize("field", ["timestamp", "originalTimestamp", "sentAt"])
@pytest.mark.parametrize("bad", ["yesterday", " ", True, [], {}])
def test_the_door_refuses_what_is_no_time(admit, field, bad):
    with pytest.raises(EventRejected) as caught:
        admit({"type": "page", "userId": "u", field: bad})
    assert caught.value.code == "schema"


MOMENT_MS = 1_795_890_814_000


@pytest.mark.parametrize(("sent", "ms"), [
    (1_795_890_814, MOMENT_MS), (1_795_890_814.25, MOMENT_MS + 250), (1_795_890_814_000, MOMENT_MS),
    (1_795_890_814_000_000, MOMENT_MS), (1_795_890_814_000_000_000, MOMENT_MS), (1.795890814e9, MOMENT_MS),
    ("1795890814", MOMENT_MS), ("1795890814000", MOMENT_MS), (" 1795890814.250 ", MOMENT_MS + 250),
    ("1795890814000000", MOMENT_MS), ("1712010112345", 1_712_010_112_345), ("1712010112", 1_712_010_112_000),
    ("2026-11-28T18:33:34z", MOMENT_MS), ("2026-11-28T19:33:34.000+01:00[Europe/Berlin]", MOMENT_MS),
    ("2026-11-28T18:33:34Z[Etc/UTC]", MOMENT_MS),
    ("2026-11-28T18:33:34Z", MOMENT_MS), ("2026-11-28 18:33:34 UTC", MOMENT_MS), ("2026-11-28 18:33:34 GMT", MOMENT_MS),
    ("2026-11-28 18:33:34 utc", MOMENT_MS), ("2026-11-28 19:33:34 +0100", MOMENT_MS),
    (" 2026-11-28T18:33:34Z", MOMENT_MS),
    ("20261128T183334Z", MOMENT_MS), ("2026-11-28T18:33:34.000000000Z", MOMENT_MS),
    ("Sat, 28 Nov 2026 18:33:34 GMT", MOMENT_MS), ("28 Nov 2026 19:33:34 +0100", MOMENT_MS),
    ("Sat Nov 28 2026 19:33:34 GMT+0100 (CET)", MOMENT_MS), ("Sat Nov 28 2026 18:33:34 GMT+0000 (UTC)", MOMENT_MS),
    (0, 0), (1_000, 1_000), (99_999_999, 99_999_999), (100_000_000, 100_000_000_000),
])  # fmt: skip
def test_whatever_clients_send_as_a_time_is_read(sent, ms):
    assert read_time_ms(sent, "timestamp") == ms


@pytest.mark.parametrize("sent", [
    "2026-11-28T18:33:34[Europe/Berlin]", "z", "Z[UTC]",
    "", "soon", "03/01/2026", "1.3.26", "1_795_890_814", "0x6B0B", "Sat, 99 Nov 2026 18:33:34 GMT", "UTC", "-",
    "Sat Foo 28 2026 19:33:34 GMT", "9" * 21, "9" * 30_000, 1e20, 2**100, -1e20, "\x00", "2026-02-30 10:00:00 UTC",
])  # fmt: skip
def test_what_says_no_time_is_refused_with_the_field_and_the_remedy(sent):
    with pytest.raises(EventRejected) as caught:
        read_time_ms(sent, "sentAt")
    assert caught.value.code == "schema"
    assert caught.value.message.startswith(("sentAt is text that is no time", "sentAt is a number that is no time"))
    assert "ISO 8601" in caught.value.message


@given(sent=st.text(max_size=40) | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70))
def test_any_value_is_a_time_or_refused(sent):
    try:
        found = read_time_ms(sent, "t")
    except EventRejected:
        return
    assert isinstance(found, int)


def iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat()


THEN = RECEIVED_MS - 3 * YEAR_MS
BEHIND = 3 * 3_600_000
SAID = {"originalTimestamp": iso(THEN - 7_000 - BEHIND), "sentAt": iso(THEN - BEHIND), "receivedAt": iso(THEN)}


class TestPipelines:
    """Events that another pipeline has received before: three years ago, by a device three hours behind."""

    def happened(self, admit, event, **how) -> int:
        return admit({"type": "page", "userId": "u"} | event, **how).record.happened_ms

    @pytest.mark.parametrize("history", [False, True])
    def test_an_archive_holds_both_times_and_the_corrected_one_stands(self, admit, history):
        event = SAID | {"timestamp": iso(THEN - 7_000)}
        assert self.happened(admit, event, history=history) == THEN - 7_000

    @pytest.mark.parametrize("history", [False, True])
    def test_the_devices_time_is_judged_by_the_clock_that_received_it(self, admit, history):
        assert self.happened(admit, SAID, history=history) == THEN - 7_000

    def test_one_time_beside_a_receipt_is_the_devices(self, admit):
        event = {"timestamp": iso(THEN - 7_000 - BEHIND)} | SAID
        del event["originalTimestamp"]
        assert self.happened(admit, event) == THEN - 7_000

    def test_without_its_own_sent_at_it_is_not_judged_by_the_batchs(self, admit):
        event = {"timestamp": iso(THEN), "receivedAt": iso(THEN)}
        assert self.happened(admit, event, sent_at_ms=RECEIVED_MS - 50) == THEN

    def test_in_snake_case_too(self, admit):
        event = {"timestamp": iso(THEN - BEHIND), "sent_at": iso(THEN - BEHIND)}
        assert self.happened(admit, event | {"received_at": iso(THEN)}) == THEN

    def test_two_times_without_a_receipt_are_of_a_pipeline_if_they_differ(self, admit):
        sent = {"originalTimestamp": iso(RECEIVED_MS - BEHIND), "sentAt": iso(RECEIVED_MS - BEHIND)}
        assert self.happened(admit, sent | {"timestamp": iso(RECEIVED_MS)}) == RECEIVED_MS
        assert self.happened(admit, sent | {"timestamp": sent["originalTimestamp"]}) == RECEIVED_MS

    @pytest.mark.parametrize("receipt", [RECEIVED_MS + 600_000, 5_000, "1999-01-01"])
    def test_a_receipt_that_cannot_be_is_as_if_it_were_not_said(self, admit, receipt):
        event = {"timestamp": RECEIVED_MS - 100, "sentAt": RECEIVED_MS - 90, "receivedAt": receipt}
        assert self.happened(admit, event) == RECEIVED_MS - 10

    def test_with_nothing_but_a_receipt_that_is_when_it_was(self, admit):
        assert self.happened(admit, {"receivedAt": iso(THEN)}) == THEN

    def test_history_stands_as_it_is(self, admit):
        event = {"timestamp": iso(THEN), "sentAt": iso(THEN + 50)}
        assert self.happened(admit, event, history=True) == THEN
        assert self.happened(admit, event) == RECEIVED_MS - 50
        assert self.happened(admit, {"timestamp": iso(THEN)}, history=True, sent_at_ms=5) == THEN


class TestReported:
    @pytest.mark.parametrize(("timestamp", "codes"), [
        (RECEIVED_MS - 11 * YEAR_MS, ["time_far"]), (RECEIVED_MS - 9 * YEAR_MS, []), (1_000, ["time_far"]),
        (RECEIVED_MS + 600_000, ["time_clamped"]), (RECEIVED_MS + 200_000, []), (None, []),
    ])  # fmt: skip
    def test_a_time_far_from_the_receipt_is_told(self, admit, timestamp, codes):
        admitted = admit({"type": "page", "userId": "u", "timestamp": timestamp})
        assert [note.code for note in admitted.notes] == codes
        assert admitted.record.happened_ms <= RECEIVED_MS + AHEAD_MS_MAX

    def test_the_past_of_an_archive_is_no_surprise(self, admit):
        event = {"type": "page", "userId": "u", "timestamp": "2001-01-01"}
        assert admit(event, history=True).notes == ()


@pytest.mark.parametrize("field", ["timestamp", "sentAt", "originalTimestamp", "receivedAt"])
def test_an_empty_time_is_as_if_not_sent_and_told(admit, field: str) -> None:
    sent = {"type": "track", "event": "Sofa Assembled", "anonymousId": "a1"}
    admitted = admit({**sent, field: ""})
    assert admitted.record.happened_ms == admit(sent).record.happened_ms
    assert [(note.code, note.field) for note in admitted.notes] == [("field_dropped", field)]


def test_what_is_odd_about_a_batch_is_told_by_field() -> None:
    assert decode_batch(b'{"batch": [], "sentAt": ""}').sent_at_ms is None
    for around, reason in (
        (b'"context": "x"', "context of the batch is text"), (b'"sentAt": []', "sentAt of the batch is a list"),
        (b'"sentAt": "soon"', "sentAt is text that is no time"),
    ):  # fmt: skip
        with pytest.raises(EventRejected, match=reason):
            decode_batch(b'{"batch": [], ' + around + b"}")
