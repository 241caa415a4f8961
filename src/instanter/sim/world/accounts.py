"""The accountant's books: what was sent and acknowledged, and what the records of the log must have come to.

Independent of the engine: it reads the records, knows what the documents promise about them, and counts in plain
Python, person by person and item by item. It shares no code with the fold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final
from zlib import crc32

import msgspec

from ...events.envelope import (
    Configured,
    Consented,
    Epoch,
    Erased,
    Imported,
    ItemDeleted,
    ItemPatched,
    ItemUpserted,
    Keyed,
    KeyIssued,
    KeyRevoked,
    LearnerDeclared,
    LearnerTurned,
    Linked,
    ModelPlaced,
    Ticked,
    Tied,
    Tracked,
    Unlinked,
    Unreadable,
    read_record,
)
from ...events.subjects import claimed
from ...foundation.ids import References
from ...log.frames import Frame

TENANT: Final = "default"
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
GAP_MS: Final = 30 * MINUTE_MS
SEQUENCE_MS: Final = 30 * MINUTE_MS
WINDOW_MS: Final = DAY_MS
AHEAD_MS: Final = 5 * MINUTE_MS
IDLE_MS: Final = DAY_MS
MICRO: Final = 1_000_000

VIEWED: Final = "Product Viewed"
ADDED: Final = "Product Added"
OTHER: Final = "Help Viewed"

# The features that the factory declares for the books to compare with; some of its configurations leave some out.
VIEWS: Final = "sim_views"
"""count of `VIEWED`, profile"""
SPENT: Final = "sim_spent"
"""sum of the price of `ADDED`, profile"""
CARTS: Final = "sim_carts"
"""count of `ADDED`, profile"""
LATEST: Final = "sim_latest"
"""last_k by item of `VIEWED`, profile"""
SESSION_VIEWS: Final = "sim_session_views"
"""count of `VIEWED`, session"""
ITEM_VIEWS: Final = "sim_item_views"
"""count of `VIEWED`, item"""


class Violation(Exception):
    """A promise was broken. `promise` is its name in the list of promises, as P1 or R10."""

    def __init__(self, promise: str, what: str) -> None:
        super().__init__(f"{promise}: {what}")
        self.promise = promise


def insist(kept: bool, promise: str, what: str) -> None:
    """Raise `Violation` unless the promise was kept."""
    if not kept:
        raise Violation(promise, what)


class Sent(msgspec.Struct, frozen=True):
    """One event as a client sent it."""

    message_id: str
    who: str
    """Who sends it: `anonymous:a1` or `u1`."""
    name: str
    raw: bytes
    item: str = ""
    price: int = 0
    user: str = ""
    """The user id that stands beside the device's."""
    previous: str = ""
    """Another id of the user; nothing says of which sort."""
    public: bool = False
    """It is sent with a public key: the user is a claim."""
    agrees: bool | None = None
    """What the event says about the purpose `personalization`, if anything."""
    timestamp_ms: int | None = None
    sent_at_ms: int | None = None

    @property
    def home(self) -> str:
        """Whose cell it goes to."""
        if self.public and self.user:
            return claimed(self.who.removeprefix("anonymous:"), self.user)
        return self.user or self.who

    @property
    def ids(self) -> tuple[str, ...]:
        """Everybody whose cell it makes."""
        previous = (f"anonymous:{self.previous}", self.previous) if self.previous else ()
        return tuple(dict.fromkeys((self.who, self.home, *([self.user] if self.user else []), *previous)))

    def happened_ms(self, received_ms: int) -> int:
        """Event time as the documents have it."""
        if self.timestamp_ms is None:
            return received_ms
        corrected_ms = self.timestamp_ms + (received_ms - self.sent_at_ms if self.sent_at_ms is not None else 0)
        return min(corrected_ms, received_ms + AHEAD_MS)


class Buried(msgspec.Struct, frozen=True):
    """An erased id: until `until_ms` nothing from before `at_ms` and none of the messages may come back."""

    at_ms: int
    until_ms: int
    messages: frozenset[int]

    def holds_back(self, message: int, *, happened_ms: int, now_ms: int) -> bool:
        """Whether an event of this id is one from before."""
        return now_ms < self.until_ms and (happened_ms <= self.at_ms or message in self.messages)


