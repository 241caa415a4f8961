"""What two installations have in common: the same events lead to the same lists, exports and models in each, though
their references, the keys of their people and the order of everything hashed are others."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from instanter.decisions.placement import DEFAULT_PLACEMENTS
from instanter.engine.configuration import Configuration, Configurations
from instanter.engine.joining import Joining, ListsWanted
from instanter.engine.loop import EPOCH_MS
from instanter.engine.replay import NoModels, Replay
from instanter.engine.training import Gathered, Gathering
from instanter.features.assemble import RULES_NOW
from instanter.features.compile import compile_features
from instanter.features.declaration import DEFAULT_FEATURES
from instanter.feedback.rewards import Rewards
from instanter.foundation.clock import ManualClock
from instanter.foundation.disk import RealDisk
from instanter.foundation.ids import REFERENCE_KEY_BYTES
from instanter.log.segments import SegmentReader
from instanter.models.artefact import Artefact
from instanter.models.training import TrainingOptions, train
from instanter.privacy.subjects import KeyStore

from ..api.client import Client, with_client
from .harness import SECRET, CountingIds, iso

HOME, SIMILAR = "home.recommended", "product.similar"
ITEMS, KINDS, PEOPLE, VISITS = 40, 14, 7, 60
"""More items than `co_viewed` keeps, more categories than the top-k lists: all of them drop entries."""
WINDOW_MS = 60_000
REWARDS = Rewards(window_ms=WINDOW_MS, delay_ms=0)


class Chance:
    """Bytes as in every installation, but for the key of the references."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._others = CountingIds()

    def __call__(self, size_bytes: int) -> bytes:
        return self._key if size_bytes == REFERENCE_KEY_BYTES else self._others(size_bytes)


class Installation(NamedTuple):
    """One installation: its directory, its secret and the key of its references."""

    root: Path
    number: int

    @property
    def secret(self) -> bytes:
        return bytes([self.number]) * len(SECRET)

    @property
    def key(self) -> bytes:
        return bytes([17 * self.number]) * REFERENCE_KEY_BYTES


class Life:
    """The same course of events in each installation, and everything that it answers."""

    def __init__(self, client: Client, clock: ManualClock) -> None:
        self.client = client
        self.clock = clock
        self.number = 0
        self.heard: list[Any] = []

    async def run(self) -> list[Any]:
        items = [{"id": f"sku-{number}", "fields": {
            "title": f"Item {number}", "category": f"c{number % KINDS}", "brand": f"b{number % 9}",
            "price": 10 + number, "stock": 5, **({"item_group_id": f"g{number % 6}"} if number % 5 == 0 else {}),
        }} for number in range(ITEMS)]  # fmt: skip
        await self.post("/v1/items", {"items": items})
        for person in range(PEOPLE):
            await self.sign_in(f"a{person}", f"u{person}")
            await self.sign_in(f"b{person}", f"u{person}")
        for visit in range(VISITS):
            await self.visit(visit)
        piece = [{"type": "track", "messageId": f"i{number}", "anonymousId": f"a{number % PEOPLE}",
                  "event": "Product Viewed", "properties": {"product_id": f"sku-{number % ITEMS}"},
                  "timestamp": iso(self.clock.now_ms() - 86_400_000 + number)} for number in range(40)]  # fmt: skip
        await self.post("/v1/imports/" + "0f" * 16, {"batch": piece, "lines": list(range(1, 41)), "of": 40})
        self.clock.advance(2 * WINDOW_MS)
        await self.view("late", "sku-1")
        await self.client.engine.checkpoint()
        for person in range(PEOPLE):
            await self.get(f"/v1/profiles/u{person}")
            await self.get(f"/v1/profiles/u{person}/export")
        await self.get("/v1/profiles?limit=20")
        await self.get("/v1/items?limit=100")
        await self.get("/v1/decisions?limit=100")
        return self.heard

    async def visit(self, visit: int) -> None:
        person, device = visit % PEOPLE, "ab"[visit % 2]
        for place in range(9):
            await self.view(f"{device}{person}", f"sku-{(7 * visit + 11 * place) % ITEMS}")
        if visit % 3 == 0:
            bought = [{"product_id": f"sku-{(visit + 3 * place) % ITEMS}", "price": 9} for place in range(5)]
            await self.tell(f"{device}{person}", "Order Completed", order_id=f"o{visit}", products=bought)
        asked = {
            "anonymousId": f"{device}{person}", "deadlineMs": 10_000, "explain": True,
            "placements": [{"id": HOME}, {"id": SIMILAR, "item": f"sku-{visit % ITEMS}"}],
        }  # fmt: skip
        self.clock.advance(EPOCH_MS)
        decided = await self.post("/v1/decide", asked)
        shown = decided["placements"][HOME]["items"]
        self.clock.advance(10)
        await self.tell(f"{device}{person}", "Product Clicked", product_id=shown[visit % 3]["id"],
                        context={"decisionId": decided["decisionId"]})  # fmt: skip
        self.clock.advance(EPOCH_MS)
        await self.post("/v1/rank", {
            "anonymousId": f"{device}{person}", "placement": "search", "deadlineMs": 10_000,
            "candidates": [f"sku-{(5 * visit + place) % ITEMS}" for place in range(12)],
        })  # fmt: skip
        await self.get(f"/v1/decisions/{decided['decisionId']}")

    async def sign_in(self, device: str, user: str) -> None:
        self.number += 1
        await self.post("/v1/identify", {"messageId": f"m{self.number}", "anonymousId": device, "userId": user,
                                         "timestamp": iso(self.clock.now_ms())})  # fmt: skip
        self.clock.advance(10)

    async def view(self, device: str, item: str) -> None:
        await self.tell(device, "Product Viewed", product_id=item)

    async def tell(self, device: str, name: str, **properties: Any) -> None:
        self.number += 1
        self.clock.advance(10)
        await self.post("/v1/track", {
            "messageId": f"m{self.number}", "anonymousId": device, "event": name, "properties": properties,
            "timestamp": iso(self.clock.now_ms()), "context": properties.pop("context", {}),
        })  # fmt: skip

    async def post(self, path: str, body: Any) -> Any:
        reply = await self.client.post(path, body)
        assert reply.status_code == 200, reply.text
        self.heard.append((path, comparable(reply.text)))
        return reply.json()

    async def get(self, path: str) -> None:
        reply = await self.client.get(path)
        assert reply.status_code == 200, (path, reply.text)
        self.heard.append((path, comparable(reply.text)))


