"""The records of the log. Every fact the engine knows is one of these, and nothing else is ever folded.

A record is a MessagePack array: a tag, then the fields in the order written here. The rules of change:
new fields go last and have defaults; nothing is reordered, retyped or reused; a removed field leaves a gap.

Personal fields (ids as sent, traits, free text, the address) live in `body` alone, sealed under a key of the person
(`subjects`), so that they can be destroyed without touching what the fold reads. People stand in the clear fields
under pseudonyms: random numbers that nothing but the key store connects with an id.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Any

import msgspec

from ..foundation.errors import Corrupt

RECORD_VERSION = 1
CONTROL_PARTITION = 0xFFFF
CANONICAL_FIELDS = 1
"""The version of the rules by which fields of items are read."""


class Flag(IntFlag):
    """What enrichment found out about an event, as bits of `Tracked.flags`."""

    NONE = 0
    BOT = 1
    """Sent by a crawler or monitor: kept, but no item's aggregates change."""
    RETOLD = 2
    """An event of the log, told again under another name: `Tracked.first_told` says where it was told first."""
    PUBLIC = 4
    """Came with a public access key: what it says of people and orders is a claim."""


class Context(msgspec.Struct, array_like=True, frozen=True, omit_defaults=True):
    """The circumstances of an event, derived at capture. Clear: classes and codes, nothing personal."""

    browser: str = ""
    system: str = ""
    device: str = ""
    """desktop, mobile, tablet, tv, bot or other."""
    referrer: str = ""
    """search, social, ai_assistant, email, paid, direct or other."""
    referrer_source: str = ""
    """The engine, network or assistant by name, e.g. Google."""
    campaign_source: str = ""
    campaign_medium: str = ""
    campaign_name: str = ""
    locale: str = ""
    """Normalised, e.g. en-GB."""
    country: str = ""
    """ISO 3166 alpha-2, when a geo database is configured."""
    timezone: str = ""


NO_CONTEXT = Context()


class Tracked(msgspec.Struct, array_like=True, frozen=True, tag=1, gc=False):
    """Something a person did. `items`, `prices`, `quantities` and `positions` run in parallel or are empty."""

    received_ms: int
    happened_ms: int
    """Event time: timestamp + (received - sentAt), at most 5 minutes after `received_ms`."""
    tenant: str
    key: int
    """The cell: the pseudonym of userId if present, else of anonymousId; of a public key's claim that of the pair. In
    logs from before `device` was written it is that of anonymousId if present, else of userId."""
    message: int
    """Reference of messageId."""
    name: str
    """Canonical event name, e.g. "Product Viewed"."""
    flags: int = 0
    items: tuple[int, ...] = ()
    prices: tuple[float, ...] = ()
    """Unit price as sent, NaN where the sender gave none; empty when no item has one."""
    quantities: tuple[float, ...] = ()
    """Empty when all are 1."""
    positions: tuple[int, ...] = ()
    """1-based position in the slate; empty when unknown."""
    values: dict[str, float] = {}
    """The numeric properties, e.g. dwell_ms, read_ms, revenue."""
    list_id: str = ""
    decision_id: str = ""
    context: Context = NO_CONTEXT
    body: bytes = b""
    """The tracking event, sealed: JSON as it was sent, else MessagePack of its map; `sent.kept_fields` reads both."""
    subject: int = 0
    """The pseudonym whose key seals `body`: of userId if present, else of anonymousId. 0: it is not sealed."""
    denied: tuple[str, ...] = ()
    """Purposes the person has not agreed to, beside `personalization`: features for them take no notice."""
    first_told: int = 0
    """Of an event that is told again (`retold`): the position of its first telling. 0: this is the first."""
    order: int = 0
    """Reference of the order that it speaks of; 0: none is named."""
    device: int = 0
    """The pseudonym of anonymousId where the event lies in another cell. 0: in its own, or there is none."""


def retold(event: Tracked, *, name: str, first_told: int) -> Tracked:
    """The event once more under another name, for a log that holds it at `first_told`; all else stays, also its times.

    It is not late, however old: every feature takes it whose result the order of arrival does not change. Sessions,
    the person's newest time and count of events stay as they are. The fold takes it for no repetition, so each is told
    again at most once: the log says by `first_told` which have been, and the message which were repetitions.
    """
    assert first_told > 0
    return msgspec.structs.replace(event, name=name, flags=event.flags | Flag.RETOLD, first_told=first_told)


