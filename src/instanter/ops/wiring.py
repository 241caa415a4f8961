"""Where seams meet drivers: from a configuration and a directory to an engine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import msgspec

from ..api.tenancy import NO_TERMS, TenantTerms, Terms
from ..decisions.decide import Decider
from ..decisions.placement import unfiltered
from ..engine.compose import EntryOptions, compose
from ..engine.configuration import Configuration, Configurations
from ..engine.erase import RetentionOptions
from ..engine.feeds import CatalogueOptions
from ..engine.loop import Engine, EngineOptions
from ..engine.recovery import Progress, Recovery, leave_aside, without_ground
from ..engine.stores import MEBIBYTE, OpenSubjects, Stores, StoreSizes, open_stores
from ..engine.warmup import KernelProgress, warm_up
from ..events.enrich import Enricher
from ..events.kinds import NUMBERS, Names
from ..events.named_items import ItemFinder
from ..events.schemas import compile_schemas
from ..features.assemble import OF_PERSON, RULES_NOW
from ..features.carriers import carriers
from ..feedback.rewards import DEFAULT_WORTHS, Rewards
from ..foundation.clock import Clock, EventsClock, SystemClock
from ..foundation.disk import RealDisk
from ..foundation.errors import Broken, ConfigRejected, Lost
from ..foundation.ids import Ids
from ..log.segments import SegmentReader
from ..privacy.audit import COMMAND_LINE, Act, hand_in
from ..privacy.erasures import NOTHING_KNOWN, Erasure
from ..privacy.subjects import KeyStore
from ..state.cold_files import ColdPlace
from ..state.program import FOLDING_NOW
from ..state.schema import Schema
from .attention.nets import PooledNets
from .belonging import installation_of, proved_by_audit, proved_by_people
from .config import load, located
from .datadir import KEY_FILES, DataDirectory
from .losses import acts_missing, missing, models_missing, pointing_beyond, reaches
from .master import master_key
from .migration.migrate import Footing, migrate
from .settings import Config, TenantSettings

reports = logging.getLogger("instanter.serve")

MINUTE_MS = 60_000
HOUR_MS = 3_600_000


def configuration_of(config: Config) -> Configuration:
    """What folding and deciding stand on."""
    return Configuration(
        features=config.features,
        placements=config.placements,
        settings={
            "session_gap_ms": config.session.gap_min * MINUTE_MS,
            "session_length_max_ms": config.session.length_max_h * HOUR_MS,
            "lateness_sequence_ms": config.lateness.sequence_min * MINUTE_MS,
            "lateness_window_ms": config.lateness.window_h * HOUR_MS,
            "dedup_window_ms": config.dedup.window_h * HOUR_MS,
            "dedup_ids_max": config.dedup.ids_max,
            "folding": FOLDING_NOW,
        },
        weights=config.ranker.weights,
        exploration=config.decide.exploration,
        rules=RULES_NOW,
    )


def schema_of(config: Config) -> Schema:
    """The state's schema of a configuration."""
    return configuration_of(config).schema(memory_mb=config.state.memory_mb)


def decider_of(config: Config, schema: Schema) -> Decider:
    """The decider of a configuration; `ConfigRejected` if a ranker's weight has no input."""
    return configuration_of(config).decider(schema)


def load_checked(path: Path | None) -> Config:
    """The configuration in a file, with everything checked that can be known before serving."""
    config = load(path)
    try:
        decider_of(config, schema_of(config))
        ItemFinder(config.events.item_from)
        compile_schemas(config.events.schemas, Names(config.events.names))
    except ConfigRejected as error:
        raise located(error, path) from None
    return config


def rewards_of(config: Config) -> Rewards:
    """What outcomes are worth."""
    feedback = config.feedback
    return Rewards(
        window_ms=feedback.window_min * MINUTE_MS, delay_ms=feedback.delay_s * 1_000,
        worths={**DEFAULT_WORTHS, **feedback.rewards},
    )  # fmt: skip


def terms_of(config: Config, *, dev: bool) -> Terms:
    """What tenants may have. With `dev` there is one, and only the rate of a key holds."""
    limits = config.limits
    others = NO_TERMS if dev else TenantTerms(
        requests_per_s=limits.tenant_requests_per_s, events_per_s=limits.events_per_s
    )  # fmt: skip
    named = {} if dev else {tenant.id: _terms_of(tenant, others) for tenant in config.tenants}
    return Terms(
        key_requests_per_s=limits.requests_per_s, others=others, named=named, requests_max=config.serve.requests_max
    )


