"""R29: backups of a server that takes 2,000 events a second; each restores to exactly the log it names."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from instanter.foundation.disk import RealDisk
from instanter.log.recovery import recover
from instanter.log.segments import SegmentReader

from .accountant import Accountant, ask, replayed
from .conftest import Figures, MakeSite
from .servers import Site

EVENTS_PER_S = 2_000
BACKUP_S_MAX = 600.0

pytestmark = [pytest.mark.faults, pytest.mark.about("P1")]


def instanter(*words: object) -> Any:
    """What a verb printed as JSON; it has to succeed."""
    command = [sys.executable, "-m", "instanter.ops.cli.main", *map(str, words), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BACKUP_S_MAX, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def log_bytes(data: Path, end: int) -> bytes:
    return b"".join(path.read_bytes() for path in sorted((data / "log").glob("*.seg")))[:end]


def assert_is_prefix(site: Site, restored: Site, backup: Path) -> None:
    """The restored directory is the original as of the position that the backup names."""
    position = instanter("verify", "--backup", backup)["position"]
    report = instanter("restore", "--from", backup, "--data", restored.data, "--keys", site.data / "keys")
    assert report["position"] == position
    assert log_bytes(restored.data, 1 << 62) == log_bytes(site.data, position)
    for part in ("log", "quarantine", "audit"):
        assert recover(RealDisk(), restored.data / part).cut is None, "no torn record"
    frames = list(SegmentReader(RealDisk(), restored.data / "log").read())
    assert frames[-1].end == position
    original = replayed(site.data, site.config, until=position)
    assert original.position == position
    assert replayed(restored.data, restored.config).state.hash() == original.state.hash()


def test_r29_a_hot_backup_restores_to_the_log_it_names(
    make_site: MakeSite, accountant: Accountant, tmp_path: Path, full: bool, figures: Figures
) -> None:  # fmt: skip
    site = make_site(checkpoint_s=1)
    server = site.start()
    stop = threading.Event()
    sending = threading.Thread(target=accountant.send, args=(server.port,), kwargs={
        "stop": stop, "events_per_s": EVENTS_PER_S, "padding": 200})
    sending.start()
    backups, acked = [], []
    try:
        accountant_has_begun(accountant)
        for number in range(8 if full else 2):
            acked.append(len(accountant.acked))
            backups.append(tmp_path / f"backup-{number}")
            made = instanter("backup", "--data", site.data, "--to", backups[-1])
            print(f"backup of {made['size_bytes'] / 1e6:.1f} MB in {made['seconds']} s, "
                  f"{len(accountant.acked) - acked[-1]} events acknowledged meanwhile")
            assert len(accountant.acked) > acked[-1], "the server goes on meanwhile"
    finally:
        stop.set()
        sending.join()
    server.stop()
    for number, backup in enumerate(backups):
        restored = make_site(f"restored-{number}")
        assert_is_prefix(site, restored, backup)
        events = sum(frame.partition != 0xFFFF for frame in SegmentReader(RealDisk(), restored.data / "log").read())
        assert events >= acked[number], "what was acknowledged before the backup began is in it"
    again = restored.start()
    state = ask(again.port, "GET", "/v1/state").json
    assert state["hash"] == replayed(restored.data, restored.config, until=int(state["position"])).state.hash()
    again.stop()
    figures(backups=len(backups), torn_records=0, differing_bytes=0, state_hashes_equal=len(backups))
    acts = instanter("verify", "--data", restored.data, "--audit")
    assert (acts["broken"], acts["acts"] >= 2) == ("", True), "the restore is in the record"


def accountant_has_begun(accountant: Accountant) -> None:
    """Returns once a second's events are acknowledged."""
    waiting = threading.Event()
    while len(accountant.acked) < EVENTS_PER_S:
        waiting.wait(0.01)


@pytest.mark.about("P8")
def test_r29_somebody_erased_since_does_not_come_back_with_an_old_backup(make_site: MakeSite, tmp_path: Path) -> None:
    site, restored = make_site(), make_site("restored")
    server = site.start()
    for person in ("erased", "other"):
        event = {"event": "Product Viewed", "anonymousId": person, "messageId": f"m-{person}",
                 "properties": {"product_id": "sku-1"}}
        assert ask(server.port, "POST", "/v1/track", event).status == 200
    instanter("backup", "--data", site.data, "--to", tmp_path / "backup")
    assert ask(server.port, "DELETE", "/v1/profiles/anonymous:erased").status == 200
    server.stop()
    instanter("restore", "--from", tmp_path / "backup", "--data", restored.data, "--keys", site.data / "keys")
    again = restored.start()
    assert ask(again.port, "GET", "/v1/profiles/anonymous:erased").status == 404
    assert ask(again.port, "GET", "/v1/profiles/anonymous:other").status == 200
    state = ask(again.port, "GET", "/v1/state").json
    again.stop()
    partition = replayed(restored.data, restored.config, until=int(state["position"]))
    assert partition.state.cells_used == 1, "the rebuild from the restored log forgets as well"
