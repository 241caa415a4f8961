"""Access keys of a data directory that nobody serves: found in its newest checkpoint and log, and added to the log.

This is how the first key comes about. It needs no state, no features and no master key.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from ..events.envelope import CONTROL_PARTITION, KeyIssued, KeyRevoked, encode_record, read_record
from ..events.folding import UNFIT, check_record
from ..foundation.disk import Disk
from ..foundation.errors import Broken, Corrupt
from ..log.segment_log import SegmentLog
from ..privacy.access import AccessKey, AccessKeys
from ..state.checkpoint import checkpoint_path, list_checkpoints, read_control


class KeyRing:
    """The keys as of the end of a log that is open here. Close the log afterwards."""

    def __init__(self, log: SegmentLog, *, disk: Disk, checkpoints: Path) -> None:
        """Reads the log behind the newest usable checkpoint, about a second for a million records."""
        self._log = log
        self.keys, position = _of_newest_checkpoint(log, disk, checkpoints)
        for frame in log.read(position or None):
            if frame.partition == CONTROL_PARTITION:
                record = read_record(frame.payload)
                if isinstance(record, KeyIssued | KeyRevoked) and _can_be_folded(record):
                    self._apply(record)

    def write(self, record: KeyIssued | KeyRevoked) -> None:
        """Issue or revoke; durable on return. Raises `Unavailable`."""
        group = self._log.begin()
        group.append(CONTROL_PARTITION, record.at_ms, encode_record(record))
        self._log.commit(group)
        self._apply(record)

    def _apply(self, record: KeyIssued | KeyRevoked) -> None:
        if isinstance(record, KeyIssued):
            self.keys.issue(record)
        else:
            self.keys.revoke(record)


def _can_be_folded(record: KeyIssued | KeyRevoked) -> bool:
    """What a start would pass over is passed over here."""
    try:
        check_record(record)
    except UNFIT:
        return False
    return True


def _of_newest_checkpoint(log: SegmentLog, disk: Disk, checkpoints: Path) -> tuple[AccessKeys, int]:
    """The keys of the newest checkpoint that can be used, and where it ends; none at all without one."""
    start, end = log.opened.start, log.opened.end
    for position in list_checkpoints(disk, checkpoints):
        if not start <= position <= end:
            continue
        try:
            control = read_control(disk, checkpoint_path(checkpoints, position))
            return AccessKeys(msgspec.convert(control.get("access_keys", []), list[AccessKey])), position
        except (Corrupt, msgspec.ValidationError):
            continue
    if start > 0:
        raise Broken(f"the log begins at {start} and no checkpoint at or after it can be used")
    return AccessKeys(), 0
