"""The parts of several processes over one data directory, each by itself: board, handing on, telling, supervising."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from instanter.api.auth import Access
from instanter.api.tenancy import Terms
from instanter.decisions.decide import Promised
from instanter.engine.loop import Engine
from instanter.engine.receipts import DecidedElsewhere
from instanter.events.envelope import Decided
from instanter.events.subjects import NOBODY
from instanter.foundation import limits
from instanter.foundation.clock import ManualClock
from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import ConfigRejected, RateLimited
from instanter.foundation.measure import Measurements
from instanter.ops.metrics import of_workers
from instanter.ops.settings import ServeSettings
from instanter.ops.workers import supervisor, telling
from instanter.ops.workers.board import AT, RECEIPTS_LOST, SOCKET, STARTS, UP, WRITER, Board, WorkerSeen
from instanter.ops.workers.figures import NO_FIGURES, FiguresFile
from instanter.ops.workers.handing import PEER, Handing, WriterGone, handed_headers, peer_in
from instanter.ops.workers.supervisor import Supervisor, Worker
from instanter.ops.workers.telling import PATH, ReceiptsHeard, Settled, Telling
from instanter.ops.workers.writer import Inside, WriterSide
from instanter.state.cold_files import ColdPlace

from ..engine.harness import event, stock_shop, take, with_engine

RECORD = Decided(1_000, "default", 0, "d_0", b"receipt", NOBODY, b"", ())
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def test_what_a_decider_has_measured_is_in_the_metrics_of_the_writer(tmp_path: Path) -> None:
    meter, theirs, ours = Measurements(), FiguresFile(tmp_path, 2), FiguresFile(tmp_path, 2)
    assert ours.read() == NO_FIGURES == FiguresFile(tmp_path, 1).read()
    for elapsed_ms in (1, 3):
        meter.observe("score", elapsed_ms * 1_000_000)
        meter.count("served.personal", 2)
        meter.count("degraded.score")
        meter.count("not a figure of a decider")
        theirs.write(meter)
    written_ns = next(tmp_path.iterdir()).stat().st_mtime_ns
    theirs.write(meter)
    assert [path.stat().st_mtime_ns for path in tmp_path.iterdir()] == [written_ns], "what is said is not said again"
    seen = [WorkerSeen(number, True, 0, 0, 0, 0, 1, FiguresFile(tmp_path, number).read()) for number in (1, 2)]
    told = {sample.name: (sample.labels, sample.value) for family in of_workers(seen) for sample in family.samples
            if sample.labels["worker"] == "2"}  # fmt: skip
    assert told["instanter_worker_stage_seconds_count"] == ({"worker": "2", "stage": "score"}, 2)
    assert told["instanter_worker_stage_seconds_sum"][1] == pytest.approx(0.004)
    assert told["instanter_worker_placements_served_total"] == ({"worker": "2", "rung": "personal"}, 4)
    assert told["instanter_worker_decisions_degraded_total"] == ({"worker": "2", "stage": "score"}, 2)


def test_a_board_is_seen_by_all_and_holds_a_row_for_each_worker(tmp_path: Path) -> None:
    assert limits.WORKERS_MAX == 64
    ours = Board.make(tmp_path)
    theirs = Board(tmp_path)
    ours.begin_writing(4_096, 7)
    last = limits.WORKERS_MAX - 1
    theirs.write(last, AT, 4_000)
    theirs.write(last, UP, 1)
    theirs.count(last, RECEIPTS_LOST, 3)
    assert (theirs.position, theirs.at_ms, theirs.writers) == (4_096, 7, 1)
    seen = ours.seen(last)[-1]
    assert (seen.number, seen.up, seen.lag_bytes, seen.receipts_lost) == (last, True, 96, 3)
    assert not ours.seen(1)[0].up
    with pytest.raises(FileExistsError):
        Board.make(tmp_path)
    for board in (ours, theirs):
        board.close()


# Handing on.


def over_socket(root: Path, serve: Serve, work: Callable[[Handing], Awaitable[Any]]) -> Any:
    """Run `work` while `serve` answers on the workers' socket."""

    served = list[asyncio.Task[Any]]()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        served.append(task)
        try:
            await serve(reader, writer)
        except EOFError:
            pass
        finally:
            writer.close()
            await writer.wait_closed()

    async def run() -> Any:
        server = await asyncio.start_unix_server(serve_one, root / SOCKET)
        handing = Handing(root / SOCKET)
        try:
            return await work(handing)
        finally:
            handing.close()
            server.close()
            await asyncio.gather(*served)
            await server.wait_closed()

    return asyncio.run(run())


