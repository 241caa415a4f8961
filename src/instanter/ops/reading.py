"""A data directory opened to be read and nothing else, also beside the server that writes it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ..engine.configuration import Configurations
from ..engine.models import StoredModels
from ..engine.replay import Replay
from ..foundation.disk import RealDisk
from ..log.moved import MovedPositions
from ..log.segments import SegmentReader
from ..models.store import ModelStore
from ..privacy.subjects import KeyStore
from ..state.cold_files import ColdPlace
from .attention.running import NetsHere
from .datadir import DataDirectory
from .master import master_key
from .settings import Config


class Reading(NamedTuple):
    """What can be read of a data directory."""

    directory: DataDirectory
    log: SegmentReader
    subjects: KeyStore
    moved: MovedPositions
    configurations: Configurations
    models: ModelStore
    replay: Replay
    cold: ColdPlace
    """Where idle people of a replay may lie."""


@contextmanager
def reading(config: Config, data: Path) -> Iterator[Reading]:
    """Open a directory that is there. Idle people of a replay lie in a folder of our own, which goes at the end.

    Raises `Broken` for what is no data directory, `ConfigRejected` without the master key.
    """
    disk = RealDisk()
    directory = DataDirectory(disk, data, keys=config.privacy.keys)
    secret = directory.check()
    master = master_key(disk, directory.keys, file=config.privacy.master_key_file, may_make=False)
    subjects = KeyStore(disk, directory.keys, secret=secret, master=master, read_only=True)
    log = SegmentReader(disk, directory.log)
    configurations = Configurations(disk, directory.configurations)
    models = ModelStore(disk, directory.models)
    try:
        with tempfile.TemporaryDirectory(prefix="instanter-reading-") as folder:
            cold = ColdPlace(disk, Path(folder), inherited=directory.cold)
            replay = Replay(
                log, disk=disk, checkpoints=directory.checkpoints, configurations=configurations,
                models=StoredModels(models, NetsHere()), memory_mb=config.state.memory_mb, cold=cold,
            )  # fmt: skip
            moved = MovedPositions(disk, directory.moved)
            yield Reading(directory, log, subjects, moved, configurations, models, replay, cold)
    finally:
        subjects.close()
