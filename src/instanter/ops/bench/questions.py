"""The questions that the cases ask, and the answers as far as they look at them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from .load import request


class Excluded(msgspec.Struct, frozen=True):
    """A candidate that is not shown, and why."""

    id: str
    reason: str


class Shown(msgspec.Struct, frozen=True):
    """An item that is shown."""

    id: str
    reasons: tuple[str, ...] = ()


class Placed(msgspec.Struct, frozen=True, rename="camel"):
    """The answer for one placement."""

    items: tuple[Shown, ...]
    excluded: tuple[Excluded, ...]
    served_by: str
    model: str


class Decision(msgspec.Struct, frozen=True, rename="camel"):
    """Reply of `POST /v1/decide`."""

    degraded: tuple[str, ...]
    placements: dict[str, Placed]
    took_ms: float = 0.0
    """From the last byte of the request to the reply, by the server."""

    @property
    def only(self) -> Placed:
        """The answer for the one placement that was asked for."""
        (placed,) = self.placements.values()
        return placed

    @property
    def is_personal(self) -> bool:
        """Whether no stage was cut and the first rung answered."""
        return not self.degraded and all(placed.served_by == "personal" for placed in self.placements.values())


def decide(anonymous_id: str, placement: str, *, candidates: Sequence[str] = ()) -> bytes:
    """The request for one placement, of the caller's own list if there is one."""
    asked: dict[str, object] = {"id": placement}
    if candidates:
        asked["candidates"] = candidates
    body = {"anonymousId": anonymous_id, "placements": [asked]}
    return request("POST", "/v1/decide", msgspec.json.encode(body))


def decision_of(body: bytes) -> Decision:
    """The answer."""
    return msgspec.json.decode(body, type=Decision)
