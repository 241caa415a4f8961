"""R7: each id sent one to five times, across a restart, has one effect."""

from __future__ import annotations

import random

import pytest

from instanter.state.layout import CELL_EVENTS, CELL_OVERFLOW
from instanter.state.table import CELLS, address

from .accountant import PEOPLE, Accountant, Client, Shift, ask, balance, message_ids, recovered
from .conftest import Figures, MakeSite

BATCH = 200

pytestmark = pytest.mark.faults


def test_r7_ids_sent_up_to_five_times_across_a_restart(
    make_site: MakeSite, accountant: Accountant, full: bool, figures: Figures
) -> None:
    site, chance = make_site(), random.Random(7)
    ids = [f"m-{number}" for number in range(100_000 if full else 4_000)]
    accountant.sent.note(ids)
    again = [one for one in ids for _ in range(chance.randrange(1, 6))]
    chance.shuffle(again)
    half = len(again) // 2
    for part in (again[:half], again[half:]):
        server = site.start()
        send(server.port, part, accountant)
        server.kill()
    books = balance(accountant, site.data, site.config)
    assert books.even, books
    assert books.present == len(ids)
    kept = sum(count for by_cell in message_ids(site.data).values() for count in by_cell.values())
    assert kept == len(again), "the log keeps them all"
    figures(sent=len(again), **books.figures)


def test_r7_what_a_person_can_no_longer_remember_is_counted_as_overflow(make_site: MakeSite) -> None:
    site = make_site()
    server = site.start()
    events = [{"type": "track", "event": "x", "anonymousId": "a", "messageId": f"m-{number}",
               "timestamp": 1_700_000_000_000 + 1_000 * number} for number in range(4_200)]  # fmt: skip
    for part in (events[-4_096:], events[-4_096:], events[:-4_096]):
        for first in range(0, len(part), BATCH):
            assert ask(server.port, "POST", "/v1/batch", {"batch": part[first : first + BATCH]}).status == 200
    assert b"instanter_messages_forgotten 104.0" in ask(server.port, "GET", "/metrics").body
    server.kill()
    memory = recovered(site.data, site.config).state.tables.memory
    cell = address(memory.regions, CELLS, 0)
    assert memory.ints[cell + CELL_EVENTS] == len(events), "4,096 are remembered, and had one effect"
    assert memory.ints[cell + CELL_OVERFLOW] == len(events) - 4_096


def send(port: int, ids: list[str], accountant: Accountant) -> None:
    shift, client = Shift(), Client(port)
    for first in range(0, len(ids), BATCH):
        accountant.exchange(client, ids[first : first + BATCH], shift)
    client.close()
    assert not shift.refused
    assert len(ids) > PEOPLE
