"""The door by which time and chance come into the client. Tests pass one of their own."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from typing import Protocol


class Surroundings(Protocol):
    """Time, chance, and new ids."""

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        ...

    def elapsed_s(self) -> float:
        """Seconds since some time, which no change of the clock moves."""
        ...

    def spread(self) -> float:
        """A number in [0, 1), so that many clients do not come back at once."""
        ...

    def message_id(self) -> str:
        """An id that nothing else has."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait in this thread."""
        ...

    async def pause(self, seconds: float) -> None:
        """Wait in this task."""
        ...


class RealSurroundings:
    """Those of the machine."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def elapsed_s(self) -> float:
        return time.monotonic()

    def spread(self) -> float:
        return random.random()

    def message_id(self) -> str:
        return str(uuid.uuid4())

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
