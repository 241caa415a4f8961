"""`instanter doctor`: is this machine ready?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import msgspec

from .. import readiness
from ..effects import data_checks
from ..readiness import Check
from .arguments import add_address, add_config, add_data


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `instanter doctor`."""
    parser.description = (
        "Check what serving needs: Python, disk and how fast it syncs, memory, open files, the cache of compiled\n"
        "kernels, extras, the port, the configuration and the log; and what of the data in the log has no effect:\n"
        "names that nobody hears, items that are in no catalogue, and so on, with the remedy. Changes nothing. Exit\n"
        "code 1 if a check fails; a warning is none.")
    parser.epilog = (
        "examples:\n  instanter doctor\n  instanter doctor --config shop/instanter.toml --data shop/data --json")
    add_config(parser)
    add_data(parser)
    add_address(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask everything, print the answers, and say by the exit code whether all is well enough."""
    checks = diagnose(arguments)
    healthy = all(check.status != "fail" for check in checks)
    if arguments.json:
        print(msgspec.json.encode({"ok": healthy, "checks": checks}).decode())
    else:
        print(table(checks))
    return 0 if healthy else 1


def diagnose(arguments: argparse.Namespace) -> list[Check]:
    """All checks, in the order in which one would put things right."""
    configured, config = readiness.configuration(arguments.config)
    log = readiness.log_folder(arguments.data)
    return [
        readiness.python_version(),
        configured,
        readiness.extras(config),
        readiness.disk_room(arguments.data, config.log.segment_mb),
        readiness.disk_sync(arguments.data),
        log,
        readiness.data_directory(config, arguments.data),
        readiness.memory(config.state.memory_mb),
        readiness.open_files(config.serve.connections_max),
        readiness.kernel_cache(),
        readiness.free_port(arguments.host, arguments.port, serving=log.status == "warn"),
        *(data_checks(config, arguments.data) if configured.status != "fail" else ()),
    ]


def table(checks: Sequence[Check]) -> str:
    """The checks for a terminal: one line each, and the advice below where there is some.

    >>> print(table([Check("python", "ok", "3.11.7"), Check("port", "fail", "taken", "choose another")]))
    ok    python  3.11.7
    FAIL  port    taken
                  choose another
    """
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        status = check.status.upper() if check.status == "fail" else check.status
        lines.append(f"{status:4}  {check.name:{width}}  {check.found}")
        if check.advice:
            lines.append(" " * (width + 8) + check.advice)
    return "\n".join(lines)
