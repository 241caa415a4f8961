"""What comes in and has no effect, in sentences, from the newest records of the log and what stands in the state.

A finding names the event or the field, how often, and the remedy. Ids of items are looked at and not repeated: what
people sent stays sealed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

import msgspec

from ..events.envelope import Decided, Tracked, read_record
from ..events.kinds import KNOWN, NAME_BY_TYPE, ORDER_COMPLETED, PAGE_VIEWED, PRODUCT_ADDED, SCREEN_VIEWED
from ..events.named_items import NAMING_ITEMS
from ..events.nearest import likely_name, mapping_line
from ..events.notes import ITEM_UNKNOWN, UNHEARD
from ..events.times import AHEAD_MS_MAX, time_text
from ..features.declaration import DEFAULT_FEATURES
from ..foundation.limits import (
    EFFECTS_ITEMS_MAX,
    EFFECTS_NAMES_MAX,
    EFFECTS_RECORDS_MAX,
    EFFECTS_SAMPLES_MAX,
)
from ..log.frames import Frame
from ..privacy.subjects import KeyStore
from .export import read_receipt, stored_event
from .partition import Partition
from .stocktaking import looked_at, without_effect
from .tally import TallyReading

ReadBack = Callable[[int | None], tuple[list[Frame], int]]
FAR_MS: Final = 10 * 365 * 86_400_000
"""An event so long before its receipt has probably another unit of time."""
MOST: Final = 0.5
"""From this share on a field is said to be the one that has the ids."""
SOME: Final = 0.25
"""From this share of the ids on that events name a field of the catalogue is said to hold them."""
_WITHOUT_FEATURE: Final = frozenset({*NAME_BY_TYPE.values()})
_BUILT_IN: Final = frozenset(feature.name for feature in DEFAULT_FEATURES)
BARE_MAX: Final = 20
"""Events of a name without items that are looked into."""
LAST_PART: Final = ", as its last part"
"""Of a text with slashes, such as the address of an item's page."""
_PAGE_SUFFIX: Final = re.compile(r"[?#].*|\.html?(?=[?#]|$)")
_VISITS: Final = frozenset({PAGE_VIEWED, SCREEN_VIEWED})
FURTHER: Final = "(further names)"


class Finding(msgspec.Struct, frozen=True, rename="camel"):
    """One thing that has no effect, and what to do about it."""

    code: str
    """`no_catalogue`, `unheard`, `no_item`, `item_unknown`, `time_far`, `time_ahead`, `no_feed`, `no_candidates`,
    `mapping`, `items_as_sent`, or a code of what is said about single events or items."""
    event: str
    """The name of the events, or of the placement; "" where it is about none."""
    count: int
    message: str
    """In a sentence or two, the remedy included."""


class NameSeen(msgspec.Struct, frozen=True, rename="camel"):
    """Events of one name among the newest records."""

    event: str
    count: int
    heard: bool


class DataHealth(msgspec.Struct, frozen=True, rename="camel"):
    """`GET /v1/health/data`."""

    ok: bool
    """Whether nothing was found."""
    records: int
    """The newest records of the log, which this is about."""
    since: str | None
    """When the oldest of them was received; null where there is none."""
    events: list[NameSeen]
    findings: list[Finding]


class _Name:
    """What was seen of one event name."""

    __slots__ = ("ahead", "bare", "count", "far", "no_item", "unknown")

    def __init__(self) -> None:
        self.bare: list[Tracked] = []
        """The newest of them that name no item."""
        self.count = self.no_item = self.unknown = self.far = self.ahead = 0


class Observed:
    """What the newest records of one tenant hold."""

    def __init__(self) -> None:
        self.records = 0
        self.since_ms = 0
        self.names: dict[str, _Name] = {}
        self.samples: list[Tracked] = []
        """Newest events with an item that is not in the catalogue."""
        self.decided: list[Decided] = []


def tenants_in(read_back: ReadBack) -> list[str]:
    """The tenants of the newest records, the most frequent first."""
    found: Counter[str] = Counter()
    for record, _ in _newest(read_back):
        if isinstance(record, Tracked):
            found[record.tenant] += 1
    return [tenant for tenant, _ in found.most_common()]