def answering(*answers: bytes, heard: list[bytes] | None = None, body_bytes: int = 0) -> Serve:
    """Reads a head (and so much of a body), and gives one answer after another; then closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            try:
                asked = await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(body_bytes)
            except EOFError:
                break
            if heard is not None:
                heard.append(asked)
            writer.write(answer)
        await writer.drain()

    return serve


def scope_of(method: str = "GET", headers: list[tuple[bytes, bytes]] | None = None) -> dict[str, Any]:
    return {"type": "http", "method": method, "path": "/v1/x", "raw_path": b"/v1/x", "query_string": b"a=1",
            "headers": headers or [], "client": ("10.0.0.7", 99)}  # fmt: skip


async def passed_on(
    handing: Handing, scope: dict[str, Any], *pieces: bytes, left: asyncio.Event | None = None,
    on_piece: Callable[[], None] = lambda: None,
) -> list[dict[str, Any]]:  # fmt: skip
    """What is sent to a client that stays until `left`; `on_piece` is called for each part of an answer's body."""
    sent: list[dict[str, Any]] = []
    messages = [
        {"type": "http.request", "body": piece, "more_body": number < len(pieces)}
        for number, piece in enumerate(pieces, start=1)
    ]

    async def receive() -> Any:
        if messages:
            return messages.pop(0)
        await (left or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)
        if message.get("body"):
            on_piece()

    await handing.pass_on(scope, receive, send)
    return sent


def body_of(sent: list[dict[str, Any]]) -> bytes:
    return b"".join(message["body"] for message in sent[1:])


@pytest.mark.parametrize(("answer", "body"), [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello", b"hello"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n", b"hello"),
    (b"HTTP/1.1 200 OK\r\nX-A: b\r\n\r\nuntil the end", b"until the end"),
    (b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n", b""),
])  # fmt: skip
def test_an_answer_comes_back_as_it_was_given(answer: bytes, body: bytes, tmp_path: Path) -> None:
    heard: list[bytes] = []

    async def work(handing: Handing) -> list[dict[str, Any]]:
        return await passed_on(handing, scope_of(headers=[(b"host", b"h"), (b"connection", b"keep-alive"),
                                                          (PEER, b"6.6.6.6 1")]))  # fmt: skip

    sent = over_socket(tmp_path, answering(answer, heard=heard), work)
    assert (sent[0]["status"], body_of(sent), (b"x-a", b"b") in sent[0]["headers"]) == (int(answer[9:12]), body, True)
    assert heard[0] == b"GET /v1/x?a=1 HTTP/1.1\r\nhost: h\r\nx-instanter-peer: 10.0.0.7 99\r\n\r\n"


def test_a_short_answer_is_one_piece_and_the_connection_is_used_again(tmp_path: Path) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    async def work(handing: Handing) -> None:
        for _ in range(2):
            sent = await passed_on(handing, scope_of())
            assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]

    heard: list[bytes] = []
    over_socket(tmp_path, answering(answer, answer, heard=heard), work)
    assert len(heard) == 2


