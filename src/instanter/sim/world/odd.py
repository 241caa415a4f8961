"""Payloads that no fold can take, one of each kind of record and some of none, as another writer leaves them."""

from __future__ import annotations

from typing import Final

import msgspec

from ...events.envelope import (
    Audited,
    Configured,
    Consented,
    Decided,
    Epoch,
    Erased,
    Imported,
    ItemDeleted,
    ItemPatched,
    ItemUpserted,
    KeyIssued,
    KeyRevoked,
    LearnerDeclared,
    LearnerTurned,
    Lesson,
    Linked,
    ModelPlaced,
    Record,
    Ticked,
    Tracked,
    Unlinked,
    Withheld,
    encode_record,
)
from ..chance import Chance

_BEYOND: Final = 2**63 + 5
_NEVER_MS: Final = 2**60
_YEARS_MS: Final = 3 * 365 * 86_400_000
"""Of a time that is one, and not that of its frame."""
_FROM_LATER: Final = 99
"""The tag of a kind that there is not."""


def odd_payload(number: int, at_ms: int, tenant: str, chance: Chance) -> bytes:
    """One of them; another one for each number."""
    name = f"odd-{number}"
    records: tuple[Record, ...] = (
        Tracked(at_ms, at_ms, tenant, 7, _BEYOND, name),
        ItemUpserted(at_ms, tenant, name, {"raw": b"\xff"}),
        ItemPatched(at_ms + _YEARS_MS, tenant, name, {}),
        ItemDeleted(_NEVER_MS, tenant, name),
        Linked(at_ms, tenant, _BEYOND, 1, name.encode()),
        Unlinked(_NEVER_MS + number, tenant, 1),
        Configured(at_ms, {"folding": 99}, ((name, "1"),)),
        Epoch(at_ms, 2**40, name),
        Ticked(at_ms + _YEARS_MS + number),
        Decided(at_ms, tenant, 7, name, b"", lessons=(Lesson("home.recommended", (1,), b"\xff" * 12),)),
        Consented(at_ms, tenant, 7, {name * 100: True}),
        Withheld(_NEVER_MS, tenant, name, "gpc"),
        Erased(at_ms, tenant, name, (_BEYOND,)),
        KeyIssued(at_ms, name, tenant, b"short", ("admin",)),
        KeyRevoked(at_ms + _YEARS_MS, name),
        Audited(at_ms, number, b"short"),
        ModelPlaced(_NEVER_MS, tenant, name, "trees@1"),
        LearnerDeclared(at_ms, name, ("item.price",), float("nan"), 1.0, False, 1_000, {}),
        LearnerTurned(at_ms, tenant, name, "freeze"),
        Imported(at_ms, tenant, name.encode(), 1, lines=(1, 2)),
    )  # fmt: skip
    payload = encode_record(chance.pick(records))
    how = chance.below(6)
    if how == 0:
        return msgspec.msgpack.encode([_FROM_LATER, number])
    return payload[: 1 + chance.below(len(payload) - 1)] if how == 1 else payload
