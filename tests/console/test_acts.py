"""What pages do: each act is the API's own, what it refuses is told, and names that are markup stay names."""

from __future__ import annotations

import csv
import html
import io
import re
from pathlib import Path

from instanter.decisions.placement import DEFAULT_PLACEMENTS, Placement
from instanter.models.online import LearnerDeclaration

from ..api.client import Client
from ..api.test_trained_models import Trained
from ..engine.rankers import Shelf
from .desk import OWN, Desk, notice_of, with_desk

HOSTILE = "<img src=x onerror=alert(1)>"
HOME = "home.recommended"
LEARNING = Placement(id="home.learning", learner=LearnerDeclaration(inputs=("item.recency",)))


async def enter(desk: Desk, role: str = "admin") -> Client:
    """Log in; a caller of the API who may do everything."""
    key = await desk.api.key(role="admin")
    await desk.log_in(key.text if role == "admin" else (await desk.api.key(role=role)).text)
    desk.http.headers["Authorization"] = f"Bearer {key.text}"
    return desk.api


async def told(desk: Desk, page: str, path: str, **fields: str) -> str:
    """What the page tells after an act that was sent from it."""
    await desk.get(page)
    acted = await desk.act(path, headers={**OWN, "Referer": f"http://shop.localhost{page}"}, **fields)
    assert (acted.status_code, acted.headers["location"]) == (303, page), acted.text
    return notice_of(await desk.get(page))


