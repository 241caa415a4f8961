"""Rewrites src/instanter/events/lists/ from the lists' own files. Run it when a list has a new version.

    python tools/vendor_lists.py [FOLDER]

FOLDER (default ../shared/data/enrichment) holds `crawler-user-agents/` and `matomo-lists/` as published. The
originals are YAML and JSON with fields that the engine does not read; what is written here is the part it does
read, so that a server loads it in a few milliseconds and needs no YAML parser for it.
"""

from __future__ import annotations

import gzip
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
LISTS = ROOT / "src" / "instanter" / "events" / "lists"

AMENDED = {
    "Butterfly": r"Butterfly\/",
    "speedy": r"[sS]peedy(_| )?[sS]pider",
    "Sonic": r"(RankSonic|(^|[ ;])Sonic\/)",
    "008\\/": r"^008\/",
}
"""Patterns that also match telephones people hold (HTC Butterfly, ViewSonic ...), narrowed to the crawler."""


def crawler_patterns(folder: Path) -> list[str]:
    """The patterns in the order published, amended where they match people's devices."""
    with gzip.open(folder / "crawler-user-agents.json.gz") as file:
        entries: list[dict[str, Any]] = json.load(file)
    unknown = set(AMENDED) - {entry["pattern"] for entry in entries}
    if unknown:
        raise SystemExit(f"no longer published, take it out of AMENDED: {sorted(unknown)}")
    return [AMENDED.get(entry["pattern"], entry["pattern"]) for entry in entries]


def referrer_hosts(folder: Path) -> dict[str, dict[str, list[str]]]:
    """Class -> name -> hosts; `{}` in a host stands for any country or top-level domain."""
    engines = yaml.safe_load((folder / "SearchEngines.yml").read_text("utf-8"))
    return {
        "search": {name: [url for entry in entries for url in entry["urls"]] for name, entries in engines.items()},
        "social": yaml.safe_load((folder / "Socials.yml").read_text("utf-8")),
        "ai_assistant": yaml.safe_load((folder / "AIAssistants.yml").read_text("utf-8")),
    }


def write(name: str, content: Any) -> None:
    """One compact JSON file under lists/."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    (LISTS / name).write_text(text + "\n", "utf-8")


def main(folder: Path) -> None:
    """Rewrite every list and the licences they came with."""
    LISTS.mkdir(exist_ok=True)
    write("crawlers.json", crawler_patterns(folder / "crawler-user-agents"))
    write("referrers.json", referrer_hosts(folder / "matomo-lists"))
    shutil.copyfile(folder / "crawler-user-agents" / "LICENSE", LISTS / "crawlers.LICENSE")
    shutil.copyfile(folder / "matomo-lists" / "LICENSE", LISTS / "referrers.LICENSE")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT.parent / "shared" / "data" / "enrichment")
