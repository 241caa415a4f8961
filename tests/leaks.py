"""Nothing secret or personal in any output (row S11): what the tests print, log, and what their servers write is read.

`planted("email")` is a value that stands for something personal: whoever sends it to a server may not meet it again in
an output. Access keys and the keys of installations that tests made are looked for as well. A leak fails the test in
which it came up.
"""

from __future__ import annotations

import base64
import io
import logging
import re
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from instanter.ops.logs import JsonLines

from .reliability import Rows

STEM = "zq7planted"
"""Part of whatever is planted, wherever the form of the value allows it."""
ADDRESS = "198.51.100.173"
PHONE = "+49-30-5550-1730"
_FORMS = {
    "email": "{stem}{number}@people.example", "user": "{stem}-user-{number}", "anonymous": "{stem}-anonymous-{number}",
    "name": "Ada {stem} {number}", "text": "a word from {stem} {number}", "ip": ADDRESS, "phone": PHONE,
}  # fmt: skip
_MARKS = re.compile(rf"{STEM}[\w.@-]*|{re.escape(ADDRESS)}|{re.escape(PHONE)}", re.IGNORECASE)
_ACCESS_KEY = re.compile(r"\bik_[A-Za-z0-9_-]{20,}")
_OUTPUTS = ("*.log", "*.out", "*.err", "stdout*", "stderr*")
_SECRET_BYTES = range(16, 4_097)
_SHOWN_CHARS = 60

_watched: dict[Path, int] = {}
"""Output files of servers that outlive a test, and how far each has been read."""


def planted(kind: str, number: int = 0) -> str:
    """A value of that kind that may not come up in any output.

    >>> planted("email")
    'zq7planted0@people.example'
    """
    return _FORMS[kind].format(stem=STEM, number=number)


def watch(path: Path) -> None:
    """From now on whatever is written to this file is an output of the test that is running then."""
    _watched.setdefault(path, 0)


def marks_in(text: str) -> list[str]:
    """What of a text was planted, or is an access key."""
    return [match[0] for pattern in (_MARKS, _ACCESS_KEY) for match in pattern.finditer(text)]


def secrets_below(folder: Path) -> set[str]:
    """Every way in which the content of a file in a folder `keys` could be written out."""
    found: set[str] = set()
    for path in folder.rglob("keys/*"):
        if path.is_file() and path.stat().st_size in _SECRET_BYTES:
            found.update(_spellings(path.read_bytes()))
    return found


def _spellings(secret: bytes) -> Iterator[str]:
    text = secret.decode("utf-8", "replace").strip()
    yield from (secret.hex(), base64.b64encode(secret).decode().rstrip("="), repr(secret)[2:-1])
    yield from (base64.urlsafe_b64encode(secret).decode().rstrip("="), *([text] if text.isprintable() else []))


class Watch:
    """The plugin."""

    def __init__(self) -> None:
        self._log = io.StringIO()
        self._lines = logging.StreamHandler(self._log)
        self._lines.setFormatter(JsonLines())
        self._read: set[Path] = set()
        self._secrets: set[str] = set()
        self._tests = 0
        self._chars = 0
        self._leaks: list[str] = []

    def pytest_sessionstart(self) -> None:
        logging.getLogger("instanter").addHandler(self._lines)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """When a test is over all it has put out is read."""
        report = yield
        if report.when == "teardown":
            self._tests += 1
            found = [leak for where, text in self._outputs(item, report) for leak in self._found(where, text)]
            if found:
                self._leaks += [f"{item.nodeid}: {leak}" for leak in found]
                report.outcome = "failed"
                report.longrepr = "\n".join(["this may not stand in an output:", *found])
        return report

    def _outputs(self, item: pytest.Item, report: pytest.TestReport) -> Iterator[tuple[str, str]]:
        folder = getattr(item, "funcargs", {}).get("tmp_path")
        if isinstance(folder, Path) and folder.is_dir():
            self._secrets |= secrets_below(folder)
            yield from self._files(folder)
        for name, text in report.sections:
            if not name.startswith("Captured log"):
                yield name, text
        yield "the log", self._log.getvalue()
        self._log.seek(0)
        self._log.truncate()
        for path, offset in _watched.items():
            with path.open("rb") as file:
                file.seek(offset)
                raw = file.read()
            _watched[path] = offset + len(raw)
            yield path.name, raw.decode("utf-8", "replace")

    def _files(self, folder: Path) -> Iterator[tuple[str, str]]:
        """Output files that no test has been asked about so far."""
        for pattern in _OUTPUTS:
            for path in folder.rglob(pattern):
                if path.is_file() and path not in self._read and path not in _watched:
                    self._read.add(path)
                    yield str(path.relative_to(folder)), path.read_text("utf-8", "replace")

    def _found(self, where: str, text: str) -> list[str]:
        self._chars += len(text)
        secrets = [secret[:4] + "..." for secret in self._secrets if secret in text]
        return [f"{where}: {leak[:_SHOWN_CHARS]}" for leak in (*marks_in(text), *secrets)]

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """What servers of whole modules have written is read at the end, and told by its folder."""
        logging.getLogger("instanter").removeHandler(self._lines)
        factory = getattr(session.config, "_tmp_path_factory", None)
        if factory is not None and self._tests:
            base = factory.getbasetemp()
            self._secrets |= secrets_below(base)
            late = [leak for where, text in self._files(base) for leak in self._found(where, text)]
            self._leaks += late
            if late:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        rows = session.config.pluginmanager.get_plugin("reliability-rows")
        if isinstance(rows, Rows) and self._tests:
            rows.note("S11", "all output of the run", passed=not self._leaks, outputs_of_tests=self._tests,
                      outputs_kib=self._chars // 1024, leaks=len(self._leaks))  # fmt: skip

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for leak in self._leaks:
            terminalreporter.write_line(f"LEAKED {leak}")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Watch(), "leaks")