OWN = re.compile(
    r'"(inputs|candidatesHash|position|next)": ?"[^"]*"|"(tookMs|epoch)": ?[\d.]+|\bd_[0-9a-f]+'
)  # fmt: skip
"""Digests over references; how long things took; where in the log they stand, which ids of decisions say too. An epoch
may begin whenever the engine comes to it, so that its number says nothing."""


def comparable(text: str) -> str:
    """A reply without what is each installation's own."""
    return OWN.sub("", text)


def lived(here: Installation) -> tuple[list[Any], str]:
    clock = ManualClock()

    async def work(client: Client) -> tuple[list[Any], str]:
        heard = await Life(client, clock).run()
        assert client.engine.partition.references.key == here.key
        return heard, client.engine.partition.hash()

    return with_client(
        here.root, work, clock=clock, secret=here.secret, chance=Chance(here.key), epoch_on_read=True
    )


def learned(here: Installation) -> tuple[Gathered, Artefact]:
    """The training set of an installation, and what is learned from it."""
    disk = RealDisk()
    log = SegmentReader(disk, here.root / "log")
    subjects = KeyStore(disk, here.root / "keys", secret=here.secret, master=SECRET, read_only=True)
    configurations = Configurations(disk, here.root / "configurations")
    schema = compile_features(DEFAULT_FEATURES, memory_mb=64, items_max=4_096)
    configuration = configurations.keep(Configuration(
        DEFAULT_FEATURES, DEFAULT_PLACEMENTS, schema.settings, {}, 0.0, RULES_NOW
    ))
    replay = Replay(log, disk=disk, checkpoints=here.root / "checkpoints", configurations=configurations,
                    models=NoModels(), memory_mb=64)  # fmt: skip
    joining = Joining(log, subjects, REWARDS, ListsWanted("default", HOME))
    gathering = Gathering(replay, log, subjects, configuration=configuration, placement=HOME)
    gathered = gathering.gather(joining.examples(), here.root / "rows")
    subjects.close()
    return gathered, train(gathered.dataset, TrainingOptions(trees_max=10, leaves=4, min_data_in_leaf=5))


@pytest.fixture(scope="module")
def installations(tmp_path_factory: pytest.TempPathFactory) -> list[Installation]:
    return [Installation(tmp_path_factory.mktemp(f"number-{number}"), number) for number in (1, 2, 3)]


def test_the_same_events_lead_to_the_same_answers_and_models(installations: list[Installation]) -> None:
    first, *others = [(*lived(here), *learned(here)) for here in installations]
    heard, state, gathered, model = first
    assert gathered.counts.decisions == VISITS
    assert any(any(row) for row in gathered.dataset.labels.reshape(-1, 1).tolist())
    for other_heard, other_state, other_gathered, other_model in others:
        assert other_state != state, "references and people's keys are others"
        different = [(mine, theirs) for mine, theirs in zip(heard, other_heard, strict=True) if mine != theirs]
        assert different[:3] == []
        assert other_gathered.dataset.matrix.tobytes() == gathered.dataset.matrix.tobytes()
        assert other_gathered.dataset.labels.tobytes() == gathered.dataset.labels.tobytes()
        assert (other_model.body, other_model.metrics) == (model.body, model.metrics)
