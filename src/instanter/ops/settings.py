"""The settings: one frozen struct for each table of the configuration file.

Unit, bounds and default stand beside each field, and everything that is said about a setting elsewhere (the file
that `instanter init` writes, docs/configuration.md, error messages) is made from here.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from ..decisions.placement import DEFAULT_PLACEMENTS, Placement, Weight
from ..events.schemas import EventSchema
from ..features.declaration import DEFAULT_FEATURES, FeatureDeclaration
from ..feedback.rewards import DEFAULT_WORTHS, Rewarded
from ..foundation.limits import (
    CATALOGUE_ITEMS_MAX,
    ITEM_PLACES_MAX,
    NAME_CHARS_MAX,
    NEW_PEOPLE_PER_S,
    REQUESTS_PER_S_MAX,
    SCHEMAS_MAX,
)
from ..privacy.access import TENANT_PATTERN

_MINUTES_A_DAY: Final = 1_440
_Site = Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX)]
DEFAULT_PUBLIC_FIELDS: Final = (
    "title", "name", "headline", "description", "category", "brand", "price", "sale_price",
    "sale_price_effective_date", "currency", "availability", "item_group_id", "link", "url", "slug", "handle",
    "image_link", "image", "image_url", "additional_image_link", "thumbnail", "color", "size", "material", "rating",
    "author", "section", "published_at", "created_at",
)  # fmt: skip
"""What a page shows of an item anyway; not how many there are, what they cost the shop, or whom it has them from."""
_Name = Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX)]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One table of the file."""


class LogSettings(Section, frozen=True):
    """The log that every event is written to before it is acknowledged."""

    partitions: Annotated[int, Meta(
        ge=1, le=1_024, description="Parts that people are spread over.")] = 16
    sync_window_ms: Annotated[int, Meta(
        ge=0, le=100,
        description="How long an append waits for others to share one sync with; 0 syncs at once.")] = 2
    segment_mb: Annotated[int, Meta(
        ge=1, le=1_024, description="Size at which a segment file is closed and the next one begun.")] = 64
    keep_days: Annotated[int, Meta(
        ge=1, le=3_650,
        description="How long segments are kept, at least; only whole segments below a checkpoint are removed.")] = 90


class StateSettings(Section, frozen=True):
    """What the engine knows right now, held in memory."""

    memory_mb: Annotated[int, Meta(
        ge=64, le=1_048_576, description=(
            "Memory that the program may take, and a tenth more. Beyond it the people idle for longest lie on disk. "
            "Less than 256 is not kept to: the program itself takes about 165."))] = 2_048
    checkpoint_s: Annotated[int, Meta(
        ge=1, le=3_600, description="Time between checkpoints; a start reads the newest and the log after it.")] = 60


class SessionSettings(Section, frozen=True):
    """When a visit ends and the next one begins, in event time."""

    gap_min: Annotated[int, Meta(
        ge=1, le=_MINUTES_A_DAY, description="Minutes without an event that end a session.")] = 30
    length_max_h: Annotated[int, Meta(ge=1, le=168, description="Longest session in hours.")] = 12


class LatenessSettings(Section, frozen=True):
    """How late an event may come, judged against the newest event of the same person."""

    sequence_min: Annotated[int, Meta(
        ge=0, le=_MINUTES_A_DAY,
        description="Minutes within which any order of arrival gives the same sessions.")] = 30
    window_h: Annotated[int, Meta(
        ge=1, le=168, description="Hours within which any order of arrival gives the same profile.")] = 24


class DedupSettings(Section, frozen=True):
    """How a messageId that comes twice is told."""

    window_h: Annotated[int, Meta(ge=1, le=168, description="Hours for which ids are remembered.")] = 24
    ids_max: Annotated[int, Meta(
        ge=16, le=4_096, description="Ids remembered for one person; going beyond it is counted.")] = 4_096


class FeedbackSettings(Section, frozen=True):
    """How outcomes are joined to what was shown, and what they are worth to a model that learns."""

    window_min: Annotated[int, Meta(
        ge=1, le=7 * _MINUTES_A_DAY,
        description="Minutes after a slate or decision in which a click on one of its items belongs to it.")] = 30
    delay_s: Annotated[int, Meta(
        ge=0, le=86_400,
        description="Seconds for which outcomes that come late are waited for before a list is learned from.")] = 300
    rewards: Annotated[dict[Rewarded, Annotated[float, Meta(ge=0, le=1_000)]], Meta(
        description="What outcomes are worth to a model that learns, by kind: "
                    + ", ".join(f"{kind} ({worth:g})" for kind, worth in DEFAULT_WORTHS.items())
                    + ". revenue is worth so much times log(1 + revenue); what was given back is worth nothing.")] = {}


