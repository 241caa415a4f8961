"""R16 in its long form: five million people and a million items in one process, most of the people on disk.

Everybody is filled in with two visits of the day before, so that whoever comes back has a cell, two sessions and one
chunk of message ids, as before: what the load leaves behind is as large as what it found, and memory that grows all
the same is not the people's.
"""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
import pytest

from instanter.foundation.clock import SystemClock, elapsed_ns
from instanter.ops.bench.load import Connection, request
from instanter.ops.bench.server import Metrics, Server
from instanter.ops.bench.traffic import batch
from instanter.sim.shop import Shop
from instanter.sim.wire import iso

from .conftest import Figures
from .test_r31_chaos import quantile

MEMORY_MB: Final = 4_450
PEOPLE: Final = 5_000_000
ITEMS: Final = 1_000_000
LOAD_S: Final = 600
WARM_S: Final = 120
"""Of the load, before growth counts."""
FLAT_OUT_S: Final = 60
"""How long the rate is measured of which the load is half."""
GROWTH_MIB_PER_H_MAX: Final = 1.0
READ_AT_USE_PER_1000_MAX: Final = 10
"""Of people on disk who were needed: how many the loop itself may have read. A count, so it says the same of how
decisions stand to the disk on a machine that others use too, where a time does not."""

HOUR_MS: Final = 3_600_000
FILLED_MS_AGO: Final = (26 * HOUR_MS, 25 * HOUR_MS)
"""Longer ago than message ids are remembered, and longer apart than a session may pause."""
VISIT_EVENTS: Final = 3
BATCH_EVENTS: Final = 240
ITEMS_PER_CALL: Final = 2_000
CONNECTIONS: Final = 3
STRIDE: Final = 3_000_017
"""Prime to the number of people: in steps of it everybody comes once, and nobody beside whom they were filled in."""
ASKS_PER_S: Final = 5
CONFIG: Final = """\
[state]
memory_mb = {memory_mb}
[limits]
requests_per_s = 1000000
"""
EVENT: Final = (
    '{"type":"track","event":"Product Viewed","messageId":"%s","anonymousId":"visitor-%07d","timestamp":"%s",'
    '"properties":{"product_id":"sku-%07d","price":%d.5},"context":{"locale":"en-GB","page":{"path":"/product"}}}'
)


class House(NamedTuple):
    """How many there are."""

    people: int
    items: int


class Sent(NamedTuple):
    """What became of some requests."""

    requests: int
    refused: int
    seconds: float


class Read(NamedTuple):
    """How people on disk were read, as the server counts it: ahead, and on the loop when they were needed."""

    ahead: int
    at_use: int

    @property
    def at_use_per_1000(self) -> float:
        """Of a thousand who were read."""
        return 1_000 * self.at_use / max(self.ahead + self.at_use, 1)


class Samples(NamedTuple):
    """Resident memory by time."""

    at_s: list[float]
    mib: list[float]


class Growth(NamedTuple):
    """The slope of memory over time, and what it can be told from: two standard errors."""

    mib_per_h: float
    resolved_mib_per_h: float


def growth(samples: Samples, *, after_s: float, step_s: float) -> Growth:
    """The least-squares line through the medians of equal steps of time.

    What takes memory for a moment takes many times what a slow leak adds in these minutes: a median leaves it out.

    >>> at_s = [float(second) for second in range(600)]
    >>> found = growth(Samples(at_s, [100 + second / 360 for second in at_s]), after_s=120, step_s=60)
    >>> round(found.mib_per_h, 6), round(found.resolved_mib_per_h, 6)
    (10.0, 0.0)
    """
    at_s, mib = np.array(samples.at_s), np.array(samples.mib)
    steps = (at_s - after_s) // step_s
    numbers = [number for number in np.unique(steps) if number >= 0]
    medians = np.array([np.median(mib[steps == number]) for number in numbers])
    hours = np.array([np.mean(at_s[steps == number]) for number in numbers]) / 3_600
    centred = hours - hours.mean()
    slope = float((centred * medians).sum() / (centred**2).sum())
    residuals = medians - medians.mean() - slope * centred
    error = float(np.sqrt((residuals**2).sum() / max(len(medians) - 2, 1) / (centred**2).sum()))
    return Growth(slope, 2 * error)