@pytest.mark.parametrize(("headers", "sent"), [
    ([(b"content-length", b"6")], b"content-length: 6\r\nx-instanter-peer: 10.0.0.7 99\r\n\r\nabcdef"),
    ([(b"transfer-encoding", b"chunked")],
     b"x-instanter-peer: 10.0.0.7 99\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"),
])  # fmt: skip
def test_a_body_goes_on_as_it_comes(headers: list[tuple[bytes, bytes]], sent: bytes, tmp_path: Path) -> None:
    heard: list[bytes] = []
    body_bytes = len(sent.partition(b"\r\n\r\n")[2])

    async def work(handing: Handing) -> None:
        await passed_on(handing, scope_of("POST", headers), b"abc", b"def")

    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    over_socket(tmp_path, answering(answer, heard=heard, body_bytes=body_bytes), work)
    assert heard[0].endswith(sent)


def test_without_a_writer_and_with_one_that_leaves_before_it_answers_that_is_said(tmp_path: Path) -> None:
    async def nobody() -> None:
        handing = Handing(tmp_path / "none")
        assert not await handing.is_there()
        with pytest.raises(WriterGone, match="decisions go on"):
            await passed_on(handing, scope_of())
        with pytest.raises(WriterGone):
            await handing.ask("POST", b"/told", [], b"")

    asyncio.run(nobody())

    async def work(handing: Handing) -> None:
        for broken in ("pass", "ask"):
            with pytest.raises(WriterGone):
                await (passed_on(handing, scope_of()) if broken == "pass" else handing.ask("GET", b"/", [], b""))

    over_socket(tmp_path, answering(b"HTTP/1.1 200"), work)


def test_an_answer_that_breaks_off_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    async def work(handing: Handing) -> None:
        with pytest.raises(EOFError):
            await passed_on(handing, scope_of())

    over_socket(tmp_path, answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), work)


