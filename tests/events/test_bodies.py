"""What is said of a body that does not fit: where, and what might have stood there."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import pytest

from instanter.events.bodies import body_decoder
from instanter.foundation.errors import RequestRejected

Way = Literal["up", "down"]


class Step(msgspec.Struct):
    way: Way | None = None


class Walk(msgspec.Struct, rename="camel"):
    first_way: Way = "up"
    steps: list[Step] = []
    pairs: tuple[Way, ...] = ()
    by_name: dict[str, Annotated[Way, msgspec.Meta(description="which way")]] = {}
    length: Annotated[int, msgspec.Meta(ge=0)] = 0


@pytest.mark.parametrize(("body", "reason"), [
    (b'{"firstWay": "left"}', "firstWay is 'left', which is none of the words for it: one of down, up"),
    (b'{"steps": [{}, {"way": "left"}]}', "steps[1].way is 'left', which is none of the words for it: one of down, up"),
    (b'{"pairs": ["up", "left"]}', "pairs[1] is 'left', which is none of the words for it: one of down, up"),
    (b'{"byName": {"a": "left"}}', "byName[...] is 'left', which is none of the words for it: one of down, up"),
    (b'{"length": -1}', "length is at least 0"),
    (b'{"firstWay": 7}', "firstWay is a number where text is wanted"),
])  # fmt: skip
def test_a_wrong_word_is_answered_with_the_words_there_are(body: bytes, reason: str) -> None:
    with pytest.raises(RequestRejected) as caught:
        body_decoder(Walk)(body)
    assert (caught.value.code, caught.value.message) == ("schema", reason)
