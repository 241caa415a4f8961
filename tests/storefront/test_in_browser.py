"""The shop in a browser, against a real server: what a visitor sees after what they did."""

import json
import threading

import httpx
import pytest

from ..browser import DESKTOP, LOOKS, PHONE, SCREENSHOTS, THEMES, check_page, keep_screenshot, said_by, shifted
from .street import ROOM, SHOP, pieces

PAGES = {
    "home": "/", "categories": "/c", "room": "/c/living-room", "category": "/c/armchair",
    "by-price": "/c/sofa?sort=cheap", "product": "/p/{viewed}", "search": "/search?q=oak+table",
    "search-empty": "/search", "nothing-found": "/search?q=xyzzy",
    "cart": "/cart", "checkout": "/checkout", "thanks": "/thanks", "help": "/help", "news": "/news",
    "article": "/news/news-003", "missing": "/p/none",
}  # fmt: skip
LATE_S = 1.0


def test_after_three_mid_century_views_hero_list_and_search_follow(visit):
    visitor = visit().go("/")
    assert visitor.rung() == "popular"
    before = visitor.styles("home.recommended").count("mid-century")
    visitor.view(pieces("mid-century", 3)).go("/")
    assert visitor.rung() == "personal"
    assert visitor.styles("home.hero") == ["mid-century"]
    assert visitor.styles("home.recommended").count("mid-century") > before
    shown = {*visitor.shown("home.hero"), *visitor.shown("home.recommended")}
    assert shown.isdisjoint(pieces("mid-century", 3))
    assert "mid-century" in visitor.page.locator("[data-sentence]").inner_text()
    visitor.go("/search?q=lamp")
    assert visitor.styles("search")[:3].count("mid-century") >= 2
    assert said_by(visitor.page) == []


@pytest.mark.parametrize(("of", "event", "viewed"), [
    ("engine", "Product Viewed", pieces("mid-century", 3)), ("news", "Article Viewed", ["news-003", "news-011"]),
])  # fmt: skip
def test_the_front_page_leaves_out_what_was_just_looked_at(street, of, event, viewed):
    url, visitor = getattr(street, of), f"reader-of-{of}"
    batch = [{"type": "track", "event": event, "messageId": f"{visitor}-{item_id}", "anonymousId": visitor,
              "properties": {"product_id": item_id}} for item_id in viewed]  # fmt: skip
    assert street.call("POST", "/v1/batch", {"batch": batch}, of=url)["accepted"] == len(viewed)
    asked = {"anonymousId": visitor, "placements": [{"id": "home.hero"}, {"id": "home.recommended"}]}
    placed = street.call("POST", "/v1/decide", asked, of=url)["placements"]
    assert placed["home.hero"]["servedBy"] in ("personal", "session")
    shown = [item["id"] for lists in placed.values() for item in lists["items"]]
    assert len(shown) == 13
    assert set(shown).isdisjoint(viewed)


def test_who_leaves_and_comes_back_is_known(visit):
    visitor = visit().go("/").view(pieces("mid-century", 3))
    known = visitor.me()
    visitor.page.close()
    visitor.page = visitor.page.context.new_page()
    visitor.go("/")
    assert visitor.me() == known
    assert visitor.rung() == "personal"
    assert visitor.styles("home.hero") == ["mid-century"]


def test_with_consent_withdrawn_the_next_list_is_not_personal_and_nothing_is_recorded(visit, street):
    visitor = visit().view(pieces("mid-century", 3)).go("/")
    assert visitor.rung() == "personal"
    visitor.open_tab("Try it")
    visitor.page.get_by_role("switch").click()
    visitor.page.wait_for_selector('[data-answer-rung]:not([data-rung="personal"])')
    known = street.call("GET", f"/v1/profiles/anonymous:{visitor.me()}")
    visitor.view(pieces("rustic", 2)).go("/")
    assert visitor.rung() != "personal"
    after = street.call("GET", f"/v1/profiles/anonymous:{visitor.me()}")
    assert after.get("features", {}).get("views") == known.get("features", {}).get("views")
    visitor.page.get_by_role("switch").click()
    visitor.page.wait_for_selector('[data-answer-rung="personal"], [data-rung="personal"]')


