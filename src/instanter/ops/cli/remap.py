"""`instanter remap`: kept events that no feature heard, told again under the names and features of today."""

from __future__ import annotations

import argparse
import contextlib
from collections import Counter
from typing import Final

import msgspec

from ...engine.remapping import RemapStep
from ...foundation.limits import REMAP_NAMES_MAX
from ..child import running_server
from .arguments import add_config, add_data, add_key
from .connection import Connection
from .existing import existing
from .progress import records_progress

STEP_TIMEOUT_S: Final = 300.0
"""The first step reads the whole log, to see what has been told again."""
NAMES_SHOWN: Final = 20
FURTHER: Final = "(further names)"
_SKIPPED: Final = {
    "told_before": "had been told again before",
    "repeated": "repeat what their person had sent before",
    "erased": "are of people who were erased, or too old to be read",
    "withheld": "are of people who do not agree to it today",
    "refused": "are not taken any more by the rules of today: see `instanter quarantine` for such events",
}


class RemappedName(msgspec.Struct):
    """Events of one name, told again under another or the same."""

    event: str
    name: str
    told: int


class RemapReport(msgspec.Struct):
    """What `instanter remap` did."""

    dry_run: bool
    told: int
    """Events told again."""
    names: list[RemappedName]
    skipped: dict[str, int]
    unheard: dict[str, int]
    """Events that nobody hears still, by name."""
    elsewhere: dict[str, str]
    """Names of events that would name no item, and where their ids stand."""


class _Asked(msgspec.Struct, rename="camel"):
    after: str
    dry_run: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `instanter remap`."""
    parser.description = (
        "Tell events again that were kept and that no feature heard, under the names ([events.names]) and features\n"
        "of today. What was is not changed: records are added, and each names its first telling, so running it again\n"
        "tells nothing twice. Consent and erasures of today hold. Asks a running server (--url, an admin's key),\n"
        "which has to be started with the new configuration; or opens the data directory itself.")
    parser.epilog = (
        "examples:\n  instanter remap --config shop/instanter.toml --data shop/data --dry-run\n"
        "  instanter remap --url http://127.0.0.1:8080")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be told again")
    parser.add_argument("--url", default="", metavar="U", help="a running server; without it --data is opened")
    add_key(parser)
    add_config(parser)
    add_data(parser)


def run(arguments: argparse.Namespace) -> int:
    """Walk the log to its end, and report."""
    if arguments.url:
        report = _remap(arguments, arguments.url, key=arguments.key)
    else:
        existing(arguments)
        with running_server(arguments.data, config=arguments.config) as server:
            report = _remap(arguments, server.url)
    print(msgspec.json.encode(report).decode() if arguments.json else in_words(report))
    return 0


class Tally:
    """What the steps of a walk came to, of so many names apart."""

    def __init__(self, *, dry_run: bool) -> None:
        self._dry_run = dry_run
        self._told = Counter[tuple[str, str]]()
        self._skipped = Counter[str]()
        self._unheard = Counter[str]()
        self._elsewhere = dict[str, str]()
        self.looked = 0
        """Records of the log."""

    def add(self, step: RemapStep) -> None:
        """Count a step."""
        self.looked += step.looked
        for one in step.told:
            pair = one.event, one.name
            known = pair in self._told or len(self._told) < REMAP_NAMES_MAX
            self._told[pair if known else (FURTHER, FURTHER)] += one.told
        self._skipped.update(step.skipped)
        for name, count in step.unheard.items():
            known = name in self._unheard or len(self._unheard) < REMAP_NAMES_MAX
            self._unheard[name if known else FURTHER] += count
        for name, where in step.elsewhere.items():
            if len(self._elsewhere) < REMAP_NAMES_MAX:
                self._elsewhere[name] = where

    def report(self) -> RemapReport:
        """All of it, the most frequent names first."""
        names = [RemappedName(event, name, count) for (event, name), count in self._told.most_common()]
        return RemapReport(
            self._dry_run, self._told.total(), names, dict(self._skipped), dict(self._unheard.most_common()),
            self._elsewhere,
        )  # fmt: skip


def _remap(arguments: argparse.Namespace, url: str, *, key: str = "") -> RemapReport:
    tally, after = Tally(dry_run=arguments.dry_run), ""
    with (
        contextlib.closing(Connection(url, key=key, timeout_s=STEP_TIMEOUT_S)) as connection,
        records_progress("records", quiet=arguments.json) as progress,
    ):
        while True:
            step = connection.call("POST", "/v1/remap", _Asked(after, arguments.dry_run), reply=RemapStep)
            tally.add(step)
            if progress is not None:
                progress(tally.looked, 0)
            if step.next is None:
                return tally.report()
            after = step.next


def in_words(report: RemapReport) -> str:
    """The report for a terminal."""
    done = "would be told again" if report.dry_run else "told again"
    lines = [f"{report.told:,} kept events {done}"]
    lines += [f"  {one.event} as {one.name}: {one.told:,}" for one in report.names[:NAMES_SHOWN]]
    if len(report.names) > NAMES_SHOWN:
        lines.append(f"  and {len(report.names) - NAMES_SHOWN:,} more names")
    lines += [f"{count:,} {_SKIPPED[why]}" for why, count in report.skipped.items() if why in _SKIPPED]
    if waiting := report.skipped.get("no_item"):
        lines.append(f"{waiting:,} wait, since they would name no item, and are told once only:")
        lines += [f"  {name}: {where}" for name, where in list(report.elsewhere.items())[:NAMES_SHOWN]]
        lines.append("then run this again")
    if report.unheard:
        shown = ", ".join(f"{name} ({count:,})" for name, count in list(report.unheard.items())[:NAMES_SHOWN])
        lines.append(f"nobody hears these names still: {shown}; map them under [events.names]")
    return "\n".join(lines)
