"""A list with what came of it: one example to learn from."""

from __future__ import annotations

import msgspec

from .slates import Slate


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """Everything but the slate runs parallel to its items. What was shown and not chosen has reward 0."""

    slate: Slate
    outcomes: tuple[int, ...]
    """Bits of `Outcome`."""
    revenues: tuple[float, ...]
    rewards: tuple[float, ...]
    weights: tuple[float, ...]
    """Inverse propensities, clipped; 1 where they are not known."""

    def encode(self) -> bytes:
        """Equal examples give equal bytes."""
        return _encoder.encode(self)


_encoder = msgspec.msgpack.Encoder(order="deterministic")
