"""`web/instanter.js` in pages of a Chromium: nothing is lost and nothing counts twice, whatever becomes of the page."""

from __future__ import annotations

import gzip
import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from .between import Between
from .chromium import FLAGS, Pages, chromium
from .shop import Shop

LIBRARY = Path(__file__).parents[2] / "web" / "instanter.js"
TYPES = LIBRARY.with_suffix(".d.ts")
BYTES_MAX = 6 * 1_024
WAIT_MS_MAX = 30_000
WAITS = "Object.keys(localStorage).some(name => name.startsWith('instanter:q:'))"
EVENTS_MAX = 1_000
"""As the library has it."""

pytestmark = pytest.mark.faults

_names = itertools.count()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = chromium()
    if program is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        browser.close()


class Visit:
    """A visitor's browser: pages of one origin, what they said in the console, and what is asked of the library."""

    def __init__(self, context: BrowserContext, pages: Pages, server: str, key: str) -> None:
        self.context = context
        self.origin = f"http://library-{next(_names)}.shop.localhost:{pages.port}"
        self.server = server
        self.key = key
        self.said: list[str] = []

    def open(self, page: str = "library", *, mode: str = "plain", load: Any = None) -> Page:
        """A page that has the library, loaded with `load` beside host and key unless that is False."""
        opened = self.context.new_page()
        opened.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        opened.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        query = urlencode({"server": self.server, "key": self.key, "mode": mode})
        opened.goto(f"{self.origin}/{page}.html?{query}")
        opened.wait_for_function("window.instanter && !Array.isArray(instanter)")
        if mode == "plain" and load is not False:
            options = {"host": self.server, "key": self.key, **(load or {})}
            opened.evaluate("options => instanter.load(options)", options)
        return opened


@pytest.fixture
def visit(browser: Browser, site_of_pages: Pages, shop: Shop) -> Iterator[Callable[..., Visit]]:
    contexts: list[BrowserContext] = []

    def made(server: str = shop.url) -> Visit:
        contexts.append(browser.new_context(viewport={"width": 800, "height": 600}))
        return Visit(contexts[-1], site_of_pages, server, shop.public)

    yield made
    for context in contexts:
        context.close()


def view(page: Page, number: int) -> None:
    page.evaluate("n => instanter.track('Product Viewed', product(n))", number)


def device_of(page: Page) -> str:
    return f"anonymous:{page.evaluate('instanter.anonymousId')}"


def waiting(page: Page) -> int:
    """How many events wait on the device."""
    count: int = page.evaluate("Object.keys(localStorage).filter(name => name.startsWith('instanter:q:')).length")
    return count


def names(shop: Shop, device: str) -> list[str]:
    return sorted(str(one.get("event", one["type"])) for one in shop.events(device))


def test_the_library_has_at_most_6_kib_packed() -> None:
    assert len(gzip.compress(LIBRARY.read_bytes(), 9)) <= BYTES_MAX


def test_what_a_page_tells_counts_once_and_is_known_to_the_next_list(visit: Callable[..., Visit], shop: Shop) -> None:
    visitor = visit()
    page = visitor.open()
    page.evaluate("instanter.page('Home')")
    for number in range(4):
        view(page, number)
    told = page.evaluate("instanter.decide(['home.recommended'], { timeoutMs: 10000 })")
    assert told["placements"]["home.recommended"]["servedBy"] == "personal", told
    assert told["placements"]["home.recommended"]["items"][0]["id"].startswith("chair")
    assert page.evaluate("instanter.flush()") is True
    assert shop.views(device_of(page)) == 4
    assert waiting(page) == 0
    page.evaluate("instanter.identify('library-user', { plan: 'gold' })")
    assert page.evaluate("instanter.flush()") is True
    events = shop.events(device_of(page))
    assert len({event["messageId"] for event in events}) == 6, "a list may take along what is on its way"
    home = next(event for event in events if event["type"] == "page")
    assert home["context"]["page"]["url"].startswith(visitor.origin)
    assert home["context"]["library"]["name"] == "instanter.js"
    assert visitor.said == []


def test_refusals_and_lost_answers_cost_nothing(visit: Callable[..., Visit], between: Between, shop: Shop) -> None:
    page = visit(between.url).open()
    for number in range(6):
        view(page, number)
    page.wait_for_function(f"!{WAITS}", timeout=WAIT_MS_MAX)
    assert between.refused.total() >= 1
    assert shop.views(device_of(page)) == 6


