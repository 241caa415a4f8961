"""The process of a job: `python -m instanter.ops.jobs`, begun by a server and by nobody else."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Final

from ...foundation.limits import JOB_S_MAX

NICENESS: Final = 15
ALARM_S: Final = JOB_S_MAX + 60
"""The kernel ends the process then, whatever it is in the midst of; the server does so before."""
_ENDED_BY_SERVER: Final = 3


def main() -> int:
    """Step back behind everything else on the machine, take the order, and do it."""
    os.nice(NICENESS)
    signal.alarm(ALARM_S)
    with contextlib.suppress(OSError):  # Where memory runs out this process goes first.
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    told = os.dup(sys.stdout.fileno())
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Libraries print, and are none of our answers.
    order = sys.stdin.buffer.readline()
    threading.Thread(target=_end_with_server, args=(sys.stdin.fileno(),), daemon=True).start()
    from .work import do

    do(order, told)
    return 0


def _end_with_server(pipe: int) -> None:
    """End where the server's pipe ends."""
    while os.read(pipe, 1):
        pass
    os._exit(_ENDED_BY_SERVER)


if __name__ == "__main__":
    sys.exit(main())