def observed(read_back: ReadBack, tenant: str, partition: Partition) -> Observed:
    """Look at the newest records, at most `EFFECTS_RECORDS_MAX`. May run in a thread."""
    seen, known, told_again, bare = Observed(), partition.state.catalogue, set[int](), 0
    for record, frame in _newest(read_back):
        seen.records += 1
        seen.since_ms = frame.time_ms
        if isinstance(record, Tracked) and record.tenant == tenant:
            if frame.position in told_again:
                continue
            if record.first_told:
                told_again.add(record.first_told)
            name = record.name
            if name not in seen.names and len(seen.names) >= EFFECTS_NAMES_MAX:
                name = FURTHER
            of = seen.names.setdefault(name, _Name())
            of.count += 1
            of.no_item += not record.items and name in NAMING_ITEMS
            if not record.items and len(of.bare) < BARE_MAX and bare < EFFECTS_SAMPLES_MAX:
                of.bare.append(record)
                bare += 1
            of.far += record.received_ms - record.happened_ms > FAR_MS
            of.ahead += record.happened_ms - record.received_ms >= AHEAD_MS_MAX
            if any(not known.has(ref) for ref in record.items):
                of.unknown += 1
                if len(seen.samples) < EFFECTS_SAMPLES_MAX:
                    seen.samples.append(record)
        elif isinstance(record, Decided) and record.tenant == tenant and len(seen.decided) < EFFECTS_SAMPLES_MAX:
            seen.decided.append(record)
    return seen


def data_health(
    seen: Observed, tenant: str, partition: Partition, subjects: KeyStore, *, mapping: Mapping[str, str],
    tally: TallyReading | None = None, currency: str = "",
) -> DataHealth:  # fmt: skip
    """What of a tenant's data has no effect. `mapping` is `[events.names]`; `tally` adds what a server has counted.

    `currency` is `[catalogue] currency`.
    """
    heard, hears_all = partition.state.schema.codes, partition.state.schema.hears_all
    findings = [
        *_catalogue(seen, tenant, partition),
        *_fields_of_items(tenant, partition, currency),
        *(() if hears_all else (*_mapping(mapping, heard), *_names(seen, heard, tenant, partition, subjects))),
        *_items(seen, tenant, partition, subjects),
        *_times(seen),
        *_features(seen, partition),
        *_placements(seen, subjects),
        *_tallied(tally),
    ]
    effective = _WITHOUT_FEATURE | heard.keys()
    events = [NameSeen(name, of.count, hears_all or name in effective) for name, of in seen.names.items()]
    return DataHealth(
        not findings, seen.records, time_text(seen.since_ms) if seen.records else None,
        sorted(events, key=lambda one: (-one.count, one.event)), findings,
    )  # fmt: skip


def _newest(read_back: ReadBack) -> Iterator[tuple[object, Frame]]:
    """The newest records with their frames, the newest first."""
    looked, before = 0, None
    while before != 0 and looked < EFFECTS_RECORDS_MAX:
        frames, before = read_back(before)
        for frame in islice(reversed(frames), EFFECTS_RECORDS_MAX - looked):
            looked += 1
            yield read_record(frame.payload), frame


def _catalogue(seen: Observed, tenant: str, partition: Partition) -> Iterator[Finding]:
    if partition.state.catalogue.count_of(tenant) == 0:
        yield Finding(
            "no_catalogue", "", 0,
            "The catalogue is empty, so there is nothing to recommend: load it with POST /v1/items or "
            "`instanter import --items FILE`.",
        )  # fmt: skip


def _fields_of_items(tenant: str, partition: Partition, currency: str) -> Iterator[Finding]:
    catalogue = partition.state.catalogue
    items, types, schema = looked_at(catalogue, tenant), catalogue.types_of(tenant), partition.state.schema
    for code, count, sentence in without_effect(
        items, types, numbers=schema.numbers, texts=schema.attributes, currency=currency
    ):
        yield Finding(code, "", count, sentence)


def _mapping(mapping: Mapping[str, str], heard: Mapping[str, int]) -> Iterator[Finding]:
    for sent, meant in mapping.items():
        if meant not in heard and meant not in _WITHOUT_FEATURE:
            near = likely_name(meant, heard)
            better = f' Did you mean "{near}"? Write {mapping_line(sent, near)}.' if near else ""
            message = f'[events.names] maps "{sent}" to "{meant}", and no feature hears that name.{better}'
            yield Finding("mapping", meant, 0, message)


def _names(
    seen: Observed, heard: Mapping[str, int], tenant: str, partition: Partition, subjects: KeyStore
) -> Iterator[Finding]:
    for name, of in _by_count(seen):
        if name in heard or name in _WITHOUT_FEATURE or name == FURTHER:
            continue
        # A name of the specification says what it says; a feature is missing, and no other name is meant.
        near = "" if name in KNOWN else likely_name(name, heard)
        advice = (
            "name it in the `on` of a feature" if name in KNOWN
            else f'it looks like "{near}": put {mapping_line(name, near)} under [events.names]' if near
            else "map it under [events.names], or name it in the `on` of a feature"
        )  # fmt: skip
        field = field_with_ids(of.bare, tenant, partition, subjects)
        first = f" Before that: they name no item, and {to_item_from(field)}." if field else ""
        yield Finding(
            UNHEARD, name, of.count,
            f'{_events(of.count)} "{name}" {"changes" if of.count == 1 else "change"} no profile, since no feature '
            f"hears the name: {advice}, and run `instanter remap`, which tells the kept ones again, once.{first}",
        )  # fmt: skip


