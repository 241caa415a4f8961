"""Arguments that choose decisions of a log."""

from __future__ import annotations

import argparse

from ...events.times import parse_time_ms
from ...foundation.errors import EventRejected
from ..replaying import Place, Span
from .arguments import positive


def add_span(parser: argparse.ArgumentParser) -> None:
    """`--from`, `--until` and `--sample`; `span_of` reads them."""
    parser.add_argument("--from", type=place, metavar="WHEN", dest="start",
                        help="only decisions from then on: a time (2026-05-01T12:00), or a position in the log")
    parser.add_argument("--until", type=place, metavar="WHEN", help="only decisions before: a time, or a position")
    parser.add_argument("--sample", type=positive, default=0, metavar="N", help="only N of them, evenly spread")


def span_of(arguments: argparse.Namespace) -> Span:
    """The decisions that `add_span` lets choose."""
    start, until = arguments.start or Place(), arguments.until or Place()
    return Span(start.position or 0, until.position, start.at_ms or 0, until.at_ms, arguments.sample)


def place(text: str) -> Place:
    """A position or a time, for argparse's `type=`."""
    if text.isascii() and text.isdigit():
        return Place(position=int(text))
    try:
        return Place(at_ms=parse_time_ms(text, text))
    except EventRejected as error:
        raise argparse.ArgumentTypeError(f"{error.message}; digits alone are a position in the log") from None
