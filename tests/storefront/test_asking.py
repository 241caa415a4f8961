"""What the shop's server asks of the engine."""

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest

from instanter.foundation.errors import RequestRejected, Unavailable
from instanter.storefront.asking import STOCK_S_MAX, Engine


class Answering(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"id": "a", "fields": {"stock": 3}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def engine_url():
    server = HTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def asked(engine, ask):
    async def run():
        try:
            return await ask(engine)
        finally:
            await engine.close()

    return asyncio.run(run())


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_a_proxy_of_the_surroundings_is_not_used(engine_url, monkeypatch, name):
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert asked(Engine(engine_url), lambda engine: engine.stock("a")) == 3.0


@pytest.mark.parametrize("answer", [httpx.ConnectError("refused"), httpx.Response(503), httpx.Response(429)])
def test_no_call_is_sent_twice(answer):
    sent = []

    def reply(request):
        sent.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(Unavailable, match="does not answer"):
        asked(Engine("http://engine.example", transport=httpx.MockTransport(reply)), lambda engine: engine.profile("v"))
    assert len(sent) == 1


def test_a_page_waits_for_the_stock_no_longer_than_it_may():
    async def silent(request):
        await asyncio.Event().wait()

    with pytest.raises(Unavailable, match=r"no answer in time"):
        asked(Engine("http://engine.example", transport=httpx.MockTransport(silent)), lambda engine: engine.stock("a"))
    assert STOCK_S_MAX < 1.0


def test_a_refusal_keeps_its_code_and_status():
    refused = httpx.Response(404, json={"error": {"code": "unknown_item", "message": "there is none"}})
    transport = httpx.MockTransport(lambda request: refused)
    with pytest.raises(RequestRejected, match="there is none") as raised:
        asked(Engine("http://engine.example", transport=transport), lambda engine: engine.stock("a"))
    assert (raised.value.code, raised.value.status) == ("unknown_item", 404)
