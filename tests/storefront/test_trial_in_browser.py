"""`instanter try` as somebody uses it: the command, then the page with their own products, in a browser."""

import csv
import gzip
import io
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import pytest

from ..browser import PHONE, check_page, keep_screenshot
from .street import ROOM, Visit

DATA = Path(__file__).parents[3] / "shared" / "data"
ROWS = 8_000
ADDRESS = re.compile(r"in a shop that adapts[^:]*: (http://\S+)")
END_S_MAX = 60.0


def of_our_own(folder):
    """A shop that nobody's words describe: a German price list, and clicks of a tracker of its own."""
    sorts = ["Zelte", "Kocher", "Jacken", "Rucksäcke", "Stirnlampen"]
    feed = io.StringIO()
    table = csv.writer(feed, delimiter=";")
    table.writerow(["Artikelnummer", "Bezeichnung", "Warengruppe", "VK brutto", "Bestand"])
    for n in range(100):
        table.writerow([f"A{n:04}", f"{sorts[n % 5]} Größe {n}", sorts[n % 5], f"{20 + n},95", 3])
    (folder / "artikel.csv").write_bytes(feed.getvalue().encode("latin-1"))
    names = ("pdp_view", "pdp_view", "pdp_view", "atc")
    clicks = (
        {"ts": f"2026-11-{1 + n // 100:02} {10 + n % 100 // 10}:{n % 10}0:00", "visitor": f"v{n // 8}",
         "sku": f"A{(n // 8 % 5 + 5 * (n * 7 % 20)):04}", "action": names[n % 4]}
        for n in range(2_400)
    )  # fmt: skip
    (folder / "klicks.jsonl").write_text("".join(json.dumps(one) + "\n" for one in clicks))
    return [folder / "artikel.csv", folder / "klicks.jsonl"]


def of_films(folder):
    """A catalogue and ratings."""
    return [cut(folder, "movielens_100k/items.csv.gz", 2_000), cut(folder, "movielens_100k/ratings.csv.gz", ROWS)]


def of_sessions(folder):
    """Clicks alone, of sessions without people."""
    return [cut(folder, "serenade_toy/train.tsv.gz", ROWS)]


def cut(folder, name, rows):
    """The first rows of a file of the shared data."""
    source = DATA / name
    if not source.is_file():
        pytest.skip(f"../shared/data has no {name}")
    target = folder / source.name.removesuffix(".gz")
    with gzip.open(source, "rt", encoding="utf-8") as lines:
        target.write_text("".join(islice(lines, rows)), encoding="utf-8")
    return target


def hear_ctrl_c():
    """Also where the tests run behind a shell that goes on, which has its children ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def tried(files, out):
    """The command, as long as it shows its page; gives the page's address."""
    command = [sys.executable, "-m", "instanter.ops.cli.main", "try", *map(str, files), "--yes", "--steps", "50",
               "--out", str(out)]  # fmt: skip
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "COLUMNS": "200"},
        preexec_fn=hear_ctrl_c,
    ) as process:
        printed = []
        try:
            for line in process.stdout:
                printed.append(line)
                if found := ADDRESS.search(line):
                    yield found[1]
                    break
            else:
                pytest.fail("".join(printed))
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.communicate(timeout=END_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


@pytest.mark.slow
@pytest.mark.parametrize("files", [of_our_own, of_films, of_sessions])
def test_a_page_with_products_of_any_file_adapts(files, tmp_path, new_page):
    with tried(files(tmp_path), tmp_path / "out") as url:
        visitor = Visit(SimpleNamespace(url=url), new_page())
        before = visitor.go("/").shown("home.recommended")
        assert len(before) > 3
        check_page(visitor.page)
        for item_id in before[:3]:
            visitor.go(f"/p/{item_id}")
        check_page(visitor.page)
        after = visitor.go("/").shown("home.recommended")
        assert visitor.rung() in ("personal", "session")
        assert after
        assert after != before
        keep_screenshot(visitor.page, ROOM, f"trial-{files.__name__}")
        phone = Visit(visitor.street, new_page(theme="dark", width=PHONE)).go("/")
        check_page(phone.page)
