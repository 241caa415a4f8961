"""The last hour by the second: each sample says what happened since the one before, and old ones go for new ones."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from instanter.api.app import make_app
from instanter.api.auth import Access
from instanter.api.tenancy import Terms
from instanter.decisions.fallback import AROUND, STAGES
from instanter.engine.loop import Engine
from instanter.foundation.clock import ManualClock
from instanter.foundation.limits import LIVE_SAMPLES_MAX
from instanter.foundation.measure import Histogram, Lately
from instanter.ops.live import LiveSeries
from instanter.ops.workers.board import WorkerSeen
from instanter.ops.workers.figures import Figures

from ..api.client import Client, track, warmed
from ..engine.harness import with_engine

T = TypeVar("T")
HOUR = range(LIVE_SAMPLES_MAX)


class Watched:
    """A client of an application that samples are taken of, by hand."""

    def __init__(self, client: Client, series: LiveSeries, clock: ManualClock) -> None:
        self.client = client
        self._series = series
        self._clock = clock

    def sample(self) -> None:
        self._clock.advance(1_000)
        self._series.sample()

    async def live(self, query: str = "") -> Any:
        reply = await self.client.get(f"/v1/live{query}")
        assert reply.status_code == 200, reply.text
        return reply.json()


def watched(root: Path, work: Callable[[Watched], Awaitable[T]], *, terms: Terms | None = None,
            workers: Callable[[], list[WorkerSeen]] = list) -> T:  # fmt: skip
    warmed()

    async def run(engine: Engine) -> T:
        clock = ManualClock()
        access = Access(engine, ManualClock(), terms or Terms(key_requests_per_s=1_000), dev=terms is None)
        series = LiveSeries(engine, clock, working=lambda: 3, workers=workers)
        app = make_app(engine, metrics=bytes, access=access, series=series)
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as http:
            return await work(Watched(Client(http, engine), series, clock))

    return with_engine(root, run)


def test_a_sample_tells_what_happened_since_the_one_before(tmp_path: Path) -> None:
    async def work(seen: Watched) -> None:
        await seen.client.stock("sku-1")
        await seen.client.post("/v1/track", track())
        seen.sample()
        await seen.client.post("/v1/track", {"messageId": "m", "anonymousId": "a1", "event": 7})
        await seen.client.decide()
        await seen.client.decide()
        seen.sample()
        seen.sample()
        live = await seen.live()
        counts = live["counts"]
        assert (counts["eventsAccepted"], counts["eventsRejected"]) == ([1, 0, 0], [0, 1, 0])
        assert (counts["decisions"], counts["served.personal"]) == ([0, 2, 0], [0, 2, 0])
        assert live["gauges"]["requestsWorking"] == [3, 3, 3]
        assert live["gauges"]["people"] == [1, 1, 1]
        assert all(held > 1_000_000 for held in live["gauges"]["memoryBytes"])
        decide = live["stages"]["decide"]
        assert decide["p50Ms"][0] is None, "nothing was decided in that second"
        assert 0 < decide["p50Ms"][1] <= decide["p99Ms"][1]
        assert decide["p99Ms"][2] is None
        assert live["stages"]["freshness"]["p99Ms"][0] > 0
        parts = [live["stages"][name]["totalMs"] for name in (*STAGES, *AROUND)]
        assert [part[0] for part in parts] == [None] * len(parts)
        assert live["stages"]["wait"]["totalMs"][1] > 0
        assert sum(part[1] or 0.0 for part in parts) <= decide["totalMs"][1] + 0.001 * len(parts)
        assert decide["p50Ms"][1] <= 1.13 * decide["totalMs"][1], "of two decisions"
        assert [later - before for before, later in zip(live["at"], live["at"][1:], strict=False)] == [1_000, 1_000]
        assert live["deadlineMs"] == 50

    watched(tmp_path, work)


def test_what_was_told_before_is_not_told_again(tmp_path: Path) -> None:
    async def work(seen: Watched) -> None:
        assert (await seen.live())["at"] == []
        seen.sample()
        first = await seen.live()
        assert len(first["at"]) == 1
        again = await seen.live(f"?since={first['next']}")
        assert (again["at"], again["next"]) == ([], first["next"])
        seen.sample()
        seen.sample()
        second = await seen.live(f"?since={first['next']}")
        assert len(second["at"]) == 2
        columns = [*second["counts"].values(), *second["gauges"].values()]
        assert {len(column) for column in columns} == {2}

    watched(tmp_path, work)


def test_the_oldest_sample_goes_for_a_new_one(tmp_path: Path) -> None:
    async def work(seen: Watched) -> None:
        for _ in HOUR:
            seen.sample()
        oldest = (await seen.live())["at"][0]
        seen.sample()
        live = await seen.live()
        assert len(live["at"]) == LIVE_SAMPLES_MAX
        assert live["at"] == list(range(oldest + 1_000, oldest + 1_000 + LIVE_SAMPLES_MAX * 1_000, 1_000))

    watched(tmp_path, work)


def test_others_get_their_turn_while_an_hour_is_told(tmp_path: Path) -> None:
    async def work(seen: Watched) -> None:
        for _ in HOUR:
            seen.sample()
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        live = await seen.live()
        counting.cancel()
        assert turns > len(live["counts"]) + len(live["gauges"]) + 3 * len(live["stages"])

    watched(tmp_path, work)


@pytest.mark.parametrize(
    ("query", "said"),
    [("?after=1", "there is since"), ("?since=", "named as next"), ("?since=-1", "named as next"),
     ("?since=yesterday", "named as next"), ("?since=12345678901234567", "named as next")],
)  # fmt: skip
def test_what_is_no_time_is_refused(query: str, said: str, tmp_path: Path) -> None:
    async def work(seen: Watched) -> None:
        refused = await seen.client.get(f"/v1/live{query}")
        assert refused.status_code == 400
        assert said in refused.json()["error"]["message"]

    watched(tmp_path, work)


def test_it_is_the_operators_alone(tmp_path: Path) -> None:
    async def work(seen: Watched) -> list[int]:
        keys = [
            await seen.client.key("metrics:read"), await seen.client.key("decisions:read"),
            await seen.client.key("metrics:read", tenant="shop"),
        ]  # fmt: skip
        return [(await seen.client.get("/v1/live", headers=key.headers)).status_code for key in keys]

    assert watched(tmp_path, work, terms=Terms(key_requests_per_s=1_000)) == [200, 403, 403]


def test_what_other_processes_decided_counts_and_one_that_begins_anew_takes_nothing_back(tmp_path: Path) -> None:
    told = [[0, 0], [5, 5], [2, 2], [4, 4]]

    def workers() -> list[WorkerSeen]:
        decisions, served = told.pop(0)
        return [WorkerSeen(
            number=1, up=True, lag_bytes=0, decisions=decisions, handed_over=0, receipts_lost=0, starts=1,
            figures=Figures(counts={"served.popular": served}),
        )]  # fmt: skip

    async def work(seen: Watched) -> None:
        for _ in range(3):
            seen.sample()
        live = await seen.live()
        assert live["counts"]["decisions"] == [5, 0, 2]
        assert live["counts"]["served.popular"] == [5, 0, 2]
        assert live["gauges"]["workersUp"] == [2, 2, 2]

    watched(tmp_path, work, workers=workers)


def test_a_look_sees_what_came_since_the_last_one_across_turns() -> None:
    histogram = Histogram()
    histogram.observe(1_000_000)
    lately = Lately(histogram)
    assert lately.quantiles_ms(0.5)[0] == pytest.approx(1, rel=0.13)
    histogram.observe(8_000_000)
    histogram.turn()
    histogram.observe(8_000_000)
    assert [round(ms) for ms in lately.quantiles_ms(0.01, 0.99)] == [8, 8]
    assert lately.quantiles_ms(0.5) == ()
    histogram.observe(2_000_000)
    histogram.turn()
    histogram.turn()
    histogram.observe(4_000_000)
    assert [round(ms) for ms in lately.quantiles_ms(0.01, 0.99)] == [4, 4], "two turns take what came before with them"