def test_what_sells_out_is_gone_from_the_open_pages_next_list(visit, street):
    visitor = visit().view(pieces("mid-century", 2)).go("/")
    gone = visitor.shown("home.recommended")[0]
    street.call("PATCH", f"/v1/items/{gone}", {"fields": {"stock": 0}})
    assert gone not in visitor.again().shown("home.recommended")
    street.call("PATCH", f"/v1/items/{gone}", {"fields": {"stock": 5}})


def test_the_shopkeeper_sells_out_from_the_page(visit, street):
    gone = pieces("coastal", 1)[0]
    visitor = visit().go(f"/p/{gone}").open_tab("Try it")
    visitor.page.locator("[data-sell-out]").click()
    visitor.page.get_by_text("Sold out", exact=True).wait_for()
    assert street.call("GET", f"/v1/items/{gone}")["fields"]["stock"] == 0
    street.call("PATCH", f"/v1/items/{gone}", {"fields": {"stock": 5}})


def test_somebody_else_has_another_id_and_other_lists(visit):
    visitor = visit().view(pieces("mid-century", 3)).go("/")
    before = visitor.me()
    visitor.open_tab("Try it")
    with visitor.page.expect_navigation():
        visitor.page.get_by_role("button", name="Art deco collector").click()
    visitor.page.wait_for_selector("body[data-painted]")
    assert visitor.me() != before
    assert visitor.styles("home.hero") == ["art deco"]
    assert visitor.page.evaluate("shop.cart().length") == 0


def test_a_cart_is_filled_and_ordered(visit, street):
    visitor = visit().view(pieces("mid-century", 1))
    visitor.page.get_by_role("button", name="Add to cart").click()
    assert visitor.page.locator("[data-cart-count]").inner_text() == "1"
    visitor.go("/cart")
    assert visitor.shown("cart.addons")
    visitor.page.get_by_role("link", name="To the checkout").click()
    visitor.page.get_by_role("button", name="Place the order").click()
    visitor.page.wait_for_url("**/thanks")
    visitor.page.wait_for_selector("body[data-painted]")
    bought = street.call("GET", f"/v1/profiles/anonymous:{visitor.me()}")["features"]["bought_items"]
    assert [one["name"] for one in bought] == pieces("mid-century", 1)
    assert pieces("mid-century", 1)[0] not in visitor.shown("home.recommended")


def test_an_earlier_decision_is_looked_at_as_it_was_and_made_again(visit):
    visitor = visit().go("/")
    shown, made = visitor.shown("home.recommended"), visitor.page.locator("body").get_attribute("data-decision")
    visitor.view(pieces("mid-century", 2)).go("/").open_tab("Earlier")
    visitor.page.locator(f'[data-earlier] a[href*="{made}"]').click()
    visitor.page.wait_for_url("**/then/*")
    for _ in range(50):
        if visitor.page.get_by_text("Made again from the log: identical").count():
            break
        visitor.page.reload()
    assert visitor.page.get_by_text("Made again from the log: identical").count() == 1
    listed = visitor.page.locator('section[aria-label="For you"] .tile-title').all_inner_texts()
    assert listed == [SHOP.item(item_id).fields.title for item_id in shown]
    for theme in THEMES:
        visitor.page.emulate_media(color_scheme=theme)
        keep_screenshot(visitor.page, ROOM, f"then-{theme}-{DESKTOP}")
    check_page(visitor.page)


def test_the_crowd_moves(visit, street):
    visitor = visit().go("/").open_tab("Try it")
    visitor.page.get_by_role("button", name="Let 200 visitors come").click()
    visitor.page.get_by_text("are in the shop").wait_for()
    numbers = visitor.page.locator("[data-crowd-numbers] b")
    numbers.first.wait_for()
    first = numbers.first.inner_text()
    visitor.page.wait_for_function("(first) => document.querySelector('[data-crowd-numbers] b').textContent !== first",
                                   arg=first)  # fmt: skip
    status = httpx.get(f"{street.url}/crowd", trust_env=False).json()
    assert status["counts"]["decisions"] > 0
    people = street.call("GET", "/v1/profiles?limit=5")
    assert any(one["id"].startswith("anonymous:anon-") for one in people.get("profiles", people.get("people", [])))
    keep_screenshot(visitor.page, ROOM, f"crowd-light-{DESKTOP}")
    visitor.page.get_by_role("button", name="Send them home").click()
    visitor.page.get_by_text("They have gone home").wait_for()
    check_page(visitor.page)


