"""R31: one random fault after another on one installation, while events come in, people are erased and decisions asked.

A process that is killed answers nobody: what is asked between a kill and the moment its successor is ready counts as
downtime, which is reported, and every other decision counts as answered or not.
"""

from __future__ import annotations

import http.client
import json
import random
import re
import resource
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from instanter.foundation.clock import elapsed_ns

from . import slow_clients
from .accountant import PEOPLE, Accountant, Client, Shift, ask, balance, event, keys_of, recovered, replayed
from .conftest import About, MakeSite
from .hostile import hostile_requests
from .servers import ForkedServer, Site
from .tracing import traced

pytestmark = [pytest.mark.faults, pytest.mark.about()]

EVENTS_PER_S = 300
ASKS_PER_S = 25
BUDGET_MS = 50.0
ASKED = {"anonymousId": "p1", "placements": [{"id": "home.recommended"}], "deadlineMs": BUDGET_MS}


class Decisions:
    """Asks for decisions all the time, and knows when nobody can answer."""

    def __init__(self) -> None:
        self.port = 0
        self.up = threading.Event()
        self.stop = threading.Event()
        self.took_ms: list[float] = []
        self.unanswered: Counter[str] = Counter()
        self.down_ns = 0
        self._absences = 0
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Decisions:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop.set()
        self.up.set()
        self._thread.join()

    @contextmanager
    def nobody_there(self) -> Iterator[None]:
        """From here until it ends there is no process that could answer."""
        began_ns = elapsed_ns()
        self.up.clear()  # First: who has seen the count that follows waits.
        self._absences += 1
        try:
            yield
        finally:
            self.down_ns += elapsed_ns() - began_ns
            self.up.set()

    def _ask(self) -> None:
        client: Client | None = None
        while not self.stop.wait(1 / ASKS_PER_S):
            absences = self._absences
            self.up.wait()
            began_ns, kept = elapsed_ns(), client is not None
            client = client or Client(self.port)
            failure = self._answer(client)
            if failure and kept:  # A kept connection can have been closed meanwhile: every client asks once more.
                client.close()
                client = Client(self.port)
                failure = self._answer(client)
            if absences == self._absences:
                self._note(began_ns, failure)
            if failure:
                client.close()
                client = None
        if client is not None:
            client.close()

    def _answer(self, client: Client) -> str:
        """Ask once; what went wrong."""
        try:
            status = client.call("POST", "/v1/decide", ASKED).status
        except (OSError, http.client.HTTPException) as error:
            return type(error).__name__
        return "" if status == 200 else str(status)

    def _note(self, began_ns: int, failure: str) -> None:
        if failure:
            self.unanswered[failure] += 1
        else:
            self.took_ms.append((elapsed_ns() - began_ns) / 1e6)


