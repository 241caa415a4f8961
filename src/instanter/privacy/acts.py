"""Reading the record of administrators' acts: which ones are wanted, and how they are shown."""

from __future__ import annotations

import msgspec

from ..events.times import time_text
from .audit import AuditEntry, Plain


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which acts. What is empty leaves all in."""

    tenant: str | None = None
    """None: of every tenant and of the installation itself, which is ""."""
    actor: str = ""
    act: str = ""
    """Whole, as "key.issued", or a thing, as "key"."""
    subject: str = ""
    since_ms: int = 0
    until_ms: int | None = None
    """Acts before then."""

    def matches(self, entry: AuditEntry) -> bool:
        """Whether an entry is among them.

        >>> entry = AuditEntry(1, 7, 500, "shop", "k1", "key.issued", "k2", {})
        >>> Wanted(tenant="shop", act="key").matches(entry), Wanted(act="key.revoked").matches(entry)
        (True, False)
        """
        return (
            (self.tenant is None or entry.tenant == self.tenant)
            and (not self.actor or entry.actor == self.actor)
            and (not self.act or entry.act == self.act or entry.act.startswith(f"{self.act}."))
            and (not self.subject or entry.subject == self.subject)
            and entry.at_ms >= self.since_ms
            and (self.until_ms is None or entry.at_ms < self.until_ms)
        )


class ActShown(msgspec.Struct, frozen=True):
    """One act. `instanter verify --audit` says whether the record that it is read from is whole."""

    number: int
    at: str
    tenant: str
    actor: str
    act: str
    subject: str
    details: dict[str, Plain]


def shown_act(entry: AuditEntry) -> ActShown:
    """An entry without its chain, which is nobody's to read."""
    return ActShown(
        entry.number, time_text(entry.at_ms), entry.tenant, entry.actor, entry.act, entry.subject, entry.details
    )