class ItemUpserted(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """The catalogue holds this item with exactly these fields from now on."""

    at_ms: int
    tenant: str
    id: str
    fields: dict[str, Any]
    canonical: int = 0
    """`CANONICAL_FIELDS` where the fields were read by the rules of `items` before this was written; 0: as sent, then
    sale prices, times, availability in words and groups mean nothing in them."""


class ItemPatched(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """These fields of the item change (null removes one); the others stay."""

    at_ms: int
    tenant: str
    id: str
    fields: dict[str, Any]
    canonical: int = 0
    """As in `ItemUpserted`; the item's other fields mean as much from then on."""


class ItemDeleted(msgspec.Struct, array_like=True, frozen=True, tag=4):
    """The item leaves the catalogue; what was counted about it stays."""

    at_ms: int
    tenant: str
    id: str


class Tied(IntEnum):
    """What a `Linked` says."""

    FORMERLY = 0
    """`cell` belongs to `owner` and to nobody else: the newest counts. Of logs from before the others were written."""
    SIGN_IN = 1
    """The user `owner` has signed in on the device `cell`."""
    ALIAS = 2
    """The users `cell` and `owner` are one person."""
    CLAIM = 3
    """`cell` holds what the device `owner` says that the user `user` did."""
    BEYOND = 4
    """The user `owner`, who has as many links as there can be, has signed in on the device `cell`: it is nobody's."""


class Linked(msgspec.Struct, array_like=True, frozen=True, tag=5):
    """Two cells have to do with each other. The cells themselves are not changed, so undo is exact."""

    at_ms: int
    tenant: str
    cell: int
    owner: int
    body: bytes = b""
    """MessagePack map {"cell": id, "owner": id}, ids as in `GET /v1/profiles/{id}`, each sealed under its own key."""
    sealed: bool = False
    kind: int = 0
    """One of `Tied`."""
    user: int = 0
    """Of a `CLAIM`: who is claimed."""


class Unlinked(msgspec.Struct, array_like=True, frozen=True, tag=6):
    """Takes the link of `cell` to `owner` back."""

    at_ms: int
    tenant: str
    cell: int
    owner: int = 0
    """0, in former logs: the only one that it has."""


class Configured(msgspec.Struct, array_like=True, frozen=True, tag=7):
    """What the fold stands on from here: its settings, and the features that count from this position."""

    at_ms: int
    settings: dict[str, int]
    features: tuple[tuple[str, str], ...]
    """(feature id, version) of every declared feature."""
    purposes: tuple[str, ...] = ()
    """What features are declared for: statements about these purposes always find room."""


class Epoch(msgspec.Struct, array_like=True, frozen=True, tag=8):
    """The global aggregates as of this record are published under `number`; decisions read them so."""

    at_ms: int
    number: int
    hash: str
    """Of the epoch before this one, chained over all published changes: a replay that arrives at another hash has
    diverged. (Its own is not known yet when the record is appended.)"""


class Ticked(msgspec.Struct, array_like=True, frozen=True, tag=9):
    """Time passed. What fires on the absence of events fires here."""

    at_ms: int


class Lesson(msgspec.Struct, array_like=True, frozen=True):
    """What a placement's online learner read of the items it showed. Clear: numbers; whoever asked is a pseudonym."""

    placement: str
    items: tuple[int, ...]
    """From the top of the list on, at most `LESSON_ITEMS_MAX`."""
    inputs: bytes
    """float32, little endian, [items, 1 + inputs]: the ranker's score, then the inputs of the learner."""


class Decided(msgspec.Struct, array_like=True, frozen=True, tag=10):
    """The engine's own decision; `receipt` says what it stood on."""

    at_ms: int
    tenant: str
    key: int
    decision_id: str
    receipt: bytes
    subject: int = 0
    """The pseudonym whose key seals `receipt`, `subjects.NOBODY` where nobody was named. 0: it is not sealed."""
    enclosed: bytes = b""
    """What was asked and has no room in the receipt, sealed likewise; empty where everything has."""
    lessons: tuple[Lesson, ...] = ()
    """Of the placements that learn from every outcome."""


class Consented(msgspec.Struct, array_like=True, frozen=True, tag=11):
    """A person's word on purposes; what is not named stays as it was."""

    at_ms: int
    """Event time of the statement: about each purpose the newest one counts."""
    tenant: str
    cell: int
    purposes: dict[str, bool]


class Withheld(msgspec.Struct, array_like=True, frozen=True, tag=12):
    """The audit stub of an event that was not kept: nothing in it leads to a person."""

    at_ms: int
    tenant: str
    name: str
    reason: str
    """`consent` (no purpose `personalization`), `gpc` (Sec-GPC: 1) or `erased` (late event of an erased person)."""


class Erased(msgspec.Struct, array_like=True, frozen=True, tag=13):
    """These cells and everything kept about them are gone; their keys are destroyed right after this is durable."""

    at_ms: int
    tenant: str
    id: str
    """Of the erasure, as its receipt names it."""
    cells: tuple[int, ...]
    tombstones: tuple[bytes, ...] = ()
    """Keyed hashes of the ids, sealed (`subjects.Sealed.TOMBSTONE`): until `until_ms` events from before `at_ms` are
    dropped."""
    messages: tuple[int, ...] = ()
    """References of the messages that were remembered: their duplicates are dropped too."""
    until_ms: int = 0
    reason: str = "request"
    """`request` or `retention`."""


class KeyIssued(msgspec.Struct, array_like=True, frozen=True, tag=14):
    """An access key counts from here on; the key itself is nowhere."""

    at_ms: int
    id: str
    tenant: str
    digest: bytes
    """SHA-256 of the key."""
    scopes: tuple[str, ...]
    public: bool = False
    """It stands in a page for everybody to read: it may not assert who somebody is, nor orders."""
    requests_per_s: int = 0
    """0: the configuration's."""
    name: str = ""
    dev: bool = False
    """It was made of a server that asks nobody for a key, so it counts nowhere else."""
    role: str = ""
    """The name of a set of scopes, in place of `scopes`; empty where there is none."""


class KeyRevoked(msgspec.Struct, array_like=True, frozen=True, tag=15):
    """The access key counts no longer."""

    at_ms: int
    id: str


class Audited(msgspec.Struct, array_like=True, frozen=True, tag=16):
    """The record of administrators' acts reaches at least this far: cutting its end off does not go unseen."""

    at_ms: int
    number: int
    """Of its newest entry."""
    chain: bytes


class ModelPlaced(msgspec.Struct, array_like=True, frozen=True, tag=17):
    """From about here on this model ranks for a placement; every receipt names the one that did."""

    at_ms: int
    tenant: str
    placement: str
    model: str
    """The model in charge as receipts name it, "kind@id"; "" for the built-in ranker alone."""
    stand_in: str = ""
    """The model that answers where the one in charge fails, likewise."""
    reason: str = ""
    """`placed` (somebody said so), `trained` (a gate let it pass), `rolled_back`, `benched` (one failed) or
    `uncalibrated` (the probabilities of the one in charge do not hold: its scores are none)."""


class LearnerDeclared(msgspec.Struct, array_like=True, frozen=True, tag=18):
    """A placement has this online learner from here on, for all tenants; no inputs: it has none any more."""

    at_ms: int
    placement: str
    inputs: tuple[str, ...]
    step: float
    weight_max: float
    frozen: bool
    window_ms: int
    """After a list was shown in which an outcome belongs to it."""
    worths: dict[str, float]
    """Of kinds of outcome."""


class LearnerTurned(msgspec.Struct, array_like=True, frozen=True, tag=19):
    """Somebody turned the switch of a tenant's online learner."""

    at_ms: int
    tenant: str
    placement: str
    act: str
    """`freeze` (it scores as it has learned and learns no more), `thaw` or `reset` (it is the ranker alone again)."""


class Imported(msgspec.Struct, array_like=True, frozen=True, tag=20):
    """Lines of a file that is being imported. Their events are the records behind this one, in their order and among
    what they bring along; where the log was cut behind it, those that are there are those that were taken."""

    at_ms: int
    tenant: str
    id: bytes
    """Of the import: a hash of what the file holds."""
    taken: int
    """Every line up to this one is dealt with once the events behind this record are there."""
    of: int = 0
    """Lines of the file; 0 while that is not known."""
    size_bytes: int = 0
    """Of the file, unpacked."""
    lines: tuple[int, ...] = ()
    """Of the events behind this record, ascending. Other lines up to `taken` were refused, or not kept."""
    messages: tuple[int, ...] = ()
    """References of their messageIds, in parallel."""


class Keyed(msgspec.Struct, array_like=True, frozen=True, tag=21):
    """The references of the log are hashes under this key. The first record of a log that has one; elsewhere it is
    passed over. No secret: it travels with the log, and keeps names of one reference from being found by reckoning."""

    at_ms: int
    key: bytes


Record = (
    Tracked
    | ItemUpserted
    | ItemPatched
    | ItemDeleted
    | Linked
    | Unlinked
    | Configured
    | Epoch
    | Ticked
    | Decided
    | Consented
    | Withheld
    | Erased
    | KeyIssued
    | KeyRevoked
    | Audited
    | ModelPlaced
    | LearnerDeclared
    | LearnerTurned
    | Imported
    | Keyed
)


class Unreadable(msgspec.Struct, frozen=True):
    """What stands in the log, whole by its checksum, and is no record that this program knows. It is passed over."""

    reason: str


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Record)


def encode_record(record: Record) -> bytes:
    """The payload of a log frame."""
    return _encoder.encode(record)


def decode_record(payload: bytes | memoryview, *, file: str = "log", offset: int = 0) -> Record:
    """The record in a frame's payload, or `Corrupt`; its checksum has been verified before."""
    try:
        record: Record = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Corrupt(file=file, offset=offset, reason=f"not a known record: {error}") from None
    return record


def read_record(payload: bytes | memoryview) -> Record | Unreadable:
    r"""The record in a frame's payload whose checksum has been verified; what is none is no damage, and stops nothing.

    >>> read_record(b"\x91\x2a")
    Unreadable(reason='not a known record: Invalid value 42 - at `$[0]`')
    """
    try:
        record: Record = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Unreadable(f"not a known record: {error}")
    return record
