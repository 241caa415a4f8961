"""A data directory with a small shop's events in it, the same bytes in every run."""

from __future__ import annotations

import json
from pathlib import Path

from instanter.engine.loop import Engine
from instanter.foundation.clock import ManualClock
from instanter.foundation.disk import RealDisk
from instanter.ops.belonging import installation_of
from instanter.ops.datadir import DataDirectory

from ..engine.harness import SECRET, event, stock_shop, take, with_engine

CONFIG = "[state]\nmemory_mb = 64\n[limits]\nrequests_per_s = 1000000\n"
PATIENT = "[decide]\ndeadline_ms = 10000\n"
"""A busy machine lets a decision miss the 50 ms that it has otherwise, and it is then made by what needs less time."""
REJECTED = (
    b'{"type": "track", "messageId": "bad-1", "anonymousId": "a1"}',
    b'{"type": "dance", "messageId": "bad-2", "anonymousId": "\x1b[31mred", 7}',
)


def write_config(folder: Path) -> Path:
    """A configuration for small machines and fast tests."""
    path = folder / "small.toml"
    path.write_text(CONFIG + PATIENT)
    return path


def make_data(data: Path, *, item: str = "sku-3", events: int = 300) -> Path:
    """Events before a checkpoint and after it, some of them rejected; `item` is what one person looks at."""
    directory = DataDirectory(RealDisk(), data)
    directory.open()
    (directory.keys / "installation.key").write_text(SECRET.hex())
    directory.own(installation_of(SECRET))
    clock = ManualClock()

    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        for first in range(0, events, 50):
            await take(engine, *(event(number, person=f"a{number % 9}") for number in range(first, first + 50)))
        await take(engine, event(events + 1, properties={"product_id": item}), *REJECTED)
        await engine.checkpoint()
        await take(engine, *(event(number) for number in range(events + 10, events + 30)))

    with_engine(data, work, clock=clock, stop=False)
    return data


def ndjson(path: Path, lines: list[object]) -> Path:
    """A file with one JSON object a line; bytes stand for themselves."""
    raw = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    path.write_bytes(b"\n".join([*raw, b""]))
    return path
