"""The catalogue routes. A change is an event in the log and counts from the next decision on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from ..engine.loop import Engine
from ..events.bodies import body_decoder
from ..events.envelope import CANONICAL_FIELDS, ItemPatched, ItemUpserted
from ..events.items import FieldReader, ItemRefused, Remark
from ..events.structure import is_deeper
from ..events.vectors import length_of, shown_fields
from ..foundation.errors import REFERENCE_TAKEN, Overloaded, ReferenceTaken, RequestRejected
from ..foundation.limits import (
    BODY_BYTES_MAX,
    EVENT_BRACKETS_FREE,
    EVENT_BYTES_PER_BRACKET_MIN,
    FOUND_MAX,
    ID_CHARS_MAX,
    ITEM_DEPTH_MAX,
    ITEM_FIELDS_BYTES_MAX,
    ITEM_REMARKS_MAX,
    ITEMS_LISTED_BYTES_MAX,
    ITEMS_LISTED_MAX,
    ITEMS_PER_REQUEST_MAX,
    NAME_CHARS_MAX,
    SHOWN_ID_CHARS,
    VECTORS_BYTES_MAX,
)
from ..state.catalogue import Catalogue, Item
from .bodies import read_body
from .replies import encoded, reply
from .routing import path_id
from .tenancy import Caller, caller_of, tenant_of

_ENVELOPE_BYTES: Final = 64
"""A change beside its id and fields, at most."""
_READ_AT_ONCE: Final = 64
"""Items, before other work gets its turn."""
_LISTED: Final = 100
"""Items of a page that was not asked for by size."""
_EXAMPLES_MAX: Final = 3
_EMPTY_ITEM: Final = "fields is empty: the item has no title, no price and nothing else"
_SWITCHES: Final = ("replace", "commit", "force")
"""Of `POST /v1/items`, in its address."""
_BEGIN: Final = "begin"
_OTHER_IDS: Final = ("product_id", "productId", "sku", "item_id", "itemId", "_id", "g:id", "article_id", "content_id")
_SURROGATES: Final = ("\ud800", "\udfff")

ItemId = Annotated[str, Meta(min_length=1, max_length=ID_CHARS_MAX)]
WrittenId = ItemId | int


class SentItem(msgspec.Struct):
    """An item as it is from now on. Its fields may stand beside the id as well: `{"id": 5, "title": "Sofa"}`."""

    id: WrittenId
    """A whole number is its decimal text."""
    fields: dict[str, Any]


class ItemsRequest(msgspec.Struct):
    """`POST /v1/items`. A list of items alone will do, and a single item."""

    items: Annotated[list[SentItem], Meta(max_length=ITEMS_PER_REQUEST_MAX)]


class PatchRequest(msgspec.Struct):
    """`PATCH /v1/items/{id}`: null removes a field. The fields alone will do."""

    fields: dict[str, Any]


class DeleteRequest(msgspec.Struct, forbid_unknown_fields=True):
    """`POST /v1/items/delete`."""

    ids: Annotated[list[WrittenId], Meta(max_length=ITEMS_PER_REQUEST_MAX)]
    """What is no id is reported, and the others go."""


class _SentIds(msgspec.Struct, forbid_unknown_fields=True):
    """The same as it comes in."""

    ids: Annotated[list[Any], Meta(max_length=ITEMS_PER_REQUEST_MAX)]


class RejectedItem(msgspec.Struct):
    """An item that was not taken; what the catalogue held of it stays as it was."""

    index: int
    """Its place in the request, from 0."""
    id: str
    """"" where there is none that can be read."""
    code: str
    message: str


class ItemWarning(msgspec.Struct):
    """A value that was taken and has less effect than it may have been meant to have."""

    field: str
    code: str
    message: str
    items: int
    """How many items of this request it is about."""
    ids: list[str]
    """The first few of them."""


class ItemsReply(msgspec.Struct):
    """The change is on disk, and the next decision sees it."""

    accepted: int
    position: str
    rejected: list[RejectedItem] = []
    warnings: list[ItemWarning] = []
    replace: str | UnsetType = UNSET
    """What the further parts of a replace name, in the reply to its begin."""
    deleted: int | UnsetType = UNSET
    """In the reply to the commit of a replace: items that are no longer there."""


class ChangeReply(msgspec.Struct):
    """The change is on disk, and the next decision sees it."""

    accepted: int
    position: str
    warnings: list[ItemWarning] = []


class DeleteReply(msgspec.Struct):
    """The items are gone, on disk too."""

    deleted: int
    unknown: list[str]
    """Ids of which there was no item."""
    position: str
    rejected: list[RejectedItem] = []
    """What was sent as an id and is none."""


class ItemReply(msgspec.Struct):
    """`GET /v1/items/{id}`."""

    id: str
    fields: dict[str, Any]
    """Without the vector, unless it is asked for; its numbers are those that are kept, each of 8 bits."""
    counts: dict[str, int] | UnsetType = UNSET
    """With `counts=true`: how often it was shown (`impressions`), clicked and so on, by the role of the feature that
    counts it, as decisions read it now."""


class ItemListing(msgspec.Struct):
    """`GET /v1/items`: a page. An item that stays there is on one page exactly, whatever changes meanwhile."""

    items: list[ItemReply]
    count: int
    """Items of the whole catalogue."""
    available: int
    """Those of them that are in stock: the others are shown nowhere."""
    next: str | None
    """What to send as `after` for the next page; null: this is the last."""
    position: str


_delete_of = body_decoder(_SentIds)


# Putting items.


class _Reading:
    """The items of one request: those that fit, and what is to be said of the others."""

    def __init__(self, reader: FieldReader) -> None:
        self._reader = reader
        self.fit: dict[str, dict[str, Any]] = {}
        self.fields_bytes: dict[str, int] = {}
        self.rejected: list[RejectedItem] = []
        self._places: dict[str, int] = {}
        """In the request, of those that fit."""
        self.unreadable = 0
        """Items without an id that can be read."""
        self.warnings = Warnings()

    def read(self, index: int, sent: object) -> None:
        """Take the item at a place of the request, or note why it cannot be taken."""
        item_id = ""
        try:
            if not isinstance(sent, dict):
                raise RequestRejected("schema", "an item is an object with an id and fields")
            item_id = _id_of(sent)
            read = self._reader.read(_shallow(_fields_of(sent)))
            size_bytes = _size_bytes(read)
        except ItemRefused as refused:
            self._reject(index, item_id, "schema", refused.message)
        except RequestRejected as refused:
            self._reject(index, item_id, refused.code, refused.message)
        else:
            self.warnings.add(item_id, self._reader.remarks)
            if "fields" in sent and (beside := sorted(sent.keys() - {"id", "fields"})):
                name = beside[0][:SHOWN_ID_CHARS].encode(errors="replace").decode()
                self.warnings.add(item_id, [Remark(name, "ignored", f"{name} stands beside fields, not in them")])
            elif sent.get("fields") == {}:
                self.warnings.add(item_id, [Remark("fields", "empty", _EMPTY_ITEM)])
            if item_id in self.fit:
                self.warnings.add(item_id, [Remark("id", "repeated", "the last item of this id stands")])
                del self.fit[item_id]
            self.fit[item_id] = read
            self.fields_bytes[item_id] = size_bytes
            self._places[item_id] = index

    def reject_taken(self, catalogue: Catalogue, tenant: str) -> list[RejectedItem]:
        """Of those that fit, leave out the ones whose references are those of other items, or of others before them."""
        named, known = dict[int, str](), len(self.rejected)
        for item_id in list(self.fit):
            try:
                if named.setdefault(catalogue.ref_of(tenant, item_id), item_id) != item_id:
                    raise ReferenceTaken(item_id)
            except ReferenceTaken as taken:
                del self.fit[item_id], self.fields_bytes[item_id]
                self._reject(self._places[item_id], item_id, taken.code, taken.message)
        return self.rejected[known:]

    def _reject(self, index: int, item_id: str, code: str, message: str) -> None:
        self.unreadable += not item_id
        named = f'item "{item_id[:SHOWN_ID_CHARS]}"' if item_id else f"item {index}"
        self.rejected.append(RejectedItem(index, item_id, code, f"{named}: {message}"))


class Warnings:
    """Remarks on items, those that say the same together."""

    def __init__(self) -> None:
        self._by_kind: dict[tuple[str, str, str], ItemWarning] = {}

    def add(self, item_id: str, remarks: list[Remark]) -> None:
        for remark in remarks:
            known = self._by_kind.get(remark)
            if known is None:
                if len(self._by_kind) == ITEM_REMARKS_MAX:
                    continue
                known = ItemWarning(remark.field[:SHOWN_ID_CHARS], remark.code, remark.message, 0, [])
                self._by_kind[remark] = known
            known.items += 1
            if len(known.ids) < _EXAMPLES_MAX:
                known.ids.append(item_id)

    def all(self) -> list[ItemWarning]:
        return list(self._by_kind.values())


async def upsert(engine: Engine, request: Request) -> Response:
    """`POST /v1/items`: those that fit; the others are reported one by one, and nothing changes of them."""
    replace, commit, force = _replace_of(request)
    body = await read_body(request, bytes_max=BODY_BYTES_MAX, any_text=bool(replace))
    caller = caller_of(request)
    reading = await _read_all(_items_in(body, may_be_none=bool(replace)), engine.feeds.reader(caller.tenant))
    begun: str | UnsetType = UNSET
    if replace == _BEGIN:
        replace = begun = engine.feeds.begin(caller.tenant)
    elif replace:
        engine.feeds.check(caller.tenant, replace)
    position = await _put(engine, caller, reading)
    if reading.rejected and not reading.fit and begun is UNSET:
        return _nothing_fit(reading)
    answer = ItemsReply(
        len(reading.fit), str(position), reading.rejected, reading.warnings.all(), replace=begun
    )
    if commit:
        replaced = await engine.feeds.commit(caller.tenant, replace, force=force)
        answer.position, answer.deleted = str(replaced.position), replaced.deleted
    return reply(answer)


async def _read_all(sent: list[Any], reader: FieldReader) -> _Reading:
    reading = _Reading(reader)
    for index, item in enumerate(sent):
        if index % _READ_AT_ONCE == _READ_AT_ONCE - 1:
            await asyncio.sleep(0)
        reading.read(index, item)
    return reading


async def _put(engine: Engine, caller: Caller, reading: _Reading) -> int:
    """Write what fits. A replace that goes on keeps what did not fit as it was."""
    catalogue = engine.partition.state.catalogue
    reading.reject_taken(catalogue, caller.tenant)
    fields_bytes = sum(reading.fields_bytes.values())
    vectors = {item_id: length for item_id, fields in reading.fit.items() if (length := length_of(fields))}
    new, more_bytes = _check_catalogue(engine, caller, set(reading.fit), fields_bytes, vectors)
    size_bytes = fields_bytes + sum(_ENVELOPE_BYTES + len(item_id.encode()) for item_id in reading.fit)
    engine.journal.check_room(size_bytes, entries=len(reading.fit))
    now_ms = engine.clock.now_ms()
    changes = [ItemUpserted(now_ms, caller.tenant, *item, CANONICAL_FIELDS) for item in reading.fit.items()]
    refused = [rejected.id for rejected in reading.rejected if rejected.id]
    engine.feeds.note_put(caller.tenant, [*reading.fit, *refused], unreadable=reading.unreadable)
    for rejected in reading.rejected:
        engine.meter.count(f"items_rejected.{rejected.code}")
    for warning in reading.warnings.all():
        engine.meter.count(f"items_remarked.{warning.code}", warning.items)
    with engine.feeds.putting(caller.tenant, reading.fields_bytes, new=new, more_bytes=more_bytes):
        position = await engine.change_items(changes)
    for rejected in reading.reject_taken(catalogue, caller.tenant):  # Another's item may have come in meanwhile.
        engine.meter.count(f"items_rejected.{rejected.code}")
    return position


def _nothing_fit(reading: _Reading) -> Response:
    """The refusal of a request of which no item was taken: the first fault, and all of them as details."""
    first = reading.rejected[0]
    status = 413 if all(rejected.code == "too_large" for rejected in reading.rejected) else 400
    error = {"code": first.code, "message": first.message, "details": reading.rejected}
    return reply({"error": error}, status=status)


def _replace_of(request: Request) -> tuple[str, bool, bool]:
    """`?replace=begin` or `?replace=TOKEN`, with `&commit=true` for the end of it and `&force=true`."""
    asked = request.query_params
    replace = asked.get("replace", "")
    commit, force = _flag(asked, "commit"), _flag(asked, "force")
    if commit and not replace:
        raise RequestRejected("schema", "commit is the end of a replace: send replace=TOKEN with it")
    if force and not commit:
        raise RequestRejected("schema", "force belongs to the commit of a replace: send commit=true with it")
    return replace, commit, force


def _flag(asked: Mapping[str, str], name: str) -> bool:
    value = asked.get(name, "false")
    if value not in ("true", "false"):
        raise RequestRejected("schema", f"{name} is true or false")
    return value == "true"


def _items_in(body: bytes, *, may_be_none: bool) -> list[Any]:
    """The items of a body: `{"items": [...]}`, a list alone, or a single item."""
    if may_be_none and not body.strip():
        return []
    sent = _json(body)
    if isinstance(sent, dict):
        if "items" in sent:
            if switch := next((name for name in sent if name.casefold() in _SWITCHES), ""):
                reason = f"{switch} stands in the address, not in the body: POST /v1/items?{switch}=..."
                raise RequestRejected("schema", reason)
            sent = sent["items"]
        elif "id" in sent:
            return [sent]
        elif may_be_none and not sent:
            return []
        else:
            raise RequestRejected("schema", 'the body is {"items": [...]}, a list of items, or one item with an id')
    if not isinstance(sent, list):
        raise RequestRejected("schema", "items is a list")
    if len(sent) > ITEMS_PER_REQUEST_MAX:
        raise RequestRejected("schema", f"at most {ITEMS_PER_REQUEST_MAX} items at once: send the others with the next")
    return sent


def _json(body: bytes) -> Any:
    """What a body holds. What one item does to the encoding of it spoils that item alone: texts that are no Unicode and
    numbers that are none are found where they stand."""
    if body.count(b"{") + body.count(b"[") > EVENT_BRACKETS_FREE + len(body) // EVENT_BYTES_PER_BRACKET_MIN:
        reason = f"at most one map or list in every {EVENT_BYTES_PER_BRACKET_MIN} bytes of a body"
        raise RequestRejected("too_complex", reason)
    try:
        return msgspec.json.decode(body)
    except RecursionError:
        raise RequestRejected("too_deep", "nesting over the decoder's limit") from None
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
        pass
    try:
        return json.loads(body.decode("utf-8-sig", "surrogateescape"))
    except RecursionError:
        raise RequestRejected("too_deep", "nesting over the decoder's limit") from None
    except ValueError as error:
        hint = "; lines of JSON go to instanter import, or into one list" if body.lstrip()[:1] == b"{" else ""
        raise RequestRejected("malformed", f"the body is not JSON: {error}{hint}") from None


def _id_of(sent: Mapping[str, Any]) -> str:
    if "id" not in sent:
        other = next((name for name in _OTHER_IDS if name in sent), "")
        hint = f': send its {other} as "id"' if other else ""
        raise RequestRejected("schema", f"an item has an id{hint}")
    return item_id_of(sent["id"])


def item_id_of(value: object) -> str:
    """An id as text; `RequestRejected` for what no event could name: nobody could ever view such an item."""
    if isinstance(value, int) and not isinstance(value, bool):
        if not -(2**63) <= value < 2**64:
            raise RequestRejected("schema", "id is a number beyond 64 bits: send it as text")
        return str(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:  # Written as 5.0.
        return str(int(value))
    if not isinstance(value, str):
        raise RequestRejected("schema", f"id is {_kind(value)}: send text or a whole number")
    if not 1 <= len(value) <= ID_CHARS_MAX:
        raise RequestRejected("schema", f"an id has 1 to {ID_CHARS_MAX} characters, this one {len(value)}")
    if value.isspace() or any(character < " " or "\x7f" <= character <= "\x9f" for character in value):
        raise RequestRejected("schema", "an id has characters that can be seen")
    if any(_SURROGATES[0] <= character <= _SURROGATES[1] for character in value):
        raise RequestRejected("schema", "id is text cut within a character")
    return value


def _fields_of(sent: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an item, which stand under `fields` or beside its id."""
    fields = sent["fields"] if "fields" in sent else {name: value for name, value in sent.items() if name != "id"}
    if not isinstance(fields, dict):
        raise RequestRejected("schema", f"fields is {_kind(fields)}: send an object")
    if not fields and "fields" not in sent:
        raise RequestRejected("schema", 'an item has fields: {"id": ..., "fields": {...}}')
    return fields


