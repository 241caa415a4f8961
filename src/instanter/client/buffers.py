"""Buffers: events are taken at once, and sent in batches in the background. None is lost without being told of.

What cannot be sent now is kept and tried again; when the buffer is full of such, `add` raises. What the server refuses
goes to `on_refused`, or is raised by the next `flush` or `close`. What is left when the buffer is closed is raised.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import copy
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from .calls import encoded
from .errors import ClientError, NotSent
from .events import Event, stamped
from .outbox import Outbox
from .surroundings import Surroundings

if TYPE_CHECKING:
    from .asynchronous import AsyncClient
    from .sync import Client

OnRefused = Callable[[Sequence[Event], Sequence[ClientError]], None]
"""Told of events that the server refused, and why, event by event."""
BUFFER_WAIT_S: Final = 1.0
"""How long an event waits for others."""


class _Holding:
    """What both buffers hold, and how they tell of it."""

    def __init__(self, surroundings: Surroundings, on_refused: OnRefused | None) -> None:
        self._surroundings = surroundings
        self._on_refused = on_refused
        self.outbox = Outbox()
        self.closed = False

    def add(self, event: Event) -> str:
        """Hold the event as it is now; its message id."""
        if self.closed:
            raise ValueError("the buffer is closed")
        held = copy.deepcopy(stamped(event, self._surroundings))
        self.outbox.add(held, len(encoded(held)) + 1)
        assert held.message_id is not None
        return held.message_id

    def settle(self, error: ClientError) -> None:
        """What becomes of a batch that was not taken: it waits again if that may pass, and is refused if not."""
        if error.may_pass:
            self.outbox.put_back()
        else:
            self.outbox.refuse(error)

    def tell(self, told: NotSent | None, *, raises: bool) -> None:
        """Tell of what was let go: the caller's function if there is one, else by raising."""
        if told is None:
            return
        if self._on_refused is not None:
            self._on_refused(told.events, told.causes)
        elif raises:
            raise told


class Buffer:
    """The buffer of a `Client`, for any thread. Close it, or use it as a context manager.

    The thread that sends begins with the first event, so that a server which forks before has none.
    """

    def __init__(
        self, client: Client, surroundings: Surroundings, *, on_refused: OnRefused | None, wait_s: float
    ) -> None:
        self._client = client
        self._wait_s = wait_s
        self._has_function = on_refused is not None
        self._holding = _Holding(surroundings, on_refused)
        self._changed = threading.Condition()
        """Guards what is held."""
        self._sending = threading.Lock()
        """Held by whoever sends: batches go one after the other."""
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        """Events that wait or are on their way."""
        with self._changed:
            return len(self._holding.outbox)

    def add(self, event: Event) -> str:
        """Take an event, to be sent soon; returns its message id.

        Raises `BufferFull`; ValueError for an event that is too large or has a number that is none, or when the buffer
        is closed; TypeError for what is no event or no JSON.
        """
        with self._changed:
            message_id = self._holding.add(event)
            self._start()
            if len(self._holding.outbox) == 1 or self._holding.outbox.is_full_batch:
                self._changed.notify()
        return message_id

    def flush(self) -> None:
        """Send all that waits. Raises the error for which it cannot be sent now (it is kept), and `NotSent` for what
        was refused."""
        self._send_all()
        with self._changed:
            told = self._holding.outbox.let_go_refused()
        self._holding.tell(told, raises=True)

    def close(self) -> None:
        """Send all that waits, and take no more. Raises `NotSent` with what could not be sent or was refused."""
        with self._changed:
            self._holding.closed = True
            self._changed.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        atexit.unregister(self.close)
        try:
            self._send_all()
        except ClientError as error:
            told = self._holding.outbox.let_go_all(error)
        else:
            told = self._holding.outbox.let_go_refused()
        self._holding.tell(told, raises=True)

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._work, name="instanter-buffer", daemon=True)
            self._thread.start()
            atexit.unregister(self.close)
            atexit.register(self.close)

    def _work(self) -> None:
        while self._gathered():
            with contextlib.suppress(ClientError):  # It is kept, and tried again; who wants to know of it flushes.
                self._send_all()
            self._tell_function()

    def _tell_function(self) -> None:
        if self._has_function:
            with self._changed:
                told = self._holding.outbox.let_go_refused()
            self._holding.tell(told, raises=False)

    def _gathered(self) -> bool:
        """Wait until there is a batch to be sent; False when the buffer is closed."""
        with self._changed:
            holding = self._holding
            self._changed.wait_for(lambda: len(holding.outbox) > 0 or holding.closed)
            self._changed.wait_for(lambda: holding.outbox.is_full_batch or holding.closed, self._wait_s)
            return not holding.closed

    def _send_all(self) -> None:
        with self._sending:
            while batch := self._take():
                try:
                    reply = self._client.batch(batch)
                except ClientError as error:
                    with self._changed:
                        self._holding.settle(error)
                    if error.may_pass:
                        raise
                else:
                    with self._changed:
                        self._holding.outbox.done(reply.rejected)
                finally:
                    with self._changed:  # Where it was interrupted on the way; else there is nothing left.
                        self._holding.outbox.put_back()

    def _take(self) -> list[Event]:
        with self._changed:
            return self._holding.outbox.take()


class AsyncBuffer:
    """The buffer of an `AsyncClient`, for its event loop. Close it, or use it as a context manager."""

    def __init__(
        self, client: AsyncClient, surroundings: Surroundings, *, on_refused: OnRefused | None, wait_s: float
    ) -> None:
        self._client = client
        self._wait_s = wait_s
        self._has_function = on_refused is not None
        self._holding = _Holding(surroundings, on_refused)
        self._sending = asyncio.Lock()
        self._due = asyncio.Event()
        """Set where there is no more to wait for."""
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __len__(self) -> int:
        """Events that wait or are on their way."""
        return len(self._holding.outbox)

    def add(self, event: Event) -> str:
        """As `Buffer.add`; nothing is awaited."""
        message_id = self._holding.add(event)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work())
        if self._holding.outbox.is_full_batch:
            self._due.set()
        return message_id

    async def flush(self) -> None:
        """As `Buffer.flush`."""
        await self._send_all()
        self._holding.tell(self._holding.outbox.let_go_refused(), raises=True)

    async def close(self) -> None:
        """As `Buffer.close`."""
        self._holding.closed = True
        self._due.set()
        if self._task is not None:
            await asyncio.wait([self._task])
        try:
            await self._send_all()
        except ClientError as error:
            told = self._holding.outbox.let_go_all(error)
        else:
            told = self._holding.outbox.let_go_refused()
        self._holding.tell(told, raises=True)

    async def _work(self) -> None:
        """Send until nothing waits; the next event begins a new task."""
        while len(self._holding.outbox) and not self._holding.closed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._wait_s):
                    await self._due.wait()
            self._due.clear()
            if self._holding.closed:
                return
            with contextlib.suppress(ClientError):  # As there.
                await self._send_all()
            if self._has_function:
                self._holding.tell(self._holding.outbox.let_go_refused(), raises=False)

    async def _send_all(self) -> None:
        async with self._sending:
            while batch := self._holding.outbox.take():
                try:
                    reply = await self._client.batch(batch)
                except ClientError as error:
                    self._holding.settle(error)
                    if error.may_pass:
                        raise
                else:
                    self._holding.outbox.done(reply.rejected)
                finally:
                    self._holding.outbox.put_back()  # Where it was cancelled on the way; else there is nothing left.