def test_a_minute_offline_and_a_closed_tab_lose_nothing(visit: Callable[..., Visit], shop: Shop) -> None:
    visitor = visit()
    page = visitor.open()
    page.clock.install()
    view(page, 0)
    visitor.context.set_offline(True)
    for number in range(5):
        view(page, number)
    page.clock.run_for(60_000)
    device = device_of(page)
    assert waiting(page) >= 6, "and what is seen of the page's list"
    page.close(run_before_unload=False)
    visitor.context.set_offline(False)
    assert shop.views(device) <= 1
    again = visitor.open()
    assert device_of(again) == device
    assert again.evaluate("instanter.flush()") is True
    assert shop.views(device) == 6
    assert waiting(again) == 0


def test_a_page_that_is_left_sends_what_it_has_and_the_next_one_counts_none_twice(
    visit: Callable[..., Visit], shop: Shop
) -> None:
    visitor = visit()
    page = visitor.open()
    view(page, 0)
    view(page, 1)
    device = device_of(page)
    page.goto(f"{visitor.origin}/left.html")
    shop.wait_for_views(device, 2)
    assert shop.views(device) == 2
    again = visitor.open()
    again.evaluate("instanter.flush()")
    assert shop.views(device) == 2
    assert waiting(again) == 0


def test_two_tabs_send_one_queue_and_nothing_twice(visit: Callable[..., Visit], shop: Shop) -> None:
    visitor = visit()
    tabs = [visitor.open(), visitor.open()]
    assert len({device_of(tab) for tab in tabs}) == 1
    for number in range(12):
        view(tabs[number % 2], number)
    for tab in tabs:
        tab.evaluate("void instanter.flush()")
    assert [tab.evaluate("instanter.flush()") for tab in tabs] == [True, True]
    assert shop.views(device_of(tabs[0])) == 12
    assert waiting(tabs[0]) == 0


def test_nothing_is_kept_or_sent_before_somebody_has_agreed(visit: Callable[..., Visit], shop: Shop) -> None:
    visitor = visit()
    page = visitor.open(load={"consent": None})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.method + " " + request.url))
    view(page, 0)
    view(page, 1)
    assert page.evaluate("instanter.flush()") is True
    assert page.evaluate("localStorage.length") == 0
    assert asked == []
    told = page.evaluate("instanter.decide(['home.recommended'], { timeoutMs: 10000 })")
    assert told["placements"]["home.recommended"]["servedBy"] != "personal"
    page.evaluate("instanter.consent({ personalization: true })")
    assert page.evaluate("instanter.flush()") is True
    device = device_of(page)
    assert shop.views(device) == 2
    assert shop.profile(device)["consent"] == {"personalization": True}
    again = visitor.open(load={"consent": None})
    view(again, 2)
    assert again.evaluate("instanter.flush()") is True
    assert (device_of(again), shop.views(device)) == (device, 3)


def test_what_waited_is_dropped_when_somebody_refuses(visit: Callable[..., Visit], shop: Shop) -> None:
    page = visit().open(load={"consent": None})
    view(page, 0)
    device = device_of(page)
    page.evaluate("instanter.consent({ personalization: false })")
    view(page, 1)
    assert page.evaluate("instanter.flush()") is True
    assert page.evaluate("Object.keys(localStorage)") == ["instanter:consent"]
    assert shop.events(device) == []


def test_a_refusal_after_an_agreement_is_told_at_once(visit: Callable[..., Visit], shop: Shop) -> None:
    page = visit().open(load={"consent": {"personalization": True}})
    view(page, 0)
    assert page.evaluate("instanter.flush()") is True
    device = device_of(page)
    assert shop.views(device) == 1
    page.evaluate("instanter.consent({ personalization: false })")
    told = page.evaluate("instanter.decide(['home.recommended'], { timeoutMs: 10000 })")
    assert told["placements"]["home.recommended"]["servedBy"] != "personal"
    view(page, 1)
    assert page.evaluate("instanter.flush()") is True
    assert shop.profile(device)["consent"] == {"personalization": False}
    assert shop.views(device) == 1


def test_more_than_the_queue_holds_is_dropped_and_counted(visit: Callable[..., Visit], shop: Shop) -> None:
    visitor = visit()
    page = visitor.open()
    page.wait_for_function(WAITS)  # What is seen of the page's list.
    page.evaluate("instanter.flush()")
    visitor.context.set_offline(True)
    page.evaluate(f"for (let n = 0; n < {EVENTS_MAX + 7}; n++) instanter.track('Product Viewed', product(n))")
    assert waiting(page) == EVENTS_MAX
    visitor.context.set_offline(False)
    assert page.evaluate("instanter.flush()") is True
    device = device_of(page)
    assert shop.views(device) == EVENTS_MAX
    dropped = {event["context"].get("droppedEvents") for event in shop.events(device)}
    assert dropped == {7, None}
    assert page.evaluate("localStorage.getItem('instanter:dropped')") == "0"


