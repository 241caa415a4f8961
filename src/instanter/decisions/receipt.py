"""What a decision stood on: enough to recompute it, to learn from it, and to show it to the person it was made for.

Nothing personal: the person stands as keys of cells, a search as the hash of its words. At most 2 KB for up to about
150 items shown, and at most 4 KB with the caller's candidates, which are held by reference up to a bound and by their
hash beyond it. A longer list, and fields that came with the request, lie beside the receipt: see `enclosed`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import mmh3
import msgspec
import numpy as np
import numpy.typing as npt

from ..features.view import Person
from ..foundation.errors import Corrupt
from ..foundation.limits import RECEIPT_CANDIDATES_MAX
from ..log.frames import LogPosition
from ..state.catalogue import Catalogue
from ..state.compiled import Ints
from .candidates import Pool

RECEIPT_VERSION = 2
"""2: a decision can be recomputed from it."""
_HASH_BYTES = 8


class ExploredSlot(msgspec.Struct, array_like=True, frozen=True):
    """The one place of a list that was drawn; all others have propensity 1."""

    position: int
    incumbent: int
    """Reference of the item the ranker had put there."""
    allowed: int
    """Size of the allowed set, the incumbent included."""
    epsilon: float
    propensity: float
    """Of the item that stands there."""
    new: int = 0
    """New items, one of which stands there with `new_chance`."""
    new_chance: float = 0.0


class PlacementReceipt(msgspec.Struct, array_like=True, frozen=True):
    """One placement of a decision."""

    id: str
    limit: int
    rung: str
    model: str
    candidates: int
    candidates_hash: bytes
    """Over the references of all candidates, in order."""
    items: bytes
    """References of what was shown, in order, 8 bytes each, little endian."""
    caller: bytes = b""
    """References of the caller's list, likewise; empty if there was none or it was too long."""
    fields_hash: bytes = b""
    page: int = 0
    """Reference of the item the page was about."""
    query_hash: int = 0
    slot: ExploredSlot | None = None
    given: int = -1
    """How many candidates the caller's list had; -1 if there was none."""
    matrix_hash: bytes = b""
    """Over the whole matrix that a ranker read; empty where none did."""
    scores_hash: bytes = b""
    """Over the scores of what was shown, in order."""
    learned: int = -1
    """Lessons that the online learner had had; -1 where none added to the scores."""
    missing: tuple[str, ...] = ()
    """Inputs that the model would have read and that there were not, the first `MISSING_TOLD_MAX`."""

    def shown(self) -> list[int]:
        """References of what was shown, in order."""
        return [int(ref) for ref in np.frombuffer(self.items, "<i8")]


class ItemOfReceipt(msgspec.Struct, frozen=True, rename="camel"):
    """An item that was shown."""

    id: str
    position: int
    propensity: float


