"""Jobs of a real server: decisions made again in a process of its own, and what becomes of it with the server."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from instanter.ops.child import ChildServer
from instanter.ops.jobs.__main__ import NICENESS
from instanter.ops.jobs.child import COMMAND

from .shop_data import write_config

HOME = "home.recommended"
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="children are found in /proc")


def pause() -> None:
    """Let others have the machine for a moment."""
    threading.Event().wait(0.01)


class Shop:
    """A running server with a few items."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.server = ChildServer(self.data, config=write_config(folder), log=folder / "server.log")

    def call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return httpx.request(method, self.server.url + path, json=body, timeout=600)

    def decided(self, **fields: Any) -> str:
        asked = {"anonymousId": "a1", "placements": [{"id": HOME}], "deadlineMs": 10_000, **fields}
        return str(self.call("POST", "/v1/decide", asked).json()["decisionId"])

    def replayed(self, decision: str) -> dict[str, Any]:
        """What a replay comes to, waited for if it takes long."""
        return self.outcome("POST", f"/v1/decisions/{decision}/replay")

    def outcome(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """What comes of a call that may be a job, waited for if it is."""
        reply = self.call(method, path, body)
        if reply.status_code == 200:
            return dict(reply.json())
        assert reply.status_code == 202, reply.text
        while (job := self.call("GET", reply.headers["Location"]).json())["state"] in ("waiting", "running"):
            pause()
        assert job["state"] == "done", job
        return dict(job["outcome"])


class Held:
    """The process of a job that a request has begun, stopped in the midst of it."""

    def __init__(self, shop: Shop) -> None:
        decision = shop.decided()
        self._asking = threading.Thread(target=self._ask, args=(shop, decision))
        self._asking.start()
        while not (found := [pid for pid in children(shop.server.process.pid) if command_of(pid) == COMMAND]):
            pause()
        self.pid = found[0]
        os.kill(self.pid, signal.SIGSTOP)

    def _ask(self, shop: Shop, decision: str) -> None:
        with contextlib.suppress(httpx.HTTPError):
            self.reply = shop.call("POST", f"/v1/decisions/{decision}/replay")

    def answered(self) -> httpx.Response:
        self._asking.join()
        return self.reply

    def wait_for_end(self) -> None:
        """Returns when it has ended, and hangs if it does not."""
        self._asking.join()
        while state_and_parent(self.pid)[0] not in "XZ":
            pause()


def state_and_parent(pid: int) -> tuple[str, int]:
    """A process's state, "X" where there is none, and the process that made it."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return "X", 0
    return words[0], int(words[1])


def children(pid: int) -> list[int]:
    """The processes that one has made."""
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and state_and_parent(int(entry))[1] == pid]


def command_of(pid: int) -> tuple[str, ...]:
    """The command line of a process; that of its parent until it has begun its own program."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return ()
    return tuple(words)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    shop = Shop(tmp_path_factory.mktemp("shop"))
    try:
        shop.server.wait_until_ready()
        items = [{"id": f"sku-{n}", "fields": {"category": "chairs", "price": n}} for n in range(9)]
        shop.call("POST", "/v1/items", {"items": items})
        for number in range(30):
            shop.call("POST", "/v1/track", {
                "anonymousId": "a1", "messageId": f"m-{number}", "event": "Product Viewed",
                "properties": {"product_id": f"sku-{number % 9}"}})  # fmt: skip
        yield shop
    finally:
        shop.server.stop()


def test_a_decision_that_was_just_made_is_made_again_and_is_the_same(shop: Shop) -> None:
    decision = shop.decided()
    told = shop.replayed(decision)
    assert (told["decisionId"], told["identical"], told["differences"]) == (decision, True, [])
    assert told["foldedEvents"] > 30
    assert told["tookMs"] > 0
    assert not list((shop.data / "jobs").glob("*")), "nothing of it is left"


def test_a_decision_about_nobody_and_one_with_a_list_of_its_own_are_the_same_too(shop: Shop) -> None:
    nobody = shop.decided(anonymousId=None)
    listed = shop.decided(placements=[{"id": "search", "candidates": [{"id": "sku-2", "fields": {"price": 90}}, "x"]}])
    assert [shop.replayed(decision)["identical"] for decision in (nobody, listed)] == [True, True]


def test_what_became_of_each_item_is_told_of_the_decision_as_it_was_made(shop: Shop) -> None:
    asked = {"anonymousId": "a1", "placements": [{"id": HOME, "limit": 3}], "deadlineMs": 10_000}
    made = shop.call("POST", "/v1/decide", asked).json()
    shown = {item["id"]: item for item in made["placements"][HOME]["items"]}
    whole = shop.outcome("GET", f"/v1/decisions/{made['decisionId']}?explain=true")
    assert (whole["identical"], whole["differences"]) == (True, [])
    placed = whole["placements"][HOME]
    told = ("id", "position", "score", "propensity", "reasons")
    assert [[item[name] for name in told] for item in placed["items"]] == [
        [item[name] for name in told] for item in shown.values()]  # fmt: skip
    assert (placed["places"], placed["servedBy"]) == (3, made["placements"][HOME]["servedBy"])
    for item_id in ("sku-0", "sku-8", "never heard of"):
        told = shop.outcome("GET", f"/v1/decisions/{made['decisionId']}?item={item_id}")
        assert (told["identical"], told["item"]) == (True, item_id)
        placed = told["placements"][HOME]
        assert told["inCatalogue"] is (item_id != "never heard of")
        assert (placed["outcome"] == "shown") is (item_id in shown)
        if item_id in shown:
            assert placed["reasons"] == shown[item_id]["reasons"]
            assert placed["inputs"]
        if not told["inCatalogue"]:
            assert (placed["outcome"], placed["excluded"]) == ("excluded", "not_in_catalogue")


def test_what_a_decision_would_have_been_stands_beside_what_it_was(shop: Shop) -> None:
    asked = {"anonymousId": "a1", "placements": [{"id": HOME, "limit": 4}], "deadlineMs": 10_000}
    made = shop.call("POST", "/v1/decide", asked).json()
    path = f"/v1/decisions/{made['decisionId']}/whatif"
    was = [item["id"] for item in made["placements"][HOME]["items"]]

    told = shop.outcome("POST", path, {"weights": {"item.price": 900.0}})
    assert (told["identical"], told["tried"]) == (True, {"weights": {"item.price": 900.0}})
    beside = told["placements"][HOME]
    rows = {row["id"]: row for row in beside["items"]}
    assert [row["id"] for row in sorted(rows.values(), key=lambda row: row["before"] or 99) if row["before"]] == was
    assert beside["changed"]
    assert beside["before"]["places"] == beside["after"]["places"] == 4
    assert next(iter(rows)) == "sku-8", "the dearest"
    for item in made["placements"][HOME]["items"]:
        assert rows[item["id"]]["scoreBefore"] == item["score"]
    for row in rows.values():
        assert (row["why"] == "") is (row["before"] is not None and row["after"] is not None)
        assert (row["outcome"] == "shown") is (row["after"] is not None)
        assert None not in (row["scoreBefore"], row["scoreAfter"])

    nobody = shop.outcome("POST", path, {"asNobody": True})["placements"][HOME]
    asked.pop("anonymousId")
    of_nobody = shop.call("POST", "/v1/decide", asked).json()["placements"][HOME]
    assert nobody["after"]["servedBy"] == of_nobody["servedBy"] != nobody["before"]["servedBy"]
    refused = shop.outcome("POST", path, {"refused": ["personalization"]})["placements"][HOME]
    assert refused["after"]["servedBy"] == of_nobody["servedBy"]

    longer = shop.outcome("POST", path, {"limit": 6, "placement": HOME})["placements"][HOME]
    assert (longer["before"]["places"], longer["after"]["places"]) == (4, 6)
    assert [row["id"] for row in longer["items"]][:3] == was[:3]
    assert "and the list has 4 places" in longer["items"][-1]["why"]


@pytest.mark.parametrize(("tried", "code"), [
    ({"weights": {"item.prise": 1}}, "unknown_input"), ({"model": "lambdamart@1"}, "unknown_model"),
    ({"refused": ["persnalization"]}, "unknown_purpose"), ({"limit": 3, "placement": "home.hero"}, "unknown_placement"),
])  # fmt: skip
def test_what_there_is_not_cannot_be_tried(tried: dict[str, Any], code: str, shop: Shop) -> None:
    reply = shop.call("POST", f"/v1/decisions/{shop.decided()}/whatif", tried)
    if reply.status_code == 202:
        while (job := shop.call("GET", reply.headers["Location"]).json())["state"] in ("waiting", "running"):
            pause()
        assert (job["state"], job["error"]["code"]) == ("failed", code)
    else:
        assert reply.status_code in (400, 404)
        assert reply.json()["error"]["code"] == code


@LINUX
def test_a_job_stands_back_behind_the_server_and_has_nothing_secret_on_its_command_line(shop: Shop) -> None:
    held = Held(shop)
    try:
        assert command_of(held.pid) == COMMAND
        reply = held.answered()
        assert reply.status_code == 202, "the request does not wait for ever"
        assert shop.call("POST", "/v1/decide", {"placements": [{"id": HOME}]}).status_code == 200
        metrics = shop.call("GET", "/metrics").text
        assert "\ninstanter_jobs_running 1.0\n" in metrics
    finally:
        os.kill(held.pid, signal.SIGCONT)
    behind = min(os.nice(0) + NICENESS, 19)
    while os.getpriority(os.PRIO_PROCESS, held.pid) != behind:
        pause()
    while (job := shop.call("GET", reply.headers["Location"]).json())["state"] == "running":
        pause()
    assert job["outcome"]["identical"]


@LINUX
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_job_ends_with_the_server_however_that_ends(end: str, tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    try:
        shop.server.wait_until_ready()
        held = Held(shop)
        if end == "stop":
            assert shop.server.stop() == 0
            assert state_and_parent(held.pid)[0] == "X", "the server has waited for its end"
            assert not list((shop.data / "jobs").glob("*"))
        else:
            shop.server.kill()
            os.kill(held.pid, signal.SIGCONT)
        held.wait_for_end()
    finally:
        shop.server.stop()