def test_large_events_are_bounded_by_bytes(visit: Callable[..., Visit]) -> None:
    visitor = visit()
    page = visitor.open()
    visitor.context.set_offline(True)
    page.evaluate("for (let n = 0; n < 200; n++) instanter.track('Noted', { text: 'x'.repeat(20000) })")
    held = page.evaluate("Object.values(localStorage).reduce((sum, text) => sum + 2 * text.length, 0)")
    assert 1.5e6 < held < 2.1e6
    assert int(page.evaluate("localStorage.getItem('instanter:dropped')")) == 200 - waiting(page) > 100


def test_what_is_seen_for_half_a_second_and_clicked_is_told(visit: Callable[..., Visit], shop: Shop) -> None:
    page = visit().open()
    page.wait_for_function(WAITS)
    page.click("#list a >> nth=1")
    assert page.evaluate("instanter.flush()") is True
    events = {one["event"]: one for one in shop.events(device_of(page))}
    assert set(events) == {"Product List Viewed", "Product Clicked"}, "the list far below has not been seen"
    seen, clicked = events["Product List Viewed"], events["Product Clicked"]
    assert seen["properties"]["list_id"] == "home.recommended"
    products = [{"product_id": "chair-0", "position": 1}, {"product_id": "chair-1", "position": 2}]
    assert seen["properties"]["products"] == products
    assert clicked["properties"] == {"list_id": "home.recommended", "product_id": "chair-1", "position": 2}
    assert seen["context"]["decisionId"] == clicked["context"]["decisionId"] == "d_0"
    page.evaluate("scrollTo(0, 4000)")
    page.wait_for_function(WAITS)
    page.evaluate("instanter.flush()")
    lists = [one["properties"]["list_id"] for one in shop.events(device_of(page)) if one["event"] != "Product Clicked"]
    assert sorted(lists) == ["home.recommended", "home.trending"]


def test_a_list_is_filled_in_time_or_stays_as_it_was_and_nothing_moves(
    visit: Callable[..., Visit], shop: Shop
) -> None:
    page = visit().open()
    view(page, 0)
    fill = """timeoutMs => {
      window.shift = 0
      new PerformanceObserver(list => { for (const one of list.getEntries()) shift += one.value })
        .observe({ type: 'layout-shift', buffered: true })
      return instanter.fill(document.querySelector('#list'), ({ id }) => {
        const node = document.createElement('li')
        node.textContent = id
        return node
      }, { timeoutMs }).then(answer => new Promise(done => setTimeout(() => done(answer), 100)))
    }"""
    before = page.inner_text("#list")
    assert page.evaluate(fill, 0) is None
    assert page.inner_text("#list") == before
    answer = page.evaluate(fill, 10_000)
    items = [item["id"] for item in answer["placements"]["home.recommended"]["items"]]
    assert page.inner_text("#list").split() == items
    assert len(items) == 2
    assert page.evaluate("shift") == 0
    assert page.get_attribute("#list", "data-instanter-decision") == answer["decisionId"]


def test_a_decision_never_rejects(visit: Callable[..., Visit], shop: Shop) -> None:
    visitor = visit()
    page = visitor.open(load=False)
    ask = "(fallback) => instanter.decide(['home.recommended'], { fallback })"
    assert page.evaluate(ask, {"a": 1}) == {"a": 1}, "not loaded yet"
    page.evaluate("options => instanter.load(options)", {"host": visitor.server, "key": "ik_0_0"})
    assert page.evaluate(ask, None) is None, "a key that is none"
    page.evaluate("options => instanter.load(options)", {"host": visitor.server, "key": visitor.key})
    assert page.evaluate("instanter.decide(['nowhere'])") is None
    assert page.evaluate("instanter.decide()") is None
    visitor.context.set_offline(True)
    assert page.evaluate(ask, {"b": 2}) == {"b": 2}
    assert not any(one.startswith("error: Uncaught") for one in visitor.said)
    assert any("nowhere" in one for one in visitor.said), "the developer is told why"


def test_a_bad_event_spoils_no_list_and_is_told(visit: Callable[..., Visit], shop: Shop) -> None:
    visitor = visit()
    page = visitor.open()
    view(page, 0)
    page.evaluate("instanter.track('Order Refunded', { order_id: '1' })")
    told = page.evaluate("instanter.decide(['home.recommended'], { timeoutMs: 10000 })")
    assert told["decisionId"]
    assert page.evaluate("instanter.flush()") is True
    assert shop.views(device_of(page)) == 1
    assert any("Order Refunded" in one for one in visitor.said)