class NewestRecord(msgspec.Struct, frozen=True):
    """The newest record of a message."""

    position: int
    received_ms: int


class Judged(msgspec.Struct, frozen=True):
    """What may keep an event out, as the books know it when it is sent. Whether it does depends on when the event is
    received: by that its time is judged."""

    sent: Sent
    message: int
    graves: tuple[Buried, ...]
    """Of whoever it is of."""
    said: tuple[int, bool]
    """The newest word about personalization."""
    is_known: bool
    """The log has it already."""

    def withheld(self, received_ms: int) -> str:
        """Why the event must not be kept if it is received then; empty if it must."""
        happened_ms = self.sent.happened_ms(received_ms)
        if any(one.holds_back(self.message, happened_ms=happened_ms, now_ms=received_ms) for one in self.graves):
            return "erased"
        at_ms, agreed = self.said
        if self.sent.agrees is not None and happened_ms >= at_ms:
            agreed = self.sent.agrees
        return "" if agreed else "consent"

    def may_be_withheld(self, received_ms: int) -> bool:
        """Whether it is right as well that the event is not kept: somebody erased sent it before, and it depends on
        what was known of it at that moment."""
        return self.is_known and any(received_ms < grave.until_ms for grave in self.graves)


class NewestEvent(msgspec.Struct, frozen=True):
    """The newest event of a cell, as the log has it: what it says can be read until the cell is erased."""

    subject: int
    received_ms: int
    body: bytes
    message_id: str


class Visit(msgspec.Struct):
    """An event that belongs to a session."""

    at_ms: int
    viewed: bool


class Shown(msgspec.Struct, frozen=True):
    """An item of the catalogue."""

    tenant: str
    id: str
    fields: dict[str, Any]


class Cell:
    """What is known of one id."""

    def __init__(self) -> None:
        self.newest_ms = self.first_ms = self.received_ms = 0
        self.events = self.late = 0
        self.seen: dict[int, int] = {}
        """Message -> event time."""
        self.visits: list[Visit] = []
        self.counts: Counter[str] = Counter()
        self.latest_ms = 0
        self.latest: set[int] = set()
        """Items viewed at the newest time of all."""

    def remembered(self) -> list[int]:
        """Messages that are certain to be known again."""
        return [message for message, at_ms in self.seen.items() if at_ms >= self.newest_ms - WINDOW_MS]

    def session(self) -> list[Visit]:
        """The newest session, oldest first; empty if there is none."""
        visits = sorted(self.visits, key=lambda one: one.at_ms)
        first = len(visits)
        while first and (first == len(visits) or visits[first].at_ms - visits[first - 1].at_ms <= GAP_MS):
            first -= 1
        return visits[first:]

    def forget_idle(self) -> None:
        """Nothing came for a day: session and messages are let go."""
        self.seen.clear()
        self.visits.clear()

    def clear(self, feature: str) -> None:
        """The feature counts from nothing."""
        del self.counts[feature]
        if feature == LATEST:
            self.latest_ms, self.latest = 0, set()
        if feature == SESSION_VIEWS:
            self.visits = [Visit(one.at_ms, False) for one in self.visits]


