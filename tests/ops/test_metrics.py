"""What is measured: all of it explained, none of it personal."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from instanter.engine.loop import Engine
from instanter.ops import metrics

from ..api.client import Client, track, with_client

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "instanter"
OF_THE_PROCESS = "process_"
FRESH_STAGES = {"checkpoint", "loop_lag"}
"""Stages that need time to pass."""


async def traffic(client: Client) -> None:
    """A bit of everything, with marks in every place where somebody personal could stand."""
    await client.stock("sku-1", "sku-2")
    marked = {
        "anonymousId": "planted-anonymous", "userId": "planted-user", "messageId": "planted-message",
        "context": {"ip": "203.0.113.77", "userAgent": "planted-agent", "page": {"url": "https://x/planted-page"}},
    }
    properties = {"product_id": "sku-1", "note": "planted-note"}
    taken = (await client.post("/v1/track", {**track(), **marked, "properties": properties})).json()["position"]
    await client.post("/v1/identify", {**marked, "messageId": "planted-2", "traits": {"email": "planted@example.com"}})
    await client.post("/v1/track", {**marked, "event": 7})
    await client.post("/v1/track", b"planted-garbage")
    await client.post("/v1/batch", {"batch": [{"type": "planted-type", "messageId": "planted-3"}]})
    for deadline_ms in (10_000, 0.001):
        await client.decide(
            anonymousId="planted-anonymous", userId="planted-user", deadlineMs=deadline_ms, minPosition=taken
        )
    await client.post("/v1/decide", {"placements": [{"id": "planted-placement"}]})
    await client.post("/v1/complete", {"anonymousId": "planted-anonymous", "query": "planted-query"})
    await client.get("/v1/profiles/planted-nobody")
    await client.get("/v1/items/planted-item")
    await client.get("/v1/planted-path")
    await client.engine.checkpoint()


def scraped(tmp_path: Path) -> str:
    async def work(client: Client) -> str:
        await traffic(client)
        return (await client.get("/metrics")).text

    return with_client(tmp_path, work)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    return scraped(tmp_path_factory.mktemp("engine"))


def value(text: str, sample: str) -> float:
    """The value of a sample by its full name."""
    found = re.search(rf"^{re.escape(sample)} (\S+)$", text, re.MULTILINE)
    assert found is not None, sample
    return float(found[1])


def test_every_metric_is_explained_and_on_the_page(text: str) -> None:
    page = metrics.page()
    families = [family for family in text_string_to_metric_families(text) if not family.name.startswith(OF_THE_PROCESS)]
    assert len(families) > 20
    for family in families:
        assert family.documentation.endswith("."), family.name
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert f"| `{name}` | {family.type} |" in page, name


def test_the_page_is_what_the_tables_say() -> None:
    assert (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8") == metrics.page(), "run `make docs`"


def reported(method: str) -> Iterator[str]:
    """What the source tells a meter, the part that is known beforehand."""
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == method
            if is_call and "meter" in ast.unparse(node.func.value) and node.args:
                first = node.args[0]
                if isinstance(first, ast.JoinedStr):
                    first = first.values[0]
                if isinstance(first, ast.Constant):
                    yield first.value


def test_whatever_is_counted_can_be_read() -> None:
    known = {counted.key for counted in metrics.COUNTED}
    counted = set(reported("count"))
    assert len(counted) > 10
    assert counted - {"events_rejected"} == known, "events_rejected is the sum of what is told by code"


def test_whatever_is_timed_is_a_stage_of_the_page() -> None:
    timed = set(reported("observe"))
    assert len(timed) > 5
    assert timed <= set(metrics.STAGES)


@pytest.mark.parametrize("stage", sorted(set(metrics.STAGES) - {"loop_lag", "overwrite", "fetch"}))
def test_every_stage_has_its_quantiles_after_traffic(stage: str, text: str) -> None:
    for quantile in ("0.5", "0.99"):
        assert value(text, f'instanter_stage_seconds_recent{{quantile="{quantile}",stage="{stage}"}}') > 0
    assert value(text, f'instanter_stage_seconds_count{{stage="{stage}"}}') >= 1
    assert value(text, f'instanter_stage_seconds_sum{{stage="{stage}"}}') > 0


def test_what_happened_is_counted(text: str) -> None:
    assert value(text, "instanter_events_accepted_total") == 2
    assert value(text, 'instanter_events_rejected_total{code="schema"}') == 2
    assert value(text, 'instanter_events_rejected_total{code="malformed"}') == 1
    assert value(text, "instanter_events_quarantined_total") == 3
    assert value(text, 'instanter_placements_served_total{rung="personal"}') == 1
    assert value(text, 'instanter_requests_refused_total{code="unknown_placement"}') == 1
    assert value(text, "instanter_requests_failed_total") == 0
    assert value(text, "instanter_people") == 1
    assert value(text, "instanter_links") == 1
    assert value(text, "instanter_catalogue_items") == 2
    assert 'instanter_decisions_degraded_total{stage="' in text
    assert 'instanter_events_folded_total{verdict="late_for_windows"}' in text


def test_no_label_is_personal(text: str) -> None:
    assert "planted" not in text
    assert "203.0.113" not in text


def test_reading_them_changes_nothing(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        await client.post("/v1/track", track())
        engine: Engine = client.engine
        before = (engine.partition.position, engine.partition.state.hash())
        first, second = metrics.render(engine), metrics.render(engine)
        assert before == (engine.partition.position, engine.partition.state.hash())

        def own(text: bytes) -> list[bytes]:
            return [line for line in text.splitlines() if b"process_" not in line]

        assert own(first) == own(second)

    with_client(tmp_path, work)
