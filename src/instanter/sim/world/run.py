"""One seed, one run: lives of an engine, one after another on the same disk, each ended by a stop, a kill or a crash.

Everything that happens is drawn from the seed and written into a trace; the same seed has the same trace. After each
start, and at the end, the books are compared with what the engine has (`audit`).
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import itertools
import json
from collections.abc import Awaitable, Callable, Iterable
from copy import deepcopy
from pathlib import Path
from typing import Final, Literal, Protocol

import msgspec

from ...decisions.decide import Decider
from ...decisions.receipt import decode_receipt
from ...decisions.request import decode_decide
from ...engine.importing import Piece
from ...engine.intake import Taken
from ...engine.loop import Engine
from ...events.envelope import ItemDeleted, ItemPatched, ItemUpserted, Unlinked
from ...foundation.deadline import Deadline
from ...foundation.disk import Disk
from ...foundation.errors import Corrupt, InstanterError, Lost, Unavailable
from ...foundation.ids import References
from ...log.frames import LogPosition
from ...log.segments import SegmentReader
from ..chance import Chance
from ..disk import PowerLost, SimulatedDisk
from ..loop import SimulatedLoop
from .accounts import DAY_MS, HOUR_MS, MINUTE_MS, TENANT, Accounts, Judged, Sent, Violation, insist
from .administrator import Administrator
from .audit import (
    Remembered,
    compare,
    compare_bodies,
    compare_decision,
    compare_rebuilt,
    read_everything,
    replayed,
)
from .forger import Forger, colliding
from .losing import lose, start_on_less
from .people import ITEMS, MARK, YEAR_MS, Person, bad_event

START_MS: Final = 1_700_000_000_000
ROOT: Final = Path("/world")
_LIVES: Final = 5
_CLIENTS: Final = 3
_PEOPLE_EACH: Final = 2
_ACTIONS_MAX: Final = 14
_STEPS_MAX: Final = 4_000
_OPERATIONS_MAX: Final = 150
_DECISIONS_CHECKED: Final = 2
_DAMAGES: Final = 2
_LOSSES: Final = 2
UNFINISHED: Final = ".tmp"
"""Files that nobody reads: what was being written when the power went."""
SOMETIMES: Final = ("forged names", "aliases", "declared learners")
"""What happens in some worlds and not in others."""
_FORGER: Final = 99
"""The number of the person who names forged items."""
_HAPPENS_IN: Final = 0.35
"""The share of worlds in which each of these happens."""
_FAR_MS: Final = 3_600_000.0
_MS_NS: Final = 1_000_000
_STEPS_S: Final = 1_000_000_000

End = Literal["stop", "kill", "kill in a step", "power in a step", "power in the disk"]
ENDS: Final[tuple[End, ...]] = ("stop", "kill", "kill in a step", "power in a step", "power in the disk",
                                "power in the disk")  # fmt: skip


class Surroundings(msgspec.Struct, frozen=True):
    """What an engine is made in."""

    disk: Disk
    root: Path
    variant: int
    """Which configuration: the features of 1 are not those of 0."""
    machine_ns: Callable[[], int]
    stopwatch_ns: Callable[[], int]
    entropy: Callable[[int], bytes]
    """Bytes for keys and ids: the same in every run of the seed."""
    hashed: Callable[[str], int] | None = None
    """Makes names collide, see `References`."""


Take = Callable[[list[bytes]], Awaitable[Taken]]
"""A way in for events."""


class Factory(Protocol):
    """Makes what the simulator must not know."""

    def open(self, surroundings: Surroundings) -> Engine:
        """Recover what is on the disk and make its engine, on the running loop; as the server does at its start."""
        ...

    def decider(self, variant: int) -> Decider:
        """A decider that has seen nothing yet."""
        ...


class Failed(Exception):
    """A seed broke a promise. One line says all that is needed to see it again."""

    def __init__(self, seed: int, life: int, step: int, violation: Exception) -> None:
        super().__init__(f"seed {seed}, life {life}, step {step}: {type(violation).__name__}: {violation}")
        self.seed = seed


class World:
    """One run. `run` returns the hash of its trace, or raises `Failed`."""

    def __init__(self, seed: int, factory: Factory) -> None:
        self.seed = seed
        self.trace: list[str] = []
        self.disk = SimulatedDisk()
        self._happens = {name: Chance(name, seed=seed).happens(_HAPPENS_IN) for name in SOMETIMES}
        self._hashed = colliding if self._happens["forged names"] else None
        self.accounts = Accounts(self._hashed)
        self._factory = factory
        self._chance = Chance("world", seed=seed)
        self._people = [
            Person(number, self._chance, kiosk=number // _PEOPLE_EACH) for number in range(_CLIENTS * _PEOPLE_EACH)
        ]
        self._true_ms = START_MS
        self._error_ms = 0
        """By how much the machine's clock is wrong."""
        self._loop = SimulatedLoop(self._chance, job_ns=lambda: 1)
        self._loop.end()
        self._slow_ns = 0
        self._engine: Engine | None = None
        self._made = 0
        self._retained_ms = 0
        """The latest time that retention went by: a clock that was ahead then may be right again."""
        self._decisions: list[Remembered] = []
        self._imported: list[Piece] = []
        """Pieces that were acknowledged, each a whole import."""
        self._administrator = Administrator(
            self._chance, self.accounts, self._say, lambda: self._read_books(self._live_engine)
        )

        self._forger = Forger(
            Person(_FORGER, Chance("forger", seed=seed), kiosk=_FORGER), self.accounts, self._say,
            lambda: self._read_books(self._live_engine), self._take,
        )  # fmt: skip

    def run(self) -> str:
        """Live all lives; the trace's hash."""
        life = 0
        try:
            for life in range(1, _LIVES + 1):
                self._live(life, last=life == _LIVES)
        except (Violation, InstanterError, AssertionError, OSError, LookupError, ValueError, RuntimeError) as error:
            raise Failed(self.seed, life, self._loop.steps, error) from error
        finally:
            if not self._loop.is_closed():
                self._loop.end()
            self._engine = None
            self._decisions.clear()
        return hashlib.blake2b("\n".join(self.trace).encode(), digest_size=16).hexdigest()

    def happens_in(self, name: str) -> bool:
        """Whether that, one of `SOMETIMES`, happens in this world."""
        return self._happens[name]

    # Lives.

    def _live(self, life: int, *, last: bool) -> None:
        chance = self._chance
        end: End = "stop" if last else chance.pick(ENDS)
        variant = chance.below(2) if chance.happens(0.5) else 0
        if chance.happens(0.4):
            self._error_ms = chance.pick((0, 0, -3 * DAY_MS, YEAR_MS, -5_000, 2_000, -YEAR_MS))
        self._pass(chance.pick((0, 1_000, HOUR_MS, 30 * HOUR_MS)))
        steps = 20 + chance.below(_STEPS_MAX)
        dies_at = steps if end in ("kill in a step", "power in a step") else 0
        self._loop = SimulatedLoop(Chance(f"loop/{life}", seed=self.seed), job_ns=self._job_ns, dies_at=dies_at)
        if end == "power in the disk":
            self.disk.dies_at = self.disk.operations + 1 + chance.below(_OPERATIONS_MAX)
            self.disk.on_death = self._loop.die
        self._say(f"life {life}: configuration {variant}, ends by {end}, clock {self._error_ms:+}")
        self._engine = None
        self._decisions.clear()
        try:
            self._loop.run_until_complete(self._lived(variant, life, stops=end == "stop"))
        except PowerLost:
            self._say("the power is lost")
        except Unavailable as error:
            self._say(f"no start: {error}")
        errors = list(self._loop.errors)
        self._true_ms += self._loop.now_ns() // _MS_NS
        self._loop.end()
        if errors:
            raise errors[0]
        self._come_back(end)
        if last:
            self._damage_copies(variant)
            self._lose_in_copies(variant)

    def _come_back(self, end: End) -> None:
        """The disk after the end of a life."""
        self.disk.capacity_bytes, self._slow_ns = 1 << 40, 0
        if end.startswith("power"):
            self.disk.lose_power(self._chance)
        else:
            self.disk.kill()
        content = hashlib.blake2b(digest_size=8)
        for path, raw in sorted(self.disk.files().items()):
            insist(MARK.encode() not in raw, "P8", f"{path} holds something personal that anybody can read")
            content.update(str(path).encode() + raw)
        self._say(f"on disk {content.hexdigest()}")

    async def _lived(self, variant: int, life: int, *, stops: bool) -> None:
        engine = self._factory.open(self._surroundings(variant, self.disk))
        self._audit_start(engine)
        await engine.start()
        self._engine = engine
        self._read_books(engine)
        compare_bodies(engine.subjects, self.accounts, retained_ms=self._retained_ms)
        clients = [self._client(number, life) for number in range(_CLIENTS)]
        acts = {"forged names": self._forge, "declared learners": self._declare}
        further = [self._sometimes(acts[name], Chance(f"{name}/{life}", seed=self.seed)) for name in acts
                   if self._happens[name]]  # fmt: skip
        await asyncio.gather(*clients, self._merchant(), self._operator(), self._administer(), *further)
        self._audit_decisions(variant)
        if stops:
            await engine.stop(self._deadline())
            self._read_books(engine)
            compare(engine.partition, self.accounts)
            compare_rebuilt(engine.partition, self.accounts, disk=self.disk, root=ROOT)
            self._say(f"stopped with {engine.partition.hash()} at {engine.partition.position}")

    def _surroundings(self, variant: int, disk: Disk) -> Surroundings:
        self._made += 1
        return Surroundings(
            disk, ROOT, variant, self._machine_ns, self._uptime_ns, _entropy(f"{self.seed}/{self._made}"),
            self._hashed,
        )  # fmt: skip

    # Time.

    def _now_ms(self) -> int:
        """What time it truly is."""
        return self._true_ms + self._loop.now_ns() // _MS_NS

    def _machine_ns(self) -> int:
        """What the machine's clock says."""
        return (self._true_ms + self._error_ms) * _MS_NS + self._loop.now_ns()

    def _uptime_ns(self) -> int:
        """How long the machine has been running; the steps of its clock do not change that."""
        return self._true_ms * _MS_NS + self._loop.now_ns()

    def _pass(self, by_ms: int) -> None:
        """Time goes by in which nothing happens."""
        self._true_ms += by_ms

    def _job_ns(self) -> int:
        return 1 + self._slow_ns + (0 if self._chance.happens(0.5) else self._chance.below(2 * _MS_NS))

    def _deadline(self) -> Deadline:
        return Deadline(_FAR_MS, stopwatch=self._loop.now_ns)

    # What clients do.

    @property
    def _live_engine(self) -> Engine:
        assert self._engine is not None
        return self._engine

    async def _client(self, number: int, life: int) -> None:
        people = self._people[number * _PEOPLE_EACH : (number + 1) * _PEOPLE_EACH]
        chance, aliases = self._chance, Chance(f"aliases/{life}/{number}", seed=self.seed)
        actions: list[Callable[[Person], Awaitable[None]]] = [
            self._send, self._decide, self._link, self._unlink, self._state, self._erase, self._import, self._claim
        ]  # fmt: skip
        for _ in range(chance.below(_ACTIONS_MAX)):
            action = chance.weighted(actions, (6, 2, 1, 0.5, 0.7, 0.5, 0.7, 0.7))
            try:
                await action(chance.pick(people))
                if self._happens["aliases"] and aliases.happens(0.3):
                    await self._alias(aliases.pick(people), aliases)
            except Unavailable as error:
                self._say(f"client {number}: {type(error).__name__}")
            await asyncio.sleep(chance.exponential(0.002))

    async def _send(self, person: Person) -> None:
        """New events, in any order, and some that were sent before."""
        chance = self._chance
        batch = [person.event(self._now_ms()) for _ in range(chance.below(4))]
        batch += chance.sample(person.history, chance.below(3)) if chance.happens(0.4) else []
        await self._take(chance.sample(batch, len(batch)))

    async def _import(self, person: Person) -> None:
        """Events of a file of their own; or a file that was sent before, which has no further effect."""
        engine, chance = self._live_engine, self._chance
        if self._imported and chance.happens(0.3):
            piece = chance.pick(self._imported)
            again = await engine.importer.take(piece, tenant=TENANT)
            none_new = (again.accepted, again.repeated) == (0, len(piece.events))
            insist(none_new, "P2", f"an import was taken twice: {again}")
            return
        batch = [person.event(self._now_ms()) for _ in range(1 + chance.below(3))]
        self._made += 1
        piece = Piece(
            import_id=f"import-{self._made}".encode(), events=[sent.raw for sent in batch],
            lines=range(1, len(batch) + 1), through=len(batch), of=len(batch),
        )  # fmt: skip

        async def take(_: list[bytes]) -> Taken:
            done = await engine.importer.take(piece, tenant=TENANT)
            return Taken(done.accepted, done.rejected, LogPosition(int(done.position)))

        await self._take(batch, take)
        self._imported.append(piece)

    async def _take(self, batch: list[Sent], take: Take | None = None, *, public: bool = False) -> bool:
        """Events through the front door; whether all were to be kept. What is acknowledged is kept, or rightly not."""
        engine = self._live_engine
        self._made += 1
        bad_id, bad = bad_event(self._made, self._chance)
        raws = [sent.raw for sent in batch] + ([bad] if take is None and self._chance.happens(0.1) else [])
        if not raws:
            return True
        self._read_books(engine)
        self._learn(one for sent in batch for one in sent.ids)
        end, now_ms = self.accounts.position, engine.clock.now_ms()
        judged = [self.accounts.judge(sent) for sent in batch]
        for sent in batch:
            self.accounts.send(sent)
        taken = await (take(raws) if take else engine.intake.take(raws, kind=None, tenant=TENANT, public=public))
        refused = {one.message_id for one in taken.rejected}
        insist(refused <= {bad_id, ""}, "P1", f"events were refused that are none the worse: {taken.rejected}")
        insist(taken.accepted == len(batch), "P1", f"{taken.accepted} of {len(batch)} were taken")
        self._read_books(engine)
        withheld = {one.sent.message_id: self._withheld(one, end, now_ms) for one in judged}
        self.accounts.acked.update(one.message for one in judged if not withheld[one.sent.message_id])
        self._say(f"taken {withheld} up to {taken.position}")
        return not any(withheld.values())

    def _withheld(self, judged: Judged, end: int, sent_ms: int) -> str:
        """Why an event, sent at `sent_ms` when the log ended at `end`, was rightly not kept; empty if it was to be.

        One of an import waits for its turn, and the clock may step meanwhile: an event that was kept says when it was
        received. The later that is the less there is to withhold it for (imports say nothing of consent), so one that
        was not kept is judged by when it was sent.
        """
        name, found = judged.sent.message_id, self.accounts.present.get(judged.message)
        if found is None or found.position < end:
            why = judged.withheld(sent_ms)
            insist(bool(why) or judged.may_be_withheld(sent_ms), "P1", f"{name} was acknowledged and not kept")
            return why
        in_time = sent_ms <= found.received_ms <= self._live_engine.clock.now_ms()
        insist(in_time, "R10", f"{name} was sent at {sent_ms} and received at {found.received_ms}")
        why = judged.withheld(found.received_ms)
        insist(not why, "P8", f"{name} was kept, and was to be withheld: {why}")
        return why

    def _learn(self, ids: Iterable[str]) -> None:
        """Tell the books the cells of ids of which no event was kept yet, and who has none any more."""
        for one in ids:
            self.accounts.learn(one, self._live_engine.subjects.find(TENANT, one))

    async def _link(self, person: Person) -> None:
        sent = person.identify(self._now_ms())
        if await self._take([sent]):
            device, user = (self._live_engine.subjects.find(TENANT, one) for one in (sent.who, sent.user))
            known = self._live_engine.partition.links.has_signed_in(device, user)
            insist(known, "P2", f"{sent.user} signed in on {sent.who}, and nobody knows")

    async def _claim(self, person: Person) -> None:
        """A page's claims, some for the second time."""
        again = self._chance.sample(person.claims, min(len(person.claims), self._chance.below(2)))
        await self._take([person.claim(self._now_ms()), *again], public=True)

    async def _state(self, person: Person) -> None:
        await self._take([person.statement(agrees=self._chance.happens(0.6))])

    async def _erase(self, person: Person) -> None:
        engine, who = self._live_engine, self._chance.pick(person.ids)
        self._read_books(engine)
        together = [one for one in self._people if one.kiosk == person.kiosk and self._happens["aliases"]] or [person]
        self._learn(identifier for one in together for identifier in one.ids)
        if not engine.subjects.find(TENANT, who):
            return
        self._learn(sent.home for one in together for sent in one.claims)
        reached = self.accounts.reach(engine.subjects.find(TENANT, who))
        self._say(f"{who} is to be erased")
        await engine.eraser.erase(TENANT, who)
        self._read_books(engine)
        insist(who in self.accounts.buried, "P8", f"{who} was erased, and the log does not say so")
        missed = reached - self.accounts.erased
        insist(not missed, "P8", f"{who} was erased, and {missed} were not")
        insist(not engine.subjects.find(TENANT, who), "P8", f"{who} was erased and can be found")
        compare_bodies(engine.subjects, self.accounts, retained_ms=self._retained_ms)
        self._say(f"{who} was erased up to {engine.partition.position}")

    async def _unlink(self, person: Person) -> None:
        device, user = (self._live_engine.subjects.find(TENANT, one)
                        for one in (self._chance.pick(person.devices), person.name))  # fmt: skip
        if not device or not user:
            return
        self.accounts.ask(Unlinked(0, TENANT, device, user))
        position = await self._live_engine.unlink(TENANT, device, user, actor="sim")
        self._say(f"unlinked up to {position}")

    async def _decide(self, person: Person) -> None:
        engine = self._live_engine
        device = self._chance.pick([*person.devices, person.kiosk])
        placement = self._chance.pick(("home.recommended", "home.hero"))
        body = {"userId": person.name, "anonymousId": device.removeprefix("anonymous:"),
                "placements": [{"id": placement}]}  # fmt: skip
        request = decode_decide(json.dumps(body).encode())
        decision = await engine.decide(request, tenant=TENANT, deadline=self._deadline())
        self._read_books(engine)
        items = [item.id for item in decision.reply.placements[placement].items]
        items_of = engine.partition.state.catalogue.of_tenant(TENANT)
        available = {one.id for one in items_of if one.available}
        insist(set(items) <= available, "P2", f"{items} were shown, there are only {available}")
        asked = Sent("", device, "", b"", user=person.name)
        self._learn(asked.ids)
        _, agreed = self.accounts.agreement(asked)
        keys = decode_receipt(decision.receipt).keys
        others = set(keys) - self.accounts.together(asked)
        insist(not others, "P2", f"{decision.id} for {person.name} on {device} read {others}, who are others")
        insist(agreed or not keys, "P8", f"{decision.id} stands on {keys}, and {device} does not agree to that")
        self._decisions.append(Remembered(request, decision))
        self._say(f"decided {decision.id}: {items}")

    async def _merchant(self) -> None:
        for _ in range(self._chance.below(_ACTIONS_MAX // 2)):
            changes = [self._change() for _ in range(1 + self._chance.below(3))]
            for change in changes:
                self.accounts.ask(change)
            try:
                position = await self._live_engine.change_items(changes)
                self._say(f"changed {[change.id for change in changes]} up to {position}")
            except Unavailable as error:
                self._say(f"merchant: {type(error).__name__}")
            await asyncio.sleep(self._chance.exponential(0.003))

    def _change(self) -> ItemUpserted | ItemPatched | ItemDeleted:
        chance, now_ms = self._chance, self._live_engine.clock.now_ms()
        item = chance.pick(ITEMS)
        stock = {"stock": chance.below(3), "price": 1.0 + chance.below(100)}
        fields = {"title": item, "category": chance.pick("abc"), **stock}
        changes: list[ItemUpserted | ItemPatched | ItemDeleted] = [
            ItemUpserted(now_ms, TENANT, item, fields), ItemPatched(now_ms, TENANT, item, stock),
            ItemDeleted(now_ms, TENANT, item),
        ]  # fmt: skip
        return chance.weighted(changes, (4, 2, 0.5))

    async def _administer(self) -> None:
        for _ in range(self._chance.below(_ACTIONS_MAX // 2)):
            self._read_books(self._live_engine)
            try:
                await self._administrator.act(self._live_engine)
            except Unavailable as error:
                self._say(f"administrator: {type(error).__name__}")
            await asyncio.sleep(self._chance.exponential(0.004))

    # What happens in some worlds only. Each draws from a stream of its own, so that it changes no other world.

    async def _sometimes(self, act: Callable[[Chance], Awaitable[None]], chance: Chance) -> None:
        for _ in range(chance.below(_ACTIONS_MAX)):
            try:
                await act(chance)
            except Unavailable as error:
                self._say(f"{act.__name__}: {type(error).__name__}")
            await asyncio.sleep(chance.exponential(0.004))

    async def _forge(self, chance: Chance) -> None:
        await self._forger.act(self._live_engine, self._now_ms(), chance)

    async def _declare(self, chance: Chance) -> None:
        await self._administrator.declare_learner(self._live_engine, chance)

    async def _alias(self, person: Person, chance: Chance) -> None:
        """Two ids of a user are told to be one person's, or told apart again."""
        engine = self._live_engine
        former, user = (engine.subjects.find(TENANT, one) for one in (person.former, person.name))
        if former and user and chance.happens(0.2):
            self.accounts.ask(Unlinked(0, TENANT, former, user))
            await engine.unlink(TENANT, former, user, actor="sim")
            self._read_books(engine)
            self._say(f"{person.former} is nobody's alias up to {engine.partition.position}")
            return
        batch = person.alias(self._now_ms(), chance)
        if not await self._take(batch):
            return
        links, find = engine.partition.links, engine.subjects.find
        user = find(TENANT, person.name)
        for previous in {sent.previous for sent in batch if sent.previous}:
            if any(one in self.accounts.buried for one in (previous, f"anonymous:{previous}")):
                continue  # One from before the erasure is not taken.
            insist(links.are_linked(find(TENANT, previous), user), "P2", f"{previous} is no alias")
            insist(links.has_signed_in(find(TENANT, f"anonymous:{previous}"), user), "P2", f"{previous} is a stranger")
            read = set(links.cells(user))
            insist(find(TENANT, previous) in read, "P2", f"{previous} is not read with {person.name}")

    # What befalls the machine, and what its operator does.

    async def _operator(self) -> None:
        acts: list[Callable[[], Awaitable[None]]] = [
            self._checkpoint, self._step_clock, self._fill_disk, self._fail_disk, self._slow_disk, self._look,
            self._retain,
        ]  # fmt: skip
        for _ in range(self._chance.below(_ACTIONS_MAX)):
            await self._chance.weighted(acts, (3, 3, 1, 0.3, 1, 2, 0.5))()
            await asyncio.sleep(self._chance.exponential(0.004))

    async def _checkpoint(self) -> None:
        self._read_books(self._live_engine)
        try:
            path = await self._live_engine.checkpoint()
            self._say(f"checkpoint {path.name}")
        except (Unavailable, OSError) as error:
            self._say(f"no checkpoint: {type(error).__name__}")

    async def _step_clock(self) -> None:
        chance = self._chance
        if chance.happens(0.5):
            self._pass(chance.pick((500, 1_500, 70_000, 40 * MINUTE_MS, 26 * HOUR_MS)))
        else:
            clock = self._live_engine.clock
            before_ms = clock.now_ms()
            self._error_ms += chance.pick((-1, 1)) * chance.pick((20, 3_000, HOUR_MS, 3 * DAY_MS, 3 * YEAR_MS))
            insist(clock.now_ms() - before_ms <= DAY_MS, "P8", "a clock that ran away was believed")
            if clock.doubted_ms() and chance.happens(0.2):
                insist(clock.believe(self._machine_ns() // _MS_NS), "P8", "a clock was confirmed and is doubted")
        self._say(f"the machine's clock says {self._machine_ns() // _MS_NS}")

    async def _retain(self) -> None:
        self.accounts.retiring = True
        self._retained_ms = max(self._retained_ms, self._live_engine.clock.now_ms())
        try:
            retired = await self._live_engine.eraser.retain()
            self._read_books(self._live_engine)
            self.accounts.retiring = False
            self._say(f"retired {retired}")
        except Unavailable as error:
            self._say(f"nobody was retired: {type(error).__name__}")

    async def _fill_disk(self) -> None:
        self.disk.capacity_bytes = self.disk.used_bytes() + self._chance.below(600)
        self._say("the disk is full")
        await asyncio.sleep(self._chance.exponential(0.006))
        self.disk.capacity_bytes = 1 << 40
        self._say("the disk has room")

    async def _fail_disk(self) -> None:
        operation = self._chance.pick(("sync", "sync", "write", "sync_directory", "rename", "open"))
        self.disk.fail(operation, errno.EIO, at=1 + self._chance.below(4))
        self._say(f"the next {operation} fails")

    async def _slow_disk(self) -> None:
        self._slow_ns = self._chance.below(100) * _MS_NS
        await asyncio.sleep(self._chance.exponential(0.02))
        self._slow_ns = 0

    async def _look(self) -> None:
        engine = self._live_engine
        self._read_books(engine)
        compare(engine.partition, self.accounts)

    # Audits.

    def _read_books(self, engine: Engine) -> None:
        """Bring the books to where the engine is."""
        log = SegmentReader(self.disk, ROOT / "log")
        end = engine.partition.position
        self.accounts.read(frame for frame in log.read_until(self.accounts.position or None, end))

    def _audit_start(self, engine: Engine) -> None:
        """What was acknowledged in the life before is there, and nothing that nobody sent."""
        insist(engine.partition.position >= self.accounts.position, "P1",
               f"the log ends at {engine.partition.position}, it had reached {self.accounts.position}")  # fmt: skip
        insist(not engine.recovery.damaged, "P5", f"damaged without damage: {engine.recovery.damaged}")
        self.accounts.read(SegmentReader(self.disk, ROOT / "log").read())
        self.accounts.forget_unwritten(lambda who: engine.subjects.find(TENANT, who))
        compare(engine.partition, self.accounts)
        compare_rebuilt(engine.partition, self.accounts, disk=self.disk, root=ROOT)
        self._say(f"started with {engine.partition.hash()} at {engine.partition.position}")

    def _audit_decisions(self, variant: int) -> None:
        for remembered in self._chance.sample(self._decisions, _DECISIONS_CHECKED):
            position = int(remembered.decision.reply.position)
            references = References(hashed=self._hashed)
            partition = replayed(
                self._live_engine.partition, disk=self.disk, root=ROOT, until=position, references=references
            )
            if partition.position == position:
                compare_decision(remembered, self._factory.decider(variant), partition)

    def _damage_copies(self, variant: int) -> None:
        """In a copy of what the world has left one bit is flipped: it is found and named, and nothing wrong is told."""
        for _ in range(_DAMAGES):
            copy = self.disk.copy()
            files = sorted(path for path, raw in copy.files().items() if raw and path.suffix != UNFINISHED)
            path = self._chance.pick(files)
            offset = self._chance.below(copy.size(path))
            copy.flip(path, offset, self._chance.below(8))
            self._loop = SimulatedLoop(self._chance, job_ns=self._job_ns)
            how = self._loop.run_until_complete(self._found(variant, copy, path))
            self._loop.end()
            self._say(f"{path} was damaged at {offset}: {how}")

    def _lose_in_copies(self, variant: int) -> None:
        """In a copy of what the world has left something is missing: that is said, or nothing is lost by it."""
        copies = [self.disk.copy() for _ in range(_LOSSES)]
        for copy, (path, what) in [(copy, lose(copy, self._chance)) for copy in copies]:
            self._loop = SimulatedLoop(self._chance, job_ns=self._job_ns)
            how = self._loop.run_until_complete(self._started_on_less(variant, copy, path))
            self._loop.end()
            self._say(f"{path} was {what}: {how}")

    async def _started_on_less(self, variant: int, copy: SimulatedDisk, path: Path) -> str:
        engine = start_on_less(lambda: self._factory.open(self._surroundings(variant, copy)), path)
        if engine is None:
            return "refused"
        compare(engine.partition, self.accounts)
        await engine.start()  # Only then erasures are finished that a life before did not come to the end of.
        accounts = deepcopy(self.accounts)
        accounts.read(SegmentReader(copy, ROOT / "log").read())
        compare(engine.partition, accounts)
        compare_bodies(engine.subjects, accounts, retained_ms=self._retained_ms)
        return "whole"

    async def _found(self, variant: int, copy: SimulatedDisk, path: Path) -> str:
        damaged, place = copy.files()[path], str(path)
        try:
            engine = self._factory.open(self._surroundings(variant, copy))
            if any(place in reason for reason in engine.recovery.damaged):
                how = "passed over"
            elif copy.files().get(path) != damaged:
                return "taken for torn"
            else:
                read_everything(copy, ROOT, engine.partition.state.schema)
                raise Violation("P5", f"{path} was damaged, and nobody noticed")
        except Lost as lost:
            named = place in str(lost) or str(path.parent) in str(lost)
            insist(named, "P5", f"{path} was damaged, and {lost} was said")
            return "refused"
        except Corrupt as damage:
            insist(damage.file in (place, str(path.parent)), "P5", f"{path} was damaged, and {damage} was said")
            return "refused"
        compare(engine.partition, self.accounts)
        return how

    def _say(self, what: str) -> None:
        self.trace.append(f"{self._loop.now_ns()} {self._loop.steps} {what}")


def _entropy(key: str) -> Callable[[int], bytes]:
    """Bytes that nothing tells from chance, and that are the same for the same key."""
    numbers = itertools.count()
    return lambda size_bytes: hashlib.shake_128(f"{key}/{next(numbers)}".encode()).digest(size_bytes)
