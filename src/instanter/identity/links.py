"""Who is who: the cells that are one person's. A profile is the merge, at read, of these cells; nothing is moved.

What a person did signed in lies in the cell of the user. A device has a cell for what was done there unsigned; it is a
user's as long as nobody else has signed in there, and nobody's from then on. All of it is a function of the set of
sign-ins, so the order in which they came does not show, and a link taken back is as if it had never been.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum, auto
from typing import Any, NamedTuple

import msgspec

from ..events.envelope import Erased, Linked, Record, Tied, Unlinked
from ..events.folding import Prepare, Rows, always
from ..foundation.limits import CLAIMS_OF_DEVICE_MAX, LINKS_MAX
from .former import FormerLinks, Link

NO_OWNER = 0
"""In a tie of the kind `BEYOND`: the device is nobody's, and this no longer depends on who has signed in there."""


class Tie(msgspec.Struct, frozen=True, array_like=True):
    """A `Linked`, as it is kept and as a checkpoint holds it."""

    kind: int
    cell: int
    owner: int
    user: int
    at_ms: int
    body: bytes

    @property
    def sealed(self) -> bool:
        """Whether the ids in `body` are sealed."""
        return True


class Verdict(Enum):
    """What there is to do about a link that an event tells of."""

    KNOWN = auto()
    NEW = auto()
    FULL = auto()
    """There is no room for it."""


class _People(NamedTuple):
    """The cells of one person, whoever else uses a device; `among` in any order."""

    cells: tuple[int, ...]
    among: frozenset[int]


