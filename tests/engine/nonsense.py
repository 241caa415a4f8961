"""Records of every kind with nonsense in their fields, as an older version, another writer or an enemy leaves them."""

from __future__ import annotations

from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st

from instanter.events.envelope import (
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
    Keyed,
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

KINDS: tuple[type[Record], ...] = get_args(Record)
EDGES = (0, 1, -1, 7, 2**31, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, 2**64 - 1)

_ints = st.sampled_from(EDGES) | st.integers(-(2**63), 2**64 - 1)
_floats = st.sampled_from((0.0, -1.0, 1e308, float("inf"), float("-inf"), float("nan"))) | st.floats()
_words = st.sampled_from(("", "default", "sku-1", "freeze", "home.recommended", "personalization", "x" * 600))
_texts = _words | st.text(max_size=12)
_bytes = st.sampled_from((b"", bytes(32), b"\xff" * 7, b"\xc1")) | st.binary(max_size=12)
_plain = st.none() | st.booleans() | _ints | _floats | _texts | _bytes
_any = st.recursive(
    _plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts | _ints, inner, max_size=3), max_leaves=6
)
AT_MS = 1_700_000_000_000
_LESSON = Lesson("home.hero", (5, 6), bytes(16))
SENSIBLE: dict[type[Any], Any] = {
    type(one): one
    for one in (
        Tracked(AT_MS, AT_MS, "default", 1, 9, "Product Viewed", items=(5,), prices=(1.0,), decision_id="d_1"),
        ItemUpserted(AT_MS, "default", "sku-1", {"price": 4.0, "created_at": "2023-01-01", "sale_price": 3.0}, 1),
        ItemPatched(AT_MS, "default", "sku-1", {"stock": 0, "item_group_id": "g", "availability": "preorder"}, 1),
        ItemDeleted(AT_MS, "default", "sku-1"),
        Linked(AT_MS, "default", 1, 3),
        Unlinked(AT_MS, "default", 1),
        Configured(AT_MS, {"session_gap_ms": 60_000}, (("views", "1"),), ("email",)),
        Epoch(AT_MS, 2, ""),
        Ticked(AT_MS),
        Decided(AT_MS, "default", 1, "d_1", b"", lessons=(_LESSON,)),
        Consented(AT_MS, "default", 1, {"personalization": False}),
        Withheld(AT_MS, "default", "Product Viewed", "gpc"),
        Erased(AT_MS, "default", "e_1", (1, 2), (b"stone",), (9,), AT_MS + 1),
        KeyIssued(AT_MS, "k1", "default", bytes(range(32)), ("write",)),
        KeyRevoked(AT_MS, "k1"),
        Audited(AT_MS, 1, bytes(32)),
        ModelPlaced(AT_MS, "default", "home.hero", "trees@1"),
        LearnerDeclared(AT_MS, "home.hero", ("item.price",), 0.1, 2.0, False, 60_000, {"click": 1.0}),
        LearnerTurned(AT_MS, "default", "home.hero", "freeze"),
        Imported(AT_MS, "default", bytes(16), 2, 3, 99, (1, 2), (8, 9)),
        Keyed(AT_MS, bytes(range(16))),
    )
}
"""One of each kind."""
_LEAVES: dict[Any, st.SearchStrategy[Any]] = {
    int: _ints, float: _floats, str: _texts, bytes: _bytes, bool: st.booleans(), Any: _any,
}  # fmt: skip


def _of(kind: Any) -> st.SearchStrategy[Any]:
    """Whatever a field of that type can be decoded to."""
    if kind in _LEAVES:
        return _LEAVES[kind]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return nonsense(kind)
    origin, parts = get_origin(kind), get_args(kind)
    if origin is tuple and parts[-1] is Ellipsis:
        return st.lists(_of(parts[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*map(_of, parts))
    if origin is dict:
        return st.dictionaries(_of(parts[0]), _of(parts[1]), max_size=3)
    assert origin is Union, kind
    return st.one_of(*map(_of, parts))


def nonsense(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Records of that kind with nonsense in all their fields, or in one or two of a record that makes sense."""
    hints = get_type_hints(kind)
    fields = {name: _of(hints[name]) for name in kind.__struct_fields__}
    whole = st.builds(kind, **fields)
    if kind not in SENSIBLE:
        return whole
    some = st.lists(st.sampled_from(sorted(fields)), max_size=2, unique=True)
    odd = some.flatmap(lambda names: st.fixed_dictionaries({name: fields[name] for name in names}))
    return whole | odd.map(lambda changed: msgspec.structs.replace(SENSIBLE[kind], **changed))


records: st.SearchStrategy[Record] = st.sampled_from(KINDS).flatmap(nonsense)


def _cut(raw: bytes, place: int) -> bytes:
    return raw[: place % len(raw)]


payloads: st.SearchStrategy[bytes] = st.one_of(
    records.map(encode_record),
    st.builds(_cut, records.map(encode_record), st.integers(0, 10_000)),
    st.binary(min_size=1, max_size=12),
    st.integers(22, 200).map(lambda tag: msgspec.msgpack.encode([tag, 1, "default", {"a": None}])),
    st.just(b"\x91" * 3_000 + b"\x01"),
)
"""What may stand in a frame whose checksum is right."""
