"""The storefront's pages over HTTP, with a stand-in for the engine."""

import asyncio
import json
import re

import httpx
import pytest

from instanter.foundation.clock import ManualClock
from instanter.foundation.limits import (
    STOREFRONT_BODY_BYTES_MAX,
    STOREFRONT_LISTED_MAX,
    STOREFRONT_QUERY_CHARS_MAX,
)
from instanter.sim.shop import Shop
from instanter.storefront.app import Storefront
from instanter.storefront.asking import Engine
from instanter.storefront.crowd import Crowd
from instanter.storefront.news import news_shelf
from instanter.storefront.shelf import Shelf

from .engine import FakeEngine

NOW_MS = 1_767_225_600_000
ID = "v_0123456789012345678901"
SHOP = Shop()
HTML = {"accept": "text/html"}
PAGES = ["/", "/c", "/c/living-room", "/c/armchair?sort=cheap", "/p/sku-0001", "/search?q=oak+table", "/search",
         "/cart", "/checkout", "/thanks", "/help", "/then/d_1", "/news", "/news/news-001"]  # fmt: skip


class Http:
    """Requests to an application, each by itself."""

    def __init__(self, app):
        self.app = app

    def get(self, path, **more):
        return self.call("GET", path, **more)

    def post(self, path, **more):
        return self.call("POST", path, **more)

    def call(self, method, path, **more):
        async def called():
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8090") as http:
                return await http.request(method, path, **more)

        return asyncio.run(called())


class Opened:
    """A shop and its engine."""

    def __init__(self, shelf=None, *, down=False, news=True, crowd=True):
        self.fake = FakeEngine(down=down)
        engine = Engine("http://engine.example", key="secret", transport=self.fake.transport())
        walking = Crowd(SHOP, "http://engine.example", clock=ManualClock(NOW_MS), haste=1e6,
                        transport=self.fake.transport())  # fmt: skip
        self.shelf = shelf or Shelf.of_shop(SHOP)
        self.front = Storefront(
            self.shelf, engine, crowd=walking if crowd else None,
            news=news_shelf(as_of_ms=NOW_MS) if news else None,
            news_engine=Engine("http://news.example", transport=self.fake.transport()) if news else None)  # fmt: skip
        self.crowd = walking
        self.http = Http(self.front.app())

    def act(self, path, body, **headers):
        return self.http.post(path, content=json.dumps(body), headers={"content-type": "application/json", **headers})


@pytest.fixture(scope="module")
def opened():
    return Opened()


@pytest.mark.parametrize("path", PAGES)
def test_each_page_is_there_with_a_strict_policy_and_nothing_inline(opened, path):
    reply = opened.http.get(path)
    assert reply.status_code == 200
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http://engine.example" in policy
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<[^>]+ (style|on\w+)=", reply.text)
    scripts = re.findall(r"<script([^>]*)>", reply.text)
    assert all("src=" in script or 'type="application/json"' in script for script in scripts)
    assert len(re.findall(r"<h1", reply.text)) == 1


def test_lists_have_their_places_before_the_engine_answers(opened):
    text = opened.http.get("/").text
    assert text.count("tile ghost") == 12
    assert 'data-place="home.hero"' in text
    assert 'data-place="home.recommended"' in text
    assert '<template data-fallback="home.recommended">' in text


def test_a_category_is_ranked_as_far_as_the_bound_says(opened):
    told = json.loads(re.search(r'id="told">(.*?)</script>', opened.http.get("/c/living-room").text)[1])
    assert len(told["candidates"]) <= STOREFRONT_LISTED_MAX
    assert len({item["category"] for item in told["candidates"]}) > 5


def test_a_query_is_cut_and_never_read_as_html(opened):
    sent = "<script>alert(1)</script>" + "x" * STOREFRONT_QUERY_CHARS_MAX
    text = opened.http.get("/search", params={"q": sent}).text
    assert "<script>alert" not in text
    told = json.loads(re.search(r'id="told">(.*?)</script>', text)[1])
    assert told["query"] == sent[:STOREFRONT_QUERY_CHARS_MAX]


def test_names_of_anybodys_catalogue_are_never_read_as_html():
    hostile = '"><img src=x onerror=alert(1)></script>'
    names = ("title", "category", "brand", "text", "colour", hostile)
    shelf = Shelf.of_items([{"id": hostile, "fields": dict.fromkeys(names, hostile)}])
    opened = Opened(shelf, news=False, crowd=False)
    section = shelf.categories[0].slug
    for path in ("/", "/c", f"/c/{section}", f"/p/{hostile}", "/search?q=img"):
        reply = opened.http.get(path)
        assert reply.status_code == 200
        assert "<img src=x" not in reply.text
        assert "</script></" not in reply.text
    assert opened.http.get(f"/picture/{hostile}.svg").headers["content-type"] == "image/svg+xml"


