"""A server that asks for access keys, and keys made for it before it is served."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from instanter.ops.cli.main import main

from .servers import ForkedServer, Nursery

CONFIG = """\
[state]
memory_mb = 64
checkpoint_s = 3600
[privacy]
master_key_file = "master.key"
"""


class Answer(NamedTuple):
    """What came back."""

    status: int
    retry_after: str | None
    body: Any


def keys_command(*words: str) -> Any:
    """What `instanter keys` prints, as JSON."""
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        code = main(["keys", *words, "--json"])
    assert code == 0, told.getvalue()
    return json.loads(told.getvalue())


class KeyedSite:
    """A data directory with keys of its own. Make the keys, then `serve`."""

    def __init__(self, nursery: Nursery, root: Path, *, config: str = "") -> None:
        root.mkdir(exist_ok=True)
        self._nursery = nursery
        self.data = root / "data"
        self.config = root / "instanter.toml"
        self.config.write_text(CONFIG + config)
        (root / "master.key").write_text("5a" * 32)

    def key(self, *scopes: str, tenant: str = "default", public: bool = False, requests_per_s: int = 0) -> str:
        """A new key's text."""
        words = ["create", "--name", "test", "--tenant", tenant, "--requests-per-s", str(requests_per_s)]
        words += [word for scope in scopes for word in ("--scope", scope)]
        key: str = self.run(*words, *(["--public"] if public else []))["key"]
        return key

    def run(self, *words: str) -> Any:
        """`instanter keys`, its JSON."""
        return keys_command(*words, "--data", str(self.data), "--config", str(self.config))

    @contextlib.contextmanager
    def serve(self) -> Iterator[ForkedServer]:
        """A server that is ready, and stopped afterwards."""
        server = ForkedServer(self._nursery, self.data, config=self.config, dev=False)
        try:
            server.wait_until_ready()
            yield server
            assert server.stop() == 0
        finally:
            server.kill()


class Caller:
    """One connection, with a key in its header."""

    def __init__(self, port: int, key: str) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def call(self, method: str, path: str, body: Any = None) -> Answer:
        self._http.request(method, path, None if body is None else json.dumps(body), self._headers)
        reply = self._http.getresponse()
        raw = reply.read()
        return Answer(reply.status, reply.headers.get("Retry-After"), json.loads(raw) if raw[:1] == b"{" else raw)

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *error: object) -> None:
        self._http.close()
