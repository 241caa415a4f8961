"""A writer to be killed: commits the names it reads, one a line, and answers each once it is durable.

python killed_writer.py DIRECTORY KILL_AT before|after: dies by SIGKILL at that sync of a commit (0 = never).
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from instanter.foundation.disk import RealDisk, WritableFile
from instanter.log.commit import Durable, GroupCommitter, Refused
from instanter.log.segment_log import SegmentLog


class _DeadlyFile:
    def __init__(self, file: WritableFile, disk: "DeadlyDisk") -> None:
        self.write = file.write
        self.truncate = file.truncate
        self.close = file.close
        self.is_at = file.is_at
        self._sync = file.sync
        self._disk = disk

    def sync(self) -> None:
        self._disk.syncs += 1
        deadly = self._disk.syncs == self._disk.kill_at
        if deadly and self._disk.when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        self._sync()
        if deadly:
            os.kill(os.getpid(), signal.SIGKILL)


class DeadlyDisk(RealDisk):
    """Kills the process at one of its syncs."""

    def __init__(self, kill_at: int, when: str) -> None:
        self.kill_at = kill_at
        self.when = when
        self.syncs = 0

    def open(self, path: Path) -> WritableFile:
        return _DeadlyFile(super().open(path), self)


async def serve(directory: Path, disk: RealDisk) -> None:
    loop = asyncio.get_running_loop()

    def acknowledge(group: Durable[bytes]) -> None:
        os.write(1, b"".join(name + b"\n" for name in group.carried))

    def refuse(refused: Refused[bytes]) -> None:
        raise refused.error

    log = SegmentLog(disk, directory, segment_bytes=2_000)
    committer: GroupCommitter[bytes] = GroupCommitter(log, sync_window_ms=1, on_durable=acknowledge, on_refused=refuse)
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    os.write(1, b"ready\n")
    while name := (await lines.readline()).rstrip(b"\n"):
        committer.append(1, 1, name, name)


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), DeadlyDisk(int(sys.argv[2]), sys.argv[3])))
