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
    (b'{"firstWay": "left"}', "Invalid enum value 'left' - at `$.firstWay`: one of down, up"),
    (b'{"steps": [{}, {"way": "left"}]}', "Invalid enum value 'left' - at `$.steps[1].way`: one of down, up"),
    (b'{"pairs": ["up", "left"]}', "Invalid enum value 'left' - at `$.pairs[1]`: one of down, up"),
    (b'{"byName": {"a": "left"}}', "Invalid enum value 'left' - at `$.byName[...]`: one of down, up"),
    (b'{"length": -1}', "Expected `int` >= 0 - at `$.length`"),
    (b'{"firstWay": 7}', "Expected `str`, got `int` - at `$.firstWay`"),
])  # fmt: skip
def test_a_wrong_word_is_answered_with_the_words_there_are(body: bytes, reason: str) -> None:
    with pytest.raises(RequestRejected) as caught:
        body_decoder(Walk)(body)
    assert (caught.value.code, caught.value.message) == ("schema", reason)
