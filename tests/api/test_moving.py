"""The guide for people who come from other engines: what it says one sends here is taken."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from .client import Client, with_client

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "moving.md"
CALLS = re.findall(
    r"^`POST (/v1/\w+)`\n\n```json\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
TOLD_BY_THE_GUIDE = ["unknown_candidates"]
ITEMS = {"items": [{"id": name, "fields": {"title": name}} for name in ("p1", "p2")]}


def test_every_engine_has_a_call_in_it() -> None:
    engines = [part for part in GUIDE.read_text(encoding="utf-8").split("\n## ") if part.startswith("From ")]
    assert len(engines) == 4
    assert [part.partition("\n")[0] for part in engines if "`POST /v1/" not in part or "```json" not in part] == []


@pytest.mark.parametrize(("path", "body"), CALLS)
def test_a_call_of_the_guide_is_taken_without_a_warning_it_does_not_name(
    path: str, body: str, tmp_path: Path,
) -> None:
    async def work(client: Client) -> None:
        await client.post("/v1/items", ITEMS)
        reply = await client.post(path, json.loads(body))
        assert reply.status_code == 200, reply.text
        told = reply.json()
        assert [each for each in told.get("warnings", []) if each["code"] not in TOLD_BY_THE_GUIDE] == []
        assert told.get("rejected", []) == []

    with_client(tmp_path, work)
