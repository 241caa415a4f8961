"""What people did next: whoever acts on an item answers what a placement should have shown them right before.

A shop that shows none of our lists yet, or only sends views, has these to learn from and nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from ..events.envelope import Flag, Tracked
from ..foundation.limits import NEXT_ACTS_MAX
from ..log.frames import LogPosition

_KEPT: Final = 5
"""Times as many as are learned from are kept at most: after every halving the newest ones still are enough."""


class NextAct(msgspec.Struct, frozen=True, gc=False):
    """Somebody acted on items."""

    position: LogPosition
    """Of the log: what was known right before is the state with everything before it folded."""
    at_ms: int
    tenant: str
    key: int
    """The cell that acted."""
    items: tuple[int, ...]
    """References."""


class NextActs:
    """Acts of one tenant out of a whole log, in its order, as many as are learned from.

    They lie evenly in the newest part of it, a fifth at least where there are more: what an act is learned with is what
    was known then, and a shop that knows little is another one than it will be.
    """

    def __init__(self, tenant: str, names: Collection[str], acts_max: int = NEXT_ACTS_MAX) -> None:
        """`names` are those of the events that are acts on items."""
        self._tenant, self._names = tenant, frozenset(names)
        self._acts_max = acts_max
        self._kept: list[NextAct] = []
        self._every = 1
        """One act in so many is kept."""
        self.count = 0
        """Acts seen."""

    def note(self, event: Tracked, position: LogPosition) -> None:
        """An event of the log, which may be an act; bots' are none, and nothing is one twice."""
        if event.tenant != self._tenant or event.name not in self._names or not event.items:
            return
        if event.flags & (Flag.BOT | Flag.RETOLD):
            return
        self.count += 1
        if self.count % self._every:
            return
        self._kept.append(NextAct(position, event.happened_ms, event.tenant, event.key, event.items))
        if len(self._kept) > _KEPT * self._acts_max:
            self._kept = self._kept[1::2]
            self._every *= 2

    def drop(self, cells: Collection[int]) -> None:
        """People were erased."""
        gone = frozenset(cells)
        self._kept = [act for act in self._kept if act.key not in gone]

    def newest(self) -> Sequence[NextAct]:
        """Those to learn from."""
        return self._kept[-self._acts_max :]