def _terms_of(tenant: TenantSettings, others: TenantTerms) -> TenantTerms:
    return TenantTerms(
        requests_per_s=others.requests_per_s if tenant.requests_per_s is None else tenant.requests_per_s,
        events_per_s=others.events_per_s if tenant.events_per_s is None else tenant.events_per_s,
        share=tenant.share,
        items_max=tenant.items_max,
        new_people_per_s=tenant.new_people_per_s,
    )


def check_kept(active: frozenset[tuple[str, str]], schema: Schema) -> None:
    """`ConfigRejected` if what features of the log have kept would be forgotten: they are declared no more, or in
    another way, and would begin anew."""
    declared = dict(schema.declared())
    lost = sorted({name for name, _ in active} - declared.keys())
    if lost:
        raise ConfigRejected(
            f"this data directory has features that the configuration does not declare: {', '.join(lost)}; "
            "what they have kept would be forgotten",
            suggestion="give the --config it was served with, or --drop-features to let them go",
        )
    changed = sorted(name for name, version in active if declared[name] != version)
    if changed:
        raise ConfigRejected(
            f"this data directory has counted features that the configuration now declares in another way: "
            f"{', '.join(changed)}; what they have kept would be forgotten, and they would begin anew",
            suggestion="declare the change under a new name beside the old one, or --drop-features to let it go",
        )


def clock_behind(recovery: Recovery, erasures: Iterable[Erasure]) -> SystemClock:
    """The machine's clock, but not before anything that was written down: what came first stays first."""
    newest_ms = max([recovery.newest_ms, *(erasure.at_ms for erasure in erasures)])
    clock = SystemClock(not_before_ms=newest_ms)
    if (ahead_ms := clock.ahead_ms()) > MINUTE_MS:
        reports.warning(
            "the log ends later than the machine's clock: time goes on from there, a tenth slower, until they agree",
            extra={"ahead_ms": ahead_ms},
        )
    return clock


def tell_of_roles(config: Config) -> None:
    """Warn where a hard filter has no feature to look at."""
    if placements := unfiltered(config.placements, carriers(config.features)):
        reports.warning(
            'no feature has the role "purchases": what was just bought is offered again',
            extra={"placements": placements},
        )


def weights_without_effect(config: Config) -> list[str]:
    """Weights of the configuration that change no list: a number of the person is the same for all candidates, and
    so adds the same to each score."""
    placed = [(f'placement "{place.id}": ', place.weights) for place in config.placements]
    return [
        f"{where}{name}" for where, weights in [("ranker.weights: ", config.ranker.weights), *placed]
        for name, weight in weights.items() if weight and name.startswith(OF_PERSON)
    ]  # fmt: skip


def tell_of_weights(config: Config) -> None:
    """Warn where a weight changes nothing."""
    if weights := weights_without_effect(config):
        reports.warning(
            "a weight on a number of the person changes no list: it adds the same to every candidate; a trained model "
            "can use it together with the item's inputs", extra={"weights": weights},
        )


