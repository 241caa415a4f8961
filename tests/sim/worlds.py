"""The factory of the simulated world: real engines on its disk, its clock and its chance, as wiring makes them."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from instanter.decisions.decide import Decider
from instanter.decisions.placement import DEFAULT_PLACEMENTS, Placement
from instanter.engine.checkpoints import ReplayBounds
from instanter.engine.compose import EntryOptions, compose
from instanter.engine.loop import Engine, EngineOptions
from instanter.engine.replay import NoModels
from instanter.engine.stores import StoreSizes, open_stores
from instanter.events.enrich import Enricher
from instanter.features.compile import compile_features
from instanter.features.declaration import DEFAULT_FEATURES, FeatureDeclaration
from instanter.feedback.rewards import Rewards
from instanter.foundation.clock import SystemClock
from instanter.foundation.errors import Lost
from instanter.foundation.ids import Ids, References
from instanter.models.online import LearnerDeclaration
from instanter.ops.datadir import DataDirectory
from instanter.ops.losses import acts_missing, missing, pointing_beyond, reaches
from instanter.privacy.subjects import KeyStore
from instanter.sim.world.accounts import (
    ADDED,
    CARTS,
    ITEM_VIEWS,
    LATEST,
    SESSION_VIEWS,
    SPENT,
    VIEWED,
    VIEWS,
)
from instanter.sim.world.run import Surroundings

SECRET = bytes(range(32))
ENRICHER = Enricher()
SEGMENT_BYTES = 6_000
QUARANTINE_BYTES = 20_000
SIZES = StoreSizes(SEGMENT_BYTES, SEGMENT_BYTES, QUARANTINE_BYTES, SEGMENT_BYTES)
ITEMS_MAX = 64
REPLAYS = ReplayBounds(events=60, checkpoints=4)


def _feature(name: str, on: str, aggregate: str, scope: str = "profile", **rest: str | int) -> FeatureDeclaration:
    return FeatureDeclaration(name=name, on=(on,), aggregate=aggregate, scope=scope, unit="1", owner="sim", **rest)


ALWAYS = (
    *DEFAULT_FEATURES,
    _feature(VIEWS, VIEWED, "count"),
    _feature(LATEST, VIEWED, "last_k", by="item", k=3),
    _feature(SESSION_VIEWS, VIEWED, "count", scope="session"),
)
FEATURES = (
    (*ALWAYS, _feature(SPENT, ADDED, "sum", value="price"), _feature(ITEM_VIEWS, VIEWED, "count", scope="item")),
    (_feature(CARTS, ADDED, "count"), *ALWAYS),
)
"""By configuration: they differ in what they count, and in where in the records it stands."""


def _learning(*inputs: str) -> tuple[Placement, ...]:
    learner = LearnerDeclaration(inputs=inputs, step=0.3)
    placed = (Placement(id="home.recommended", learner=learner), Placement(id="home.hero", limit=1))
    return (*placed, *(one for one in DEFAULT_PLACEMENTS if one.id not in {one.id for one in placed}))


PLACEMENTS = (_learning("item.recency", "item.price"), _learning("item.price", f"cross.{LATEST}"))
"""By configuration: the online learner of each reads something else."""
REWARDS = Rewards(worths={"view": 1.0, "cart": 3.0})


def refuse(losses: list[str]) -> None:
    """As a start does."""
    if losses:
        raise Lost(losses)


class Worlds:
    """Makes engines and deciders; the compiled schemas are made once."""

    def __init__(self) -> None:
        self._schemas = [compile_features(features, memory_mb=1, items_max=ITEMS_MAX) for features in FEATURES]

    def open(self, surroundings: Surroundings) -> Engine:
        """As `Factory.open`."""
        disk, entropy, schema = surroundings.disk, surroundings.entropy, self._schemas[surroundings.variant]
        directory = DataDirectory(disk, surroundings.root)
        refuse(missing(directory, quarantine_bytes_max=QUARANTINE_BYTES))
        with ExitStack() as opened:
            stores = open_stores(
                directory, disk=disk, secret=SECRET, master=SECRET, opened=opened, sizes=SIZES,
                reaching=reaches(directory), open_subjects=partial(KeyStore, source=entropy), source=entropy,
                models=NoModels(),
            )  # fmt: skip
            refuse(pointing_beyond(directory, stores.log.opened.end))
            partition, recovery = stores.recover(schema, references=References(hashed=surroundings.hashed))
            refuse(acts_missing(directory, there=stores.trail.head.number, known=partition.audited.number))
            opened.pop_all()
        newest_ms = max([recovery.newest_ms, *(erasure.at_ms for erasure in stores.erasures)])
        clock = SystemClock(
            not_before_ms=newest_ms, machine_ns=surroundings.machine_ns, stopwatch_ns=surroundings.stopwatch_ns
        )
        return compose(
            stores=stores, partition=partition, recovery=recovery, decider=self.decider(surroundings.variant),
            features=FEATURES[surroundings.variant], clock=clock, ids=Ids(entropy), enricher=ENRICHER,
            entry=EntryOptions(),
            options=EngineOptions(checkpoint_s=3_600.0, sync_window_ms=0.5, replays=REPLAYS, rewards=REWARDS),
        )  # fmt: skip

    def decider(self, variant: int) -> Decider:
        """As `Factory.decider`."""
        return Decider(
            self._schemas[variant], FEATURES[variant], PLACEMENTS[variant], exploration=0.1, config_hash="sim"
        )
