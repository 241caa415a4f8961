"""The project speaks of itself alone: no path of a machine, no host of a package index, in any tracked file."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

MACHINE_PATH = re.compile(r"(?<![\w.~/-])/(?:work|farm|home|root|Users)/[\w.-]+")
INDEX_HOST = re.compile(
    r"https?://[^\s\"'>)]*/simple\b|--(?:extra-)?index-url|--trusted-host|--find-links|files\.python" + r"hosted\.org")
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-fuzz.lock")


def findings(text: str) -> list[str]:
    return [match[0] for pattern in (MACHINE_PATH, INDEX_HOST) for match in pattern.finditer(text)]


def text_of(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace")


def test_no_file_names_a_machine_or_a_package_index(tracked: list[Path], root: Path) -> None:
    here = Path(__file__)
    found = [
        f"{path.relative_to(root)}: {finding}" for path in tracked if path != here
        for finding in findings(text_of(path))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("text", [
    "/home/ada/shop", "data = '/root/.cache'", "--index-url https://x", "https://index.example/simple/numpy",
])
def test_such_a_name_is_found(text: str) -> None:
    assert findings(text)


@pytest.mark.parametrize("text", ["../shared/data", "/v1/decide", "https://example.com/home/page", "~/projects/shop"])
def test_an_innocent_text_is_let_through(text: str) -> None:
    assert not findings(text)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_requirement_has_its_version_and_hashes(lock: str, root: Path) -> None:
    text = (root / lock).read_text().replace("\\\n", " ")
    requirements = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert requirements
    assert "://" not in text
    for requirement in requirements:
        assert re.match(r"[a-z0-9-]+(\[[a-z,]+\])?==\S+", requirement), requirement
        assert "--hash=sha256:" in requirement, requirement


def test_the_development_lock_holds_the_runtime_lock(root: Path) -> None:
    pinned = [set(re.findall(r"^[a-z0-9-]+==\S+", (root / lock).read_text(), re.MULTILINE)) for lock in LOCKS]
    assert pinned[0] <= pinned[1], pinned[0] - pinned[1]


def test_every_declared_requirement_is_locked(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    declared = {re.match(r"[\w-]+", one)[0].lower() for one in project["dependencies"]}
    locked = set(re.findall(r"^([a-z0-9-]+)==", (root / "requirements.lock").read_text(), re.MULTILINE))
    assert declared <= locked, declared - locked