@pytest.mark.parametrize(("language", "currency", "shown"), [
    ("de-DE,de;q=0.9", "EUR", "1.279,15 €"), ("de", "", "1.279,15"), ("en-GB", "", "1,279.15"),
    ("", "USD", "$1,279.15"), ("<b>,x", "CHF", "CHF 1,279.15"),
])  # fmt: skip
def test_prices_of_a_strangers_shop_are_written_in_the_visitors_language(language, currency, shown):
    fields = {"title": "Jacket", "price": 1279.15, "stock": 9, **({"currency": currency} if currency else {})}
    opened = Opened(Shelf.of_items([{"id": "a", "fields": fields}]), news=False, crowd=False)
    page = opened.http.get("/p/a", headers={"accept-language": language}).text
    assert f'<p class="price">{shown}</p>' in page
    assert "In stock" in page
    assert "at your door" not in page
    assert "Delivery" not in opened.http.get("/help").text


def test_the_demos_own_shop_writes_euros_in_english_to_everybody(opened):
    page = opened.http.get("/p/sku-0001", headers={"accept-language": "de"}).text
    assert '<p class="price">€' in page


@pytest.mark.parametrize("item_id", ["a/b", "?x=1", "50%", "ü", ".svg", "a.svg"])
def test_items_of_any_id_have_a_page_and_a_picture(item_id):
    opened = Opened(Shelf.of_items([{"id": item_id, "fields": {"title": "Odd"}}]), news=False, crowd=False)
    text = opened.http.get("/c/other").text
    for address in re.findall(r'(?:href|src)="(/(?:p|picture)/[^"]*)"', text):
        assert opened.http.get(address).status_code == 200


@pytest.mark.parametrize("path", ["/nope", "/p/none", "/c/none", "/picture/none.svg", "/static/none", "/then/none"])
def test_what_is_not_there_is_told_as_a_page_or_as_json(opened, path):
    assert opened.http.get(path).json()["error"]["message"]
    page = opened.http.get(path, headers=HTML)
    assert page.status_code == 404
    assert "That did not work" in page.text


def test_a_shop_without_news_and_crowd_says_so():
    opened = Opened(news=False, crowd=False)
    assert opened.http.get("/news").status_code == 404
    assert opened.http.get("/then/d_1?of=news").status_code == 404
    assert opened.http.get("/crowd").json()["error"]["code"] == "crowd"
    assert opened.act("/news/see", {"anonymousId": ID}).status_code == 404
    assert "A crowd" not in opened.http.get("/").text


def test_pages_stay_up_without_an_engine():
    opened = Opened(down=True)
    assert opened.http.get("/").status_code == 200
    assert opened.http.get("/then/d_1", headers=HTML).status_code == 503
    assert "does not answer" in opened.act("/see", {"anonymousId": ID}).json()["error"]["message"]


def test_an_earlier_decision_is_shown_as_it_was_and_made_again(opened):
    text = opened.http.get("/then/d_1").text
    assert "Made again from the log: identical" in text
    assert "&lt;b&gt;gone&lt;/b&gt;" in text
    assert "chance 0.95" in text


def test_a_replay_that_takes_longer_or_differs_is_told():
    opened = Opened()
    replay = ("POST", "/v1/decisions/d_1/replay")
    opened.fake.answers[replay] = (202, {"id": "j_1", "kind": "replay", "subject": "d_1", "state": "running"})
    assert "Look again" in opened.http.get("/then/d_1").text
    opened.fake.answers[replay] = (200, {"decisionId": "d_1", "identical": False, "differences": ["x"]})
    assert "different" in opened.http.get("/then/d_1").text