def test_an_item_is_found_changed_and_taken_out(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        api = await enter(desk)
        await api.stock("sku-1", "a/b c", price=3.5, stock=2)
        assert "sku-1" in (await desk.get("/console/catalogue?sort=-price&q=sku")).text
        found = await desk.get("/console/catalogue?id=a%2Fb+c")
        page = "/console/catalogue/a%2Fb%20c"
        assert found.headers["location"] == page
        assert await told(desk, page, page, field="stock", value="0") == "stock of a/b c is 0 from now on."
        assert (await api.get("/v1/items/a%2Fb%20c")).json()["fields"]["stock"] == 0
        assert "is gone from now on" in await told(desk, page, page, field="stock", value="")
        assert "which field" in await told(desk, page, page, field="", value="1")
        await desk.act(f"{page}/delete")
        assert notice_of(await desk.get("/console/catalogue")) == "a/b c is out of the catalogue."
        assert (await desk.get(page)).status_code == 404

    with_desk(tmp_path, work)


def test_the_catalogue_says_how_many_are_sold_out_and_prices_as_they_are(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        api = await enter(desk)
        await api.stock("sku-1", "sku-2", price=279.15, stock=2)
        page = (await desk.get("/console/catalogue")).text
        assert "2 items." in page
        assert "279.15" in page
        await api.call("PATCH", "/v1/items/sku-1", {"fields": {"stock": 0}})
        listing = (await api.get("/v1/items")).json()
        assert (listing["count"], listing["available"]) == (2, 1)
        assert "2 items, 1 of them sold out" in (await desk.get("/console/catalogue")).text

    with_desk(tmp_path, work)


def test_items_are_found_by_words_and_told_how_often_they_were_seen(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        api = await enter(desk)
        await api.stock("oak-table", "lamp")
        for number in range(3):
            sent = {"messageId": f"m{number}", "anonymousId": "a1", "event": "Product Viewed",
                    "properties": {"product_id": "oak-table"}}  # fmt: skip
            await api.post("/v1/track", sent)
        found = (await desk.get("/console/catalogue?words=oak")).text
        assert "oak-table" in found
        assert ">lamp<" not in found
        assert "has one of these words" in (await desk.get("/console/catalogue?words=velvet")).text
        assert "Viewed" in (await desk.get("/console/catalogue/oak-table")).text

    with_desk(tmp_path, work)


def test_names_that_are_markup_stay_names_and_formulas_stay_text(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        api = await enter(desk)
        await api.post("/v1/items", {"items": [
            {"id": HOSTILE, "fields": {"title": HOSTILE, HOSTILE: HOSTILE}}, {"id": "=1+1", "fields": {"title": "@x"}},
        ]})  # fmt: skip
        event = {"messageId": "m1", "anonymousId": "a1", "event": HOSTILE, "properties": {"product_id": HOSTILE}}
        await api.post("/v1/track", event)
        await api.post("/v1/track", {**event, "messageId": HOSTILE, "anonymousId": [HOSTILE]})
        item = "/console/catalogue/%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E"
        for path in ("/console/catalogue", item, "/console/quarantine", f"/console/catalogue?q={HOSTILE}"):
            page = await desk.get(path)
            assert page.status_code == 200
            assert "<img src=x" not in page.text, path
            assert html.escape(HOSTILE) in page.text, path
        entry = re.search(r'href="(/console/quarantine/\d+)"', (await desk.get("/console/quarantine")).text)
        assert entry
        assert "<img src=x" not in (await desk.get(entry[1])).text
        rows = list(csv.reader(io.StringIO((await desk.get("/console/catalogue?csv=main&sort=id")).text)))
        assert [row[:2] for row in rows[1:]] == [[HOSTILE, HOSTILE], ["'=1+1", "'@x"]]

    with_desk(tmp_path, work)


def test_a_key_is_made_shown_once_and_revoked(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        api = await enter(desk)
        await desk.get("/console/keys")
        made = await desk.act("/console/keys", name=HOSTILE, role="viewer", rate="5")
        found = re.search(r'value="(ik_[^"]+)"', made.text)
        assert found
        text = found[1]
        assert made.headers["cache-control"] == "no-store"
        listed = await desk.get("/console/keys")
        assert text not in listed.text
        assert html.escape(HOSTILE) in listed.text
        key = next(one for one in (await api.get("/v1/keys")).json()["keys"] if one["name"] == HOSTILE)
        assert (key["role"], key["requestsPerS"]) == ("viewer", 5)
        assert "counts no longer" in await told(desk, "/console/keys", f"/console/keys/{key['id']}/revoke")
        wrong = {"name": "x", "role": "viewer", "rate": "many"}
        assert "whole number" in await told(desk, "/console/keys", "/console/keys", **wrong)
        assert await told(desk, "/console/keys", "/console/keys", name="x", role="king")
        public = await desk.act("/console/keys", name="page", role="public")
        assert "A new access key" in public.text
        secret = await desk.act("/console/keys/secrets")
        assert "A new signing secret" in secret.text
        listed_secret = (await api.get("/v1/signing-secrets")).json()["secrets"][0]["id"]
        path = f"/console/keys/secrets/{listed_secret}/revoke"
        assert "is good any more" in await told(desk, "/console/keys", path)

    with_desk(tmp_path, work)


def test_a_model_is_put_in_charge_and_rolled_back_and_a_learner_frozen(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        await enter(desk)
        page = "/console/models"
        assert "ranks home.recommended now" in await told(desk, page, page, placement=HOME, model="plain@1")
        assert "plain@1" in (await desk.get(page)).text
        assert "no model" in await told(desk, page, page, placement=HOME, model="plain@9")
        assert "built-in ranker ranks" in await told(desk, page, f"{page}/{HOME}/back")
        assert "is frozen" in await told(desk, page, f"{page}/{LEARNING.id}/learner", act="freeze")
        assert "frozen" in (await desk.get(f"{page}?learners.q=learning")).text
        assert "learns" in await told(desk, page, f"{page}/{LEARNING.id}/learner", act="thaw")

    with_desk(tmp_path, work, models=Shelf("plain@1"), placements=(*DEFAULT_PLACEMENTS, LEARNING))


def test_a_trained_model_is_chosen_where_its_figures_stand(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        await enter(desk)
        page = "/console/models"
        shown = (await desk.get(page)).text
        for said in ("yes: as good as what ranks now, or better (+0.0200, between -0.0100 and +0.0500, over 80 lists)",
                     "0.61", "0.55", "1.3 %", "ranked once", "never took over", "2026-03-01 00:00:00 to"):  # fmt: skip
            assert said in shown, said
        for choice in ('<option value="plain@1">', f"<option>{HOME}</option>", f"<option>{LEARNING.id}</option>"):
            assert choice in shown, choice
        assert shown.count("Put in charge</button>") == 2
        assert "plain@2 ranks" in await told(desk, page, page, placement=HOME, model="plain@2")
        shown = (await desk.get(page)).text
        assert f"ranks {HOME}" in shown
        assert shown.count("Put in charge</button>") == 1, "not where it is in charge"
        csv = (await desk.get(f"{page}?csv=trained&trained.sort=-lists")).text.splitlines()
        assert [line.partition(",")[0] for line in csv] == ["model", "plain@2", "plain@1"]
        await desk.log_in(await desk.key_of("viewer"))
        assert "Put in charge</button>" not in (await desk.get(page)).text

    with_desk(tmp_path, work, models=Shelf("plain@1", "plain@2"), placements=(*DEFAULT_PLACEMENTS, LEARNING),
              registry=Trained())  # fmt: skip


def test_what_is_in_the_quarantine_is_looked_at_and_tried_again(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        api = await enter(desk)
        await api.post("/v1/track", {"messageId": "m1", "anonymousId": "a1", "properties": {"product_id": "sku-77"}})
        group = (await api.get("/v1/quarantine")).json()["groups"][0]
        listed = await desk.get("/console/quarantine")
        assert f'value="{group["group"]}"' in listed.text
        entry = await desk.get(f"/console/quarantine/{group['example']}")
        assert "sku-77" in entry.text
        steps = '[{"do": "set", "path": "event", "value": "Product Viewed"}]'
        look = await desk.act("/console/quarantine/repair", group=group["group"], steps=steps, dry="true")
        assert "What would happen" in look.text
        assert (await api.get("/v1/quarantine")).json()["total"] == 1
        wrong = await desk.act("/console/quarantine/repair", group=group["group"], steps="[{}]", dry="true")
        assert 'class="notice fault"' in wrong.text
        assert "no JSON" in await told(
            desk, "/console/quarantine", "/console/quarantine/repair", group=group["group"], steps="["
        )
        assert "say which" in await told(desk, "/console/quarantine", "/console/quarantine/repair")
        done = await desk.act("/console/quarantine/repair", group=group["group"], steps=steps, dry="false")
        assert "What was done" in done.text
        assert (await api.get("/v1/quarantine")).json()["total"] == 0

    with_desk(tmp_path, work)


def test_acts_are_found_in_the_record_and_a_wrong_time_is_told(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        await enter(desk)
        assert "key.issued" in (await desk.get("/console/audit?act=key")).text
        assert "There is no such act" in (await desk.get("/console/audit?act=key&actor=nobody")).text
        wrong = await desk.get("/console/audit?since=yesterday")
        assert wrong.status_code == 400
        assert "since" in wrong.text

    with_desk(tmp_path, work)


def test_an_act_beyond_the_scopes_of_a_key_is_not_offered_and_refused_by_the_api(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        api = await enter(desk, "viewer")
        await api.stock("sku-1")
        item = "/console/catalogue/sku-1"
        assert "Take it out" not in (await desk.get(item)).text
        assert "lacks the scope catalog" in await told(desk, item, item, field="stock", value="0")
        assert "Roll back" not in (await desk.get("/console/models")).text
        assert "lacks the scope models:write" in await told(desk, "/console/models", f"/console/models/{HOME}/back")
        assert "Could not be taken" not in (await desk.get("/console/quarantine")).text
        assert (await desk.get("/console/live")).status_code == 403

    with_desk(tmp_path, work)


def test_tables_say_that_there_is_more_and_lead_on(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        api = await enter(desk)
        await api.stock(*(f"sku-{number:03}" for number in range(201)))
        first = (await desk.get("/console/catalogue")).text
        more = re.search(r'href="(/console/catalogue\?after=[^"]+)">Next rows', first)
        assert more
        assert "200 rows" in first
        last = (await desk.get(html.unescape(more[1]))).text
        assert "1 row" in last
        assert "Next rows" not in last

    with_desk(tmp_path, work)
