"""The pages, in the order in which they are offered. One module for each; a new one is a module and its name here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..views import Page
from . import jobs

PAGES: Final[Sequence[Page]] = (jobs.PAGE,)
