"""R5: a disk without room refuses events politely, loses none, and is well again by itself; decisions go on."""

from __future__ import annotations

import os
import resource
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from instanter.foundation.clock import elapsed_ns

from .accountant import Accountant, Balance, Client, Shift, ask, balance
from .conftest import About, Figures, InTime, MakeSite
from .servers import ForkedServer, Site

DISK_BYTES = 16 * 1024 * 1024
FILLED_BYTES = 11 * 1024 * 1024
"""Taken by somebody else, and given back later."""
LIMIT_BYTES = 300 * 1024
PADDING = 1_500
RESUMED_S_MAX = 5.0
DECIDE = {"anonymousId": "p1", "placements": [{"id": "home.recommended"}]}
LARGE = {"items": [{"id": f"large-{number}", "fields": {"text": "x" * 15_000}} for number in range(60)]}
ITEMS = {"items": [{"id": f"sku-{number}", "fields": {"price": 1}} for number in range(20)]}

pytestmark = [pytest.mark.faults, pytest.mark.about()]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    directory = tmp_path / "small"
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(directory)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not permitted here")
    yield directory
    subprocess.run(["umount", "--lazy", str(directory)], check=True)


class Asking:
    """Somebody who asks for decisions all the while."""

    def __init__(self, port: int) -> None:
        self.asked, self.answered = 0, 0
        self._port = port
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        client = Client(self._port)
        while not self._stop.wait(0.01):
            self.asked += 1
            reply = client.call("POST", "/v1/decide", DECIDE)
            self.answered += reply.status == 200 and len(reply.json["placements"]["home.recommended"]["items"]) > 0
        client.close()

    def end(self) -> None:
        self._stop.set()
        self._thread.join()


def fill(accountant: Accountant, server: ForkedServer) -> Shift:
    """Send until the disk is full and for a while longer."""
    shift = accountant.send(server.port, stop=threading.Event(), events_max=4_500, events_per_s=6_000, padding=PADDING)
    assert shift.acked > 0
    assert set(shift.refused) == {507}
    assert not shift.unpolite, "507 says why, and when to come back"
    assert not shift.broken_off
    item = ask(server.port, "POST", "/v1/items", LARGE)
    assert (item.status, item.json["error"]["code"], "retry-after" in item.headers) == (507, "disk_full", True)
    return shift


def assert_resumed(accountant: Accountant, server: ForkedServer, freed_ns: int, in_time: InTime) -> float:
    """What was refused is taken now, without a restart; after how many seconds."""
    while accountant.send_again(server.port, also_acked=0, padding=PADDING).refused:
        assert in_time((elapsed_ns() - freed_ns) / 1e9, RESUMED_S_MAX)
    assert set(accountant.acked) == set(accountant.sent)
    return (elapsed_ns() - freed_ns) / 1e9


def assert_balanced(accountant: Accountant, site: Site, server: ForkedServer, about: About) -> Balance:
    assert server.stop() == 0
    books = balance(accountant, site.data, site.config)
    with about("P1"):
        assert books.even, books
    return books


def test_r5_a_full_disk_that_is_freed(
    make_site: MakeSite, accountant: Accountant, small_disk: Path, tmp_path: Path, figures: Figures, in_time: InTime,
    about: About,
) -> None:  # fmt: skip
    site = make_site(data=small_disk / "data", checkpoint_s=1)
    server = site.start()
    assert ask(server.port, "POST", "/v1/items", ITEMS).status == 200
    somebody = small_disk / "somebody-elses"
    somebody.write_bytes(bytes(FILLED_BYTES))
    asking = Asking(server.port)
    shift = fill(accountant, server)
    somebody.unlink()
    resumed_s = assert_resumed(accountant, server, elapsed_ns(), in_time)
    asking.end()
    with about("P4"):
        assert asking.answered == asking.asked > 0
    books = assert_balanced(accountant, site, server, about)
    figures(refused_507=shift.refused[507], decided=asking.answered, resumed_s_max=round(resumed_s, 2), **books.figures)


def test_r5_a_limit_on_the_size_of_files_that_is_lifted(
    make_site: MakeSite, accountant: Accountant, tmp_path: Path, figures: Figures, in_time: InTime,
    about: About,
) -> None:  # fmt: skip
    site = make_site()
    server = site.start()
    assert ask(server.port, "POST", "/v1/items", ITEMS).status == 200
    _, hard = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (LIMIT_BYTES, hard))
    asking = Asking(server.port)
    shift = fill(accountant, server)
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (hard, hard))
    resumed_s = assert_resumed(accountant, server, elapsed_ns(), in_time)
    asking.end()
    with about("P4"):
        assert asking.answered == asking.asked > 0
    books = assert_balanced(accountant, site, server, about)
    figures(refused_507=shift.refused[507], decided=asking.answered, resumed_s_max=round(resumed_s, 2), **books.figures)
