"""`instanter train`: learn a ranker for one placement from what the log holds, and put it in charge if asked to."""

from __future__ import annotations

import argparse
import re
import sys
import threading
from collections.abc import Mapping
from contextlib import closing
from typing import Final
from urllib.parse import quote

import msgspec

from ...api.models import ModelListing, ModelRequest, ModelShown
from ...foundation.clock import elapsed_ns
from ...foundation.errors import ConfigRejected, InstanterError, RequestRejected
from ...models.attention_training import NetOptions
from ...models.training import TrainingOptions
from ..config import load
from ..reading import reading
from ..training import Job, TrainReport, net_options_of, options_of, remember, trained
from .arguments import add_config, add_data, add_key
from .connection import Connection
from .erase import add_tenant
from .progress import records_progress

PLACE_TIMEOUT_S: Final = 60.0
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `instanter train`."""
    parser.description = (
        "Learn to rank one placement from the lists that were shown and what came of them, or from what people did\n"
        "next. The inputs are taken from a replay of the log, as they were served. Reads the directory, also beside a\n"
        "server, and adds one file to DIR/models. With --place the model is put in charge of the placement on the\n"
        "server at --url; with --every it goes on for ever, and a model takes over only if it passes a gate on the\n"
        "newest examples.")
    parser.epilog = (
        "examples:\n  instanter train --data shop/data --placement home.recommended\n"
        "  instanter train --data shop/data --placement search --place --url http://127.0.0.1:8080\n"
        "  instanter train --data shop/data --placement search --every 15m --place --url http://127.0.0.1:8080")
    add_config(parser)
    add_data(parser)
    add_tenant(parser)
    parser.add_argument("--placement", required=True, metavar="P", help="the placement to learn for")
    parser.add_argument("--examples", choices=("auto", "lists", "next_acts"), default="auto",
                        help="what is learned from: lists that were shown and what came of them, or what people did "
                             "next; auto takes the lists once there are enough (default: %(default)s)")
    parser.add_argument("--kind", choices=("lambdamart", "logistic", "conditional_logit", "attention"),
                        default="lambdamart",
                        help="of the model; attention needs the extra instanter[torch] (default: %(default)s)")
    parser.add_argument("--position", choices=("input", "fixed", "debiased"), default="input",
                        help="what is done about where an item was shown: nothing, an input that is 1 at serving, or "
                             "the library's own de-bias (default: %(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="chosen",
                        help="another option of training, such as trees_max=400 or leaves=15; may be repeated")
    parser.add_argument("--place", action="store_true", help="put the model in charge; needs --url")
    parser.add_argument("--gate", action="store_true",
                        help="keep the newest tenth of the lists back, and put the model in charge only if it ranks "
                             "them as well as what ranks now")
    parser.add_argument("--every", type=_span_s, default=0, metavar="SPAN",
                        help="train again after each SPAN, such as 15m, with the gate; until stopped")
    parser.add_argument("--url", default="", metavar="U", help="with --place: the server that serves this directory")
    add_key(parser)


def run(arguments: argparse.Namespace) -> int:
    """Train, place if asked to, and report; with --every again and again."""
    if arguments.place and not arguments.url:
        raise ConfigRejected("--place puts the model in charge on a server", suggestion="add --url")
    options = _options(arguments)
    if not arguments.every:
        _tell(_once(arguments, options), arguments)
        return 0
    pause = threading.Event()
    while True:
        began_ns = elapsed_ns()
        try:
            _tell(_once(arguments, options), arguments)
        except (InstanterError, OSError) as error:
            print(f"instanter train: {error}", file=sys.stderr, flush=True)
        pause.wait(max(arguments.every - (elapsed_ns() - began_ns) / 1e9, 0.0))


def _once(arguments: argparse.Namespace, options: Mapping[str, object]) -> TrainReport:
    config = load(arguments.config)
    gated = arguments.gate or bool(arguments.every)
    incumbent = _in_charge(arguments) if arguments.url else ""
    job = Job(arguments.tenant, arguments.placement, options, arguments.examples, gated, incumbent)
    with reading(config, arguments.data) as read:
        with records_progress("reading lists", quiet=arguments.json) as progress:
            report = trained(read, config, job, progress)
        if arguments.place and (report.verdict is None or report.verdict.passes):
            _place(arguments, report)
            report = msgspec.structs.replace(report, placed=True)
        remember(read.directory, report)
    return report


def _in_charge(arguments: argparse.Namespace) -> str:
    """The model that ranks the placement now."""
    with closing(Connection(arguments.url, key=arguments.key)) as connection:
        listing = connection.call("GET", "/v1/models", reply=ModelListing)
    return next((one.model for one in listing.models if one.placement == arguments.placement), "")


def _place(arguments: argparse.Namespace, report: TrainReport) -> None:
    keeps = report.verdict is not None and not report.verdict.is_better
    with closing(Connection(arguments.url, key=arguments.key, timeout_s=PLACE_TIMEOUT_S)) as connection:
        path = f"/v1/models/{quote(arguments.placement, safe='')}"
        connection.call("PUT", path, ModelRequest(report.model, keeps), reply=ModelShown)


def _options(arguments: argparse.Namespace) -> dict[str, str]:
    """What `--kind`, `--position` and `--set` say, by name."""
    chosen: dict[str, str] = {"kind": arguments.kind, "position": arguments.position}
    learns_net = arguments.kind == "attention"
    known = (NetOptions if learns_net else TrainingOptions).__struct_fields__
    check = net_options_of if learns_net else options_of
    for text in arguments.chosen:
        name, equals, value = text.partition("=")
        if not equals or name not in known:
            raise RequestRejected("bad_option", f'--set takes NAME=VALUE of {", ".join(known)}, not "{text}"')
        chosen[name] = value
    check(chosen)
    return chosen


def _span_s(text: str) -> int:
    """Seconds of "90s", "15m" or "2h", for argparse's `type=`."""
    match = re.fullmatch(r"([1-9][0-9]{0,4})([smh])", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a span such as 90s, 15m or 2h")
    return int(match[1]) * _SECONDS[match[2]]


def _tell(report: TrainReport, arguments: argparse.Namespace) -> None:
    print(msgspec.json.encode(report).decode() if arguments.json else in_words(report), flush=True)


def in_words(report: TrainReport) -> str:
    """For people."""
    counts, verdict = report.counts, report.verdict
    lines = [
        report.model,
        f"{report.lists:,} lists, {report.rows:,} rows: {counts.decisions:,} decisions, {counts.lists:,} lists that "
        f"others chose, {counts.next_acts:,} acts of people",
        f"left out: {report.unreadable:,} erased or expired, {counts.differing:,} not recomputed, {counts.unread:,} "
        f"without inputs, {counts.unfound:,} acts on what would not have been found",
        ", ".join(f"{name} {value:.4g}" for name, value in report.metrics.items()),
        f"{report.seconds:g} s: joining {report.joining_s:g}, replay {report.gathering_s:g}, "
        f"training {report.training_s:g}",
    ]
    if verdict is not None:
        lines.append(
            f"gate: {verdict.why}; NDCG@10 {verdict.difference:+.4f} ({verdict.low:+.4f} to {verdict.high:+.4f}) over "
            f"{verdict.lists:,} lists"
        )
    lines.append("in charge now" if report.placed else f"not in charge: PUT /v1/models/{report.placement}")
    return "\n".join(lines)