def _events(count: int) -> str:
    return "1 event" if count == 1 else f"{count:,} events"


def _items(seen: Observed, tenant: str, partition: Partition, subjects: KeyStore) -> Iterator[Finding]:
    for name, of in _by_count(seen):
        if of.no_item:
            field = field_with_ids(of.bare, tenant, partition, subjects)
            remedy = (
                f"{to_item_from(field)}, or send it as product_id" if field
                else "send properties.product_id, or the items in properties.products"
            )  # fmt: skip
            yield Finding(
                "no_item", name, of.no_item, f'{of.no_item:,} of {of.count:,} events "{name}" name no item: {remedy}.'
            )
        elif name in _VISITS and (field := field_with_ids(of.bare, tenant, partition, subjects)):
            yield Finding(
                "no_item", name, len(of.bare),
                f'Events "{name}" name no item, so they are no views of any, and the catalogue\'s ids stand in '
                f"{field}: send the id as properties.product_id or content_id with those of an item's page.",
            )  # fmt: skip
    if not seen.samples or partition.state.catalogue.count_of(tenant) == 0:
        return
    unknown = sum(of.unknown for of in seen.names.values())
    total = sum(of.count for of in seen.names.values())
    yield Finding(
        ITEM_UNKNOWN, "", unknown,
        f"{unknown:,} of {total:,} events are about items that are not in the catalogue, so nothing like them can be "
        f"recommended. {_elsewhere(seen.samples, tenant, partition, subjects)}",
    )  # fmt: skip


def _elsewhere(samples: list[Tracked], tenant: str, partition: Partition, subjects: KeyStore) -> str:
    """Where the catalogue's ids stand in the events, or the events' ids in the catalogue."""
    catalogue = partition.state.catalogue
    texts: dict[str, set[str]] = {}
    inside: Counter[str] = Counter()
    for record in samples:
        event = stored_event(record, subjects)
        for field, text in _fields(event.get("properties") if event else None):
            texts.setdefault(text, set()).add(field)
            inside[field] += catalogue.holds(tenant, text)
    field, count = max(inside.items(), key=lambda one: one[1], default=("", 0))
    if count > MOST * len(samples) and not field.endswith(LAST_PART):
        return (
            f"The catalogue's ids stand in {field} of the events ({count} of {len(samples)} looked at): say so in "
            f'[events], item_from = ["{_path_of(field)}"], or send them as product_id.'
        )
    found: Counter[str] = Counter()
    for item in islice(catalogue.of_tenant(tenant), EFFECTS_ITEMS_MAX):
        for name, value in item.fields.items():
            if isinstance(value, str | int) and not isinstance(value, bool) and str(value) in texts:
                found[name] += 1
    name, matched = max(found.items(), key=lambda one: one[1], default=("", 0))
    ids = {text for text, fields in texts.items() if any(_is_id(field) for field in fields)}
    if matched and matched >= SOME * min(len(ids), len(samples)):
        return (
            f"The ids that events name stand in the field {name} of the catalogue ({matched} of them): load the feed "
            f"with {name} as the id of its items, or send the feed's ids in the events."
        )
    return "Load these items, or send the ids that the catalogue has."


def field_with_ids(records: list[Tracked], tenant: str, partition: Partition, subjects: KeyStore) -> str:
    """Where most of these events, which name no item, hold ids of the catalogue, not always the same; "" if nowhere."""
    catalogue, inside = partition.state.catalogue, dict[str, list[str]]()
    if not records or catalogue.count_of(tenant) == 0:
        return ""
    for record in records:
        event = stored_event(record, subjects)
        found = {field: text for field, text in _fields(event.get("properties") if event else None)
                 if catalogue.holds(tenant, text)}
        for field, text in found.items():
            inside.setdefault(field, []).append(text)
    field = max(inside, key=lambda one: len(inside[one]), default="")
    texts = inside.get(field, [])
    return field if len(texts) > MOST * len(records) and len(set(texts)) > min(1, len(records) - 1) else ""


