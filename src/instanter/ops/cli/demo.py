"""The demo's player: a shop, its traffic, and one visitor, told to a running server through its public API.

It imports nothing of the engine. Every product, reason and millisecond it prints comes out of a reply.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import batched, takewhile

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ...foundation.clock import Clock
from ...foundation.errors import Broken
from ...foundation.limits import BATCH_BYTES_MAX
from ...sim.shop import Shop
from ...sim.story import Scene, Story
from ...sim.traffic import Traffic
from ...sim.wire import Context, TrackingEvent, iso
from .connection import Connection