def without_end(hung_up: asyncio.Event) -> Serve:
    """Answers with a part of a body, and nothing more until the other side hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        assert await reader.read() == b""
        hung_up.set()

    return serve


def test_an_answer_without_end_is_hung_up_on_when_the_client_leaves(tmp_path: Path) -> None:
    hung_up, left = asyncio.Event(), asyncio.Event()

    async def work(handing: Handing) -> None:
        sent = await passed_on(handing, scope_of(), left=left, on_piece=left.set)
        assert body_of(sent) == b"abc"
        assert not sent[-1]["more_body"]
        await hung_up.wait()

    over_socket(tmp_path, without_end(hung_up), work)


def test_an_answer_without_end_is_ended_when_the_decider_ends(tmp_path: Path) -> None:
    hung_up = asyncio.Event()

    async def work(handing: Handing) -> None:
        running = asyncio.create_task(handing.run())
        sent = await passed_on(handing, scope_of(), on_piece=running.cancel)
        assert body_of(sent) == b"abc"
        assert not sent[-1]["more_body"]
        await hung_up.wait()

    over_socket(tmp_path, without_end(hung_up), work)


def test_who_sends_a_request_is_told_by_its_address_and_nobody_tells_another_from_outside() -> None:
    assert peer_in(handed_headers(scope_of(headers=[(PEER, b"6.6.6.6 1")]))) == ("10.0.0.7", 99)
    assert peer_in(handed_headers({"headers": [(PEER, b"6.6.6.6 1")]})) is None
    assert peer_in([(PEER, b"::1 80")]) == ("::1", 80)


# Telling.


class Writer:
    """Takes what is told, and answers."""

    def __init__(self, answer: Settled | None = None) -> None:
        self.answer = answer or Settled({}, 0)
        self.messages: list[ReceiptsHeard] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            assert head.startswith(b"POST " + PATH.encode())
            length_bytes = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            self.messages.append(msgspec.msgpack.decode(await reader.readexactly(length_bytes), type=ReceiptsHeard))
            body = msgspec.msgpack.encode(self.answer)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))


def lost(board: Board) -> int:
    return board.seen(1)[0].receipts_lost


def test_what_was_decided_is_told_in_order_and_whole(tmp_path: Path) -> None:
    board, writer = Board.make(tmp_path), Writer()
    promised = Promised("home", "logistic@1", (7, 8), (0.5, 0.25))
    decided = [
        DecidedElsewhere(msgspec.structs.replace(RECORD, decision_id=f"d_{number}"), (promised,), (("h", "m@1", "r"),))
        for number in range(3)
    ]

    async def work(handing: Handing) -> None:
        one = Telling(handing, board, 1, ManualClock())
        running = asyncio.create_task(one.run())
        for each in decided:
            one.tell(each, "k1")
        while not writer.messages:
            await asyncio.sleep(0.001)
        running.cancel()
        one.tell(decided[0], "k2")
        await one.finish()

    over_socket(tmp_path, writer, work)
    assert [one for message in writer.messages for one in message.decided] == [*decided, decided[0]]
    assert [message.spent for message in writer.messages] == [{"k1": 3}, {"k2": 1}]
    assert lost(board) == 0


def test_a_key_that_has_spent_all_through_all_workers_waits(tmp_path: Path) -> None:
    board, clock = Board.make(tmp_path), ManualClock()

    async def work(handing: Handing) -> None:
        one = Telling(handing, board, 1, clock)
        one.tell(DecidedElsewhere(RECORD), "k1")
        await one.finish()
        one.check("another")
        with pytest.raises(RateLimited):
            one.check("k1")
        clock.advance(1_500)
        one.check("k1")

    over_socket(tmp_path, Writer(Settled({"k1": 1_500}, 2)), work)
    assert lost(board) == 2, "what the log did not take is counted here"


def test_while_there_is_no_writer_receipts_wait_up_to_a_bound_and_are_then_lost_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (limits.RECEIPTS_WAITING_BYTES_MAX, limits.RECEIPTS_SENT_BYTES_MAX) == (32 << 20, 1 << 20)
    board, writer = Board.make(tmp_path), Writer()
    size_bytes = len(msgspec.msgpack.encode(DecidedElsewhere(RECORD)))
    monkeypatch.setattr(telling, "RECEIPTS_WAITING_BYTES_MAX", 4 * size_bytes)
    monkeypatch.setattr(telling, "RECEIPTS_SENT_BYTES_MAX", 2 * size_bytes)

    async def work(handing: Handing) -> None:
        one = Telling(Handing(tmp_path / "none"), board, 1, ManualClock())
        for _ in range(6):
            one.tell(DecidedElsewhere(RECORD), "k1")
        assert lost(board) == 2
        one._handing = handing
        await one.finish()
        unheard = Telling(Handing(tmp_path / "none"), board, 1, ManualClock())
        unheard.tell(DecidedElsewhere(RECORD), "k1")
        await unheard.finish()
        assert lost(board) == 3

    over_socket(tmp_path, writer, work)
    assert [len(message.decided) for message in writer.messages] == [2, 2]


def test_a_receipt_of_which_nobody_knows_whether_it_was_taken_is_not_told_twice(tmp_path: Path) -> None:
    board = Board.make(tmp_path)

    async def work(handing: Handing) -> None:
        one = Telling(handing, board, 1, ManualClock())
        one.tell(DecidedElsewhere(RECORD), "k1")
        await one.finish()

    over_socket(tmp_path, answering(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nbroken off"), work)
    assert lost(board) == 1


def test_what_is_told_is_kept_and_settled_by_the_writer(tmp_path: Path) -> None:
    terms = Terms(key_requests_per_s=10)

    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        access = Access(engine, engine.clock, terms, dev=True)
        inside = Inside(never, engine, access)
        nobodys, gone = DecidedElsewhere(RECORD), DecidedElsewhere(msgspec.structs.replace(RECORD, key=77, subject=77))
        body = msgspec.msgpack.encode([[nobodys, gone], {"dev": 25, "unknown": 3}])
        pieces = [
            {"type": "http.request", "body": body[:9], "more_body": True}, {"type": "http.request", "body": body[9:]},
        ]  # fmt: skip
        sent: list[Any] = []

        async def receive() -> Any:
            return pieces.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        await inside({"type": "http", "path": PATH, "headers": []}, receive, send)
        settled = msgspec.msgpack.decode(sent[1]["body"], type=Settled)
        assert settled == Settled({"dev": 1_600}, 1), "what is owed is 15 requests, and one more has to wait as well"
        await engine.journal.settled()
        assert engine.partition.records > 0

    with_engine(tmp_path, work)


async def never(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("this is not for the routes")


def test_people_on_disk_and_deciders_do_not_go_together(tmp_path: Path) -> None:
    folder = tmp_path / "workers"
    folder.mkdir()
    Board.make(folder)

    async def work(engine: Engine) -> None:
        await stock_shop(engine)
        await take(engine, *(event(number, person=f"p{number}") for number in range(60)))
        for _ in range(200):
            engine.partition.state.upkeep()
        assert engine.partition.state.cells_cold
        side, access = WriterSide(folder, 2), Access(engine, engine.clock, Terms(key_requests_per_s=1))
        with pytest.raises(ConfigRejected, match=r"people lie on disk.*raise state\.memory_mb"):
            async with side.beside(engine, never, access, ServeSettings(), 16):
                raise AssertionError("it begins nothing")

    with_engine(tmp_path, work, cells=40, cold=ColdPlace(RealDisk(), tmp_path / "cold"))


def test_a_decider_that_is_down_is_told_to_whoever_looks_after_the_server(tmp_path: Path) -> None:
    board, side = Board.make(tmp_path), WriterSide(tmp_path, 3)
    assert side.warnings() == (), "they have not been started yet"
    for number in (1, 2):
        board.count(number, STARTS)
    board.write(1, UP, 1)
    assert side.warnings() == ("worker 2 does not decide; see its log",)


# Supervising.


PROGRAM = """
import sys, time
from pathlib import Path
folder, number, count, what = sys.argv[1:]
from instanter.ops.workers.board import Board, UP
board = Board(Path(folder))
if number == "0":
    if what == "never":
        sys.exit(3)
    board.begin_writing(1, 1)
