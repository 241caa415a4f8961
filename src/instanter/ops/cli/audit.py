"""`instanter audit list`: what administrators did, of a running server or of a data directory."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlencode

import msgspec

from ...api.lines import NDJSON_MEDIA_TYPE
from ...events.times import parse_time_ms, time_text
from ...foundation.disk import RealDisk
from ...foundation.errors import EventRejected, RequestRejected
from ...log.segments import SegmentReader
from ...privacy.access import check_tenant
from ...privacy.acts import ActShown, Wanted, shown_act
from ...privacy.audit import read_entries
from ..config import load
from ..datadir import DataDirectory
from .arguments import KEY_VARIABLE, add_config, add_data, add_key
from .connection import Connection

LIST_TIMEOUT_S = 600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `instanter audit`."""
    parser.description = (
        "List what administrators did, the oldest first: access keys, erasures, exports and reads of profiles,\n"
        "consent, models, backups, configuration. With --url this asks a running server, which shows a tenant its\n"
        "own acts and the operator all; else it reads a data directory, also while a server serves it. With --json\n"
        "each act is a line of JSON. `instanter verify --audit` says whether the record is whole.")
    parser.epilog = (
        "examples:\n"
        "  instanter audit list --data shop/data --act key\n"
        f"  {KEY_VARIABLE}=ik_... instanter audit list --url https://shop.example --since 2026-05-01 --json")
    parser.add_argument("action", choices=("list",), help="what to do")
    parser.add_argument("--since", type=_time, default=None, metavar="TIME", help="only acts from then on")
    parser.add_argument("--until", type=_time, default=None, metavar="TIME", help="only acts before then")
    parser.add_argument("--actor", default="", metavar="A", help="by whom: the id of an access key, or as listed")
    parser.add_argument("--act", default="", metavar="A", help="an act, as key.issued, or all acts of a kind, as key")
    parser.add_argument("--subject", default="", metavar="S", help="on what, as listed")
    parser.add_argument("--tenant", default=None, metavar="T", help="of which tenant")
    parser.add_argument("--url", default="", metavar="U", help="a running server; without it --data is read")
    add_key(parser)
    add_config(parser)
    add_data(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print them as they are read."""
    if arguments.tenant:
        check_tenant(arguments.tenant)
    for act in _asked(arguments) if arguments.url else _read(arguments):
        sys.stdout.write(msgspec.json.encode(act).decode() + "\n" if arguments.json else _in_words(act))
    return 0


def _time(text: str) -> int:
    try:
        return parse_time_ms(text, "a time")
    except EventRejected as error:
        raise argparse.ArgumentTypeError(error.message) from None


def _read(arguments: argparse.Namespace) -> Iterator[ActShown]:
    directory = DataDirectory(RealDisk(), arguments.data, keys=load(arguments.config).privacy.keys)
    directory.check()
    wanted = Wanted(
        tenant=arguments.tenant, actor=arguments.actor, act=arguments.act, subject=arguments.subject,
        since_ms=arguments.since or 0, until_ms=arguments.until,
    )  # fmt: skip
    entries = read_entries(SegmentReader(directory.disk, directory.audit))
    return (shown_act(entry) for entry in entries if wanted.matches(entry))


def _asked(arguments: argparse.Namespace) -> Iterator[ActShown]:
    filters = {name: getattr(arguments, name) for name in ("actor", "act", "subject", "tenant")}
    times = {name: _text(getattr(arguments, name)) for name in ("since", "until")}
    query = urlencode({name: value for name, value in {**filters, **times}.items() if value})
    with closing(Connection(arguments.url, key=arguments.key, timeout_s=LIST_TIMEOUT_S)) as connection:
        for line in connection.lines(f"/v1/audit?{query}", accept=NDJSON_MEDIA_TYPE):
            try:
                yield msgspec.json.decode(line, type=ActShown)
            except (msgspec.DecodeError, UnicodeDecodeError):
                reason = f"{arguments.url} does not answer as an Instanter server does"
                raise RequestRejected("schema", reason) from None


def _text(at_ms: int | None) -> str:
    return "" if at_ms is None else time_text(at_ms)


def _in_words(act: ActShown) -> str:
    details = " ".join(f"{name}={value}" for name, value in act.details.items())
    told = f"{act.number}  {act.at}  {act.tenant or '-'}  {act.actor}  {act.act}  {act.subject or '-'}  {details}"
    return "".join(one if one.isprintable() else "\ufffd" for one in told).rstrip() + "\n"
