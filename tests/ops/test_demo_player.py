"""The player against a small server that answers as the API says: what it is told, and what is printed."""

import io
import json
import threading
from collections import Counter
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise

import pytest
from rich.console import Console

from instanter.foundation.clock import ManualClock
from instanter.foundation.errors import Broken, RequestRejected, Unavailable
from instanter.foundation.limits import BATCH_BYTES_MAX, BODY_BYTES_MAX
from instanter.ops.cli.connection import Connection
from instanter.ops.cli.demo import play
from instanter.sim.shop import Shop
from instanter.sim.story import Story

NOW_MS = 1_767_225_600_000


class FakeEngine:
    """Answers per the wire contract: ranks the catalogue by how often the visitor viewed its style."""

    def __init__(self, *, forgets_stock=False, sparse_fields=False, refuses="", garbles=""):
        self.items, self.events, self.decisions, self.body_sizes = {}, [], [], Counter()
        self.lock = threading.Lock()
        self.forgets_stock, self.sparse_fields = forgets_stock, sparse_fields
        self.refuses, self.garbles = refuses, garbles
        self.readiness_asks = 0

    def answer(self, method, path, body):
        """(status, reply)"""
        self.body_sizes[path] = max(self.body_sizes[path], len(body))
        sent = json.loads(body) if body else {}
        if path == self.refuses:
            return 400, {"error": {"code": "schema", "message": "not like that"}}
        if path == self.garbles:
            return 200, {"placements": 7}
        match method, path:
            case "POST", "/v1/items":
                self.items.update({item["id"]: item["fields"] for item in sent["items"]})
                return 200, {"accepted": len(sent["items"])}
            case "POST", "/v1/batch":
                self.events += sent["batch"]
                return 200, {"success": True, "accepted": len(sent["batch"]), "rejected": [],
                             "position": str(len(self.events))}
            case "POST", "/v1/decide":
                return 200, self.decide(sent)
            case "PATCH", _:
                self.items[path.rsplit("/", 1)[1]].update(sent["fields"])
                return 200, {"success": True}
            case "GET", "/readyz":
                self.readiness_asks += 1
                return 200, {"status": "ready", "epoch": int(self.readiness_asks > 1)}
            case "GET", _:
                item_id = path.rsplit("/", 1)[1]
                return 200, {"id": item_id, "fields": self.items[item_id]}
        return 404, {"error": {"code": "route", "message": "no such route"}}

    def decide(self, sent):
        mine = [event for event in self.events if event["anonymousId"] == sent["anonymousId"]]
        bought = {each["product_id"] for event in mine if event.get("event") == "Order Completed"
                  for each in event["properties"]["products"]}
        liked = Counter(self.items[event["properties"]["product_id"]]["style"]
                        for event in mine if event.get("event") == "Product Viewed")
        viewed = {event["properties"]["product_id"] for event in mine if event.get("event") == "Product Viewed"}
        eligible = [item_id for item_id, fields in self.items.items()
                    if item_id not in bought | viewed and (fields["stock"] > 0 or self.forgets_stock)]
        eligible.sort(key=lambda item_id: (-liked[self.items[item_id]["style"]], item_id))
        placements = {}
        for placement in sent["placements"]:
            limit = placement.get("limit", 1)
            placements[placement["id"]] = {"items": [self.shown(eligible.pop(0), position, bool(liked))
                                                     for position in range(1, limit + 1)],
                                           "excluded": [], "servedBy": "personal" if liked else "popular"}
        decision = {"decisionId": f"d_{len(self.decisions)}", "position": str(len(self.events)), "epoch": 1,
                    "tookMs": 1.25 + len(self.decisions), "degraded": [], "placements": placements}
        self.decisions.append((sent, decision))
        return decision

    def shown(self, item_id, position, personal):
        fields = {"title": self.items[item_id]["title"]} if self.sparse_fields else self.items[item_id]
        return {"id": item_id, "position": position, "score": 0.5, "propensity": 1.0, "fields": fields,
                "reasons": ["similar to what you [viewed]"] if personal else ["popular"]}


