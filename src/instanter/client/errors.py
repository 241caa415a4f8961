"""Everything that the client raises about a call, in one tree. A call made wrongly is a TypeError or ValueError.

ClientError
├── Refused             the server will not do it: 4xx, with code, message, details; again it would be no other
├── Unavailable         not now: 429 or 5xx, with code, message and, where it was told, retry_after_s
├── Unreachable         no connection, or it ended before the answer did; what was sent may have been done
├── TimedOut            no answer in time; likewise
├── Misunderstood       an answer that is not in the contract: is there another server at that address?
├── BufferFull          a buffer holds as many events as it may; this one was not taken
└── NotSent             events that a buffer still holds, or that were refused: they are in `events`
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .events import Event


class ClientError(Exception):
    """Base of every error about a call. `code` is short and stable."""

    code = "client_error"

    @property
    def may_pass(self) -> bool:
        """Whether the same call may be answered later."""
        return False


class Refused(ClientError):
    """The server will not do it. `code` and `message` are its own."""

    def __init__(self, status: int, code: str, message: str, details: Sequence[Any] = ()) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.details = list(details)


class Unavailable(ClientError):
    """Not now. `retry_after_s` is what the server asks for, None where it says nothing."""

    def __init__(self, status: int, code: str, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s

    @property
    def may_pass(self) -> bool:
        return True


class Unreachable(ClientError):
    """No connection, or it ended before the answer did."""

    code = "unreachable"

    @property
    def may_pass(self) -> bool:
        return True


class TimedOut(ClientError):
    """No answer in time."""

    code = "timed_out"

    @property
    def may_pass(self) -> bool:
        return True


class Misunderstood(ClientError):
    """An answer that is not in the contract."""

    code = "misunderstood"


class BufferFull(ClientError):
    """A buffer holds as many events as it may."""

    code = "buffer_full"


class NotSent(ClientError):
    """Events that were not sent, or refused. `causes` says why, event by event; the buffer has let go of them."""

    code = "not_sent"

    def __init__(self, events: Sequence[Event], causes: Sequence[ClientError]) -> None:
        super().__init__(f"{len(events)} events were not taken; the first: {causes[0]}")
        self.events = list(events)
        self.causes = list(causes)
