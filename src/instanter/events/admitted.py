"""What the door makes of an event."""

from __future__ import annotations

import msgspec

from .envelope import Consented, Tracked, Withheld
from .link_claims import LinkClaim
from .notes import Note


class Admitted(msgspec.Struct, frozen=True, gc=False):
    """An event that goes into the log, or the stub of one that may not."""

    record: Tracked | Withheld
    payload: bytes
    """The record, encoded."""
    message_id: str
    links: tuple[LinkClaim, ...] = ()
    """Of an event with both ids one, and of an `alias` two more: its previousId may be of either sort."""
    consents: tuple[Consented, ...] = ()
    """What the event says about purposes, where that is news: one for each id, since they need not be linked."""
    notes: tuple[Note, ...] = ()
    """What of it has no effect, or another one than was meant."""
