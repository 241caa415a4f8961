"""A fold that falls behind holds up what comes in, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from instanter.engine.journal import RECORDS_PER_STEP
from instanter.engine.loop import Engine
from instanter.events.envelope import Decided
from instanter.foundation.errors import Overloaded
from instanter.foundation.limits import UNFOLDED_RECORDS_MAX

from .harness import with_engine


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
