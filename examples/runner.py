"""What runners on real data share: a server of their own, a client of its API, the events' clock, and the last line.

A runner talks to the engine over HTTP and imports nothing of it, so what it does any program can do. The one that asks
many thousand times has the engine in its own process instead: `next_item/inprocess.py`.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[1]
HOST = "127.0.0.1"
READY_S_MAX = 180.0
"""The first start on a machine compiles the fold."""
STOP_S_MAX = 15.0
CALL_S_MAX = 30.0
TRAIN_S_MAX = 600.0
BATCH_EVENTS = 500
BATCH_BYTES = 400_000
"""Leaves room below the 500 KB that one batch may have."""
ITEMS_PER_CALL = 500
SECONDS_OR_MS = 100_000_000_000
"""A cut below it is in seconds (until the year 5138), one above it in milliseconds (from 1973 on)."""

JsonObject = dict[str, Any]


class RunnerError(Exception):
    """The run cannot go on; the text is one sentence for the person who started it."""


class Server:
    """`instanter serve` in a process and a temporary directory of its own, gone when the block is left.

    The clock is the events': times of years ago are "now" while they are fed.
    """

    def __init__(self, config: Path, *, past: Path | None = None) -> None:
        """`past` is the data directory of a server that has been stopped: this one goes on from a copy of it."""
        self._config = config
        self._past = past
        self._directory = tempfile.TemporaryDirectory(prefix="instanter-run-")
        self._log = Path(self._directory.name) / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()

    def __enter__(self) -> Self:
        if self._past is not None:
            shutil.copytree(self._past, self.data)
        command = [
            sys.executable, "-m", "instanter.ops.cli.main", "serve", "--dev", "--clock=events", "--host", HOST,
            "--port", str(self.port), "--data", str(self.data), "--config", str(self._config),
        ]  # fmt: skip
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            self._wait_until_ready()
        except BaseException:
            self._end()
            raise
        return self

    @property
    def data(self) -> Path:
        """Its data directory."""
        return Path(self._directory.name) / "data"

    def train(self, placement: str, *options: str, place: bool = True) -> JsonObject:
        """Learn a ranker from what has been fed, and put it in charge of the placement; what `instanter train` says."""
        command = [
            sys.executable, "-m", "instanter.ops.cli.main", "train", "--data", str(self.data), "--config",
            str(self._config), "--placement", placement, "--json", *options,
            *(("--place", "--url", f"http://{HOST}:{self.port}") if place else ()),
        ]  # fmt: skip
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TRAIN_S_MAX)
        if ran.returncode != 0:
            raise RunnerError(f"training failed: {(ran.stderr or ran.stdout).strip().splitlines()[-1:]}")
        told: JsonObject = json.loads(ran.stdout.strip().splitlines()[-1])
        return told

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def stop(self) -> None:
        """End the process; its data stays until the block is left."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _end(self) -> None:
        self.stop()
        self._directory.cleanup()

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        give_up_s = time.monotonic() + READY_S_MAX
        while time.monotonic() < give_up_s:
            if self._process.poll() is not None:
                raise RunnerError(f"the server ended before it was ready: {self._last_words()}")
            if _answers(self.port):
                return
            time.sleep(0.05)
        raise RunnerError(f"the server was not ready within {READY_S_MAX:g} s: {self._last_words()}")

    def _last_words(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=1.0)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class Client:
    """One kept-alive connection. What the server refuses ends the run: nothing may be lost without a word."""

    def __init__(self, port: int) -> None:
        self._http = http.client.HTTPConnection(HOST, port, timeout=CALL_S_MAX)
        self.events_sent = 0
        self.feeding_s = 0.0
        """Time spent waiting for events to be on disk and folded."""
        self.asking_s: list[float] = []
        """Round trip of each question."""

    def close(self) -> None:
        """Hang up."""
        self._http.close()

    def feed(self, events: Iterable[JsonObject]) -> None:
        """Send events in their order, in as few batches as fit; on return all of them are folded."""
        for batch in batches(events):
            started_s = time.perf_counter()
            reply = json.loads(self._call("POST", "/v1/batch", b'{"batch":[' + b",".join(batch) + b"]}"))
            self.feeding_s += time.perf_counter() - started_s
            if reply["rejected"] or reply["accepted"] != len(batch):
                why = reply["rejected"][:1]
                raise RunnerError(f"of {len(batch)} events only {reply['accepted']} were taken: {why}")
            self.events_sent += len(batch)

    def put_items(self, items: Sequence[JsonObject]) -> None:
        """Upsert items."""
        for first in range(0, len(items), ITEMS_PER_CALL):
            self._call("POST", "/v1/items", encoded({"items": items[first : first + ITEMS_PER_CALL]}))

    def ask(self, path: str, question: JsonObject) -> JsonObject:
        """`/v1/rank` or `/v1/decide`."""
        started_s = time.perf_counter()
        reply: JsonObject = json.loads(self._call("POST", path, encoded(question)))
        self.asking_s.append(time.perf_counter() - started_s)
        return reply

    def place(self, placement: str, model: str) -> None:
        """Put a model that there is in charge of a placement."""
        self._call("PUT", f"/v1/models/{placement}", encoded({"model": model}))

    def get(self, path: str) -> JsonObject:
        """The reply of a GET."""
        reply: JsonObject = json.loads(self._call("GET", path))
        return reply

    def metrics(self) -> dict[str, float]:
        """`GET /metrics` by name with labels, e.g. `instanter_people`."""
        return parse_metrics(self._call("GET", "/metrics").decode())

    def _call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            self._http.request(method, path, body=body, headers=headers)
            response = self._http.getresponse()
            raw = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise RunnerError(f"{method} {path}: no answer: {error}") from None
        if response.status != 200:
            raise RunnerError(f"{method} {path}: {response.status} {raw[:300].decode(errors='replace')}")
        return raw


