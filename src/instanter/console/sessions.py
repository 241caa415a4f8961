"""Who is logged in: a cookie that says nothing, and what it stands for, in memory alone.

A restart of the server ends all sessions. One ends by itself after `CONSOLE_SESSION_S_MAX`, and when its access key is
revoked, since the API does not let it in any more.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections import OrderedDict

import msgspec

from ..foundation.clock import Clock
from ..foundation.errors import Overloaded
from ..foundation.ids import Ids
from ..foundation.limits import CONSOLE_SESSION_S_MAX, CONSOLE_SESSIONS_MAX, CONSOLE_SESSIONS_PER_KEY_MAX

_TOKEN_BYTES = 32


class Notice(msgspec.Struct, frozen=True):
    """What came of an act, told on the next page."""

    message: str
    is_fault: bool = False


class Session:
    """One login. `csrf` stands in each form of its pages, and nowhere else."""

    __slots__ = ("csrf", "ends_ms", "key", "key_id", "notice", "over")

    def __init__(self, *, key: str, key_id: str, csrf: str, ends_ms: int) -> None:
        self.key = key
        self.key_id = key_id
        self.csrf = csrf
        self.ends_ms = ends_ms
        self.notice: Notice | None = None
        self.over = asyncio.Event()
        """Set when it ends before its time: what is still being sent to it ends, too."""

    def take_notice(self) -> Notice | None:
        """What is to be told, once."""
        notice, self.notice = self.notice, None
        return notice

    def knows(self, csrf: str) -> bool:
        """Whether a form is of a page of this session."""
        return hmac.compare_digest(self.csrf.encode(), csrf.encode("utf-8", "replace"))


class Sessions:
    """All of them, by the hash of their cookies. Used on the loop's thread."""

    def __init__(self, clock: Clock, ids: Ids) -> None:
        self._clock = clock
        self._ids = ids
        self._open: OrderedDict[bytes, Session] = OrderedDict()
        """The oldest first, so those that end first."""
        self.developer = Session(key="", key_id="dev", csrf=ids.token(_TOKEN_BYTES), ends_ms=2**62)
        """Of whoever looks at a server with `--dev`, which asks for no key."""

    def begin(self, key: str, key_id: str) -> tuple[str, Session]:
        """The cookie of a new session, and the session. Where a key has as many as it may, its oldest ends; raises
        `Overloaded` where those of all keys are as many as there may be."""
        self._end_old()
        of_key = [token for token, session in self._open.items() if session.key_id == key_id]
        if len(of_key) >= CONSOLE_SESSIONS_PER_KEY_MAX:
            self._open.pop(of_key[0]).over.set()
        elif len(self._open) >= CONSOLE_SESSIONS_MAX:
            raise Overloaded("too many people are logged in: log out somewhere", retry_after_s=60)
        cookie = self._ids.token(_TOKEN_BYTES)
        ends_ms = self._clock.now_ms() + CONSOLE_SESSION_S_MAX * 1_000
        session = Session(key=key, key_id=key_id, csrf=self._ids.token(_TOKEN_BYTES), ends_ms=ends_ms)
        self._open[_digest(cookie)] = session
        return cookie, session

    def find(self, cookie: str) -> Session | None:
        """The session of a cookie; None where it is over, or never was."""
        session = self._open.get(_digest(cookie)) if cookie else None
        if session is not None and session.ends_ms <= self._clock.now_ms():
            self.end(cookie)
            return None
        return session

    def end(self, cookie: str) -> None:
        """Log out; nothing happens where nobody is logged in."""
        session = self._open.pop(_digest(cookie), None)
        if session is not None:
            session.over.set()

    def left_s(self, session: Session) -> float:
        """How long it lasts, at most."""
        return max(0.0, (session.ends_ms - self._clock.now_ms()) / 1_000)

    def __len__(self) -> int:
        return len(self._open)

    def _end_old(self) -> None:
        now_ms = self._clock.now_ms()
        while self._open and next(iter(self._open.values())).ends_ms <= now_ms:
            self._open.popitem(last=False)[1].over.set()


def _digest(cookie: str) -> bytes:
    """The cookie itself is not kept: what is in memory opens no session."""
    return hashlib.sha256(cookie.encode("utf-8", "replace")).digest()
