"""Backups: what is copied, how it is checked, and how it comes back."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from instanter.engine.loop import Engine
from instanter.engine.partition import Partition
from instanter.engine.recovery import beginning, catch_up
from instanter.features.compile import compile_features
from instanter.features.declaration import DEFAULT_FEATURES
from instanter.foundation.clock import ManualClock
from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import Broken, ConfigRejected, Corrupt, RequestRejected, Unavailable
from instanter.foundation.ids import item_reference
from instanter.foundation.limits import BACKUP_MANIFEST_BYTES_MAX, BACKUP_TRIES_MAX
from instanter.log.beside import durable_end
from instanter.log.commit import commit_now
from instanter.log.segment_log import SegmentLog
from instanter.log.segments import SegmentReader
from instanter.ops.backup.making import back_up
from instanter.ops.backup.manifest import (
    BACKUP_FORMAT,
    MANIFEST,
    BackedUp,
    BackupManifest,
    check_backup,
    encode_manifest,
    read_manifest,
)
from instanter.ops.backup.restoring import restore
from instanter.ops.cli import main as frame
from instanter.ops.datadir import UNFINISHED, DataDirectory

from ..engine.harness import event, take, with_engine
from .shop_data import make_data

Printed = pytest.CaptureFixture[str]
CLOCK = ManualClock()
DAY_MS = 86_400_000
SCHEMA = compile_features(DEFAULT_FEATURES, memory_mb=64, items_max=4_096)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_data(tmp_path_factory.mktemp("made") / "data")


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    """A directory of the test's own."""
    return Path(shutil.copytree(made, tmp_path / "data"))


@pytest.fixture
def backup(data: Path, tmp_path: Path) -> Path:
    """A backup of it."""
    to = tmp_path / "backup"
    back_up(DataDirectory(RealDisk(), data), to, clock=CLOCK)
    return to


def log_bytes(data: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted((data / "log").glob("*.seg")))


def rebuilt(data: Path, *, until: int | None = None) -> Partition:
    disk, log = RealDisk(), SegmentReader(RealDisk(), data / "log")
    partition = beginning(SCHEMA, log, disk=disk, checkpoints=data / "checkpoints")
    catch_up(partition, log, until=until)
    return partition


def state_hash(data: Path, *, until: int | None = None) -> str:
    return rebuilt(data, until=until).state.hash()


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rewritten(backup: Path, **changes: Any) -> None:
    """Another manifest, with a checksum that fits."""
    manifest = msgspec.structs.replace(read_manifest(RealDisk(), backup), **changes)
    (backup / MANIFEST).write_bytes(encode_manifest(manifest))


def told(capsys: Printed) -> Any:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_restored_directory_is_the_original(data: Path, backup: Path, tmp_path: Path) -> None:
    restored = restore(DataDirectory(RealDisk(), tmp_path / "restored"), backup, keys=data / "keys")
    assert log_bytes(tmp_path / "restored") == log_bytes(data)
    assert len(log_bytes(data)) == restored.manifest.position
    assert state_hash(tmp_path / "restored") == state_hash(data)
    for part in ("quarantine", "audit", "checkpoints"):
        ours, theirs = files(data / part), files(tmp_path / "restored" / part)
        assert {name: one for name, one in ours.items() if name != "lock"} == theirs, part
    assert DataDirectory(RealDisk(), tmp_path / "restored").open() == DataDirectory(RealDisk(), data).open()


def test_the_key_of_the_references_travels_with_the_log(data: Path, backup: Path, tmp_path: Path) -> None:
    restore(DataDirectory(RealDisk(), tmp_path / "restored"), backup, keys=data / "keys")
    ours, theirs = (rebuilt(one).references for one in (data, tmp_path / "restored"))
    assert ours.key == theirs.key != b""
    assert ours.item("default", "sku-1") == theirs.item("default", "sku-1") != item_reference("default", "sku-1")
    assert rebuilt(tmp_path / "restored").state.catalogue.holds("default", "sku-1")


def test_no_key_is_in_a_backup(data: Path, backup: Path) -> None:
    secret = (data / "keys" / "installation.key").read_bytes()
    for name, content in files(backup).items():
        assert "key" not in name
        assert secret not in content
        assert bytes.fromhex(secret.decode()) not in content


def test_every_file_is_in_the_manifest_with_its_size_and_hash(backup: Path) -> None:
    found = files(backup)
    found.pop(MANIFEST)
    manifest = check_backup(RealDisk(), backup)
    assert {one.path: (one.size_bytes, one.sha256) for one in manifest.files} == {
        name: (len(content), hashlib.sha256(content).hexdigest()) for name, content in found.items()
    }


