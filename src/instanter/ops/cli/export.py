"""`instanter export`: everything held about a person, as NDJSON."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from contextlib import closing
from urllib.parse import quote

import msgspec

from ...engine.loop import Engine
from ...privacy.audit import COMMAND_LINE
from .arguments import add_config, add_data, add_key
from .connection import Connection
from .erase import add_tenant
from .opened import with_engine

EXPORT_TIMEOUT_S = 600.0


class ExportReport(msgspec.Struct, frozen=True):
    """What `instanter export --json` says on the last line."""

    lines: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `instanter export`."""
    parser.description = (
        "Print everything that is held about a person, one JSON object a line: the profile, then events as they were\n"
        "sent, decisions, links and statements of consent, oldest first, and what was refused. Asks a running server\n"
        "(--url, as the tenant of the key), or opens a data directory that nobody serves at the moment.")
    parser.epilog = (
        "examples:\n  instanter export u-4711 --data shop/data > person.ndjson\n"
        "  instanter export anonymous:8c1f --url https://shop.example")
    parser.add_argument("id", metavar="ID", help="a user id, or anonymous:ID")
    add_tenant(parser)
    parser.add_argument("--url", default="", metavar="U", help="a running server; without it --data is opened")
    add_key(parser)
    add_config(parser)
    add_data(parser)


def run(arguments: argparse.Namespace) -> int:
    """Export to standard output."""
    lines = _asked(arguments) if arguments.url else with_engine(arguments, lambda engine: _export(engine, arguments))
    if arguments.json:
        print(msgspec.json.encode(ExportReport(lines)).decode())
    return 0


async def _export(engine: Engine, arguments: argparse.Namespace) -> int:
    profile = engine.profiles.profile(arguments.tenant, arguments.id, now_ms=engine.clock.now_ms())
    await engine.note_person_seen("profile.exported", COMMAND_LINE, arguments.tenant, arguments.id)
    _print([msgspec.json.encode({"kind": "profile", "profile": profile}) + b"\n"])
    with closing(engine.export(arguments.tenant, arguments.id)) as pieces:
        return 1 + sum(map(_print, pieces))


def _asked(arguments: argparse.Namespace) -> int:
    with closing(Connection(arguments.url, key=arguments.key, timeout_s=EXPORT_TIMEOUT_S)) as connection:
        return _print(connection.lines(f"/v1/profiles/{quote(arguments.id, safe='')}/export"))


def _print(lines: Iterable[bytes]) -> int:
    """Print lines as they come; how many."""
    printed = 0
    for line in lines:
        sys.stdout.write(line.decode())
        printed += 1
    return printed