class Chaos:
    """One installation, its books, and the faults that are done to it. Each fault leaves a server that is ready."""

    def __init__(self, site: Site, accountant: Accountant, decisions: Decisions, strace: str, report: Path) -> None:
        self._site = site
        self._accountant = accountant
        self._decisions = decisions
        self._strace = strace
        self._report = report
        self._erased = 0
        self.server: ForkedServer
        self.faults: dict[str, Callable[[random.Random], None]] = {
            "killed": self._killed, "stopped": self._stopped, "frozen": self._frozen, "sync failed": self._sync_failed,
            "disk full": self._disk_full, "slow clients": self._slow_clients, "hostile bodies": self._hostile,
            "duplicates": self._duplicates, "erasure": self._erasure, "backed up": self._backed_up,
        }  # fmt: skip

    def begin(self) -> None:
        """The first server, with a catalogue."""
        self.server = self._site.start()
        fields = [{"title": f"Item {number}", "category": f"c{number % 5}", "price": number} for number in range(50)]
        items = [{"id": f"sku-{number}", "fields": one} for number, one in enumerate(fields)]
        assert ask(self.server.port, "POST", "/v1/items", {"items": items}).status == 200
        self._decisions.port = self.server.port
        self._decisions.up.set()

    def send(self, seconds: float) -> Shift:
        """Let events come in for so long."""
        stop = threading.Event()
        timer = threading.Timer(seconds, stop.set)
        timer.start()
        shift = self._accountant.send(self.server.port, stop=stop, events_per_s=EVENTS_PER_S)
        timer.cancel()
        return shift

    @contextmanager
    def _sending(self, seconds: float) -> Iterator[None]:
        sender = threading.Thread(target=self.send, args=(seconds,))
        sender.start()
        yield
        sender.join()

    def _restart(self) -> None:
        self.server = self._site.start()
        self._decisions.port = self.server.port
        assert not self._accountant.send_again(self.server.port).refused

    def _killed(self, chance: random.Random) -> None:
        with self._sending(2.0):
            threading.Event().wait(chance.uniform(0.1, 1.5))
            with self._decisions.nobody_there():
                self.server.kill()
                self._restart()

    def _stopped(self, chance: random.Random) -> None:
        with self._sending(1.0):
            threading.Event().wait(chance.uniform(0.1, 0.5))
            with self._decisions.nobody_there():
                assert self.server.stop() == 0
                self._restart()

    def _frozen(self, chance: random.Random) -> None:
        with self._sending(2.0), self._decisions.nobody_there():
            self.server.process.send_signal(signal.SIGSTOP)
            threading.Event().wait(chance.uniform(0.2, 1.0))
            self.server.process.send_signal(signal.SIGCONT)

    def _sync_failed(self, chance: random.Random) -> None:
        injection = f"inject=fdatasync:error=EIO:when={chance.randint(1, 20)}"
        with traced(self._strace, self.server.pid, "-e", "trace=fdatasync", "-e", injection, report=self._report):
            self.send(2.0)
        with self._decisions.nobody_there():
            self.server.kill()
            self._restart()

    def _disk_full(self, chance: random.Random) -> None:
        _, hard = resource.prlimit(self.server.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.server.pid, resource.RLIMIT_FSIZE, (chance.randrange(1, 200_000), hard))
        shift = self.send(2.0)
        resource.prlimit(self.server.pid, resource.RLIMIT_FSIZE, (hard, hard))
        assert set(shift.refused) <= {507}, shift.refused
        assert not self._accountant.send_again(self.server.port).refused

    def _slow_clients(self, chance: random.Random) -> None:
        kinds = (slow_clients.silent, slow_clients.stopped, slow_clients.slow_head, slow_clients.slow_body)
        slow = [chance.choice(kinds)(self.server.port) for _ in range(40)]
        with self._sending(2.0):
            for _ in range(4):
                threading.Event().wait(0.5)
                for client in slow:
                    client.drip()
        for client in slow:
            client.close()

    def _hostile(self, chance: random.Random) -> None:
        with self._sending(1.0):
            for hostile in hostile_requests(chance.randrange(1 << 30), 60):
                client = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
                client.request(hostile.method, hostile.path, body=hostile.body, headers=hostile.headers)
                assert client.getresponse().status < 500
                client.close()

    def _duplicates(self, chance: random.Random) -> None:
        shift = self._accountant.send_again(self.server.port, also_acked=chance.randint(200, 800))
        assert not shift.refused

    def _erasure(self, chance: random.Random) -> None:
        self._erased += 1
        person, port = f"leaving-{self._erased}", self.server.port
        sent = {**event(f"x-{self._erased}"), "anonymousId": person}
        assert ask(port, "POST", "/v1/track", sent).status == 200
        with self._sending(1.0):
            assert ask(port, "DELETE", f"/v1/profiles/anonymous:{person}").status == 200
            assert ask(port, "POST", "/v1/track", sent).status == 200
        assert ask(port, "GET", f"/v1/profiles/anonymous:{person}").status == 404

    def _backed_up(self, chance: random.Random) -> None:
        to = self._report.with_name(f"backup-{chance.randrange(1 << 30)}")
        with self._sending(2.0):
            assert self._site.run("backup", "--data", str(self._site.data), "--to", str(to)) == 0


