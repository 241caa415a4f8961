"""What all tests share."""

from __future__ import annotations

import ctypes
import gc
import logging
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from hypothesis import HealthCheck, settings

from . import leaks, reliability

FULL = os.environ.get("INSTANTER_FULL") == "1"
LONG = os.environ.get("INSTANTER_LONG") == "1"

for _name, _examples in (("full", 100), ("short", 30), ("unit", 10)):
    settings.register_profile(
        _name, deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=_examples
    )
# `make faults` draws more for whatever does not say how much it needs, `make unit` less.
settings.load_profile("full" if FULL else "short")
# It logs whole addresses, and keys may stand in those: a command that ran in this process may have let it speak.
logging.getLogger("httpx").setLevel(logging.WARNING)

About = Callable[..., AbstractContextManager[None]]
Figures = Callable[..., None]
InTime = Callable[[float, float], bool]
"""See the fixture `in_time`."""
PATIENCE = 20
_MMAP_THRESHOLD = -3
"""A parameter of `mallopt`."""
_LARGE_BYTES = 1 << 20


def pytest_addoption(parser: pytest.Parser) -> None:
    reliability.pytest_addoption(parser)


def pytest_configure(config: pytest.Config) -> None:
    reliability.pytest_configure(config)
    leaks.pytest_configure(config)
    map_large_blocks()


def map_large_blocks() -> None:
    """Take large blocks from the system, which has cleared them, and give them back when they are freed.

    The C library does so until the first of them is freed. From then on it keeps those, and clears each anew, mostly
    for nothing: the tables of an engine are tens of MiB, of which a test touches little. Servers open one engine each,
    in processes of their own, and stay as they are.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without `make faults-long` the tests that take many minutes are not even listed as skipped."""
    if not LONG:
        left_out = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_collection_finish() -> None:
    """What is there before the first test stays: no later collection of garbage has to look at it."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, bool, bool]:
    """Engines and states that tests left behind in cycles go at the end of each file, not only when there are GiB."""
    done = yield
    if nextitem is None or nextitem.path != item.path:
        gc.collect()
    return done


@pytest.fixture(scope="session")
def full() -> bool:
    """Whether the fault tests run with their full counts (`make faults`) or cut short (`make test`)."""
    return FULL


@pytest.fixture(scope="session")
def in_time(full: bool) -> InTime:
    """`in_time(took_s, most_s)`: whether something took no longer than was promised.

    Cut short, the tests run under `nice`, beside others, on any machine: only what takes twenty times as long fails.
    """
    return lambda took_s, most_s: took_s <= most_s * (1 if full else PATIENCE)


@pytest.fixture
def figures(record_property: Callable[[str, object], None]) -> Figures:
    """What a test of a row measured, for docs/reliability.md: `figures(kills=25, lost=0, ready_s_max=0.4)`.

    Whole numbers of all tests of a row are added up there; `_max` and `_min` at the end of a name say otherwise.
    """

    def note(**measured: object) -> None:
        for name, value in measured.items():
            record_property(name, value)

    return note


@pytest.fixture
def about(record_property: Callable[[str, object], None]) -> About:
    """`with about("P4"):` around the asserts that show these promises, and no others.

    When it ends without a failure they are shown, so what is found in a loop is asserted behind it.
    """

    @contextmanager
    def speaking(*promises: str) -> Iterator[None]:
        try:
            yield
        except reliability.ASSERTED:
            record_property(reliability.BROKEN, promises)
            raise
        record_property(reliability.SHOWN, promises)

    return speaking
