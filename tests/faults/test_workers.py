"""Several real processes on one directory: what one acknowledges every one knows, and whoever dies is made up for."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from instanter.engine.decision_ids import is_from_elsewhere
from instanter.foundation.clock import elapsed_ns
from instanter.ops.child import ChildServer, running_server
from instanter.ops.cli.main import main

CONFIG = """\
[state]
memory_mb = 64
[limits]
requests_per_s = 1000000
"""
HOME = "home.recommended"
ITEMS = 30
CONNECTIONS = 8
WITHIN_S = 300.0
"""On a machine that is busy with other things; nothing here promises a time."""


class Calls:
    """Connections to one port, which lead to whichever worker the system chose for each."""

    def __init__(self, port: int, count: int = CONNECTIONS) -> None:
        self._port = port
        self._connections: list[http.client.HTTPConnection | None] = [None] * count

    def call(self, place: int, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        """Send over one of the connections; (0, {}) where that was cut off."""
        place %= len(self._connections)
        connection = self._connections[place] or http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        self._connections[place] = connection
        try:
            connection.request(
                method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"}
            )
            response = connection.getresponse()
            raw = response.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            self._connections[place] = None
            return 0, {}
        if response.headers.get_content_type() != "application/json":
            return response.status, {"text": raw.decode()}
        return response.status, json.loads(raw)

    def anew(self) -> None:
        """Begin with fresh connections, so that the workers are chosen again."""
        for connection in self._connections:
            if connection is not None:
                connection.close()
        self._connections = [None] * len(self._connections)

    def track(self, place: int, person: str, number: int) -> tuple[int, dict[str, Any]]:
        return self.call(place, "POST", "/v1/track", {
            "event": "Product Viewed", "anonymousId": person, "messageId": f"{person}-{number}",
            "properties": {"product_id": f"sku-{number % ITEMS}"},
        })  # fmt: skip

    def decide(self, place: int, person: str, **more: Any) -> tuple[int, dict[str, Any]]:
        question = {"anonymousId": person, "placements": [{"id": HOME}], "deadlineMs": 10_000, **more}
        return self.call(place, "POST", "/v1/decide", question)

    def figures(self, name: str) -> dict[str, float]:
        """A metric by worker."""
        status, told = self.call(0, "GET", "/metrics")
        assert status == 200
        lines = [line for line in told["text"].splitlines() if line.startswith(name + "{")]
        return {line.split('"')[1]: float(line.rpartition(" ")[2]) for line in lines}

    def stock(self) -> None:
        items = [
            {"id": f"sku-{number}", "fields": {"title": f"{number}", "category": f"c{number % 3}", "stock": 5}}
            for number in range(ITEMS)
        ]
        assert self.call(0, "POST", "/v1/items", {"items": items})[0] == 200


def by_decider(reply: dict[str, Any]) -> bool:
    """Whether a decider made the decision."""
    return is_from_elsewhere(reply["decisionId"])


def pid_of(server: ChildServer, number: int) -> int:
    """The process of a worker; 0 if there is none."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if b"instanter.ops.workers.worker" in words and parent == server.process.pid:
                place = words.index(b"instanter.ops.workers.worker")
                if int(words[place + 2]) == number:
                    return int(entry.name)
    return 0


def wait_until(true: Callable[[], bool], what: str) -> None:
    began_ns = elapsed_ns()
    while not true():
        assert (elapsed_ns() - began_ns) / 1e9 < WITHIN_S, f"waited too long until {what}"
        threading.Event().wait(0.05)


def up(calls: Calls, workers: int) -> Callable[[], bool]:
    """Whether all deciders answer."""
    def look() -> bool:
        calls.anew()
        with contextlib.suppress(AssertionError):
            return sum(calls.figures("instanter_worker_up").values()) == workers - 1
        return False

    return look


@contextlib.contextmanager
def serving(root: Path, workers: int = 2) -> Iterator[tuple[ChildServer, Calls]]:
    config = root / "instanter.toml"
    config.write_text(CONFIG)
    with running_server(root / "data", config=config, arguments=["--workers", str(workers)]) as server:
        calls = Calls(server.port)
        try:
            wait_until(up(calls, workers), "all deciders are up")
            calls.anew()
            yield server, calls
        finally:
            calls.anew()