def quantile(values: list[float], share: float) -> float:
    """By rank."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def ordeal(
    site: Site, accountant: Accountant, strace: str, report: Path, *, seconds: float, pause_s: float, seed: int,
    about: About,
) -> dict[str, Any]:
    """Faults for so long, each sort once before chance decides; what was met."""
    chance, met = random.Random(seed), Counter[str]()
    with Decisions() as decisions:
        chaos = Chaos(site, accountant, decisions, strace, report)
        chaos.begin()
        began_ns = elapsed_ns()
        queue = chance.sample(sorted(chaos.faults), len(chaos.faults))
        while (elapsed_ns() - began_ns) / 1e9 < seconds:
            name = queue.pop() if queue else chance.choice(sorted(chaos.faults))
            chaos.faults[name](chance)
            met[name] += 1
            chaos.send(pause_s)
        lasted_s = (elapsed_ns() - began_ns) / 1e9
    live = ask(chaos.server.port, "GET", "/v1/state").json
    chaos.server.kill()
    with about("P1", "P2"):
        assert replayed(site.data, site.config, until=int(live["position"])).state.hash() == live["hash"]
        assert recovered(site.data, site.config).state.hash() == replayed(site.data, site.config).state.hash()
    return {
        "lasted_s": lasted_s, "met": met, "answered": len(decisions.took_ms), "unanswered": decisions.unanswered,
        "down_s": decisions.down_ns / 1e9, "took_ms": decisions.took_ms,
    }  # fmt: skip


def check(
    site: Site, accountant: Accountant, met: dict[str, Any], record_property: Callable[[str, object], None],
    about: About,
) -> float:
    """The books are even and the decisions were answered; the p99 of these in ms."""
    books = balance(accountant, site.data, site.config)
    keys = keys_of(site.data)
    people = {keys.find("default", f"anonymous:p{number}") for number in range(PEOPLE)}
    double = {cell: found for cell, found in books.double.items() if cell in people}
    phantom = {one for one in books.phantom if re.fullmatch(r"m-\d+", one)}
    unanswered = sum(met["unanswered"].values())
    share = met["answered"] / (met["answered"] + unanswered)
    p99_ms = quantile(met["took_ms"], 0.99)
    record_property("faults", json.dumps(met["met"], sort_keys=True))
    record_property("minutes", round(met["lasted_s"] / 60, 1))
    record_property("events", books.present)
    record_property("lost, phantom, double", f"{len(books.lost)}, {len(phantom)}, {len(double)}")
    record_property("decisions answered", f"{share:.3%} of {met['answered'] + unanswered} while a process was there")
    record_property("seconds without a process", round(met["down_s"], 1))
    record_property("p99 ms", round(p99_ms, 1))
    with about("P1"):
        assert not books.lost
    with about("P2"):
        assert not phantom, "the hostile bodies have ids of their own, and so have the people who leave"
        assert not double
    with about("P4"):
        assert share >= 0.999, met["unanswered"]
    return p99_ms


def test_r31_each_fault_once(
    make_site: MakeSite, accountant: Accountant, strace: str, tmp_path: Path, full: bool,
    record_property: Callable[[str, object], None], about: About,
) -> None:  # fmt: skip
    if not full:
        pytest.skip("takes a minute and a half: make faults")
    site = make_site(checkpoint_s=5)
    met = ordeal(site, accountant, strace, tmp_path / "trace", seconds=45, pause_s=0.5, seed=31, about=about)
    assert len(met["met"]) == 10
    check(site, accountant, met, record_property, about)


@pytest.mark.long
def test_r31_twenty_minutes_of_faults(
    make_site: MakeSite, accountant: Accountant, strace: str, tmp_path: Path,
    record_property: Callable[[str, object], None], about: About,
) -> None:  # fmt: skip
    site = make_site(checkpoint_s=20)
    met = ordeal(site, accountant, strace, tmp_path / "trace", seconds=20 * 60, pause_s=25, seed=1931, about=about)
    p99_ms = check(site, accountant, met, record_property, about)
    with about("P4"):
        assert p99_ms <= 2 * BUDGET_MS
