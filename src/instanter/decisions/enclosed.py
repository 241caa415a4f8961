"""What was asked, where the receipt has no room for it: long lists of the caller, fields that came with them, and the
queries that items were found by; and what a net told of the candidates.

Lies sealed beside the receipt in the same record, so a decision can be recomputed from the log alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from ..foundation.errors import Corrupt, RequestRejected
from ..foundation.limits import ENCLOSED_BYTES_MAX, RECEIPT_CANDIDATES_MAX
from ..models.bodies import Logits
from ..state.catalogue import Catalogue
from .candidates import Given
from .receipt import PlacementReceipt, id_of, packed


class _Enclosed(msgspec.Struct, array_like=True, frozen=True):
    """The caller's list of one placement, or its query, and what a net told. New fields go last and have defaults."""

    placement: str
    refs: bytes
    """References, 8 bytes each, little endian; empty where the receipt has them."""
    fields: Sequence[tuple[int, dict[str, Any]]]
    query: str = ""
    """The text that items were found by; a receipt has its hash alone."""
    told: bytes = b""
    """What a net told of the eligible candidates, float32, little endian; empty where none was asked."""


_NOTHING_TOLD: Final[Mapping[str, Logits]] = {}
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[_Enclosed])


def enclose(questions: Iterable[tuple[str, Given | None, str]], told: Mapping[str, Logits] = _NOTHING_TOLD) -> bytes:
    """What has to lie beside the receipt, b"" if nothing has, of placements with the caller's lists and queries, and
    what nets told, by placement.

    More than `ENCLOSED_BYTES_MAX` is not kept, and the decision cannot be recomputed.
    """
    enclosed = []
    for placement, given, query in questions:
        numbers = told[placement].astype("<f4").tobytes() if placement in told else b""
        if query:
            enclosed.append(_Enclosed(placement, b"", (), query, numbers))
        elif given is not None and (given.fields or len(given.refs) > RECEIPT_CANDIDATES_MAX):
            refs = packed(given.refs) if len(given.refs) > RECEIPT_CANDIDATES_MAX else b""
            enclosed.append(_Enclosed(placement, refs, given.fields, told=numbers))
        elif numbers:
            enclosed.append(_Enclosed(placement, b"", (), told=numbers))
    if not enclosed:
        return b""
    raw = _encoder.encode(enclosed)
    return raw if len(raw) <= ENCLOSED_BYTES_MAX else b""


def given_again(placement: PlacementReceipt, enclosed: bytes, tenant: str, catalogue: Catalogue) -> Given | None:
    """The caller's list of a placement as it was asked, or None if there was none.

    `RequestRejected` (not_kept) if it took more than `ENCLOSED_BYTES_MAX`.
    """
    if placement.given < 0:
        return None
    beside = _beside(placement.id, enclosed)
    raw = beside.refs if beside is not None and beside.refs else placement.caller
    refs = np.frombuffer(raw, "<i8").astype(np.int64)
    if len(refs) != placement.given or (placement.fields_hash and beside is None):
        raise RequestRejected("not_kept", f"the list that {placement.id} was asked about was not kept", status=410)
    return Given(ids_of(refs.tolist(), tenant, catalogue), refs, beside.fields if beside is not None else ())


def query_again(placement: PlacementReceipt, enclosed: bytes) -> str:
    """The query that items were found by; `RequestRejected` (not_kept) if it is not there."""
    beside = _beside(placement.id, enclosed)
    if beside is None or not beside.query:
        raise RequestRejected("not_kept", f"the query that {placement.id} was asked was not kept", status=410)
    return beside.query


def told_again(placement: PlacementReceipt, enclosed: bytes) -> Logits | None:
    """What a net told of the candidates; None where none was asked, or it took more than `ENCLOSED_BYTES_MAX`."""
    beside = _beside(placement.id, enclosed)
    if beside is None or not beside.told:
        return None
    try:
        told: Logits = np.frombuffer(beside.told, "<f4").astype(np.float32)
    except ValueError as error:
        raise Corrupt(file="receipt", offset=0, reason=f"what lies beside it: {error}") from None
    return told


def ids_of(refs: Iterable[int], tenant: str, catalogue: Catalogue) -> list[str]:
    """The ids of a tenant's items by their references; a reference itself where the tenant has none such any more."""
    return [id_of(ref, tenant, catalogue) for ref in refs]


def _beside(placement: str, enclosed: bytes) -> _Enclosed | None:
    if not enclosed:
        return None
    try:
        lists = _decoder.decode(enclosed)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Corrupt(file="receipt", offset=0, reason=f"what lies beside it: {error}") from None
    return next((one for one in lists if one.placement == placement), None)
