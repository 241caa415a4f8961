"""`instanter whatif`: decide the past anew under another configuration, model or weights, and compare."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from ...api.whatif import BUILT_IN_MODEL
from ...foundation.errors import ConfigRejected
from ..config import load
from ..reading import reading
from ..whatif import PlacementCompared, Trial, WhatIf, what_if
from ..wiring import configuration_of, load_checked
from .arguments import add_data
from .progress import records_progress
from .span import add_span, span_of

_WIDTH: Final = 18


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `instanter whatif`."""
    parser.description = (
        "Decide the decisions in the log anew, each at its moment and with what was asked then, and compare the lists\n"
        "with those that were shown: by placement, and by segments of people. Without --config the configuration of\n"
        "the newest of them holds. Another configuration counts as if it had been in force from the log's beginning.\n"
        "Only reads; may run beside a server. Nobody's answer to the other lists is known: this says what changes,\n"
        "not what it is worth.")
    parser.epilog = (
        "examples:\n  instanter whatif --data shop/data --config other.toml\n"
        "  instanter whatif --data shop/data --model lambdamart@1c0ffee51c0ffee5 --placement home.recommended\n"
        "  instanter whatif --data shop/data --weights item.click_lift=3 cross.session_categories=0 --sample 1000")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the configuration to try")
    add_data(parser)
    parser.add_argument("--model", default="", metavar="M",
                        help=f'the model to try, "kind@id" or "{BUILT_IN_MODEL}"; else those rank that ranked then')
    parser.add_argument("--placement", default="", metavar="P", help="try and compare only this placement")
    parser.add_argument("--weights", nargs="+", action="extend", default=[], type=_weight, metavar="NAME=VALUE",
                        help="other weights of the built-in ranker, which ranks then")
    add_span(parser)


def run(arguments: argparse.Namespace) -> int:
    """Decide anew and report."""
    if arguments.weights and arguments.model not in ("", BUILT_IN_MODEL):
        raise ConfigRejected("--weights are those of the built-in ranker", suggestion="leave --model away")
    if arguments.config is None and not arguments.model and not arguments.weights:
        raise ConfigRejected("there is nothing to try", suggestion="add --config, --model or --weights")
    configuration = None if arguments.config is None else configuration_of(load_checked(arguments.config))
    trial = Trial(configuration, arguments.model, arguments.placement, dict(arguments.weights))
    config = load(arguments.config)
    with (
        reading(config, arguments.data) as read,
        records_progress("folding and deciding", quiet=arguments.json) as progress,
    ):
        report = what_if(read, trial, span_of(arguments), memory_mb=config.state.memory_mb, progress=progress)
    print(msgspec.json.encode(report).decode() if arguments.json else _in_words(report))
    return 0


def _weight(text: str) -> tuple[str, float]:
    """A weight, for argparse's `type=`."""
    name, equals, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not name or not equals or not math.isfinite(number):
        raise argparse.ArgumentTypeError(f'"{text}" is not NAME=VALUE such as item.click_lift=3')
    return name, number


def _in_words(report: WhatIf) -> str:
    lines = [
        f"decided {report.decisions:,} decisions anew in {report.seconds:g} s, "
        f"{report.folded_events:,} records folded"
    ]
    if report.counted_from:
        lines.append(f"the log was cut: features count from position {report.counted_from}")
    lines += [f"left out, {why}: {count:,}" for why, count in sorted(report.skipped.items())]
    if not report.placements:
        lines.append("nothing to compare: none of these decisions was asked for that placement")
    for placement in report.placements:
        lines += ["", *_placement_in_words(placement)]
    return "\n".join(lines)


def _placement_in_words(placement: PlacementCompared) -> list[str]:
    head = ("changed in", "lists", "first item", "any item", "overlap")
    lines = [placement.placement, "  {:{}}{:>9} {:>11} {:>9} {:>8}".format(head[0], _WIDTH, *head[1:])]
    lines += [
        f"  {name:{_WIDTH}}{one.lists:>9,} {one.first_changed:>11.1%} {one.list_changed:>9.1%} {one.overlap:>8.1%}"
        for name, one in (("everybody", placement.all), *placement.segments.items())
    ]
    lines.append(f"  answered by: {_counts(placement.rungs_before)}; then: {_counts(placement.rungs_after)}")
    for what, exposures in (("shown more", placement.gained), ("shown less", placement.lost)):
        if exposures:
            told = ", ".join(f"{one.item} ({one.before:,} to {one.after:,})" for one in exposures)
            lines.append(f"  {what}: {told}")
    return lines


def _counts(rungs: Mapping[str, int]) -> str:
    return ", ".join(f"{rung} {count:,}" for rung, count in sorted(rungs.items()))
