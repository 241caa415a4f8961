"""R1: killed in ingest at any moment, a checkpoint in the making included, nothing acknowledged is lost."""

from __future__ import annotations

import os
import random
import shutil
import threading
from pathlib import Path

import pytest

from .accountant import Accountant, Balance, ask, balance, recovered, replayed
from .conftest import About, Figures, MakeSite
from .servers import ForkedServer, Site
from .tracing import traced

SYNCS = range(1, 26) if os.environ.get("INSTANTER_FULL") == "1" else (1, 5, 25)
EVENTS_MAX = 20_000
"""Ten seconds of sending: far more than any of the kills needs."""
DIED = -9
NAMES = {"rename": "?rename,?renameat,?renameat2", "fsync": "fsync", "unlink": "?unlink,?unlinkat"}
CHECKPOINT_KILLS = [(name, k) for name in NAMES for k in ((1, 2, 3) if len(SYNCS) > 3 else (1,))]
"""The calls that a checkpoint ends with: renamed, its directory synced, an older one removed."""

pytestmark = [pytest.mark.faults, pytest.mark.about()]


def books_after_a_restart(
    site: Site, accountant: Accountant, died: ForkedServer, about: About
) -> tuple[ForkedServer, Balance]:
    """Start again, send again what nobody acknowledged, and close the books; the new server goes on running."""
    assert died.process.wait(10) == DIED
    cut_off = balance(accountant, site.data, site.config)
    with about("P1"):
        assert (cut_off.lost, cut_off.phantom) == (set(), set()), "before anything was sent again"
    server = site.start()
    shift = accountant.send_again(server.port)
    assert not shift.refused
    assert set(accountant.acked) == set(accountant.sent)
    return server, balance(accountant, site.data, site.config)


def assert_same_state(site: Site, server: ForkedServer, about: About) -> None:
    """The live state is that of a rebuild from the beginning, and of a start from checkpoint and tail."""
    live = ask(server.port, "GET", "/v1/state").json
    server.kill()
    with about("P1", "P2"):
        assert replayed(site.data, site.config, until=int(live["position"])).state.hash() == live["hash"]
        assert recovered(site.data, site.config).state.hash() == replayed(site.data, site.config).state.hash()


def test_r1_killed_at_a_sync_of_the_log(
    make_site: MakeSite, accountant: Accountant, strace: str, tmp_path: Path, figures: Figures, about: About,
) -> None:  # fmt: skip
    site = make_site()
    server = site.start()
    for k in SYNCS:
        injection = f"inject=fdatasync:signal=SIGKILL:when={k}"
        with traced(strace, server.pid, "-e", "trace=fdatasync", "-e", injection, report=tmp_path / "trace"):
            accountant.send(server.port, stop=threading.Event(), events_max=EVENTS_MAX)
        server, books = books_after_a_restart(site, accountant, server, about)
        books.assert_even(about, k)
    figures(kills=len(SYNCS), ready_s_max=round(max(site.ready_s), 2), **books.figures)
    assert_same_state(site, server, about)


def test_r1_killed_while_a_checkpoint_is_written(
    make_site: MakeSite, accountant: Accountant, strace: str, tmp_path: Path, figures: Figures, about: About,
) -> None:  # fmt: skip
    site = make_site(checkpoint_s=1)
    server = site.start()
    for name, k in CHECKPOINT_KILLS:
        injection = f"inject={NAMES[name]}:signal=SIGKILL:when={k}"
        with traced(strace, server.pid, "-e", f"trace={NAMES[name]}", "-e", injection, report=tmp_path / "trace"):
            accountant.send(server.port, stop=threading.Event(), events_max=EVENTS_MAX)
        server, books = books_after_a_restart(site, accountant, server, about)
        books.assert_even(about, (name, k))
    figures(kills=len(CHECKPOINT_KILLS), ready_s_max=round(max(site.ready_s), 2), **books.figures)
    assert_same_state(site, server, about)


def test_r1_killed_at_a_random_moment(
    make_site: MakeSite, accountant: Accountant, tmp_path: Path, full: bool, figures: Figures, about: About,
) -> None:
    site, chance = make_site(checkpoint_s=1), random.Random(1)
    server, kills = site.start(), 25 if full or not shutil.which("strace") else 2
    for _ in range(kills):
        killing = threading.Timer(chance.uniform(0.02, 1.6), server.kill)
        killing.start()
        accountant.send(server.port, stop=threading.Event(), events_max=EVENTS_MAX)
        killing.join()
        server, books = books_after_a_restart(site, accountant, server, about)
        books.assert_even(about)
    figures(kills=kills, ready_s_max=round(max(site.ready_s), 2), **books.figures)
    assert_same_state(site, server, about)


def test_r1_the_accountant_notices_what_is_lost_invented_and_doubled(
    make_site: MakeSite, accountant: Accountant, tmp_path: Path
) -> None:  # fmt: skip
    site = make_site()
    server = site.start()
    accountant.send(server.port, stop=threading.Event(), events_max=40, events_per_s=100_000)
    ask(server.port, "POST", "/v1/track", {"event": "x", "anonymousId": "p1", "messageId": "nobody sent this"})
    accountant.acked.note(["m-4000"])
    server.stop()
    books = balance(accountant, site.data, site.config)
    assert (books.lost, books.phantom, books.double) == ({"m-4000"}, {"nobody sent this"}, {})


@pytest.mark.long
def test_r1_two_hundred_kills_at_random_moments(
    make_site: MakeSite, accountant: Accountant, figures: Figures, about: About
) -> None:  # fmt: skip
    site, chance = make_site(checkpoint_s=1), random.Random(200)
    server = site.start()
    for kill in range(200):
        killing = threading.Timer(chance.uniform(0.02, 1.6), server.kill)
        killing.start()
        accountant.send(server.port, stop=threading.Event(), events_max=EVENTS_MAX)
        killing.join()
        if kill % 10 == 9:
            server, books = books_after_a_restart(site, accountant, server, about)
            books.assert_even(about)
        else:
            assert server.process.wait(10) == DIED
            server = site.start()
            assert not accountant.send_again(server.port).refused
    figures(kills=200, ready_s_max=round(max(site.ready_s), 2), **books.figures)
    assert_same_state(site, server, about)
