"""The page of a trial: a server over the data directory, and a storefront with the shop's own products before it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from ...storefront.serving import running_storefront
from ..child import ChildServer, running_server


class Page(NamedTuple):
    """What stands."""

    url: str
    """Of the shop."""
    engine: ChildServer


@contextlib.contextmanager
def standing_page(
    data: Path, *, config: Path, shelf: Path, name: str, port: int = 0, watch: Callable[[int, int], None] | None = None,
) -> Iterator[Page]:  # fmt: skip
    """Both processes, ready, and stopped afterwards. `shelf` are the items as NDJSON, `port` is the shop's, 0 a free
    one. Raises `Unavailable` where one of them does not start."""
    with (
        running_server(data, config=config, watch=watch) as engine,
        running_storefront(engine.url, port=port, shelf=shelf, name=name) as shop,
    ):
        yield Page(shop.url, engine)
