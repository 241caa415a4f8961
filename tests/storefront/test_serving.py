"""The storefront as a child process."""

import http.client
import json
import socket

import pytest

from instanter.foundation.errors import Unavailable
from instanter.foundation.limits import STOREFRONT_CONNECTIONS_MAX
from instanter.storefront.serving import ChildStorefront, main, running_storefront

NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def shelf(tmp_path):
    path = tmp_path / "items.ndjson"
    path.write_text('{"id": "a", "fields": {"title": "Blue cup", "category": "cups"}}\nnonsense\n')
    return path


@pytest.fixture
def running(shelf):
    with running_storefront(NOBODY, shelf=shelf, name="Cups & more") as child:
        yield child


def get(child, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", child.port, timeout=30)
    connection.request("GET", path, headers=headers)
    reply = connection.getresponse()
    body = reply.read().decode()
    connection.close()
    return reply.status, body


def test_anybodys_catalogue_has_pages(running):
    status, body = get(running, "/")
    assert status == 200
    assert "Cups &amp; more" in body
    assert "Blue cup" in body
    assert get(running, "/picture/a.svg")[1].startswith("<svg")
    assert running.stop() == 0


def test_as_many_as_there_are_places_are_answered_and_more_wait(running):
    connections = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(STOREFRONT_CONNECTIONS_MAX + 8)]
    answered = 0
    for connection in connections:
        connection.settimeout(60)
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    for connection in connections:
        answered += connection.recv(4096).startswith(b"HTTP/1.1 200")
        connection.close()
    assert answered == len(connections)


def test_a_port_that_somebody_has_is_told():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        child = ChildStorefront(NOBODY, port=taken.getsockname()[1])
        try:
            with pytest.raises(Unavailable, match="choose another --port"):
                child.wait_until_ready()
        finally:
            assert child.stop() == 1


@pytest.mark.parametrize("words", [["--port", "0"], ["--port", "70000"], ["--shelf", "none.ndjson"]])
def test_what_cannot_be_is_told_in_a_sentence(words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["--engine", NOBODY, *words]) == 1
    assert capsys.readouterr().err.startswith("storefront: ")


def test_lines_that_are_no_items_are_named(shelf, capsys):
    assert main(["--engine", NOBODY, "--port", "0", "--shelf", str(shelf)]) == 1
    assert f"{shelf}: line 2:" in capsys.readouterr().err


def test_the_crowd_is_the_furniture_shops_alone(running):
    status, body = get(running, "/crowd")
    assert (status, json.loads(body)["error"]["code"]) == (404, "crowd")
