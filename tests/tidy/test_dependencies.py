"""What Instanter depends on: the bill and the page are of today's locks, licences are permissive, no version that an
advisory names is locked, and one that would be is found."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="module")
def tool(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("dependencies", root / "tools" / "dependencies.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def packages(tool: ModuleType) -> Any:
    return tool.locked()


def test_the_bill_and_the_page_are_of_the_locks(tool: ModuleType, packages: Any, root: Path) -> None:
    stale = "run make docs"
    assert (root / "sbom.cdx.json").read_text() == tool.bill_text(packages, tool.vendored()), stale
    page = tool.page(packages, tool.vendored(), tool.read_advisories())
    assert (root / "docs" / "dependencies.md").read_text() == page, stale


def test_every_file_of_others_stands_in_the_bill_with_its_hash(tool: ModuleType, root: Path) -> None:
    bill = json.loads((root / "sbom.cdx.json").read_text())
    told = {
        file["name"]: file["hashes"][0]["content"]
        for one in bill["components"] if one["purl"].startswith("pkg:npm/") for file in one["components"]
    }
    there = [path for path in (root / tool.VENDOR).iterdir() if path.suffix in (".js", ".css")]
    assert len(there) > 1
    assert told == {f"{tool.VENDOR}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest() for path in there}
    libraries = tool.vendored()
    assert [(one.name, one.licence) for one in libraries] == [("htmx.org", "0BSD"), ("uplot", "MIT")]
    assert all(tool.is_permissive(one.licence) for one in libraries)
    for one in libraries:
        assert all(one.version in file for file in one.files), "the name of the file says the version, too"


def test_every_locked_package_stands_in_the_bill_once(tool: ModuleType, packages: Any, root: Path) -> None:
    bill = json.loads((root / "sbom.cdx.json").read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    refs = [one["bom-ref"] for one in bill["components"]]
    assert len(refs) == len(set(refs))
    for file in ("requirements.lock", "requirements-dev.lock", "requirements-fuzz.lock"):
        for line in (root / file).read_text().splitlines():
            if "==" in line and not line.startswith((" ", "#")):
                name, _, version = line.removesuffix(" \\").partition("==")
                assert f"pkg:pypi/{name.lower().replace('_', '-')}@{version.strip()}" in refs


def test_every_licence_is_permissive(tool: ModuleType, packages: Any) -> None:
    assert [f"{one.name}: {one.licence}" for one in packages if not tool.is_permissive(one.licence)] == []


def test_no_locked_version_is_one_that_an_advisory_names(tool: ModuleType, packages: Any) -> None:
    assert tool.concerned(packages, tool.read_advisories()) == []


def test_every_advisory_is_of_a_locked_package_and_says_since_when(tool: ModuleType, packages: Any) -> None:
    names = {one.name for one in packages}
    for advisory in tool.read_advisories()["vulnerabilities"]:
        assert advisory["id"].startswith("CVE-") or advisory["aliases"]
        for affected in advisory["affected"]:
            assert affected["package"]["name"] in names, advisory["id"]
            assert all(one["events"][0].keys() == {"introduced"} for one in affected["ranges"])


@pytest.mark.parametrize(("name", "version", "is_found"), [
    ("starlette", "0.39.9", True), ("starlette", "0.40.0", True), ("starlette", "0.49.0", True),
    ("starlette", "1.0.0", True), ("starlette", "1.0.1", False), ("granian", "2.7.3", True),
    ("h11", "0.16.0rc1", True), ("h11", "0.16.0", False), ("pyjwt", "2.12.0", False),
    ("pyjwt", "2.9.0", True), ("numpy", "1.0", False), ("PyJWT", "2.3.0", False),
])  # fmt: skip
def test_a_planted_version_is_found(name: str, version: str, is_found: bool, tool: ModuleType) -> None:
    """Names are compared as the locks have them, in canonical form."""
    planted = [tool.Package(name, version, "required", "MIT")]
    assert bool(tool.concerned(planted, tool.read_advisories())) is is_found


@pytest.mark.parametrize(("version", "affected", "is_in"), [
    ("1.0", {"versions": ["1.0.0"]}, True), ("1.0.post1", {"versions": ["1.0"]}, False),
    ("1.5", {"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"last_affected": "1.5"}]}]}, True),
    ("1.6", {"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"last_affected": "1.5"}]}]}, False),
    ("2.1", {"ranges": [{"type": "ECOSYSTEM", "events": [
        {"introduced": "1"}, {"fixed": "1.5"}, {"introduced": "2"}, {"fixed": "2.2"}]}]}, True),
    ("1.7", {"ranges": [{"type": "ECOSYSTEM", "events": [
        {"introduced": "1"}, {"fixed": "1.5"}, {"introduced": "2"}, {"fixed": "2.2"}]}]}, False),
    ("1.0", {"ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]}, False),
])  # fmt: skip
def test_a_version_is_held_against_a_range_as_osv_says(
    version: str, affected: Any, is_in: bool, tool: ModuleType
) -> None:
    assert tool.is_affected(version, affected) is is_in


@pytest.mark.parametrize("content", [
    b"", b"[]", b"{", b'{"as_of": "\xff"}', b"[" * 5_000, b'{"as_of": "2026-01-01", "vulnerabilities": [{"id": "x"}]}',
    b'{"as_of": "x", "vulnerabilities": [{"id": "x", "summary": "y", "affected": [{"package": {"ecosystem": "PyPI", '
    b'"name": "z"}, "ranges": [{"type": "ECOSYSTEM", "events": [{"fixed": "no version"}]}]}]}]}',
])  # fmt: skip
def test_a_file_that_holds_no_advisories_is_told_as_that(content: bytes, tool: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "advisories.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"advisories\.json is no file of advisories"):
        tool.read_advisories(path)


def test_an_advisory_that_was_withdrawn_names_nothing(tool: ModuleType) -> None:
    advisories = tool.read_advisories()
    planted = [tool.Package("starlette", "0.1", "required", "MIT")]
    assert tool.concerned(planted, advisories)
    for advisory in advisories["vulnerabilities"]:
        advisory["withdrawn"] = "2025-01-01T00:00:00Z"
    assert tool.concerned(planted, advisories) == []


def test_check_ends_with_1_where_a_version_is_named(
    tool: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tool.main("check") == 0
    monkeypatch.setattr(tool, "locked", lambda: [tool.Package("h11", "0.14.0", "excluded", "MIT")])
    assert tool.main("check") == 1
    assert "h11 0.14.0: GHSA-vqfr-h8mv-ghfj" in capsys.readouterr().out
