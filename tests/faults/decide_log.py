"""What a log comes to, and what is decided on it: python decide_log.py DATA CONFIG prints one JSON object.

Run under several hash seeds, compiled and with NUMBA_DISABLE_JIT=1: the output is to be the same, byte for byte.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from instanter.decisions.request import decode_decide
from instanter.engine.recovery import beginning, catch_up
from instanter.foundation.deadline import Deadline
from instanter.foundation.disk import RealDisk
from instanter.foundation.measure import NoMeter
from instanter.log.segments import SegmentReader
from instanter.ops.config import load
from instanter.ops.datadir import DataDirectory
from instanter.ops.master import master_key
from instanter.ops.wiring import decider_of, schema_of
from instanter.privacy.subjects import KeyStore

NOW_MS = 1_700_000_600_000
PEOPLE = 12
PLACEMENTS = [{"id": "home.hero"}, {"id": "home.recommended"}, {"id": "cart.addons"}]


def main(data: Path, config_path: Path) -> None:
    config = load(config_path)
    schema = schema_of(config)
    directory = DataDirectory(RealDisk(), data)
    master = master_key(directory.disk, directory.keys, file="", may_make=False)
    subjects = KeyStore(directory.disk, directory.keys, secret=directory.check(), master=master, read_only=True)
    log = SegmentReader(RealDisk(), data / "log")
    partition = beginning(schema, log, disk=RealDisk(), checkpoints=data / "none")
    catch_up(partition, log)
    decider, decisions = decider_of(config, schema), []
    for person in range(PEOPLE):
        request = decode_decide(json.dumps({"placements": PLACEMENTS, "explain": True}).encode())
        cell = subjects.find("default", f"anonymous:p{person}")
        decision = decider.decide(
            request, state=partition.state, keys=partition.links.cells(cell),
            tenant="default", now_ms=NOW_MS, position=partition.position, decision_id=f"d_{person}",
            deadline=Deadline(600_000), meter=NoMeter(),
        )  # fmt: skip
        reply = json.loads(decision.encode())
        assert reply.pop("tookMs") > 0
        decisions.append(reply)
    print(json.dumps({"hash": partition.state.hash(), "epoch": partition.state.epoch_hash, "decisions": decisions}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
