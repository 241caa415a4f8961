"""`instanter quarantine list | show | repair | replay`: events that could not be taken, why, and another try."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ...engine.quarantine import Group, Grouping, Listing, entries, is_open, outcomes
from ...engine.repair import EntryReply, RepairExample, RepairReply, RepairRequest
from ...events.rewrite import Rewrite, Step, decode_steps
from ...foundation.errors import RequestRejected
from ...foundation.limits import REPAIR_EVENTS_MAX
from ...log.segments import SegmentReader
from ..child import running_server
from .arguments import add_config, add_data, add_key, positive
from .connection import Connection
from .existing import existing

REPAIR_TIMEOUT_S = 600.0
LIMIT_DEFAULT = 1_000
_ACTIONS = ("list", "show", "repair", "replay")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `instanter quarantine`."""
    parser.description = (
        "Events that could not be taken, late ones, and records that could not be folded.\n"
        "  list             count them by reason; only reads, also beside a server\n"
        "  show POSITION    one of them, whole\n"
        "  repair           rewrite them by the steps of --rewrite, and take them; with --dry-run only show it\n"
        "  replay           take them as they are, because what refused them has changed, or with --rewrite\n"
        "All but `list` ask a server (--url), or start one on the data directory, which nobody else may serve then.\n"
        "A rewrite is a TOML file of [[steps]] or a JSON file {\"steps\": [...]}; docs/guides/quarantine.md has all\n"
        "steps. Exit code 1 if something is still refused.")
    parser.epilog = (
        "examples:\n  instanter quarantine list --data shop/data\n"
        "  instanter quarantine show 3604 --data shop/data\n"
        "  instanter quarantine repair --rewrite fix.toml --code schema --dry-run --data shop/data\n"
        "  instanter quarantine replay --group 5d1f0c2e9a77b310 --url http://127.0.0.1:8080")
    parser.add_argument("action", choices=_ACTIONS, help="what to do")
    parser.add_argument("position", nargs="?", default="", metavar="POSITION",
                        help="one entry, by the position that `list` names; show needs it")
    parser.add_argument("--code", default="", metavar="C", help="only those with this reason, e.g. schema")
    parser.add_argument("--group", default="", metavar="G", help="only those of this group, as listed")
    parser.add_argument("--rewrite", type=Path, metavar="FILE", help="repair, replay: the steps, .toml or .json")
    parser.add_argument("--limit", type=positive, default=LIMIT_DEFAULT, metavar="N",
                        help=f"repair, replay: so many events, those of a body one by one, up to {REPAIR_EVENTS_MAX};\n"
                             "the entry that reaches it is the last (default: %(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="repair, replay: only show what would come of it")
    parser.add_argument("--url", metavar="U", help="a running server; without it --data is opened")
    add_key(parser)
    add_config(parser)
    add_data(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do it and print what came of it."""
    _check_usage(arguments)
    if arguments.action == "list":
        listing = _chosen(_listing(arguments), arguments)
        _print(listing, _listing_in_words(listing), as_json=arguments.json)
        return 0
    if arguments.action == "show":
        with _connection(arguments) as connection:
            shown = connection.call("GET", f"/v1/quarantine/{arguments.position}", reply=EntryReply)
        _print(shown, _entry_in_words(shown), as_json=arguments.json)
        return 0
    asked = RepairRequest(
        _steps(arguments.rewrite), code=arguments.code, group=arguments.group, position=arguments.position,
        limit=arguments.limit, dry_run=arguments.dry_run,
    )  # fmt: skip
    with _connection(arguments) as connection:
        done = connection.call("POST", "/v1/quarantine/repair", asked, reply=RepairReply)
    _print(done, _repair_in_words(done), as_json=arguments.json)
    return 1 if done.refused else 0


def _check_usage(arguments: argparse.Namespace) -> None:
    position = arguments.position
    if position and not (position.isascii() and position.isdigit()):
        raise RequestRejected("usage", "a position is a number, as `instanter quarantine list` names it")
    if arguments.action == "show" and not position:
        raise RequestRejected("usage", "show takes the position of an entry")
    if arguments.action == "repair" and arguments.rewrite is None:
        raise RequestRejected("usage", "repair takes --rewrite FILE; replay takes them as they are")
    if arguments.limit > REPAIR_EVENTS_MAX:
        raise RequestRejected("usage", f"--limit is at most {REPAIR_EVENTS_MAX}")


def _steps(path: Path | None) -> list[Step]:
    """The steps of a file, checked before anything is asked of a server."""
    if path is None:
        return []
    steps = decode_steps(path.read_bytes(), toml=path.suffix == ".toml")
    Rewrite(steps)
    return steps


@contextlib.contextmanager
def _connection(arguments: argparse.Namespace) -> Iterator[Connection]:
    with contextlib.ExitStack() as opened:
        url = arguments.url
        if not url:
            existing(arguments).check()
            url = opened.enter_context(running_server(arguments.data, config=arguments.config)).url
        connection = Connection(url, key=arguments.key, timeout_s=REPAIR_TIMEOUT_S)
        opened.callback(connection.close)
        yield connection


def _listing(arguments: argparse.Namespace) -> Listing:
    if arguments.url:
        with _connection(arguments) as connection:
            return connection.call("GET", "/v1/quarantine", reply=Listing)
    directory = existing(arguments)
    directory.check()
    reader = SegmentReader(directory.disk, directory.quarantine)
    found = outcomes(entries(reader))
    grouping = Grouping()
    for kept in entries(reader):
        if is_open(kept, found):
            grouping.add(kept, found.get(kept.position))
    return grouping.listing(dropped_bytes=reader.start)


def _chosen(listing: Listing, arguments: argparse.Namespace) -> Listing:
    groups = [
        group for group in listing.groups
        if arguments.code in ("", group.code) and arguments.group in ("", group.group)
    ]
    return Listing(listing.total, groups, listing.dropped_bytes)


# In words.


def _print(content: msgspec.Struct, words: str, *, as_json: bool) -> None:
    print(msgspec.json.encode(content).decode() if as_json else words)


def _listing_in_words(listing: Listing) -> str:
    lines = [f"quarantined events: {listing.total:,}"] if listing.total else ["nothing is quarantined"]
    for group in listing.groups:
        lines += _group_in_words(group)
    if listing.total and not listing.groups:
        lines.append("none has the reason asked for")
    if listing.dropped_bytes:
        lines.append(f"the oldest {listing.dropped_bytes:,} bytes had to go for new ones")
    return "\n".join(lines)


def _group_in_words(group: Group) -> list[str]:
    return [
        _shown(f"{group.count:>8,}  {group.code}: {group.message}"),
        f"{'':10}group {group.group}, {group.first_at} to {group.last_at}, newest at position {group.example}",
    ]


def _entry_in_words(entry: EntryReply) -> str:
    lines = [f"{entry.at}  {entry.code}: {entry.message}", f"outcome: {entry.outcome or 'none yet'}"]
    if entry.log_position:
        lines.append(f"in the log at {entry.log_position}")
    if not entry.readable:
        lines.append("what the sender wrote can be read no more: the key it was sealed under is gone")
    else:
        lines.append(f"{entry.kind or 'event'} of {entry.bytes:,} bytes:")
        lines += [entry.event] + ([f"in a batch with the context {entry.context}"] if entry.context else [])
    return "\n".join(map(_shown, lines))


def _repair_in_words(done: RepairReply) -> str:
    verb = "would be taken" if done.dry_run else "taken"
    events = "" if done.events == done.selected else f" of {done.events:,} events"
    lines = [f"{done.selected:,} entries{events}: {done.passed:,} {verb}, {sum(done.refused.values()):,} refused"]
    lines += [f"{count:>8,}  {code}" for code, count in done.refused.items()]
    for example in done.examples if done.dry_run else ():
        lines += _example_in_words(example)
    if done.more:
        lines.append("the limit was reached: there may be more")
    return "\n".join(map(_shown, lines))


def _example_in_words(example: RepairExample) -> list[str]:
    told = f"{example.code}: {example.message}" if example.code else "would be taken"
    return [f"at {example.position}, {told}", f"  before  {example.before}", f"  after   {example.after}"]


def _shown(text: str) -> str:
    """Text of a sender's for a terminal, which it must not be able to steer."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)
