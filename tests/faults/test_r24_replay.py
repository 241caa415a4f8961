"""R24: what was served is what the log says: decisions of a real server are made again in another process, after a
restart, a kill, a change of model and a change of configuration, and training reads the very inputs that ranked.

The shop's visitors are shown what the server decides, so each list follows from the ones before.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from instanter.decisions.receipt import short_hash
from instanter.engine.joining import Joining, ListsWanted
from instanter.engine.replay import Again
from instanter.engine.training import Gathering
from instanter.features.assemble import Matrix
from instanter.ops.child import ChildServer
from instanter.ops.cli.connection import Connection
from instanter.ops.config import load
from instanter.ops.reading import Reading, reading
from instanter.ops.replaying import Span, made_at, positions_in
from instanter.ops.wiring import configuration_of, rewards_of
from instanter.sim.front import Placement, Visitor
from instanter.sim.shop import Shop
from instanter.sim.traffic import Traffic
from instanter.sim.wire import TrackingEvent, iso

from .conftest import Figures

pytestmark = pytest.mark.faults

HOME = "home.recommended"
START_MS = 1_767_225_600_000
SPAN_MS = 2 * 86_400_000
PRODUCTS = 300
BATCH_EVENTS = 100
STRANGER_EVERY, FIELDS_EVERY, CLICKED_EVERY = 11, 17, 2
SERVED = """
[state]
memory_mb = 64
checkpoint_s = 2
[limits]
requests_per_s = 1000000
[feedback]
window_min = 5
delay_s = 0
"""
CHANGED = """
[session]
gap_min = 40
[decide]
exploration = 0.2
[ranker.weights]
"item.r24_carts" = 0.5
[[features]]
name = "r24_carts"
on = ["Product Added"]
aggregate = "decayed"
half_life = "1d"
scope = "item"
unit = "carts"
owner = "tests"
[[placements]]
id = "product.similar"
limit = 6
diversity = 0.0
"""


class Full(Exception):
    """As many decisions were made as were wanted."""


class Site:
    """One data directory, its servers one after the other, and visitors who see what they decide."""

    def __init__(self, folder: Path, *, wanted: int) -> None:
        self.data = folder / "data"
        self.config = folder / "served.toml"
        self.config.write_text(SERVED)
        self.decided: list[str] = []
        self.answered = 0
        self._changed = folder / "changed.toml"
        self._changed.write_text(SERVED + CHANGED)
        self._wanted = wanted
        self._shop = Shop(products=PRODUCTS)
        self._pending: list[dict[str, Any]] = []
        self._newest: dict[str, str] = {}
        """The newest decision of a visit for a placement, as its events name the list."""
        self._changes: dict[int, Callable[[], None]] = {}
        self._lists = Counter[str]()
        self._at = ""
        """Time of the newest event."""
        self._server, self._connection = self._served()

    def live(self, changes: dict[int, Callable[[], None]]) -> None:
        """Let people come until there are enough decisions; `changes` are made at so many of them."""
        self._changes = changes
        items = {"items": [msgspec.to_builtins(item) for item in self._shop.items()]}
        self._call("POST", "/v1/items", items)
        self._pending.append(page("first", iso(START_MS)))  # The server has its time from events.
        traffic = Traffic(
            self._shop, people_count=max(self._wanted // 3, 150), start_ms=START_MS, span_ms=SPAN_MS, show=self._show
        )
        try:
            for event in traffic.events():
                self._pending.append(self._told(event))
        except Full:
            self._flush()
        assert not self._changes, "there were visits enough for all of it"

    def restart(self) -> None:
        self.close()
        self._server, self._connection = self._served()

    def kill(self) -> None:
        """Without a farewell; what was decided is on disk with the next thing that is acknowledged."""
        self._pending.append(page(f"last-{len(self.decided)}", self._at))
        self._flush()
        self._connection.close()
        self._server.kill()
        self._server, self._connection = self._served()

    def place_model(self) -> None:
        """Train on what was there so far, and put the model in charge."""
        self._flush()
        words = ("train", *self.here, "--placement", HOME, "--place", "--url", self._server.url, "--set",
                 "min_data_in_leaf=5", "--set", "leaves=7")  # fmt: skip
        assert told(*words)["placed"]
        self._connection.close()  # It was idle for too long.

    def change_configuration(self) -> None:
        self.config = self._changed
        self.restart()

    @property
    def here(self) -> tuple[str, ...]:
        return "--data", str(self.data), "--config", str(self.config)

    def close(self) -> None:
        self._connection.close()
        self._server.stop()

    # Visitors.

    def _show(self, visitor: Visitor, placement: Placement, now_ms: int) -> Sequence[str]:
        self._flush()
        number = len(self.decided)
        asked: dict[str, Any] = {"id": placement.id, "limit": placement.limit}
        if placement.item:
            asked["item"] = placement.item
        if placement.candidates:
            asked["candidates"] = list(placement.candidates)
            if number % FIELDS_EVERY == 0:
                asked["candidates"] = [{"id": one, "fields": {"price": 1.5 * place}}
                                       for place, one in enumerate(placement.candidates)]  # fmt: skip
        if placement.query:
            asked["query"] = placement.query
        person = f"nobody-{number}" if number % STRANGER_EVERY == 0 else visitor.anonymous_id
        reply = self._call("POST", "/v1/decide", {"anonymousId": person, "placements": [asked], "deadlineMs": 5_000})
        self.decided.append(reply["decisionId"])
        self._newest[f"{visitor.session_id}-{placement.id}"] = reply["decisionId"]
        shown = [item["id"] for item in reply["placements"][placement.id]["items"]]
        self.answered += bool(shown)
        self._lists[placement.id] += 1
        if placement.id == HOME and self._lists[HOME] % CLICKED_EVERY == 0 and shown:
            self._pending.append({
                "type": "track", "event": "Product Clicked", "messageId": f"click-{number}", "anonymousId": person,
                "timestamp": iso(now_ms), "properties": {"product_id": shown[-1]},
                "context": {"decisionId": reply["decisionId"]},
            })  # fmt: skip
        change = self._changes.pop(len(self.decided), None)
        if change is not None:
            change()
        if len(self.decided) >= self._wanted:
            raise Full
        return shown

    def _told(self, event: TrackingEvent) -> dict[str, Any]:
        """The event as the visitor's browser sends it: with the decision whose list it is about."""
        body: dict[str, Any] = msgspec.to_builtins(event)
        self._at = body["timestamp"]
        list_id = body.get("properties", {}).get("list_id", "")
        decision = self._newest.get(list_id.rpartition("-")[0])
        if decision is not None:
            body.setdefault("context", {})["decisionId"] = decision
        return body

    def _flush(self) -> None:
        while self._pending:
            batch, self._pending = self._pending[:BATCH_EVENTS], self._pending[BATCH_EVENTS:]
            self._call("POST", "/v1/batch", {"batch": batch})

    def _call(self, method: str, path: str, body: Any) -> dict[str, Any]:
        reply: dict[str, Any] = self._connection.call(method, path, body, reply=dict[str, Any])
        return reply

    def _served(self) -> tuple[ChildServer, Connection]:
        server = ChildServer(self.data, config=self.config, arguments=("--clock", "events"))
        server.wait_until_ready()
        return server, Connection(server.url, timeout_s=60.0)


