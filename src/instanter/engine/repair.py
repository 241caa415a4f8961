"""Entries of the quarantine through the door once more, repaired by a declared rewrite if need be.

Each goes in as it would have gone in then: its event time is judged by its first receipt, a public key's event may
assert no more than before, consent and erasures of today hold. Its messageId is the one it was sent with, or one that
follows from its position, so that no second try has a second effect. What became of it is written behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Iterator, Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from ..events.admitted import Admitted
from ..events.batch import decode_batch
from ..events.bodies import body_decoder
from ..events.envelope import Tracked, Withheld, read_record
from ..events.reject import BATCH, LATE, LATE_FOR_SEQUENCES, Quarantined, quarantined
from ..events.rewrite import Rewrite, Step
from ..events.times import AHEAD_MS_MAX, time_text
from ..foundation.errors import EventRejected, RequestRejected
from ..foundation.limits import REPAIR_EVENTS_MAX, REPAIR_EXAMPLES_MAX, REWRITE_STEPS_MAX
from ..foundation.measure import Meter
from ..log.base import Log, frame_at
from ..privacy.audit import Audit, Plain
from ..privacy.subjects import KeyStore
from ..state.layout import CELL_NEWEST_MS
from ..state.table import CELLS, rows_of
from .export import stored_event
from .intake import BYTES_PER_STEP, Intake, Mending, SecondTry, in_steps
from .partition import Partition
from .quarantine import GONE, Kept, QuarantineStore

AT_ONCE: Final = 64
"""Entries of one event that go through the door before their effects are waited for; a body goes by itself."""
_SHOWN_CHARS: Final = 4_096
_POSITION_DIGITS_MAX: Final = 18


class RepairRequest(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """`POST /v1/quarantine/repair`: which entries, and what to do to them first."""

    rewrite: Annotated[list[Step], Meta(max_length=REWRITE_STEPS_MAX)] = []
    """Empty: as they are, because what refused them has changed."""
    code: str = ""
    """Only those refused with this code."""
    group: str = ""
    """Only those of this group."""
    position: str = ""
    """Only the one at this position."""
    limit: Annotated[int, Meta(ge=1, le=REPAIR_EVENTS_MAX)] = 1_000
    """Events, those of a body one by one: the entry that reaches it is the last."""
    dry_run: bool = False
    """Only say what would happen."""


class RepairExample(msgspec.Struct, frozen=True, rename="camel"):
    """One entry before and after."""

    position: str
    before: str
    after: str
    code: str
    """"" where it passes."""
    message: str


class RepairReply(msgspec.Struct, frozen=True, rename="camel"):
    """What was done, or with `dryRun` would be."""

    dry_run: bool
    selected: int
    """Entries that were tried."""
    events: int
    """Events that were tried: an entry is one, or a body of many."""
    passed: int
    """Entries that were taken: they count now, or their person does not want them to, or they counted before."""
    refused: dict[str, int]
    """Still not taken, by code."""
    more: bool
    """Whether `limit` was reached: there may be further entries."""
    examples: list[RepairExample]
    position: str


class EntryReply(msgspec.Struct, frozen=True, rename="camel"):
    """`GET /v1/quarantine/{id}`: one entry, whole."""

    position: str
    at: str
    code: str
    message: str
    kind: str
    bytes: int
    readable: bool
    """False when the key it was sealed under is gone."""
    event: str
    """As it was sent, as far as it is text."""
    message_id: str
    context: str
    """Of the batch it came in, JSON."""
    log_position: str
    """Of the record in the log, for an event that is there already."""
    more: int
    outcome: str
    """"" while open, `taken`, or the code with which it was refused again."""


_decode_map = body_decoder(dict[str, Any])
_encode = msgspec.json.Encoder().encode


def position_of(text: str) -> int:
    """The position by which an entry is named; `RequestRejected` for what is none.

    >>> position_of("3604")
    3604
    """
    if not (text.isascii() and text.isdigit() and len(text) <= _POSITION_DIGITS_MAX):
        raise RequestRejected("schema", "an entry is named by its position, a number")
    return int(text)


class _Tried(msgspec.Struct, frozen=True):
    """What one entry came to."""

    before: bytes
    after: bytes
    code: str = ""
    message: str = ""
    events: int = 1
    """That were tried."""


class Repairs:
    """Tries entries of the quarantine again. One for all tenants; used on the loop's thread."""

    def __init__(
        self, *, quarantine: QuarantineStore, intake: Intake, partition: Partition, log: Log, subjects: KeyStore,
        audit: Audit, meter: Meter,
    ) -> None:  # fmt: skip
        self._quarantine = quarantine
        self._intake = intake
        self._partition = partition
        self._log = log
        self._subjects = subjects
        self._audit = audit
        self._meter = meter
        self._one_at_a_time = asyncio.Lock()

    async def repair(self, request: RepairRequest, *, tenant: str, actor: str) -> RepairReply:
        """Try the chosen entries; on return what passed counts, and every outcome is on disk.

        Raises `RequestRejected` for a rewrite that cannot be, and `Unavailable`: what was tried by then is settled,
        and the same request goes on with the rest.
        """
        rewrite = Rewrite(request.rewrite)
        async with self._one_at_a_time:
            positions = await self._select(request, tenant)
            if positions:
                details: dict[str, Plain] = {
                    "entries": len(positions), "code": request.code, "group": request.group,
                    "steps": len(request.rewrite),
                }  # fmt: skip
                act = "quarantine.tried" if request.dry_run else "quarantine.replayed"
                await self._audit.note(act, actor=actor, tenant=tenant, details=details)
            examples: list[RepairExample] = []
            selected = events = passed = 0
            refused = Counter[str]()
            for step in self._steps(positions, tenant):
                if events >= request.limit:
                    break
                entries = step[: request.limit - events]
                results = await asyncio.gather(*(self._try(kept, rewrite, dry_run=request.dry_run) for kept in entries))
                for kept, one in zip(entries, results, strict=True):
                    selected, events, passed = selected + 1, events + one.events, passed + (not one.code)
                    refused.update([one.code] if one.code else [])
                    if len(examples) < REPAIR_EXAMPLES_MAX:
                        examples.append(_example(kept.position, one))
        if not request.dry_run:
            self._meter.count("events_replayed", passed)
        more = selected < len(positions) or len(positions) == request.limit
        return RepairReply(
            request.dry_run, selected, events, passed, dict(refused.most_common()), more, examples,
            str(self._partition.position),
        )  # fmt: skip

    async def show(self, position: int, *, tenant: str, actor: str) -> EntryReply:
        """One entry with its seal taken off, which is noted before; `RequestRejected` (404) when there is none."""
        kept = self._quarantine.entry(tenant, position)
        await self._audit.note("quarantine.read", actor=actor, tenant=tenant, subject=str(position))
        found = await self._quarantine.outcome(kept)
        source = self._source(kept)
        entry = kept.entry if source is None else source
        return EntryReply(
            position=str(position),
            at=time_text(kept.entry.at_ms),
            code=entry.code,
            message=entry.message,
            kind=entry.kind,
            bytes=entry.raw_bytes,
            readable=source is not None,
            event=_text(source.raw) if source is not None else "",
            message_id=entry.message_id,
            context=_text(entry.defaults),
            log_position=str(entry.position) if entry.position else "",
            more=entry.more,
            outcome="" if found is None else found.code or "taken",
        )

    async def _select(self, request: RepairRequest, tenant: str) -> list[int]:
        if request.position:
            position = position_of(request.position)
            kept = self._quarantine.entry(tenant, position)
            outcome = await self._quarantine.outcome(kept)
            return [position] if outcome is None or outcome.code else []

        def wanted(code: str, group: str, position: int) -> bool:
            return request.code in ("", code) and request.group in ("", group)

        return await self._quarantine.select(tenant, wanted, request.limit)

    def _steps(self, positions: Sequence[int], tenant: str) -> Iterator[list[Kept]]:
        """The entries that are tried at once; a body by itself, since it holds many events."""
        step, size_bytes = list[Kept](), 0
        for position in positions:
            kept = self._quarantine.entry(tenant, position)
            is_body = kept.entry.kind == BATCH
            if step and (is_body or len(step) == AT_ONCE or size_bytes >= BYTES_PER_STEP):
                yield step
                step, size_bytes = [], 0
            if is_body:
                yield [kept]
                continue
            step.append(kept)
            size_bytes += len(kept.entry.raw)
        if step:
            yield step

    # One entry.

    async def _try(self, kept: Kept, rewrite: Rewrite, *, dry_run: bool) -> _Tried:
        source = self._source(kept)
        if source is None:
            tried = _Tried(b"", b"", GONE, self._why_gone(kept))
        elif len(source.raw) < source.raw_bytes or (not source.raw and source.raw_bytes == 0):
            tried = _Tried(source.raw, b"", GONE, "its bytes were not kept")
        elif source.kind == BATCH:
            tried = await self._try_body(kept, source, rewrite, dry_run=dry_run)
        else:
            tried, admitted = self._admit(source, rewrite, name=f"quarantine-{kept.position}")
            if admitted is not None and not dry_run:
                await self._intake.append_again(admitted, tenant=source.tenant)
        if not dry_run and (tried.code, tried.message) != (kept.entry.code, kept.entry.message):
            await self._quarantine.settle(kept, code=tried.code, message=tried.message)
        return tried

    def _admit(
        self, source: Quarantined, rewrite: Rewrite, *, name: str, mend: bool = True
    ) -> tuple[_Tried, Admitted | None]:
        """One event through the rewrite and the door; nothing is appended yet. Without `mend` none that is no JSON."""
        after = b""
        try:
            if source.code == LATE_FOR_SEQUENCES:
                raise EventRejected(LATE_FOR_SEQUENCES, "it counts already, in all but its session and the order")
            again = _again(source, rewrite, name=name)
            after = again.raw
            admitted = self._intake.admit_again(again, tenant=source.tenant, mend=mend)
            if source.code == LATE and isinstance(admitted.record, Tracked):
                self._refuse_late(admitted.record)
        except EventRejected as error:
            return _Tried(source.raw, after, error.code, error.message), None
        withheld = isinstance(admitted.record, Withheld)
        return _Tried(source.raw, after, "", "its person does not want it kept" if withheld else ""), admitted

    async def _try_body(self, kept: Kept, source: Quarantined, rewrite: Rewrite, *, dry_run: bool) -> _Tried:
        """A whole body: with its text repaired it may hold events, each of which goes its own way from there."""
        try:
            text = rewrite.apply_to_text(source.raw)
            batch = decode_batch(text)
        except EventRejected as error:
            return _Tried(source.raw, b"", error.code, error.message)
        rest, refused, taken, number = rewrite.without_text(), list[tuple[Quarantined, _Tried]](), 0, 0
        mending = Mending()
        for step in in_steps(batch.events, sum(map(len, batch.events))):
            waited_for, mend = list[Awaitable[None]](), mending.goes_on
            for raw in step:
                event = msgspec.structs.replace(
                    source, raw=bytes(raw), raw_bytes=len(raw), kind="", sent_at_ms=batch.sent_at_ms,
                    defaults=_encode(batch.defaults) if batch.defaults else b"",
                )  # fmt: skip
                tried, admitted = self._admit(event, rest, name=f"quarantine-{kept.position}-{number}", mend=mend)
                number += 1
                if admitted is None:
                    refused.append((event, tried))
                    mending.count(tried.code, len(raw))
                else:
                    taken += 1
                    if not dry_run:
                        waited_for.append(self._intake.append_again(admitted, tenant=source.tenant))
            await asyncio.gather(*waited_for)
            await asyncio.sleep(0)  # Others have their turn.
        if not dry_run:
            await asyncio.gather(*(self._quarantine.keep(_apart(event, tried)) for event, tried in refused))
        codes = Counter(tried.code for _, tried in refused)
        told = ", ".join(f"{count} {code}" for code, count in codes.items()) or "none"
        return _Tried(source.raw, text, "", f"{taken} events taken, refused: {told}", max(number, 1))

    def _source(self, kept: Kept) -> Quarantined | None:
        """The entry with the event as it was sent, of a pointer out of the log; None when that cannot be read."""
        entry = kept.entry
        if not entry.position:
            return self._quarantine.opened(kept)
        try:
            frame = frame_at(self._log, entry.position)
        except RequestRejected:
            return None
        record = read_record(frame.payload)
        if not isinstance(record, Tracked) or record.tenant != entry.tenant or not record.body:
            return None
        event = stored_event(record, self._subjects)
        if event is None:
            return None
        message_id = str(event.get("messageId", ""))
        if entry.code == LATE:
            event["messageId"] = f"replayed-{entry.position}"
        if 0 <= record.happened_ms <= record.received_ms + AHEAD_MS_MAX:
            event["timestamp"] = record.happened_ms
            event.pop("sentAt", None)
        raw = _encode(event)
        return msgspec.structs.replace(
            entry, at_ms=record.received_ms, raw=raw, raw_bytes=len(raw), kind=str(event.get("type", "")),
            message_id=message_id,
        )  # fmt: skip

    def _why_gone(self, kept: Kept) -> str:
        position = kept.entry.position
        if position:
            with contextlib.suppress(RequestRejected):
                if not isinstance(read_record(frame_at(self._log, position).payload), Tracked):
                    return "it is no event: what it was to change has to be changed again"
        return "what it was sealed under, or where it lay, is gone"

    def _refuse_late(self, record: Tracked) -> None:
        state = self._partition.state
        state.warm([record.key])
        row = state.cell_row(record.key)
        newest_ms = int(rows_of(state.tables.memory, CELLS)[row, CELL_NEWEST_MS]) if row >= 0 else record.happened_ms
        if newest_ms - record.happened_ms > state.settings["lateness_window_ms"]:
            raise EventRejected(LATE, "by its time it is still late: shift_time on `timestamp` can put that right")


