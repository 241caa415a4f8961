"""Whether an event may be kept, before anything of it is: the seam to consent and to tombstones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

import msgspec


class Judgement(msgspec.Struct, frozen=True):
    """What becomes of an event that is well-formed."""

    withheld: str = ""
    """Why it is not kept (`envelope.Withheld.reason`); empty: it is."""
    denied: tuple[str, ...] = ()
    """Purposes, beside `personalization`, that the person has not agreed to."""
    statement: Mapping[str, bool] | None = None
    """What the event says about purposes, where that is news."""


FREE: Final = Judgement()


class Gate(Protocol):
    """Judges events by who they are about."""

    @property
    def is_open(self) -> bool:
        """Whether it keeps every event that says nothing of consent and came without `Sec-GPC: 1`; as of now."""
        ...

    def judge(
        self, tenant: str, identifiers: tuple[str, ...], *, stated: Mapping[str, bool] | None, gpc: bool,
        happened_ms: int, message: int, others: tuple[str, ...] = (),
    ) -> Judgement:  # fmt: skip
        """`identifiers` as in `GET /v1/profiles/{id}`; `stated` is `context.consent`, `gpc` the signal `Sec-GPC: 1`.
        `others` are ids of the same form that the event links to these."""
        ...

    def takes(self, claim: int, device: int, user: int) -> bool:
        """Whether there is room for what the device claims of the user; these are pseudonyms."""
        ...


class OpenGate:
    """Keeps everything."""

    @property
    def is_open(self) -> bool:
        return True

    def judge(
        self, tenant: str, identifiers: tuple[str, ...], *, stated: Mapping[str, bool] | None, gpc: bool,
        happened_ms: int, message: int, others: tuple[str, ...] = (),
    ) -> Judgement:  # fmt: skip
        return FREE

    def takes(self, claim: int, device: int, user: int) -> bool:
        return True
