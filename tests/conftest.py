"""What all tests share."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

settings.register_profile("instanter", deadline=None)
settings.load_profile("instanter")


@pytest.fixture(scope="session")
def full() -> bool:
    """Whether the fault tests run with their full counts (`make faults`) or cut short (`make test`)."""
    return os.environ.get("INSTANTER_FULL") == "1"