def encoded(value: JsonObject) -> bytes:
    """JSON as it goes over the wire."""
    return json.dumps(value, separators=(",", ":")).encode()


def batches(events: Iterable[JsonObject]) -> Iterator[list[bytes]]:
    """Encoded events in their order, cut so that no batch is over the limits.

    >>> [len(batch) for batch in batches([{"messageId": str(number)} for number in range(1_200)])]
    [500, 500, 200]
    """
    batch: list[bytes] = []
    size_bytes = 0
    for event in events:
        raw = encoded(event)
        if batch and (len(batch) == BATCH_EVENTS or size_bytes + len(raw) > BATCH_BYTES):
            yield batch
            batch, size_bytes = [], 0
        batch.append(raw)
        size_bytes += len(raw) + 1
    if batch:
        yield batch


_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$")


def parse_metrics(text: str) -> dict[str, float]:
    """Samples of the Prometheus text format by name and labels, the labels in the order of their names.

    >>> parse_metrics('# TYPE people gauge\\npeople 3\\ntook{stage="fold",quantile="0.5"} 1.5')
    {'people': 3.0, 'took{quantile="0.5",stage="fold"}': 1.5}
    """
    samples = {}
    for match in filter(None, map(_SAMPLE.match, text.splitlines())):
        name, labels, value = match.groups()
        in_order = ",".join(sorted(labels.split(","))) if labels else ""
        samples[f"{name}{{{in_order}}}" if labels else name] = float(value)
    return samples


def track(name: str, *, message_id: str, user_id: str, at_ms: int, properties: JsonObject) -> JsonObject:
    """A tracking event in the wire shape."""
    return {
        "type": "track", "event": name, "messageId": message_id, "userId": user_id, "timestamp": iso(at_ms),
        "properties": properties,
    }  # fmt: skip


def iso(at_ms: int) -> str:
    """ISO 8601 in UTC.

    >>> iso(1_569_888_000_500)
    '2019-10-01T00:00:00.500Z'
    """
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def time_ms(text: str) -> int:
    """Milliseconds since 1970 of epoch seconds, epoch milliseconds or ISO 8601 (UTC without a zone).

    >>> time_ms("1569888000") == time_ms("1569888000000") == time_ms("2019-10-01") == time_ms("2019-10-01T02:00+02:00")
    True
    """
    try:
        number = float(text)
    except ValueError:
        moment = datetime.fromisoformat(text)
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000)
    return round(number if abs(number) >= SECONDS_OR_MS else number * 1_000)


def cut_at_share(times_ms: Sequence[int], share: float) -> int:
    """The time from which on the last part of a log is the test; `times_ms` are in order.

    >>> cut_at_share([10, 20, 30, 40, 50], 0.8)
    50
    """
    return times_ms[min(int(share * len(times_ms)), len(times_ms) - 1)]


def data_folder(name: str, given: Path | None) -> Path:
    """The folder of a set: as given, or beside the repository; `RunnerError` where it is not there."""
    folder = given or ROOT.parent / "shared" / "data" / name
    if not folder.is_dir():
        shown = folder if given else os.path.relpath(folder)
        raise RunnerError(f"the data set is not here: there is no folder {shown} (say where it is with --data DIR)")
    return folder


Run = Callable[[Path, int | None, bool], Mapping[str, object]]


def main(name: str, description: str, run: Run, argv: Sequence[str] | None = None) -> int:
    """The command line of a runner. `run` takes the folder, the cut in ms (None: the default) and whether to be quiet.

    It returns what the last line holds besides the set and the seconds.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, metavar="DIR",
                        help=f"the folder of the set (default: ../shared/data/{name})")
    parser.add_argument("--cut", type=cut_at, metavar="TIME", help="epoch or ISO 8601: train before, test from then on")
    parser.add_argument("--json", action="store_true", help="print nothing but the result, as one line of JSON")
    arguments = parser.parse_args(argv)
    started_s = time.perf_counter()
    try:
        result = run(data_folder(name, arguments.data), arguments.cut, arguments.json)
    except RunnerError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    seconds = round(time.perf_counter() - started_s, 1)
    if arguments.json:
        print(json.dumps({"set": name, **result, "seconds": seconds}))
    else:
        print(f"\n{seconds:g} s in all")
    return 0


def cut_at(text: str) -> int:
    """A time as an argument of a command line."""
    try:
        return time_ms(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number of seconds nor ISO 8601") from None
