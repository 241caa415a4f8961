"""The little state of the tests of features serves the models too."""

from __future__ import annotations

from ..features.conftest import START_MS, TENANT, Little, little

__all__ = ["START_MS", "TENANT", "Little", "little"]
