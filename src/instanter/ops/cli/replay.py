"""`instanter replay`: rebuild the state from the log, and compare."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from ...engine.recovery import beginning, catch_up, recover
from ...foundation.clock import elapsed_ns
from ...foundation.disk import RealDisk
from ...foundation.errors import ConfigRejected, RequestRejected
from ...log.segments import SegmentReader
from ...state.cold_files import ColdPlace
from ..config import load
from ..datadir import DataDirectory
from ..point_in_time import profile_at
from ..reading import reading
from ..replaying import Replayed, Span, replayed, replayed_all
from ..wiring import check_kept, schema_of
from .arguments import add_config, add_data, add_key
from .connection import Connection
from .erase import add_tenant
from .progress import records_progress
from .span import add_span, place, span_of

_CHECKPOINT: Final = "checkpoint"


class ReplayReport(msgspec.Struct):
    """What `instanter replay` found."""

    records: int
    seconds: float
    records_per_s: float
    position: int
    people: int
    hash: str
    compared_with: str = ""
    """"checkpoint" (newest checkpoint and tail), or the address of a running server."""
    identical: bool | None = None
    passed_over: list[str] = []
    """Checkpoints that a server could not start from, and why."""


class _LiveState(msgspec.Struct):
    position: str
    hash: str
    url: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `instanter replay`."""
    parser.description = (
        "Rebuild the state from the beginning of the log. With --verify the rebuilt state is compared with what a\n"
        "server would start from (newest checkpoint and tail), or with --url with the live state of a running server.\n"
        "With --decisions the decisions in the log are made again, each on the state, configuration and model that it\n"
        "was made with, and compared with their receipts. With --profile a person is shown as they stood at a time.\n"
        "Only reads; may run beside a server. Exit code 1 if something differs.")
    parser.epilog = (
        "examples:\n  instanter replay --config shop/instanter.toml --data shop/data --verify\n"
        "  instanter replay --config shop/instanter.toml --data shop/data --verify --url http://127.0.0.1:8080\n"
        "  instanter replay --data shop/data --decisions\n"
        "  instanter replay --data shop/data --decisions d_0019e0f3a8c1b91c2e07f3a4b5d6e2f81a0c\n"
        "  instanter replay --data shop/data --decisions --from 2026-05-01 --sample 1000\n"
        "  instanter replay --data shop/data --profile u-4711 --at 2026-05-01T12:00")
    add_config(parser)
    add_data(parser)
    parser.add_argument("--verify", action="store_true", help="compare the rebuilt state with the live one")
    parser.add_argument("--url", metavar="U", help="with --verify: a running server that serves this directory")
    add_key(parser)
    parser.add_argument("--decisions", nargs="*", metavar="ID",
                        help="make decisions again and compare them: those named, or all")
    add_span(parser)
    parser.add_argument("--profile", metavar="ID",
                        help="show a person as they stood at --at, under an id as in GET /v1/profiles/{id}")
    parser.add_argument("--at", type=place, metavar="WHEN",
                        help="with --profile: a time (2026-05-01T12:00), or a position in the log")
    add_tenant(parser)


def run(arguments: argparse.Namespace) -> int:
    """Rebuild, compare if asked to, and report."""
    if (arguments.profile is None) is not (arguments.at is None):
        raise ConfigRejected("--profile says who, and --at when", suggestion="give both")
    if arguments.profile is not None:
        return _profile(arguments)
    if arguments.decisions is not None:
        return _decisions(arguments)
    if span_of(arguments) != Span():
        raise ConfigRejected("--from, --until and --sample choose decisions", suggestion="add --decisions")
    if arguments.url and not arguments.verify:
        raise ConfigRejected("--url says what to compare with, and nothing is compared", suggestion="add --verify")
    live = _live_state(arguments.url, arguments.key) if arguments.url else None
    report = replay(arguments.config, arguments.data, verify=arguments.verify, live=live, quiet=arguments.json)
    if arguments.json:
        print(msgspec.json.encode(report).decode())
    else:
        print(_in_words(report))
    return 0 if report.identical is not False else 1


def replay(
    config: Path | None, data: Path, *, verify: bool, quiet: bool, live: _LiveState | None = None
) -> ReplayReport:
    """Rebuild the state of a data directory; with `verify` compare it with the live one, else with a checkpoint.

    Idle people lie in a folder of our own meanwhile, which is removed at the end.
    """
    directory = DataDirectory(RealDisk(), data, keys=load(config).privacy.keys)
    directory.check()
    with tempfile.TemporaryDirectory(prefix="instanter-replay-") as folder:
        cold = ColdPlace(directory.disk, Path(folder), inherited=directory.cold)
        return _replay(config, directory, cold, verify=verify, quiet=quiet, live=live)


