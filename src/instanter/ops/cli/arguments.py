"""Arguments that several verbs share, so that they are called the same everywhere."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Final

from ...foundation.limits import WORKERS_MAX

DATA_DEFAULT: Final = Path("instanter-data")
HOST_DEFAULT: Final = "127.0.0.1"
PORT_DEFAULT: Final = 8080
KEY_VARIABLE: Final = "INSTANTER_KEY"
"""The environment variable that an access key is taken from, so that it need not stand in a command."""


def add_config(parser: argparse.ArgumentParser) -> None:
    """`--config FILE`, as `arguments.config`: a Path, or None for the built-in defaults."""
    parser.add_argument("--config", type=Path, metavar="FILE",
                        help="the configuration; without it the built-in defaults hold")


def add_data(parser: argparse.ArgumentParser) -> None:
    """`--data DIR`, as `arguments.data`: a Path."""
    parser.add_argument("--data", type=Path, default=DATA_DEFAULT, metavar="DIR",
                        help="where log, checkpoints and keys live (default: %(default)s)")


def add_address(parser: argparse.ArgumentParser) -> None:
    """`--host H` and `--port N`, as `arguments.host` and `arguments.port`."""
    parser.add_argument("--host", default=HOST_DEFAULT, metavar="H", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=port, default=PORT_DEFAULT, metavar="N",
                        help="port to listen on (default: %(default)s)")


def add_key(parser: argparse.ArgumentParser) -> None:
    """`--key K`, as `arguments.key`: the access key for a server that asks for one, else that of the environment."""
    parser.add_argument("--key", default=os.environ.get(KEY_VARIABLE, ""), metavar="K",
                        help=f"access key for --url; better in the environment, as {KEY_VARIABLE}")


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json`, as `arguments.json`. The frame adds it to every verb."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON on the last line")


def port(text: str) -> int:
    """A TCP port, for argparse's `type=`."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 1 to 65535")
    return int(text)


def positive(text: str) -> int:
    """A whole number of at least 1, for argparse's `type=`."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def worker_count(text: str) -> int:
    """A number of processes that serve one data directory."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= WORKERS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of processes from 1 to {WORKERS_MAX}")
    return int(text)
