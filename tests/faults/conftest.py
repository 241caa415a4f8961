"""Servers for the fault tests, and what they leave behind when they end."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..conftest import About as About
from ..conftest import InTime as InTime
from ..leaks import watch
from .accountant import Accountant
from .servers import RARELY_S, Nursery, Site

MakeSite = Callable[..., Site]
Figures = Callable[..., None]
"""See the fixture `figures`."""


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    path = tmp_path_factory.mktemp("nursery") / "stderr"
    with path.open("wb") as stderr:
        watch(path)
        nursery = Nursery(stderr)
        yield nursery
        nursery.close()


@pytest.fixture
def make_site(nursery: Nursery, tmp_path: Path) -> Iterator[MakeSite]:
    """Makes data directories whose servers end with the test."""
    sites: list[Site] = []

    def make(name: str = "site", *, checkpoint_s: int = RARELY_S, data: Path | None = None) -> Site:
        root = tmp_path / name
        root.mkdir()
        sites.append(Site(nursery, root, checkpoint_s=checkpoint_s, data=data))
        return sites[-1]

    yield make
    for site in sites:
        site.close()


@pytest.fixture
def accountant(tmp_path: Path) -> Iterator[Accountant]:
    """One set of books for the test."""
    accountant = Accountant(tmp_path)
    yield accountant
    accountant.close()


@pytest.fixture(scope="session")
def strace() -> str:
    """The path of strace, or the test is skipped."""
    found = shutil.which("strace")
    if found is None:
        pytest.skip("strace is not installed: faults cannot be put at a chosen system call")
    return found
