"""How an engine is put together: one composition for the server, the simulated world and the tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from ..decisions.decide import Decider
from ..events.decode import Door
from ..events.enrich import Enricher
from ..events.kinds import NUMBERS
from ..events.schemas import EventSchema
from ..events.statements import Statements
from ..features.declaration import FeatureDeclaration
from ..features.view import Reader
from ..foundation.clock import Clock
from ..foundation.ids import Ids
from .gate import Gate
from .loop import Engine, EngineOptions
from .partition import Partition
from .recovery import Recovery
from .stores import Stores


class EntryOptions(msgspec.Struct, frozen=True):
    """What the way in for events takes from the configuration."""

    names: Mapping[str, str] = {}
    """From names as they are sent to canonical ones."""
    item_from: Sequence[str] = ()
    """Where the ids of items stand, see `events.named_items`."""
    schemas: Sequence[EventSchema] = ()
    consent_ids: Mapping[str, str] = {}
    """From ids of a consent tool to purposes."""
    consent_required: bool = False
    events_set_time: bool = False


def compose(
    *, stores: Stores, partition: Partition, recovery: Recovery, decider: Decider,
    features: Sequence[FeatureDeclaration], clock: Clock, ids: Ids, enricher: Enricher,
    entry: EntryOptions, options: EngineOptions,
) -> Engine:  # fmt: skip
    """An engine over what was opened and recovered; it is started, used and stopped on the running loop."""
    schema = partition.state.schema
    gate = Gate(partition, stores.subjects, clock, purposes=schema.purposes, required=entry.consent_required)
    door = Door(
        subjects=stores.subjects, ids=ids, enrich=enricher, names=entry.names, gate=gate,
        events_set_time=entry.events_set_time, numbers=NUMBERS.union(schema.properties),
        statements=Statements(entry.consent_ids, purposes=schema.purposes), user_tokens=stores.signing,
        item_from=entry.item_from, schemas=entry.schemas, references=partition.references,
        ref_of=partition.state.catalogue.ref_of,
    )  # fmt: skip
    return Engine(
        stores=stores, partition=partition, recovery=recovery, clock=clock, ids=ids, door=door, gate=gate,
        decider=decider, reader=Reader(schema, features), options=options,
    )  # fmt: skip
