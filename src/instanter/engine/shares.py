"""Who may put how much into the quarantine: nobody can push out what others have there.

The oldest entries go when the quarantine is full, whosever they are. So what one sort of sender may add is bounded
over time: so many bytes at once, and as many again in a day. What is beyond that is kept as a stub, which says what
was refused and why; what is beyond that too is counted with the next entry of its code.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from ..events.reject import Quarantined
from ..foundation.limits import (
    EVENT_BYTES_MAX,
    QUARANTINE_NOTED_BYTES_MAX,
    QUARANTINE_PRIVATE_BYTES_MAX,
    QUARANTINE_PUBLIC_ALL_BYTES_MAX,
    QUARANTINE_PUBLIC_BYTES_MAX,
    QUARANTINE_STUBS_DIVISOR,
    TENANTS_NOTED_MAX,
)

Sort = Literal["public", "private", "noted"]
"""Who sent it: with a public key, with another one; or nobody, it is a pointer to what the fold met."""

DAY_MS: Final = 86_400_000
ENTRY_BYTES: Final = 256
"""Of an entry beside what was sent, at most: its frame, reason, seals and times."""
_CODES_MAX: Final = 64
_BYTES_MAX: Final[dict[Sort, int]] = {
    "public": QUARANTINE_PUBLIC_BYTES_MAX,
    "private": QUARANTINE_PRIVATE_BYTES_MAX,
    "noted": QUARANTINE_NOTED_BYTES_MAX,
}


class Allowance:
    """So many bytes at once, and as many again in a day. A clock that is set back gives nothing and takes nothing.

    >>> allowance = Allowance(100, now_ms=0)
    >>> allowance.take(100, 0), allowance.take(1, 0), allowance.take(50, DAY_MS // 2), allowance.take(1, 0)
    (True, False, True, False)
    """

    __slots__ = ("_bytes_max", "_filled_ms", "_left")

    def __init__(self, bytes_max: int, *, now_ms: int) -> None:
        self._bytes_max = bytes_max
        self._left = bytes_max * DAY_MS
        self._filled_ms = now_ms

    def has(self, size_bytes: int, now_ms: int) -> bool:
        """Whether there is room for so many bytes."""
        passed_ms = max(now_ms - self._filled_ms, 0)
        self._left = min(self._left + passed_ms * self._bytes_max, self._bytes_max * DAY_MS)
        self._filled_ms = now_ms
        return self._left >= size_bytes * DAY_MS

    def spend(self, size_bytes: int) -> None:
        """Take so many bytes after `has` said that they are there."""
        self._left -= size_bytes * DAY_MS

    def take(self, size_bytes: int, now_ms: int) -> bool:
        """Take so many bytes, if they are there."""
        if not self.has(size_bytes, now_ms):
            return False
        self.spend(size_bytes)
        return True


class _Share:
    """What one tenant may add by one sort of sender."""

    __slots__ = ("left_out", "stubs", "whole")

    def __init__(self, bytes_max: int, now_ms: int) -> None:
        self.whole = Allowance(bytes_max, now_ms=now_ms)
        self.stubs = Allowance(bytes_max // QUARANTINE_STUBS_DIVISOR, now_ms=now_ms)
        self.left_out: dict[str, int] = {}
        """Code -> entries that there was no room for, and that no entry tells of yet."""

    def leave_out(self, code: str) -> None:
        if code in self.left_out or len(self.left_out) < _CODES_MAX:
            self.left_out[code] = self.left_out.get(code, 0) + 1


class Shares:
    """The shares of all tenants. Tenants beyond `TENANTS_NOTED_MAX` have one together."""

    def __init__(self, now_ms: int) -> None:
        self._shares: dict[tuple[str, Sort], _Share] = {}
        self._public = Allowance(QUARANTINE_PUBLIC_ALL_BYTES_MAX, now_ms=now_ms)

    def fitted(self, entry: Quarantined, now_ms: int) -> Quarantined | None:
        """The entry as it may be kept: whole, a stub, or None where it is only counted."""
        sort: Sort = "public" if entry.public else "private"
        share = self._share(entry.tenant, sort, now_ms)
        size_bytes = ENTRY_BYTES + len(entry.raw) + len(entry.defaults)
        oversize = entry.public and entry.raw_bytes > EVENT_BYTES_MAX
        if not oversize and self._takes(share.whole, size_bytes, now_ms, sort):
            return _telling(entry, share)
        if self._takes(share.stubs, ENTRY_BYTES, now_ms, sort):
            return _telling(stub(entry), share)
        share.leave_out(entry.code)
        return None

    def notes(self, tenant: str, now_ms: int) -> bool:
        """Whether a pointer may be kept for a tenant."""
        return self._share(tenant, "noted", now_ms).whole.take(ENTRY_BYTES, now_ms)

    def _takes(self, own: Allowance, size_bytes: int, now_ms: int, sort: Sort) -> bool:
        """Take bytes of a tenant's own share, and of what all public keys have together: both or neither."""
        if sort != "public":
            return own.take(size_bytes, now_ms)
        if not own.has(size_bytes, now_ms) or not self._public.take(size_bytes, now_ms):
            return False
        own.spend(size_bytes)
        return True

    def _share(self, tenant: str, sort: Sort, now_ms: int) -> _Share:
        share = self._shares.get((tenant, sort))
        if share is None:
            of = tenant if len(self._shares) < TENANTS_NOTED_MAX * len(_BYTES_MAX) else ""
            share = self._shares.get((of, sort))
            if share is None:
                share = self._shares[of, sort] = _Share(_BYTES_MAX[sort], now_ms)
        return share


def stub(entry: Quarantined) -> Quarantined:
    """An entry without what was sent: that it was refused, why, and how large it was."""
    return msgspec.structs.replace(entry, raw=b"", defaults=b"")


def _telling(entry: Quarantined, share: _Share) -> Quarantined:
    """The entry, telling of those like it that were left out before."""
    more = share.left_out.pop(entry.code, 0)
    return msgspec.structs.replace(entry, more=entry.more + more) if more else entry
