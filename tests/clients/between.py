"""A proxy between clients and the server that refuses whatever it has not seen before, once.

Every other time it does so after the server has taken it: then only the answer is lost, and the client sends again what
counts already.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HOST = "127.0.0.1"
STATUSES = (429, 500, 503, 507)
_HOPS = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"})


class Between:
    """Stands on a port of its own; ends with the block."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._guard = threading.Lock()
        self._seen: set[str] = set()
        self._turn = 0
        self.refused = Counter[int]()
        self.taken = Counter[str]()
        """Paths of requests that were let through."""
        self.largest_bytes = 0
        """Of a body."""
        self.told: list[tuple[str, int, str]] = []
        """Of each answer of the server that was no success: path, status and what it said."""
        between = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self) -> None:
                between.answer(self)

            do_GET = do_POST = do_OPTIONS = handle_one

            def log_message(self, format: str, *arguments: object) -> None:
                return None

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self.url = f"http://{HOST}:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def __enter__(self) -> Between:
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, asked: BaseHTTPRequestHandler) -> None:
        """Answer one request: as the server does, or with a refusal."""
        body = asked.rfile.read(int(asked.headers.get("Content-Length") or 0))
        self.largest_bytes = max(self.largest_bytes, len(body))
        refusal, afterwards = self._refusal_of(asked.command, body)
        if refusal is None or afterwards:
            status, headers, content = self._ask(asked, body)
        if refusal is not None:
            status, headers, content = refusal, _refusing(asked), b'{"success":false,"code":"test","message":"again"}'
        asked.send_response(status)
        for name, value in headers:
            if name.lower() not in _HOPS:
                asked.send_header(name, value)
        asked.send_header("Content-Length", str(len(content)))
        asked.end_headers()
        with contextlib.suppress(OSError):  # a page that was left hears no answer
            asked.wfile.write(content)

    def _refusal_of(self, method: str, body: bytes) -> tuple[int | None, bool]:
        """The status with which to refuse, if at all; and whether the server is to take it all the same."""
        if method != "POST":
            return None, False
        with self._guard:
            names = set(names_in(body))
            new = names - self._seen
            self._seen |= new
            if not new:
                return None, False
            status = STATUSES[self._turn % len(STATUSES)]
            afterwards = (self._turn + self._turn // len(STATUSES)) % 2 == 1
            self._turn += 1
            self.refused[status] += 1
            return status, afterwards

    def _ask(self, asked: BaseHTTPRequestHandler, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(HOST, self._target, timeout=60)
        with contextlib.closing(connection):
            connection.putrequest(asked.command, asked.path, skip_host=True, skip_accept_encoding=True)
            for name, value in asked.headers.items():
                if name.lower() not in ("connection", "content-length"):
                    connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            reply = connection.getresponse()
            content = reply.read()
        path = asked.path.partition("?")[0]
        with self._guard:
            self.taken[path] += 1
            if reply.status >= 400 or b'"rejected":[{' in content:
                self.told.append((path, reply.status, content.decode()))
        return reply.status, reply.getheaders(), content


def names_in(body: bytes) -> Iterator[str]:
    """The messageIds of a tracking body."""
    plain = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
    sent: Any = json.loads(plain)
    for event in sent.get("batch", [sent]):
        yield event["messageId"]


def _refusing(asked: BaseHTTPRequestHandler) -> list[tuple[str, str]]:
    """The headers of a refusal, as the server sends them."""
    headers = [("Content-Type", "application/json"), ("Retry-After", "1")]
    origin = asked.headers.get("Origin")
    if origin is not None:
        allowed = {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": "retry-after"}
        headers += [*allowed.items(), ("Vary", "Origin")]
    return headers
