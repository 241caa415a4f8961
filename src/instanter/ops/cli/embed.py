"""`instanter embed`: vectors for the texts of a catalogue, loaded only where they find more than words alone."""

from __future__ import annotations

import argparse
import threading
from contextlib import closing
from typing import Final
from urllib.parse import quote

import msgspec

from ...foundation.errors import RequestRejected, Unavailable
from ..config import load
from ..embedding import NEAREST, Embedding, EmbeddingReport, embedded, vector_fields
from ..encoders import SHIPPED, encoder_of
from ..reading import reading
from .arguments import add_config, add_data, add_key
from .connection import Connection
from .erase import add_tenant
from .progress import records_progress

TRIES_MAX: Final = 30
"""How often a vector that came too soon, or while the server was away, is sent again."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `instanter embed`."""
    parser.description = (
        "Make a vector of each item's texts, and find out on what people of this shop did whether vectors and words\n"
        f"together name more often what they went on to among the {NEAREST} nearest items than words alone. Reads the\n"
        "directory, also beside a server. Where they do, for certain, the vectors are loaded into the catalogue of\n"
        "the server at --url, where `product.similar` looks for candidates by them; where not, nothing is changed.")
    parser.epilog = (
        "examples:\n  instanter embed --data shop/data\n"
        "  instanter embed --data shop/data --url http://127.0.0.1:8080\n"
        "  instanter embed --data shop/data --model models/all-MiniLM-L6-v2")
    add_config(parser)
    add_data(parser)
    add_tenant(parser)
    parser.add_argument("--model", default=SHIPPED, metavar="M",
                        help='"%(default)s" of the extra instanter[text], or a folder with a model of '
                             "sentence-transformers (default: %(default)s)")
    parser.add_argument("--url", default="", metavar="U",
                        help="the server that serves this directory, to load the vectors where they are better")
    add_key(parser)


def run(arguments: argparse.Namespace) -> int:
    """Encode, measure, load if that is better and asked for, and report."""
    encoder = encoder_of(arguments.model)
    with reading(load(arguments.config), arguments.data) as read:
        made = embedded(read, load(arguments.config), arguments.tenant, encoder)
    report = made.report
    if arguments.url and report.is_better:
        report = msgspec.structs.replace(report, loaded=_load(made, arguments))
    if arguments.json:
        print(msgspec.json.encode(report).decode())
    else:
        print(in_words(report, asked=bool(arguments.url)))
    return 0


def _load(made: Embedding, arguments: argparse.Namespace) -> int:
    """The number of items that have their vector now. An item that was deleted meanwhile gets none."""
    loaded, total = 0, len(made.ids)
    with (
        closing(Connection(arguments.url, key=arguments.key)) as connection,
        records_progress("loading vectors", quiet=arguments.json, total=total) as progress,
    ):
        for number, (item_id, vector) in enumerate(zip(made.ids, made.vectors, strict=True), start=1):
            if vector.any():
                loaded += _patched(connection, item_id, {"fields": vector_fields(vector)})
            if progress is not None:
                progress(number, 0)
    return loaded


def _patched(connection: Connection, item_id: str, change: object) -> bool:
    """Whether the item was there to be changed. Raises what the last try raised."""
    tries = 1
    while True:
        try:
            connection.call("PATCH", f"/v1/items/{quote(item_id, safe='')}", change, reply=msgspec.Raw)
            return True
        except Unavailable as error:
            if tries == TRIES_MAX:
                raise
            tries += 1
            threading.Event().wait(error.retry_after_s)
        except RequestRejected as error:
            if error.status != 404:
                raise
            return False


def in_words(report: EmbeddingReport, *, asked: bool) -> str:
    """For people."""
    apart = report.difference
    lines = [
        f"{report.model}: vectors of {report.length} numbers for {report.items:,} items",
        f"of {report.steps:,} times that {report.people:,} people went on from one item to another, the other one was",
        f"among the {NEAREST} nearest",
        f"  by words {report.words:.1%}, by vectors {report.vectors:.1%}, by both {report.both:.1%}",
        f"  both and words: {apart.mean:+.2%} ({apart.low:+.2%} to {apart.high:+.2%})",
    ]
    if not report.is_better:
        lines.append("no better than words for certain: nothing was loaded")
    elif asked:
        lines.append(f"better: {report.loaded:,} vectors are in the catalogue")
    else:
        lines.append("better: --url U loads them into the catalogue of the server there")
    return "\n".join(lines)
