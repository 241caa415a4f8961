"""What all tests share."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

from . import leaks, reliability

settings.register_profile("instanter", deadline=None)
settings.load_profile("instanter")

LONG = os.environ.get("INSTANTER_LONG") == "1"


def pytest_addoption(parser: pytest.Parser) -> None:
    reliability.pytest_addoption(parser)


def pytest_configure(config: pytest.Config) -> None:
    reliability.pytest_configure(config)
    leaks.pytest_configure(config)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without `make faults-long` the tests that take many minutes are not even listed as skipped."""
    if not LONG:
        left_out = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def full() -> bool:
    """Whether the fault tests run with their full counts (`make faults`) or cut short (`make test`)."""
    return os.environ.get("INSTANTER_FULL") == "1"


@pytest.fixture(scope="session")
def long() -> bool:
    """Whether this is `make faults-long`. A test that has only a long form is marked `long` instead."""
    return LONG