class Links:
    """All links at one position of the log."""

    def __init__(self, links: Iterable[Link] = (), ties: Iterable[Tie] = ()) -> None:
        self._former = FormerLinks(links)
        self._users: dict[int, dict[int, Tie]] = {}
        """Device -> users who signed in there."""
        self._devices: dict[int, dict[int, None]] = {}
        self._aliases: dict[int, dict[int, Tie]] = {}
        """In both directions."""
        self._claims: dict[int, Tie] = {}
        """By cell."""
        self._claims_of: dict[int, dict[int, None]] = {}
        """Device, or user -> cells of claims."""
        self._nobodys: dict[int, Tie] = {}
        """Devices that are nobody's for good."""
        self._beyond: dict[int, int] = {}
        """User -> devices that there was no room to link."""
        self._met: dict[int, _People] = {}
        """By each of their cells, people of several cells who were asked for since their links changed last: each event
        of somebody with 500 aliases asks some hundred times."""
        for tie in ties:
            self._put(tie)

    def __len__(self) -> int:
        return len(self._former) + sum(tie.kind != Tied.BEYOND for tie in self.ties())

    def __iter__(self) -> Iterator[Link | Tie]:
        yield from self._former
        yield from self.ties()

    def former(self) -> Iterator[Link]:
        """Those of former logs."""
        return iter(self._former)

    def ties(self) -> Iterator[Tie]:
        """All others."""
        for users in self._users.values():
            yield from users.values()
        for cell, others in self._aliases.items():
            yield from (tie for tie in others.values() if tie.cell == cell)
        yield from self._claims.values()
        yield from self._nobodys.values()

    # As a folded part.

    def hears(self) -> Mapping[type[Record], Prepare]:
        return {
            Linked: always(self.link),
            Unlinked: always(self.unlink),
            Erased: always(lambda event: self.drop(event.cells, event.at_ms)),
        }

    def rows(self) -> Rows:
        return {"links": list(self.former()), "ties": list(self.ties())}

    def restore(self, rows: Rows) -> None:
        former = msgspec.convert(rows.get("links", []), list[Link])
        ties = msgspec.convert(rows.get("ties", []), list[Tie])
        self._former = FormerLinks(former)
        self._met.clear()
        for tie in ties:
            self._put(tie)

    def hashed(self) -> Iterable[object]:
        return self

    # Changing.

    def judge(self, linked: Linked, coming: Mapping[int, int] | None = None) -> Verdict:
        """Whether a link says anything new; `coming` counts, by cell, those that are in the log and not applied yet."""
        cell, owner = linked.cell, linked.owner
        match linked.kind:
            case Tied.SIGN_IN:
                if owner in self._users.get(cell, ()):
                    return Verdict.KNOWN
                full = len(self._users.get(cell, ())) + _of(coming, cell) >= LINKS_MAX or self._count(owner, coming)
            case Tied.ALIAS:
                if cell == owner or owner in self._aliases.get(cell, ()):
                    return Verdict.KNOWN
                full = self._count(cell, coming) or self._count(owner, coming)
            case Tied.CLAIM:
                if cell in self._claims:
                    return Verdict.KNOWN
                full = any(
                    len(self._claims_of.get(one, ())) + _of(coming, one) >= room
                    for one, room in ((owner, CLAIMS_OF_DEVICE_MAX), (linked.user, LINKS_MAX))
                )
            case _:
                return Verdict.KNOWN if cell in self._nobodys else Verdict.NEW
        return Verdict.FULL if full else Verdict.NEW

    def link(self, event: Linked) -> None:
        """Apply a link. One that says nothing new is none."""
        if event.kind == Tied.FORMERLY:
            self._former.link(event)
            self._met.clear()
        elif self.judge(event) is not Verdict.KNOWN:  # There was room when it was written.
            self._put(Tie(event.kind, event.cell, event.owner, event.user, event.at_ms, event.body))

    def unlink(self, event: Unlinked) -> None:
        """Take a link back. A device on which somebody else has signed in stays nobody's."""
        cell, owner = event.cell, event.owner
        if self.is_shared(cell):
            self._close(cell, event.at_ms)
        former = self._former.of(cell)
        if former is not None and owner in (former.owner, 0):
            self._former.unlink(event)
            self._met.clear()
        tie = self._users.get(cell, {}).get(owner) or self._aliases.get(cell, {}).get(owner)
        if tie is not None:
            self._remove(tie)

    def drop(self, cells: Iterable[int], at_ms: int = 0) -> int:
        """Forget every link from or to these cells; how many there were. What was shared stays so."""
        gone = set(cells)
        for device in {one for cell in gone for one in self._devices.get(cell, ())} - gone:
            if self.is_shared(device):
                self._close(device, at_ms)
        ties = [tie for cell in gone for tie in self._about(cell)]
        for tie in dict.fromkeys(ties):
            self._remove(tie)
        counted = gone & self._beyond.keys()
        for device, tie in self._nobodys.items() if counted else ():
            if tie.owner in counted:
                self._nobodys[device] = _closed(device, tie.at_ms)
        for cell in gone:
            self._nobodys.pop(cell, None)
            self._beyond.pop(cell, None)
        dropped = self._former.drop(gone) + len(set(ties))
        self._met.clear()
        return dropped

    # Reading.

    def cells(self, cell: int) -> list[int]:
        """The cells that are read with this one, users first: the profile that it belongs to, and what a device claims.

        Those of a device that several have used are its own. At most about `LINKS_MAX`.
        """
        claim = self._claims.get(cell)
        if claim is not None:
            return self._profile(claim.user) if self._is_confirmed(claim) else self._of_device(claim.owner)
        return self._of_device(cell)

    def _of_device(self, cell: int) -> list[int]:
        """The cells that are read with that of a device, or of a user."""
        own = sorted(one for one in self._claims_of.get(cell, ()) if self._claims[one].owner == cell
                     and not self._is_confirmed(self._claims[one]))  # fmt: skip
        if cell not in self._users and cell not in self._nobodys:
            return [*self._profile(cell), *own]
        user = self.user_of(cell)
        return [*(self._profile(user) if user else [cell]), *own]

    def together(self, user: int, device: int) -> list[int]:
        """The cells of a user (0: one who is new) who is on this device now: without those of a device that others have
        used."""
        cells = self.cells(user) if user else []
        if device and device not in cells and not self.is_anybodys(device):
            cells += [one for one in self.cells(device) if one not in cells]
        return cells

    def reach(self, cell: int) -> list[int]:
        """Every cell that is linked to this one's person, was, or holds what names them: what is erased with them."""
        found = dict.fromkeys([cell, *self.cells(cell)])
        for one in list(found):
            found.update(dict.fromkeys(self._devices.get(one, ())))
            found.update(dict.fromkeys(
                claim for claim in self._claims_of.get(one, ())
                if self._claims[claim].user == one or not self._is_confirmed(self._claims[claim])
            ))  # fmt: skip
        return list(found)

    def naming(self, cell: int) -> list[int]:
        """The cells of a person, and of what devices claim that they did: what is theirs to see."""
        found = dict.fromkeys([cell, *self.cells(cell)])
        for one in list(found):
            found.update(dict.fromkeys(
                claim for claim in self._claims_of.get(one, ()) if self._claims[claim].user == one
            ))  # fmt: skip
        return list(found)

    def user_of(self, device: int) -> int:
        """Whose a device is on which somebody has signed in; 0 if it is nobody's."""
        users = self._all_users(device)
        if device in self._nobodys or not users:
            return 0
        first = min(users)
        return first if len(users) == 1 or users <= self._person(first).among else 0

    def is_shared(self, device: int) -> bool:
        """Whether several people have signed in on the device."""
        return device in self._nobodys or (device in self._users and not self.user_of(device))

    def shared_by(self, cell: int) -> list[int]:
        """The devices on which somebody else has signed in as well."""
        return [one for user in self._people(cell) for one in self._devices.get(user, ()) if self.is_shared(one)]

    def has_signed_in(self, device: int, user: int) -> bool:
        """Whether this user is known to have signed in on the device."""
        users = self._users.get(device)
        return users is not None and user in users

    def has_users(self, cell: int) -> bool:
        """Whether anybody has signed in on this device, as far as links say that it is one."""
        return cell in self._users or cell in self._nobodys

    def is_anybodys(self, device: int) -> bool:
        """Whether anybody has signed in on the device, or was linked to it."""
        return self.has_users(device) or self._former.of(device) is not None

    def users_on(self, device: int) -> int:
        """How many have signed in on a device."""
        return len(self._all_users(device))

    def beyond(self, cells: Iterable[int]) -> int:
        """How many devices of these people there was no room to link."""
        return sum(self._beyond.get(cell, 0) for cell in cells)

    def is_claim(self, cell: int) -> bool:
        """Whether the cell holds what a device says of a user."""
        return cell in self._claims

    def are_linked(self, cell: int, owner: int) -> bool:
        """Whether there is a link of these two that can be taken back, also where it holds no profile together."""
        former = self._former.of(cell)
        if former is not None and former.owner == owner:
            return True
        return owner in self._users.get(cell, ()) or owner in self._aliases.get(cell, ())

    def of_profile(self, cell: int) -> list[Link | Tie]:
        """The links that hold the profile of a cell together."""
        members = self.cells(cell)
        among, found = set(members), list[Link | Tie]()
        for member in members:
            former = self._former.of(member)
            if former is not None and former.owner in among:
                found.append(former)
            found += [tie for user, tie in self._users.get(member, {}).items() if user in among]
            found += [tie for tie in self._aliases.get(member, {}).values() if tie.cell == member]
        return found

    def count_about(self, cells: Iterable[int]) -> int:
        """How many links there are from or to these cells."""
        gone = set(cells)
        ties = {tie for cell in gone for tie in self._about(cell)}
        former = {cell for cell in gone if self._former.of(cell) is not None}
        former |= {one for cell in gone for one in self._former.owned_by(cell)}
        return len(ties) + len(former) + sum(cell in self._nobodys for cell in gone)

    # The graph.

    def _people(self, user: int) -> tuple[int, ...]:
        """All cells that are one person's whoever else uses a device: aliases, and what former logs linked."""
        return self._person(user).cells

    def _person(self, user: int) -> _People:
        known = self._met.get(user)
        if known is None:
            cells = tuple(self._linked_with(user))
            known = _People(cells, frozenset(cells))
            if len(cells) > 1:
                self._met.update(dict.fromkeys(cells, known))
        return known

    def _linked_with(self, user: int) -> list[int]:
        found, waiting = {user: None}, [user]
        while waiting:
            one = waiting.pop()
            near = [*self._aliases.get(one, ())]
            near += [other for other in self._former.owned_by(one) if not self.has_users(other)]
            former = self._former.of(one)
            if former is not None and not self.has_users(one):
                near.append(former.owner)
            fresh = [other for other in near if other not in found]
            found.update(dict.fromkeys(fresh))
            waiting += fresh
        return sorted(found, key=lambda one: (self._former.of(one) is not None, one))

    def _profile(self, user: int) -> list[int]:
        people = self._people(user)
        devices = {one for user in people for one in (*self._devices.get(user, ()), *self._former.owned_by(user))
                   if self.has_users(one)}  # fmt: skip
        claims = {one for user in people for one in self._claims_of.get(user, ())
                  if self._claims[one].user == user and self._is_confirmed(self._claims[one])}  # fmt: skip
        return [*people, *sorted(one for one in devices if self.user_of(one)), *sorted(claims)]

    def _all_users(self, device: int) -> set[int]:
        former = self._former.of(device)
        return {*self._users.get(device, ()), *(() if former is None else (former.owner,))}

    def _is_confirmed(self, claim: Tie) -> bool:
        return claim.user in self._all_users(claim.owner)

    def _count(self, user: int, coming: Mapping[int, int] | None) -> bool:
        """Whether a person has as many links as there can be."""
        people = self._people(user)
        links = len(people) - 1 + sum(len(self._devices.get(one, ())) + _of(coming, one) for one in people)
        return links >= LINKS_MAX

    def _about(self, cell: int) -> Iterator[Tie]:
        """All that name this cell."""
        yield from self._users.get(cell, {}).values()
        yield from (self._users[device][cell] for device in self._devices.get(cell, ()))
        yield from self._aliases.get(cell, {}).values()
        yield from (self._claims[claim] for claim in self._claims_of.get(cell, ()))
        if cell in self._claims:
            yield self._claims[cell]

    def _close(self, device: int, at_ms: int) -> None:
        self._nobodys.setdefault(device, _closed(device, at_ms))
        if len(self._former):
            self._met.clear()

    def _changes(self, tie: Tie) -> None:
        """Forget whom this tie changes. What former logs linked holds only as long as nobody signs in there."""
        if len(self._former):
            self._met.clear()
        elif tie.kind == Tied.ALIAS:
            for cell in {*self._people(tie.cell), *self._people(tie.owner)}:
                self._met.pop(cell, None)

    def _put(self, tie: Tie) -> None:
        self._changes(tie)
        match tie.kind:
            case Tied.SIGN_IN:
                self._users.setdefault(tie.cell, {})[tie.owner] = tie
                self._devices.setdefault(tie.owner, {})[tie.cell] = None
            case Tied.ALIAS:
                self._aliases.setdefault(tie.cell, {})[tie.owner] = tie
                self._aliases.setdefault(tie.owner, {})[tie.cell] = tie
            case Tied.CLAIM:
                self._claims[tie.cell] = tie
                for one in (tie.owner, tie.user):
                    self._claims_of.setdefault(one, {})[tie.cell] = None
            case _:
                self._nobodys[tie.cell] = tie
                if tie.owner:
                    self._beyond[tie.owner] = self._beyond.get(tie.owner, 0) + 1

    def _remove(self, tie: Tie) -> None:
        self._changes(tie)
        match tie.kind:
            case Tied.SIGN_IN:
                _take_out(self._users, tie.cell, tie.owner)
                _take_out(self._devices, tie.owner, tie.cell)
            case Tied.ALIAS:
                _take_out(self._aliases, tie.cell, tie.owner)
                _take_out(self._aliases, tie.owner, tie.cell)
            case _:
                del self._claims[tie.cell]
                for one in {tie.owner, tie.user}:
                    _take_out(self._claims_of, one, tie.cell)


def _closed(device: int, at_ms: int) -> Tie:
    return Tie(int(Tied.BEYOND), device, NO_OWNER, 0, at_ms, b"")


def _of(coming: Mapping[int, int] | None, cell: int) -> int:
    return 0 if coming is None else coming.get(cell, 0)


def _take_out(index: dict[int, dict[int, Any]], one: int, other: int) -> None:
    """Remove an entry of an index, and the place of the one when nothing is left there."""
    del index[one][other]
    if not index[one]:
        del index[one]
