"""Libraries for servers, as they are: pointed at us by their setting for a host, and nothing else.

Between them and the server stands a proxy that refuses every request once, with 429, 500, 503 and 507 in turn, half of
them after the server has taken it. Nothing may be lost, and nothing may count twice.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from segment.analytics.client import Client as SegmentClient

from .between import STATUSES, Between
from .shop import CHAIRS, Shop

VIEWS, VIEWS_FULL = 8, 64
"""Each is a request of its own, so each status comes before and after the server took it."""
PROGRAMS = Path(__file__).parent / "programs"
PROGRAM_S_MAX = 180

pytestmark = pytest.mark.faults

Send = Callable[[Between, Shop, str, int], list[Any]]
"""Sends one call of each kind and so many views, over the proxy, for a person; what went wrong."""


def all_calls(client: Any, who: str, views: int) -> None:
    """Call everything that the libraries for Python have."""
    browser = f"{who}-browser"
    client.identify(who, {"plan": "gold"}, anonymous_id=browser)
    for number in range(views):
        properties = {"product_id": CHAIRS[number % 4], "price": 10.0}
        client.track(anonymous_id=browser, event="Product Viewed", properties=properties)
    client.page(anonymous_id=browser, name="Home", properties={"url": "https://shop.example/"})
    client.screen(anonymous_id=browser, name="Home")
    client.group(who, "g1", {"name": "Friends"})
    client.alias(f"{who}-before", who)


def segment_python(between: Between, shop: Shop, who: str, views: int) -> list[Any]:
    failures: list[Any] = []
    client = SegmentClient(
        shop.secret, host=between.url, gzip=True, upload_size=1, upload_interval=0.05, thread=4,
        on_error=lambda error, batch: failures.append(error))
    all_calls(client, who, views)
    client.flush()
    client.join()
    return failures


def rudder_python(between: Between, shop: Shop, who: str, views: int) -> list[Any]:
    rudder = pytest.importorskip("rudderstack.analytics.client", reason="pip install rudder-sdk-python")
    failures: list[Any] = []
    client = rudder.Client(
        shop.secret, host=between.url, gzip=True, upload_size=1, upload_interval=0.05, thread=4,
        on_error=lambda error, batch: failures.append(error))
    all_calls(client, who, views)
    client.flush()
    client.join()
    return failures


def node(program: str, modules: Path, between: Between, shop: Shop, who: str, views: int) -> list[Any]:
    found = shutil.which("node")
    assert found is not None
    command = [found, str(PROGRAMS / program), str(modules), between.url, shop.secret, who, str(views)]
    ran = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=PROGRAM_S_MAX, stdin=subprocess.DEVNULL
    )
    assert ran.returncode == 0, ran.stderr[-2_000:]
    errors: list[Any] = json.loads(ran.stdout)["errors"]
    return errors


def check_effects(shop: Shop, who: str, views: int) -> None:
    """Every call has had its effect on the profile, each once, and on what is shown."""
    browser = f"anonymous:{who}-browser"
    shop.wait_for_views(browser, views)
    assert shop.views(browser) == views, "none lost, none twice"
    known = shop.profile(who)
    assert browser in known["linked"], "identify"
    assert shop.views(who) == views
    assert [one["name"] for one in known["features"]["category_affinity"]] == ["chairs"]
    kinds = {event["type"] for person in (who, browser) for event in shop.events(person)}
    assert kinds == {"identify", "track", "page", "screen", "group", "alias"}
    rung, categories = shop.decide(userId=who)
    assert (rung, categories[0]) == ("personal", "chair")
    assert shop.decide(anonymousId=f"{who}-nobody")[0] != "personal"


def check_refused(between: Between, views: int) -> None:
    assert set(between.refused) == set(STATUSES), "each was met"
    assert between.refused.total() >= views
    assert between.told == [], "the server itself refused nothing"


@pytest.mark.parametrize("send", [segment_python, rudder_python])
def test_what_libraries_for_python_send_counts_once_whatever_they_are_answered_first(
    send: Send, between: Between, shop: Shop, full: bool
) -> None:
    views = VIEWS_FULL if full else VIEWS
    assert send(between, shop, send.__name__, views) == []
    check_refused(between, views)
    check_effects(shop, send.__name__, views)


def test_batches_of_4_mib_as_rudderstack_counts_them_are_taken(between: Between, shop: Shop) -> None:
    """It stops at 4 MiB once it has gone beyond; a server that takes less loses all of it by 413."""
    rudder = pytest.importorskip("rudderstack.analytics.client", reason="pip install rudder-sdk-python")
    failures: list[Any] = []
    note, devices = "x" * 6_000, [f"large-{number}" for number in range(750)]
    client = rudder.Client(
        shop.secret, host=between.url, gzip=False, upload_size=10_000, upload_interval=5,
        on_error=lambda error, batch: failures.append(error))
    for device in devices:
        client.track(anonymous_id=device, event="Product Viewed", properties={"product_id": CHAIRS[0], "note": note})
    client.flush()
    client.join()
    assert (failures, between.told) == ([], [])
    assert between.largest_bytes > 4 * 1024 * 1024
    assert {shop.views(f"anonymous:{device}") for device in devices} == {1.0}


@pytest.mark.parametrize("program", ["segment.cjs", "rudder.cjs"])
def test_what_libraries_for_node_send_counts_once_whatever_they_are_answered_first(
    program: str, modules: Path, between: Between, shop: Shop, full: bool
) -> None:
    views = VIEWS_FULL if full else VIEWS
    assert node(program, modules, between, shop, program, views) == []
    check_refused(between, views)
    check_effects(shop, program, views)