class TrainingSettings(Section, frozen=True):
    """Models that the server trains by itself, in a process behind everything else, for the tenant `default`."""

    every_min: Annotated[int, Meta(
        ge=0, le=7 * _MINUTES_A_DAY,
        description="Minutes from one training to the next, where the log has grown meanwhile; a model takes over only "
                    "if it ranks the newest examples as well as what ranks now and as plain orders. 0: the server "
                    "trains nothing.")] = 15
    placements: Annotated[tuple[_Name, ...], Meta(
        description="The placements that models are trained for; none named: all that find items themselves.")] = ()


class DecideSettings(Section, frozen=True):
    """How decisions are made."""

    deadline_ms: Annotated[int, Meta(
        ge=1, le=10_000, description="Time for a decision that names no deadline of its own.")] = 50
    exploration: Annotated[float, Meta(
        ge=0, le=1, description="Chance that one slot shows an item the ranker did not choose.")] = 0.05


class ServeSettings(Section, frozen=True):
    """Who reaches the server, how long a connection may keep it waiting, and how many there may be at once."""

    origins: Annotated[tuple[_Site, ...], Meta(
        description='Origins of the pages that may ask with a public key, such as "https://shop.example" or '
                    '"https://*.shop.example"; "*" lets in all pages, for public keys alone. Pages under the server\'s '
                    "own name need none. With --dev: pages of this machine, whatever stands here.")] = ()
    hosts: Annotated[tuple[_Site, ...], Meta(
        description='Names and addresses that the server answers to (the Host header), such as "api.shop.example" or '
                    '"*.shop.example"; empty: to all. GET /healthz and /readyz are always answered. With --dev: those '
                    "of this machine, whatever stands here.")] = ()
    proxies: Annotated[tuple[_Site, ...], Meta(
        description='Proxies in front of the server, as addresses or networks such as "10.0.0.0/8": what they say in '
                    "Forwarded, X-Forwarded-For and X-Forwarded-Proto is believed.")] = ()
    header_read_s: Annotated[int, Meta(
        ge=1, le=60,
        description="Seconds for a request's line and headers, counted from the reply before; so an idle connection "
                    "is closed after them too.")] = 8
    body_read_s: Annotated[int, Meta(
        ge=1, le=60,
        description="Seconds for a request's body, and one more for every 64 KiB of it that have come; one that takes "
                    "longer is answered 408.")] = 8
    write_s: Annotated[int, Meta(
        ge=1, le=60, description="Seconds for which a client may take nothing of its reply.")] = 8
    connections_max: Annotated[int, Meta(
        ge=16, le=65_536, description="Connections open at once; more are answered 429 and closed.")] = 2_048
    requests_max: Annotated[int, Meta(
        ge=8, le=65_536,
        description="Requests worked on at once; more are answered 429 before anything is done.")] = 2_048


class LimitSettings(Section, frozen=True):
    """Where the server says no."""

    requests_per_s: Annotated[int, Meta(
        ge=1, le=REQUESTS_PER_S_MAX,
        description="Requests a second of one access key; more are answered 429.")] = 1_000
    tenant_requests_per_s: Annotated[int, Meta(
        ge=0, le=REQUESTS_PER_S_MAX,
        description="Requests a second of all keys of a tenant together; 0: only keys are limited. Not with --dev.")
        ] = 5_000
    events_per_s: Annotated[int, Meta(
        ge=0, le=REQUESTS_PER_S_MAX,
        description="Events a second of a tenant, in whatever requests; 0: only requests are limited. Not with "
                    "--dev.")] = 20_000


class TenantSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A tenant whose terms differ from those of the others."""

    id: Annotated[str, Meta(
        pattern=TENANT_PATTERN, min_length=1, max_length=64,
        description="Its name, as its access keys have it: a-z, 0-9 and -.")]
    requests_per_s: Annotated[Annotated[int, Meta(ge=0, le=REQUESTS_PER_S_MAX)] | None, Meta(
        description="In place of limits.tenant_requests_per_s.")] = None
    events_per_s: Annotated[Annotated[int, Meta(ge=0, le=REQUESTS_PER_S_MAX)] | None, Meta(
        description="In place of limits.events_per_s.")] = None
    share: Annotated[int, Meta(
        ge=1, le=100, description="Its part of the work while tenants compete; the others have 1.")] = 1
    items_max: Annotated[int, Meta(
        ge=0, le=CATALOGUE_ITEMS_MAX, description="Items in its catalogue; 0: as many as there is room for.")] = 0
    new_people_per_s: Annotated[int, Meta(
        ge=0, le=REQUESTS_PER_S_MAX,
        description="People a second whom one of its public keys may make known, and a tenth of that from one network "
                    "(an IPv4 address, an IPv6 /64); 0: as many as come.")] = NEW_PEOPLE_PER_S


class PrivacySettings(Section, frozen=True):
    """Keys of people, and what they have to agree to."""

    keys: Annotated[str, Meta(
        description='Folder of the keys, relative to this file; "" is DIR/keys. In production: on another volume than '
                    "the data, and never in the same backup.")] = ""
    master_key_file: Annotated[str, Meta(
        description='File with the master key, 64 hexadecimal digits, relative to this one; "" takes it from '
                    "INSTANTER_MASTER_KEY.")] = ""
    consent_ids: Annotated[dict[_Name, _Name], Meta(
        description="From the id of a category of your consent tool to the purpose that it is, "
                    'e.g. {C0003 = "personalization"}; purpose 5 of an IAB consent string is "tcf-5".')] = {}
    consent_required: Annotated[bool, Meta(
        description="true: a purpose that a person has said nothing about is not agreed to.")] = False


class RetentionSettings(Section, frozen=True):
    """How long data is kept, by class; events as long as log.keep_days. What is older cannot be read from then on."""

    receipts_days: Annotated[int, Meta(ge=1, le=3_650, description="Receipts of decisions.")] = 90
    profiles_days: Annotated[int, Meta(
        ge=1, le=3_650, description="People of whom nothing more was received.")] = 400
    quarantine_days: Annotated[int, Meta(ge=1, le=365, description="The bytes of rejected events.")] = 7


class GeoSettings(Section, frozen=True):
    """Countries from addresses."""

    database: Annotated[str, Meta(
        description='A file in the MaxMind format, relative to this one; "" finds no countries. '
                    "Needs the extra instanter[geo].")] = ""


class EventSettings(Section, frozen=True):
    """Events that have names of their own."""

    names: Annotated[dict[_Name, _Name], Meta(
        description="From a name as sent to the name it is known by, "
                    'e.g. {"Item Detail Opened" = "Product Viewed"}.')] = {}
    item_from: Annotated[tuple[_Name, ...], Meta(
        max_length=ITEM_PLACES_MAX,
        description="Where events have the id that an item has in the catalogue, the first that is there: names of "
                    'properties, with points between maps and [] behind lists, e.g. ["sku", "items[].item_id", '
                    '"content.id"]. Empty: the usual names, product_id first.')] = ()
    schemas: Annotated[tuple[EventSchema, ...], Meta(
        max_length=SCHEMAS_MAX,
        description="What events of a name have to look like, each in a table of its own under [[events.schemas]]: "
                    "event, required, fields (each with type, min, max, enum), unknown_fields and on_fault.")] = ()


class CatalogueSettings(Section, frozen=True):
    """What can be shown."""

    public_fields: Annotated[tuple[_Name, ...], Meta(
        description="The fields of items that public access keys see in decisions; [\"*\"]: all of them.")
        ] = DEFAULT_PUBLIC_FIELDS
    currency: Annotated[str, Meta(
        pattern="^([A-Z]{3})?$",
        description="What prices are in, an ISO 4217 code; a price in another currency counts as no number. \"\": it "
                    "goes by the first item of a tenant that says so.")] = ""


class RankerSettings(Section, frozen=True):
    """The ranker."""

    weights: Annotated[dict[_Name, Weight], Meta(
        description="Weights that differ from the built-in ones, by name, for all placements.")] = {}


class Config(Section, frozen=True):
    """Everything that can be set. `Config()` is what a server without a configuration runs on."""

    log: LogSettings = LogSettings()
    state: StateSettings = StateSettings()
    session: SessionSettings = SessionSettings()
    lateness: LatenessSettings = LatenessSettings()
    dedup: DedupSettings = DedupSettings()
    feedback: FeedbackSettings = FeedbackSettings()
    training: TrainingSettings = TrainingSettings()
    decide: DecideSettings = DecideSettings()
    serve: ServeSettings = ServeSettings()
    limits: LimitSettings = LimitSettings()
    privacy: PrivacySettings = PrivacySettings()
    retention: RetentionSettings = RetentionSettings()
    geo: GeoSettings = GeoSettings()
    events: EventSettings = EventSettings()
    catalogue: CatalogueSettings = CatalogueSettings()
    ranker: RankerSettings = RankerSettings()
    features: tuple[FeatureDeclaration, ...] = DEFAULT_FEATURES
    """The defaults, and the file's own: added, or in place of the default of the same name."""
    placements: tuple[Placement, ...] = DEFAULT_PLACEMENTS
    """The defaults, and the file's own, in the same way, by id."""
    tenants: tuple[TenantSettings, ...] = ()