def resident_mib(pid: int, field: str) -> float:
    """`VmHWM` is the most there ever was, `VmRSS` what there is."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def people_read(known: Metrics) -> Read:
    """Since the server started."""
    ahead = sum(known.by("instanter_people_fetched_total", "how").values())
    return Read(round(ahead), round(known.value("instanter_people_read_at_use")))


def catalogue(items: int) -> Iterator[bytes]:
    """The requests that make them, each a furniture shop's product with a name of its own."""
    kinds = [msgspec.structs.replace(item.fields, stock=9) for item in Shop(products=2_000).items()]
    for first in range(0, items, ITEMS_PER_CALL):
        numbers = range(first, min(first + ITEMS_PER_CALL, items))
        sent = [{"id": f"sku-{number:07d}", "fields": kinds[number % len(kinds)]} for number in numbers]
        yield request("POST", "/v1/items", msgspec.json.encode({"items": sent}))


def batches(events: Iterable[bytes], now_ms: int) -> Iterator[bytes]:
    """The requests that send these events."""
    some: list[bytes] = []
    for event in events:
        some.append(event)
        if len(some) == BATCH_EVENTS:
            yield batch(some, sent_at_ms=now_ms)
            some = []
    if some:
        yield batch(some, sent_at_ms=now_ms)


def first_visits(house: House, now_ms: int) -> Iterator[bytes]:
    """Everybody's two visits of the day before; all items are looked at."""
    then = [iso(now_ms - ago_ms) for ago_ms in FILLED_MS_AGO]
    for person in range(house.people):
        for visit, at in enumerate(then):
            item = (2 * person + visit) % house.items
            yield (EVENT % (f"f-{person}-{visit}", person, at, item, item % 90)).encode()


class Visits:
    """People who come back, each once; where they end the next ones go on."""

    def __init__(self, house: House, clock: SystemClock) -> None:
        self._house = house
        self._clock = clock
        self.made = 0

    def requests(self, seconds: float, *, per_s: float = 0.0) -> Iterator[bytes]:
        """Batches for so long; with a rate each is handed out when it is due."""
        began_ns = elapsed_ns()
        for number in range(1 << 62):
            passed_s = (elapsed_ns() - began_ns) / 1e9
            if passed_s >= seconds or self.made >= self._house.people:
                return
            if per_s and number / per_s > passed_s:
                threading.Event().wait(number / per_s - passed_s)
            now_ms = self._clock.now_ms()
            yield from batches(self._visits(BATCH_EVENTS // VISIT_EVENTS, now_ms), now_ms)

    def _visits(self, count: int, now_ms: int) -> Iterator[bytes]:
        at = iso(now_ms)
        for visit in range(self.made, self.made + count):
            person = visit * STRIDE % self._house.people
            for number in range(VISIT_EVENTS):
                item = (visit * 7_919 + number * 104_729) % self._house.items
                yield (EVENT % (f"v-{visit}-{number}", person, at, item, item % 90)).encode()
        self.made += count


def send(port: int, requests: Iterable[bytes]) -> Sent:
    """Send them over a few connections; what is refused for now is sent again."""
    remaining, guard, began_ns = iter(requests), threading.Lock(), elapsed_ns()

    def work() -> tuple[int, int]:
        connection, sent, refused = Connection(port), 0, 0
        while True:
            with guard:
                content = next(remaining, None)
            if content is None:
                connection.close()
                return sent, refused
            while (reply := connection.exchange(content)).status == 429:
                refused += 1
                threading.Event().wait(0.05)
            assert reply.status == 200, reply.body
            sent += 1

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        told = [working.result() for working in [pool.submit(work) for _ in range(CONNECTIONS)]]
    seconds = (elapsed_ns() - began_ns) / 1e9
    return Sent(sum(sent for sent, _ in told), sum(refused for _, refused in told), seconds)


class Watch:
    """Samples memory, and asks for decisions, until it is left."""

    def __init__(self, server: Server, house: House) -> None:
        self._server = server
        self._house = house
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._sample), threading.Thread(target=self._ask)]
        self.samples = Samples([], [])
        self.took_ms: list[float] = []
        self.unanswered = 0

    def __enter__(self) -> Watch:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _sample(self) -> None:
        began_ns = elapsed_ns()
        while not self._stop.wait(1.0):
            self.samples.mib.append(resident_mib(self._server.pid, "VmRSS"))
            self.samples.at_s.append((elapsed_ns() - began_ns) / 1e9)

    def _ask(self) -> None:
        connection, person = Connection(self._server.port), 0
        while not self._stop.wait(1 / ASKS_PER_S):
            person = (person + STRIDE) % self._house.people
            body = {"anonymousId": f"visitor-{person:07d}", "placements": [{"id": "home.recommended"}]}
            began_ns = elapsed_ns()
            reply = connection.exchange(request("POST", "/v1/decide", msgspec.json.encode(body)))
            self.took_ms.append((elapsed_ns() - began_ns) / 1e6)
            self.unanswered += reply.status != 200
        connection.close()


