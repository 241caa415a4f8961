"""Servers in a hurry: everything is imported and every kernel loaded once, then each server is a fork of this process.

python nursery.py: reads one JSON object a line, answers one. {"start": [argument, ...]} forks `instanter` with these
arguments and answers {"pid": n}; {"poll": n} answers {"status": exit code or null}, negative for a signal. Ends with
its standard input, and takes the servers that are left with it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from pathlib import Path

from instanter.ops.cli.main import main
from instanter.ops.settings import Config, StateSettings
from instanter.ops.wiring import open_engine


def warm() -> None:
    """Load the kernels, which every fork then has."""
    with tempfile.TemporaryDirectory() as directory:
        open_engine(Config(state=StateSettings(memory_mb=64)), Path(directory), may_make_master_key=True)


def start(arguments: list[str]) -> int:
    """Fork a server; its process id."""
    pid = os.fork()
    if pid:
        return pid
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    code = 70
    try:
        code = main(arguments)
    finally:
        sys.stderr.flush()
        os._exit(code)


def poll(pid: int) -> int | None:
    """The exit code of a server, once it has ended."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def obey() -> None:
    running: set[int] = set()
    print(json.dumps({"warm": True}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if "start" in order:
            pid = start(order["start"])
            running.add(pid)
            print(json.dumps({"pid": pid}), flush=True)
        else:
            status = poll(order["poll"])
            if status is not None:
                running.discard(order["poll"])
            print(json.dumps({"status": status}), flush=True)
    for pid in running:
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    warm()
    obey()
