"""S11: no key, no personal value and no stack trace in any output or refusal. tests/leaks.py reads the outputs."""

from __future__ import annotations

import json
import logging
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from instanter.ops.logs import JsonLines

from ..leaks import marks_in, planted
from .accountant import Client, Reply
from .conftest import MakeSite
from .hostile import bent

ROOT = Path(__file__).parents[2]
TRACE = re.compile(
    r"Traceback|\bFile \\?\"|\.py\b|site-packages|\bline \d+, in |[A-Z]\w+(?:Error|Exception)\b| object at 0x"
)
PERSON = {
    "anonymousId": planted("anonymous"), "userId": planted("user"), "messageId": "m-1", "event": "Product Viewed",
    "type": "track", "previousId": planted("user", 2), "groupId": planted("user", 3),
    "traits": {"email": planted("email"), "name": planted("name"), "phone": planted("phone")},
    "properties": {"product_id": "sku-1", "price": 3, "note": planted("text")},
    "context": {"ip": planted("ip"), "page": {"url": f"https://shop.example/?who={planted('email')}"},
                "referrer": f"https://mail.example/{planted('name')}", "locale": "en-GB"},
    "timestamp": "2025-06-15T10:00:00Z",
}  # fmt: skip
ASKED = {
    "anonymousId": planted("anonymous"), "userId": planted("user"), "context": PERSON["context"], "events": [PERSON],
    "placements": [{"id": "home.recommended", "query": planted("text")}],
}  # fmt: skip
SOUND = {
    **{f"/v1/{kind}": PERSON for kind in ("track", "identify", "page", "screen", "group", "alias")},
    "/v1/batch": {"batch": [PERSON, PERSON], "context": PERSON["context"]}, "/v1/decide": ASKED,
    "/v1/rank": {**ASKED, "placements": None, "placement": "search", "candidates": ["sku-1"], "query": planted("text")},
}  # fmt: skip
MISTAKES: list[dict[str, Any]] = [
    {"timestamp": planted("text")}, {"sentAt": planted("email")}, {"userId": [planted("user")]},
    {"userId": planted("user") * 100}, {"anonymousId": {"id": planted("anonymous")}}, {"type": planted("name")},
    {"traits": planted("email")}, {"properties": {"products": planted("text")}}, {"context": planted("ip")},
    {"context": {"ip": [planted("ip")]}}, {"context": {"consent": {planted("email"): planted("name")}}},
    {"minPosition": planted("text")}, {"deadlineMs": planted("text")}, {"placements": [{"query": planted("text")}]},
    {"placement": [planted("text")]}, {"candidates": [{"id": planted("text") * 100}]}, {"explain": planted("user")},
    {"batch": [planted("email"), {"userId": 1.5, "messageId": {}, "traits": [planted("email")]}, 7]},
]  # fmt: skip
PATHS = (
    "/v1/profiles/{user}", "/v1/profiles/anonymous:{user}", "/v1/profiles/{user}/links/{email}", "/v1/nothing/{email}",
    "/{email}", "/v1/decisions/{user}", "/v1/profiles/{user}%ff", "/v1/track/{email}", "/v1/keys/{email}",
    "/v1/profiles/{user}/{email}?q={ip}", "/v1/profiles/{user}/export", "/v1/profiles/{email}/consent",
)  # fmt: skip

pytestmark = pytest.mark.faults


def hostile_calls(seed: int, count: int) -> Iterator[tuple[str, str, bytes | None, dict[str, str]]]:
    """Calls full of planted values that are wrong in some way, or that nobody may make."""
    chance = random.Random(seed)
    for path in PATHS:
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH", planted("user").upper()):
            yield method, path.format(user=planted("user"), email=planted("email"), ip=planted("ip")), None, {}
    for path, sound in SOUND.items():
        for mistake in MISTAKES:
            yield "POST", path, json.dumps({**sound, **mistake}).encode(), {}
        yield "POST", path, json.dumps(sound).encode(), {
            "Content-Encoding": planted("text"), "Cookie": planted("email"), "X-Forwarded-For": planted("ip"),
            "Authorization": f"Bearer {planted('user')}", "Content-Type": planted("text"),
        }  # fmt: skip
    for _ in range(count):
        path = chance.choice(list(SOUND))
        yield "POST", path, bent(chance, json.dumps(SOUND[path]).encode()), {}


