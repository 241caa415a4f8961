"""What JSON costs is told from its bytes: the depth exactly, extreme numbers without missing one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanter.events.structure import check_structure, depth_of, finite, has_extreme_number
from instanter.foundation import limits
from instanter.foundation.errors import EventRejected

NASTY = st.text(st.sampled_from('[]{}"\\,:\n a\u00e9'), max_size=12)
json_values = st.recursive(
    NASTY | st.integers(-9, 9) | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NASTY, inner, max_size=4),
    max_leaves=30,
)


def plain_depth(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(plain_depth, value), default=0) if isinstance(value, list) else 0


@settings(deadline=None, max_examples=500)
@given(value=json_values)
def test_the_depth_is_that_of_the_decoded_value_whatever_the_texts_hold(value):
    assert depth_of(msgspec.json.encode(value)) == plain_depth(value)


@settings(deadline=None, max_examples=300)
@given(raw=st.binary(max_size=200) | NASTY.map(str.encode))
def test_any_bytes_have_a_depth(raw: bytes):
    assert 0 <= depth_of(raw) <= raw.count(b"[") + raw.count(b"{")


@pytest.mark.parametrize("hiding", [b'"]"', b'"\\"]"', b'"\\\\"', b'"\\\\\\"]]"', b'"]","]"'])
def test_closing_brackets_within_texts_hide_no_depth(hiding: bytes):
    assert depth_of((b"[" + hiding + b",") * 70 + b"0" + b"]" * 70) == 70


@pytest.mark.parametrize(("depth", "refused"), [(limits.EVENT_DEPTH_MAX, False), (limits.EVENT_DEPTH_MAX + 1, True)])
def test_the_bound_of_the_depth_is_exact(depth: int, refused: bool):
    text = b'{"long name":' * depth + b"0" + b"}" * depth
    code = ""
    try:
        check_structure(text, depth)
    except EventRejected as error:
        code = error.code
    assert code == ("too_deep" if refused else "")


def test_brackets_over_their_bound_are_too_complex():
    free = limits.EVENT_BRACKETS_FREE + 1_000 // limits.EVENT_BYTES_PER_BRACKET_MIN
    check_structure(b"[]" * free + b" " * (1_000 - 2 * free), free)
    with pytest.raises(EventRejected) as caught:
        check_structure(b"[]" * (free + 1) + b" " * (1_000 - 2 * free - 2), free + 1)
    assert caught.value.code == "too_complex"


@settings(deadline=None, max_examples=300)
@given(
    digits=st.integers(0, 10**17),
    fraction=st.none() | st.integers(0, 10**9),
    exponent=st.integers(100, 400),
    letter=st.sampled_from("eE"),
    sign=st.sampled_from(["", "+", "-"]),
    zeros=st.sampled_from(["", "0", "000"]),
)
def test_no_extreme_number_is_missed(digits, fraction, exponent, letter, sign, zeros):
    mantissa = str(digits) if fraction is None else f"{digits}.{fraction}"
    assert has_extreme_number(f'{{"x":{mantissa}{letter}{sign}{zeros}{exponent}}}'.encode())


@settings(deadline=None, max_examples=300)
@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_read_steadily_is_the_same_number(value: float):
    text = msgspec.json.encode([value, repr(value)])
    assert finite(repr(value)) == value
    assert msgspec.json.decode(text, type=list[Any]) == msgspec.json.Decoder(list[Any], float_hook=finite).decode(text)


@pytest.mark.parametrize("text", ["1e999", "-1e999"])
def test_an_infinite_number_is_none(text: str):
    with pytest.raises(ValueError, match="out of range"):
        finite(text)
