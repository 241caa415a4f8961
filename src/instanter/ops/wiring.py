"""Where seams meet drivers: from a configuration and a directory to an engine."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import msgspec

from ..decisions.decide import Decider
from ..engine.loop import Engine, EngineOptions
from ..engine.partition import Partition
from ..engine.replay import Progress, Recovery, recover
from ..engine.warmup import warm_up
from ..events.decode import Door
from ..events.enrich import Enricher
from ..features.compile import compile_features
from ..features.view import Reader
from ..foundation.clock import Clock, EventsClock, SystemClock
from ..foundation.disk import RealDisk
from ..foundation.errors import ConfigRejected
from ..foundation.ids import Ids, PersonKeys, reference
from ..foundation.limits import QUARANTINE_BYTES_MAX
from ..log.segment_log import SegmentLog
from ..privacy.audit import Trail, open_trail
from ..state.schema import Schema
from .config import Config, load, located
from .datadir import DataDirectory

reports = logging.getLogger("instanter.serve")

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
QUARANTINE_SEGMENT_BYTES = QUARANTINE_BYTES_MAX // 8
AUDIT_SEGMENT_BYTES = 8 * 1024 * 1024


def schema_of(config: Config) -> Schema:
    """The state's schema of a configuration."""
    return compile_features(
        config.features,
        settings={
            "session_gap_ms": config.session.gap_min * MINUTE_MS,
            "session_length_max_ms": config.session.length_max_h * HOUR_MS,
            "lateness_sequence_ms": config.lateness.sequence_min * MINUTE_MS,
            "lateness_window_ms": config.lateness.window_h * HOUR_MS,
            "dedup_window_ms": config.dedup.window_h * HOUR_MS,
            "dedup_ids_max": config.dedup.ids_max,
        },
        memory_mb=config.state.memory_mb,
    )


def decider_of(config: Config, schema: Schema) -> Decider:
    """The decider of a configuration; `ConfigRejected` if a ranker's weight has no input."""
    return Decider(
        schema, config.features, config.placements, weights=config.ranker.weights,
        exploration=config.decide.exploration, config_hash=config_hash(config),
    )  # fmt: skip


def load_checked(path: Path | None) -> Config:
    """The configuration in a file, with everything checked that can be known before serving."""
    config = load(path)
    try:
        decider_of(config, schema_of(config))
    except ConfigRejected as error:
        raise located(error, path) from None
    return config


def config_hash(config: Config) -> str:
    """A short name of a configuration's content, as receipts carry it."""
    return f"{reference(msgspec.json.encode(config, order='deterministic').decode()) & 0xFFFFFFFFFFFF:012x}"


def check_kept(active: frozenset[tuple[str, str]], schema: Schema) -> None:
    """`ConfigRejected` if features that the log counts are not declared any more: they would be forgotten."""
    lost = sorted({name for name, _ in active} - {name for name, _ in schema.declared()})
    if lost:
        raise ConfigRejected(
            f"this data directory has features that the configuration does not declare: {', '.join(lost)}; "
            "what they have kept would be forgotten",
            suggestion="give the --config it was served with, or --drop-features to let them go",
        )


def open_engine(
    config: Config, data: Path, *, clock_of_events: bool = False, drop_features: bool = False,
    progress: Progress | None = None,
) -> Callable[[], Engine]:  # fmt: skip
    """Open a data directory and recover its state; the function makes the engine on a running loop.

    Raises `LogClosed` when another process serves the directory, `Corrupt` or `Broken` when it is damaged.
    """
    schema = schema_of(config)
    decider = decider_of(config, schema)
    enricher = Enricher.with_countries(Path(config.geo.database)) if config.geo.database else Enricher()
    warm_up(schema, decider, tuple(placement.id for placement in config.placements))
    disk = RealDisk()
    directory = DataDirectory(disk, data)
    secret = directory.open()
    keys, ids = PersonKeys(secret), Ids()
    door = Door(keys=keys, ids=ids, enrich=enricher, names=config.events.names, events_set_time=clock_of_events)
    log, quarantine, trail, partition, recovery = _recovered(
        config, schema, directory, secret, drop_features=drop_features, progress=progress
    )
    clock: Clock = EventsClock(recovery.newest_ms) if clock_of_events else SystemClock()
    options = EngineOptions(
        partitions=config.log.partitions,
        sync_window_ms=config.log.sync_window_ms,
        checkpoint_s=config.state.checkpoint_s,
        keep_days=config.log.keep_days,
        epoch_on_read=clock_of_events,
        deadline_ms=config.decide.deadline_ms,
    )

    def make() -> Engine:
        return Engine(
            partition=partition, recovery=recovery, log=log, quarantine_log=quarantine, disk=disk,
            checkpoints=directory.checkpoints, clock=clock, ids=ids, keys=keys, door=door, decider=decider,
            reader=Reader(schema, config.features), options=options, trail=trail, acts=directory.acts,
        )  # fmt: skip

    return make


def _recovered(
    config: Config, schema: Schema, directory: DataDirectory, secret: bytes, *, drop_features: bool,
    progress: Progress | None,
) -> tuple[SegmentLog, SegmentLog, Trail, Partition, Recovery]:  # fmt: skip
    """Log, quarantine, audit, and the partition at the end of the log; all logs are given up again if that fails."""
    disk = directory.disk
    with ExitStack() as opened:
        log = SegmentLog(disk, directory.log, segment_bytes=config.log.segment_mb * 1024 * 1024)
        opened.callback(log.close)
        quarantine = SegmentLog(
            disk, directory.quarantine, segment_bytes=QUARANTINE_SEGMENT_BYTES, size_bytes_max=QUARANTINE_BYTES_MAX
        )
        opened.callback(quarantine.close)
        audit = SegmentLog(disk, directory.audit, segment_bytes=AUDIT_SEGMENT_BYTES)
        opened.callback(audit.close)
        for cut in (log.opened.cut, quarantine.opened.cut, audit.opened.cut):
            if cut is not None:
                reports.warning("an unfinished write was taken away", extra={"reason": str(cut)})
        partition, recovery = recover(
            schema, log, log_start=log.opened.start, log_end=log.opened.end, disk=disk,
            checkpoints=directory.checkpoints, progress=progress,
        )  # fmt: skip
        if not drop_features:
            check_kept(partition.state.active, schema)
        trail = open_trail(audit, secret)
        opened.pop_all()
    return log, quarantine, trail, partition, recovery