def test_an_unfinished_end_of_the_log_is_left_out(data: Path, tmp_path: Path) -> None:
    segment = max((data / "log").glob("*.seg"))
    whole = log_bytes(data)
    segment.write_bytes(segment.read_bytes() + whole[-20:])
    manifest = back_up(DataDirectory(RealDisk(), data), tmp_path / "backup", clock=CLOCK)
    assert manifest.position == len(whole)
    assert log_bytes(tmp_path / "backup") == whole


def test_damage_is_named_and_not_backed_up(data: Path, tmp_path: Path) -> None:
    segment = max((data / "log").glob("*.seg"))
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)
    with pytest.raises(Corrupt, match=segment.name):
        back_up(DataDirectory(RealDisk(), data), tmp_path / "backup", clock=CLOCK)
    with pytest.raises(Broken, match="not a backup"):
        read_manifest(RealDisk(), tmp_path / "backup")


def test_a_damaged_checkpoint_is_left_out_while_the_log_is_whole(data: Path, tmp_path: Path) -> None:
    checkpoint = max((data / "checkpoints").glob("*.ckpt"))
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1])
    manifest = back_up(DataDirectory(RealDisk(), data), tmp_path / "backup", clock=CLOCK)
    assert manifest.checkpoint is None
    assert check_backup(RealDisk(), tmp_path / "backup").of("checkpoints") == []


def test_a_log_of_many_segments_is_copied_up_to_its_newest_group_while_it_is_written(tmp_path: Path) -> None:
    disk = RealDisk()
    log = SegmentLog(disk, tmp_path / "log", segment_bytes=300)
    ends = []
    for number in range(12):
        commit_now(log, [(0, number, b"x" * 60), (0, number, b"y" * 20)])
        ends.append(log.begin().start)
    assert durable_end(disk, tmp_path / "log", is_written=True) == ends[-1], "it stands still, so it is all durable"
    log.close()
    assert durable_end(disk, tmp_path / "log", is_written=False) == ends[-1]


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose log was cut below a checkpoint."""
    root, clock = tmp_path_factory.mktemp("cut") / "data", ManualClock()
    DataDirectory(RealDisk(), root).open()

    async def work(engine: Engine) -> None:
        for day in range(3):
            clock.advance(2 * DAY_MS)
            for number in range(0, 200, 50):
                await take(engine, *(event(1_000 * day + number + one, person=f"p{one}") for one in range(50)))
            await engine.checkpoint()

    with_engine(root, work, clock=clock, segment_bytes=8 * 1024, keep_days=1)
    return root


def test_a_log_that_was_cut_is_backed_up_with_a_checkpoint_it_can_stand_on(cut: Path, tmp_path: Path) -> None:
    back_up(DataDirectory(RealDisk(), cut), tmp_path / "backup", clock=CLOCK)
    manifest = restore(DataDirectory(RealDisk(), tmp_path / "restored"), tmp_path / "backup", keys=None).manifest
    assert 0 < manifest.log_start <= (manifest.checkpoint or 0) <= manifest.position
    assert log_bytes(tmp_path / "restored") == log_bytes(cut)
    assert state_hash(tmp_path / "restored") == state_hash(cut)


def test_a_log_that_was_cut_is_not_backed_up_without_a_checkpoint(cut: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(cut, tmp_path / "data"))
    shutil.rmtree(data / "checkpoints")
    with pytest.raises(Broken, match="there is no checkpoint"):
        back_up(DataDirectory(RealDisk(), data), tmp_path / "backup", clock=CLOCK)


class Retaining(RealDisk):
    """The machine's disk; once, when the backup has begun to copy the log, retention removes its oldest segments."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.removed = 0

    def open(self, path: Path) -> Any:
        if path.suffix == ".seg" and path.parent.name == "log" and not self.removed:
            for segment in sorted((self.data / "log").glob("*.seg"))[:3]:
                segment.unlink()
                self.removed += 1
        return super().open(path)


def test_segments_that_retention_removes_meanwhile_are_left_out(cut: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(cut, tmp_path / "data"))
    disk = Retaining(data)
    back_up(DataDirectory(disk, data), tmp_path / "backup", clock=CLOCK)
    assert disk.removed == 3
    check_backup(RealDisk(), tmp_path / "backup")
    assert log_bytes(tmp_path / "backup") == log_bytes(data)


