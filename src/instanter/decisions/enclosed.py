"""What was asked, where the receipt has no room for it: long lists of the caller, and fields that came with them.

Lies sealed beside the receipt in the same record, so a decision can be recomputed from the log alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np

from ..foundation.errors import Corrupt, RequestRejected
from ..foundation.limits import ENCLOSED_BYTES_MAX, RECEIPT_CANDIDATES_MAX
from ..state.catalogue import Catalogue
from .candidates import Given
from .receipt import PlacementReceipt, id_of, packed


class _Enclosed(msgspec.Struct, array_like=True, frozen=True):
    """The caller's list of one placement."""

    placement: str
    refs: bytes
    """References, 8 bytes each, little endian; empty where the receipt has them."""
    fields: Sequence[tuple[int, dict[str, Any]]]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[_Enclosed])


def enclose(lists: Iterable[tuple[str, Given | None]]) -> bytes:
    """What has to lie beside the receipt, b"" if nothing has.

    More than `ENCLOSED_BYTES_MAX` is not kept, and the decision cannot be recomputed.
    """
    enclosed = [
        _Enclosed(placement, packed(given.refs) if len(given.refs) > RECEIPT_CANDIDATES_MAX else b"", given.fields)
        for placement, given in lists
        if given is not None and (given.fields or len(given.refs) > RECEIPT_CANDIDATES_MAX)
    ]
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