def open_engine(
    config: Config, data: Path, *, clock_of_events: bool = False, drop_features: bool = False,
    may_make_master_key: bool = False, accept_loss: bool = False, progress: Progress | None = None,
    open_subjects: OpenSubjects = KeyStore, kernel_progress: KernelProgress | None = None,
) -> Callable[[], Engine]:  # fmt: skip
    """Open a data directory and recover its state; the function makes the engine on a running loop.

    Raises `LogClosed` when another process serves the directory, `Corrupt` or `Broken` when it is damaged, `Lost`
    when it held more than is there, and `ConfigRejected` without the master key. With `accept_loss` it goes on with
    what is there, and leaves word for the audit record of what is not.
    """
    tell_of_roles(config)
    tell_of_weights(config)
    schema = schema_of(config)
    decider = decider_of(config, schema)
    enricher = Enricher.with_countries(Path(config.geo.database)) if config.geo.database else Enricher()
    warm_up(schema, decider, tuple(placement.id for placement in config.placements), kernel_progress)
    disk = RealDisk()
    directory = DataDirectory(disk, data, keys=config.privacy.keys)
    if directory.is_there():
        directory.check()
        losses = missing(directory)
        refuse_or_note(directory, losses, accept=accept_loss)
    find_master = partial(master_key, disk, directory.keys, file=config.privacy.master_key_file)
    if not may_make_master_key:
        find_master(may_make=False)  # Refused before anything is made in the directory.
    secret = directory.open()
    master = find_master(may_make=may_make_master_key)
    footing = footing_of(config, schema, secret=secret, master=master)
    migrated = migrate(directory, footing, clock=SystemClock(), ids=Ids())
    if migrated is not None:
        reports.warning("the data directory was brought to a new format", extra=msgspec.structs.asdict(migrated))
    made = directory.disown_missing()
    with ExitStack() as opened:
        stores = open_stores(
            directory, disk=disk, secret=secret, master=master, opened=opened, open_subjects=open_subjects,
            sizes=StoreSizes(log_segment_bytes=config.log.segment_mb * MEBIBYTE),
            reaching=NOTHING_KNOWN if accept_loss else reaches(directory), nets=PooledNets(),
        )  # fmt: skip
        log = stores.log.opened
        groundless = without_ground(
            stores.log, disk=disk, checkpoints=directory.checkpoints, log_start=log.start, log_end=log.end
        )
        losses = [*(one.reason for one in groundless), *pointing_beyond(directory, log.end)]
        refuse_or_note(directory, losses, accept=accept_loss)
        leave_aside(disk, directory.checkpoints, groundless)
        partition, recovery = stores.recover(schema, progress=progress, cold=ColdPlace(disk, directory.cold))
        there, known = stores.trail.head.number, partition.audited.number
        losses = acts_missing(directory, there=there, known=known)
        losses += models_missing(directory, partition.models.values())
        refuse_or_note(directory, losses, accept=accept_loss)
        if not drop_features:
            check_kept(partition.state.active, schema)
        take_up(directory, stores, secret=secret, made=made, people=partition.state.cells_used)
        Configurations(disk, directory.configurations).keep(configuration_of(config))
        opened.pop_all()
    clock: Clock = EventsClock(recovery.newest_ms) if clock_of_events else clock_behind(recovery, stores.erasures)
    entry = EntryOptions(
        config.events.names, config.events.item_from, config.events.schemas, config.privacy.consent_ids,
        config.privacy.consent_required, events_set_time=clock_of_events,
    )  # fmt: skip
    return partial(
        compose, stores=stores, partition=partition, recovery=recovery, decider=decider, features=config.features,
        clock=clock, ids=Ids(), enricher=enricher, entry=entry,
        options=options_of(config, clock_of_events=clock_of_events),
    )  # fmt: skip


def refuse_or_note(directory: DataDirectory, losses: Sequence[str], *, accept: bool) -> None:
    """`Lost` for what is missing; or, if that is accepted, word of it for the audit record, durable on return."""
    if losses and not accept:
        raise Lost(losses)
    for loss in losses:
        reports.warning("what is missing was given up", extra={"reason": loss})
        act = Act("loss.accepted", COMMAND_LINE, details={"missing": loss}, at_ms=SystemClock().now_ms())
        hand_in(directory.disk, directory.acts, act, Ids())


def take_up(directory: DataDirectory, stores: Stores, *, secret: bytes, made: Collection[str], people: int) -> None:
    """Write down whose a directory is that does not say, where its keys are proved to be its own or nothing hangs on
    them yet; files of keys that were `made` by this start are its own. `Broken` for keys that are not."""
    if not directory.lacks_marks():
        return
    installation = installation_of(secret)
    newest, _ = SegmentReader(directory.disk, directory.log).read_back()
    proved = proved_by_people(newest, stores.subjects) if people else True
    if proved is False:
        raise Broken(
            f"{directory.keys} holds the keys of another installation than {directory.root}: the people in its log do "
            "not lie in them under their ids. Put the keys of this installation there"
        )
    if proved:
        directory.own(installation, KEY_FILES)
        return
    if directory.installation or proved_by_audit(directory.disk, directory.audit, secret):
        directory.own(installation, made)
    if directory.lacks_marks():
        reports.warning(
            "whether the keys are those of this data directory cannot be proved: nobody of the newest in the log is in "
            "them", extra={"keys": str(directory.keys), "installation": installation},
        )


def footing_of(config: Config, schema: Schema, *, secret: bytes, master: bytes) -> Footing:
    """What a migration of the data directory stands on."""
    return Footing(secret, master, NUMBERS.union(schema.properties), config.log.segment_mb * MEBIBYTE)


def options_of(config: Config, *, clock_of_events: bool) -> EngineOptions:
    """What the engine takes from a configuration."""
    return EngineOptions(
        partitions=config.log.partitions,
        sync_window_ms=config.log.sync_window_ms,
        checkpoint_s=config.state.checkpoint_s,
        keep_days=config.log.keep_days,
        epoch_on_read=clock_of_events,
        deadline_ms=config.decide.deadline_ms,
        rewards=rewards_of(config),
        catalogue=CatalogueOptions(
            currency=config.catalogue.currency,
            public_fields=None if "*" in config.catalogue.public_fields else frozenset(config.catalogue.public_fields),
        ),
        event_names=config.events.names,
        retention=RetentionOptions(
            events=config.log.keep_days,
            receipts=config.retention.receipts_days,
            profiles=config.retention.profiles_days,
            quarantine=config.retention.quarantine_days,
        ),
    )
