"""`instanter serve`: the engine and its HTTP interface in one process, or in several."""

from __future__ import annotations

import argparse
import ipaddress
import logging
import os
import socket
import sys
from functools import partial
from pathlib import Path

import msgspec
import uvloop

from ...engine.loop import Engine
from ...engine.stores import OpenSubjects
from ...foundation.disk import RealDisk
from ...foundation.errors import ConfigRejected, Unavailable
from ...foundation.freed import forget_what_is_freed
from ...privacy.subjects import KeyStore
from ..child import COMPILING
from ..datadir import DataDirectory
from ..jobs.supervision import running_jobs
from ..logs import log_as_json
from ..registry import TrainedModels
from ..second_core import second_core
from ..wiring import load_checked, open_engine, terms_of
from .arguments import add_address, add_config, add_data, worker_count

log = logging.getLogger("instanter.serve")

COMPILED_PER_REPORT = 10
"""Kernels compiled from one report to the next, about a second."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `instanter serve`."""
    parser.description = (
        "Serve events, catalogue and decisions over HTTP. Ready when GET /readyz says 200; SIGTERM drains: what was\n"
        "accepted is finished and synced, then the process ends with exit code 0. Without --dev a request\n"
        "needs an access key, see `instanter keys`, and people's data is sealed under a master key that you give.")
    parser.epilog = (
        "examples:\n  instanter serve --dev\n  instanter serve --dev --config shop/instanter.toml --data shop/data\n"
        "  instanter serve --config shop/instanter.toml --data shop/data --host 0.0.0.0\n"
        "  instanter serve --dev --clock events      # replay history: the events set the clock\n"
        "  instanter serve --workers 4 --config shop/instanter.toml --data shop/data")
    add_config(parser)
    add_data(parser)
    add_address(parser)
    parser.add_argument("--dev", action="store_true",
                        help="ask for no key; one tenant called default, on loopback addresses only")
    parser.add_argument("--drop-features", action="store_true",
                        help="forget the features that the data directory has and the configuration does not declare")
    parser.add_argument("--accept-loss", action="store_true",
                        help="go on with what is there where the data directory held more once, and note in the audit "
                             "record what was given up; without it such a start is refused")
    parser.add_argument("--clock", choices=("now", "events"), default="now",
                        help="now: this machine's clock; events: time is the newest event's (default: %(default)s)")
    parser.add_argument("--workers", type=worker_count, default=1, metavar="N",
                        help="processes: one that writes, and N - 1 that follow its log and decide, each with the "
                             "whole state in memory of its own; Linux only (default: %(default)s)")


def run(arguments: argparse.Namespace, open_subjects: OpenSubjects = KeyStore) -> int:
    """Serve until told to stop."""
    _check_access(arguments.dev, arguments.host)
    _check_port(_host(arguments), arguments.port)
    if arguments.workers > 1:
        _become_supervisor(arguments)
    return run_writer(arguments, open_subjects)


def run_writer(
    arguments: argparse.Namespace, open_subjects: OpenSubjects = KeyStore, *, folder: Path | None = None, count: int = 1
) -> int:
    """Serve until told to stop; with a `folder` as the writer of `count` workers."""
    host = _host(arguments)
    log_as_json()
    forget_what_is_freed()
    # Not before: this loads the HTTP server, which reads then how it is to free memory.
    from ..serving import serve
    from ..workers.writer import WriterSide

    config = load_checked(arguments.config)
    with second_core(config):
        make_engine = open_engine(
            config, arguments.data, clock_of_events=arguments.clock == "events",
            drop_features=arguments.drop_features, accept_loss=arguments.accept_loss,
            may_make_master_key=arguments.dev, progress=_progress, open_subjects=open_subjects,
            kernel_progress=_compiling,
        )

    address = _address(arguments)

    def on_ready(engine: Engine) -> None:
        recovery = engine.recovery
        for reason in recovery.damaged:
            log.warning("a checkpoint was passed over", extra={"reason": reason})
        log.info("ready", extra={
            "address": address, "position": engine.partition.position, "checkpoint": recovery.checkpoint,
            "replayed": recovery.records, "people": engine.partition.state.cells_used})
        if not arguments.dev and not len(engine.partition.access_keys):
            log.warning("there is no access key, so nothing is answered: instanter keys create --data DIR makes one")

    uvloop.run(serve(
        make_engine, host=host, port=arguments.port, settings=config.serve,
        terms=terms_of(config, dev=arguments.dev), dev=arguments.dev, on_ready=on_ready,
        with_jobs=partial(running_jobs, config, arguments.data),
        registry=TrainedModels(DataDirectory(RealDisk(), arguments.data, keys=config.privacy.keys)),
        workers=None if folder is None else WriterSide(folder, count)))
    log.info("stopped")
    if arguments.json:
        print(msgspec.json.encode({"stopped": address}).decode())
    return 0


def run_decider(arguments: argparse.Namespace, *, folder: Path, number: int, count: int) -> int:
    """Decide as worker `number` of `count` beside the writer whose folder that is, until told to stop."""
    log_as_json()
    forget_what_is_freed()
    from ..workers.decider import decide_beside  # Not before, as above.

    config = load_checked(arguments.config)
    uvloop.run(decide_beside(
        config, arguments.data, folder, number, host=_host(arguments), port=arguments.port,
        terms=terms_of(config, dev=arguments.dev), dev=arguments.dev, progress=_compiling))
    return 0


def _become_supervisor(arguments: argparse.Namespace) -> None:
    """Go on as a process that holds nothing of what was imported here, see `workers.supervisor`."""
    if arguments.clock == "events":
        raise ConfigRejected("with --clock events one process decides", suggestion="serve without --workers")
    if sys.platform != "linux":
        raise ConfigRejected("several processes share a port on Linux alone", suggestion="serve without --workers")
    load_checked(arguments.config)
    config = [] if arguments.config is None else ["--config", str(arguments.config)]
    flags = [f"--{name.replace('_', '-')}" for name in ("dev", "drop_features", "accept_loss")
             if getattr(arguments, name)]  # fmt: skip
    words = [*config, "--data", str(arguments.data), "--host", arguments.host, "--port", str(arguments.port), *flags]
    told = _address(arguments) if arguments.json else ""
    sys.stdout.flush()
    command = [sys.executable, "-m", "instanter.ops.cli.supervised", str(arguments.workers), told, *words]
    os.execv(sys.executable, command)


def _host(arguments: argparse.Namespace) -> str:
    return "127.0.0.1" if arguments.host == "localhost" else str(arguments.host)


def _address(arguments: argparse.Namespace) -> str:
    host = _host(arguments)
    return f"http://{f'[{host}]' if ':' in host else host}:{arguments.port}"


def _check_access(dev: bool, host: str) -> None:
    """Whoever asks for no key listens to this machine alone."""
    if not dev:
        return
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ConfigRejected(f"--dev listens on loopback addresses only, not on {host}", suggestion="127.0.0.1")


def _check_port(host: str, port: int) -> None:
    """Refuse a port that somebody has before the state is recovered, which can take long."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Unavailable(f"cannot listen on {host}:{port}: {error.strerror}; choose another --port") from None


def _compiling(done: int, at_most: int) -> None:
    if done % COMPILED_PER_REPORT == 1:
        log.info(COMPILING, extra={"done": done, "at_most": at_most})


def _progress(records: int, position: int) -> None:
    if records % 102_400 == 0 and sys.stderr.isatty():
        print(f"replayed {records:,} records", file=sys.stderr)