def test_visitors_see_pause_take_along_and_erase_what_is_theirs(visit: Callable[..., Visit], shop: Shop) -> None:
    page = visit().open(load={"consent": {"personalization": True}})
    assert "nothing is known" in page.evaluate("instanter.privacy().profile().catch(error => error.message)")
    view(page, 0)
    device = device_of(page)
    decision = page.evaluate("instanter.decide(['home.recommended'], { timeoutMs: 10000 })")["decisionId"]
    page.evaluate("instanter.flush()")
    told = page.evaluate("instanter.privacy().profile()")
    assert told["ids"] == [device]
    assert "In this visit you have looked at chair-0." in told["words"]
    why = page.evaluate("id => instanter.privacy().why(id)", decision)
    assert why["placements"]["home.recommended"]["words"][0].startswith("It was put together for you")
    assert page.evaluate("instanter.privacy().pause()")["purposes"] == {"personalization": False}
    page.evaluate("instanter.consent({ personalization: true })")
    view(page, 1)
    page.evaluate("instanter.flush()")
    assert shop.views(device) == 1, "a consent tool of the page does not undo what the visitor has said"
    assert page.evaluate("instanter.privacy().resume()")["purposes"] == {"personalization": True}
    view(page, 1)
    page.evaluate("instanter.flush()")
    assert shop.views(device) == 2
    kinds = page.evaluate("instanter.privacy().export()").splitlines()
    assert sum('"kind":"event"' in line for line in kinds) >= 2
    page.evaluate("""async () => {  // An export takes ten seconds' worth of what visitors may ask for.
      for (;;) {
        const said = await instanter.privacy().erase().then(() => '', error => error.message)
        if (!said) return
        await new Promise(done => setTimeout(done, 500))
      }
    }""")
    assert device_of(page) != device
    assert shop.events(device) == []


def test_the_secret_stays_on_the_device_but_for_the_visitors_own_page(visit: Callable[..., Visit]) -> None:
    page = visit().open()
    sent: list[str] = []
    page.on("request", lambda request: sent.append(f"{request.url} {request.headers} {request.post_data}"))
    view(page, 0)
    page.evaluate("instanter.decide(['home.recommended'], { timeoutMs: 10000 })")
    page.evaluate("instanter.identify('library-other', { plan: 'gold' })")
    page.evaluate("instanter.flush()")
    secret = page.evaluate("localStorage.getItem('instanter:secret')")
    assert len(sent) >= 2
    assert not any(secret in one for one in sent)
    page.evaluate("instanter.privacy().profile()")
    assert secret in sent[-1]


def test_the_script_tag_alone_tells_of_a_visit(visit: Callable[..., Visit], shop: Shop) -> None:
    page = visit().open(mode="tag")
    assert page.evaluate("instanter.flush()") is True
    assert names(shop, device_of(page))[-1] == "page"


def test_calls_before_the_library_is_there_are_made_when_it_is(visit: Callable[..., Visit], shop: Shop) -> None:
    visitor = visit()
    visitor.context.add_init_script("window.instanter = [['track', 'Product Viewed', { product_id: 'chair-1' }]]")
    page = visitor.open()
    assert page.evaluate("instanter.flush()") is True
    assert shop.views(device_of(page)) == 1


def test_segment_beside_it_changes_nothing_for_either(
    visit: Callable[..., Visit], shop: Shop, pages: Pages
) -> None:
    visitor = visit()
    page = visitor.open()
    page.add_script_tag(url=f"{visitor.origin}/modules/@segment/analytics-next/dist/umd/index.js")
    device = page.evaluate("""async ({ server, key }) => {
      const analytics = AnalyticsNext.AnalyticsBrowser.load({ writeKey: key, cdnURL: server })
      await analytics.ready()
      for (let n = 0; n < 5; n++) {
        instanter.track('Product Viewed', product(n))
        await analytics.track('Product Viewed', product(n))
      }
      return (await analytics.user()).anonymousId()
    }""", {"server": visitor.server, "key": visitor.key})  # fmt: skip
    assert page.evaluate("instanter.flush()") is True
    shop.wait_for_views(f"anonymous:{device}", 5)
    assert (shop.views(device_of(page)), shop.views(f"anonymous:{device}")) == (5, 5)
    one = visitor.open(load={"anonymousId": device})
    view(one, 0)
    assert one.evaluate("instanter.flush()") is True
    assert shop.views(f"anonymous:{device}") == 6, "one visitor for both, where the page says so"


def test_the_types_say_what_the_library_has(visit: Callable[..., Visit]) -> None:
    page = visit().open()
    told = TYPES.read_text()
    for interface, thing in (("Instanter", "instanter"), ("Privacy", "instanter.privacy()")):
        body = re.search(rf"interface {interface} {{\n(.*?)\n}}", told, re.DOTALL)
        assert body is not None
        typed = set(re.findall(r"^  (?:readonly )?(\w+)[(:]", body[1], re.MULTILINE))
        assert typed == set(page.evaluate(f"Object.keys({thing})"))
