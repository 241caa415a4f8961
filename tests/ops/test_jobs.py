"""Jobs: the queue with its bounds, and children that crash, talk rubbish, talk too much or never end."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from instanter.api.jobs import Job, Progress, Refusal
from instanter.foundation.clock import ManualClock
from instanter.foundation.errors import Overloaded, RequestRejected, Unavailable
from instanter.foundation.ids import Ids
from instanter.foundation.limits import (
    JOB_MEMORY_MB_MAX,
    JOB_OUTCOME_BYTES_MAX,
    JOB_S_MAX,
    JOBS_KEPT_BYTES_MAX,
    JOBS_KEPT_MAX,
    JOBS_WAITING_MAX,
    JOBS_WAITING_PER_TENANT_MAX,
)
from instanter.foundation.measure import Measurements
from instanter.ops.jobs.__main__ import ALARM_S
from instanter.ops.jobs.child import TOO_LONG, ChildRun, Work
from instanter.ops.jobs.queue import DEFECT, STOPPED, Finished, JobQueue, Order
from instanter.ops.jobs.work import KINDS
from instanter.ops.settings import Config

from ..engine.harness import CountingIds

T = TypeVar("T")
DONE = b'{"fine":true}'
BAD = Refusal("bad", "it is bad", 422)


class Hands:
    """Does jobs when the test says so."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.progress: Callable[[Progress], None] = print
        self._ends: dict[str, asyncio.Future[Finished]] = {}

    async def __call__(self, order: Order, on_progress: Callable[[Progress], None]) -> Finished:
        self.begun.append(order.subject)
        self.progress = on_progress
        self._ends[order.subject] = asyncio.get_running_loop().create_future()
        return await self._ends[order.subject]

    async def end(self, queue: JobQueue, job: Job, finished: Finished = DONE) -> Job:
        """Have the job that runs end so; the job then."""
        while job.subject not in self._ends:
            await asyncio.sleep(0)
        self._ends[job.subject].set_result(finished)
        return await queue.ended(job, None)


class Site:
    """A queue, who does its jobs, and what is measured of it."""

    def __init__(self) -> None:
        self.hands = Hands()
        self.clock = ManualClock()
        self.meter = Measurements()
        self.queue = JobQueue(self.hands, clock=self.clock, ids=Ids(CountingIds()), meter=self.meter)

    def start(self, subject: object, tenant: str = "one") -> Job:
        return self.queue.start(tenant, "replay", str(subject))

    def now(self, job: Job) -> Job:
        found = self.queue.get(job.tenant, job.id)
        assert found is not None
        return found


def with_queue(work: Callable[[Site], Awaitable[T]]) -> T:
    async def run() -> T:
        site = Site()
        try:
            return await work(site)
        finally:
            await site.queue.close()

    return asyncio.run(run())


def test_a_job_waits_runs_and_ends_with_its_times() -> None:
    async def work(site: Site) -> None:
        first, second = site.start("a"), site.start("b")
        assert (first.state, second.state) == ("running", "waiting")
        assert (site.queue.running, site.queue.waiting) == (1, 1)
        site.clock.advance(5)
        await asyncio.sleep(0)
        site.hands.progress(Progress(3, 9))
        assert site.now(first).progress == Progress(3, 9)
        ended = await site.hands.end(site.queue, first)
        assert (ended.state, ended.outcome, ended.ended_ms - ended.created_ms) == ("done", DONE, 5)
        assert site.now(second).started_ms == ended.ended_ms
        refused = await site.hands.end(site.queue, second, BAD)
        assert (refused.state, refused.refusal, refused.outcome) == ("failed", BAD, b"")
        assert [job.subject for job in site.queue.of("one")] == ["b", "a"]
        assert (site.meter.counts["jobs_done.replay"], site.meter.counts["jobs_failed.replay"]) == (1, 1)
        assert (site.queue.running, site.queue.waiting) == (0, 0)

    with_queue(work)


