"""R12 at the door: whatever the bytes, an event is admitted or refused with a reason; nothing else happens."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from time import process_time_ns

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.events.batch import decode_batch
from instanter.events.decode import Door
from instanter.events.envelope import decode_record
from instanter.events.reject import message_id_of, quarantined
from instanter.foundation import limits
from instanter.foundation.errors import EventRejected

RECEIVED_MS = 1_750_000_000_000
CODES = {"malformed", "schema", "too_deep", "too_complex", "too_large"}
CASES = 5_000
FRAGMENTS = [
    b'{"a":' * 40,
    b"[" * 40,
    b'{"long name":' * 70,
    b"[" * 16_000,
    b"\xff\xfe",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    rb'"\ud800"',
    rb'"\udc00\ud800"',
    b"9" * 30,
    b"9" * 5_000,
    b"-9223372036854775809",
    b"18446744073709551616",
    b"1e999",
    b"-1e999",
    b"NaN",
    b"Infinity",
    b"1e-400",
    b"0x10",
    b"01",
    b"\x00",
    rb'"\u0000"',
    b'"anonymousId":"x","anonymousId":7',
    b"null",
    b"true",
    b"{}",
    b"[]",
    b'""',
    b",",
    b":",
    b"}",
    b"]",
    b'"',
    b"\\",
    b"\xef\xbb\xbf",
    b" " * 1000,
    b'"9999-99-99T99:99:99Z"',
    b'"0000-00-00"',
    b'"2025-06-15T23:59:60Z"',
    b"253402300800000",
    b"-1",
    b'{"product_id":"a"}',
    b'[{"product_id":[]}]',
    b'"\xf0\x9f\x92\xa9"',
]
FIELDS = [
    b"type",
    b"messageId",
    b"anonymousId",
    b"userId",
    b"event",
    b"properties",
    b"traits",
    b"previousId",
    b"timestamp",
    b"originalTimestamp",
    b"sentAt",
    b"context",
    b"name",
    b"integrations",
    b"writeKey",
    b"other",
]
SOUND = (
    b'{"type":"track","messageId":"m","anonymousId":"a","event":"Product Viewed","properties":{"product_id":"p",'
    b'"price":9.5,"products":[{"product_id":"q"}]},"context":{"ip":"203.0.113.7","page":{"url":"https://a.example/?q"},'
    b'"userAgent":"Mozilla/5.0","campaign":{"source":1}},"timestamp":"2025-06-15T10:00:00Z","sentAt":1750000000000}'
)

Attempt = Callable[[bytes], str]


@pytest.fixture(scope="module")
def attempt(door: Door) -> Attempt:
    """Bring one event to the door, check that nothing but the two outcomes happens, and say which it was."""

    def bring(raw: bytes) -> str:
        try:
            admitted = door.admit(raw, kind=None, received_ms=RECEIVED_MS, tenant="default")
        except EventRejected as error:
            return reason(raw, error)
        assert decode_record(admitted.payload).key == admitted.record.key
        assert 0 <= admitted.record.happened_ms <= RECEIVED_MS + 300_000
        return "admitted"

    return bring


def reason(raw: bytes, error: EventRejected) -> str:
    """The code of a refusal, which has a message and goes into quarantine within bounds."""
    assert error.code in CODES
    assert error.message
    assert len(quarantined(raw, error, at_ms=RECEIVED_MS, tenant="default").raw) <= limits.EVENT_BYTES_MAX
    return error.code


def hostile_events(seed: int, count: int) -> Iterator[bytes]:
    """Sound events cut, spliced and bent, and fields filled with what decoders trip over."""
    chance = random.Random(seed)
    for _ in range(count):
        form = chance.randrange(5)
        if form == 0:
            at = chance.randrange(len(SOUND))
            yield SOUND[:at] + chance.choice(FRAGMENTS) + SOUND[at + chance.randrange(3) :]
        elif form == 1:
            yield SOUND[: chance.randrange(len(SOUND))]
        elif form == 2:
            bent = bytearray(SOUND)
            for _ in range(chance.randrange(1, 6)):
                bent[chance.randrange(len(bent))] = chance.randrange(256)
            yield bytes(bent)
        elif form == 3:
            yield b"{" + b'"%s":%s,' % (chance.choice(FIELDS), chance.choice(FRAGMENTS)) + SOUND[1:]
        else:
            yield SOUND[:-1] + b',"%s":%s}' % (chance.choice(FIELDS), chance.choice(FRAGMENTS))


def spliced(chance: random.Random, value: bytes) -> bytes:
    """A sound event with one field that holds `value`, at any of the places where JSON is read."""
    return chance.choice(PLACES) % value


def deep(chance: random.Random) -> bytes:
    opener, closer = chance.choice([(b"[", b"]"), (b'{"a":', b"}"), (b'{"a":[', b"]}"), (b'{"long name of it":', b"}")])
    depth = chance.randrange(1, 1_500)
    return spliced(chance, opener * depth + b"1" + closer * (depth - chance.randrange(2)))


def wide(chance: random.Random) -> bytes:
    element = chance.choice([b"[]", b"{}", b"[0]", b'{"":0}', b"[[]]", b"0", b'""', b"1.5", b"[" * 60 + b"]" * 60])
    return spliced(chance, b"[" + b",".join([element] * chance.randrange(1, 16_000 // len(element))) + b"]")


def bad_utf8(chance: random.Random) -> bytes:
    wrong = chance.choice([b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xc3", b"\x80"])
    return spliced(chance, b'"' + b"a" * chance.randrange(50) + wrong + b'b"')


def surrogate(chance: random.Random) -> bytes:
    return spliced(chance, rb'"\u%04x%s"' % (chance.randrange(0xD800, 0xE000), chance.choice([b"", rb"\ud83d", b"x"])))


def huge_number(chance: random.Random) -> bytes:
    sign = chance.choice([b"", b"-"])
    digits = b"%d" % chance.randrange(1, 10) + b"9" * chance.choice([17, 18, 19, 20, 40, 400, 5_000])
    exponent = chance.choice([b"", b"e%d" % chance.randrange(-400, 400), b".5E+%d" % chance.randrange(400)])
    return spliced(chance, sign + digits + exponent)


def many_numbers(chance: random.Random) -> bytes:
    number = chance.choice([b"1e300", b"1.7976931348623157e308", b"4.9e-324", b"1e999", b"9007199254740993.0", b"0.1"])
    return spliced(chance, b"[" + b",".join([number] * chance.randrange(1, 1_000)) + b"]")


def not_a_number(chance: random.Random) -> bytes:
    return spliced(chance, chance.choice([b"NaN", b"-NaN", b"Infinity", b"-Infinity", b"nan", b"[NaN]", b"1e999"]))


def duplicate_keys(chance: random.Random) -> bytes:
    key = chance.choice(FIELDS)
    values = [chance.choice([b"1", b'"u"', b"null", b"{}", b"1e300", b"[]"]) for _ in range(chance.randrange(2, 500))]
    return SOUND[:-1] + b"".join(b',"%s":%s' % (key, value) for value in values) + b"}"


def nul(chance: random.Random) -> bytes:
    value = chance.choice([b'"a\x00b"', rb'"a\u0000b"', b"\x00", b'"\x00"'])
    return spliced(chance, value) + chance.choice([b"", b"\x00"])


def oversize(chance: random.Random) -> bytes:
    return chance.choice([TEN_MIB, TEN_MIB_OF_BRACKETS])


def many_keys(chance: random.Random) -> bytes:
    keys = b",".join(b'"%x":%d' % (n, n % 7) for n in range(chance.choice([10, 64, 65, 500, 2_500])))
    if not chance.randrange(40):
        keys = HUNDRED_THOUSAND_KEYS
    return chance.choice([b'{"type":"page","userId":"u",%s}', b'{"type":"page","userId":"u","properties":{%s}}']) % keys


PLACES = [
    b'{"type":"page","userId":"u","x":%s}',
    b'{"type":"page","userId":"u","properties":{"x":%s}}',
    b'{"type":"page","userId":"u","context":{"x":%s}}',
    b'{"type":"page","userId":%s}',
]
TEN_MIB = b'{"type":"page","userId":"' + b"u" * 10_485_760 + b'"}'
TEN_MIB_OF_BRACKETS = b"[" * 10_485_760
HUNDRED_THOUSAND_KEYS = b",".join(b'"%d":1' % n for n in range(100_000))
CLASSES: dict[str, tuple[Callable[[random.Random], bytes], set[str]]] = {
    "depth": (deep, {"admitted", "malformed", "schema", "too_deep", "too_complex"}),
    "width": (wide, {"admitted", "schema", "too_complex"}),
    "bad UTF-8": (bad_utf8, {"malformed", "admitted"}),
    "surrogates": (surrogate, {"malformed", "admitted"}),
    "huge numbers": (huge_number, {"admitted", "schema"}),
    "many numbers": (many_numbers, {"admitted", "schema"}),
    "NaN": (not_a_number, {"admitted", "malformed", "schema"}),
    "duplicate keys": (duplicate_keys, {"admitted", "schema"}),
    "NUL": (nul, {"malformed", "admitted", "schema"}),
    "10 MiB": (oversize, {"too_large"}),
    "100,000 keys": (many_keys, {"admitted", "too_large"}),
}
"""The classes of bodies that hurt, each with a generator and exactly the outcomes it has. (Compression and length are
told from the HTTP body, before this door.)"""


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_of_hostile_bodies_has_these_outcomes_and_no_others(attempt: Attempt, name: str, record_property):
    generate, expected = CLASSES[name]
    chance = random.Random(name)
    outcomes: set[str] = set()
    size_bytes = taken_ns = 0
    for _ in range(CASES // len(CLASSES)):
        raw = generate(chance)
        started_ns = process_time_ns()
        outcomes.add(attempt(raw))
        taken_ns += process_time_ns() - started_ns
        size_bytes += len(raw)
    record_property("cpu_ms_per_mib", round(taken_ns / size_bytes * 2**20 / 1e6, 1))
    assert outcomes == expected


def test_an_event_too_complex_is_refused_unread(attempt: Attempt):
    assert attempt(b"[" * 30_000 + b"\xff") == "too_complex", "read, it would be malformed"
    assert attempt(b'{"x":' + b"[" * 70 + b'"' + b"x" * 600) == "too_deep", "read, it would be malformed"


def test_a_large_order_is_not_complex(attempt: Attempt):
    product = b'{"product_id":"sku-%03d","name":"[x]","price":9.5,"quantity":1,"a":1,"b":2,"c":3,"d":"","e":"","f":0}'
    products = b",".join(product % n for n in range(limits.ITEMS_PER_EVENT_MAX))
    order = b'{"type":"track","event":"Order Completed","userId":"u","properties":{"products":[' + products + b"]}}"
    assert attempt(order) == "admitted"


def test_pairs_of_numbers_are_not_complex(attempt: Attempt):
    path = b",".join(b"[%d,%d]" % (n % 90 + 10, n % 70 + 10) for n in range(3_000))
    assert attempt(b'{"type":"page","userId":"u","properties":{"path":[' + path + b"]}}") == "admitted"


def test_the_sound_event_is_admitted(attempt: Attempt):
    assert attempt(SOUND) == "admitted"


def test_every_hostile_event_is_admitted_or_refused_with_a_reason(attempt: Attempt):
    outcomes = [attempt(raw) for raw in hostile_events(12, CASES)]
    assert set(outcomes) == {"admitted", *CODES}, "the cases reach every outcome"


def test_every_hostile_batch_is_read_or_refused_with_a_reason():
    for raw in hostile_events(13, 1_000):
        try:
            assert all(raw.find(bytes(event)) >= 0 for event in decode_batch(b'{"batch":[' + raw + b"]}").events)
        except EventRejected as error:
            reason(raw, error)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "malformed"),
        (b"nothing", "malformed"),
        (b"[1]", "schema"),
        (b"7", "schema"),
        (b"null", "schema"),
        (b"[" * 30_000, "too_complex"),
        (b'{"x":' * 6_000, "too_complex"),
        (b'{"x":' + b"[" * 30_000, "too_complex"),
        (b'{"long name":' * 900, "too_deep"),
        (b'{"type":"track","userId":"u","event":"e","x":' + b"[" * 70 + b"]" * 70 + b"}", "too_deep"),
        (b'{"userId":"\xff"}', "malformed"),
        (rb'{"userId":"\ud800"}', "malformed"),
        (b'{"type":"page","userId":"a\x00b"}', "schema"),
        (rb'{"type":"page","userId":"a\u0000b"}', "schema"),
        (b'{"x":nan}', "malformed"),
        (b'{"x":1e999}', "schema"),
        (b'{"x":' + b"9" * 5_000 + b"}", "schema"),
        (b'{"type":"page","userId":"u","x":' + b"9" * 30 + b"}", "admitted"),
        (b'{"type":"page","userId":' + b"9" * 4_000 + b"}", "schema"),
        (b'{"type":"page","userId":"u","traits":[1]}', "schema"),
        (b'{"x":"' + b"y" * 10_485_760 + b'"}', "too_large"),
        (b"{" + b",".join(b'"%d":1' % n for n in range(100_000)) + b"}", "too_large"),
        (b"\xef\xbb\xbf" + SOUND, "admitted"),
        (SOUND + b"x", "malformed"),
        (SOUND + SOUND, "malformed"),
    ],
    ids=range(25),
)
def test_a_case_known_to_hurt_has_its_code(attempt: Attempt, raw: bytes, code: str):
    assert attempt(raw) == code


def test_of_a_key_given_twice_the_last_counts_everywhere(door: Door):
    raw = b'{"type":"page","userId":"first","userId":"last"}'
    admitted = door.admit(raw, kind=None, received_ms=RECEIVED_MS, tenant="t")
    again = door.admit(b'{"type":"page","userId":"last"}', kind=None, received_ms=RECEIVED_MS, tenant="t")
    assert admitted.record.key == again.record.key
    assert b"first" not in admitted.record.body


def test_nesting_up_to_the_bound_is_admitted(attempt: Attempt):
    depth = limits.EVENT_DEPTH_MAX - 1
    assert attempt(b'{"type":"page","userId":"u","x":' + b"[" * depth + b"]" * depth + b"}") == "admitted"


def test_many_brackets_side_by_side_are_not_deep(attempt: Attempt):
    products = b",".join([b'{"product_id":"p"}'] * 150)
    assert attempt(b'{"type":"page","userId":"u","properties":{"products":[' + products + b"]}}") == "admitted"


@settings(deadline=None, max_examples=300)
@given(raw=st.binary(max_size=200))
def test_any_bytes_are_admitted_or_refused(attempt: Attempt, raw: bytes):
    attempt(raw)


@settings(deadline=None, max_examples=300)
@given(raw=st.binary(max_size=100))
def test_the_message_id_is_looked_for_in_any_bytes(raw: bytes):
    assert isinstance(message_id_of(raw), str)


@pytest.mark.parametrize("field", ["userAgent", "ip", "locale", "timezone", "referrer"])
@settings(deadline=None, max_examples=100)
@given(text=st.text(max_size=300))
def test_any_text_in_the_context_is_admitted(admit, field: str, text: str):
    assert admit({"type": "page", "userId": "u", "context": {field: text, "page": {"url": text, "referrer": text}}})
