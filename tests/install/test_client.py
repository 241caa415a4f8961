"""The client out of a wheel, where nothing is installed but what it needs: a fraction of what the server does."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from .environment import clean, installed, make_empty, pip
from .test_dist import build

NEEDED = ["httpx", "msgspec"]
PROGRAM = """\
import asyncio, json
from instanter.client import AsyncClient, Client, NotSent, Track

async def awaited():
    async with AsyncClient("http://127.0.0.1:9", within_s=0.1) as client:
        return (await client.complete("so", fallback=True)).failure

with Client("http://127.0.0.1:9", within_s=0.1) as client:
    decision = client.decide(["home.hero"], user_id="u1", fallback={"home.hero": ["sku-1"]})
    buffer = client.buffer()
    buffer.add(Track("Product Viewed", {"product_id": "sku-1"}, user_id="u1"))
    try:
        buffer.close()
    except NotSent as error:
        left = len(error.events)
print(json.dumps([decision.failure, decision.placements["home.hero"].ids, left, asyncio.run(awaited())]))
"""


def test_the_client_runs_from_a_wheel_beside_httpx_and_msgspec_alone(
    checkout: Path, wheels: Path, tmp_path: Path
) -> None:
    wheel, _ = build(checkout, tmp_path / "dist")
    python = make_empty(tmp_path / "environment")
    assert pip(python, "install", *NEEDED, folders=(wheels,)).returncode == 0
    assert pip(python, "install", "--no-deps", str(wheel), folders=(tmp_path,)).returncode == 0
    assert {"numpy", "numba", "starlette", "granian"} & installed(python).keys() == set()
    ran = subprocess.run(
        [str(python), "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
        env=clean(),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == ["unreachable", ["sku-1"], 1, "unreachable"]