def _again(source: Quarantined, rewrite: Rewrite, *, name: str) -> SecondTry:
    """What goes through the door; an event without a messageId is called `name`."""
    raw, defaults = source.raw, msgspec.json.decode(source.defaults) if source.defaults else None
    if defaults and rewrite.reads_maps:
        raw, defaults = _with_context(raw, defaults)
    raw = _with_message_id(rewrite.apply(raw), name)
    return SecondTry(raw, source.kind or None, source.at_ms, source.sent_at_ms, defaults, source.public)


def _with_context(raw: bytes, defaults: dict[str, Any]) -> tuple[bytes, dict[str, Any] | None]:
    """The event with the batch's context in it, so that a rewrite sees that too; both as they are if that cannot be."""
    try:
        event = _decode_map(raw)
    except RequestRejected:
        return raw, defaults
    own = event.get("context")
    if own is not None and not isinstance(own, dict):
        return raw, defaults
    return _encode({**event, "context": {**defaults, **(own or {})}}), None


def _with_message_id(raw: bytes, name: str) -> bytes:
    try:
        event = _decode_map(raw)
    except RequestRejected:
        return raw
    sent = event.get("messageId")
    return raw if sent is not None and str(sent).strip() else _encode({**event, "messageId": name})


def _apart(event: Quarantined, tried: _Tried) -> Quarantined:
    """An event of a repaired body that was refused: an entry of its own."""
    return quarantined(
        event.raw, EventRejected(tried.code, tried.message), at_ms=event.at_ms, tenant=event.tenant,
        sent_at_ms=event.sent_at_ms, defaults=msgspec.json.decode(event.defaults) if event.defaults else None,
        public=event.public,
    )  # fmt: skip


def _example(position: int, tried: _Tried) -> RepairExample:
    before, after = _text(tried.before)[:_SHOWN_CHARS], _text(tried.after)[:_SHOWN_CHARS]
    return RepairExample(str(position), before, after, tried.code, tried.message)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
