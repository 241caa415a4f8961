"""A fold that falls behind holds up what comes in, and nothing else."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from instanter.engine.intake import BYTES_PER_STEP, BYTES_PER_TURN
from instanter.engine.journal import RECORDS_PER_STEP
from instanter.engine.loop import Engine
from instanter.events.envelope import Decided
from instanter.foundation.errors import Overloaded
from instanter.foundation.limits import UNFOLDED_RECORDS_MAX

from .harness import event, take, with_engine


def test_while_too_many_records_wait_to_be_folded_no_more_are_taken(tmp_path: Path) -> None:
    async def work(engine: Engine) -> None:
        journal = engine.journal
        record = Decided(1, "default", 0, "d", b"")
        for _ in range(UNFOLDED_RECORDS_MAX + 4 * RECORDS_PER_STEP):
            position = journal.append(record, engine.clock.now_ms())
        journal.check_room(1)
        await journal.durable(position)
        with pytest.raises(Overloaded, match="the state is behind"):
            journal.check_room(1)
        await journal.folded(position)
        journal.check_room(1)

    with_engine(tmp_path, work)


def test_the_loop_has_turns_between_the_steps_of_a_large_batch(tmp_path: Path) -> None:
    """Lists of products take long to read: whoever asks meanwhile takes several turns of the loop to be answered."""
    products = [{"product_id": f"p{number}", "price": "1,234.5"} for number in range(200)]
    large = [event(number, properties={"products": products}) for number in range(64)]

    async def work(engine: Engine) -> None:
        taken = asyncio.ensure_future(take(engine, *large))
        grew, still = list[int](), 0
        while still < 1_000:
            before = engine.journal.next_position
            await asyncio.sleep(0)
            grew, still = ([*grew, still + 1], 0) if engine.journal.next_position > before else (grew, still + 1)
        await taken
        size_bytes = sum(map(len, large))
        assert len(grew) >= size_bytes // (BYTES_PER_STEP + len(large[0])), "there are several steps"
        assert min(grew[1:]) > BYTES_PER_STEP // BYTES_PER_TURN

    with_engine(tmp_path, work)
