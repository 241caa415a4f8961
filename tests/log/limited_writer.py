"""A writer under RLIMIT_FSIZE: fills a segment up to it, goes on once it is lifted, prints its accounts."""

import json
import resource
import signal
import sys
from pathlib import Path

from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import DiskFull
from instanter.log.commit import commit_now
from instanter.log.segment_log import SegmentLog


def write(log: SegmentLog, names: list[str], acked: list[str]) -> list[str]:
    """Commit each name as a group; returns those refused for want of room."""
    refused = []
    for name in names:
        try:
            commit_now(log, [(1, 1, name.encode() * 100)])
            acked.append(name)
        except DiskFull:
            refused.append(name)
    return refused


def main(directory: Path) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    log = SegmentLog(RealDisk(), directory, segment_bytes=1 << 20)
    acked: list[str] = []
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    refused = write(log, [f"{number:03}" for number in range(50)], acked)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    refused_later = write(log, [f"{number:03}" for number in range(50, 100)], acked)
    print(json.dumps({"acked": acked, "refused": refused, "refused_later": refused_later}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
