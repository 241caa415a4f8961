"""The data directory of a verb that looks at or changes what is there, and never begins a new one.

Only verbs that put something in do that: `serve`, `import`, `demo`, `keys create` and `restore`.
"""

from __future__ import annotations

import argparse

from ...foundation.disk import RealDisk
from ..config import load
from ..datadir import DataDirectory


def existing(arguments: argparse.Namespace) -> DataDirectory:
    """The directory of `--data` and `--config`; `Broken` if there is none."""
    directory = DataDirectory(RealDisk(), arguments.data, keys=load(arguments.config).privacy.keys)
    directory.format()
    return directory