class TestWhatPagesAsk:
    def test_what_is_known_of_a_visitor_is_asked_with_the_shops_key(self):
        opened = Opened()
        said = opened.act("/see", {"anonymousId": ID}).json()
        assert said["sentence"].startswith("3 views")
        assert said["items"][0]["items"][0]["title"] == opened.shelf.item("sku-0001").title
        method, path, _, headers = opened.fake.asked[0]
        assert (method, path) == ("GET", f"/v1/profiles/anonymous:{ID}")
        assert headers["authorization"] == "Bearer secret"

    def test_of_somebody_new_nothing_is_known(self):
        opened = Opened()
        unknown = {"error": {"code": "unknown_profile", "message": "no"}}
        opened.fake.answers["GET", f"/v1/profiles/anonymous:{ID}"] = (404, unknown)
        assert opened.act("/see", {"anonymousId": ID}).json()["sentence"].startswith("Nothing yet")

    def test_other_refusals_are_told_as_they_are(self):
        opened = Opened()
        path = ("GET", f"/v1/profiles/anonymous:{ID}")
        opened.fake.answers[path] = (401, {"error": {"code": "key", "message": "no such key"}})
        assert opened.act("/see", {"anonymousId": ID}).json()["error"] == {"code": "key", "message": "no such key"}
        opened.fake.answers[path] = (500, {})
        assert opened.act("/see", {"anonymousId": ID}).status_code == 503
        opened.fake.answers[path] = (200, ["not", "a", "profile"])
        assert opened.act("/see", {"anonymousId": ID}).status_code == 503

    @pytest.mark.parametrize("sent", [{}, [], {"anonymousId": 5}, {"anonymousId": "ada"}, {"anonymousId": "v_short"}])
    def test_ids_that_could_be_guessed_are_refused(self, opened, sent):
        assert opened.act("/see", sent).status_code == 400

    def test_a_body_is_json_from_the_shops_own_page_and_of_a_bounded_size(self, opened):
        own = {"anonymousId": ID}
        assert opened.act("/see", own, origin="http://127.0.0.1:8090").status_code == 200
        assert opened.act("/see", own, origin="http://evil.example").status_code == 403
        assert opened.act("/see", own, origin="null").status_code == 403
        assert opened.http.post("/see", content=json.dumps(own)).status_code == 415
        large = {"anonymousId": "x" * STOREFRONT_BODY_BYTES_MAX}
        assert opened.act("/see", large).status_code == 413
        assert opened.http.post("/see", content="{", headers={"content-type": "application/json"}).status_code == 400

    @pytest.mark.parametrize("host", ["shop.example", "127.0.0.1.evil.example", "", "localhost.evil"])
    def test_it_is_asked_under_names_of_this_machine_alone(self, opened, host):
        assert opened.http.get("/", headers={"host": host}).status_code == 421

    def test_the_shopkeeper_sells_out_in_the_catalogue_and_on_the_shelf(self):
        opened = Opened(Shelf.of_shop(Shop(products=50)))
        assert opened.act("/stock", {"id": "sku-0003", "stock": 0}).status_code == 200
        assert ("PATCH", "/v1/items/sku-0003", {"fields": {"stock": 0}}) in [one[:3] for one in opened.fake.asked]
        assert "Sold out" in opened.http.get("/p/sku-0003").text
        assert opened.act("/stock", {"id": "none", "stock": 0}).status_code == 404
        assert opened.act("/stock", {"id": "sku-0003", "stock": -1}).status_code == 400
        assert opened.act("/stock", {"id": "sku-0003", "stock": "0"}).status_code == 400

    def test_a_products_page_says_what_the_catalogue_has_now(self):
        opened = Opened(Shelf.of_shop(Shop(products=50)))
        opened.fake.stock = 0
        assert "Sold out" in opened.http.get("/p/sku-0004").text
        opened.fake.stock = 2
        assert "Only 2 left" in opened.http.get("/p/sku-0004").text
        opened.fake.down = True
        assert "Only 2 left" in opened.http.get("/p/sku-0004").text

    def test_a_crowd_comes_and_is_sent_home(self):
        opened = Opened()
        assert opened.http.get("/crowd").json()["running"] is False
        assert opened.act("/crowd", {"visitors": 0}).status_code == 400
        assert opened.act("/crowd", {"visitors": 3}).json()["visitors"] == 3
        assert opened.act("/crowd/stop", {}).status_code == 200
        opened.crowd.wait()
        assert opened.http.get("/crowd").json()["running"] is False


def test_files_and_pictures_are_kept_by_browsers(opened):
    page = opened.http.get("/").text
    style = re.search(r'href="(/static/shop.css[^"]*)"', page)[1]
    assert "max-age" in opened.http.get(style).headers["cache-control"]
    assert opened.http.get("/static/shop.css").headers["cache-control"] == "no-cache"
    assert "max-age" in opened.http.get("/picture/sku-0001.svg").headers["cache-control"]
    assert opened.http.get("/favicon.ico").headers["location"] == "/static/icon.svg"
    assert opened.http.get("/healthz").text == "ok"


def test_a_closed_drawer_stays_closed(opened):
    assert 'class="drawer-open"' in opened.http.get("/").text
    assert 'class="drawer-open"' not in opened.http.get("/", headers={"cookie": "drawer=closed"}).text
