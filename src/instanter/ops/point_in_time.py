"""A person as they stood at a time: what a decision would have read then."""

from __future__ import annotations

from ..engine.profile import Profile, Profiles
from ..features.view import Reader
from ..foundation.errors import RequestRejected
from ..log.frames import LogPosition
from .reading import Reading
from .replaying import Place
from .settings import Config
from .wiring import schema_of


def profile_at(read: Reading, config: Config, when: Place, *, tenant: str, identifier: str) -> Profile:
    """The profile with everything folded that had been received before, its values read at that time.

    Raises `RequestRejected`: nothing was known under the identifier then, its person was erased since, or the log does
    not reach back so far (expired), or not to that position yet.
    """
    schema = schema_of(config)
    position, now_ms = _stop(read, when)
    partition = read.replay.past(schema).at(position)
    profiles = Profiles(partition, Reader(schema, config.features), read.subjects)
    return profiles.profile(tenant, identifier, now_ms=now_ms)


def _stop(read: Reading, when: Place) -> tuple[LogPosition, int]:
    """The position of the first record that is not folded, and the time to read at: of a position, when the last record
    before it was received."""
    end, newest_ms = LogPosition(0), 0
    for frame in read.log.read():
        behind = when.position is not None and frame.position >= when.position
        later = when.at_ms is not None and frame.time_ms > when.at_ms
        if behind or later:
            return frame.position, newest_ms if when.at_ms is None else when.at_ms
        end, newest_ms = LogPosition(frame.end), frame.time_ms
    if when.position is not None and when.position > end:
        raise RequestRejected("position", f"the log ends at {end}")
    return end, newest_ms if when.at_ms is None else when.at_ms
