"""Links as logs had them before an event belonged to its user: read on by the rules that they were made by.

Each cell belongs to at most one owner; the newest link of a cell counts, and an owner may have one in turn (an alias
of an alias). Taking a link back restores both sides exactly, because the cells themselves never changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from ..events.envelope import Linked, Unlinked
from ..foundation.limits import LINKED_CELLS_MAX


class Link(msgspec.Struct, frozen=True, array_like=True):
    """Cell `cell` belongs to `owner`; `body` holds both ids (MessagePack {"cell", "owner"}), sealed or not."""

    cell: int
    owner: int
    at_ms: int
    body: bytes
    sealed: bool = False


class FormerLinks:
    """All links of that time at one position of the log."""

    def __init__(self, links: Iterable[Link] = ()) -> None:
        self._by_cell: dict[int, Link] = {}
        self._cells_of: dict[int, dict[int, None]] = {}
        for link in links:
            self._put(link)

    def __len__(self) -> int:
        return len(self._by_cell)

    def __iter__(self) -> Iterator[Link]:
        return iter(self._by_cell.values())

    def would_change(self, *, cell: int, owner: int) -> bool:
        """Whether linking them says anything new: they are not linked yet, no circle, and the profile has room."""
        known = self._by_cell.get(cell)
        if cell == owner or (known is not None and known.owner == owner):
            return False
        if cell in self._upwards(owner):
            return False
        return len(self.cells(self.root(owner))) + len(self._below(cell)) <= LINKED_CELLS_MAX

    def link(self, event: Linked) -> None:
        """Apply a link. One that would change nothing is no link."""
        if self.would_change(cell=event.cell, owner=event.owner):
            self._drop(event.cell)
            self._put(Link(event.cell, event.owner, event.at_ms, event.body, event.sealed))

    def unlink(self, event: Unlinked) -> None:
        """Take the link of a cell back."""
        self._drop(event.cell)

    def drop(self, cells: Iterable[int]) -> int:
        """Forget every link from or to these cells; how many there were."""
        named = [link.cell for cell in cells for link in self._of(cell)]
        for cell in named:
            self._drop(cell)
        return len(set(named))

    def root(self, cell: int) -> int:
        """The owner of the owner of ... a cell; itself if it has none."""
        return self._upwards(cell)[-1]

    def cells(self, cell: int) -> list[int]:
        """All cells of the profile that a cell belongs to, the root first; at most `LINKED_CELLS_MAX`."""
        return self._below(self.root(cell))[:LINKED_CELLS_MAX]

    def of(self, cell: int) -> Link | None:
        """The link of a cell."""
        return self._by_cell.get(cell)

    def owned_by(self, owner: int) -> Iterable[int]:
        """The cells that are linked to this one."""
        return self._cells_of.get(owner, ())

    def _of(self, cell: int) -> list[Link]:
        """The cell's own link, and those of the cells below it."""
        below = [self._by_cell[member] for member in self._cells_of.get(cell, ())]
        own = self._by_cell.get(cell)
        return [own, *below] if own is not None else below

    def _upwards(self, cell: int) -> list[int]:
        way = [cell]
        while (link := self._by_cell.get(way[-1])) is not None and len(way) <= LINKED_CELLS_MAX:
            way.append(link.owner)
        return way

    def _below(self, cell: int) -> list[int]:
        found = [cell]
        for member in found:
            found.extend(self._cells_of.get(member, ()))
        return found

    def _put(self, link: Link) -> None:
        self._by_cell[link.cell] = link
        self._cells_of.setdefault(link.owner, {})[link.cell] = None

    def _drop(self, cell: int) -> None:
        link = self._by_cell.pop(cell, None)
        if link is not None:
            siblings = self._cells_of[link.owner]
            del siblings[cell]
            if not siblings:
                del self._cells_of[link.owner]
