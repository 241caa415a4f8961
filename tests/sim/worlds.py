"""The factory of the simulated world: real engines on its disk, its clock and its chance, as wiring makes them."""

from __future__ import annotations

from instanter.decisions.decide import Decider
from instanter.decisions.placement import DEFAULT_PLACEMENTS, Placement
from instanter.engine.checkpoints import ReplayBounds
from instanter.engine.compose import EntryOptions, compose
from instanter.engine.holdings import AUDIT, LOG, QUARANTINE
from instanter.engine.loop import Engine, EngineOptions, Stores
from instanter.engine.recovery import recover
from instanter.events.enrich import Enricher
from instanter.features.compile import compile_features
from instanter.features.declaration import DEFAULT_FEATURES, FeatureDeclaration
from instanter.feedback.rewards import Rewards
from instanter.foundation.clock import SystemClock
from instanter.foundation.errors import Lost
from instanter.foundation.ids import Ids, References
from instanter.log.segment_log import SegmentLog
from instanter.models.online import LearnerDeclaration
from instanter.ops.datadir import DataDirectory
from instanter.ops.losses import acts_missing, missing, pointing_beyond, reaches
from instanter.privacy.audit import open_trail
from instanter.privacy.erasures import ErasureList
from instanter.privacy.subjects import KeyStore
from instanter.privacy.user_tokens import SigningSecrets
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
        disk, root, schema = surroundings.disk, surroundings.root, self._schemas[surroundings.variant]
        directory = DataDirectory(disk, root)
        refuse(missing(directory, quarantine_bytes_max=QUARANTINE_BYTES))
        reached = reaches(directory)
        log = SegmentLog(disk, root / LOG, segment_bytes=SEGMENT_BYTES, reaches=reached.get(LOG, 0))
        refuse(pointing_beyond(directory, log.opened.end))
        quarantine = SegmentLog(
            disk, root / QUARANTINE, segment_bytes=SEGMENT_BYTES, size_bytes_max=QUARANTINE_BYTES,
            reaches=reached.get(QUARANTINE, 0),
        )  # fmt: skip
        audit = SegmentLog(disk, root / AUDIT, segment_bytes=SEGMENT_BYTES, reaches=reached.get(AUDIT, 0))
        trail = open_trail(audit, SECRET)
        partition, recovery = recover(
            schema, log, log_start=log.opened.start, log_end=log.opened.end, disk=disk,
            checkpoints=root / "checkpoints", references=References(hashed=surroundings.hashed),
        )  # fmt: skip
        refuse(acts_missing(directory, there=trail.head.number, known=partition.audited.number))
        subjects = KeyStore(disk, root / "keys", secret=SECRET, master=SECRET, source=surroundings.entropy)
        erasures = ErasureList(disk, root / "keys" / "erasures", reaches=reached)
        newest_ms = max([recovery.newest_ms, *(erasure.at_ms for erasure in erasures)])
        clock = SystemClock(
            not_before_ms=newest_ms, machine_ns=surroundings.machine_ns, stopwatch_ns=surroundings.stopwatch_ns
        )
        stores = Stores(
            disk, log, quarantine, trail, root / "audit" / "acts", root / "checkpoints", subjects, erasures,
            SigningSecrets(disk, root / "keys", master=SECRET, source=surroundings.entropy),
            holdings=directory.holdings,
        )  # fmt: skip
        return compose(
            stores=stores, partition=partition, recovery=recovery, decider=self.decider(surroundings.variant),
            features=FEATURES[surroundings.variant], clock=clock, ids=Ids(surroundings.entropy), enricher=ENRICHER,
            entry=EntryOptions(),
            options=EngineOptions(checkpoint_s=3_600.0, sync_window_ms=0.5, replays=REPLAYS, rewards=REWARDS),
        )  # fmt: skip

    def decider(self, variant: int) -> Decider:
        """As `Factory.decider`."""
        return Decider(
            self._schemas[variant], FEATURES[variant], PLACEMENTS[variant], exploration=0.1, config_hash="sim"
        )