@pytest.fixture
def serve():
    """Start a fake engine on a free port; gives its address."""
    started = []

    def start(engine):
        class Route(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def respond(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with engine.lock:
                    status, reply = engine.answer(self.command, self.path, body)
                raw = json.dumps(reply).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            do_GET = do_POST = do_PATCH = respond

            def log_message(self, *args):
                return None

        server = ThreadingHTTPServer(("127.0.0.1", 0), Route)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        started.append((server, thread))
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server, thread in started:
        server.shutdown()
        thread.join()
        server.server_close()


def played(url, shop):
    out = Console(file=io.StringIO(), width=140)
    play(url, shop=shop, out=out, clock=ManualClock(NOW_MS))
    return out.file.getvalue()


@pytest.fixture(scope="module")
def shop():
    return Shop(seed=7, products=400)


def test_the_whole_catalogue_and_a_few_thousand_events_are_loaded_within_the_limits(serve, shop):
    engine = FakeEngine()
    text = played(serve(engine), shop)
    story = Story(shop, start_ms=NOW_MS - Story.length_ms)
    background = [event for event in engine.events if event["anonymousId"] != story.anonymous_id]
    assert len(engine.items) == len(shop)
    assert 2_000 < len(background) < 10_000
    assert engine.body_sizes["/v1/batch"] <= BATCH_BYTES_MAX
    assert engine.body_sizes["/v1/items"] <= BODY_BYTES_MAX
    assert f"{len(shop)} products loaded" in text
    assert f"{len(background):,} events" in text


def test_nothing_that_is_told_lies_in_the_future(serve, shop):
    engine = FakeEngine()
    played(serve(engine), shop)
    newest = max(datetime.fromisoformat(event["timestamp"]).timestamp() for event in engine.events)
    assert newest <= NOW_MS / 1000


def test_a_decision_is_asked_for_before_and_after_every_view_for_the_same_visitor(serve, shop):
    engine = FakeEngine()
    played(serve(engine), shop)
    asked = [sent for sent, _ in engine.decisions]
    assert len(asked) == 1 + 3 + 1 + 1
    assert len({sent["anonymousId"] for sent in asked}) == 1
    for sent in asked:
        assert sent["explain"] is False
        assert sent["placements"] == [{"id": "home.hero"}, {"id": "home.recommended", "limit": 6}]
        assert sent["context"]["userAgent"].startswith("Mozilla/5.0")
    assert [int(sent["minPosition"]) for sent in asked] == [int(reply["position"]) for _, reply in engine.decisions]


def test_every_decision_is_printed_with_its_products_reasons_rung_and_times(serve, shop):
    engine = FakeEngine()
    text = played(serve(engine), shop)
    for _, decision in engine.decisions:
        assert f"{decision['tookMs']:.1f} ms in the engine" in text
        for placed in decision["placements"].values():
            for product in placed["items"]:
                assert product["fields"]["title"] in text
                assert f"{product['fields']['price']:,.2f}" in text
    assert text.count("round trip") == len(engine.decisions)
    assert "served by popular" in text
    assert "served by personal" in text
    assert "similar to what you [viewed]" in text


def test_what_is_new_since_the_last_answer_is_marked(serve, shop):
    engine = FakeEngine()
    text = played(serve(engine), shop)
    answers = [{each["id"] for placed in decision["placements"].values() for each in placed["items"]}
               for _, decision in engine.decisions]
    counts = [len(after - before) for before, after in pairwise(answers)]
    assert counts[0] > 0
    for count in counts:
        assert f"; {count} of 7 new (+)" in text
    assert sum(line.lstrip().startswith("+ ") for line in text.splitlines()) == sum(counts)


def test_what_was_bought_and_what_sold_out_are_said_to_be_gone(serve, shop):
    engine = FakeEngine()
    text = played(serve(engine), shop)
    last = engine.decisions[3][1]["placements"]["home.recommended"]["items"][0]
    orders = [event for event in engine.events if event.get("event") == "Order Completed"
              and event["anonymousId"] == engine.decisions[0][0]["anonymousId"]]
    assert [each["product_id"] for each in orders[0]["properties"]["products"]] == [last["id"]]
    assert f"{last['fields']['title']} (just bought) is gone from the answer." in text
    sold_out = engine.decisions[4][1]["placements"]["home.hero"]["items"][0]
    assert engine.items[sold_out["id"]]["stock"] == 0
    assert f"{sold_out['fields']['title']} (sold out) is gone from the answer." in text


def test_an_engine_that_forgets_the_stock_is_not_covered_for(serve, shop):
    text = played(serve(FakeEngine(forgets_stock=True)), shop)
    assert "(sold out) is still shown." in text
    assert "(sold out) is gone" not in text


def test_fields_that_a_decision_leaves_out_are_looked_up_in_the_catalogue(serve, shop):
    engine = FakeEngine(sparse_fields=True)
    text = played(serve(engine), shop)
    shown = engine.decisions[-1][1]["placements"]["home.hero"]["items"][0]["id"]
    assert f"{engine.items[shown]['price']:,.2f}" in text
    assert engine.items[shown]["room"] in text


def test_the_end_says_where_to_look(serve, shop):
    engine = FakeEngine()
    url = serve(engine)
    text = played(url, shop)
    anonymous_id = engine.decisions[-1][0]["anonymousId"]
    for place in ("/metrics", "/readyz", f"/v1/profiles/anonymous:{anonymous_id}",
                  f"/v1/decisions/{engine.decisions[-1][1]['decisionId']}"):
        assert f"{url}{place}\n" in text
    assert f"curl {url}/v1/decide -H 'Content-Type: application/json' -d '{{" in text


def test_a_refused_call_names_the_servers_reason(serve, shop):
    with pytest.raises(RequestRejected, match="not like that") as caught:
        played(serve(FakeEngine(refuses="/v1/items")), shop)
    assert caught.value.code == "schema"
    assert caught.value.status == 400


def test_a_reply_that_is_not_what_the_api_promises_is_broken(serve, shop):
    with pytest.raises(Broken, match="POST /v1/decide"):
        played(serve(FakeEngine(garbles="/v1/decide")), shop)


def test_a_server_that_is_not_there_is_unavailable(serve, shop):
    url = serve(FakeEngine())
    gone = url.rsplit(":", 1)[0] + ":1"
    with pytest.raises(Unavailable, match="no answer"):
        played(gone, shop)


def test_an_address_that_is_not_http_is_refused():
    with pytest.raises(RequestRejected, match="not an http address"):
        Connection("ftp://127.0.0.1")
