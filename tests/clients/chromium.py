"""Pages of a shop, served on loopback from an origin of their own, and a Chromium that opens one."""

from __future__ import annotations

import contextlib
import json
import queue
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from .between import HOST

PAGES = Path(__file__).parent / "pages"
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-proxy-server",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--disable-default-apps", "--disable-extensions", "--mute-audio", "--host-resolver-rules=MAP *.test 127.0.0.1",
)  # fmt: skip
TELL_S_MAX = 240.0
ATTACK_S_MAX = 240.0
STOP_S_MAX = 20.0
_KINDS = {".html": "text/html", ".js": "text/javascript", ".txt": "text/javascript"}


def chromium() -> str | None:
    """The path of a Chromium, if there is one."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Pages:
    """Serves `pages` and what npm has installed, and hears what pages say. Ends with the block.

    Every test asks under a name of its own, so that no page finds what another has left.
    """

    def __init__(self) -> None:
        self.modules = Path()
        self._heard: queue.Queue[Any] = queue.Queue()
        pages = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                content, kind = pages._found(self.path.partition("?")[0])
                self.send_response(200 if content is not None else 404)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(content or b"")

            def do_POST(self) -> None:
                pages._heard.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                return None

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    @property
    def origins(self) -> str:
        """The origins of the pages, as `serve.origins` names them."""
        return f"http://*.shop.localhost:{self.port}"

    def __enter__(self) -> Pages:
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @contextlib.contextmanager
    def opened(self, page: str, **settings: str) -> Iterator[Any]:
        """What the page said last when it was opened; it stays open as long as the block goes on."""
        self._forget()
        program = chromium()
        assert program is not None
        name = f"{page}-{settings.get('mode', 'plain')}.shop.localhost"
        with self._browser(program, f"http://{name}:{self.port}/{page}.html?{urlencode(settings)}"):
            yield self._heard.get(timeout=TELL_S_MAX)

    def told_by_stranger(self, origin: str, page: str, **settings: str) -> Any:
        """What a page of any origin said; its name is turned to this machine, as a stranger's DNS can."""
        self._forget()
        program = chromium()
        assert program is not None
        with self._browser(program, f"{origin}/{page}.html?{urlencode(settings)}"):
            return self._heard.get(timeout=ATTACK_S_MAX)

    def _forget(self) -> None:
        """What earlier pages said is nothing that this one has said."""
        while not self._heard.empty():
            self._heard.get()

    def hear(self, said: Any) -> None:
        """What a page told somebody else who serves it."""
        self._heard.put(said)

    @contextlib.contextmanager
    def _browser(self, program: str, url: str) -> Iterator[None]:
        """A Chromium at an address. Names that are nobody's are this machine's."""
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            browser = subprocess.Popen(
                [program, *FLAGS, f"--user-data-dir={profile}", url],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                env={"HOME": profile, "PATH": "/usr/bin:/bin"},
            )  # fmt: skip
            try:
                yield
            finally:
                browser.terminate()
                try:
                    browser.wait(STOP_S_MAX)
                except subprocess.TimeoutExpired:
                    browser.kill()
                    browser.wait()

    def _found(self, path: str) -> tuple[bytes | None, str]:
        folder, _, rest = path[1:].partition("/")
        base, name = (self.modules, rest) if folder == "modules" else (PAGES, path[1:])
        file = (base / name).resolve()
        if not file.is_relative_to(base.resolve()) or not file.is_file():
            return None, "text/plain"
        return file.read_bytes(), _KINDS.get(file.suffix, "application/octet-stream")


Settings = Mapping[str, str]
