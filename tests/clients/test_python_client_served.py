"""`instanter.client` against a server that asks for keys: what it sends counts once, what it reads is what is there."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from instanter.client import (
    Alias,
    AsyncClient,
    Candidate,
    Client,
    Group,
    Identify,
    Page,
    Placement,
    Refused,
    Replay,
    Screen,
    Track,
    user_token,
)
from instanter.ops.child import free_port

from .between import STATUSES, Between
from .shop import CHAIRS, LAMPS, Shop

pytestmark = pytest.mark.faults

PATIENT_S = 60.0
"""A decision may take long on a machine that does much else."""
ODD = "sofa/2 ?#%2F ä!'()*~"


@pytest.fixture
def client(shop: Shop) -> Iterator[Client]:
    with Client(shop.url, key=shop.admin) as client:
        yield client


def test_an_event_counts_in_the_next_decision(client: Client, shop: Shop) -> None:
    for chair in CHAIRS[:3]:
        taken = client.track("Product Viewed", {"product_id": chair}, user_id="python-1")
        assert (taken.accepted, taken.rejected) == (1, [])
    decision = client.decide(["home.recommended"], user_id="python-1", timeout_s=PATIENT_S)
    placed = decision.placements["home.recommended"]
    assert (placed.served_by, decision.failure) == ("personal", "")
    assert placed.ids[0].startswith("chair")
    assert placed.items[0].fields is not None
    assert client.get_decision(decision.decision_id)["decisionId"] == decision.decision_id
    replayed = client.replay_decision(decision.decision_id)
    if isinstance(replayed, Replay):
        assert replayed.identical
    else:
        assert client.get_job(replayed.id).subject == decision.decision_id


def test_what_just_happened_may_come_with_the_question(client: Client) -> None:
    event = Track("Product Viewed", {"product_id": LAMPS[0]}, anonymous_id="python-2")
    decision = client.decide(
        [Placement(id="home.recommended", limit=3)], anonymous_id="python-2", events=[event], explain=True,
        timeout_s=PATIENT_S,
    )  # fmt: skip
    first = decision.placements["home.recommended"].items[0]
    assert first.id.startswith("lamp")
    assert first.stages is not None


def test_the_callers_own_list_is_ordered_and_a_search_completed(client: Client) -> None:
    ranked = client.rank(
        "search", ["nothing", Candidate(id=CHAIRS[0], fields={"price": 1.0})], user_id="python-3", timeout_s=PATIENT_S
    )
    assert sorted([*ranked.ids, *(one.id for one in ranked.excluded)]) == sorted(["nothing", CHAIRS[0]])
    completed = client.complete("lam", user_id="python-3", timeout_s=PATIENT_S)
    assert completed.completions[0].query.startswith("lamp")


@pytest.mark.parametrize("item", [ODD, "delete", "python/export", "äöü"])
def test_items_of_any_id_come_and_go(item: str, client: Client) -> None:
    assert client.upsert_items({item: {"title": "Odd", "price": 3.0}}).accepted == 1
    assert client.patch_item(item, {"price": 4.0, "title": None}).accepted == 1
    assert client.get_item(item).fields["price"] == 4.0
    listed, after = [], None
    while True:
        page = client.list_items(limit=5, after=after)
        listed += [one.id for one in page.items]
        if (after := page.next) is None:
            break
    assert item in listed
    gone = client.delete_items([item, "never-there"])
    assert (gone.deleted, gone.unknown) == (1, ["never-there"])
    with pytest.raises(Refused, match="unknown_item"):
        client.get_item(item)


def test_a_person_is_known_exported_and_erased(client: Client) -> None:
    client.track("Product Viewed", {"product_id": CHAIRS[1]}, anonymous_id="python-4-browser")
    client.identify("python-4", {"plan": "gold"}, anonymous_id="python-4-browser")
    assert client.get_profile("python-4").linked == ["anonymous:python-4-browser"]
    assert client.set_consent("python-4", {"personalization": False}).purposes == {"personalization": False}
    kinds = [line["kind"] for line in client.export_profile("python-4")]
    assert kinds[0] == "profile"
    assert kinds.count("event") == 2
    erased = client.erase_profile("anonymous:python-4-browser")
    assert erased.receipt["tenant"] == "default"
    with pytest.raises(Refused, match="unknown_profile"):
        client.get_profile("python-4")
    with pytest.raises(Refused, match="unknown_profile"):
        next(client.export_profile("python-4"))


def test_the_server_says_how_it_is(client: Client, shop: Shop) -> None:
    assert client.health() is True
    assert client.ready().ready
    with Client(shop.url, key="no such key") as stranger, pytest.raises(Refused) as raised:
        stranger.decide(["home.hero"], user_id="u1", timeout_s=PATIENT_S)
    assert raised.value.status == 401


def test_a_user_token_is_one_that_the_server_reads() -> None:
    token = user_token("u1", secret_id="k1", secret="5a" * 32, tenant="shop")
    claims = jwt.decode(token, "5a" * 32, algorithms=["HS256"], audience="shop")
    assert (claims["sub"], jwt.get_unverified_header(token)["kid"]) == ("u1", "k1")
    assert claims["exp"] - claims["iat"] == 3_600


def test_each_event_counts_once_whatever_it_is_answered_first(between: Between, shop: Shop) -> None:
    """Every request is refused once, half of them after the server has taken it."""
    views = 8
    with Client(between.url, key=shop.secret) as client:
        for number in range(views):
            client.track("Product Viewed", {"product_id": CHAIRS[number % 4]}, anonymous_id="python-5-browser")
        with client.buffer() as buffer:
            buffer.add(Identify({"plan": "gold"}, user_id="python-5", anonymous_id="python-5-browser"))
            buffer.add(Page("Home", anonymous_id="python-5-browser"))
            buffer.add(Screen("Home", anonymous_id="python-5-browser"))
            buffer.add(Group("g1", user_id="python-5"))
            buffer.add(Alias("python-5-before", user_id="python-5"))
    assert set(between.refused) == set(STATUSES)
    assert shop.views("python-5") == views
    events = [event for who in ("python-5", "anonymous:python-5-browser") for event in shop.events(who)]
    assert {event["type"] for event in events} == {"identify", "track", "page", "screen", "group", "alias"}


def test_the_awaited_client_does_the_same(between: Between, shop: Shop) -> None:
    async def all_of_it() -> None:
        async with AsyncClient(between.url, key=shop.secret) as client, client.buffer() as buffer:
            for number in range(8):
                buffer.add(Track("Product Viewed", {"product_id": CHAIRS[number]}, user_id="python-6"))
            await buffer.flush()
            await asyncio.gather(*(
                client.track("Product Viewed", {"product_id": chair}, user_id="python-6") for chair in CHAIRS))
        async with AsyncClient(shop.url, key=shop.admin) as client:
            decision = await client.decide(["home.recommended"], user_id="python-6", timeout_s=PATIENT_S)
            assert decision.placements["home.recommended"].served_by == "personal"
            lines = [line async for line in client.export_profile("python-6")]
            assert len({line["event"]["messageId"] for line in lines if line["kind"] == "event"}) == 16

    asyncio.run(all_of_it())
    assert shop.views("python-6") == 16


def test_a_page_is_shown_where_nobody_answers() -> None:
    with Client(f"http://127.0.0.1:{free_port()}") as client:
        decision = client.decide(["home.hero"], user_id="u1", fallback={"home.hero": ["sku-1"]})
    assert (decision.failure, decision.placements["home.hero"].ids) == ("unreachable", ["sku-1"])


def test_the_examples_of_the_guide_run(shop: Shop) -> None:
    page = (Path(__file__).parents[2] / "docs" / "guides" / "clients.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 4
    names: dict[str, Any] = {}
    for block in blocks:
        text = block.replace("http://127.0.0.1:8080", shop.url).replace('key=""', f'key="{shop.admin}"')
        exec(compile(text, "clients.md", "exec"), names)
    assert names["decision"].placements["home.hero"].ids
    names["client"].close()
    shop.forget("sku-1", "sku-2")
