"""A server with a shop's data in it, for browsers; and the same application in this process, for what HTTP says."""

from __future__ import annotations

from ..browser import axe_source as axe_source
from ..browser import browser as browser
from ..browser import new_page as new_page
from ..faults.conftest import nursery as nursery
from .stall import stall as stall
