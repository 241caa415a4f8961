"""`instanter erase`: erase a person, and print the signed receipt."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from urllib.parse import quote

import msgspec

from ...engine.erase import ErasureReceipt, SignedErasure
from ...engine.loop import Engine
from ...privacy.access import DEFAULT_TENANT
from ...privacy.audit import COMMAND_LINE
from .arguments import add_config, add_data, add_key
from .connection import Connection
from .opened import with_engine

ERASE_TIMEOUT_S = 600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `instanter erase`."""
    parser.description = (
        "Erase everything that is kept of a person, under all linked ids, and print the signed receipt that says what\n"
        "went where. It names nobody; keep it, `instanter verify --erasure` checks it. Asks a running server (--url,\n"
        "as the tenant of the key), or opens a data directory that nobody serves at the moment.")
    parser.epilog = (
        "examples:\n  instanter erase u-4711 --data shop/data > receipt.json\n"
        "  instanter erase anonymous:8c1f --url https://shop.example")
    parser.add_argument("id", metavar="ID", help="a user id, or anonymous:ID")
    add_tenant(parser)
    parser.add_argument("--url", default="", metavar="U", help="a running server; without it --data is opened")
    add_key(parser)
    add_config(parser)
    add_data(parser)


def add_tenant(parser: argparse.ArgumentParser) -> None:
    """`--tenant T`, as `arguments.tenant`."""
    parser.add_argument("--tenant", default=DEFAULT_TENANT, metavar="T",
                        help="whose person it is, in a data directory (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Erase, and print the receipt: one line of JSON, to be kept as it is."""
    signed = _asked(arguments) if arguments.url else with_engine(arguments, lambda engine: _erase(engine, arguments))
    print(msgspec.json.encode(signed).decode())
    if not arguments.json:
        receipt = msgspec.json.decode(signed.receipt, type=ErasureReceipt)
        for place in receipt.places:
            count = "" if place.count is None else f" ({place.count:,})"
            print(f"{place.where}: {place.how}{count}", file=sys.stderr)
    return 0


async def _erase(engine: Engine, arguments: argparse.Namespace) -> SignedErasure:
    return await engine.eraser.erase(arguments.tenant, arguments.id, actor=COMMAND_LINE)


def _asked(arguments: argparse.Namespace) -> SignedErasure:
    with closing(Connection(arguments.url, key=arguments.key, timeout_s=ERASE_TIMEOUT_S)) as connection:
        return connection.call("DELETE", f"/v1/profiles/{quote(arguments.id, safe='')}", reply=SignedErasure)
