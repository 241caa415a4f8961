"""Every error the engine raises on purpose, in one tree. Foreign exceptions stop at the seam that meets them.

InstanterError
├── Rejected            the sender's fault: 4xx, says which code and why
│   ├── EventRejected       one event; it goes to quarantine
│   ├── RequestRejected     a request other than an event
│   └── ReferenceTaken      two names have one reference; becomes one of the two above
├── ConfigRejected      a configuration file: file, line, reason, suggestion
├── Unavailable         a dependency's fault or a limit reached: a fallback exists, retry later
│   ├── DiskFull            507; clears by itself once there is room
│   ├── LogClosed           writing ended until a restart (a failed sync, or shutting down)
│   ├── Overloaded          a bounded queue is full
│   └── RateLimited         the sender calls more often than agreed
│       └── TooManyNewPeople    or makes more people known
└── Broken              ours, or the disk's: stop rather than serve something wrong
    ├── Corrupt             stored bytes fail their check: names file and offset
    └── Lost                something proves that more was durable than is there: names what is missing

Those that never leave their room stand there, on a branch of this tree.
"""

from __future__ import annotations

from collections.abc import Sequence

REFERENCE_TAKEN = "reference_taken"
"""The code of what is refused since its reference is that of something else."""


class InstanterError(Exception):
    """Base of every error raised on purpose."""


class Rejected(InstanterError):
    """The sender's fault. `code` is stable and short, `message` is for a person."""

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


class EventRejected(Rejected):
    """One tracking event cannot be taken; it is quarantined with this code."""


class RequestRejected(Rejected):
    """A request other than an event cannot be answered as asked."""


class ReferenceTaken(Rejected):
    """An id whose reference another item has: it is neither read nor written under it."""

    def __init__(self, item_id: str) -> None:
        reason = f'"{item_id[:64]}" cannot be told from another item: use another id'
        super().__init__(REFERENCE_TAKEN, reason, status=409)


class ConfigRejected(InstanterError):
    """A configuration cannot be used: file, line, reason and, where there is one, a suggestion.

    `setting` is the last part of the key at fault, for whoever knows the file to find the line.
    """

    def __init__(
        self, reason: str, *, file: str = "", line: int = 0, suggestion: str = "", setting: str = ""
    ) -> None:
        where = f"{file}:{line}: " if line else (f"{file}: " if file else "")
        hint = f" ({suggestion})" if suggestion else ""
        super().__init__(f"{where}{reason}{hint}")
        self.file = file
        self.line = line
        self.reason = reason
        self.suggestion = suggestion
        self.setting = setting


class Unavailable(InstanterError):
    """Not now. `retry_after_s` is what the client is told."""

    status = 503
    code = "unavailable"

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s


class DiskFull(Unavailable):
    """No room for the log. Nothing of the refused write remains; it clears once there is room."""

    status = 507
    code = "disk_full"


class LogClosed(Unavailable):
    """Writing has ended until a restart."""

    code = "log_closed"


class Overloaded(Unavailable):
    """A bounded queue is full. Refused early, before any work was done."""

    status = 429
    code = "overloaded"


class RateLimited(Unavailable):
    """The sender calls more often than agreed; nothing was done."""

    status = 429
    code = "rate_limited"


class TooManyNewPeople(RateLimited):
    """A public key makes more people known than agreed; those who are known already go on."""

    code = "too_many_new_people"


class Broken(InstanterError):
    """Ours. The partition stops rather than go on with something wrong."""


class Corrupt(Broken):
    """Stored bytes fail their check."""

    def __init__(self, *, file: str, offset: int, reason: str) -> None:
        super().__init__(f"{file}: damaged at byte {offset}: {reason}")
        self.file = file
        self.offset = offset
        self.reason = reason


class Lost(Broken):
    """More was durable once than is there now. `losses` are sentences: file, from where on, how much, and the proof."""

    def __init__(self, losses: Sequence[str]) -> None:
        super().__init__(
            f"this data directory held more than is there: {'; '.join(losses)}. Put it back, or restore a backup; "
            "serve --accept-loss goes on with what is there, and notes in the audit record what was given up"
        )
        self.losses = tuple(losses)
