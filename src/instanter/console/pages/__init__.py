"""The pages, in the order in which they are offered. One module for each; a new one is a module and its name here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..views import Page
from . import audit, catalogue, jobs, keys, live, models, quarantine

PAGES: Final[Sequence[Page]] = (
    live.PAGE, catalogue.PAGE, models.PAGE, quarantine.PAGE, audit.PAGE, keys.PAGE, jobs.PAGE,
)  # fmt: skip