def test_without_an_answer_the_page_shows_what_the_shop_put_there(visit):
    visitor = visit()
    visitor.page.route("**/v1/decide", lambda route: route.abort())
    visitor.page.goto(visitor.street.url + "/")
    visitor.page.get_by_text("no answer").wait_for()
    assert visitor.page.locator('[data-place="home.recommended"] .tile:not(.ghost)').count() == 12


def test_the_news_front_page_follows_its_reader(visit):
    visitor = visit().go("/news")
    read, unread = ("news-003", "news-011", "news-019"), ("news-027", "news-035")
    for article in read:
        visitor.go(f"/news/{article}")
    visitor.go("/news")
    assert visitor.rung() == "personal"
    shown = {*visitor.shown("home.hero"), *visitor.shown("home.recommended")}
    assert shown.isdisjoint(read)
    assert shown.issuperset(unread), "of the five about science"
    assert "Science" in visitor.page.locator("[data-sentence]").inner_text()


def test_nothing_else_is_fetched_between_the_question_and_the_painted_lists(visit):
    visitor = visit().go("/").go("/")
    page = visitor.page
    page.wait_for_function("performance.getEntriesByType('resource').some(({ name }) => name.endsWith('/see'))")
    times = page.evaluate("""() => {
      const at = (name) => performance.getEntriesByName(name)[0].startTime
      const named = (end) => performance.getEntriesByType('resource').filter(({ name }) => name.endsWith(end))
      return { painted: at('painted'), drawer: [...named('/see'), ...named('/crowd')].map((one) => one.startTime) }
    }""")
    assert len(times["drawer"]) >= 2
    assert min(times["drawer"]) >= times["painted"]
    assert page.locator('[data-place="home.recommended"] img:not([src])').count() == 0


def test_the_drawer_is_filled_though_its_script_comes_after_the_answer(visit):
    visitor = visit()

    def late(route):
        threading.Event().wait(LATE_S)
        route.continue_()

    visitor.page.route("**/drawer.js*", late)
    visitor.go("/").page.wait_for_function(
        "() => document.querySelector('[data-who]').textContent === instanter.anonymousId")  # fmt: skip


def test_all_departments_are_in_sight_on_a_phone(visit):
    page = visit(width=PHONE).go("/").page
    ends = page.locator(".rooms a").evaluate_all("all => all.map((one) => one.getBoundingClientRect().right)")
    assert len(ends) == 8
    assert max(ends) <= PHONE


def test_the_drawer_opens_and_closes_by_keyboard(visit):
    visitor = visit(width=PHONE).go("/")
    eye = visitor.page.get_by_role("button", name="What the engine sees")
    eye.focus()
    visitor.page.keyboard.press("Enter")
    drawer = visitor.page.get_by_role("complementary", name="What the engine sees")
    assert drawer.is_visible()
    visitor.page.locator("#tab-visitor").focus()
    visitor.page.keyboard.press("ArrowRight")
    assert visitor.page.locator("#panel-why").is_visible()
    keep_screenshot(visitor.page, ROOM, f"drawer-light-{PHONE}")
    check_page(visitor.page)
    visitor.page.keyboard.press("Escape")
    assert not drawer.is_visible()


@pytest.mark.parametrize(("theme", "width"), LOOKS)
def test_every_page_is_in_order(visit, theme, width):
    visitor = visit(theme=theme, width=width)
    visitor.view(pieces("mid-century", 1))
    figures = {}
    for name, path in PAGES.items():
        visitor.go(path.format(viewed=pieces("mid-century", 3)[1]))
        keep_screenshot(visitor.page, ROOM, f"{name}-{theme}-{width}")
        if name == "missing":
            said_by(visitor.page)  # Chromium tells the console of every page that is a 404.
        check_page(visitor.page)
        figures[name] = {
            "first contentful paint ms": visitor.page.evaluate(
                "Math.round(performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1)"),
            "decide to paint ms": float(visitor.page.locator("body").get_attribute("data-painted") or -1),
            "layout shift": round(shifted(visitor.page), 4),
        }  # fmt: skip
    path = SCREENSHOTS / ROOM / f"figures-{theme}-{width}.json"
    path.write_text(json.dumps(figures, indent=1))
    print(json.dumps(figures))