class PlacementOfReceipt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A list as its receipt has it."""

    served_by: str
    model: str
    lessons: int | None = None
    """That the online learner had had; left out where none added to the scores."""
    missing: list[str] = []
    """Inputs that the model would have read and that there were not."""
    candidates: int
    candidates_hash: str
    items: list[ItemOfReceipt]


class ReceiptReply(msgspec.Struct, frozen=True, rename="camel"):
    """Reply of `GET /v1/decisions/{id}`: what the decision stood on."""

    decision_id: str
    at_ms: int
    position: str
    epoch: int
    configuration: str
    features: str
    inputs: str
    degraded: list[str]
    placements: dict[str, PlacementOfReceipt]
    took_ms: float | None
    """From when its request was read until its reply; null where it was made before that was kept."""


class Receipt(msgspec.Struct, array_like=True, frozen=True):
    """One decision. New fields go last and have defaults."""

    version: int
    decision_id: str
    """The generator of the explored slots is keyed by it."""
    tenant: str
    at_ms: int
    """The time of the decision, which windows and decays were read at."""
    position: LogPosition
    """The log up to here had been folded."""
    epoch: int
    epoch_hash: str
    keys: tuple[int, ...]
    inputs_hash: bytes
    """Over what was read of the person, the epoch and the candidates."""
    config_hash: str
    features_hash: str
    degraded: tuple[str, ...]
    placements: tuple[PlacementReceipt, ...]
    deadline_ms: float = 0.0
    denied: tuple[str, ...] = ()
    """Purposes the person had not agreed to: features for them were left out."""
    took_ms: float = 0.0
    """What the reply said that it took; 0 in receipts of before that was kept."""

    def readable(self, catalogue: Catalogue) -> ReceiptReply:
        """As `GET /v1/decisions/{id}` shows it: ids for references where the catalogue still knows them."""
        return ReceiptReply(
            self.decision_id, self.at_ms, str(self.position), self.epoch, self.config_hash, self.features_hash,
            self.inputs_hash.hex(), list(self.degraded),
            {one.id: _readable(one, self.tenant, catalogue) for one in self.placements}, self.took_ms or None,
        )  # fmt: skip


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Receipt)


def encode_receipt(receipt: Receipt) -> bytes:
    """The bytes that `Decided` carries."""
    return _encoder.encode(receipt)


def decode_receipt(raw: bytes) -> Receipt:
    """A receipt from its bytes, or `Corrupt`."""
    try:
        receipt = _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Corrupt(file="receipt", offset=0, reason=str(error)) from None
    if receipt.version > RECEIPT_VERSION:
        raise Corrupt(file="receipt", offset=0, reason=f"version {receipt.version} is newer than {RECEIPT_VERSION}")
    return receipt


def packed(refs: Ints | Iterable[int]) -> bytes:
    """References as bytes."""
    return np.asarray(refs if isinstance(refs, np.ndarray) else list(refs), "<i8").tobytes()


def caller_part(pool: Pool) -> bytes:
    """The references of the caller's list, if it is short enough to be kept."""
    return packed(pool.columns.refs[: len(pool.ids)]) if len(pool.ids) <= RECEIPT_CANDIDATES_MAX else b""


def short_hash(content: bytes | npt.NDArray[Any]) -> bytes:
    """A hash that tells equal from different; no protection against an adversary. An array is hashed where it lies, row
    by row: that of many candidates and inputs takes a megabyte."""
    raw = content if isinstance(content, bytes) else np.ascontiguousarray(content).data
    return mmh3.mmh3_x64_128_digest(raw)[:_HASH_BYTES]


def inputs_hash(person: Person, epoch_hash: str, pools: Iterable[Pool]) -> bytes:
    """Over what the decision read."""
    read = [array.tobytes() for array in (person.values, person.counts, person.refs, person.weights)]
    read.append(epoch_hash.encode())
    for pool in pools:
        read += [columns.tobytes() for columns in (pool.columns.refs, pool.columns.attributes, pool.columns.numbers)]
    return mmh3.hash_bytes(b"".join(read))


def _readable(placement: PlacementReceipt, tenant: str, catalogue: Catalogue) -> PlacementOfReceipt:
    slot = placement.slot
    items = [
        ItemOfReceipt(
            id_of(ref, tenant, catalogue), position,
            slot.propensity if slot is not None and slot.position == position else 1.0,
        )
        for position, ref in enumerate(placement.shown(), start=1)
    ]  # fmt: skip
    return PlacementOfReceipt(
        served_by=placement.rung, model=placement.model, candidates=placement.candidates, items=items,
        candidates_hash=placement.candidates_hash.hex(), missing=list(placement.missing),
        lessons=None if placement.learned < 0 else placement.learned,
    )  # fmt: skip


def id_of(ref: int, tenant: str, catalogue: Catalogue) -> str:
    """The id of a tenant's item by its reference, or the reference itself where the tenant has none such any more."""
    name = catalogue.name_of(tenant, ref)
    return name if name is not None else f"ref:{ref & 0xFFFFFFFFFFFFFFFF:016x}"