def test_a_backup_begins_again_so_often_and_then_says_that_it_cannot_keep_up(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    tries: list[int] = []

    def gone(*_: object) -> None:
        tries.append(1)
        raise FileNotFoundError

    monkeypatch.setattr("instanter.ops.backup.making._copy_segment", gone)
    with pytest.raises(Unavailable, match="removed faster than they could be copied; try again"):
        back_up(DataDirectory(RealDisk(), data), tmp_path / "backup", clock=CLOCK)
    assert len(tries) == BACKUP_TRIES_MAX


@pytest.mark.parametrize("place", ["sub", "."])
def test_a_backup_goes_into_a_folder_of_its_own(place: str, data: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestRejected, match=r"must not lie in one another|not empty"):
        back_up(DataDirectory(RealDisk(), data), data / place, clock=CLOCK)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(RequestRejected, match="not empty"):
        back_up(DataDirectory(RealDisk(), data), tmp_path / "full", clock=CLOCK)


@pytest.mark.parametrize("place", ["x", "log/x", ".."])
def test_a_backup_is_not_restored_into_itself_nor_around_itself(place: str, backup: Path) -> None:
    before = files(backup)
    with pytest.raises(RequestRejected, match="must not lie in one another"):
        restore(DataDirectory(RealDisk(), backup / place), backup, keys=None)
    assert files(backup) == before
    assert not (backup / "x").exists()


def test_a_backup_from_before_tells_whose_it_is_by_its_manifest(data: Path, backup: Path, tmp_path: Path) -> None:
    (backup / "instanter.json").write_bytes(b'{"format":2}')
    old = tuple(
        file if file.path != "instanter.json" else msgspec.structs.replace(
            file, size_bytes=12, sha256=hashlib.sha256(b'{"format":2}').hexdigest()
        ) for file in read_manifest(RealDisk(), backup).files
    )  # fmt: skip
    rewritten(backup, files=old)
    directory = DataDirectory(RealDisk(), tmp_path / "restored")
    restore(directory, backup, keys=data / "keys")
    assert directory.installation == read_manifest(RealDisk(), backup).installation != ""


# Checking.


def test_every_changed_byte_of_a_backup_is_found_before_anything_is_put_in_place(
    backup: Path, tmp_path: Path
) -> None:  # fmt: skip
    for path in [path for path in backup.rglob("*") if path.is_file()]:
        whole = path.read_bytes()
        for place in (0, len(whole) // 2, len(whole) - 2):
            damaged = bytearray(whole)
            damaged[place] ^= 4
            path.write_bytes(damaged)
            with pytest.raises(Corrupt, match=path.name):
                restore(DataDirectory(RealDisk(), tmp_path / "restored"), backup, keys=None)
        path.write_bytes(whole[:-2])
        with pytest.raises(Corrupt, match=path.name):
            check_backup(RealDisk(), backup)
        path.unlink()
        with pytest.raises(Broken, match=path.name):
            check_backup(RealDisk(), backup)
        path.write_bytes(whole)
    assert not (tmp_path / "restored").exists()
    check_backup(RealDisk(), backup)


def test_a_manifest_whose_log_has_a_gap_is_refused(backup: Path) -> None:
    rewritten(backup, position=read_manifest(RealDisk(), backup).position + 1)
    with pytest.raises(Corrupt, match="the log ends at"):
        check_backup(RealDisk(), backup)


@pytest.mark.parametrize("path", ["../evil", "/etc/evil", "log/../../evil", "keys/installation.key", "", "a/b/c", "."])
def test_a_manifest_cannot_write_outside_the_directory_nor_into_its_keys(path: str, backup: Path) -> None:
    manifest = read_manifest(RealDisk(), backup)
    rewritten(backup, files=(msgspec.structs.replace(manifest.files[0], path=path),))
    with pytest.raises(Corrupt, match="no file of a data directory"):
        read_manifest(RealDisk(), backup)


@pytest.mark.parametrize("path", ["log", "lock", "unfinished.json", "holdings.json", "audits/x", "jobs/x", "log\n/x"])
def test_a_restore_puts_nothing_there_that_is_no_part_of_a_data_directory(
    path: str, backup: Path, tmp_path: Path
) -> None:
    manifest = read_manifest(RealDisk(), backup)
    place = backup / path
    if not place.exists():
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(b"")
    strange = BackedUp(path, place.stat().st_size, hashlib.sha256(b"").hexdigest())
    rewritten(backup, files=(*manifest.files, strange))
    with pytest.raises(Corrupt, match="no file of a data directory"):
        restore(DataDirectory(RealDisk(), tmp_path / "restored"), backup, keys=None)
    assert not (tmp_path / "restored").exists()


def test_a_restore_needs_the_file_that_names_the_format_in_the_manifest(backup: Path, tmp_path: Path) -> None:
    manifest = read_manifest(RealDisk(), backup)
    rewritten(backup, files=tuple(file for file in manifest.files if file.path != "instanter.json"))
    with pytest.raises(Corrupt, match=r"instanter\.json is not listed"):
        restore(DataDirectory(RealDisk(), tmp_path / "restored"), backup, keys=None)


def test_a_file_that_a_manifest_names_again_and_again_is_not_read_again_and_again(backup: Path) -> None:
    manifest = read_manifest(RealDisk(), backup)
    rewritten(backup, files=(*manifest.files, manifest.files[0]))
    with pytest.raises(Corrupt, match="stands there twice"):
        check_backup(RealDisk(), backup)


def test_a_manifest_is_read_up_to_a_bound(backup: Path, capsys: Printed, tmp_path: Path) -> None:
    with (backup / MANIFEST).open("r+b") as file:
        file.truncate(BACKUP_MANIFEST_BYTES_MAX + 1)
    for words in (["verify", "--backup", str(backup)],
                  ["restore", "--from", str(backup), "--data", str(tmp_path / "restored")]):
        assert frame.main(words) == 1
        assert "a manifest has at most" in capsys.readouterr().err


def test_a_newer_backup_is_refused_in_one_sentence(backup: Path, capsys: Printed, tmp_path: Path) -> None:
    rewritten(backup, format=BACKUP_FORMAT + 1)
    says = f"is a backup of format {BACKUP_FORMAT + 1}; this program reads up to {BACKUP_FORMAT}"
    for words in (["verify", "--backup", str(backup)],
                  ["restore", "--from", str(backup), "--data", str(tmp_path / "restored")]):
        assert frame.main(words) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert says in line


def test_a_backup_of_a_newer_directory_is_refused_in_one_sentence(backup: Path, tmp_path: Path) -> None:
    rewritten(backup, directory_format=99)
    with pytest.raises(Broken, match="format 99; this program reads up to"):
        restore(DataDirectory(RealDisk(), tmp_path / "restored"), backup, keys=None)
    assert not (tmp_path / "restored").exists()


# Restoring.


def test_without_keys_the_directory_cannot_be_opened_and_with_them_it_can(
    data: Path, backup: Path, tmp_path: Path
) -> None:  # fmt: skip
    restored = tmp_path / "restored"
    assert restore(DataDirectory(RealDisk(), restored), backup, keys=None).keys == 0
    with pytest.raises(Broken, match="its keys are not in"):
        DataDirectory(RealDisk(), restored).open()
    shutil.copytree(data / "keys", restored / "keys", dirs_exist_ok=True)
    DataDirectory(RealDisk(), restored).open()


def test_keys_of_another_installation_are_refused(backup: Path, tmp_path: Path) -> None:
    DataDirectory(RealDisk(), tmp_path / "other").open()
    with pytest.raises(ConfigRejected, match="another installation"):
        restore(DataDirectory(RealDisk(), tmp_path / "restored"), backup, keys=tmp_path / "other" / "keys")
    assert not (tmp_path / "restored").exists()


def test_a_folder_with_something_in_it_is_left_alone(data: Path, backup: Path) -> None:
    before = files(data)
    with pytest.raises(RequestRejected, match="not empty"):
        restore(DataDirectory(RealDisk(), data), backup, keys=None)
    assert files(data) == before


class Died(BaseException):
    """The process ended here."""


class DyingDisk(RealDisk):
    """The machine's disk, until the process dies at the n-th change."""

    def __init__(self, dies_at: int) -> None:
        self.dies_at = dies_at

    def step(self) -> None:
        self.dies_at -= 1
        if self.dies_at == 0:
            raise Died

    def open(self, path: Path) -> Any:
        self.step()
        return super().open(path)

    def rename(self, old: Path, new: Path) -> None:
        self.step()
        super().rename(old, new)

    def unlink(self, path: Path) -> None:
        self.step()
        super().unlink(path)

    def make_directory(self, directory: Path) -> None:
        self.step()
        super().make_directory(directory)

    def sync_directory(self, directory: Path) -> None:
        self.step()
        super().sync_directory(directory)


def test_a_restore_that_dies_anywhere_is_refused_by_the_server_and_can_be_run_again(
    data: Path, backup: Path, tmp_path: Path
) -> None:  # fmt: skip
    step, died = 0, True
    while died:
        step += 1
        restored = tmp_path / f"restored-{step}"
        try:
            restore(DataDirectory(DyingDisk(step), restored), backup, keys=data / "keys")
            died = False
        except Died:
            whole = (restored / "instanter.json").exists() and not (restored / UNFINISHED).exists()
            if (restored / UNFINISHED).exists():
                with pytest.raises(Broken, match="a restore into it did not come to its end"):
                    DataDirectory(RealDisk(), restored).open()
            if not whole:
                restore(DataDirectory(RealDisk(), restored), backup, keys=data / "keys")
        assert log_bytes(restored) == log_bytes(data)
        assert state_hash(restored) == state_hash(data) if step % 10 == 0 else True
        DataDirectory(RealDisk(), restored).open()
    assert step > 20


def test_a_backup_that_dies_anywhere_is_no_backup(data: Path, tmp_path: Path) -> None:
    step, died = 0, True
    while died:
        step += 1
        to = tmp_path / f"backup-{step}"
        try:
            back_up(DataDirectory(DyingDisk(step), data), to, clock=CLOCK)
            died = False
        except Died:
            if (to / MANIFEST).exists():
                check_backup(RealDisk(), to)
            else:
                with pytest.raises(Broken, match="not a backup"):
                    read_manifest(RealDisk(), to)
    check_backup(RealDisk(), to)
    assert step > 15


# The verbs.


def test_the_verbs_back_up_check_and_restore(data: Path, tmp_path: Path, capsys: Printed) -> None:
    keys, backup, restored = data / "keys", tmp_path / "backup", tmp_path / "restored"
    assert frame.main(["backup", "--data", str(data), "--to", str(backup), "--json"]) == 0
    made = told(capsys)
    assert made["position"] == len(log_bytes(data))
    assert frame.main(["verify", "--backup", str(backup), "--json"]) == 0
    assert told(capsys)["position"] == made["position"]
    words = ["restore", "--from", str(backup), "--data", str(restored)]
    assert frame.main([*words, "--keys", str(keys), "--json"]) == 0
    assert told(capsys)["keys"] >= 1
    assert frame.main(["verify", "--data", str(restored)]) == 0
    assert frame.main(["verify", "--data", str(restored), "--audit", "--json"]) == 0
    report = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")][-1]
    assert (report["acts"], report["broken"]) == (1, "")


def test_without_keys_the_verb_says_what_is_missing(data: Path, backup: Path, tmp_path: Path, capsys: Printed) -> None:
    assert frame.main(["restore", "--from", str(backup), "--data", str(tmp_path / "restored")]) == 0
    printed = capsys.readouterr().out
    manifest: BackupManifest = read_manifest(RealDisk(), backup)
    assert "cannot be opened yet: put the keys of installation" in printed
    assert manifest.installation in printed
    assert frame.main(["verify", "--data", str(tmp_path / "restored")]) == 1
    assert "its keys are not in" in capsys.readouterr().err


def test_a_backup_and_a_restore_leave_word_for_the_audit_record(data: Path, tmp_path: Path) -> None:
    assert frame.main(["backup", "--data", str(data), "--to", str(tmp_path / "backup")]) == 0
    assert frame.main(["restore", "--from", str(tmp_path / "backup"), "--data", str(tmp_path / "restored")]) == 0
    (ours,) = (data / "audit" / "acts").glob("*.act")
    (theirs,) = (tmp_path / "restored" / "audit" / "acts").glob("*.act")
    assert (b"backup.made" in ours.read_bytes(), b"backup.restored" in theirs.read_bytes()) == (True, True)


def test_a_changed_audit_record_is_one_sentence_and_exit_code_1(data: Path, capsys: Printed) -> None:
    segment = max((data / "audit").glob("*.seg"))
    segment.write_bytes(segment.read_bytes()[:32])
    assert frame.main(["verify", "--data", str(data), "--audit"]) == 1
    assert capsys.readouterr().out == (
        "0 acts: broken: the record ends with act 0, and the log knows of 1: its end was cut off\n"
    )


def test_keys_that_lie_elsewhere_stay_there(data: Path, backup: Path, tmp_path: Path, capsys: Printed) -> None:
    shutil.move(data / "keys", tmp_path / "keys")
    config = tmp_path / "instanter.toml"
    config.write_text('[privacy]\nkeys = "keys"\n')
    words = ["restore", "--config", str(config), "--from", str(backup), "--data", str(tmp_path / "restored")]
    assert frame.main(words) == 0
    assert f"its keys are those in {tmp_path / 'keys'}" in capsys.readouterr().out
    assert not (tmp_path / "restored" / "keys").exists()
    for verb in (["verify"], ["verify", "--audit"], ["backup", "--to", str(tmp_path / "again")]):
        assert frame.main([*verb, "--config", str(config), "--data", str(tmp_path / "restored")]) == 0