board.write(int(number), UP, 1)
if what == "fails" and number == "1":
    sys.exit(9)
sys.stdin.read()
"""


def supervised(root: Path, what: str) -> Supervisor:
    return Supervisor(2, [what], root, command=(sys.executable, "-c", PROGRAM))


def test_a_writer_that_never_becomes_ready_ends_the_server_with_its_exit_code(tmp_path: Path) -> None:
    assert supervised(tmp_path, "never").run() == 3


def test_a_worker_that_ends_is_started_again_after_pauses_that_grow_up_to_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert limits.WORKER_PAUSE_S_MAX == 30.0
    monkeypatch.setattr(supervisor, "PAUSE_S", 0.01)
    one = supervised(tmp_path, "fails")
    board = Board(tmp_path)
    looked = one._stop.wait

    def wait(timeout: float | None = None) -> bool:
        if board.read(1, STARTS) >= 3:
            one.stop()
        return looked(timeout)

    monkeypatch.setattr(one._stop, "wait", wait)
    with caplog.at_level(logging.ERROR):
        one.run()
    assert board.read(1, STARTS) >= 3
    assert (board.read(WRITER, STARTS), one.pids) == (1, [])
    assert "worker 1 has ended and is started again" in caplog.text


def test_the_pause_before_a_start_doubles_and_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns = [0]
    monkeypatch.setattr(supervisor, "elapsed_ns", lambda: now_ns[0])
    worker, pauses = Worker(1, [sys.executable, "-c", ""]), []
    for _ in range(10):
        worker.start()
        assert worker.process is not None
        worker.process.wait()
        assert worker.ended() == 0
        pauses.append((worker._again_ns - now_ns[0]) / 1e9)
        now_ns[0] = max(worker._again_ns, now_ns[0])
    assert pauses[:4] == [0.0, 0.5, 1.0, 2.0]
    assert max(pauses) == pauses[-1] == limits.WORKER_PAUSE_S_MAX
