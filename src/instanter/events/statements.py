"""What a sender says a person agrees to, read from the circumstances of an event or of a decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ..foundation.errors import EventRejected, RequestRejected
from ..foundation.limits import NAME_CHARS_MAX, PURPOSES_MAX
from .bodies import body_decoder
from .envelope import Consented


class _Circumstances(msgspec.Struct, frozen=True):
    """What of a decision's context is looked at."""

    consent: dict[str, Any] | None = None


_context_of = body_decoder(_Circumstances)


def stated_in(context: msgspec.Raw) -> dict[str, bool] | None:
    """Purposes as a decision's circumstances state them; raises `RequestRejected`."""
    raw = bytes(context)
    if b'"consent"' not in raw:
        return None
    try:
        return stated_purposes(_context_of(raw).consent)
    except EventRejected as error:
        raise RequestRejected(error.code, error.message) from None


def stated_purposes(sent: Mapping[str, Any] | None) -> dict[str, bool] | None:
    """Purposes as sent: `{"personalization": true}`, or as consent tools nest them under `categoryPreferences`."""
    if not sent:
        return None
    stated = sent.get("categoryPreferences", sent)
    if not isinstance(stated, dict):
        raise EventRejected("schema", "context.consent.categoryPreferences is a map of purposes to true or false")
    if len(stated) > PURPOSES_MAX:
        raise EventRejected("too_large", f"context.consent has at most {PURPOSES_MAX} purposes")
    purposes = {}
    for purpose, agreed in stated.items():
        if agreed is None:
            continue
        if not isinstance(agreed, bool) or not isinstance(purpose, str) or len(purpose) > NAME_CHARS_MAX:
            raise EventRejected("schema", "context.consent is a map of purposes to true or false")
        purposes[purpose] = agreed
    return purposes or None


def consented(
    statement: Mapping[str, bool], at_ms: int, tenant: str, cells: Sequence[int]
) -> tuple[Consented, ...]:
    return tuple(Consented(at_ms, tenant, cell, dict(statement)) for cell in cells)
