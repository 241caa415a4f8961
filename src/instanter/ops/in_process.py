"""The engine in this process: what `instanter serve --dev --clock events` puts together, without HTTP before it.

Events come in through the same door, to the same log and the same fold, and lists are decided as for a request: it
saves the round trips of a run of many thousand events or lists.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import msgspec

from ..decisions.decide import UNHURRIED_MS
from ..decisions.request import DecideRequest, PlacementRequest
from ..engine.intake import Rejection
from ..engine.loop import Engine
from ..events.envelope import CANONICAL_FIELDS, ItemUpserted
from ..events.items import ItemRefused
from ..foundation.deadline import Deadline
from ..foundation.limits import ID_CHARS_MAX, ITEM_FIELDS_BYTES_MAX, SUBJECTS_OPEN_IN_PROCESS_MAX
from ..privacy.subjects import KeyStore
from .settings import Config
from .wiring import open_engine

TENANT: Final = "default"
PIECE_EVENTS: Final = 5_000
PIECE_BYTES: Final = 4 * 1024 * 1024
"""One event more than that at most: far less than what may wait for the disk."""
ITEMS_PER_CALL: Final = 1_000
STOP_MS: Final = 30_000


class Spot(NamedTuple):
    """One list that is asked for."""

    placement: str
    limit: int
    item: str = ""
    """That the page is about, "" for none."""


class Answered(NamedTuple):
    """The lists of one question, by placement."""

    lists: dict[str, list[str]]
    rungs: dict[str, str]
    degraded: Sequence[str]
    took_ms: float


class InProcess:
    """An engine over a data directory, in force while its block is entered. Used in one thread.

    Nothing of it is kept where the block is left without `keep`: it ends as if the process had been killed.
    """

    def __init__(self, config: Config, data: Path) -> None:
        self._config = config
        self._data = data
        self._loop = asyncio.new_event_loop()
        self._kept = False

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            opening.callback(self._end)
            make = open_engine(
                self._config, self._data, clock_of_events=True, may_make_master_key=True,
                open_subjects=partial(KeyStore, open_max=SUBJECTS_OPEN_IN_PROCESS_MAX),
            )  # fmt: skip
            self._engine = self._loop.run_until_complete(_made(make))
            opening.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._kept:
            self._loop.run_until_complete(self._engine.abandon())
        self._end()

    def _end(self) -> None:
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def keep(self) -> None:
        """End in order, with a checkpoint, so that a server goes on from here at once. The last call."""
        self._loop.run_until_complete(self._engine.stop(Deadline(STOP_MS)))
        self._kept = True

    def begin_at(self, at_ms: int) -> None:
        """Say what time it is before any event does."""
        self._engine.clock.observe(at_ms)

    def put_items(self, items: Mapping[str, Mapping[str, Any]]) -> None:
        """Upsert items whose fields need no reading, by id; the next decision sees them."""
        self._put([ItemUpserted(self._engine.clock.now_ms(), TENANT, item, dict(fields))
                   for item, fields in items.items()])  # fmt: skip

    def read_items(self, items: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str, bool]]:
        """Upsert items as `POST /v1/items` does; what there is to say of them: id, sentence, and whether the item was
        refused."""
        reader, now_ms = self._engine.feeds.reader(TENANT), self._engine.clock.now_ms()
        changes: list[ItemUpserted] = []
        for item_id, sent in items.items():
            try:
                fields = reader.read(sent)
            except ItemRefused as refused:
                yield item_id, str(refused), True
                continue
            if not 0 < len(item_id) <= ID_CHARS_MAX or len(msgspec.json.encode(fields)) > ITEM_FIELDS_BYTES_MAX:
                most = f"an id has at most {ID_CHARS_MAX} characters, and fields {ITEM_FIELDS_BYTES_MAX:,} bytes"
                yield item_id, most, True
                continue
            for remark in reader.remarks:
                yield item_id, remark.message, False
            changes.append(ItemUpserted(now_ms, TENANT, item_id, fields, CANONICAL_FIELDS))
        self._put(changes)

    def shows(self, item_id: str) -> bool:
        """Whether an item is in the catalogue, and not sold out there."""
        item = self._engine.partition.state.catalogue.get(TENANT, item_id)
        return item is not None and item.available

    def _put(self, changes: Sequence[ItemUpserted]) -> None:
        for first in range(0, len(changes), ITEMS_PER_CALL):
            self._loop.run_until_complete(self._engine.change_items(changes[first : first + ITEMS_PER_CALL]))

    def import_events(self, events: Sequence[bytes]) -> list[Rejection]:
        """Take many events of the past in their order; on return all are folded. Those that were not taken.

        It waits for the disk once in a piece, and not once in a step as an import that must be able to go on. The
        clock of events runs fast then: an epoch and a tick are due behind each group that is folded, so a few large
        groups cost less than many.
        """
        rejected: list[Rejection] = []
        for piece in in_pieces(events):
            rejected += self.take_events(piece)
        return rejected

    def take_events(self, events: Sequence[bytes]) -> list[Rejection]:
        """Take events as they happen, as `POST /v1/batch` does; on return all are folded. Those not taken."""
        if not events:
            return []
        taken = self._loop.run_until_complete(self._engine.intake.take(events, kind=None, tenant=TENANT, alone=True))
        return list(taken.rejected)

    def ask(self, person: str, at_ms: int, spots: Sequence[Spot], *, named: bool = True) -> Answered:
        """What would be shown to this person then; `named`: by a userId, else by an anonymousId."""
        placements = [PlacementRequest(id=one.placement, limit=one.limit, item=one.item) for one in spots]
        request = DecideRequest(
            user_id=person if named else None, anonymous_id=None if named else person, timestamp=at_ms,
            placements=placements,
        )  # fmt: skip
        decision = self._loop.run_until_complete(
            self._engine.decide(request, tenant=TENANT, deadline=Deadline(UNHURRIED_MS))
        )
        placed = decision.reply.placements
        return Answered(
            {name: [item.id for item in one.items] for name, one in placed.items()},
            {name: one.served_by for name, one in placed.items()}, decision.reply.degraded, decision.reply.took_ms,
        )  # fmt: skip


def in_pieces(events: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Events in parts of what is taken together.

    >>> [len(piece) for piece in in_pieces([b"x"] * 5_001)], [len(piece) for piece in in_pieces([b"x" * 2**21] * 5)]
    ([5000, 1], [2, 2, 1])
    """
    first = held_bytes = 0
    for place, event in enumerate(events):
        if place - first == PIECE_EVENTS or held_bytes >= PIECE_BYTES:
            yield events[first:place]
            first, held_bytes = place, 0
        held_bytes += len(event)
    if first < len(events):
        yield events[first:]


async def _made(make: Callable[[], Engine]) -> Engine:
    engine = make()
    await engine.start()
    return engine


def quiet() -> None:
    """Say nothing of what goes on in the engine but errors."""
    logging.getLogger("instanter").setLevel(logging.ERROR)
