"""`instanter demo` with its shop and its visitors."""

import json
import subprocess
import sys

import pytest

from instanter.foundation.clock import ManualClock
from instanter.foundation.limits import CROWD_VISITORS_MAX
from instanter.storefront.news import ARTICLES, articles, news_shelf, readings

NOW_MS = 1_767_225_600_000


def run(*words):
    return subprocess.run([sys.executable, "-m", "instanter.ops.cli.main", "demo", *words], capture_output=True,
                          text=True, check=False)  # fmt: skip


@pytest.mark.slow
def test_visitors_shop_and_the_demo_ends_when_they_have_left():
    done = run("--exit", "--visitors", "2", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["shop"].startswith("http://127.0.0.1:")
    assert "the shop" in done.stderr
    assert "They have left: " in done.stderr
    assert "decisions" in done.stderr


@pytest.mark.parametrize("count", ["0", "-1", "many", str(CROWD_VISITORS_MAX + 1), "1.5"])
def test_a_number_of_visitors_that_cannot_be_is_told(count):
    done = run(f"--visitors={count}")
    assert done.returncode == 2
    assert "not a number from 1 to 1,000" in done.stderr


def test_the_newspaper_is_the_same_on_the_same_day_and_its_readers_read_what_is_in_it():
    told = list(articles(as_of_ms=NOW_MS))
    assert len(told) == sum(len(each) for each in ARTICLES.values()) == len(news_shelf(as_of_ms=NOW_MS))
    events = list(readings(as_of_ms=ManualClock(NOW_MS).now_ms()))
    assert events == list(readings(as_of_ms=NOW_MS))
    assert len({event.message_id for event in events}) == len(events) > 100
    ids = {each["id"] for each in told}
    assert all(event.properties is not None and event.properties.product_id in ids for event in events)
    assert all(event.timestamp < "2026-01-01" for event in events)
