"""Clients as npm and PyPI have them, a shop that they send to, and a Chromium for those that live in pages."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..faults.conftest import nursery as nursery
from ..faults.keyed import KeyedSite
from ..faults.servers import Nursery
from .between import Between
from .chromium import Pages, chromium
from .shop import Shop

HERE = Path(__file__).parent
BUILD = HERE.parents[1] / "build" / "clients"
INSTALL_S_MAX = 300


@pytest.fixture(scope="session")
def modules() -> Path:
    """The folder of what `package-lock.json` names, installed on first use."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed: apt-get install nodejs npm")
    digest = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    stamp = BUILD / "installed"
    if not stamp.is_file() or stamp.read_text() != digest:
        BUILD.mkdir(parents=True, exist_ok=True)
        stamp.unlink(missing_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(HERE / name, BUILD / name)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(
            command, cwd=BUILD, capture_output=True, text=True, check=False, timeout=INSTALL_S_MAX,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if done.returncode:
            pytest.skip(f"npm cannot install the clients, is its registry in reach? {done.stderr.strip()[-300:]}")
        stamp.write_text(digest)
    return BUILD / "node_modules"


@pytest.fixture(scope="session")
def site_of_pages() -> Iterator[Pages]:
    with Pages() as pages:
        yield pages


@pytest.fixture(scope="session")
def shop(
    nursery: Nursery, tmp_path_factory: pytest.TempPathFactory, site_of_pages: Pages
) -> Iterator[Shop]:
    config = f'[serve]\norigins = ["{site_of_pages.origins}"]\n[limits]\nrequests_per_s = 100000\n'
    site = KeyedSite(nursery, tmp_path_factory.mktemp("shop") / "site", config=config)
    admin = site.key("admin", "write", "decide", "catalog")
    secret, public = site.key("write"), site.key("write", "decide", public=True)
    with site.serve() as server:
        shop = Shop(server.port, admin=admin, secret=secret, public=public)
        yield shop
        shop.close()


@pytest.fixture
def pages(site_of_pages: Pages, modules: Path) -> Pages:
    """Pages that can be opened, or the test is skipped."""
    if chromium() is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    site_of_pages.modules = modules
    return site_of_pages


@pytest.fixture
def between(shop: Shop) -> Iterator[Between]:
    """What stands between the clients of a test and the shop."""
    with Between(shop.port) as between:
        yield between
