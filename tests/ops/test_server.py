"""Servers as processes: how they start, what they log, whom they refuse, and how verbs work beside them."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from instanter.foundation.errors import Unavailable
from instanter.ops.child import ChildServer, free_port, running_server
from instanter.ops.datadir import FORMAT
from instanter.ops.readiness import is_locked

from .shop_data import ndjson, write_config

PERSON = "planted-person"


class Site:
    """One running server with its folder, configuration and log."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.log = folder / "server.log"
        self.config = write_config(folder)
        self.server = ChildServer(self.data, config=self.config, log=self.log)

    def post(self, path: str, body: Any) -> Any:
        reply = httpx.post(self.server.url + path, json=body)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def lines(self) -> list[dict[str, Any]]:
        """What it has logged: each line must be a JSON object."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"))
    try:
        site.server.wait_until_ready()
        site.post("/v1/items", {"items": [{"id": f"sku-{n}", "fields": {"category": "chairs"}} for n in range(5)]})
        site.post("/v1/track", {
            "anonymousId": PERSON, "messageId": "planted-message", "event": "Product Viewed",
            "properties": {"product_id": "sku-1", "note": "planted-note"}, "context": {"ip": "203.0.113.77"}})
        yield site
    finally:
        site.server.stop()


def instanter(*words: object, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """The command in a process of its own, with its standard input."""
    command = [sys.executable, "-m", "instanter.ops.cli.main", *map(str, words)]
    return subprocess.run(command, input=given, capture_output=True, check=False, timeout=600)


def sentence(result: subprocess.CompletedProcess[bytes]) -> str:
    """The one line of an error."""
    (line,) = [line for line in result.stderr.decode().splitlines() if not line.startswith("{")]
    return line


def test_a_second_server_on_the_same_directory_is_refused_in_one_sentence(site: Site) -> None:
    result = instanter("serve", "--dev", "--data", site.data, "--config", site.config, "--port", free_port())
    assert result.returncode == 1
    assert sentence(result).startswith("instanter serve: ")
    assert "another process" in sentence(result)
    assert httpx.get(f"{site.server.url}/readyz").status_code == 200


def test_a_port_that_is_taken_is_refused_before_anything_is_made(site: Site, tmp_path: Path) -> None:
    result = instanter("serve", "--dev", "--data", tmp_path / "other", "--port", site.server.port)
    assert result.returncode == 1
    assert f"127.0.0.1:{site.server.port}" in sentence(result)
    assert "Address already in use" in sentence(result)
    assert not (tmp_path / "other").exists()


def test_a_directory_of_a_newer_format_is_refused_in_one_sentence(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "keys").mkdir(parents=True)
    (data / "keys" / "installation.key").write_text("00" * 32)
    (data / "instanter.json").write_text(json.dumps({"format": FORMAT + 1}))
    told = f"has format {FORMAT + 1}; this program reads up to {FORMAT}"
    with pytest.raises(Unavailable, match=told), running_server(data):
        raise AssertionError("it serves")


def test_a_wrong_configuration_is_the_reason_that_a_child_does_not_start(tmp_path: Path) -> None:
    config = tmp_path / "wrong.toml"
    config.write_text("[limits]\nrequests_per_s = 0\n")
    events = ndjson(tmp_path / "events.ndjson", [{"type": "page", "anonymousId": "a"}])
    result = instanter("import", "--data", tmp_path / "data", "--config", config, "--events", events)
    assert result.returncode == 2
    assert "wrong.toml:2: " in sentence(result)


@pytest.mark.parametrize(("sent", "item"), [("a%2Fb", "a/b"), ("%E2%82%AC", "€"), ("100%25", "100%"), ("a%20b", "a b")])
def test_an_escaped_id_arrives_as_it_was_meant(sent: str, item: str, site: Site) -> None:
    site.post("/v1/items", {"items": [{"id": item, "fields": {"escaped": True}}]})
    connection = http.client.HTTPConnection("127.0.0.1", site.server.port)
    connection.request("GET", f"/v1/items/{sent}")
    reply = connection.getresponse()
    assert (reply.status, json.loads(reply.read())["id"]) == (200, item)
    connection.request("DELETE", f"/v1/items/{sent}")
    assert connection.getresponse().status == 200
    connection.close()


def test_head_has_the_length_and_no_body(site: Site) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", site.server.port)
    connection.request("HEAD", "/healthz")
    reply = connection.getresponse()
    assert (reply.status, reply.read(), reply.headers["Content-Length"]) == (200, b"", str(len(b'{"status":"ok"}')))
    connection.request("GET", "/healthz")
    assert connection.getresponse().read() == b'{"status":"ok"}'
    connection.close()


def test_the_live_state_is_the_rebuilt_one(site: Site) -> None:
    result = instanter(
        "replay", "--verify", "--url", site.server.url, "--data", site.data, "--config", site.config, "--json")
    report = json.loads(result.stdout)
    assert (result.returncode, report["identical"], report["compared_with"]) == (0, True, site.server.url)


def test_verify_and_quarantine_work_beside_a_running_server(site: Site) -> None:
    assert httpx.post(f"{site.server.url}/v1/track", content=b"garbage").status_code == 400
    verified = instanter("verify", "--data", site.data, "--json")
    assert (verified.returncode, json.loads(verified.stdout)["damage"]) == (0, [])
    listed = json.loads(instanter("quarantine", "list", "--data", site.data, "--json").stdout)
    assert "malformed" in [group["code"] for group in listed["groups"]]


def test_the_doctor_sees_that_a_server_is_running(site: Site) -> None:
    result = instanter(
        "doctor", "--data", site.data, "--config", site.config, "--port", site.server.port, "--json")
    checks = {check["name"]: check for check in json.loads(result.stdout)["checks"]}
    assert result.returncode == 0
    assert (checks["log"]["status"], "in use" in checks["log"]["found"]) == ("warn", True)
    assert checks["port"]["advice"] == "the running server has it"
    assert httpx.get(f"{site.server.url}/readyz").status_code == 200


def test_files_and_standard_input_are_imported_into_a_running_server(site: Site, tmp_path: Path) -> None:
    items = tmp_path / "items.ndjson.gz"
    items.write_bytes(gzip.compress(b'{"id": "gz-1", "fields": {"price": 5}}\n\n{"id": "gz-2", "fields": {}}\n'))
    events = b'{"type": "page", "anonymousId": "imported", "messageId": "i-1"}\n'
    result = instanter("import", "--url", site.server.url, "--items", items, "--events", "-", "--json", given=events)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert (report["items"], report["events"], report["rejected"]) == (2, 1, 0)
    assert httpx.get(f"{site.server.url}/v1/items/gz-1").json()["fields"] == {"price": 5}
    assert httpx.get(f"{site.server.url}/v1/profiles/anonymous:imported").status_code == 200


def test_what_is_unfit_is_left_out_and_told_by_its_line(site: Site, tmp_path: Path) -> None:
    items = ndjson(tmp_path / "items.ndjson", [
        {"id": "fit-1", "fields": {}}, b"{broken", {"id": "unfit", "fields": {"price": -1}}, [],
        {"id": "fit-2", "fields": {}}])
    events = ndjson(tmp_path / "events.ndjson", [
        {"type": "page", "anonymousId": "fit"}, {"type": "page", "messageId": "nobody"}, b'{"type": "page"} {}'])
    result = instanter("import", "--url", site.server.url, "--items", items, "--events", events, "--json")
    assert result.returncode == 1
    report = json.loads(result.stdout)
    assert (report["items"], report["events"], report["rejected"]) == (2, 1, 5)
    told = "\n".join(report["first_rejections"])
    for what in (f"{items}: line 2", "line 3: schema", "price", "line 4", "nobody: schema", f"{events}:3: malformed"):
        assert what in told
    assert httpx.get(f"{site.server.url}/v1/items/fit-2").status_code == 200


@pytest.mark.parametrize(("content", "code", "told"), [
    (b"no gzip at all", 2, "is none of JSON lines"),
    (gzip.compress(b'{"type": "page"}\n' * 9_999)[:-20], 1, "cannot be unpacked to its end"),
])
def test_a_packed_file_that_is_damaged_is_named(
    content: bytes, code: int, told: str, site: Site, tmp_path: Path
) -> None:
    events = tmp_path / "events.ndjson.gz"
    events.write_bytes(content)
    result = instanter("import", "--url", site.server.url, "--events", events)
    assert result.returncode == code
    assert f"events.ndjson.gz {told}" in sentence(result)


def test_a_limited_sender_waits_and_imports_everything(tmp_path: Path) -> None:
    """And opens the data directory itself, with the configuration's rate."""
    config = tmp_path / "slow.toml"
    config.write_text("[state]\nmemory_mb = 64\n[limits]\nrequests_per_s = 2\n")
    events = ndjson(tmp_path / "events.ndjson", [
        {"type": "page", "anonymousId": f"p{n % 7}", "messageId": f"m-{n}"} for n in range(1_100)])
    items = ndjson(tmp_path / "items.ndjson", [{"id": "sku-1", "fields": {}}])
    words = ["--data", tmp_path / "data", "--config", config]
    result = instanter("import", *words, "--items", items, "--events", events, "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert (report["items"], report["events"], report["rejected"]) == (1, 1_100, 0)
    replayed = json.loads(instanter("replay", *words, "--verify", "--json").stdout)
    assert (replayed["identical"], replayed["people"]) == (True, 7)


def test_it_drains_on_sigterm_and_every_line_of_its_log_is_json_without_anything_personal(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.server.wait_until_ready()
    site.post("/v1/track", {"anonymousId": PERSON, "event": "Product Viewed", "context": {"ip": "203.0.113.77"}})
    for body in (b"planted-garbage", b'{"anonymousId": "planted-person", "event": 7}'):
        httpx.post(f"{site.server.url}/v1/track", content=body)
    httpx.get(f"{site.server.url}/v1/profiles/planted-person")
    site.post("/v1/decide", {"anonymousId": PERSON, "placements": [{"id": "home.hero"}]})
    assert site.server.stop() == 0
    lines = site.lines()
    assert [line["message"] for line in lines if line["level"] == "info"] == ["ready", "stopped"]
    assert all({"at", "level", "logger", "message"} <= set(line) for line in lines)
    told = site.log.read_text()
    assert "planted" not in told
    assert "203.0.113" not in told
    assert sorted((site.data / "checkpoints").iterdir()), "draining writes a checkpoint"


def test_nothing_personal_is_in_metrics_or_log_of_the_server_that_all_tests_used(site: Site) -> None:
    metrics = httpx.get(f"{site.server.url}/metrics").text
    assert "instanter_events_accepted_total" in metrics
    for text in (metrics, site.log.read_text()):
        assert "planted" not in text
        assert "203.0.113" not in text
    made, ready = site.lines()[:2]
    assert ("master key" in made["message"], made["level"], ready["message"]) == (True, "warning", "ready")


def test_an_import_that_is_told_to_end_takes_its_server_with_it(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    command = [sys.executable, "-m", "instanter.ops.cli.main", "import", "--data", str(tmp_path / "data")]
    with subprocess.Popen(
        [*command, "--config", str(config), "--events", "-"], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as importing:
        assert importing.stdin is not None
        assert importing.stderr is not None
        while importing.poll() is None and not is_locked(tmp_path / "data" / "log" / "lock"):
            with contextlib.suppress(subprocess.TimeoutExpired):
                importing.wait(0.01)
        importing.terminate()
        importing.wait(60)
        assert importing.returncode == 1
        assert importing.stderr.read() == b"instanter import: stopped before it was done\n"
    assert not is_locked(tmp_path / "data" / "log" / "lock")


def test_with_json_the_last_line_of_a_server_says_what_was_stopped(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "instanter.ops.cli.main", "serve", "--dev", "--json", "--port", str(port)]
    command += ["--data", str(tmp_path / "data"), "--config", str(write_config(tmp_path)), "--host", "localhost"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as serving:
        assert serving.stderr is not None
        messages = (json.loads(line)["message"] for line in serving.stderr)
        assert "ready" in messages
        assert httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
        serving.terminate()
        out, _ = serving.communicate(timeout=600)
    assert serving.returncode == 0
    assert json.loads(out.splitlines()[-1]) == {"stopped": f"http://127.0.0.1:{port}"}
