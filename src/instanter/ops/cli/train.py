"""`instanter train`: learn a ranker for one placement from what the log holds, and put it in charge if asked to."""

from __future__ import annotations

import argparse
import tempfile
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import msgspec

from ...api.models import ModelRequest, ModelShown
from ...engine.joining import Joining, Wanted
from ...engine.training import Counts, Gathering
from ...foundation.clock import SystemClock, elapsed_ns
from ...foundation.errors import ConfigRejected, RequestRejected
from ...models.artefact import Window
from ...models.training import Origin, TrainingOptions, train
from ...privacy.access import DEFAULT_TENANT
from ..config import load
from ..reading import Reading, reading
from ..settings import Config
from ..wiring import configuration_of, rewards_of
from .arguments import add_config, add_data, add_key
from .connection import Connection
from .erase import add_tenant
from .progress import records_progress

POSITIONS = ("input", "fixed", "debiased")
KINDS = ("lambdamart", "logistic")


class TrainReport(msgspec.Struct, frozen=True):
    """What `instanter train` made."""

    model: str
    """As receipts and `PUT /v1/models/{placement}` name it."""
    placement: str
    lists: int
    rows: int
    counts: Counts
    unreadable: int
    metrics: dict[str, float]
    parent: str
    seconds: float
    joining_s: float
    gathering_s: float
    training_s: float
    placed: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `instanter train`."""
    parser.description = (
        "Learn to rank one placement from the lists that were shown and what came of them. The inputs are taken from\n"
        "a replay of the log, as they were served. Reads the directory, also beside a server, and adds one file to\n"
        "DIR/models. With --place the model is put in charge of the placement on the server at --url.")
    parser.epilog = (
        "examples:\n  instanter train --data shop/data --placement home.recommended\n"
        "  instanter train --data shop/data --placement search --place --url http://127.0.0.1:8080")
    add_config(parser)
    add_data(parser)
    add_tenant(parser)
    parser.add_argument("--placement", required=True, metavar="P", help="the placement to learn for")
    parser.add_argument("--kind", choices=KINDS, default=KINDS[0], help="of the model (default: %(default)s)")
    parser.add_argument("--position", choices=POSITIONS, default=POSITIONS[0],
                        help="what is done about where an item was shown: nothing, an input that is 1 at serving, or "
                             "the library's own de-bias (default: %(default)s)")
    parser.add_argument("--place", action="store_true", help="put the model in charge; needs --url")
    parser.add_argument("--url", default="", metavar="U", help="with --place: the server that serves this directory")
    add_key(parser)


def run(arguments: argparse.Namespace) -> int:
    """Train, place if asked to, and report."""
    if arguments.place and not arguments.url:
        raise ConfigRejected("--place puts the model in charge on a server", suggestion="add --url")
    config = load(arguments.config)
    options = TrainingOptions(kind=arguments.kind, position=arguments.position)
    with reading(config, arguments.data) as read:
        report = trained(read, config, options, tenant=arguments.tenant, placement=arguments.placement,
                         quiet=arguments.json)  # fmt: skip
    if arguments.place:
        with closing(Connection(arguments.url, key=arguments.key)) as connection:
            path = f"/v1/models/{quote(arguments.placement, safe='')}"
            connection.call("PUT", path, ModelRequest(report.model), reply=ModelShown)
        report = msgspec.structs.replace(report, placed=True)
    print(msgspec.json.encode(report).decode() if arguments.json else in_words(report))
    return 0


def trained(
    read: Reading, config: Config, options: TrainingOptions, *, tenant: str = DEFAULT_TENANT, placement: str,
    quiet: bool,
) -> TrainReport:  # fmt: skip
    """Train a model and keep it."""
    configuration = configuration_of(config)
    kinds = {known.id: known.kind for known in config.placements}
    if placement not in kinds:
        raise RequestRejected("unknown_placement", f'there is no placement "{placement}"')
    wanted = Wanted(tenant, placement, lists=kinds[placement] == "rerank")
    joining = Joining(read.log, read.subjects, rewards_of(config), wanted)
    began_ns = elapsed_ns()
    with tempfile.TemporaryDirectory(prefix="instanter-train-") as folder:
        joined = list(joining.examples())
        joined_ns = elapsed_ns()
        gathering = Gathering(
            read.replay, read.log, read.subjects, configuration=read.configurations.keep(configuration),
            placement=placement,
        )  # fmt: skip
        with records_progress("reading lists", quiet=quiet, total=len(joined)) as progress:
            gathered = gathering.gather(joined, Path(folder) / "rows", progress)
        gathered_ns = elapsed_ns()
        parent = next((one.id for one in read.models.list() if (one.tenant, one.placement) == (tenant, placement)), "")
        origin = Origin(
            tenant=tenant, placement=placement, configuration=configuration.name, made_ms=SystemClock().now_ms(),
            window=Window(gathered.from_position, joining.position, gathered.from_ms, gathered.to_ms + 1),
            parent=parent, versions=dict(configuration.schema(memory_mb=64).declared()),
        )  # fmt: skip
        artefact = train(gathered.dataset, options, origin)
        model_id = read.models.put(artefact)
    ended_ns = elapsed_ns()
    return TrainReport(
        f"{artefact.kind}@{model_id}", placement, artefact.lists, artefact.rows, gathered.counts, joining.unreadable,
        artefact.metrics, parent, _s(ended_ns - began_ns), _s(joined_ns - began_ns), _s(gathered_ns - joined_ns),
        _s(ended_ns - gathered_ns),
    )  # fmt: skip


def in_words(report: TrainReport) -> str:
    """For people."""
    counts = report.counts
    lines = [
        f"{report.model}",
        f"{report.lists:,} lists, {report.rows:,} rows: {counts.decisions:,} decisions, {counts.lists:,} lists that "
        "others chose",
        f"left out: {report.unreadable:,} erased or expired, {counts.differing:,} not recomputed, {counts.unread:,} "
        "without inputs",
        ", ".join(f"{name} {value:.4f}" for name, value in report.metrics.items()),
        f"{report.seconds:g} s: joining {report.joining_s:g}, replay {report.gathering_s:g}, "
        f"training {report.training_s:g}",
    ]
    lines.append("in charge now" if report.placed else f"PUT /v1/models/{report.placement} puts it in charge")
    return "\n".join(lines)


def _s(elapsed: int) -> float:
    return round(elapsed / 1e9, 3)
