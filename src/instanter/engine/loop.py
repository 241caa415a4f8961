"""The engine: one partition, its journal, and what happens on a beat. Made and used on one asyncio loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

import msgspec

from ..decisions.decide import Decider, Decision
from ..decisions.fallback import PERSON_SHARE
from ..decisions.request import AboutPerson, CompleteReply, CompleteRequest, DecideRequest
from ..events.decode import Door
from ..events.envelope import (
    Audited,
    Configured,
    Consented,
    Epoch,
    ItemDeleted,
    ItemPatched,
    ItemUpserted,
    Keyed,
    Record,
    Ticked,
    Tracked,
    Unlinked,
    Unreadable,
)
from ..events.subjects import NOBODY, Sealed
from ..features.view import Reader
from ..feedback.rewards import Rewards
from ..foundation.clock import Clock, elapsed_ns
from ..foundation.deadline import Deadline
from ..foundation.disk import UNFINISHED
from ..foundation.errors import InstanterError, LogClosed, RequestRejected, Unavailable
from ..foundation.ids import Ids, reference
from ..foundation.measure import Buckets, Measurements
from ..log.frames import RecordPosition
from ..privacy.acts import Wanted
from ..privacy.audit import CLOCK_CONFIRMED, SERVER, Audit, Head, handed_in
from .acts import act_lines
from .asking import PersonLookup
from .calibrations import Calibrations
from .checkpoints import Checkpoints, ReplayBounds
from .credentials import Credentials
from .decision_ids import TOKEN_BYTES, WRITER, find_decision, new_decision_id
from .effects import DataHealth, data_health, observed
from .erase import DAY_MS, ERASED_PER_TURN, Eraser, RetentionOptions
from .export import Held, export, opened_receipt
from .feeds import CatalogueFeeds, CatalogueOptions
from .fetching import Fetching
from .gate import Gate
from .holdings import AUDIT, LOG, QUARANTINE, Holdings, HoldingsFile
from .importing import Importer
from .intake import Intake
from .journal import Journal
from .learners import LearnerSwitches
from .listing import Listings
from .models import ServedModels
from .partition import REPEATED, Noticed, Partition
from .profile import Profiles
from .quarantine import QuarantineStore
from .readings import Reading, Readings
from .receipts import Receipts
from .recovery import Recovery
from .remapping import Remapper
from .repair import Repairs
from .replay import unreadable
from .stores import Stores
from .streaming.streams import Streams
from .upkeep import Upkeep

log = logging.getLogger("instanter.engine")

BEAT_S = 0.002
"""How often the loop measures its own lag; up to this much of a pause is not seen."""
REST_S = 0.04
"""The same while there is nothing to do: no record came, no item waits for its epoch, nothing is kept up."""
PAUSE_BOUNDS_MS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 75, 100, 200, 500, 1_000, 5_000)
"""By which the pauses of the loop are counted."""
EPOCH_MS = 1_000
TICK_MS = 60_000
AUDITED_AGAIN_MS = 86_400_000
"""The log is told how far the audit record reaches at least this often, so that retention cannot make it forget."""
TURN_S = 30.0
ACTS_DOUBTED_S = 1.0
"""How often the acts of commands are looked for while the time is doubted: one of them confirms it."""
WATCH_S = 0.25
"""How often it is looked whether the data directory is there."""


class EngineOptions(msgspec.Struct, frozen=True):
    """What the engine takes from the configuration."""

    partitions: int = 16
    sync_window_ms: float = 2.0
    checkpoint_s: float = 60.0
    keep_days: int = 90
    deadline_ms: float = 50.0
    """Of a decision whose request names none."""
    epoch_on_read: bool = False
    """With a clock driven by events: an epoch that is due is published before a decision reads it."""
    retention: RetentionOptions = RetentionOptions()
    replays: ReplayBounds = ReplayBounds()
    rewards: Rewards = Rewards()
    """What outcomes are worth to online learners."""
    catalogue: CatalogueOptions = CatalogueOptions()
    event_names: Mapping[str, str] = {}
    """From names as they are sent to names that features hear."""


class Engine:
    """Takes events, changes the catalogue, decides. Everything it acknowledges is on disk and folded."""

    def __init__(
        self, *, stores: Stores, partition: Partition, recovery: Recovery, clock: Clock, ids: Ids, door: Door,
        gate: Gate, decider: Decider, reader: Reader, options: EngineOptions,
    ) -> None:  # fmt: skip
        self.partition = partition
        self.recovery = recovery
        self.clock = clock
        self.subjects = stores.subjects
        self.gate = gate
        self.signing = stores.signing
        self._asking = PersonLookup(partition, stores.subjects.find, gate.agreements, door.statements)
        self.meter = Measurements()
        self.decider = decider
        self.options = options
        self.broken = ""
        self.pauses = Buckets(PAUSE_BOUNDS_MS)
        self._stores = stores
        self._log = stores.log
        self._ids = ids
        self._epoch_asked_ms = clock.now_ms()
        self._epoch_number = partition.state.epoch
        self._ticked_ms = clock.now_ms()
        self._stopping = False
        self.on_folded: Callable[[int], None] = lambda position: None
        """Told the position behind each step of the fold, before anybody is told that what they sent is folded."""
        self.warnings_beside: Callable[[], tuple[str, ...]] = tuple
        """What an operator has to look at of the processes beside this one."""
        self._checkpoint_due = asyncio.Event()
        self._exports = Readings("exports")
        self._audits = Readings("records of all acts")
        self._tasks: list[asyncio.Task[None]] = []
        self.quarantine = QuarantineStore(
            stores.quarantine, subjects=stores.subjects, clock=clock, sync_window_ms=options.sync_window_ms,
            meter=self.meter, before=stores.subjects.flush, names_erased=gate.names_erased,
        )  # fmt: skip
        self._fetching = Fetching(partition.state, self.meter, by="decision")
        self._folding = Fetching(partition.state, self.meter, by="fold")
        self._upkeep = Upkeep(partition.state, self.meter, on_broken=self._break)
        self.journal = Journal(
            stores.log, partition, sync_window_ms=options.sync_window_ms, meter=self.meter,
            on_folded=self._after_fold, on_broken=self._break, on_noticed=self._notice,
            before=stores.subjects.flush, people=self._folding,
        )  # fmt: skip
        self.streams = Streams(
            partition=partition, records=stores.log, quarantine=stores.quarantine, subjects=stores.subjects,
            rewards=options.rewards, meter=self.meter,
        )  # fmt: skip
        self._holdings = HoldingsFile(stores.disk, stores.places.holdings, self._held)
        self.checkpoints = Checkpoints(
            disk=stores.disk, directory=stores.places.checkpoints, partition=partition, log=stores.log,
            keep_ms=options.keep_days * 86_400_000, meter=self.meter, replays=options.replays,
            holdings=self._holdings,
        )  # fmt: skip
        self.audit = Audit(
            stores.trail, known=partition.audited, clock=clock, sync_window_ms=options.sync_window_ms, meter=self.meter,
            on_noted=self._remember_audited,
        )  # fmt: skip
        self._audited_ms = clock.now_ms()
        self.profiles = Profiles(partition, reader, stores.subjects)
        self.listings = Listings(partition, stores.log, stores.subjects, self.profiles)
        self.eraser = Eraser(
            partition=partition, journal=self.journal, subjects=stores.subjects, erasures=stores.erasures, door=door,
            audit=self.audit, checkpoints=self.checkpoints, make_checkpoint=self.checkpoint, clock=clock, ids=ids,
            meter=self.meter, retention=options.retention, log=stores.log,
        )  # fmt: skip
        self.calibrations = partition.outcomes = Calibrations(options.rewards)
        self.models = ServedModels(
            models=stores.models, partition=partition, journal=self.journal, decider=decider, clock=clock,
            audit=self.audit, meter=self.meter, calibrations=self.calibrations,
        )  # fmt: skip
        self.receipts = Receipts(
            journal=self.journal, subjects=stores.subjects, models=self.models, calibrations=self.calibrations,
            clock=clock, meter=self.meter, partitions=options.partitions,
        )  # fmt: skip
        self.learners = LearnerSwitches(
            partition=partition, journal=self.journal, clock=clock, audit=self.audit, placements=decider.placements,
            rewards=options.rewards,
        )  # fmt: skip
        self.credentials = Credentials(
            partition.access_keys, stores.signing, journal=self.journal, audit=self.audit, clock=clock, ids=ids
        )
        self.feeds = CatalogueFeeds(
            partition=partition, journal=self.journal, clock=clock, ids=ids, options=options.catalogue
        )
        self.intake = Intake(
            door=door, journal=self.journal, quarantine=self.quarantine, partition=partition, clock=clock,
            meter=self.meter, partitions=options.partitions,
        )  # fmt: skip
        self.importer = Importer(
            intake=self.intake, journal=self.journal, partition=partition, log=stores.log, clock=clock
        )
        self.remapper = Remapper(
            door=door, journal=self.journal, partition=partition, log=stores.log, subjects=stores.subjects, clock=clock,
            audit=self.audit, partitions=options.partitions,
        )  # fmt: skip
        self.repairs = Repairs(
            quarantine=self.quarantine, intake=self.intake, partition=partition, log=stores.log,
            subjects=stores.subjects, audit=self.audit, meter=self.meter,
        )  # fmt: skip

    @property
    def workers(self) -> tuple[Executor, ...]:
        """The threads that stay: those that write, and those that read people from disk or move them there."""
        return (
            self.journal.worker, self.quarantine.worker, self.audit.worker, self.checkpoints.worker,
            *(one.worker for one in (self._fetching, self._folding, self._upkeep)),
        )  # fmt: skip

    @property
    def fetches_waiting(self) -> int:
        """People on disk who are being read, or wait for their turn."""
        return self._fetching.waiting + self._folding.waiting

    # Life.

    async def start(self) -> None:
        """Give a new log its key, record a new configuration, publish, finish erasures, and begin to beat."""
        state = self.partition.state
        if self.partition.position == 0:
            keyed = Keyed(self.clock.now_ms(), self._ids.reference_key())
            await self.journal.write([keyed], keyed.at_ms)
        purposes = tuple(sorted(state.schema.purposes))
        unplaced = set(purposes) - set(self.partition.consents.purposes)
        same = state.active == frozenset(state.schema.declared()) and state.settings == state.schema.settings
        if not same or unplaced:
            now_ms = self.clock.now_ms()
            before = _configuration_hash(state.settings, state.active) if state.active else ""
            after = _configuration_hash(state.schema.settings, frozenset(state.schema.declared()))
            await self.audit.note(
                "configuration.changed", actor=SERVER, subject=after, details={"before": before, "after": after}
            )
            configured = Configured(now_ms, dict(state.schema.settings), state.schema.declared(), purposes)
            await self.journal.write([configured], now_ms)
        if state.reconfigured:  # Also where a former start ended between these two.
            await self._publish(self.clock.now_ms())
        # Behind the configuration: finishing an erasure makes a checkpoint, and that is laid out by this one.
        finished = await self.eraser.finish()
        if finished:
            log.warning("erasures were finished that this log still held", extra={"erasures": finished})
        self.models.open()
        await self.learners.declare()
        self.decider.follow(state)
        await self.quarantine.note_missing(self.recovery.passed_over)
        await self._continue_audit()
        self._holdings.write()
        self._tasks = [
            asyncio.create_task(self._beat()),
            asyncio.create_task(self._checkpoint_regularly()),
            asyncio.create_task(self._retain_regularly()),
            asyncio.create_task(self._take_acts_regularly()),
            asyncio.create_task(self._watch()),
        ]

    async def stop(self, deadline: Deadline) -> None:
        """Commit and fold what was taken, write a checkpoint if there is time, and close the log."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            if not self.broken:
                async with asyncio.timeout(max(deadline.left_ms() / 1_000, 0.1)):
                    await self.checkpoint()
        except (TimeoutError, OSError, InstanterError) as error:
            log.warning("no checkpoint at the end", extra={"reason": str(error)})
        await self.audit.close(deadline)
        await self.journal.close(deadline)
        await self.quarantine.close(deadline)
        self._holdings.write()
        self._close_stores()

    async def abandon(self) -> None:
        """End as if the process had been killed: nothing more is committed, no checkpoint is written."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.audit.abandon()
        self.journal.abandon()
        self.quarantine.abandon()
        self._close_stores()

    def _close_stores(self) -> None:
        self._fetching.close()
        self._folding.close()
        self._upkeep.close()
        self.checkpoints.close()
        self._stores.subjects.close()
        self._stores.erasures.close()
        self._stores.nets.close()

    def _held(self) -> Holdings:
        """What is durable now; may be asked in any thread."""
        stores, disk = self._stores, self._stores.disk
        logs = {LOG: stores.log.extent, QUARANTINE: stores.quarantine.extent, AUDIT: stores.trail.log.extent}
        places = stores.places
        shelf = frozenset(disk.list(places.models))
        placed = tuple(self.partition.models.values())
        named = (model.partition("@")[2] for one in placed for model in (one.model, one.stand_in))
        return Holdings(
            logs={**logs, **stores.erasures.extents}, slots=stores.subjects.durable_slots,
            files={
                f"{folder.name}/{name}": disk.size(folder / name) for folder in (places.configurations, places.moved)
                for name in disk.list(folder) if not name.endswith(UNFINISHED)
            },
            secrets=stores.signing.kept,
            models=tuple(sorted({one for one in named if f"{one}.model" in shelf})),
        )  # fmt: skip

    @property
    def warnings(self) -> tuple[str, ...]:
        """What an operator has to look at, in sentences, while decisions are answered."""
        ended, doubted_ms = self.journal.ended, self.clock.doubted_ms()
        said = [f"no events are taken: {ended}"] if ended else []
        if doubted_ms:
            said.append(
                f"the machine's clock ran {doubted_ms / DAY_MS:,.1f} days ahead of its uptime and is not believed: "
                "set it right, or confirm it by instanter clock --confirm"
            )
        return (*said, *self.warnings_beside())

    @property
    def ready(self) -> bool:
        """Whether decisions can be answered."""
        return not self.broken and not self._stopping

    async def checkpoint(self) -> Path:
        """Write a checkpoint now."""
        return await self.checkpoints.make(self.clock.now_ms, self._publish)

    # What comes in.

    async def change_items(self, changes: Sequence[ItemUpserted | ItemPatched | ItemDeleted]) -> int:
        """Change the catalogue; on return the next decision sees it. The position behind the changes."""
        if changes:
            await self.journal.write(changes, self.clock.now_ms())
        return self.partition.position

    async def unlink(self, tenant: str, cell: int, owner: int, *, actor: str) -> int:
        """Take the link of a cell to an owner back."""
        details = {"linked": _pseudonym(cell)}
        await self.audit.note(
            "profile.unlinked", actor=actor, tenant=tenant, subject=_pseudonym(owner), details=details
        )
        now_ms = self.clock.now_ms()
        await self.journal.write([Unlinked(now_ms, tenant, cell, owner)], now_ms)
        return self.partition.position

    async def note_person_seen(self, act: str, actor: str, tenant: str, identifier: str) -> None:
        """Note that somebody was shown what is held about a person; done when it is durable. Raises `Unavailable`.

        The subject is the person's pseudonym, as the log has it: once the person is erased nothing leads to it.
        """
        cell = self.subjects.find(tenant, identifier)
        await self.audit.note(act, actor=actor, tenant=tenant, subject=_pseudonym(cell))

    # Decisions.

    async def decide(
        self, request: DecideRequest, *, tenant: str, deadline: Deadline, gpc: bool = False
    ) -> Decision:
        """Decide on everything acknowledged so far. Always answers a valid request.

        Without the person's agreement, or with `gpc`, it stands on the request alone and names nobody.
        """
        began_ns = deadline.elapsed_ns()
        in_time = await self._person_read(tenant, request, deadline, gpc=gpc)
        now_ms = self.clock.now_ms() if request.timestamp is None else request.timestamp_ms
        await self._publish_before(now_ms)
        about = self._asking.asked_about(tenant, request, gpc=gpc)
        self.meter.observe("person", deadline.elapsed_ns() - began_ns)
        made_as = new_decision_id(self._ids.token(TOKEN_BYTES), self.clock.now_ms(), made_by=WRITER)
        decision = self.decider.decide(
            request, state=self.partition.state, keys=about.cells, tenant=tenant, now_ms=now_ms,
            position=self.partition.position, decision_id=made_as, deadline=deadline, meter=self.meter,
            denied=about.agreement.denied, rankers=self.models.lineup, learned=self.partition.learners,
            cut=frozenset() if in_time else frozenset({"context"}),
        )  # fmt: skip
        decided_ns = deadline.elapsed_ns()
        if decision.faults:
            self.models.note(tenant, decision.faults)
        if about.known_as:
            seal = partial(self.subjects.subject(tenant, about.known_as).seal, Sealed.RECEIPT, now_ms)
        else:
            seal = partial(self.subjects.seal, NOBODY, Sealed.RECEIPT, now_ms)
        lessons = decision.lessons if about.agreement.personal else ()  # Who has not agreed teaches nothing.
        self.receipts.keep(decision.record(tenant, about.cell, now_ms, lessons), seal)
        if decision.promised and about.agreement.personal and request.timestamp is None:
            self.calibrations.show(made_as, tenant, about.cell, now_ms, decision.promised)
        whole_ns = deadline.elapsed_ns()
        self.meter.observe("seal", whole_ns - decided_ns)
        self.meter.observe("decide", whole_ns)
        for placed in decision.reply.placements.values():
            self.meter.count(f"served.{placed.served_by}")
        return decision

    async def complete(
        self, request: CompleteRequest, *, tenant: str, deadline: Deadline, gpc: bool = False
    ) -> CompleteReply:
        """Complete what is being typed, on everything acknowledged so far; as `decide`, and nothing is written."""
        began_ns = deadline.elapsed_ns()
        in_time = await self._person_read(tenant, request, deadline, gpc=gpc)
        now_ms = self.clock.now_ms()
        await self._publish_before(now_ms)
        about = self._asking.asked_about(tenant, request, gpc=gpc)
        self.meter.observe("person", deadline.elapsed_ns() - began_ns)
        reply = self.decider.complete(
            request, state=self.partition.state, keys=about.cells, tenant=tenant, now_ms=now_ms,
            position=self.partition.position, deadline=deadline, meter=self.meter, denied=about.agreement.denied,
            rankers=self.models.lineup, learned=self.partition.learners,
            cut=frozenset() if in_time else frozenset({"context"}),
        )  # fmt: skip
        self.meter.observe("complete", deadline.elapsed_ns())
        return reply

    async def _person_read(self, tenant: str, request: AboutPerson, deadline: Deadline, *, gpc: bool) -> bool:
        """Whether the person has been read from disk in time, if they lie there."""
        if self.broken:
            raise Unavailable(self.broken)
        in_time = await self.fetch_person(
            lambda: self._asking.asked_about(tenant, request, gpc=gpc).cells,
            left_ms=partial(deadline.left_ms, PERSON_SHARE),
        )  # fmt: skip
        if not in_time:
            self.meter.count("people_late")
        return in_time

    async def _publish_before(self, now_ms: int) -> None:
        """Publish an epoch that is due, where reading is to see it."""
        if self.options.epoch_on_read and self._epoch_due(now_ms):
            await self._publish_if_possible(now_ms)
        if self.broken:
            raise Unavailable(self.broken)

    async def fetch_person(self, keys: Callable[[], Sequence[int]], *, left_ms: Callable[[], float]) -> bool:
        """Returns when whoever of `keys` lies on disk has been read, or once the time is over: False then."""
        if self.partition.state.cells_cold == 0:
            return True
        return await self._fetching.arrived(keys, left_ms=left_ms)

    def receipt(self, tenant: str, decision_id: str, *, only_of: Collection[int] | None = None) -> bytes:
        """The receipt of a decision, or `RequestRejected` when there is none (any more): with `only_of` for one of
        these cells. May run in a thread."""
        found = find_decision(decision_id, self._log, self._stores.moved)
        if found is None or found[1].tenant != tenant or (only_of is not None and found[1].key not in only_of):
            raise RequestRejected("unknown_decision", f"no decision {decision_id}", status=404)
        receipt = opened_receipt(found[1], self.subjects)
        if receipt is None:
            raise unreadable(found[1], self.subjects)
        return receipt

    def cells_of(self, tenant: str, *, user_id: str | None, anonymous_id: str | None) -> list[int]:
        """As `PersonLookup.cells_of`."""
        return self._asking.cells_of(tenant, user_id=user_id, anonymous_id=anonymous_id)

    # People's rights.

    async def consent(self, tenant: str, identifier: str, purposes: dict[str, bool], *, actor: str) -> int:
        """State what a person has agreed to, on their behalf; counts from the next event and decision on."""
        now_ms = self.clock.now_ms()
        cell = self.subjects.subject(tenant, identifier).cell
        refused = {purpose: False for purpose, agreed in purposes.items() if not agreed}
        said = [Consented(now_ms, tenant, cell, purposes)]
        if refused:  # What was done unsigned on a device that others use too may be theirs: it is not used either.
            said += [Consented(now_ms, tenant, one, refused) for one in self.partition.links.shared_by(cell)]
        await self.journal.write(said, now_ms)
        await self.audit.note("consent.stated", actor=actor, tenant=tenant, details=dict(purposes))
        return self.partition.position

    def consent_of(self, tenant: str, identifier: str) -> dict[str, bool]:
        """What a person has stated, by purpose."""
        cell = self.subjects.find(tenant, identifier)
        return self.partition.consents.of(self.partition.links.cells(cell)) if cell else {}

    def export(self, tenant: str, identifier: str) -> Reading:
        """Everything held about a person as NDJSON lines, see `export.export`; to be closed.

        Raises `RequestRejected` for nobody, and `Overloaded` while others are made.
        """
        cell = self.subjects.find(tenant, identifier)
        if not cell:
            raise RequestRejected("unknown_profile", "nothing is known under this identifier", status=404)
        cells = self.partition.links.naming(cell)
        person = Held(tenant, frozenset(cells), frozenset(self.subjects.names_of(cells)))
        lines = export(
            person, self._log, self._stores.quarantine, self.subjects, self.partition.state.catalogue
        )
        return self._exports.begin(tenant, lines)

    def acts(self, tenant: str, wanted: Wanted) -> Reading:
        """All acts that are wanted, as NDJSON lines, for somebody of a tenant; to be closed. Raises `Overloaded`."""
        return self._audits.begin(tenant, act_lines(self.audit.log, wanted))

    async def data_health(self, tenant: str) -> DataHealth:
        """What of a tenant's data has no effect, from the newest records and what came since the start."""
        await self.journal.settled()
        seen = await asyncio.to_thread(observed, self._log.read_back, tenant, self.partition)
        return data_health(
            seen, tenant, self.partition, self.subjects, mapping=self.options.event_names,
            tally=self.intake.tally.read(tenant), currency=self.options.catalogue.currency,
        )  # fmt: skip

    # The beat.

    async def _beat(self) -> None:
        """Epochs and ticks in the clock in force, and how late the loop comes to this."""
        loop = asyncio.get_running_loop()
        turned, beat_s, position = loop.time(), BEAT_S, -1
        while True:
            slept_ns = elapsed_ns()
            await asyncio.sleep(beat_s)
            lag_ns = elapsed_ns() - slept_ns - int(beat_s * 1e9)
            self.meter.observe("loop_lag", lag_ns)
            self.pauses.observe(lag_ns)
            self._after_fold()
            busy = self._upkeep.step() or self.partition.state.unpublished > 0 or self.journal.next_position != position
            beat_s, position = BEAT_S if busy else REST_S, self.journal.next_position
            if loop.time() - turned > TURN_S:
                turned = loop.time()
                self.meter.turn()

    def _after_fold(self) -> None:
        """Append the epoch or tick that is due."""
        self.on_folded(self.partition.position)
        self.decider.follow(self.partition.state)
        now_ms = self.clock.now_ms()
        for about in self.calibrations.settle(now_ms):
            self.models.bench_calibration(*about)
        if self.checkpoints.due and not self.checkpoints.writing:
            self._checkpoint_due.set()
        try:
            if self._epoch_due(now_ms):
                self._append_epoch(now_ms)
            if now_ms - self._ticked_ms >= TICK_MS and not self.checkpoints.writing:
                self._ticked_ms = now_ms
                self.journal.append(Ticked(now_ms), now_ms)
        except InstanterError:
            self.meter.count("beats_refused")

    def _notice(self, position: RecordPosition, record: Record | Unreadable, noticed: Noticed) -> None:
        """Pass on what the fold noticed: late events and unfit records to the quarantine, which says where they are."""
        if isinstance(record, Tracked):
            self.importer.note(record, noticed)
        if noticed.code != REPEATED:
            self.quarantine.note(position, record, noticed)

    def _epoch_due(self, now_ms: int) -> bool:
        return self.partition.state.unpublished > 0 and now_ms - self._epoch_asked_ms >= EPOCH_MS

    def _append_epoch(self, now_ms: int) -> RecordPosition:
        state = self.partition.state
        # A decision can be asked for a time to come; it must not hold up all later epochs.
        self._epoch_asked_ms = min(now_ms, self.clock.now_ms())
        self._epoch_number = max(self._epoch_number, state.epoch) + 1
        return self.journal.append(Epoch(now_ms, self._epoch_number, state.epoch_hash), self.clock.now_ms())

    async def _publish_if_possible(self, now_ms: int) -> None:
        try:
            await self._publish(now_ms)
        except InstanterError:
            self.meter.count("beats_refused")

    async def _publish(self, now_ms: int) -> None:
        """Publish an epoch; on return decisions read it. Raises `Unavailable`."""
        position = self._append_epoch(now_ms)
        await self.journal.durable(position)
        await self.journal.folded(position)

    async def _checkpoint_regularly(self) -> None:
        while True:
            self._checkpoint_due.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.options.checkpoint_s):
                    await self._checkpoint_due.wait()
            try:
                await self.checkpoint()
            except (InstanterError, OSError) as error:
                self.meter.count("checkpoints_failed")
                log.warning("a checkpoint failed", extra={"reason": str(error)})

    # The record of what administrators did.

    async def _continue_audit(self) -> None:
        """Log and record agree again after a crash; what was cut off the record shows in it for ever."""
        if self.audit.missing:
            await self.audit.note("audit.shortened", actor=SERVER, details={"missing": self.audit.missing})
        elif self.audit.head.number > self.partition.audited.number:
            self._remember_audited(self.audit.head)
        await self._take_acts()

    async def _take_acts(self) -> None:
        """Note what commands beside the server did; once more if a crash comes before the file is gone."""
        disk = self._stores.disk
        for path, act in handed_in(disk, self._stores.places.acts):
            await self.audit.take(act)
            disk.unlink(path)
            if act.act == CLOCK_CONFIRMED:
                believed = self.clock.believe(act.at_ms)
                log.warning("the machine's clock was confirmed", extra={"believed": believed, "at_ms": act.at_ms})

    async def _take_acts_regularly(self) -> None:
        while True:
            await asyncio.sleep(ACTS_DOUBTED_S if self.clock.doubted_ms() else TICK_MS / 1_000)
            try:
                await self._take_acts()
            except (InstanterError, OSError) as error:
                self.meter.count("acts_refused")
                log.warning("an act was not noted yet", extra={"reason": str(error)})
            if self.clock.now_ms() - self._audited_ms >= AUDITED_AGAIN_MS and self.audit.head.number:
                self._remember_audited(self.audit.head)

    async def _retain_regularly(self) -> None:
        while True:
            await asyncio.sleep(TICK_MS / 1_000)
            try:
                await asyncio.to_thread(self._log.set_apart, self.clock.now_ms() // DAY_MS * DAY_MS)
                while await self.eraser.retain() == ERASED_PER_TURN:
                    await asyncio.sleep(0)
            except (InstanterError, OSError) as error:
                self.meter.count("retention_refused")
                log.warning("retention did not come to its end", extra={"reason": str(error)})

    async def _watch(self) -> None:
        """Look whether the directory is there, also while nothing is written; once it is not, nothing more is taken."""
        while self.journal.writing:
            await asyncio.sleep(WATCH_S)
            try:
                await asyncio.to_thread(self._check_there)
            except LogClosed as error:
                log.error("the data directory is gone", extra={"reason": error.message})
                self.journal.end(error.message)

    def _check_there(self) -> None:
        for one in (self._stores.log, self._stores.trail.log):
            one.check_there()

    def _remember_audited(self, head: Head) -> None:
        now_ms = self.clock.now_ms()
        try:
            self.journal.append(Audited(now_ms, head.number, head.chain), now_ms)
            self._audited_ms = now_ms
        except InstanterError:
            self.meter.count("acts_not_remembered")

    def _break(self, reason: str) -> None:
        """The partition has stopped: nothing is served that could be wrong."""
        self.broken = reason
        self._upkeep.stop()
        log.error("the partition stopped", extra={"reason": reason})


def _pseudonym(cell: int) -> str:
    """Whom an act is about: the log knows them by it while they are known."""
    return f"{cell % (1 << 64):016x}"


def _configuration_hash(settings: Mapping[str, int], features: frozenset[tuple[str, str]]) -> str:
    """A short name of what the fold stands on."""
    content = msgspec.json.encode((dict(settings), sorted(features)), order="deterministic").decode()
    return f"{reference(content) & 0xFFFFFFFFFFFF:012x}"
