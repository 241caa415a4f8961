"""The docs as a site: one command builds it, every link leads somewhere, and nothing is fetched from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FETCHED = re.compile(
    r"""<(?:script|img|iframe)[^>]+src=["']?https?:|<link[^>]+rel=["']?stylesheet[^>]+href=["']?https?:""")
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(scope="module")
def site(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    ran = subprocess.run(
        [sys.executable, root / "tools" / "site.py", folder], cwd=root, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    return folder / "site"


def paths_of(entry: Any) -> Iterator[str]:
    """The pages of a part of the navigation."""
    if isinstance(entry, str):
        yield entry
    elif isinstance(entry, dict):
        for part in entry.values():
            yield from paths_of(part)
    else:
        for part in entry:
            yield from paths_of(part)


def test_it_has_a_page_for_every_page_of_the_docs(site: Path, root: Path, tracked: list[Path]) -> None:
    pages = [path.relative_to(root) for path in tracked if path.suffix == ".md" and path.is_relative_to(root / "docs")]
    missing = [page for page in pages if not built(site, page).is_file()]
    assert pages
    assert missing == []


def built(site: Path, page: Path) -> Path:
    """Where a page of the checkout lies on the site."""
    folder = page.parent if page.name in ("README.md", "index.md") else page.with_suffix("")
    return site / folder / "index.html"


def test_every_page_can_be_searched(site: Path) -> None:
    found = (site / "search.json").read_text(encoding="utf-8")
    assert [words for words in ("From Metarank", "A five-minute tour", "of no page at all") if words not in found] == [
        "of no page at all"]


def test_nothing_on_it_is_fetched_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    fetched = {match[0] for page in pages for match in FETCHED.finditer(page.read_text(encoding="utf-8"))}
    assert pages
    assert fetched == set()


def test_the_navigation_has_every_page_but_those_that_are_found_by_links(root: Path, tracked: list[Path]) -> None:
    navigation = tomllib.loads((root / "docs" / "site.toml").read_text(encoding="utf-8"))["project"]["nav"]
    listed = set(paths_of(navigation))
    pages = {path.relative_to(root).as_posix() for path in tracked if path.suffix == ".md"}
    assert listed <= pages
    left_out = {page for page in pages - listed if page.startswith(("docs/", "examples/"))}
    assert {page for page in left_out if not page.startswith("docs/decisions/") and page != "docs/README.md"} == set()


def test_a_link_that_leads_nowhere_ends_the_build(root: Path, tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "README.md").write_text("# A\n\n[gone](gone.md)\n", encoding="utf-8")
    (tmp_path / "zensical.toml").write_text('[project]\nsite_name = "A"\ndocs_dir = "pages"\n', encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"], cwd=tmp_path, capture_output=True, text=True,
        check=False)
    assert ran.returncode != 0
    assert "gone.md" in COLOURS.sub("", ran.stdout + ran.stderr)
