"""Docs that cannot lie: links lead somewhere, generated pages are up to date, settings and verbs are described."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from instanter.ops import reference
from instanter.ops.cli.main import VERBS
from instanter.ops.config import sections

LINK = re.compile(r"\[[^\]\n]*\]\(\s*<?([^)\s>]+)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
SETTINGS_MAX = 44


def anchors(text: str) -> set[str]:
    """The fragments by which a page's headings are linked."""
    headings = re.findall(r"^#{1,6} +(.+?) *#*$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> list[str]:
    """Relative links of a page that lead to no file or no heading."""
    broken = []
    for link in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        name, _, fragment = unquote(link).partition("#")
        target = page.parent / name if name else page
        is_lost = not target.exists() or (
            fragment and target.suffix == ".md" and fragment not in anchors(target.read_text(encoding="utf-8")))
        broken += [link] if is_lost else []
    return broken


def test_every_relative_link_leads_somewhere(tracked: list[Path], root: Path) -> None:
    found = [
        f"{page.relative_to(root)}: {link}" for page in tracked if page.suffix == ".md" for link in broken_links(page)
    ]
    assert not found, "\n".join(found)


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A [heading]\n[self](#a-heading) [gone](gone.md) [lost](page.md#lost) [out](https://example.com)\n")
    assert broken_links(page) == ["gone.md", "page.md#lost"]


def test_the_page_on_configuration_is_what_the_types_say(root: Path) -> None:
    written = (root / "docs/configuration.md").read_text(encoding="utf-8")
    assert written == reference.page(), "run `make docs`"


def test_every_setting_is_on_the_page() -> None:
    page = reference.page()
    names = [f"{section}.{name}" for section, kind in sections() for name in kind.__struct_fields__]
    assert [name for name in names if f"| `{name}` |" not in page] == []
    assert len(names) <= SETTINGS_MAX


def test_every_verb_is_in_the_docs(tracked: list[Path]) -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in tracked if page.suffix == ".md")
    assert [verb.name for verb in VERBS if f"instanter {verb.name}" not in text] == []
