"""One way to decode the body of a request other than an event."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from ..foundation.errors import RequestRejected

T = TypeVar("T")


def body_decoder(of: type[T]) -> Callable[[bytes], T]:
    """A function from bytes to `of` that raises `RequestRejected` and nothing else."""
    decoder = msgspec.json.Decoder(of)

    def decode(body: bytes) -> T:
        try:
            return decoder.decode(body)
        except msgspec.ValidationError as error:
            raise RequestRejected("schema", str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RequestRejected("malformed", str(error)) from None
        except RecursionError:
            raise RequestRejected("too_deep", "nesting over the decoder's limit") from None

    return decode
