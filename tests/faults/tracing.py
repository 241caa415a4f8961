"""Faults at a chosen system call of a running server, by strace."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def traced(strace: str, pid: int, *arguments: str, report: Path) -> Iterator[None]:
    """All threads of the process under strace from here on; `report` holds the calls, with paths, afterwards.

    `when=k` in an injection counts the calls of each thread by itself, from now on.
    """
    command = [strace, "-f", "-y", "-o", str(report), *arguments, "-p", str(pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr is not None
        line = tracer.stderr.readline()
        if "not permitted" in line:
            pytest.skip(f"faults cannot be put at a chosen system call: {line.strip()}")
        assert "attached" in line, line
        try:
            yield
        finally:
            if _is_alive(pid):
                tracer.terminate()
            else:
                tracer.kill()
            tracer.communicate()


def _is_alive(pid: int) -> bool:
    """Strace can wait for ever for a thread of a process that was killed, and then does not heed SIGTERM."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def calls(report: Path, name: str) -> list[str]:
    """The lines of the report that tell of calls by that name, in order."""
    return [line for line in report.read_text().splitlines() if f" {name}(" in f" {line}"]
