"""What a trial leaves behind: a configuration, items and events as the engine takes them, and the commands to go on."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from ...decisions.placement import Placement
from ...foundation.errors import RequestRejected, Unavailable
from ..settings import Config
from .figures import PLACEMENT, K
from .history import History

CONFIG: Final = "instanter.toml"
ITEMS: Final = "items.ndjson"
EVENTS: Final = "events.ndjson"
GUESS: Final = "guess.json"
NEXT: Final = "GO-ON.md"
HERO: Final = "home.hero"
USUAL_CONFIG: Final = Config(placements=(
    Placement(id=PLACEMENT, limit=K), Placement(id=HERO, limit=1, seen_before="leave_out"),
))  # fmt: skip
"""What `configuration` says but for names of events: its kernels are those of any trial."""
_FOLDER: Final = "instanter-try"
_TRIES_MAX: Final = 1_000
_PIECE: Final = 20_000


def made_folder(asked: Path | None) -> Path:
    """The folder to write to: the one that is asked for, which must be empty, or the next free one here."""
    if asked is not None:
        if asked.exists() and (not asked.is_dir() or any(asked.iterdir())):
            raise RequestRejected("out", f"{asked} is there already: name another folder with --out")
        asked.mkdir(parents=True, exist_ok=True)
        return asked
    for number in range(1, _TRIES_MAX):
        path = Path(_FOLDER if number == 1 else f"{_FOLDER}-{number}")
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path
    raise RequestRejected("out", f"there are {_TRIES_MAX} folders {_FOLDER}-N here: name one with --out")


def configuration(*, source: str, kinds: Mapping[str, str], only_new: bool, limit: int) -> str:
    """The text of a configuration that serves this shop; `kinds` are names of events whose meaning is not known to the
    engine by itself."""
    lines = [f"# Guessed by `instanter try` from {source}. Every setting: docs/configuration.md", ""]
    if kinds:
        lines += ["# What this shop calls its events.", "[events.names]"]
        lines += [f"{_quoted(kind)} = {_quoted(meant)}" for kind, meant in kinds.items()] + [""]
    lines += ["[[placements]]", f'id = "{PLACEMENT}"', f"limit = {limit}"]
    if only_new:
        lines += ['seen_before = "leave_out"     # hardly anybody comes back to what they had']
    lines += ["", "[[placements]]", f'id = "{HERO}"', "limit = 1"]
    lines += ['seen_before = "leave_out"     # one large picture of what was just looked at says nothing new']
    return "\n".join([*lines, ""])


def _quoted(text: str) -> str:
    """A text as TOML has it, which takes the same escapes as JSON."""
    return msgspec.json.encode(text).decode().replace("\x7f", "\\u007f")


def write_items(folder: Path, items: Mapping[str, Mapping[str, Any]]) -> None:
    """The items, one a line."""
    with (folder / ITEMS).open("wb") as file:
        for item_id, fields in items.items():
            file.write(msgspec.json.encode({"id": item_id, "fields": fields}) + b"\n")


def write_events(folder: Path, history: History) -> None:
    """The acts as tracking events, one a line, with their own times."""
    with (folder / EVENTS).open("wb") as file:
        for first in range(0, len(history), _PIECE):
            part = list(history.events(first, min(first + _PIECE, len(history))))
            file.write(b"\n".join([*part, b""]))


@contextlib.contextmanager
def events_written(folder: Path, history: History | None) -> Iterator[None]:
    """While this lasts a process beside this one writes the acts; at the end they are there. `Unavailable` where that
    failed. A process, since making a million lines takes a core for seconds."""
    if history is None:
        yield
        return
    writer = multiprocessing.get_context("spawn").Process(target=write_events, args=(folder, history), daemon=True)
    writer.start()
    try:
        yield
        writer.join()
    finally:
        writer.kill()  # Which does nothing where it has ended.
    if writer.exitcode:
        raise Unavailable(f"{folder / EVENTS} could not be written")


def commands(folder: Path, *, has_events: bool) -> Sequence[str]:
    """What to do to serve this shop from here on."""
    config, data = folder / CONFIG, folder / "data"
    into = f"instanter import --config {config} --data {data}"
    return [
        f"{into} --items {folder / ITEMS}",
        *([f"{into} --events {folder / EVENTS} --history"] if has_events else []),
        f"instanter serve --dev --config {config} --data {data}",
    ]