class Accounts:
    """All books of one world. `read` takes in what the log has got; it is for `audit` to compare."""

    def __init__(self, hashed: Callable[[str], int] | None = None) -> None:
        """`hashed` makes names collide, see `References`."""
        self.hashed = hashed
        self.references = References(hashed=hashed)
        """With the key that the log begins with."""
        self.sent: dict[int, Sent] = {}
        """By reference of the message id."""
        self.acked: set[int] = set()
        self.refused: set[int] = set()
        """Told to be no events: they must not be in the log."""
        self.asked: set[bytes] = set()
        """Control records that somebody asked for, their time left out."""
        self.asked_for: set[str] = set()
        """Names of access keys, ids of those to be revoked, and models that somebody asked for."""
        self.odd: set[bytes] = set()
        """Payloads that nobody can fold."""
        self.passed_over: list[int] = []
        """Where they stand."""
        self.keys: set[str] = set()
        """Access keys that count, by id."""
        self.models: dict[str, str] = {}
        """By placement."""
        self.frozen: set[str] = set()
        """Placements whose learner somebody has frozen."""
        self.imports: dict[bytes, int] = {}
        """Lines taken, by import."""
        self.present: dict[int, NewestRecord] = {}
        """By message."""
        self.agreed: dict[int, tuple[int, bool]] = {}
        """Cell -> time and content of the newest statement about personalization."""
        self.outliving: dict[str, int] = {}
        """When, by id: refusals of idle people that lost their keys, until one sees where they stand now."""
        self.buried: dict[str, list[Buried]] = {}
        """By id, each time it was erased."""
        self.retiring = False
        """Retention was begun and its end is not known: who was idle may have lost the keys, and not yet the rest."""
        self.erased: set[int] = set()
        """Cells that were erased; twice, once their pseudonyms lead nowhere."""
        self.erased_twice: set[int] = set()
        self.kept: dict[int, NewestEvent] = {}
        """By cell, also of those that were erased."""
        self.position = 0
        self.received_ms = 0
        self.epoch = 0
        self.configurations = 0
        """How many there were, one after another."""
        self.cells: dict[int, Cell] = {}
        self.cell_of: dict[str, int] = {}
        self.items: dict[int, Shown] = {}
        self.item_views: Counter[int] = Counter()
        self.signed_in: dict[int, set[int]] = {}
        """Device -> users."""
        self.closed: set[int] = set()
        """Devices that are nobody's for good."""
        self.aliases: set[tuple[int, int]] = set()
        """Users who are one person."""
        self.claims: dict[int, tuple[int, int]] = {}
        """Cell -> device and user."""
        self.declared: dict[str, LearnerDeclared] = {}
        """Learners by placement, the time of their declaration left out."""
        self.active: frozenset[tuple[str, str]] = frozenset()
        self._frames: dict[int, int] = {}

    # What clients do.

    def send(self, sent: Sent) -> None:
        """An event is on its way."""
        self.sent[self.references.of(sent.message_id)] = sent

    def ask(self, record: ItemUpserted | ItemPatched | ItemDeleted | Unlinked) -> None:
        """A control record is on its way."""
        self.asked.add(_timeless(record))

    def judge(self, sent: Sent) -> Judged:
        """What may keep an event out that is sent now."""
        message = self.references.of(sent.message_id)
        graves = tuple(grave for one in self._about(sent) for grave in self.buried.get(one, ()))
        return Judged(sent, message, graves, self.agreement(sent), message in self.present)

    def agreement(self, sent: Sent) -> tuple[int, bool]:
        """When whoever sends this said something about personalization last, and what; at first they agree. Of two
        words of one time it is the refusal."""
        said = [self.agreed[cell] for cell in self.together(sent) if cell in self.agreed]
        return max(said, key=lambda word: (word[0], not word[1]), default=(0, True))

    def together(self, sent: Sent) -> set[int]:
        """The cells of whoever sends this: without the device's where that is a user and somebody else uses it."""
        device, home = self.cell_of.get(sent.who, 0), self.cell_of.get(sent.home, 0)
        cells = self.profile(home) if home else set()
        if device and (sent.home in (sent.who, claimed(sent.who.removeprefix("anonymous:"), sent.user)) or not (
            device in self.closed or self.signed_in.get(device)
        )):  # fmt: skip
            cells = cells | self.profile(device)
        return cells

    def learn(self, who: str, cell: int) -> None:
        """An id has this cell already, or none (0), though no record says so yet. While the keys of idle people are
        being destroyed it may have lost the one that it had, but not what it refused."""
        if self.retiring and self.cell_of.get(who, cell) != cell:
            self._outlive(who, self.cell_of.pop(who))
        refused_ms = self.outliving.pop(who, 0)
        said_ms, _ = self.agreed.get(cell, (0, True))
        insist(said_ms >= refused_ms, "P8", f"what {who} refused at {refused_ms} went with the keys")
        if cell:
            self.cell_of.setdefault(who, cell)

    def forget_unwritten(self, find: Callable[[str], int]) -> None:
        """After a restart an id may have no cell any more, or another one, if no record of the log names what it had,
        or if the keys of idle people were being destroyed; `find` says which it has."""
        linked = {cell for device, users in self.signed_in.items() for cell in (device, *users)}
        linked |= {cell for pair in self.aliases for cell in pair}
        claims = {cell for claim, named in self.claims.items() for cell in (claim, *named)}
        written = {*self.cells, *self.agreed, *linked, *claims}
        for who, cell in list(self.cell_of.items()):
            if find(who) != cell and (self.retiring or cell not in written):
                self._outlive(who, self.cell_of.pop(who))
        self.retiring = False

    def _outlive(self, who: str, cell: int) -> None:
        """Whoever had this cell has another one or none from here on: what they refused has to stand there."""
        said = [self.agreed[one] for one in self.profile(cell) if one in self.agreed]
        at_ms, agreed = max(said, key=lambda word: (word[0], not word[1]), default=(0, True))
        if not agreed and cell not in self.claims:
            self.outliving[who] = at_ms

    # What the log holds.

    def read(self, frames: Iterable[Frame]) -> None:
        """Take in frames, in their order; those known already must be what they were."""
        for frame in frames:
            known = self._frames.get(frame.position)
            if known is not None:
                insist(known == crc32(frame.payload), "P1", f"the record at {frame.position} is another one now")
                continue
            insist(frame.position >= self.position, "P1", f"a record came in at {frame.position}, before the end")
            insist(frame.time_ms >= self.received_ms, "R10",
                   f"received times go back by {self.received_ms - frame.time_ms} ms at {frame.position}")  # fmt: skip
            self._frames[frame.position] = crc32(frame.payload)
            self.position, self.received_ms = frame.end, frame.time_ms
            self._take(frame)

    def profile(self, cell: int) -> set[int]:
        """All cells that are read with this one."""
        if cell in self.claims:
            device, user = self.claims[cell]
            return self._of_user(user) if self._confirmed(cell) else self.profile(device)
        own = {claim for claim, (device, _) in self.claims.items() if device == cell and not self._confirmed(claim)}
        if cell in self.closed or self._is_shared(cell):
            return {cell} | own
        return self._of_user(next(iter(self.signed_in.get(cell, ())), cell)) | own

    def reach(self, cell: int) -> set[int]:
        """All cells that an erasure takes along."""
        found = self.profile(cell) | {cell}
        more = {device for device, users in self.signed_in.items() if users & found}
        more |= {claim for claim, (device, user) in self.claims.items()
                 if user in found or (device in found and not self._confirmed(claim))}  # fmt: skip
        return found | more

    def _of_user(self, user: int) -> set[int]:
        people = self._people(user)
        devices = {one for one, users in self.signed_in.items() if users and users <= people and one not in self.closed}
        claims = {claim for claim, (_, its) in self.claims.items() if its in people and self._confirmed(claim)}
        return people | devices | claims

    def _people(self, user: int) -> set[int]:
        """The user ids that are one person's."""
        found, before = {user}, 0
        while len(found) > before:
            before = len(found)
            found |= {other for pair in self.aliases if not found.isdisjoint(pair) for other in pair}
        return found

    def _is_shared(self, device: int) -> bool:
        """Whether several people have signed in on the device."""
        users = self.signed_in.get(device, set())
        return len(users) > 1 and not users <= self._people(min(users))

    def _confirmed(self, claim: int) -> bool:
        device, user = self.claims[claim]
        return user in self.signed_in.get(device, ())

    def _about(self, sent: Sent) -> tuple[str, ...]:
        """Whose event it is, as far as that keeps it out: of a claim anybody's, of an alias its previousId's too."""
        previous = (sent.previous, f"anonymous:{sent.previous}") if sent.previous else ()
        return (*(sent.ids if sent.public else (sent.home,)), *previous)

    def is_active(self, feature: str) -> bool:
        """Whether the feature counts now."""
        return any(name == feature for name, _ in self.active)

    def _take(self, frame: Frame) -> None:
        if bytes(frame.payload) in self.odd:
            self.passed_over.append(frame.position)
            return
        record = read_record(frame.payload)
        match record:
            case Tracked():
                self._track(record, frame)
            case ItemUpserted() | ItemPatched() | ItemDeleted():
                insist(_timeless(record) in self.asked, "P1", f"nobody asked for {record}")
                self._change_item(record, frame.position)
            case Linked():
                self._link(record)
            case Unlinked():
                insist(_timeless(record) in self.asked, "P1", f"nobody asked for {record}")
                if self._is_shared(record.cell):
                    self.closed.add(record.cell)
                self.signed_in.get(record.cell, set()).discard(record.owner)
                self.aliases -= {(record.cell, record.owner), (record.owner, record.cell)}
            case Keyed():
                insist(len(self._frames) == 1, "P2", f"a key at {frame.position}, behind other records")
                self.references.use(record.key)
            case Configured():
                self._configure(record)
            case Epoch():
                insist(record.number > self.epoch, "P3", f"epoch {record.number} follows on {self.epoch}")
                self.epoch = record.number
            case Ticked():
                for cell in self.cells.values():
                    if cell.received_ms < record.at_ms - IDLE_MS:
                        cell.forget_idle()
            case Erased():
                self._erase(record)
            case Consented():
                at_ms = self.agreed.get(record.cell, (0, True))[0]
                if record.at_ms >= at_ms:
                    self.agreed[record.cell] = (record.at_ms, record.purposes["personalization"])
            case KeyIssued() | KeyRevoked():
                self._change_key(record)
            case ModelPlaced():
                self._place(record)
            case LearnerTurned():
                self.frozen = self.frozen - {record.placement} if record.act == "thaw" else self.frozen
                self.frozen = self.frozen | {record.placement} if record.act == "freeze" else self.frozen
            case LearnerDeclared():
                self._declare(record)
            case Imported():
                self.imports[record.id] = record.taken
            case _:
                insist(not isinstance(record, Unreadable), "P5", f"nobody left {frame.position} like that: {record}")

    def _declare(self, record: LearnerDeclared) -> None:
        self.declared.pop(record.placement, None)
        if record.inputs:
            self.declared[record.placement] = msgspec.structs.replace(record, at_ms=0)
        else:
            self.frozen = self.frozen - {record.placement}

    def _change_key(self, record: KeyIssued | KeyRevoked) -> None:
        name = record.name if isinstance(record, KeyIssued) else record.id
        insist(name in self.asked_for, "P1", f"nobody asked for {record}")
        self.keys = self.keys | {record.id} if isinstance(record, KeyIssued) else self.keys - {record.id}

    def _place(self, record: ModelPlaced) -> None:
        insist(record.model in self.asked_for, "P1", f"nobody asked for {record}")
        self.models.pop(record.placement, None)
        if record.model:
            self.models[record.placement] = record.model

    def _track(self, record: Tracked, frame: Frame) -> None:
        sent = self.sent.get(record.message)
        insist(sent is not None, "P1", f"a phantom: nobody sent message {record.message} at {frame.position}")
        assert sent is not None
        name = sent.message_id
        insist(record.message not in self.refused, "P1", f"{name} was refused and is in the log")
        insist(record.received_ms == frame.time_ms, "R10", f"{name} and its frame were received at different times")
        happened_ms = sent.happened_ms(record.received_ms)
        insist(record.happened_ms == happened_ms, "R10", f"{name} happened at {record.happened_ms}, not {happened_ms}")
        items = (self.references.item(TENANT, sent.item),) if sent.item else ()
        insist((record.name, record.items) == (sent.name, items), "P2", f"{name} is in the log as {record}")
        for who, key in ((sent.home, record.key), (sent.who, record.device)) if record.device else (
            (sent.home, record.key),
        ):
            if self.retiring:
                self.learn(who, key)
            known = self.cell_of.setdefault(who, key)
            insist(known == key, "P2", f"{name} of {who} was put to the cell of somebody else")
        insist((record.device != 0) == (sent.home != sent.who), "P2", f"{name} was put to the cell of somebody else")
        cell = record.key
        insist(record.key not in self.erased_twice, "P8", f"{name} was written under a pseudonym that was erased")
        self.present[record.message] = NewestRecord(frame.position, record.received_ms)
        self.kept[cell] = NewestEvent(record.subject, record.received_ms, record.body, name)
        self._fold(self.cells.setdefault(cell, Cell()), sent, record)

    def _fold(self, cell: Cell, sent: Sent, record: Tracked) -> None:
        at_ms, newest_ms = record.happened_ms, max(cell.newest_ms, record.happened_ms)
        horizon_ms = newest_ms - WINDOW_MS
        if at_ms >= horizon_ms:
            if cell.seen.get(record.message, horizon_ms - 1) >= horizon_ms:
                return
            cell.seen[record.message] = at_ms
        lag_ms = newest_ms - at_ms
        viewed = record.name == VIEWED
        if lag_ms <= SEQUENCE_MS:
            cell.visits.append(Visit(at_ms, viewed and self.is_active(SESSION_VIEWS)))
        cell.newest_ms = newest_ms
        cell.first_ms = min(cell.first_ms, at_ms) if cell.events else at_ms
        cell.received_ms = max(cell.received_ms, record.received_ms)
        cell.events += 1
        cell.late += lag_ms > SEQUENCE_MS
        if lag_ms > WINDOW_MS:
            return
        self._count(cell, sent, record)

    def _count(self, cell: Cell, sent: Sent, record: Tracked) -> None:
        if record.name == ADDED:
            cell.counts[CARTS] += self.is_active(CARTS)
            cell.counts[SPENT] += sent.price * MICRO * self.is_active(SPENT)
        if record.name != VIEWED:
            return
        cell.counts[VIEWS] += self.is_active(VIEWS)
        self.item_views[record.items[0]] += self.is_active(ITEM_VIEWS)
        if self.is_active(LATEST) and record.happened_ms >= cell.latest_ms:
            if record.happened_ms > cell.latest_ms:
                cell.latest_ms, cell.latest = record.happened_ms, set()
            cell.latest.add(record.items[0])

    def is_anothers(self, tenant: str, item_id: str) -> bool:
        """Whether the catalogue holds another item under the reference of this one: it is neither read nor changed."""
        held = self.items.get(self.references.item(tenant, item_id))
        return held is not None and (held.tenant, held.id) != (tenant, item_id)

    def _change_item(self, record: ItemUpserted | ItemPatched | ItemDeleted, position: int) -> None:
        if self.is_anothers(record.tenant, record.id):
            self.passed_over.append(position)
            return
        ref = self.references.item(record.tenant, record.id)
        if isinstance(record, ItemUpserted):
            self.items[ref] = Shown(record.tenant, record.id, dict(record.fields))
        elif isinstance(record, ItemDeleted):
            self.items.pop(ref, None)
        elif ref in self.items:
            self.items[ref].fields.update(record.fields)

    def _configure(self, record: Configured) -> None:
        self.configurations += 1
        begun = {name for name, _ in frozenset(record.features) - self.active}
        for feature in begun:
            for cell in self.cells.values():
                cell.clear(feature)
        if ITEM_VIEWS in begun:
            self.item_views.clear()
        self.active = frozenset(record.features)

    def _link(self, record: Linked) -> None:
        if record.kind == Tied.SIGN_IN:
            self.signed_in.setdefault(record.cell, set()).add(record.owner)
        elif record.kind == Tied.ALIAS:
            self.aliases.add((record.cell, record.owner))
        else:
            insist(record.kind == Tied.CLAIM, "P2", f"nobody sent what {record} says")
            self.claims[record.cell] = record.owner, record.user

    def _erase(self, record: Erased) -> None:
        gone = set(record.cells)
        self.erased_twice |= gone & self.erased if record.reason == "request" else gone
        self.erased |= gone
        if record.tombstones:
            self._bury(record)
        for who, cell in list(self.cell_of.items()) if record.reason == "retention" else ():
            if cell in gone:
                self._outlive(who, cell)
        self.agreed = {cell: said for cell, said in self.agreed.items() if cell not in gone}
        self.cells = {key: cell for key, cell in self.cells.items() if key not in gone}
        self.cell_of = {who: key for who, key in self.cell_of.items() if key not in gone}
        self.closed |= {device for device, users in self.signed_in.items() if users & gone and self._is_shared(device)}
        self.closed -= gone
        self.signed_in = {device: users - gone for device, users in self.signed_in.items() if device not in gone}
        self.aliases = {pair for pair in self.aliases if gone.isdisjoint(pair)}
        self.claims = {claim: named for claim, named in self.claims.items() if gone.isdisjoint((claim, *named))}

    def _bury(self, record: Erased) -> None:
        cells = [self.cells[key] for key in record.cells if key in self.cells]
        messages = frozenset(one for cell in cells for one in cell.remembered())
        for who, key in self.cell_of.items():
            if key in record.cells:
                self.buried.setdefault(who, []).append(Buried(record.at_ms, record.until_ms, messages))


def _timeless(record: ItemUpserted | ItemPatched | ItemDeleted | Unlinked) -> bytes:
    return msgspec.msgpack.encode(msgspec.structs.replace(record, at_ms=0))
