"""The pool: a process answers in time or is ended and begun again, and none is left."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from instanter.foundation import limits
from instanter.foundation.errors import Broken, Unavailable
from instanter.ops import pool as pools
from instanter.ops.pool import Pool

WORKER = """
import os, socket, sys, time
from instanter.ops.pool import receive, send
connection = socket.socket(fileno=int(sys.argv[1]))
content = receive(connection, 1 << 20)
while True:
    try:
        question = receive(connection, 1 << 20)
    except OSError:
        sys.exit(0)
    if question == b"die":
        sys.exit(3)
    if question == b"hang":
        time.sleep(600)
    if question == b"shout":
        connection.sendall((1 << 30).to_bytes(4, "little"))
    send(connection, str(os.getpid()).encode() if question == b"pid" else content + question)
"""
PATIENT_MS = 20_000.0
WAIT_S = 30


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    path = tmp_path / "worker.py"
    path.write_text(WORKER)
    return [sys.executable, str(path)]


@pytest.fixture
def pool(command: list[str]) -> Iterator[Pool]:
    made = Pool(command)
    yield made
    made.close()


def passes(ask: Callable[[bytes], bytes]) -> None:
    assert ask(b"?").endswith(b"?")


def again(pool: Pool, name: str = "a") -> bytes:
    """What a process that was begun again answers first."""
    waiting = threading.Event()
    for _ in range(int(WAIT_S / 0.02)):
        try:
            return pool.ask(name, b"pid", PATIENT_MS)
        except Unavailable:
            waiting.wait(0.02)
    raise AssertionError("it did not come back")


def is_there(pid: bytes) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    return True


def test_each_process_is_given_its_own_and_asked(pool: Pool) -> None:
    for name in ("a", "b", "a"):
        pool.prepare(name, name.encode(), passes)
    assert len(pool) == 2
    assert pool.ask("a", b"1", PATIENT_MS) == b"a1"
    assert pool.ask("b", b"2", PATIENT_MS) == b"b2"
    pids = [pool.ask(name, b"pid", PATIENT_MS) for name in ("a", "b")]
    pool.close()
    assert not any(map(is_there, pids))
    with pytest.raises(Unavailable, match="not prepared"):
        pool.ask("a", b"1", PATIENT_MS)


@pytest.mark.parametrize(("question", "within_ms", "reason"), [
    (b"die", PATIENT_MS, "failed"), (b"hang", 30.0, "did not answer within 30 ms"), (b"shout", PATIENT_MS, "bytes"),
])  # fmt: skip
def test_one_that_fails_is_ended_and_begun_again(pool: Pool, question: bytes, within_ms: float, reason: str) -> None:
    pool.prepare("a", b"x", passes)
    before = pool.ask("a", b"pid", PATIENT_MS)
    with pytest.raises(Broken, match=reason):
        pool.ask("a", question, within_ms)
    with pytest.raises(Unavailable):
        pool.ask("a", b"?", PATIENT_MS)
    pool.prepare("a", b"x", passes)  # Changes nothing: it is begun again already.
    after = again(pool)
    assert after != before
    assert not is_there(before)
    assert pool.ask("a", b"?", PATIENT_MS) == b"x?"


def test_one_that_goes_on_failing_is_begun_again_ever_less_often(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits.NET_RESTART_S_MAX == pools.NET_RESTART_S_MAX
    pool.prepare("a", b"x", passes)
    worker, waited = pool._workers["a"], list[float]()
    closed = worker._closed.wait
    monkeypatch.setattr(worker._closed, "wait", lambda pause_s: waited.append(pause_s) or closed(0.0))
    monkeypatch.setattr(pools, "NET_RESTART_S_MAX", 0.4)
    worker._began_ns += 10**12  # It has not been up for long, whatever the clock says.
    for _ in range(5):
        worker._began_ns += 10**12
        with pytest.raises(Broken):
            pool.ask("a", b"die", PATIENT_MS)
        again(pool)
    assert waited == [0.1, 0.2, 0.4, 0.4, 0.4]


def test_what_fails_its_check_or_does_not_begin_is_not_there(pool: Pool, tmp_path: Path) -> None:
    def fails(ask: Callable[[bytes], bytes]) -> None:
        raise Broken(f"it says {ask(b'!').decode()}")

    with pytest.raises(Broken, match="it says x!"):
        pool.prepare("a", b"x", fails)
    assert len(pool) == 0
    other = Pool([sys.executable, "-c", "raise SystemExit(1)"])
    with pytest.raises(Broken, match="did not begin"):
        other.prepare("a", b"x", passes)
    assert len(other) == 0
    gone = Pool([str(tmp_path / "nothing")])
    with pytest.raises(Broken, match=r"did not begin.*nothing"):
        gone.prepare("a", b"x", passes)


def test_there_are_so_many_and_one_that_rests_makes_room(command: list[str]) -> None:
    pool = Pool(command, count_max=2)
    assert Pool(command)._count_max == limits.NETS_MAX
    try:
        pool.prepare("a", b"x", passes)
        pool.prepare("b", b"x", passes)
        with pytest.raises(Unavailable, match="2 nets run already"):
            pool.prepare("c", b"x", passes)
        pool._workers["a"].used_ns -= 61 * 10**9
        pool.prepare("c", b"x", passes)
        assert list(pool._workers) == ["b", "c"]
    finally:
        pool.close()


def test_closing_does_not_wait_for_what_is_just_beginning(pool: Pool) -> None:
    pool.prepare("a", b"x", passes)
    with pytest.raises(Broken):
        pool.ask("a", b"die", PATIENT_MS)
    pool.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "pool"]


def test_an_answer_is_bounded() -> None:
    assert limits.POOL_ANSWER_BYTES_MAX == pools.POOL_ANSWER_BYTES_MAX
