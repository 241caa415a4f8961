"""The pages, in the order in which they are offered. One module for each; a new one is a module and its name here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..views import Page
from . import audit, catalogue, decisions, jobs, keys, live, models, people, quarantine

PAGES: Final[Sequence[Page]] = (
    live.PAGE, people.PAGE, decisions.PAGE, catalogue.PAGE, models.PAGE, quarantine.PAGE, audit.PAGE, keys.PAGE,
    jobs.PAGE,
)  # fmt: skip
