"""The hash of the trace of each seed, one a line: python run_seed.py SEED ..."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from worlds import Worlds

from instanter.sim.world.run import World


def main(seeds: list[str]) -> None:
    logging.disable(logging.WARNING)
    worlds = Worlds()
    for seed in seeds:
        print(World(int(seed), worlds).run())


if __name__ == "__main__":
    main(sys.argv[1:])
