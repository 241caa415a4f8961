"""The process of one worker: `python -m instanter.ops.workers.worker FOLDER NUMBER COUNT ARGUMENT ...`.

Begun by the supervisor and by nobody else. Number 0 is the writer.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from functools import partial
from pathlib import Path

from ..cli import serve
from ..cli.arguments import add_json
from ..cli.main import run_verb
from .board import WRITER


class _Part:
    """A worker's part as a verb of the command line: its errors become sentences as those of `instanter serve` do."""

    def __init__(self, folder: Path, number: int, count: int) -> None:
        take_part = serve.run_writer if number == WRITER else partial(serve.run_decider, number=number)
        self.run = partial(take_part, folder=folder, count=count)

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        serve.add_arguments(parser)


def main() -> int:
    """Take part until told to stop, or until the supervisor is gone."""
    folder, number, count, *words = sys.argv[1:]
    threading.Thread(target=_end_with, args=(sys.stdin.fileno(),), daemon=True).start()
    part = _Part(Path(folder), int(number), int(count))
    parser = argparse.ArgumentParser()
    part.add_arguments(parser)
    add_json(parser)
    return run_verb(part, parser.parse_args(words, argparse.Namespace(verb="serve")))


def _end_with(pipe: int) -> None:
    """End this process as SIGTERM does where the supervisor's pipe ends."""
    while os.read(pipe, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
