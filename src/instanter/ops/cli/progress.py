"""Progress of long work, on stderr, for people only: silent when nobody watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


@contextmanager
def records_progress(
    what: str, *, quiet: bool, total: int | None = None
) -> Iterator[Callable[[int, int], None] | None]:
    """A function to call with (records so far, position); None when there is nobody to show it to."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total)
        yield lambda records, position: bar.update(task, completed=records)