def test_what_one_worker_acknowledges_the_next_decision_of_every_worker_sees(tmp_path: Path, full: bool) -> None:
    pairs, workers, made = (10_000, 3, 0) if full else (200, 2, 0)
    with serving(tmp_path, workers) as (_, calls):
        calls.stock()
        for number in range(pairs):
            if number % 50 == 49:
                calls.anew()
            person = f"p{number}"
            status, taken = calls.track(number, person, number)
            assert status == 200, taken
            status, reply = calls.decide(3 * number + 1, person)
            assert (status, reply["degraded"]) == (200, []), reply
            assert int(reply["position"]) >= int(taken["position"])
            assert reply["placements"][HOME]["servedBy"] == "personal"
            made += by_decider(reply)
        assert made > pairs / 10, "some of the decisions are those of deciders"
        assert sum(calls.figures("instanter_worker_decisions_total").values()) >= made
        assert set(calls.figures("instanter_worker_receipts_lost_total").values()) == {0.0}


def test_items_refusals_erasures_and_questions_with_events_count_through_every_worker(tmp_path: Path) -> None:
    with serving(tmp_path) as (_, calls):
        calls.stock()
        for number in range(16):
            person = f"p{number}"
            assert calls.track(number, person, number)[0] == 200
            items = calls.decide(number + 1, person)[1]["placements"][HOME]["items"]
            gone = items[0]["id"]
            assert calls.call(number + 2, "PATCH", f"/v1/items/{gone}", {"stock": 0})[0] == 200
            items = calls.decide(number + 3, person)[1]["placements"][HOME]["items"]
            assert gone not in [item["id"] for item in items]
            assert calls.call(number + 2, "PATCH", f"/v1/items/{gone}", {"stock": 5})[0] == 200
            event = {"type": "track", "event": "Product Viewed", "messageId": f"q{number}", "anonymousId": f"q{number}",
                     "properties": {"product_id": "sku-1"}}  # fmt: skip
            status, reply = calls.decide(number + 4, f"q{number}", events=[event])
            assert (status, reply["placements"][HOME]["servedBy"]) == (200, "personal")
            erased = number % 2
            if erased:
                assert calls.call(number + 5, "DELETE", f"/v1/profiles/anonymous:{person}")[0] == 200
            else:
                path = f"/v1/profiles/anonymous:{person}/consent"
                assert calls.call(number + 5, "PUT", path, {"purposes": {"personalization": False}})[0] == 200
            for place in range(CONNECTIONS):
                status, reply = calls.decide(place, person)
                assert (status, reply["placements"][HOME]["servedBy"] != "personal") == (200, True), erased