def to_item_from(field: str) -> str:
    """Where the ids stand, and what to do about it."""
    if field.endswith(LAST_PART):
        return f"the catalogue's ids stand in {field}: send the id as product_id"
    return (
        f'the catalogue\'s ids stand in {field}: say so in [events], item_from = ["{_path_of(field)}"], with all other '
        "places where ids stand, since no others are looked at then"
    )


def _path_of(field: str) -> str:
    """A field as `item_from` names it: within the lists that are known by the name alone."""
    path = field.removeprefix("properties.")
    head, _, last = path.partition(".")
    return last if head.endswith("[]") and "." not in last else path


def _fields(value: Any, path: str = "properties") -> Iterator[tuple[str, str]]:
    """Texts and whole numbers of an event's properties, with where they stand."""
    if isinstance(value, dict):
        for name, one in value.items():
            yield from _fields(one, f"{path}.{name}")
    elif isinstance(value, list):
        for one in value:
            yield from _fields(one, f"{path}[]")
    elif isinstance(value, str | int) and not isinstance(value, bool):
        yield path, str(value)
        if isinstance(value, str) and "/" in value:
            yield path + LAST_PART, _PAGE_SUFFIX.sub("", value).rstrip("/").rpartition("/")[2]


def _is_id(field: str) -> bool:
    return field.rpartition(".")[2].lower().endswith(("id", "sku", "[]"))


def _times(seen: Observed) -> Iterator[Finding]:
    for name, of in _by_count(seen):
        if of.far:
            yield Finding(
                "time_far", name, of.far,
                f'{_events(of.far)} "{name}" lie more than ten years before their receipt: send `timestamp` as ISO '
                "8601 with zone, or seconds or milliseconds since 1970.",
            )  # fmt: skip
        if of.ahead:
            yield Finding(
                "time_ahead", name, of.ahead,
                f'{_events(of.ahead)} "{name}" were sent with a time in the future, and count as of five minutes after '
                "their receipt: set the sender's clock, or send `sentAt`, by which it is put right.",
            )  # fmt: skip


def _features(seen: Observed, partition: Partition) -> Iterator[Finding]:
    """Features of which no event came: told by the names they hear, one finding for each set of names.

    Of the built-in ones only those of orders, where carts are filled: not every site has wishlists or reviews.
    """
    total = sum(of.count for of in seen.names.values())
    if not total:
        return
    schema = partition.state.schema
    name_of = {code: name for name, code in schema.codes.items()}
    unfed: dict[tuple[str, ...], list[str]] = {}
    for placed in schema.layout.features:
        if any(code not in name_of for code in placed.spec.codes):  # It hears everything.
            continue
        hears = tuple(sorted(name_of[code] for code in placed.spec.codes))
        if placed.spec.name in _BUILT_IN and not (ORDER_COMPLETED in hears and PRODUCT_ADDED in seen.names):
            continue
        if "." not in placed.spec.name and hears and not any(name in seen.names for name in hears):
            unfed.setdefault(hears, []).append(placed.spec.name)
    for hears, features in unfed.items():
        names = " or ".join(f'"{name}"' for name in hears[:4]) + (" and others" if len(hears) > 4 else "")
        yield Finding(
            "no_feed", hears[0], 0,
            f"Nothing feeds {', '.join(features[:6])}{' and others' if len(features) > 6 else ''}: no {names} among "
            f"the newest {total:,} events.",
        )  # fmt: skip


def _placements(seen: Observed, subjects: KeyStore) -> Iterator[Finding]:
    asked: Counter[str] = Counter()
    found: Counter[str] = Counter()
    for record in seen.decided:
        receipt = read_receipt(record, subjects)
        for placement in receipt.placements if receipt is not None else ():
            asked[placement.id] += 1
            found[placement.id] += placement.candidates > 0
    for name, count in asked.items():
        if not found[name]:
            yield Finding(
                "no_candidates", name, count,
                f'The placement "{name}" was asked for {count:,} times and never had an item to choose from: load a '
                "catalogue with items in stock, look at the placement's `sources`, and send `candidates` where it is a "
                "re-rank.",
            )  # fmt: skip


def _tallied(tally: TallyReading | None) -> Iterator[Finding]:
    """What a server has counted of single events since its start, but for what the log has told already."""
    for note in tally.notes if tally is not None else ():
        if note.code not in (UNHEARD, ITEM_UNKNOWN, "no_item", "time_far", "time_clamped"):
            yield Finding(note.code, note.event, note.count, f'{_events(note.count)} "{note.event}": {note.message}.')


def _by_count(seen: Observed) -> list[tuple[str, _Name]]:
    return sorted(seen.names.items(), key=lambda one: (-one[1].count, one[0]))
