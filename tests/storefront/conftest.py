"""Servers and browsers for the tests of the shop's pages."""

from __future__ import annotations

import io
from contextlib import ExitStack

import pytest
from rich.console import Console

from instanter.foundation.clock import SystemClock
from instanter.ops.child import running_server
from instanter.ops.cli.demo import CONFIG, NEWS_CONFIG, load_news, play
from instanter.storefront.serving import running_storefront

from ..browser import axe_source as axe_source
from ..browser import browser as browser
from ..browser import new_page as new_page
from .street import SHOP, Street, Visit


@pytest.fixture(scope="package")
def street(tmp_path_factory):
    folder = tmp_path_factory.mktemp("street")
    with ExitStack() as closing:
        config = folder / "shop.toml"
        config.write_text(f"{CONFIG.read_text()}\n[decide]\nexploration = 0.0\n")
        server = closing.enter_context(running_server(folder / "shop", config=config))
        play(server.url, shop=SHOP, out=Console(file=io.StringIO()), clock=SystemClock())
        news = closing.enter_context(running_server(folder / "news", config=NEWS_CONFIG))
        load_news(news.url, clock=SystemClock())
        yield Street(server, news, closing.enter_context(running_storefront(server.url, news=news.url)))


@pytest.fixture
def visit(street, new_page):
    """Opens the shop as somebody new: `visit(theme=..., width=...)`."""
    return lambda **more: Visit(street, new_page(**more))