def test_receipts_of_deciders_are_shown_and_replay_bit_by_bit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(tmp_path) as (_, calls):
        calls.stock()
        ids = list[str]()
        for number in range(40):
            assert calls.track(number, f"p{number % 5}", number)[0] == 200
            status, reply = calls.decide(number + 1, f"p{number % 5}")
            assert status == 200
            ids += [reply["decisionId"]] * by_decider(reply)
        assert ids

        def is_kept() -> bool:
            return calls.call(0, "GET", f"/v1/decisions/{ids[-1]}")[0] == 200

        wait_until(is_kept, "the last receipt is in the log")
        status, again = calls.call(1, "POST", f"/v1/decisions/{ids[0]}/replay")
        assert status in (200, 202)
        assert status == 202 or again["identical"]
    config = str(tmp_path / "instanter.toml")
    assert main(["replay", "--data", str(tmp_path / "data"), "--config", config, "--decisions", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["decisions"], told["identical"]) == (40, 40)
    assert main(["replay", "--data", str(tmp_path / "data"), "--config", config, "--decisions", *ids]) == 0


def test_a_decider_that_is_killed_comes_back_and_answers_go_on(tmp_path: Path) -> None:
    with serving(tmp_path) as (server, calls):
        calls.stock()
        killed = pid_of(server, 1)
        os.kill(killed, signal.SIGKILL)
        calls.anew()
        answered = 0
        for number in range(60):
            assert calls.track(number, f"p{number}", number)[0] in (0, 200)
            answered += calls.decide(number, f"p{number}")[0] == 200
        assert answered >= 60 - CONNECTIONS, "none is lost but those whose connection died with it"
        wait_until(up(calls, 2), "it is up again")
        assert pid_of(server, 1) not in (0, killed)
        assert calls.figures("instanter_worker_starts_total") == {"1": 2.0}


def test_while_the_writer_is_dead_decisions_go_on_and_all_else_is_told_why_not(tmp_path: Path) -> None:
    with serving(tmp_path) as (server, calls):
        calls.stock()
        people, ids = [f"p{number}" for number in range(8)], list[str]()
        for number, person in enumerate(people):
            assert calls.track(number, person, number)[0] == 200
        writer = pid_of(server, 0)
        os.kill(writer, signal.SIGKILL)
        os.kill(server.process.pid, signal.SIGSTOP)  # So that no new one comes before all of this was asked.
        try:
            wait_until(lambda: _is_dead(writer), "the writer is gone")
            calls.anew()
            for number, person in enumerate(people):
                status, reply = calls.decide(number, person)
                assert status == 200, reply
                assert reply["placements"][HOME]["servedBy"] == "personal"
                assert by_decider(reply)
                ids.append(reply["decisionId"])
                status, reply = calls.track(number, person, 100 + number)
                assert (status, reply["code"]) == (503, "unavailable")
                assert "decisions go on" in reply["message"]
                status, reply = calls.decide(number, person, events=[{"type": "track", "event": "x"}])
                assert (status, reply["error"]["code"]) == (503, "unavailable")
            assert calls.call(0, "GET", "/v1/profiles")[0] == 503
            assert _asked_slowly(server.port, times=3) == [503] * 3
        finally:
            os.kill(server.process.pid, signal.SIGCONT)

        def is_back() -> bool:
            calls.anew()
            return calls.track(0, "later", 1)[0] == 200

        wait_until(is_back, "a new writer takes events")
        assert pid_of(server, 0) not in (0, writer)
        for place in range(CONNECTIONS):
            status, reply = calls.decide(place, "later")
            assert (status, reply["placements"][HOME]["servedBy"]) == (200, "personal")
        wait_until(up(calls, 2), "the decider is seen by the new writer")

        def are_accounted_for() -> bool:
            kept = sum(calls.call(0, "GET", f"/v1/decisions/{one}")[0] == 200 for one in ids)
            return kept + calls.figures("instanter_worker_receipts_lost_total")["1"] == len(ids)

        wait_until(are_accounted_for, "each receipt of that time is in the log, or counted as lost")
        assert calls.figures("instanter_worker_starts_total") == {"1": 1.0}


def _asked_slowly(port: int, *, times: int) -> list[int]:
    """Statuses of events sent one after the other over one connection, each body well after its head."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.connect()
    connection.auto_open = 0
    statuses = list[int]()
    try:
        for number in range(times):
            body = json.dumps({"event": "Order Seen", "anonymousId": "slow", "messageId": f"slow-{number}"}).encode()
            connection.putrequest("POST", "/v1/track")
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders()
            threading.Event().wait(0.2)
            connection.send(body)
            response = connection.getresponse()
            response.read()
            statuses.append(response.status)
    finally:
        connection.close()
    return statuses


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_whoever_started_it(how: signal.Signals, tmp_path: Path) -> None:
    with serving(tmp_path) as (server, _):
        pids = [pid_of(server, number) for number in range(2)]
        assert all(pids)
        server.process.send_signal(how)
        code = server.process.wait(WITHIN_S)
        wait_until(lambda: all(map(_is_dead, pids)), "the workers are gone")
        assert code == (0 if how is signal.SIGTERM else -how)


def _is_dead(pid: int) -> bool:
    """Whether there is no such process, or one that only waits to be counted: its first thread may be gone before the
    others are, and as long as one is there so are its sockets."""
    try:
        alone = len(os.listdir(f"/proc/{pid}/task")) <= 1
        return alone and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.parametrize("count", ["0", "-1", "65", "two"])
def test_a_number_of_workers_that_cannot_be_is_refused(count: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--dev", "--workers", count])
    assert ended.value.code == 2
    assert "is not a number of processes from 1 to 64" in capsys.readouterr().err


def test_a_clock_that_events_set_is_for_one_process(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = str(tmp_path / "data")
    assert main(["serve", "--dev", "--workers", "2", "--clock", "events", "--data", data, "--port", "1"]) != 0
    capsys.readouterr()
    from instanter.ops.child import free_port

    port = str(free_port())
    assert main(["serve", "--dev", "--workers", "2", "--clock", "events", "--data", data, "--port", port]) == 2
    assert "with --clock events one process decides" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()