def _replay(
    config: Path | None, directory: DataDirectory, cold: ColdPlace, *, verify: bool, quiet: bool,
    live: _LiveState | None,
) -> ReplayReport:  # fmt: skip
    schema = schema_of(load(config))
    log = SegmentReader(directory.disk, directory.log)
    started_ns = elapsed_ns()
    with records_progress("rebuilding", quiet=quiet) as progress:
        partition = beginning(schema, log, disk=directory.disk, checkpoints=directory.checkpoints, cold=cold)
        records, _ = catch_up(partition, log, until=int(live.position) if live else None, progress=progress)
    seconds = (elapsed_ns() - started_ns) / 1e9
    check_kept(partition.state.active, schema)
    if live is not None and partition.position != int(live.position):
        raise RequestRejected(
            "position",
            f"{live.url} stands at {live.position}, this log ends at {partition.position}: it serves another directory",
        )
    report = ReplayReport(
        records, round(seconds, 3), round(records / seconds) if seconds else 0, partition.position,
        partition.state.cells_used, partition.state.hash(),
    )  # fmt: skip
    if live is not None:
        report.compared_with, report.identical = live.url, live.hash == report.hash
    elif verify:
        other, recovery = recover(
            schema, log, log_start=0, log_end=partition.position, disk=directory.disk,
            checkpoints=directory.checkpoints, until=partition.position, cold=cold,
        )  # fmt: skip
        report.passed_over = list(recovery.damaged)
        report.compared_with, report.identical = _CHECKPOINT, other.state.hash() == report.hash
    return report


def _profile(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    with reading(config, arguments.data) as read:
        profile = profile_at(read, config, arguments.at, tenant=arguments.tenant, identifier=arguments.profile)
    encoded = msgspec.json.encode(profile)
    print((encoded if arguments.json else msgspec.json.format(encoded)).decode())
    return 0


def _decisions(arguments: argparse.Namespace) -> int:
    span = span_of(arguments)
    if arguments.verify or (arguments.decisions and span != Span()):
        raise ConfigRejected("--decisions ID ..., --from, --until and --sample, or --verify: one of these at a time")
    with (
        reading(load(arguments.config), arguments.data) as read,
        records_progress("making decisions again", quiet=arguments.json) as progress,
    ):
        if arguments.decisions:
            report = replayed(read, arguments.decisions, progress)
        else:
            report = replayed_all(read, span, progress)
    print(msgspec.json.encode(report).decode() if arguments.json else _decisions_in_words(report))
    return 0 if report.same else 1


def _decisions_in_words(report: Replayed) -> str:
    lines = [
        f"made {report.decisions:,} decisions again in {report.seconds:g} s, {report.folded_events:,} records folded",
        f"identical: {report.identical:,}",
    ]
    differing = report.decisions - report.identical - sum(report.skipped.values())
    if differing:
        lines.append(f"DIFFERENT: {differing:,}")
        lines += [f"  {one.decision_id}: {', '.join(one.differences)}" for one in report.differing[:DIFFERING_SHOWN]]
    if differing > DIFFERING_SHOWN:
        lines.append("  ...; --json tells more of them")
    lines += [f"not made again, {_WHY.get(why, why)}: {count:,}" for why, count in sorted(report.skipped.items())]
    return "\n".join(lines)


DIFFERING_SHOWN: Final = 20
_WHY: Final = {
    "erased": "erased with their people",
    "expired": "older than what is kept",
    "old_receipt": "from before decisions could be made again",
    "not_kept": "asked about lists too long to keep",
    "model_gone": "their model is not kept any more",
    "damaged": "DAMAGED",
    "unknown": "not in this log",
}


def _live_state(url: str, key: str) -> _LiveState:
    connection = Connection(url, key=key)
    try:
        state = connection.call("GET", "/v1/state", None, reply=_LiveState)
        return msgspec.structs.replace(state, url=url)
    finally:
        connection.close()


def _in_words(report: ReplayReport) -> str:
    lines = [
        f"rebuilt {report.records:,} records in {report.seconds:g} s ({report.records_per_s:,.0f} a second)",
        f"position {report.position}, {report.people:,} people, state {report.hash}",
    ]
    if report.identical is not None:
        verdict = "identical to" if report.identical else "DIFFERENT from"
        from_checkpoint = report.compared_with == _CHECKPOINT
        other = "that a server would start from" if from_checkpoint else f"of {report.compared_with}"
        lines.append(f"{verdict} the state {other}")
    lines += [f"passed over: {reason}" for reason in report.passed_over]
    return "\n".join(lines)