def test_a_job_that_fails_is_logged_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    async def work(site: Site) -> None:
        job = await site.hands.end(site.queue, site.start("a"), BAD)
        told = vars(caplog.records[-1])
        assert (told["job"], told["kind"], told["code"], told["reason"]) == (job.id, "replay", "bad", "it is bad")

    with_queue(work)


def test_what_waits_or_runs_already_is_not_done_twice() -> None:
    async def work(site: Site) -> None:
        first, second = site.start("a"), site.start("b")
        assert (site.start("a").id, site.start("b").id) == (first.id, second.id)
        assert site.start("a", "two").id not in (first.id, second.id)
        await site.hands.end(site.queue, first)
        assert site.start("a").id != first.id

    with_queue(work)


def test_a_full_queue_refuses_and_one_tenant_cannot_fill_it() -> None:
    async def work(site: Site) -> None:
        running = site.start("runs")
        for number in range(JOBS_WAITING_PER_TENANT_MAX):
            site.start(number)
        with pytest.raises(Overloaded) as refused:
            site.start("one more")
        assert refused.value.retry_after_s >= 1
        for number in range(JOBS_WAITING_MAX - JOBS_WAITING_PER_TENANT_MAX):
            site.start(number, f"t{number}")
        with pytest.raises(Overloaded):
            site.start("one more", "somebody else")
        await site.hands.end(site.queue, running)
        await asyncio.sleep(0)
        assert site.start("one more", "somebody else").state == "waiting"

    with_queue(work)


def test_tenants_take_turns() -> None:
    async def work(site: Site) -> None:
        jobs = [site.start(subject) for subject in ("a1", "a2", "a3")]
        jobs += [site.start(subject, "two") for subject in ("b1", "b2")]
        for subject in ("a1", "b1", "a2", "b2", "a3"):
            await site.hands.end(site.queue, next(job for job in jobs if job.subject == subject))
        assert site.hands.begun == ["a1", "b1", "a2", "b2", "a3"]

    with_queue(work)


def test_a_job_is_nobody_elses() -> None:
    async def work(site: Site) -> None:
        job = site.start("a")
        assert site.queue.get("two", job.id) is None
        assert site.queue.of("two") == []
        assert site.queue.get("one", "j_nothing") is None

    with_queue(work)


def test_how_jobs_ended_is_forgotten_in_time_by_number_and_by_size() -> None:
    async def work(site: Site) -> None:
        for number in range(JOBS_KEPT_MAX + 3):
            await site.hands.end(site.queue, site.start(number))
        kept = site.queue.of("one")
        assert [len(kept), kept[-1].subject] == [JOBS_KEPT_MAX, "3"]
        room = JOBS_KEPT_BYTES_MAX // JOB_OUTCOME_BYTES_MAX
        for number in range(room + 1):
            await site.hands.end(site.queue, site.start(f"large {number}"), b"x" * JOB_OUTCOME_BYTES_MAX)
        kept = site.queue.of("one")
        assert [len(kept), kept[-1].subject] == [room, "large 1"]

    with_queue(work)


def test_of_a_job_whose_outcome_is_forgotten_all_else_is_kept() -> None:
    async def work(site: Site) -> None:
        job = await site.hands.end(site.queue, site.start(1))
        other = await site.hands.end(site.queue, site.start(2))
        assert site.queue.with_outcomes() == [job, other]
        site.queue.forget_outcome(job.id)
        site.queue.forget_outcome("j_none")
        assert site.queue.with_outcomes() == [other]
        assert site.queue.get("one", job.id) == msgspec.structs.replace(job, outcome=b"")

    with_queue(work)


def test_whoever_waits_for_a_job_waits_no_longer_than_it_said() -> None:
    async def work(site: Site) -> None:
        assert (await site.queue.ended(site.start("a"), 0.001)).state == "running"

    with_queue(work)


