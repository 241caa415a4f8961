"""`instanter init`: a configuration to start from."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ...foundation.errors import ConfigRejected
from ..reference import template

_FILE = "instanter.toml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `instanter init`."""
    parser.description = f"Write DIR/{_FILE}: every setting with its default, its bounds and what it does."
    parser.epilog = "example:\n  instanter init shop\n\nA file that is there already is left as it is."
    parser.add_argument("folder", type=Path, metavar="DIR", help="where to write; made if it is not there")


def run(arguments: argparse.Namespace) -> int:
    """Write the file; refuses to touch one that exists."""
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _FILE
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(template())
    except FileExistsError:
        raise ConfigRejected("there is a configuration already", file=str(path),
                             suggestion="remove it first, or give another folder") from None
    if arguments.json:
        print(json.dumps({"written": str(path)}))
    else:
        print(f"Wrote {path}. Next: instanter doctor --config {path} --data {path.parent / 'data'}")
    return 0
