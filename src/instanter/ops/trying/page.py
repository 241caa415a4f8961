"""The page of a trial: a server over the data directory, and a storefront with the shop's own products before it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from ...storefront.serving import running_storefront
from ..child import ChildServer, running_server


class Page(NamedTuple):
    """What stands."""

    url: str
    """Of the shop."""
    engine: ChildServer


class Standing:
    """One address of a shop, over one data directory after the other. Both processes end with its block."""

    def __init__(self, *, config: Path, shelf: Path, name: str, port: int = 0) -> None:
        """`shelf` are the items as NDJSON, `port` is the shop's, 0 a free one."""
        self._config, self._shelf, self._name, self._port = config, shelf, name, port
        self._engine, self._shop = ExitStack(), ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shop.close()
        self._engine.close()

    def show(self, data: Path) -> Page:
        """Serve this data directory from here on; both processes are ready on return. `Unavailable` where one does not
        start.

        What is there stands until the new server is ready, then the address is silent while a storefront starts.
        """
        with ExitStack() as opening:
            engine = opening.enter_context(running_server(data, config=self._config))
            self._shop.close()
            self._engine.close()
            self._engine = opening.pop_all()
        shop = self._shop.enter_context(
            running_storefront(engine.url, port=self._port, shelf=self._shelf, name=self._name)
        )
        self._port = shop.port
        return Page(shop.url, engine)