def test_a_queue_that_is_closed_ends_what_runs_and_what_waits() -> None:
    async def work(site: Site) -> None:
        first, second = site.start("a"), site.start("b")
        await asyncio.sleep(0)
        await site.queue.close()
        assert [site.now(job).refusal for job in (first, second)] == [STOPPED, STOPPED]
        with pytest.raises(Unavailable):
            site.start("c")

    with_queue(work)


class NoProcesses:
    """A machine that can make none."""

    async def __call__(self, order: Order, on_progress: Callable[[Progress], None]) -> Finished:
        raise BlockingIOError("no more processes")


def test_a_job_that_cannot_be_begun_fails_and_the_next_one_gets_its_turn() -> None:
    async def run() -> None:
        queue = JobQueue(NoProcesses(), clock=ManualClock(), ids=Ids(CountingIds()), meter=Measurements())
        first, second = queue.start("one", "replay", "a"), queue.start("one", "replay", "b")
        assert [(await queue.ended(job, None)).refusal for job in (first, second)] == [DEFECT, DEFECT]

    asyncio.run(run())


# Children. Each is a process of Python that does what the test is about.

ANSWERS = "import sys; sys.stdin.readline(); tell = lambda line: print(line, flush=True); "


def ran(tmp_path: Path, code: str, *, seconds_max: float = 60) -> tuple[Finished, list[Progress]]:
    """How a job ends whose process runs this code."""
    progress: list[Progress] = []
    command = (sys.executable, "-S", "-c", ANSWERS + code)
    run = ChildRun(Config(), tmp_path, folder=tmp_path / "jobs", command=command, seconds_max=seconds_max)

    async def work() -> Finished:
        finished = await run(Order("replay", "one", "d_1"), progress.append)
        await asyncio.sleep(0)
        return finished

    finished = asyncio.run(work())
    assert not (tmp_path / "jobs").exists(), "nothing of a child is left"
    return finished, progress


def test_a_child_tells_how_far_it_is_and_what_came_of_it(tmp_path: Path) -> None:
    code = """tell('{"progress": {"done": 2, "of": 5}}'); tell('{"outcome": {"fine":true}}'); sys.stdin.read()"""
    assert ran(tmp_path, code) == (DONE, [Progress(2, 5)])


def test_a_child_refuses_in_its_own_words(tmp_path: Path) -> None:
    code = """tell('{"refusal": {"code": "bad", "message": "it is bad", "status": 422}}')"""
    assert ran(tmp_path, code)[0] == BAD


def test_of_a_defect_in_a_child_nothing_is_told_but_that_there_was_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code = """tell('{"defect": {"error": "ZeroDivisionError", "frames": ["here:3"]}}')"""
    assert ran(tmp_path, code)[0] == DEFECT
    assert vars(caplog.records[-1])["error"] == "ZeroDivisionError"


@pytest.mark.parametrize(("code", "reason"), [
    ("import os; os.kill(os.getpid(), 9)", "exit code -9"),
    ("sys.exit(7)", "exit code 7"),
    ("tell('fine')", "none of its answers"),
    ("tell('{}')", "exit code 0"),
    ("""tell('{"outcome": ')""", "none of its answers"),
    ("""tell('{"else": 1}')""", "none of its answers"),
    ("""sys.stdout.buffer.write(bytes([255, 10]))""", "none of its answers"),
    (f"""tell('{{"outcome": "' + 'x' * {JOB_OUTCOME_BYTES_MAX} + '"}}')""", "more than a job may"),
    ("""while True: tell('{"progress": {"done": 1}}')""", "more than a job may"),
])  # fmt: skip
def test_a_child_that_crashes_or_talks_rubbish_or_too_much_fails_its_job(
    code: str, reason: str, tmp_path: Path
) -> None:
    finished, _ = ran(tmp_path, "\n" + code)
    assert isinstance(finished, Refusal)
    assert (finished.code, finished.status) == ("failed", 503)
    assert reason in finished.message


