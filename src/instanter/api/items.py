"""The catalogue routes. A change is an event in the log and counts from the next decision on."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from ..engine.loop import Engine
from ..events.bodies import body_decoder
from ..events.envelope import CANONICAL_FIELDS, ItemDeleted, ItemPatched, ItemUpserted
from ..foundation.errors import Overloaded, RequestRejected
from ..foundation.limits import BODY_BYTES_MAX, ID_CHARS_MAX, ITEM_FIELDS_BYTES_MAX, ITEMS_PER_REQUEST_MAX
from .bodies import read_body
from .replies import reply
from .routing import path_id
from .tenancy import Caller, caller_of, tenant_of

_SHOWN_CHARS = 80
_ENVELOPE_BYTES = 64
"""A change beside its id and fields, at most."""

ItemId = Annotated[str, Meta(min_length=1, max_length=ID_CHARS_MAX)]


class SentItem(msgspec.Struct):
    """An item as it is from now on."""

    id: ItemId
    fields: dict[str, Any]


class ItemsRequest(msgspec.Struct):
    """`POST /v1/items`."""

    items: Annotated[list[SentItem], Meta(max_length=ITEMS_PER_REQUEST_MAX)]


class PatchRequest(msgspec.Struct):
    """`PATCH /v1/items/{id}`: null removes a field."""

    fields: dict[str, Any]


class ChangeReply(msgspec.Struct):
    """The change is on disk, and the next decision sees it."""

    accepted: int
    position: str


class ItemReply(msgspec.Struct):
    """`GET /v1/items/{id}`."""

    id: str
    fields: dict[str, Any]


_items_of = body_decoder(ItemsRequest)
_patch_of = body_decoder(PatchRequest)


async def upsert(engine: Engine, request: Request) -> Response:
    """`POST /v1/items`: all of them or, if one is not fit, none."""
    sent = _items_of(await read_body(request, bytes_max=BODY_BYTES_MAX))
    caller, now_ms = caller_of(request), engine.clock.now_ms()
    fields_bytes = size_bytes = 0
    for item in sent.items:
        _check_id(item.id)
        fields_bytes += _fields_bytes(item.id, item.fields)
        size_bytes += _ENVELOPE_BYTES + len(item.id.encode())
    size_bytes += fields_bytes
    _check_catalogue(engine, caller, {item.id for item in sent.items}, fields_bytes)
    engine.journal.check_room(size_bytes, entries=len(sent.items))
    changes = [ItemUpserted(now_ms, caller.tenant, item.id, item.fields, CANONICAL_FIELDS) for item in sent.items]
    position = await engine.change_items(changes)
    return reply(ChangeReply(len(changes), str(position)))


async def patch(engine: Engine, request: Request) -> Response:
    """`PATCH /v1/items/{id}`."""
    sent = _patch_of(await read_body(request, bytes_max=BODY_BYTES_MAX))
    tenant, item_id = tenant_of(request), _known_id(engine, request)
    _fields_bytes(item_id, sent.fields)
    patched = ItemPatched(engine.clock.now_ms(), tenant, item_id, sent.fields, CANONICAL_FIELDS)
    position = await engine.change_items([patched])
    return reply(ChangeReply(1, str(position)))


async def delete(engine: Engine, request: Request) -> Response:
    """`DELETE /v1/items/{id}`."""
    tenant, item_id = tenant_of(request), _known_id(engine, request)
    position = await engine.change_items([ItemDeleted(engine.clock.now_ms(), tenant, item_id)])
    return reply(ChangeReply(1, str(position)))


async def get(engine: Engine, request: Request) -> Response:
    """`GET /v1/items/{id}`."""
    item_id = _known_id(engine, request)
    item = engine.partition.state.catalogue.get(tenant_of(request), item_id)
    assert item is not None
    return reply(ItemReply(item.id, item.fields))


def _known_id(engine: Engine, request: Request) -> str:
    item_id = path_id(request)
    if engine.partition.state.catalogue.get(tenant_of(request), item_id) is None:
        raise RequestRejected("unknown_item", f'the catalogue has no item "{item_id[:_SHOWN_CHARS]}"', status=404)
    return item_id


def _check_catalogue(engine: Engine, caller: Caller, ids: set[str], fields_bytes: int) -> None:
    """Refuse what would not fit: items beyond the caller's share, and items or larger fields beyond the memory."""
    state = engine.partition.state
    known = [state.catalogue.size_of(caller.tenant, item_id) for item_id in ids]
    new, more_bytes = known.count(0), fields_bytes - sum(known)
    own, own_max = state.catalogue.count_of(caller.tenant), caller.terms.items_max
    if new and own_max and own + new > own_max:
        raise Overloaded(f"the catalogue is full: it holds {own_max} items", retry_after_s=60)
    if (new or more_bytes > 0) and not state.catalogue_takes(items=new, size_bytes=more_bytes):
        held = len(state.catalogue.items)
        raise Overloaded(f"the catalogue is full: state.memory_mb has room for {held} such items", retry_after_s=60)


def _check_id(item_id: str) -> None:
    """Refuse an id that no event could name: nobody could ever view such an item."""
    if item_id.isspace() or any(character < " " or "\x7f" <= character <= "\x9f" for character in item_id):
        raise RequestRejected("schema", f"item {item_id[:_SHOWN_CHARS]!r}: an id has characters that can be seen")


def _fields_bytes(item_id: str, fields: dict[str, Any]) -> int:
    """What the fields take in the log; `RequestRejected` if they cannot be stored."""
    named = f'item "{item_id[:_SHOWN_CHARS]}"'
    try:
        size_bytes = len(msgspec.msgpack.encode(fields))
    except (OverflowError, RecursionError, ValueError) as error:
        raise RequestRejected("schema", f"{named}: a field cannot be stored: {error}") from None
    if size_bytes > ITEM_FIELDS_BYTES_MAX:
        raise RequestRejected("too_large", f"{named} has more than {ITEM_FIELDS_BYTES_MAX} bytes of fields", status=413)
    stock = fields.get("stock")
    if stock is not None and (isinstance(stock, bool) or not isinstance(stock, int | float)):
        raise RequestRejected("schema", f"{named}: stock is a number")
    return size_bytes
