"""The imports: pieces of files, each line with one effect however often it is sent, and what was made of them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from ..engine.importing import Importer, Piece, PieceTaken
from ..engine.imports import ImportRow
from ..events.batch import decode_batch
from ..events.bodies import body_decoder
from ..events.times import time_text
from ..foundation.errors import EventRejected, RequestRejected
from ..foundation.limits import BATCH_EVENTS_MAX, IMPORT_PIECE_BYTES_MAX
from .auth import count_events
from .bodies import read_body
from .replies import reply
from .routing import path_id
from .tenancy import caller_of, tenant_of

PATH: Final = "/v1/imports"
_ID: Final = re.compile("[0-9a-f]{32}")
_BATCH: Final = msgspec.Raw(b"null")

Line = Annotated[int, Meta(ge=1, le=2**53)]
Count = Annotated[int, Meta(ge=0, le=2**53)]


class PieceRequest(msgspec.Struct, rename="camel"):
    """`POST /v1/imports/{id}`: the events of some lines of a file, in the order of the file."""

    batch: Annotated[list[Any], Meta(max_length=BATCH_EVENTS_MAX)]
    lines: Annotated[list[Line], Meta(max_length=BATCH_EVENTS_MAX)] = []
    """The number of each event's line, or place in the file, ascending. Of what cannot be read again they may be left
    out."""
    through: Count = 0
    """All lines up to here are dealt with once these are; the last of `lines` if that is more."""
    of: Count = 0
    """How many there are in all, once that is known: then the import is finished when they are dealt with."""
    size_bytes: Count = 0
    """Of the file."""
    continues: str = ""
    """The id of the import that the file began with: what that has taken is not taken again."""


class ImportShown(msgspec.Struct, rename="camel"):
    """An import, and how far it was taken."""

    id: str
    begun_at: str
    newest_at: str
    taken: int
    of: int | None
    """null while that is not known."""
    size_bytes: int
    finished: bool


class ImportListing(msgspec.Struct, rename="camel"):
    """`GET /v1/imports`: the one that went on last first."""

    imports: list[ImportShown]
    heard: list[str]
    """The names of events that features hear."""


class _Lines(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What a piece says of its lines. What else stands there is a batch, which is read by itself."""

    lines: Annotated[list[Line], Meta(max_length=BATCH_EVENTS_MAX)] = []
    through: Count = 0
    of: Count = 0
    size_bytes: Count = 0
    continues: str = ""
    batch: msgspec.Raw = _BATCH
    sent_at: msgspec.Raw = _BATCH
    context: msgspec.Raw = _BATCH
    integrations: msgspec.Raw = _BATCH
    write_key: msgspec.Raw = _BATCH


_lines_of = body_decoder(_Lines)


async def list_(importer: Importer, request: Request) -> Response:
    """`GET /v1/imports`: what is known of the tenant's imports."""
    rows = await importer.listed(tenant_of(request))
    return reply(ImportListing([_shown(row) for row in rows], importer.heard))


async def take(importer: Importer, request: Request) -> Response:
    """`POST /v1/imports/{id}`: a piece of a file that can be sent again."""
    return await _take(importer, request, _import_id(path_id(request)))


async def take_once(importer: Importer, request: Request) -> Response:
    """`POST /v1/imports`: a piece of what cannot be read again; nothing is remembered of it."""
    return await _take(importer, request, b"")


async def _take(importer: Importer, request: Request, import_id: bytes) -> Response:
    body = await read_body(request, bytes_max=IMPORT_PIECE_BYTES_MAX)
    told = _lines_of(body)
    try:
        sent = decode_batch(body)
    except EventRejected as error:
        raise RequestRejected(error.code, error.message, status=error.status) from None
    lines = told.lines or (list(range(1, len(sent.events) + 1)) if not import_id else [])
    if len(lines) != len(sent.events) or sorted(set(lines)) != lines:
        raise RequestRejected("schema", "lines has the number of each event's line, ascending: as many as events")
    count_events(request, len(sent.events))
    piece = Piece(
        import_id=import_id, events=sent.events, lines=lines, through=max(told.through, lines[-1] if lines else 0),
        of=told.of, size_bytes=told.size_bytes, continues=_import_id(told.continues) if told.continues else b"",
        sent_at_ms=sent.sent_at_ms, defaults=sent.defaults,
    )  # fmt: skip
    taken: PieceTaken = await importer.take(piece, tenant=caller_of(request).tenant)
    return reply(taken)


def _import_id(text: str) -> bytes:
    if not _ID.fullmatch(text):
        raise RequestRejected("schema", "the id of an import is 32 hexadecimal digits: 128 bits of a hash of the file")
    return bytes.fromhex(text)


def _shown(row: ImportRow) -> ImportShown:
    return ImportShown(
        row.id.hex(), time_text(row.begun_ms), time_text(row.at_ms), row.taken, row.of or None, row.size_bytes,
        row.finished,
    )  # fmt: skip