def page(message: str, at: str) -> dict[str, Any]:
    """Somebody comes, and does nothing."""
    return {"type": "page", "anonymousId": "passer-by", "messageId": message, "timestamp": at}


def told(*words: str) -> dict[str, Any]:
    """What a verb of `instanter` says in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "instanter.ops.cli.main", *words, "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-2_000:]}{done.stderr}"
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, full: bool) -> Any:
    """A directory with a history: its server is still there."""
    wanted = 10_000 if full else 300
    with closing(Site(tmp_path_factory.mktemp("r24"), wanted=wanted)) as site:
        site.live({
            wanted // 4: site.restart, wanted * 2 // 5: site.kill, wanted * 3 // 5: site.place_model,
            wanted * 4 // 5: site.change_configuration,
        })  # fmt: skip
        yield site


def test_r24_every_decision_is_made_again_identically(site: Site, figures: Figures) -> None:
    """Beside the server, in a process that has seen none of it."""
    report = told("replay", *site.here, "--decisions")
    differing = report["decisions"] - report["identical"]
    figures(decisions=report["decisions"], decisions_different=differing)
    assert (report["differing"], report["skipped"]) == ([], {})
    assert (report["decisions"], report["identical"]) == (len(site.decided), len(site.decided))
    assert site.answered == len(site.decided), "people nobody knows are answered as well"


def test_r24_the_inputs_that_ranked_come_out_of_the_replay_bit_by_bit(site: Site, figures: Figures) -> None:
    """The serving process has left the hash of each matrix that a ranker read, and of the scores it gave."""
    seen, rows, hashed = Counter[str](), 0, 0
    with reading(load(site.config), site.data) as read:
        for again in decisions_of(read):
            receipt = again.made.receipt
            seen[f"configuration {receipt.config_hash}"] += 1
            for served, slate in zip(receipt.placements, again.slates, strict=True):
                seen[served.rung] += 1
                seen[served.model.partition("@")[0]] += 1
                assert short_hash(slate.scores[slate.order].tobytes()) == served.scores_hash
                if slate.matrix is None:
                    assert not served.matrix_hash
                else:
                    assert short_hash(slate.matrix.tobytes()) == served.matrix_hash
                    hashed, rows = hashed + 1, rows + len(slate.matrix)
    figures(lists_compared=hashed, rows_compared=rows)
    assert hashed >= 0.9 * len(site.decided)
    assert {"personal", "session", "lambdamart", "linear"} <= set(seen)
    assert sum(name.startswith("configuration") for name in seen) == 2
    assert min(count for name, count in seen.items() if name.startswith(("configuration", "lambda"))) >= 5


def test_r24_training_reads_the_rows_that_ranked(site: Site, tmp_path: Path, full: bool, figures: Figures) -> None:
    config = load(site.config)
    with reading(config, site.data) as read:
        joined = list(Joining(read.log, read.subjects, rewards_of(config), ListsWanted("default", HOME)).examples())
        gathering = Gathering(read.replay, read.log, read.subjects, placement=HOME,
                              configuration=configuration_of(config).name)  # fmt: skip
        dataset = gathering.gather(joined, tmp_path / "rows").dataset
        assert gathering.counts.differing == 0
    unequal = 0
    with reading(config, site.data) as read:
        found = sorted(joined, key=lambda one: one.at)
        assert (np.diff([one.example.slate.at_ms for one in found]) >= 0).all(), "the dataset is in this order"
        for number, one in enumerate(found):
            again = read.replay.decision(made_at(read, one.at))
            (served,) = again.made.receipt.placements
            (slate,) = again.slates
            assert slate.matrix is not None
            assert short_hash(slate.matrix.tobytes()) == served.matrix_hash
            expected = under(dataset.columns, slate.matrix[slate.order], again)
            rows = dataset.matrix[dataset.groups[number] : dataset.groups[number + 1]]
            unequal += rows.tobytes() != expected.tobytes()
    figures(training_rows=len(dataset.matrix), training_lists_unequal=unequal)
    assert unequal == 0
    assert len(dataset.matrix) >= (10_000 if full else 200)


def decisions_of(read: Reading) -> Any:
    return read.replay.decisions(made_at(read, position) for position in positions_in(read, Span()))


def under(columns: Sequence[str], rows: Matrix, again: Again) -> Matrix:
    """Rows as a configuration with these columns has them: not a number where they were served without one."""
    at = {column.name: place for place, column in enumerate(again.columns)}
    nothing = np.full(len(rows), np.nan, np.float32)
    return np.stack([rows[:, at[name]] if name in at else nothing for name in columns], axis=1)
