"""People and decisions in the console: found, explained, and erased; by HTTP and in a browser."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Page as Tab

from instanter.console.pages.live import STAGES as LIVE_STAGES
from instanter.console.words import duration
from instanter.decisions.fallback import AROUND, STAGES
from instanter.foundation.clock import ManualClock
from instanter.foundation.limits import CONSOLE_PIECES_READ_MAX, CONSOLE_TITLES_READ_MAX

from ..api.client import track
from ..browser import DESKTOP, LOOKS, PHONE, NewPage, check_page, keep_screenshot, said_by
from .desk import Desk, notice_of, with_desk
from .stall import HOSTILE, Stall

ROOM = "console"
HOME = "home.recommended"
JOB_MS_MAX = 120_000
"""A decision is made again by a process of its own, which stands back behind everything else on the machine."""
PEOPLE, DECISIONS = "/console/people", "/console/decisions"


async def somebody(desk: Desk) -> str:
    """Log in as an admin, with one device that did something; the id of a decision about it."""
    key = await desk.key_of("admin")
    headers = {"Authorization": f"Bearer {key}"}
    items = [{"id": f"sku-{number}", "fields": {"title": f"Item {number}"}} for number in range(3)]
    await desk.api.post("/v1/items", {"items": items}, headers=headers)
    await desk.api.post("/v1/track", track(1), headers=headers)
    decided = await desk.api.post("/v1/decide", {"anonymousId": "a1", "placements": [{"id": HOME}]}, headers=headers)
    await desk.log_in(key)
    return str(decided.json()["decisionId"])


def test_somebody_is_found_by_their_id_and_nobody_is_told_as_nobody(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        await somebody(desk)
        assert "anonymous:a1" in (await desk.get(PEOPLE)).text
        sent_on = await desk.get(f"{PEOPLE}?id=%20anonymous:a1%20")
        assert (sent_on.status_code, sent_on.headers["location"]) == (303, f"{PEOPLE}/anonymous%3Aa1")
        page = await desk.get(sent_on.headers["location"])
        assert page.status_code == 200
        for told in (
            "This session", "Long term", "Session categories, the strongest first", "Timeline", "Product Viewed", HOME,
            "Last seen, how long ago", "Views, of the last 24h", "1 views", "0 s",
        ):  # fmt: skip
            assert told in page.text, told
        for nobody in ("u-1", "anonymous:nobody", "a/b", "<b>"):
            page = await desk.get(f"{PEOPLE}/{quote(nobody, safe='')}")
            assert page.status_code == 404
            assert "Nothing is known of" in page.text
            assert "<b>" not in page.text

    with_desk(tmp_path, work)


def test_items_stand_by_their_titles_on_the_pages_of_a_person_and_of_a_decision(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        decision = await somebody(desk)
        page = (await desk.get(f"{PEOPLE}/anonymous:a1")).text
        shown = page[page.index("What they were shown last") :]
        assert "Item 0 " in shown[: shown.index("Why these?")]
        page = (await desk.get(f"{DECISIONS}/{decision}")).text
        assert "Item 0<br>" in page
        assert page.index("The lists") > page.index("What it was made from, for an audit"), "which is folded"
        for jargon in ("rung of the ladder", "Fold the log", "<dt>Epoch", "Cut short", "stood on"):
            assert jargon not in page

    with_desk(tmp_path, work)


def test_so_many_titles_are_asked_for_and_the_others_stand_by_their_ids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert CONSOLE_TITLES_READ_MAX >= 2
    monkeypatch.setattr("instanter.console.titles.CONSOLE_TITLES_READ_MAX", 2)

    async def work(desk: Desk) -> None:
        page = (await desk.get(f"{DECISIONS}/{await somebody(desk)}")).text
        assert len(re.findall(r"Item \d<br>", page)) == 2

    with_desk(tmp_path, work)


def test_a_timeline_turns_its_pages_and_is_taken_along_as_csv(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        await somebody(desk)
        headers = {"Authorization": f"Bearer {await desk.key_of('admin')}"}
        batch = [{"type": "track", **track(number, event=f"Act {number}")} for number in range(2, 70)]
        await desk.api.post("/v1/batch", {"batch": batch}, headers=headers)
        first = await desk.get(f"{PEOPLE}/anonymous:a1")
        onward = re.search(rf'href="({PEOPLE}/anonymous%3Aa1\?after=\d+)"', first.text)
        assert onward
        assert "Act 69" in first.text
        assert "Act 2<" not in first.text
        assert "Act 2<" in (await desk.get(onward[1])).text
        csv = await desk.get(f"{PEOPLE}/anonymous:a1?csv=timeline")
        assert csv.headers["content-type"].startswith("text/csv")
        assert csv.text.splitlines()[0] == "what,detail,at,kind"
        assert len(csv.text.splitlines()) == 51
        wrong = await desk.get(f"{PEOPLE}/anonymous:a1?afterr=1")
        assert (wrong.status_code, "afterr" in wrong.text) == (400, True)
        assert (await desk.get(f"{PEOPLE}/anonymous:a1?after=x")).status_code == 400

    with_desk(tmp_path, work)


def test_a_timeline_begins_where_somebody_was_last_and_looks_through_so_much_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("instanter.engine.listing.TIMELINE_PIECES_MAX", 1)
    clock = ManualClock()

    async def work(desk: Desk) -> None:
        await somebody(desk)
        clock.advance(60_000)
        headers = {"Authorization": f"Bearer {await desk.key_of('admin')}"}
        title = "x" * 20_000
        for piece in range(CONSOLE_PIECES_READ_MAX + 3):
            batch = [
                {"type": "track", **track(100 * piece + number + 2, anonymousId="a2"), "context": {"page": {
                    "title": title}}} for number in range(20)]  # fmt: skip
            for _ in range(3):
                for one in batch:
                    one["messageId"] = f"{piece}-{one['messageId']}"
                await desk.api.post("/v1/batch", {"batch": batch}, headers=headers)
        page, empty = await desk.get(f"{PEOPLE}/anonymous:a1"), 0
        assert "Product Viewed" in page.text
        assert "of the log looked through" in page.text
        between = re.search(rf'href="({PEOPLE}/anonymous%3Aa1\?after=\d+)">Look there</a>', page.text)
        assert between
        page = await desk.get(between[1])
        while "Product Viewed" not in page.text:
            assert "Nothing in this piece of the log." in page.text
            onward = re.search(rf'href="({PEOPLE}/anonymous%3Aa1\?after=\d+)"', page.text)
            assert onward
            page, empty = await desk.get(onward[1]), empty + 1
        assert empty >= 1

    with_desk(tmp_path, work, clock=clock)


def test_what_a_person_agrees_to_is_stated_and_told(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        await somebody(desk)
        here = f"{PEOPLE}/anonymous%3Aa1"
        await desk.get(here)
        done = await desk.act(f"{here}/consent", purpose="personalization", agreed="no")
        assert (done.status_code, done.headers["location"]) == (303, here)
        assert notice_of(await desk.get(here)).startswith("Stated: personalization is refused")
        for wrong in ({"purpose": "", "agreed": "no"}, {"purpose": "ads", "agreed": "maybe"}, {"agreed": "yes"}):
            await desk.act(f"{here}/consent", **wrong)
            assert notice_of(await desk.get(here)) == "say what it is about, and whether the person agrees"

    with_desk(tmp_path, work)


def test_a_link_is_taken_back(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        await somebody(desk)
        headers = {"Authorization": f"Bearer {await desk.key_of('admin')}"}
        linking = {"messageId": "m", "anonymousId": "a1", "userId": "u/1"}
        await desk.api.post("/v1/identify", linking, headers=headers)
        here = f"{PEOPLE}/u%2F1"
        page = await desk.get(here)
        assert f'href="{PEOPLE}/anonymous%3Aa1"' in page.text
        await desk.act(f"{here}/unlink", linked="anonymous:a1")
        assert "is taken back" in notice_of(page := await desk.get(here))
        assert "also known as" not in page.text

    with_desk(tmp_path, work)


def test_somebody_is_erased_where_their_id_is_typed_once_more_and_no_other_way(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        decision = await somebody(desk)
        here = f"{PEOPLE}/anonymous%3Aa1"
        await desk.get(here)
        for typed in ("", "a1", "anonymous:a2"):
            await desk.act(f"{here}/erase", confirm=typed)
            assert notice_of(await desk.get(here)).startswith("Nothing was erased")
        assert (await desk.act(f"{here}/erase", csrf="forged", confirm="anonymous:a1")).status_code == 403
        foreign = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
        assert (await desk.act(f"{here}/erase", headers=foreign, confirm="anonymous:a1")).status_code == 403
        assert (await desk.get(here)).status_code == 200
        told = await desk.act(f"{here}/erase", confirm="anonymous:a1")
        assert told.status_code == 200
        for said in ("Erased", "is not known here any more", "The signed receipt", "signature"):
            assert said in told.text
        assert (await desk.get(here)).status_code == 404
        gone = await desk.get(f"{DECISIONS}/{decision}")
        assert (gone.status_code, "erased with its person" in gone.text) == (410, True)

    with_desk(tmp_path, work)


def test_an_export_is_the_apis_own(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        decision = await somebody(desk)
        await desk.get(f"{DECISIONS}/{decision}")  # Which waits until it is on disk.
        reply = await desk.get(f"{PEOPLE}/anonymous:a1/export")
        assert reply.headers["content-type"].startswith("application/x-ndjson")
        assert reply.headers["content-disposition"].startswith("attachment")
        assert [json.loads(line)["kind"] for line in reply.text.splitlines()] == ["profile", "event", "decision"]

    with_desk(tmp_path, work)


def test_a_role_sees_what_it_is_good_for(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        decision = await somebody(desk)
        await desk.log_in(await desk.key_of("privacy"))
        page = await desk.get(f"{PEOPLE}/anonymous:a1")
        assert "Erase them" in page.text
        assert DECISIONS not in page.text, "what it may not read is not offered"
        assert (await desk.get(f"{DECISIONS}/{decision}")).status_code == 403
        await desk.log_in(await desk.key_of("analyst"))
        assert "Replay it" in (await desk.get(f"{DECISIONS}/{decision}")).text
        assert (await desk.get(f"{PEOPLE}/anonymous:a1")).status_code == 403

    with_desk(tmp_path, work)


def test_a_decision_is_found_read_and_made_again(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        decision = await somebody(desk)
        assert decision in (await desk.get(DECISIONS)).text
        sent_on = await desk.get(f"{DECISIONS}?id={decision}")
        assert sent_on.headers["location"] == f"{DECISIONS}/{decision}"
        page = await desk.get(f"{DECISIONS}/{decision}")
        for told in (HOME, "sku-1", "Propensity", "Replay it", "What if?", "instanter whatif"):
            assert told in page.text, told
        await desk.act(f"{DECISIONS}/{decision}/replay")
        assert notice_of(await desk.get(f"{DECISIONS}/{decision}")).endswith("it is the same, bit for bit.")
        why = await desk.get(f"{DECISIONS}/{decision}?item=sku%20%3Cb%3E")
        assert "sku &lt;b&gt;" in why.text
        assert "Made again from" in (await desk.get(f"{DECISIONS}/{decision}/reasons")).text
        for path, status in ((f"/{decision}?itm=a", 400), ("/d_1", 404), (f"/{decision}/outcome?job=none", 200)):
            assert (await desk.get(DECISIONS + path)).status_code == status
        assert "no such job" in (await desk.get(f"{DECISIONS}/{decision}/outcome?job=none")).text

    with_desk(tmp_path, work)


def test_a_past_decision_says_how_long_it_took(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        decision = await somebody(desk)
        headers = {"Authorization": f"Bearer {await desk.key_of('admin')}"}
        receipt = (await desk.api.get(f"/v1/decisions/{decision}", headers=headers)).json()
        took = duration(receipt["tookMs"])
        assert f"<dt>Took</dt><dd>{took}</dd>" in (await desk.get(f"{DECISIONS}/{decision}")).text
        assert took in (await desk.get(DECISIONS)).text

    with_desk(tmp_path, work)


def test_the_page_live_names_all_that_a_decision_spends_its_time_on() -> None:
    assert sorted(name for name, _ in LIVE_STAGES) == sorted((*STAGES, *AROUND))


def test_what_if_is_asked_by_a_form_whose_address_says_what(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        decision = await somebody(desk)
        here = f"{DECISIONS}/{decision}/whatif"
        bare = await desk.get(here)
        assert (bare.status_code, f'action="{here}"' in bare.text) == (200, True)
        assert "As it was, and as it would have been" not in bare.text
        empty = await desk.get(f"{here}?model=&placement=&weights=&limit=")
        assert "there is nothing to try" in empty.text
        asked = f"{here}?weights=item.price+%3D+2%0Aitem.x=-1&limit=3&refused=ads,+mail&asNobody=yes&repeats=no"
        page = await desk.get(asked)
        assert "Made again from" in page.text
        for kept in ('value="3"', "item.price = 2\nitem.x=-1", 'value="ads, mail"', "checked", "left out"):
            assert kept in page.text, kept
        job = (await desk.api.get("/v1/jobs", headers={"Authorization": f"Bearer {await desk.key_of('admin')}"})).json()
        tried = {"weights": {"item.price": 2.0, "item.x": -1.0}, "limit": 3, "repeats": False, "asNobody": True,
                 "refused": ["ads", "mail"]}  # fmt: skip
        assert json.loads(job["jobs"][0]["subject"].partition(" ")[2]) == tried
        for wrong, said in (("weights=price", "NAME = VALUE"), ("weights=a=b", "a is a number"),
                            ("limit=few", "limit is a number"), ("limit=0", "at least 1")):  # fmt: skip
            assert said in (await desk.get(f"{here}?{wrong}")).text, wrong
        assert (await desk.get(f"{here}?wieghts=1")).status_code == 400

    with_desk(tmp_path, work)


# In a browser.


def log_in(tab: Tab, stall: Stall) -> None:
    tab.goto(f"{stall.url}/console")
    tab.get_by_label("Access key").fill(stall.admin)
    tab.get_by_role("button", name="Log in").click()
    tab.wait_for_selector("nav")


@pytest.mark.parametrize(("theme", "width"), LOOKS)
def test_a_person_and_a_decision_read_well(theme: str, width: int, stall: Stall, new_page: NewPage) -> None:
    tab = new_page(theme=theme, width=width)
    log_in(tab, stall)
    tab.goto(f"{stall.url}{PEOPLE}/anonymous:visitor-3")
    check_page(tab)
    tab.locator(".decision summary").first.click()
    tab.get_by_text("Made again from").first.wait_for(timeout=JOB_MS_MAX)
    keep_screenshot(tab, ROOM, f"person-{theme}-{width}")
    check_page(tab)
    tab.goto(f"{stall.url}{DECISIONS}/{stall.decisions[3]}")
    tab.get_by_text("Made again from").wait_for(timeout=JOB_MS_MAX)
    keep_screenshot(tab, ROOM, f"decision-{theme}-{width}")
    check_page(tab)
    tab.get_by_label("Id of an item").fill("lamp-1")
    tab.get_by_role("button", name="Tell me").click()
    tab.locator("article.outcome").wait_for(timeout=JOB_MS_MAX)
    tab.get_by_text("Made again from").wait_for(timeout=JOB_MS_MAX)
    keep_screenshot(tab, ROOM, f"why-{theme}-{width}")
    check_page(tab)
    assert tab.title() == "Decision · Instanter"


@pytest.mark.parametrize(("theme", "width"), [("light", DESKTOP), ("dark", PHONE)])
def test_what_if_shows_both_lists_side_by_side(theme: str, width: int, stall: Stall, new_page: NewPage) -> None:
    tab = new_page(theme=theme, width=width)
    log_in(tab, stall)
    tab.goto(f"{stall.url}{DECISIONS}/{stall.decisions[5]}")
    tab.get_by_text("Made again from").wait_for(timeout=JOB_MS_MAX)
    tab.get_by_label("Items", exact=True).fill("5")
    tab.get_by_text("Other weights of the built-in ranker").click()
    tab.get_by_label("Weights, one on each line").fill("item.price = 40")
    tab.get_by_role("button", name="What if?").press("Enter")
    tab.get_by_text("Made again from").wait_for(timeout=JOB_MS_MAX)
    rows = tab.locator("table.beside tbody tr")
    assert rows.first.locator("td").nth(2).inner_text() == "1"
    assert tab.locator("table.beside .badge.good", has_text="comes in").count() > 0
    assert tab.locator("table.beside .badge", has_text="scored lower").count() > 0
    assert "limit=5" in tab.url
    keep_screenshot(tab, ROOM, f"whatif-{theme}-{width}")
    check_page(tab)


def test_a_person_is_found_explained_and_erased(stall: Stall, new_page: NewPage) -> None:
    stall.call("POST", "/v1/track", {
        "messageId": "leaving-1", "anonymousId": "leaving", "event": "Product Viewed",
        "properties": {"product_id": "chair-4", "name": HOSTILE}})  # fmt: skip
    asked = {"anonymousId": "leaving", "placements": [{"id": HOME}], "deadlineMs": 10_000}
    decided = stall.call("POST", "/v1/decide", asked)
    shown = decided["placements"][HOME]["items"]
    tab = new_page(width=PHONE)
    log_in(tab, stall)
    tab.goto(f"{stall.url}{PEOPLE}")
    tab.get_by_label("Find somebody by their id").fill("anonymous:leaving")
    tab.keyboard.press("Enter")
    tab.get_by_role("heading", name="This session").wait_for()
    assert tab.get_by_text("chair-4").count() > 0
    tab.get_by_role("link", name="Was shown").click()
    tab.get_by_text("Made again from").wait_for(timeout=JOB_MS_MAX)
    for item in shown[:3]:
        assert tab.locator(f'a[href$="?item={item["id"]}"]').count() > 0
    tab.locator(f'a[href$="?item={shown[0]["id"]}"]').first.click()
    tab.locator("article.outcome").wait_for(timeout=JOB_MS_MAX)
    assert "It is shown, at place 1" in tab.inner_text("article.outcome")
    tab.goto(f"{stall.url}{PEOPLE}/anonymous:leaving")
    tab.get_by_label("Type the id once more").fill("anonymous:leaving")
    tab.get_by_role("button", name="Erase them").click()
    tab.get_by_role("button", name="Cancel").click()
    assert tab.get_by_role("button", name="Erase them").is_visible()
    tab.get_by_role("button", name="Erase them").click()
    tab.get_by_role("button", name="Yes, do it").click()
    tab.get_by_role("heading", name="Erased").wait_for()
    keep_screenshot(tab, ROOM, f"erased-{PHONE}")
    check_page(tab)
    tab.goto(f"{stall.url}{PEOPLE}/anonymous:leaving")
    assert "Nothing is known of anonymous:leaving" in tab.inner_text("main")
    assert all("404" in one for one in said_by(tab))
    headers = {"Authorization": f"Bearer {stall.admin}"}
    gone = httpx.get(f"{stall.url}/v1/decisions/{decided['decisionId']}", headers=headers, timeout=30)
    assert (gone.status_code, gone.json()["error"]["code"]) == (410, "erased")
