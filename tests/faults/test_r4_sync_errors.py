"""R4: a sync that fails, of log or keys, ends the writing: nothing is acknowledged any more, and decisions go on."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path

import pytest

from .accountant import Accountant, ask, balance
from .conftest import About, Figures, MakeSite
from .tracing import calls, traced

SYNCS = range(1, 21) if os.environ.get("INSTANTER_FULL") == "1" else (1, 8)
DECIDE = {"anonymousId": "p1", "placements": [{"id": "home.recommended"}]}
ITEM = {"items": [{"id": "sku-1", "fields": {"price": 1}}]}

pytestmark = [pytest.mark.faults, pytest.mark.about()]


@pytest.mark.parametrize("k", SYNCS)
def test_r4_the_sync_of_the_log_fails(
    k: int, make_site: MakeSite, accountant: Accountant, strace: str, tmp_path: Path, figures: Figures, about: About,
) -> None:  # fmt: skip
    site, report = make_site(), tmp_path / "trace"
    server = site.start()
    assert ask(server.port, "POST", "/v1/items", ITEM).status == 200
    injection = f"inject=fdatasync:error=EIO:when={k}"
    with traced(strace, server.pid, "-e", "trace=fdatasync", "-e", injection, report=report):
        failing = accountant.send(server.port, stop=threading.Event(), events_max=2_000)
        ended = accountant.send(server.port, stop=threading.Event(), events_max=400, events_per_s=100_000)
        refused = ask(server.port, "POST", "/v1/items", ITEM)
        decided = [ask(server.port, "POST", "/v1/decide", DECIDE) for _ in range(20)]
        ready = ask(server.port, "GET", "/readyz")
    assert set(failing.refused) == set(ended.refused) == {503}
    with about("P1"):
        assert (failing.acked_after_refusal, ended.acked) == (0, 0), "acknowledged after the first EIO"
    assert not failing.unpolite
    assert not ended.unpolite
    assert (refused.status, refused.json["error"]["code"]) == (503, "log_closed")
    with about("P4"):
        assert {reply.status for reply in decided} == {200}
        assert all(reply.json["placements"]["home.recommended"]["items"] for reply in decided)
        assert ready.status == 200, "decisions can be answered"
    with about("P1"):
        assert_not_synced_again(report, k)
    server.kill()
    books = balance(accountant, site.data, site.config)
    with about("P1"):
        assert (books.lost, books.phantom, books.double) == (set(), set(), {})
    server = site.start()
    assert not accountant.send_again(server.port).refused
    books = balance(accountant, site.data, site.config)
    figures(sync_errors=1, acked_after_error=failing.acked_after_refusal + ended.acked, decided=len(decided),
            **books.figures)  # fmt: skip
    with about("P1"):
        assert books.even


def assert_not_synced_again(report: Path, k: int) -> None:
    """The call that failed is the last one on its descriptor."""
    synced = [re.search(r"fdatasync\((\d+<[^>]*>)", line) for line in calls(report, "fdatasync")]
    files = [found[1] for found in synced if found is not None]
    failed = [at for at, line in enumerate(calls(report, "fdatasync")) if "INJECTED" in line]
    assert len(files) >= k
    assert len(failed) == 1
    assert files[failed[0]].endswith((".seg>", ".keys>"))
    assert files[failed[0]] not in files[failed[0] + 1 :]
