"""Build the site of the docs: every page of this checkout, with a search over all of them.

    python tools/site.py build            writes build/site; exit code 1, with the places, if a link leads nowhere

The pages keep the places that they have here, so a link means the same in a checkout and on the site. What a page links
to that is no page, a folder or a file of the code, is not on the site: its text stands there without the link.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parents[1]
CONFIG = "docs/site.toml"
ON_THE_SITE = {".md", ".png", ".svg", ".webp"}
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


def tracked() -> list[Path]:
    """What of this checkout is on the site, as paths from its root."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True)
    names = (Path(line) for line in listed.stdout.splitlines())
    return sorted(name for name in names if name.suffix in ON_THE_SITE and (ROOT / name).is_file() and is_page(name))


def is_page(name: Path) -> bool:
    """Whether something stands where readers look.

    >>> is_page(Path("docs/tour.md")), is_page(Path("README.md")), is_page(Path("src/instanter/events/lists/README.md"))
    (True, True, False)
    """
    return len(name.parts) == 1 or name.parts[0] in ("docs", "examples")


def without_foreign_links(text: str, *, page: Path, pages: set[Path]) -> str:
    """A page's text in which links to what is not on the site are their text alone; code is left as it is.

    >>> without_foreign_links("[a](b.md), [c](src/d.py), [e](https://f)", page=Path("x.md"), pages={Path("b.md")})
    '[a](b.md), c, [e](https://f)'
    """
    def kept(match: re.Match[str]) -> str:
        name = unquote(match[3]).partition("#")[0]
        if not name or re.match(r"[a-z][a-z0-9+.-]*:", name):
            return match[0]
        there = (ROOT / page.parent / name).resolve()
        return match[0] if there.is_relative_to(ROOT) and there.relative_to(ROOT) in pages else match[2]

    parts = FENCE.split(text)
    return "".join(part if part.startswith("```") else LINK.sub(kept, part) for part in parts)


def build(folder: Path) -> int:
    """Write the site to `folder`/site; the generator's exit code."""
    staged = folder / "pages"
    shutil.rmtree(staged, ignore_errors=True)
    names = tracked()
    for name in names:
        target = staged / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if name.suffix == ".md":
            text = (ROOT / name).read_text(encoding="utf-8")
            target.write_text(without_foreign_links(text, page=name, pages=set(names)), encoding="utf-8")
        else:
            shutil.copyfile(ROOT / name, target)
    shutil.copyfile(ROOT / CONFIG, folder / "zensical.toml")
    ran = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--clean", "--strict"], cwd=folder, capture_output=True, text=True,
        check=False)
    if ran.returncode != 0:
        print(ran.stdout, ran.stderr, sep="\n", file=sys.stderr)
    return ran.returncode


def main() -> int:
    """Build the site, and say where it lies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where it is built")
    folder = parser.parse_args().folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    status = build(folder)
    if status == 0:
        print(f"the site is at {(folder / 'site' / 'index.html').as_uri()}")
    return 1 if status else 0


if __name__ == "__main__":
    sys.exit(main())
