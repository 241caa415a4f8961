"""Every page in a browser: in both themes and at the width of a phone, by keyboard; what is wrong is told to people."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from playwright.sync_api import Page as Tab
from playwright.sync_api import expect

from instanter.console.pages import PAGES

from ..browser import DESKTOP, LOOKS, PHONE, WIDTHS, NewPage, check_page, keep_screenshot, said_by
from .stall import HOSTILE, Stall

ROOM = "console"
READY = {"/console/live": ".u-legend"}
"""What is there once a page has fetched all it shows."""
SLOW_BYTES_PER_S = 60_000


def log_in(tab: Tab, stall: Stall, key: str = "") -> None:
    """Log in as an admin, or with another key."""
    tab.goto(f"{stall.url}/console")
    tab.get_by_label("Access key").fill(key or stall.admin)
    tab.get_by_role("button", name="Log in").click()
    tab.wait_for_selector(".who")


@pytest.mark.parametrize(("theme", "width"), LOOKS)
def test_every_page_reads_well(theme: str, width: int, stall: Stall, new_page: NewPage) -> None:
    tab = new_page(theme=theme, width=width)
    tab.goto(f"{stall.url}/console")
    check_page(tab)
    keep_screenshot(tab, ROOM, f"login-{theme}-{width}")
    log_in(tab, stall)
    for page in PAGES:
        tab.goto(stall.url + page.path)
        tab.wait_for_selector(READY.get(page.path, "h1"))
        keep_screenshot(tab, ROOM, f"{page.path.rpartition('/')[2]}-{theme}-{width}")
        check_page(tab)
        assert tab.title() == f"{page.title} · Instanter", "no name of data has become a script"
        link = tab.locator("nav [aria-current]").bounding_box()
        assert link is not None
        assert 0 <= link["x"] < link["x"] + link["width"] <= width, "the bar of pages shows where one is"


def test_a_long_table_that_comes_slowly_is_drawn_once(stall: Stall, new_page: NewPage) -> None:
    tab = new_page(width=DESKTOP)
    log_in(tab, stall)
    tools = tab.context.new_cdp_session(tab)
    tools.send("Network.emulateNetworkConditions", {
        "offline": False, "latency": 20, "downloadThroughput": SLOW_BYTES_PER_S, "uploadThroughput": SLOW_BYTES_PER_S,
    })  # fmt: skip
    tab.goto(f"{stall.url}/console/catalogue")
    assert tab.locator("tbody tr").count() > 40
    check_page(tab)


@pytest.mark.parametrize(("theme", "width"), [("light", DESKTOP), ("dark", PHONE)])
def test_what_pages_lead_to_reads_well(theme: str, width: int, stall: Stall, new_page: NewPage) -> None:
    tab = new_page(theme=theme, width=width)
    log_in(tab, stall)
    entry = stall.call("GET", "/v1/quarantine")["groups"][0]["example"]
    job = stall.call("GET", "/v1/jobs")["jobs"][0]["id"]
    for name, path in (
        ("item", "catalogue/chair-4"), ("hostile", f"catalogue/{quote(HOSTILE, safe='')}"),
        ("words", "catalogue?words=oak"), ("entry", f"quarantine/{entry}"), ("job", f"jobs/{job}"),
    ):  # fmt: skip
        tab.goto(f"{stall.url}/console/{path}")
        keep_screenshot(tab, ROOM, f"{name}-{theme}-{width}")
        check_page(tab)
    tab.goto(f"{stall.url}/console/quarantine")
    tab.get_by_role("button", name="Try again").first.click()
    tab.get_by_role("heading", name="What would happen").wait_for()
    keep_screenshot(tab, ROOM, f"repair-{theme}-{width}")
    check_page(tab)


def test_what_cannot_be_taken_back_is_asked_once_more(stall: Stall, new_page: NewPage) -> None:
    tab = new_page(width=DESKTOP)
    log_in(tab, stall)
    stall.call("POST", "/v1/items", {"items": [{"id": "to-go", "fields": {"title": "To go"}}]})
    tab.goto(f"{stall.url}/console/catalogue/to-go")
    take_out = tab.get_by_role("button", name="Take it out")
    take_out.press("Enter")
    dialog = tab.get_by_role("dialog")
    expect(dialog).to_contain_text("Take to-go out")
    keep_screenshot(tab, ROOM, "dialog")
    check_page(tab)
    tab.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert stall.call("GET", "/v1/items/to-go")["id"] == "to-go"
    take_out.press("Enter")
    tab.get_by_role("button", name="Yes, do it").press("Enter")
    expect(tab.locator(".notice")).to_have_text("to-go is out of the catalogue.")
    check_page(tab)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_that_is_refused_says_why(width: int, stall: Stall, new_page: NewPage) -> None:
    tab = new_page(width=width)
    log_in(tab, stall, stall.viewer)
    tab.goto(f"{stall.url}/console/jobs")
    assert "lacks the scope jobs:read" in tab.inner_text("main")
    keep_screenshot(tab, ROOM, f"refused-{width}")
    assert [one for one in said_by(tab) if "403" not in one] == []
    assert tab.get_by_role("link", name="Jobs").count() == 0


def test_a_wrong_key_is_told_where_it_was_typed(stall: Stall, new_page: NewPage) -> None:
    tab = new_page(width=PHONE)
    tab.goto(f"{stall.url}/console")
    tab.get_by_label("Access key").fill("ik_wrong")
    tab.keyboard.press("Enter")
    assert "no such key counts" in tab.get_by_role("alert").inner_text()
    assert [one for one in said_by(tab) if "401" not in one] == []


def test_a_table_is_sorted_and_filtered_by_keyboard_and_its_address_says_how(stall: Stall, new_page: NewPage) -> None:
    tab = new_page(width=DESKTOP)
    log_in(tab, stall)
    tab.goto(f"{stall.url}/console/jobs")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.id") == "content"
    tab.get_by_label("Filter Jobs").focus()
    tab.keyboard.type("nothing like it")
    tab.wait_for_selector(".empty")
    assert "q=nothing" in tab.url
    shared = new_page(width=DESKTOP)
    log_in(shared, stall)
    shared.goto(tab.url)
    assert shared.locator(".empty").inner_text() == tab.locator(".empty").inner_text()
    tab.get_by_label("Filter Jobs").fill("replay")
    expect(tab.locator("tbody tr")).to_have_count(1)
    tab.get_by_role("link", name="Kind").press("Enter")
    tab.wait_for_url("**sort=kind**")
    assert tab.locator("th[aria-sort=ascending]").inner_text().startswith("Kind")
    check_page(tab)


def test_the_page_live_tells_a_decision_and_a_refusal_as_they_come(stall: Stall, new_page: NewPage) -> None:
    tab = new_page(width=DESKTOP)
    log_in(tab, stall)
    tab.goto(f"{stall.url}/console/live")
    tab.wait_for_selector(".u-legend")
    expect(tab.locator("#entries-state")).to_have_text("Listening")
    asked = {"anonymousId": "visitor-0", "placements": [{"id": "home.recommended"}], "deadlineMs": 10_000}
    decision = stall.call("POST", "/v1/decide", asked)["decisionId"]
    expect(tab.locator("#entries")).to_contain_text(decision)
    stall.call("POST", "/v1/batch", {"batch": [{"type": "track", "event": HOSTILE, "messageId": "live-1"}]})
    expect(tab.locator("#entries tr", has_text="refused")).to_have_count(1)
    expect(tab.locator("#entries tr", has_text="refused")).to_contain_text("anonymousId")
    tab.get_by_role("button", name="Hold").click()
    stall.call("POST", "/v1/decide", asked)
    tab.get_by_role("button", name="Go on").click()
    expect(tab.locator("#entries tr", has_text="decided")).to_have_count(2)
    parts = tab.locator('[data-stage$="-part"]')
    expect(tab.locator('[data-stage="wait-part"]')).to_contain_text("%")
    shares = [float(text.removesuffix(" %")) for text in parts.all_inner_texts()]
    assert shares[-1] == 100.0, "the whole"
    assert abs(sum(shares[:-1]) - 100.0) < 1.0, "the parts and the rest add up to it"
    keep_screenshot(tab, ROOM, "live-entries")
    check_page(tab)
