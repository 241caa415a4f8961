"""The benchmark: that it counts right, judges right, writes what it found, and leaves nothing behind."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from instanter.engine.partition import Partition
from instanter.engine.recovery import catch_up, recover
from instanter.events.decode import Door
from instanter.events.enrich import Enricher
from instanter.events.subjects import HashedSubjects
from instanter.features.declaration import DEFAULT_FEATURES
from instanter.foundation.clock import ManualClock, SystemClock
from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import Broken, Unavailable
from instanter.foundation.ids import Ids
from instanter.log.segment_log import SegmentLog
from instanter.ops.bench import features as bench_features
from instanter.ops.bench import load as bench_load
from instanter.ops.bench import workers as bench_workers
from instanter.ops.bench.bench import Bench
from instanter.ops.bench.build import Builder
from instanter.ops.bench.cases import CASES
from instanter.ops.bench.load import Connection, Stream, is_ok, open_loop, request, saturate
from instanter.ops.bench.machine import Machine, on_core
from instanter.ops.bench.page import page, shown, table
from instanter.ops.bench.pause import PAUSES, longest_ms
from instanter.ops.bench.result import CaseResult, Figure, Report, concluded, judged
from instanter.ops.bench.server import Metrics, Server, free_port
from instanter.ops.bench.traffic import Traffic, batch, user_agents
from instanter.ops.bench.workers import NEAR, RATE_PER_S_MIN, Search
from instanter.ops.cli.bench import kept
from instanter.ops.config import parse
from instanter.ops.settings import Config
from instanter.ops.wiring import schema_of
from instanter.sim.shop import Shop
from instanter.state.layout import Scope

SHOP = Shop(products=60)
NOW_MS = 1_767_225_600_123
MACHINE = Machine(
    processor="A Processor", cores=2, memory_mib=1_024, system="Linux", python="3.11", packages={"instanter": "0"},
    disk="fdatasync p50 0.10 ms", pinned=True, date="2026-01-01")


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers a POST with its own body, 200 unless the body says otherwise."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(503 if body == b"refuse me" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        return None


@pytest.fixture
def echo_port() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield server.server_port
        server.shutdown()
        serving.join()


def posts(*bodies: bytes) -> list[bytes]:
    return [request("POST", "/", body) for body in bodies]


def test_each_request_of_each_stream_is_sent_once(echo_port: int) -> None:
    first = Stream(posts(b"a", b"b", b"c"), rate_per_s=1_000, connections=2, keep_bodies=True)
    second = Stream(posts(*(b"%d" % number for number in range(50))), 5_000, 4, keep_bodies=True)
    outcomes = open_loop(echo_port, [first, second])
    assert sorted(outcomes[0].bodies) == [b"a", b"b", b"c"]
    assert sorted(outcomes[1].bodies, key=int) == [b"%d" % number for number in range(50)]
    assert [outcome.failures for outcome in outcomes] == [0, 0]


def test_a_latency_counts_from_the_time_the_request_was_due(echo_port: int) -> None:
    outcome = open_loop(echo_port, [Stream(posts(*[b"x"] * 200), rate_per_s=1_000_000, connections=1)])[0]
    assert all(latency > late for latency, late in zip(outcome.latencies_ms, outcome.late_ms, strict=True))
    assert outcome.late_ms == sorted(outcome.late_ms), "each waits for the one before on the only connection"
    assert outcome.latencies_ms == sorted(outcome.latencies_ms)


def test_busy_connections_use_up_all_requests_and_count_what_the_check_refuses(echo_port: int) -> None:
    outcome = saturate(echo_port, iter(posts(*[b"x"] * 40, b"refuse me", b"refuse me")), connections=4)
    assert (len(outcome.latencies_ms), outcome.failures) == (42, 2)


def test_a_long_reply_is_read_to_its_end(echo_port: int) -> None:
    connection = Connection(echo_port)
    reply = connection.exchange(request("POST", "/", b"x" * 700_000))
    connection.close()
    assert is_ok(reply)
    assert len(reply.body) == 700_000


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="no server"):
        Connection(free_port())


def test_every_event_is_taken_at_the_door_and_no_message_comes_twice() -> None:
    door = Door(subjects=HashedSubjects(bytes(32)), ids=Ids(), enrich=Enricher())
    traffic = Traffic(SHOP, seed=1)
    events = [traffic.event(number % 50, NOW_MS) for number in range(2_000)]
    admitted = [door.admit(event, kind=None, received_ms=NOW_MS, tenant="default") for event in events]
    assert len({one.record.message for one in admitted}) == 2_000
    assert len({one.record.key for one in admitted}) == 50
    assert {one.record.happened_ms for one in admitted} == {NOW_MS}
    assert {"Product Viewed", "Product List Viewed", "Order Completed", "Page Viewed"} <= {
        one.record.name for one in admitted}
    assert 300 <= sum(map(len, events)) / len(events) <= 400


def test_the_user_agents_are_many_and_differ() -> None:
    assert len(user_agents()) == len(set(user_agents())) == 50


def test_batches_hold_the_events_asked_for_and_everybody_in_turn() -> None:
    requests = list(Traffic(SHOP, seed=2).batches(range(7), 23, at_ms=NOW_MS, size=10, in_turn=True))
    bodies = [json.loads(sent.partition(b"\r\n\r\n")[2]) for sent in requests]
    assert [len(body["batch"]) for body in bodies] == [10, 10, 3]
    people = [event["anonymousId"] for body in bodies for event in body["batch"]]
    assert len(set(people[:7])) == 7
    assert people[7:14] == people[:7]


def test_a_request_says_how_long_it_is() -> None:
    head, _, body = batch([b"{}"], sent_at_ms=NOW_MS).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert json.loads(body)["batch"] == [{}]


def test_a_built_folder_is_one_that_a_server_opens(tmp_path: Path) -> None:
    builder = Builder(tmp_path, clock=ManualClock(NOW_MS))
    builder.catalogue(SHOP)
    builder.events(Traffic(SHOP, seed=3), people=40, count=2_500)
    builder.checkpoint()
    builder.events(Traffic(SHOP, seed=4), people=40, count=700)
    builder.close()
    disk, schema = RealDisk(), schema_of(Config())
    log = SegmentLog(disk, tmp_path / "log", segment_bytes=1 << 26)
    started, recovery = recover(
        schema, log, log_start=log.opened.start, log_end=log.opened.end, disk=disk,
        checkpoints=tmp_path / "checkpoints")
    rebuilt = Partition(schema)
    catch_up(rebuilt, log)
    log.close()
    assert recovery.checkpoint is not None
    assert recovery.records == 700
    assert started.state.cells_used == 40
    assert started.state.hash() == rebuilt.state.hash()


def test_the_longest_pause_is_told_from_two_readings() -> None:
    def reading(*up_to: int) -> Metrics:
        bounds = ("0.001", "0.005", "0.02", "+Inf")
        lines = [f'{PAUSES}{{le="{le}"}} {count}' for le, count in zip(bounds, up_to, strict=True)]
        return Metrics("# TYPE instanter_loop_pause_seconds histogram\n" + "\n".join(lines) + "\n")

    before = reading(10, 12, 12, 13)
    assert longest_ms(before, reading(20, 24, 25, 26)) == 20.0
    assert longest_ms(before, reading(20, 23, 23, 24)) == 5.0
    assert longest_ms(before, before) == 0.0


@pytest.mark.parametrize(("value", "higher_is_better", "verdict"), [
    (3.0, False, "aim"), (4.0, False, "aim"), (4.1, False, "ok"), (8.0, False, "ok"), (8.1, False, "missed"),
    (3.9, True, "missed"), (4.0, True, "ok"), (8.0, True, "aim"),
])
def test_a_figure_is_judged_by_its_bounds(value: float, higher_is_better: bool, verdict: str) -> None:
    at_least, aim = (4.0, 8.0) if higher_is_better else (8.0, 4.0)
    figure = Figure(
        name="p99", value=value, unit="ms", at_least=at_least, aim=aim, higher_is_better=higher_is_better)
    assert judged(figure, void=False).verdict == verdict
    assert judged(figure, void=True).verdict == "void"


def case(*, void: str = "", value: float = 6.5) -> CaseResult:
    figures = [Figure(name="p99", value=value, unit="ms", at_least=8, aim=4), Figure(name="p50", value=1.25, unit="ms")]
    return concluded(CaseResult(
        name="decide", title="decide: under load", figures=figures, void=void, others_share=0.125, took_s=3.0))


def report(*cases: CaseResult) -> Report:
    return Report(machine=MACHINE, quick=False, cases=list(cases))


def test_the_page_shows_every_figure_with_its_bounds_and_the_machine() -> None:
    text = page(report(case()))
    assert "| decide | p99 | 6.50 ms | ≤ 8 ms | 4 ms | ok |" in text
    assert "| p50 | 1.25 ms |" in text
    assert "A Processor, 2 cores" in text
    assert "other programs used 12% of the machine" in text
    assert "{" not in text


def test_a_case_that_does_not_count_says_so_everywhere() -> None:
    found = report(case(void="nobody was known"))
    assert "**decide does not count**: nobody was known." in page(found)
    assert "VOID: nobody was known" in table(found)
    assert not kept(found)


@pytest.mark.parametrize(("value", "is_kept"), [(6.5, True), (8.5, False)])
def test_a_missed_bound_is_a_failure(value: float, is_kept: bool) -> None:
    assert kept(report(case(value=value))) is is_kept


@pytest.mark.parametrize(("value", "text"), [
    (0.0, "0 ms"), (0.004, "0.00 ms"), (12.3, "12.30 ms"), (1234.5, "1,234 ms"),
])
def test_numbers_are_shown_for_people(value: float, text: str) -> None:
    assert shown(value, "ms") == text


def test_a_core_is_taken_only_for_a_while() -> None:
    before = os.sched_getaffinity(0)
    core = min(before)
    with on_core(core):
        assert os.sched_getaffinity(0) == {core}
    assert os.sched_getaffinity(0) == before


def test_a_server_that_cannot_start_says_why_and_is_gone(tmp_path: Path) -> None:
    config = tmp_path / "instanter.toml"
    config.write_text("[state]\nmemory = 1\n", encoding="utf-8")
    with Server(tmp_path / "data", config=config) as server, pytest.raises(Broken, match='no setting "memory"'):
        server.wait_ready()
    assert not server.running


def test_a_connection_that_rested_longer_than_servers_let_it_is_opened_anew(
    echo_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []

    class Counted(Connection):
        def __init__(self, port: int) -> None:
            opened.append(port)
            super().__init__(port)

    monkeypatch.setattr(bench_load, "Connection", Counted)
    monkeypatch.setattr(bench_load, "_IDLE_NS_MAX", 1 << 62)
    (often,) = open_loop(echo_port, [Stream(posts(b"a", b"b", b"c"), rate_per_s=500, connections=1)])
    assert (len(often.latencies_ms), len(opened)) == (3, 1)
    # More than the time before the start, less than the second between the two.
    monkeypatch.setattr(bench_load, "_IDLE_NS_MAX", 100_000_000)
    (rarely,) = open_loop(echo_port, [Stream(posts(b"a", b"b"), rate_per_s=1, connections=1)])
    assert (len(rarely.latencies_ms), len(opened)) == (2, 1 + 2)


def test_the_command_measures_writes_its_page_and_leaves_nothing_behind(tmp_path: Path) -> None:
    scratch, written = tmp_path / "scratch", tmp_path / "benchmarks.md"
    scratch.mkdir()
    result = subprocess.run(
        [sys.executable, "-m", "instanter.ops.cli.main", "bench", "--quick", "--json", "--only", "ingest",
         "--only", "readers", "--only", "freshness", "--only", "models", "--only", "training", "--write", str(written)],
        capture_output=True, text=True, check=False, env={**os.environ, "TMPDIR": str(scratch)})
    assert result.returncode == 0, result.stderr
    found = msgspec.json.decode(result.stdout, type=Report)
    assert found.quick
    assert [one.name for one in found.cases] == ["ingest", "readers", "freshness", "models", "training"]
    unsaid = [one.void for one in found.cases if one.void and not one.void.endswith("ranked by something else")]
    assert unsaid == [], "only a busy machine, on which a decision misses its deadline, makes a case void"
    assert all(one.figures and one.figures[0].at_least is not None for one in found.cases)
    assert found.cases[1].figures[1].value == 0, "a decision that a reader was not told of"
    assert found.cases[1].figures[2].value == 0, "a reader that takes nothing, and was neither cut off nor told"
    assert found.cases[2].figures[0].value == 0, "a stale answer"
    assert "| ingest | events acknowledged |" in written.read_text(encoding="utf-8")
    assert list(scratch.iterdir()) == []


def test_every_row_of_the_table_has_its_case() -> None:
    assert list(CASES) == [
        "ingest", "sealing", "decide", "workers", "readers", "models", "freshness", "large_catalogue", "replay",
        "start", "training", "memory", "features", "pause",
    ]  # fmt: skip


def test_generated_features_make_a_schema_of_all_aggregations_that_read_as_something() -> None:
    declared = bench_features.generated(bench_features.FEATURES - len(DEFAULT_FEATURES))
    layout = schema_of(parse("".join(declared))).layout
    made = [one.spec for one in layout.features if one.spec.name.startswith("generated_")]
    assert len(made) + len(DEFAULT_FEATURES) == bench_features.FEATURES
    shapes = {"count", "sum", "mean", "min", "max", "decayed", "windowed", "last", "time_since", "top_k", "last_k"}
    assert {spec.aggregation.name for spec in made} == shapes
    assert {spec.scope for spec in made} == set(Scope)


def test_many_features_are_measured() -> None:
    figures, void = bench_features.features(Bench(clock=SystemClock(), say=lambda text: None, quick=True))
    assert void == ""
    assert [figure.name for figure in figures] == ["a person", "server CPU a decision, with its request"]
    assert figures[1].value > 0


@pytest.mark.parametrize("holds", [3.0, 60.0, 80.0, 81.0, 333.0, 5_000.0])
def test_the_highest_rate_that_is_kept_is_found_from_below_and_from_above(holds: float) -> None:
    search, tried = Search(first=80.0), 0
    while not search.ended:
        search.note(search.rate, kept=search.rate <= holds)
        tried += 1
    assert search.kept <= holds
    assert search.kept * NEAR >= holds or holds < RATE_PER_S_MIN
    assert tried < 20


def test_servers_with_one_worker_and_with_several_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_workers, "P99_MS_MAX", 1e9)  # What counts here is that both are asked.
    monkeypatch.setattr(bench_workers, "RATE_FIRST_PER_S", 20.0)
    monkeypatch.setattr(bench_workers.Search, "ended", property(lambda search: search.kept >= 30.0))
    figures, void = bench_workers.workers(Bench(clock=SystemClock(), say=lambda text: None, quick=True, workers=2))
    told = {figure.name: figure.value for figure in figures}
    assert void == ""
    assert told["1 worker: decisions"] == told["2 workers: decisions"] == 30.0
    assert told["decisions/s, 2 workers to 1"] == 1.0
    assert told["decisions by deciders"] > 0
    for side in ("1 worker", "2 workers"):
        assert told[f"{side}: server CPU a decision"] > 0
        assert told[f"{side}: client CPU a decision"] > 0
