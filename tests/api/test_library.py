"""`GET /instanter.js`: the library of the sources, packed where that is understood, and kept by who has it."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from .test_browsers import OTHER, SHOP, Site, with_site

LIBRARY = Path(__file__).parents[2] / "web" / "instanter.js"


@pytest.mark.parametrize("path", ["/instanter.js", "/instanter.js/"])
def test_pages_of_any_site_get_the_library_without_a_key(path: str, tmp_path: Path) -> None:
    async def work(site: Site) -> None:
        for headers in ({}, {"Origin": SHOP}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": OTHER}):
            answer = await site.http.get(path, headers={"Accept-Encoding": "identity", **headers})
            assert (answer.status_code, answer.content) == (200, LIBRARY.read_bytes())
            assert answer.headers["content-type"].startswith("text/javascript")
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "max-age" in answer.headers["cache-control"]

    with_site(tmp_path, work)


def test_a_page_of_another_site_gets_it_with_dev_too_and_nothing_else(tmp_path: Path) -> None:
    async def work(site: Site) -> None:
        headers = {"Host": "localhost", "Sec-Fetch-Site": "cross-site"}
        assert (await site.http.get("/instanter.js", headers=headers)).status_code == 200
        assert (await site.http.get("/v1/items", headers=headers)).status_code == 403

    with_site(tmp_path, work, dev=True)


def test_who_has_it_is_told_so_in_either_form(tmp_path: Path) -> None:
    async def work(site: Site) -> None:
        tags = set[str]()
        for accepted in ("gzip, br", "identity", "gzip;q=0"):
            first = await site.http.get("/instanter.js", headers={"Accept-Encoding": accepted})
            assert "Accept-Encoding" in first.headers["vary"]
            packed = first.headers.get("content-encoding") == "gzip"
            assert packed is (accepted == "gzip, br")
            tag = first.headers["etag"]
            tags.add(tag)
            for known in (tag, f'"other", W/{tag}'):
                asked = {"Accept-Encoding": accepted, "If-None-Match": known}
                again = await site.http.get("/instanter.js", headers=asked)
                assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert len(tags) == 2
        assert len(gzip.compress(LIBRARY.read_bytes(), 9)) <= 6 * 1_024

    with_site(tmp_path, work)