def leaked(reply: Reply) -> list[str]:
    """What a reply says that it may not: of a refusal nothing that was sent, and nothing of how we are made."""
    text = reply.body.decode("utf-8", "replace") + json.dumps(reply.headers)
    traces = [match[0] for match in TRACE.finditer(text)]
    if reply.status >= 400:
        return traces + marks_in(text)
    rejected = reply.json.get("rejected", []) if reply.headers["content-type"] == "application/json" else []
    return traces + marks_in(json.dumps([one["message"] for one in rejected]))


def test_s11_no_refusal_says_what_was_sent_or_how_we_are_made(
    make_site: MakeSite, full: bool, record_property: Callable[[str, object], None]
) -> None:
    server = make_site().start()
    client, refused, leaks = Client(server.port), 0, []
    for method, path, body, headers in hostile_calls(11, 5_000 if full else 300):
        reply = client.call(method, path, body, headers=headers)
        refused += reply.status >= 400
        leaks += [(method, path, (body or b"")[:200], leak) for leak in leaked(reply)]
    client.close()
    record_property("hostile_refused", refused)
    record_property("leaks_in_replies", len(leaks))
    assert not leaks, "\n".join(map(str, leaks))
    assert refused > 200
    server.stop()


def test_s11_a_logged_error_tells_its_kind_and_place_and_not_its_message() -> None:
    try:
        try:
            raise KeyError(planted("email"))
        except KeyError as error:
            raise ValueError(planted("user")) from error
    except ValueError:
        record = logging.LogRecord("instanter.api", logging.ERROR, __file__, 1, "a request failed", (), sys.exc_info())
    record.stack_info = planted("text")
    line = JsonLines().format(record)
    told = json.loads(line)
    assert marks_in(line) == []
    assert (told["error"], told["message"]) == ("ValueError", "a request failed")


SUITE = {
    "conftest.py": """
        from tests import leaks, reliability

        def pytest_addoption(parser):
            reliability.pytest_addoption(parser)

        def pytest_configure(config):
            reliability.pytest_configure(config)
            leaks.pytest_configure(config)
    """,
    "test_them.py": """
        import base64, logging, os, sys
        import pytest
        from tests.leaks import planted, watch

        def test_silent(): planted("email")
        def test_read(capsys): print(planted("email")); capsys.readouterr()
        def test_stdout(): print(planted("email"))
        def test_stderr(): print(planted("ip"), file=sys.stderr)
        def test_descriptor(): os.write(2, planted("phone").encode())
        def test_log(): logging.getLogger("instanter.x").warning("hello", extra={"who": planted("user")})
        def test_access_key(): print("ik_" + "a1" * 16)
        def test_server_log(tmp_path): (tmp_path / "server.log").write_text(planted("name").upper())

        def test_installation_key(tmp_path):
            (tmp_path / "keys").mkdir()
            (tmp_path / "keys" / "master.key").write_bytes(bytes(range(32)))
            print(bytes(range(32)).hex())

        def test_of_a_child(tmp_path):
            watch(tmp_path / "output")
            (tmp_path / "output").write_text(planted("text"))

        @pytest.fixture(scope="module")
        def module_server(tmp_path_factory):
            yield
            (tmp_path_factory.mktemp("server") / "server.log").write_text(planted("email"))

        def test_module(module_server): pass
    """,
}  # fmt: skip


@pytest.fixture
def aside() -> Iterator[Path]:
    """A folder that the watch over this very run does not look into."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def test_s11_the_watch_names_the_test_of_every_leak(aside: Path) -> None:
    for name, text in SUITE.items():
        (aside / name).write_text("\n".join(line[8:] for line in text.splitlines()))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", "--rootdir",
         str(aside), str(aside / "test_them.py"), "--basetemp", str(aside / "base"), "--reliability",
         str(aside / "found.json")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    named = set(re.findall(r"^LEAKED test_them\.py::test_(\w+): ", done.stdout, re.MULTILINE))
    assert named == {
        "stdout", "stderr", "descriptor", "log", "access_key", "server_log", "installation_key", "of_a_child"
    }, done.stdout  # fmt: skip
    assert "LEAKED server0/server.log: " in done.stdout, "what outlives the tests is told by its folder"
    assert done.returncode == 1
    (told,) = json.loads((aside / "found.json").read_text())["tests"]
    assert (told["rows"], told["outcome"], told["figures"]["leaks"]) == (["S11"], "failed", 9)