def _shallow(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields; `RequestRejected` if what stands in them is nested too deep."""
    deep = next((name for name, value in fields.items() if is_deeper(value, ITEM_DEPTH_MAX - 1)), None)
    if deep is not None:
        reason = f"{deep[:SHOWN_ID_CHARS]!a} is nested too deep: fields are at most {ITEM_DEPTH_MAX} deep"
        raise RequestRejected("too_deep", reason)
    return fields


def _kind(value: object) -> str:
    kinds = {type(None): "null", bool: "true or false", str: "text", list: "a list", dict: "an object"}
    return kinds.get(type(value), "a number")


def _size_bytes(fields: dict[str, Any]) -> int:
    """What the fields take in the log; `RequestRejected` if they cannot be stored."""
    try:
        size_bytes = len(msgspec.msgpack.encode(fields))
    except UnicodeEncodeError:
        raise RequestRejected("schema", "a field holds text that was cut within a character") from None
    except (OverflowError, RecursionError, ValueError) as error:
        raise RequestRejected("schema", f"a field cannot be stored: {error}") from None
    if size_bytes > ITEM_FIELDS_BYTES_MAX:
        reason = f"it has {size_bytes} bytes of fields, and may have {ITEM_FIELDS_BYTES_MAX}"
        raise RequestRejected("too_large", reason, status=413)
    endless = next((name for name, value in fields.items() if _is_endless(value)), None)
    if endless is not None:
        raise RequestRejected("schema", f"{endless[:SHOWN_ID_CHARS]} is not a finite number")
    return size_bytes


def _is_endless(value: object) -> bool:
    if isinstance(value, list | dict):
        return any(map(_is_endless, value.values() if isinstance(value, dict) else value))
    return isinstance(value, float) and value - value != 0.0


def _check_catalogue(
    engine: Engine, caller: Caller, ids: set[str], fields_bytes: int, vectors: Mapping[str, int]
) -> tuple[int, int]:
    """Refuse what would not fit: items beyond the caller's share, items or larger fields beyond the memory, and vectors
    beyond what a decision looks at. `vectors` has the lengths of those that are sent.

    Returns how many items are new, and how many bytes more it takes. What others have on the way counts as if it were
    there: many at once get no further than one after the other.
    """
    state, coming = engine.partition.state, engine.feeds.coming(caller.tenant)
    known = [state.catalogue.size_of(caller.tenant, item_id) for item_id in ids]
    more_vectors = sum(length - state.catalogue.vector_length(caller.tenant, item_id)
                       for item_id, length in vectors.items())  # fmt: skip
    if more_vectors > 0 and state.catalogue.vectors_of(caller.tenant) + more_vectors > VECTORS_BYTES_MAX:
        held = state.catalogue.vectors_of(caller.tenant)
        reason = f"the vectors of the catalogue have {held:,} numbers, and may have {VECTORS_BYTES_MAX:,}"
        raise Overloaded(f"{reason}: send fewer, or shorter ones", retry_after_s=60)
    new, more_bytes = known.count(0), fields_bytes - sum(known) + max(more_vectors, 0)
    own, own_max = state.catalogue.count_of(caller.tenant), caller.terms.items_max
    if new and own_max and own + coming.own + new > own_max:
        raise Overloaded(f"the catalogue is full: it holds {own_max} items", retry_after_s=60)
    items, size_bytes = coming.items + new, coming.more_bytes + more_bytes
    if (new or more_bytes > 0) and not state.catalogue_takes(items=items, size_bytes=size_bytes):
        held = len(state.catalogue.items)
        raise Overloaded(f"the catalogue is full: state.memory_mb has room for {held} such items", retry_after_s=60)
    return new, max(more_bytes, 0)


# One item, and all of them.


async def patch(engine: Engine, request: Request) -> Response:
    """`PATCH /v1/items/{id}`."""
    sent = _json(await read_body(request, bytes_max=BODY_BYTES_MAX))
    if not isinstance(sent, dict) or not sent:
        raise RequestRejected("schema", 'the body is {"fields": {...}}, or the fields alone')
    fields = sent.get("fields", sent)
    if "fields" in sent and (beside := next((name for name in sent if name not in ("fields", "id")), "")):
        reason = f"{beside[:32]!a} stands beside fields: put it into them, or send the fields alone"
        raise RequestRejected("schema", reason)
    if not isinstance(fields, dict):
        raise RequestRejected("schema", f"fields is {_kind(fields)}: send an object")
    caller, item_id = caller_of(request), _known_id(engine, request)
    known = engine.partition.state.catalogue.get(caller.tenant, item_id)
    assert known is not None
    reader = engine.feeds.reader(caller.tenant)
    try:
        read = reader.read(_shallow(fields), known.fields)
    except ItemRefused as refused:
        raise RequestRejected("schema", f'item "{item_id[:SHOWN_ID_CHARS]}": {refused.message}') from None
    change_bytes = _size_bytes(read)
    merged = {name: value for name, value in {**known.fields, **read}.items() if value is not None}
    result_bytes = len(msgspec.msgpack.encode(merged))
    with engine.feeds.changing(caller.tenant, item_id, result_bytes=result_bytes, change_bytes=change_bytes):
        length = length_of(read)
        _check_catalogue(engine, caller, {item_id}, result_bytes, {item_id: length} if length else {})
        engine.journal.check_room(change_bytes + _ENVELOPE_BYTES + len(item_id.encode()))
        patched = ItemPatched(engine.clock.now_ms(), caller.tenant, item_id, read, CANONICAL_FIELDS)
        position = await engine.change_items([patched])
    warnings = Warnings()
    warnings.add(item_id, reader.remarks)
    for warning in warnings.all():
        engine.meter.count(f"items_remarked.{warning.code}")
    return reply(ChangeReply(1, str(position), warnings.all()))


async def delete(engine: Engine, request: Request) -> Response:
    """`DELETE /v1/items/{id}`."""
    position = await engine.feeds.delete(tenant_of(request), [_known_id(engine, request)])
    return reply(ChangeReply(1, str(position)))


async def delete_many(engine: Engine, request: Request) -> Response:
    """`POST /v1/items/delete`: those that are there."""
    asked = _delete_of(await read_body(request, bytes_max=BODY_BYTES_MAX))
    tenant, catalogue = tenant_of(request), engine.partition.state.catalogue
    ids: dict[str, None] = {}
    rejected: list[RejectedItem] = []
    for index, sent in enumerate(asked.ids):
        try:
            ids[item_id_of(sent)] = None
        except RequestRejected as refused:
            rejected.append(RejectedItem(index, "", refused.code, f"ids[{index}]: {refused.message}"))
    if rejected and not ids:
        raise RequestRejected(rejected[0].code, rejected[0].message)
    known = [item_id for item_id in ids if catalogue.size_of(tenant, item_id)]
    if taken := sum(catalogue.is_taken(tenant, item_id) for item_id in ids):
        engine.meter.count(f"items_rejected.{REFERENCE_TAKEN}", taken)
    position = await engine.feeds.delete(tenant, known)
    gone = set(known)
    unknown = [item_id for item_id in ids if item_id not in gone]
    return reply(DeleteReply(len(known), unknown, str(position), rejected))


async def get(engine: Engine, request: Request) -> Response:
    """`GET /v1/items/{id}?vector=&counts=`."""
    item_id = _known_id(engine, request)
    item = engine.partition.state.catalogue.get(tenant_of(request), item_id)
    assert item is not None
    return reply(_shown(engine, request, item))


async def list_(engine: Engine, request: Request) -> Response:
    """`GET /v1/items?limit=&after=&vector=&counts=`, or `?query=` in place of `after`."""
    if "query" in request.query_params:
        return _found(engine, request)
    tenant, state = tenant_of(request), engine.partition.state
    limit, after_row = _limit(request), _after_row(engine, request)
    shown: list[msgspec.Raw] = []
    last, size_bytes, more = "", 0, False
    for item in state.catalogue.page(tenant, after_row=after_row, limit=limit + 1):
        if len(shown) == limit or size_bytes >= ITEMS_LISTED_BYTES_MAX:
            more = True
            break
        shown.append(msgspec.Raw(msgspec.json.encode(_shown(engine, request, item))))
        last, size_bytes = item.id, size_bytes + len(bytes(shown[-1]))
    page = {
        "items": shown, "count": state.catalogue.count_of(tenant),
        "available": state.catalogue.available_of(tenant), "next": last if more else None,
        "position": str(engine.partition.position),
    }  # fmt: skip
    return encoded(msgspec.json.encode(page))


def _found(engine: Engine, request: Request) -> Response:
    """The available items that have words of a query, the best first: as a search finds them, without anybody."""
    query, state = request.query_params["query"], engine.partition.state
    if "after" in request.query_params:
        raise RequestRejected("schema", "what a query finds is one page: leave after out")
    if not query.strip() or len(query) > NAME_CHARS_MAX:
        raise RequestRejected("schema", f"a query has words, of at most {NAME_CHARS_MAX} characters in all")
    rows = engine.decider.find_items(state, tenant_of(request), query, _limit(request, at_most=FOUND_MAX))
    shown = [_shown(engine, request, state.catalogue.at_row[row]) for row in rows]
    tenant, position = tenant_of(request), str(engine.partition.position)
    count, available = state.catalogue.count_of(tenant), state.catalogue.available_of(tenant)
    return reply(ItemListing(shown, count, available, None, position))


def _shown(engine: Engine, request: Request, item: Item) -> ItemReply:
    """An item, with what is asked for beside its fields."""
    fields = shown_fields(item.fields, vector=_flag(request.query_params, "vector"))
    if not _flag(request.query_params, "counts"):
        return ItemReply(item.id, fields)
    state = engine.partition.state
    return ItemReply(item.id, fields, engine.decider.assembler.counts_of(state, state.find_item(item.ref)))


def _limit(request: Request, *, at_most: int = ITEMS_LISTED_MAX) -> int:
    asked = request.query_params.get("limit", str(_LISTED))
    if not (asked.isascii() and asked.isdigit()) or not 1 <= int(asked[:9]) <= at_most:
        raise RequestRejected("schema", f"limit is a whole number from 1 to {at_most}")
    return int(asked[:9])


def _after_row(engine: Engine, request: Request) -> int:
    """The row behind which a page begins, also of an item that was deleted meanwhile."""
    state, after = engine.partition.state, request.query_params.get("after", "")
    if not after:
        return -1
    try:
        ref = state.catalogue.ref_of(tenant_of(request), after)
    except ReferenceTaken as taken:
        raise _refused(engine, taken) from None
    row = max(state.find_item(ref), state.catalogue.rows_left.row_of(ref))
    if row < 0:
        raise RequestRejected("unknown_item", "after is what the page before says as next")
    return row


def _known_id(engine: Engine, request: Request) -> str:
    item_id, tenant = path_id(request), tenant_of(request)
    catalogue = engine.partition.state.catalogue
    if not catalogue.holds(tenant, item_id):
        if catalogue.is_taken(tenant, item_id):
            raise _refused(engine, ReferenceTaken(item_id))
        raise RequestRejected(
            "unknown_item", f'the catalogue has no item "{item_id[:SHOWN_ID_CHARS]}"', status=404
        )
    return item_id


def _refused(engine: Engine, taken: ReferenceTaken) -> RequestRejected:
    """The refusal of a request about an item whose reference another one has."""
    engine.meter.count(f"items_rejected.{taken.code}")
    return RequestRejected(taken.code, taken.message, status=taken.status)