@pytest.mark.parametrize("leak_mib_per_h", [0.0, 10.0])
def test_growth_is_told_from_noise_and_from_what_checkpoints_take(leak_mib_per_h: float) -> None:
    chance = np.random.default_rng(16)
    at_s = np.arange(600.0)
    mib = 4_000 + leak_mib_per_h * at_s / 3_600 + chance.normal(0, 0.05, 600) + 60 * (at_s % 61 < 15)
    found = growth(Samples(at_s.tolist(), mib.tolist()), after_s=120, step_s=60)
    assert abs(found.mib_per_h - leak_mib_per_h) <= found.resolved_mib_per_h <= 2
    assert (found.mib_per_h - found.resolved_mib_per_h > GROWTH_MIB_PER_H_MAX) == (leak_mib_per_h > 1)


def test_people_whom_the_loop_read_are_told_of_all_that_were_read() -> None:
    text = (
        "# TYPE instanter_people_fetched counter\n"
        'instanter_people_fetched_total{how="at_once"} 900.0\n'
        'instanter_people_fetched_total{how="thread"} 80.0\n'
        "# TYPE instanter_people_read_at_use gauge\n"
        "instanter_people_read_at_use 20.0\n"
    )
    read = people_read(Metrics(text))
    assert (read, read.at_use_per_1000) == (Read(980, 20), 20.0)
    assert read.at_use_per_1000 > READ_AT_USE_PER_1000_MAX
    assert people_read(Metrics("")).at_use_per_1000 == 0.0


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    """A configuration that a server has started with before: whoever is the first to start compiles the kernels, and
    keeps what the compiler took. The data goes with the test."""
    path = tmp_path / "instanter.toml"
    path.write_text(CONFIG.format(memory_mb=MEMORY_MB))
    with Server(tmp_path / "first", config=path) as server:
        server.wait_ready()
    yield path
    shutil.rmtree(tmp_path / "data", ignore_errors=True)


@pytest.mark.faults
@pytest.mark.long
def test_five_million_people_and_a_million_items_at_half_load(tmp_path: Path, config: Path, figures: Figures) -> None:
    house, clock = House(PEOPLE, ITEMS), SystemClock()
    with Server(tmp_path / "data", config=config) as server:
        server.wait_ready()
        items = send(server.port, catalogue(house.items))
        now_ms = clock.now_ms()
        people = send(server.port, batches(first_visits(house, now_ms), now_ms))
        filled_mib = resident_mib(server.pid, "VmRSS")
        figures(memory_mb=MEMORY_MB, items_filled_s=round(items.seconds), people_filled_s=round(people.seconds),
                filled_mib=round(filled_mib))  # fmt: skip
        visits = Visits(house, clock)
        flat_out = send(server.port, visits.requests(FLAT_OUT_S))
        per_s = flat_out.requests / flat_out.seconds / 2
        with Watch(server, house) as watch:
            load = send(server.port, visits.requests(LOAD_S, per_s=per_s))
        most_mib = resident_mib(server.pid, "VmHWM")
        known = server.metrics()
        read = people_read(known)
        found = growth(watch.samples, after_s=WARM_S, step_s=60)
        np.savetxt(tmp_path / "samples.txt", np.array(watch.samples).T, fmt="%.3f")
    figures(people=round(known.value("instanter_people")), on_disk=round(known.value("instanter_people_on_disk")),
            items=round(known.value("instanter_catalogue_items")),
            events_per_s_flat_out=round(flat_out.requests * BATCH_EVENTS / flat_out.seconds),
            events_per_s=round(load.requests * BATCH_EVENTS / load.seconds), refused=load.refused,
            resident_mib_max=round(most_mib), growth_mib_per_h=round(found.mib_per_h, 2),
            growth_resolved_mib_per_h=round(found.resolved_mib_per_h, 2), decisions=len(watch.took_ms),
            decisions_unanswered=watch.unanswered, decisions_p50_ms=round(quantile(watch.took_ms, 0.5), 1),
            decisions_p99_ms=round(quantile(watch.took_ms, 0.99), 1), people_read_ahead=read.ahead,
            people_read_at_use=read.at_use,
            decisions_without_the_person=round(known.value("instanter_people_late_total")))  # fmt: skip
    assert (known.value("instanter_people"), known.value("instanter_catalogue_items")) == house
    assert known.value("instanter_people_on_disk") > house.people // 2
    assert load.seconds >= LOAD_S - 1, "there were people enough for all of the load"
    assert watch.unanswered == 0
    assert read.ahead > 0, "people on disk were needed"
    assert read.at_use_per_1000 <= READ_AT_USE_PER_1000_MAX
    assert most_mib <= 1.1 * MEMORY_MB
    assert found.mib_per_h - found.resolved_mib_per_h <= GROWTH_MIB_PER_H_MAX
