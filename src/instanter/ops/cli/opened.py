"""A data directory opened by a command itself, as a server would, for verbs that need no HTTP."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ...engine.loop import Engine
from ...foundation.deadline import Deadline
from ..config import load
from ..wiring import open_engine
from .existing import existing

STOP_MS = 60_000.0

T = TypeVar("T")


def with_engine(arguments: argparse.Namespace, work: Callable[[Engine], Awaitable[T]]) -> T:
    """What `work` gives on the engine of `--data` and `--config`, which is stopped afterwards as by SIGTERM.

    Raises `LogClosed` while a server has the directory, and `Broken` where there is none.
    """
    existing(arguments)
    make_engine = open_engine(load(arguments.config), arguments.data)

    async def run() -> T:
        engine = make_engine()
        await engine.start()
        try:
            return await work(engine)
        finally:
            await engine.stop(Deadline(STOP_MS))

    return asyncio.run(run())
