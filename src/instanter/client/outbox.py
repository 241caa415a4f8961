"""What a buffer holds: events that wait, and those that were refused until somebody is told. It knows no network."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from .errors import BufferFull, ClientError, NotSent, Refused
from .events import Event
from .limits import BATCH_BYTES_MAX, BATCH_EVENTS_MAX, BUFFERED_EVENTS_MAX, EVENT_BYTES_MAX
from .replies import RejectedEvent

_NO_MESSAGE = "the server said no more"


class Outbox:
    """Events in the order in which they came. Not safe for threads by itself."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Event, int]] = deque()
        """With the bytes of each."""
        self._waiting_bytes = 0
        self._taken: list[tuple[Event, int]] = []
        """Those that are on their way."""
        self._refused: list[tuple[Event, ClientError]] = []

    def __len__(self) -> int:
        """Events that wait or are on their way."""
        return len(self._waiting) + len(self._taken)

    @property
    def is_full_batch(self) -> bool:
        """Whether nothing is gained by waiting longer."""
        return len(self._waiting) >= BATCH_EVENTS_MAX or self._waiting_bytes >= BATCH_BYTES_MAX

    def add(self, event: Event, size_bytes: int) -> None:
        """Hold an event. Raises `BufferFull`, and ValueError for one that the server would not take."""
        if size_bytes > EVENT_BYTES_MAX:
            raise ValueError(f"the event has {size_bytes} bytes, and may have {EVENT_BYTES_MAX}")
        if len(self) + len(self._refused) >= BUFFERED_EVENTS_MAX:
            raise BufferFull(f"the buffer holds {BUFFERED_EVENTS_MAX} events that could not be sent yet")
        self._waiting.append((event, size_bytes))
        self._waiting_bytes += size_bytes

    def take(self) -> list[Event]:
        """The next batch, to be followed by one of `done`, `refuse` or `put_back`; empty where nothing waits."""
        assert not self._taken, "one batch at a time"
        size_bytes = 0
        while self._waiting and len(self._taken) < BATCH_EVENTS_MAX:
            size_bytes += self._waiting[0][1]
            if self._taken and size_bytes > BATCH_BYTES_MAX:
                break
            held = self._waiting.popleft()
            self._waiting_bytes -= held[1]
            self._taken.append(held)
        return [event for event, _ in self._taken]

    def done(self, rejected: Sequence[RejectedEvent]) -> None:
        """The batch was taken, but for these."""
        for one in rejected:
            if 0 <= one.index < len(self._taken):
                error = Refused(400, one.code, one.message or _NO_MESSAGE)
                self._refused.append((self._taken[one.index][0], error))
        self._taken = []

    def refuse(self, error: ClientError) -> None:
        """The whole batch was refused, and would be again."""
        self._refused += [(event, error) for event, _ in self._taken]
        self._taken = []

    def put_back(self) -> None:
        """The batch could not be sent: it waits again, in its order."""
        self._waiting.extendleft(reversed(self._taken))
        self._waiting_bytes += sum(size_bytes for _, size_bytes in self._taken)
        self._taken = []

    def let_go_refused(self) -> NotSent | None:
        """Those that were refused, to be told; they are no longer held."""
        if not self._refused:
            return None
        told, self._refused = self._refused, []
        return NotSent([event for event, _ in told], [error for _, error in told])

    def let_go_all(self, error: ClientError) -> NotSent | None:
        """Those that were refused and all that wait, which cannot be sent for `error`."""
        self.put_back()
        self._refused += [(event, error) for event, _ in self._waiting]
        self._waiting.clear()
        self._waiting_bytes = 0
        return self.let_go_refused()