def test_a_child_that_never_ends_is_killed(tmp_path: Path) -> None:
    assert ran(tmp_path, "sys.stdin.read()", seconds_max=0.05)[0] == TOO_LONG


def test_a_job_has_so_many_seconds_unless_its_server_says_less_and_the_kernel_ends_it_a_minute_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    within: list[float] = []
    timeout = asyncio.timeout

    def shorter(seconds: float) -> asyncio.Timeout:
        within.append(seconds)
        return timeout(0.05)

    monkeypatch.setattr("instanter.ops.jobs.child.asyncio.timeout", shorter)
    command = (sys.executable, "-S", "-c", ANSWERS + "sys.stdin.read()")
    run = ChildRun(Config(), tmp_path, folder=tmp_path / "jobs", command=command)
    assert asyncio.run(run(Order("replay", "one", "d_1"), lambda _: None)) == TOO_LONG
    assert within == [JOB_S_MAX] < [ALARM_S]


@pytest.mark.parametrize(("memory_mb", "held_mb"), [(64, 64), (4 * JOB_MEMORY_MB_MAX, JOB_MEMORY_MB_MAX)])
def test_the_process_of_a_job_holds_so_much_of_the_state_in_memory(
    memory_mb: int, held_mb: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    opened: list[int] = []

    def reading(config: Config, data: Path) -> None:
        opened.append(config.state.memory_mb)
        raise RequestRejected("seen", "that is enough")

    monkeypatch.setattr("instanter.ops.jobs.work.reading", reading)
    config = msgspec.structs.replace(Config(), state=msgspec.structs.replace(Config().state, memory_mb=memory_mb))
    for kind, work in KINDS.items():
        with pytest.raises(RequestRejected, match="that is enough"):
            work(Work(Order(kind, "one", "d_1 {}"), config, str(tmp_path)), lambda _: None)
    assert opened == [held_mb] * len(KINDS)


def test_a_child_that_reads_nothing_is_killed_too(tmp_path: Path) -> None:
    assert ran(tmp_path, "sys.stdin.close(); import signal; signal.pause()", seconds_max=0.3)[0] == TOO_LONG


def test_no_child_is_left_when_the_queue_is_closed(tmp_path: Path) -> None:
    command = (sys.executable, "-S", "-c", ANSWERS + """import os
tell('{"progress": {"done": %d}}' % os.getpid()); sys.stdin.read()""")
    run = ChildRun(Config(), tmp_path, folder=tmp_path / "jobs", command=command)

    async def work() -> int:
        queue = JobQueue(run, clock=ManualClock(), ids=Ids(), meter=Measurements())
        job = queue.start("one", "replay", "d_1")
        while (progress := queue.of("one")[0].progress) is None:
            await asyncio.sleep(0.001)
        await queue.close()
        assert (await queue.ended(job, None)).refusal == STOPPED
        return progress.done

    pid = asyncio.run(work())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not (tmp_path / "jobs").exists()


def test_what_an_earlier_server_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "rows").write_bytes(b"left")
    ChildRun(Config(), tmp_path, folder=tmp_path / "jobs")
    assert not (tmp_path / "jobs").exists()


def test_a_child_gets_the_whole_configuration_and_nothing_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSTANTER_MASTER_KEY", "5a" * 32)
    code = """tell('{"outcome": ' + order + '}')"""
    command = (sys.executable, "-S", "-c", "import sys; order = sys.stdin.readline().strip(); tell = print; " + code)
    run = ChildRun(Config(), tmp_path, folder=tmp_path / "jobs", command=command)
    outcome = asyncio.run(run(Order("replay", "one", "d_1"), lambda progress: None))
    assert isinstance(outcome, bytes)
    work = msgspec.json.decode(outcome, type=Work)
    assert (work.order, work.config, work.data) == (Order("replay", "one", "d_1"), Config(), str(tmp_path))
    assert b"5a5a" not in outcome
