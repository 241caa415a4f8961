"""One way to decode the body of a request other than an event."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from ..foundation.errors import RequestRejected
from ..foundation.limits import EVENT_BRACKETS_FREE, EVENT_BYTES_PER_BRACKET_MIN
from .structure import finite, has_extreme_number

T = TypeVar("T")


def body_decoder(of: type[T]) -> Callable[[bytes], T]:
    """A function from bytes to `of` that raises `RequestRejected` and nothing else, in time bounded by the bytes."""
    plain = msgspec.json.Decoder(of)
    careful = msgspec.json.Decoder(of, float_hook=finite)

    def decode(body: bytes) -> T:
        if body.count(b"{") + body.count(b"[") > EVENT_BRACKETS_FREE + len(body) // EVENT_BYTES_PER_BRACKET_MIN:
            reason = f"at most one map or list in every {EVENT_BYTES_PER_BRACKET_MIN} bytes of a body"
            raise RequestRejected("too_complex", reason)
        decoder = careful if has_extreme_number(body) else plain
        try:
            return decoder.decode(body)
        except msgspec.ValidationError as error:
            raise RequestRejected("schema", str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
            raise RequestRejected("malformed", str(error)) from None
        except RecursionError:
            raise RequestRejected("too_deep", "nesting over the decoder's limit") from None

    return decode
