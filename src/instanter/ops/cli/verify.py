"""`instanter verify`: read every byte of a data directory that has a checksum."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from ...engine.configuration import Configurations
from ...engine.erase import ErasureReceipt, SignedErasure, is_signed_by, public_key_of
from ...engine.quarantine import passed_over
from ...engine.recovery import without_ground
from ...events.envelope import CONTROL_PARTITION, Audited, ModelPlaced, Record, Tracked, Unreadable, read_record
from ...events.folding import check_record
from ...events.reject import decode_quarantined
from ...foundation.disk import RealDisk
from ...foundation.errors import Corrupt, RequestRejected
from ...log.moved import MovedPositions
from ...log.recovery import recover
from ...log.segments import SegmentReader
from ...models.store import ModelStore
from ...privacy.audit import AuditReport, Head, audit_key, read_entries, verify_audit
from ...privacy.erasures import ERASURES, HEADSTONES, read_erasures, read_headstones
from ...privacy.subjects import KeyStore
from ...privacy.user_tokens import read_signing_secrets
from ...privacy.vault import scan
from ...state.checkpoint import checkpoint_path, list_checkpoints, people_on_disk
from ...state.cold_files import check_people
from ..backup.manifest import check_backup
from ..config import load
from ..datadir import KEY_FILES, DataDirectory
from ..losses import acts_missing, damaged_keys, missing, models_missing, pointing_beyond
from ..master import master_key
from ..readiness import is_locked
from .arguments import add_config, add_data
from .progress import records_progress

DAMAGE_MAX: Final = 100
"""Damaged people of a checkpoint that are named."""


class VerifyReport(msgspec.Struct):
    """What `instanter verify` found."""

    records: int = 0
    quarantined: int = 0
    acts: int = 0
    """Entries of the audit record; `--audit` follows their chain."""
    known_acts: int = 0
    """Acts that the log knows of."""
    checkpoints: int = 0
    models: int = 0
    keys: int = 0
    """Of people and of days, by their checksums: that the master key opens them only a start says."""
    erasures: int = 0
    people_on_disk: int = 0
    """Records of idle people that the checkpoints name."""
    damage: list[str] = []
    passed_over: int = 0
    """Records, whole by their checksums, that cannot be folded: no damage, and nothing that stops a start."""
    reasons: list[str] = []
    """Why, of the first `DAMAGE_MAX` of them."""
    missing: list[str] = []
    """What the directory held once, by its own word, and does not hold any more: a start is refused."""
    installation: str = ""
    """Whose the directory is, see `belonging`; "" where it does not say yet."""
    unfinished: list[str] = []
    """Ends that hold no whole record: writes that were cut off, which the next start takes away."""


class BackupVerifyReport(msgspec.Struct, frozen=True):
    """What `instanter verify --backup` found, if nothing was wrong."""

    files: int
    size_bytes: int
    position: int
    at_ms: int


class ErasureVerifyReport(msgspec.Struct, frozen=True):
    """What `instanter verify --erasure` found."""

    id: str
    at: str
    broken: str
    """The first thing that is wrong, in one sentence; empty when nothing is."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `instanter verify`."""
    parser.description = (
        "Read the log, the quarantine, the checkpoints, the people on disk whom these name, the keys, the erasure\n"
        "list, configurations, models and moved positions, check every checksum and decode every record. Damage is\n"
        "named by file and byte, and so is what is missing by the directory's own word, as a start does. Records that\n"
        "cannot be folded are no damage: they are named by their position. Only reads; may run beside a server. Exit\n"
        "code 1 if anything is damaged or missing, or if the log ends in the middle of a record and no server is\n"
        "writing it.")
    parser.epilog = (
        "examples:\n  instanter verify --data shop/data\n"
        "  instanter verify --data shop/data --audit        # the record of what administrators did\n"
        "  instanter verify --data shop/data --erasure receipt.json\n"
        "  instanter verify --backup backups/monday")
    add_config(parser)
    add_data(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--audit", action="store_true",
                      help="follow the chain of the audit record, and check that it reaches as far as the log says")
    what.add_argument("--erasure", type=Path, metavar="FILE",
                      help="check the receipt of an erasure: that this installation signed it and has its entry")
    parser.add_argument("--public-key", default="", metavar="HEX",
                        help="--erasure: check against this key alone, without a data directory")
    what.add_argument("--backup", type=Path, metavar="DIR", help="check a backup instead of a data directory")


def run(arguments: argparse.Namespace) -> int:
    """Check what was asked for, and report."""
    if arguments.backup is not None:
        return _verify_backup(arguments)
    if arguments.erasure is not None:
        return _verify_erasure(arguments)
    return _verify_audit(arguments) if arguments.audit else _verify_directory(arguments)


def _verify_directory(arguments: argparse.Namespace) -> int:
    """Check everything, go on behind what is damaged where one can, and report."""
    directory = DataDirectory(RealDisk(), arguments.data, keys=load(arguments.config).privacy.keys)
    directory.check_installation()
    report = VerifyReport(installation=directory.installation)
    with records_progress("reading", quiet=arguments.json) as progress:
        report.missing = missing(directory, whole_frames=not is_locked(directory.log / "lock"))
        in_charge: dict[tuple[str, str], ModelPlaced] = {}
        unfit = _read(directory, report, in_charge, progress)
        report.quarantined = _read_quarantine(directory, report, unfit)
        report.acts = _read_audit(directory, report)
        before = len(report.damage)
        report.checkpoints, report.people_on_disk = _read_checkpoints(directory, report)
        of_checkpoints = len(report.damage) - before
        report.models = _read_models(directory, report)
        report.damage += map(str, Configurations(directory.disk, directory.configurations).damaged())
        _read_moved(directory, report)
        report.keys = _read_keys(directory, report)
        report.erasures = _read_erasures(directory, report)
        _read_secrets(directory, report)
    if not is_locked(directory.log / "lock"):
        beside_keys = (directory.keys / ERASURES, directory.keys / HEADSTONES)
        logs = (directory.log, directory.quarantine, directory.audit, *beside_keys)
        report.unfinished = [found for log in logs for found in _unfinished(directory, log)]
        if len(report.damage) == of_checkpoints:  # These proofs ask nothing of who lies on disk.
            report.missing += _proved(directory, report) + models_missing(directory, in_charge.values())
    if arguments.json:
        print(msgspec.json.encode(report).decode())
    else:
        print(f"{report.records:,} records, {report.quarantined:,} quarantined events, "
              f"{report.checkpoints} checkpoints, {report.people_on_disk:,} people on disk, {report.keys:,} keys: "
              f"{_verdict(report)}")
        if not report.installation:
            print(f"{directory.marker.name} does not say yet whose keys open this: the next start writes it down")
        for found in (*report.damage, *report.missing, *report.unfinished, *report.reasons):
            print(found)
    return 1 if report.damage or report.missing or report.unfinished else 0


def _proved(directory: DataDirectory, report: VerifyReport) -> list[str]:
    """What other files prove to be missing of the logs; while a server writes them, they are read one after another."""
    disk, log = directory.disk, SegmentReader(directory.disk, directory.log)
    end = recover(disk, directory.log).end
    groundless = without_ground(log, disk=disk, checkpoints=directory.checkpoints, log_start=log.start, log_end=end)
    newest = max((entry.number for entry in read_entries(SegmentReader(disk, directory.audit))), default=0)
    return [
        *(one.reason for one in groundless),
        *pointing_beyond(directory, end),
        *acts_missing(directory, there=newest, known=report.known_acts),
    ]


def _verify_backup(arguments: argparse.Namespace) -> int:
    manifest = check_backup(RealDisk(), arguments.backup)
    report = BackupVerifyReport(len(manifest.files), manifest.size_bytes, manifest.position, manifest.at_ms)
    if arguments.json:
        print(msgspec.json.encode(report).decode())
    else:
        print(f"{report.files} files, {report.size_bytes / 1e6:,.1f} MB, the log up to {report.position}: whole")
    return 0


def _verify_erasure(arguments: argparse.Namespace) -> int:
    signed = _signed_in(arguments.erasure)
    report = _checked(signed, arguments.public_key) if arguments.public_key else _checked_here(signed, arguments)
    if arguments.json:
        print(msgspec.json.encode(report).decode())
    else:
        print(f"erasure {report.id} of {report.at}: {report.broken or 'the signature is right'}")
    return 1 if report.broken else 0


def _signed_in(path: Path) -> SignedErasure:
    try:
        return msgspec.json.decode(path.read_bytes(), type=SignedErasure)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise RequestRejected("schema", f"{path} does not hold the receipt of an erasure") from None


def _checked(signed: SignedErasure, public_key: str) -> ErasureVerifyReport:
    try:
        receipt = msgspec.json.decode(signed.receipt, type=ErasureReceipt)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ErasureVerifyReport("", "", "it is not the receipt of an erasure")
    broken = "" if is_signed_by(signed, public_key) else "it was not signed with this key, or was changed since"
    return ErasureVerifyReport(receipt.id, receipt.at, broken)


def _checked_here(signed: SignedErasure, arguments: argparse.Namespace) -> ErasureVerifyReport:
    privacy = load(arguments.config).privacy
    directory = DataDirectory(RealDisk(), arguments.data, keys=privacy.keys)
    secret = directory.check()
    master = master_key(directory.disk, directory.keys, file=privacy.master_key_file, may_make=False)
    subjects = KeyStore(directory.disk, directory.keys, secret=secret, master=master, read_only=True)
    report = _checked(signed, public_key_of(subjects).hex())
    subjects.close()
    listed = (erasure.id for erasure in read_erasures(directory.disk, directory.keys / ERASURES))
    if not report.broken and report.id not in listed:
        return msgspec.structs.replace(report, broken="the erasure list does not name it")
    return report


def _verify_audit(arguments: argparse.Namespace) -> int:
    """The log is read first: a server that serves meanwhile is only ahead of it in the record."""
    directory = DataDirectory(RealDisk(), arguments.data, keys=load(arguments.config).privacy.keys)
    key = audit_key(directory.check())
    known = [
        Head(record.number, record.chain)
        for record in _control_records(directory) if isinstance(record, Audited)
    ]  # fmt: skip
    try:
        report = verify_audit(read_entries(SegmentReader(directory.disk, directory.audit)), key, known)
    except Corrupt as error:
        report = AuditReport(0, str(error))
    if arguments.json:
        print(msgspec.json.encode(report).decode())
    else:
        print(f"{report.acts:,} acts: {f'broken: {report.broken}' if report.broken else 'the chain is whole'}")
    return 1 if report.broken else 0


def _control_records(directory: DataDirectory) -> Iterator[Record]:
    for frame in SegmentReader(directory.disk, directory.log).read():
        if frame.partition == CONTROL_PARTITION:
            record = read_record(frame.payload)
            if not isinstance(record, Unreadable):
                yield record


def _verdict(report: VerifyReport) -> str:
    if report.damage:
        return "damaged"
    if report.missing:
        return "not whole"
    passed_over = f"; {report.passed_over:,} records cannot be folded and are passed over" if report.passed_over else ""
    return ("whole but for an unfinished end" if report.unfinished else "whole") + passed_over


def _read(
    directory: DataDirectory, report: VerifyReport, in_charge: dict[tuple[str, str], ModelPlaced],
    progress: Callable[[int, int], None] | None,
) -> dict[int, str]:  # fmt: skip
    """Count the records, and note who ranks where; those that nothing can fold, by position, with the reason."""
    unfit: dict[int, str] = {}
    try:
        for frame in SegmentReader(directory.disk, directory.log).read():
            record = read_record(frame.payload)
            if isinstance(record, Audited):
                report.known_acts = max(report.known_acts, record.number)
            if isinstance(record, ModelPlaced):
                in_charge[record.tenant, record.placement] = record
            try:
                _check_readable(record)
            except ValueError as error:
                unfit[frame.position] = str(error)
            report.records += 1
            if progress is not None and report.records % 4_096 == 0:
                progress(report.records, frame.position)
    except Corrupt as error:
        report.damage.append(str(error))
    return unfit


def _check_readable(record: Record | Unreadable) -> None:
    if isinstance(record, Unreadable):
        raise ValueError(record.reason)
    if not isinstance(record, Tracked):
        check_record(record)


def _read_quarantine(directory: DataDirectory, report: VerifyReport, unfit: dict[int, str]) -> int:
    """Count the entries; with those that point to records which the fold found unfit, all of these are known."""
    entries = 0
    log = SegmentReader(directory.disk, directory.quarantine)
    try:
        for frame in log.read():
            entries += not decode_quarantined(frame.payload, offset=frame.position).settles
        unfit |= passed_over(log)
    except Corrupt as error:
        report.damage.append(str(error))
    report.passed_over = len(unfit)
    report.reasons = [f"passed over at {position}: {unfit[position]}" for position in sorted(unfit)[:DAMAGE_MAX]]
    return entries


def _read_audit(directory: DataDirectory, report: VerifyReport) -> int:
    acts = 0
    try:
        for _ in read_entries(SegmentReader(directory.disk, directory.audit)):
            acts += 1
    except Corrupt as error:
        report.damage.append(str(error))
    return acts


def _unfinished(directory: DataDirectory, log: Path) -> list[str]:
    """What the next start would cut off a log's end. Damage has been reported before."""
    try:
        cut = recover(directory.disk, log).cut
    except Corrupt:
        return []
    if cut is None:
        return []
    return [f"{cut.file}: {cut.size_bytes} bytes from byte {cut.offset} on hold no whole record"]


def _read_keys(directory: DataDirectory, report: VerifyReport) -> int:
    """Keys in the files of them; where there is none, that is said by what is `missing`."""
    report.damage += (damaged := damaged_keys(directory))
    there = () if damaged else set(KEY_FILES) & set(directory.disk.list(directory.keys))
    slots = (sum(int(some.used.sum()) for some in scan(directory.disk, directory.keys / name)) for name in there)
    return sum(max(count - 1, 0) for count in slots)  # The first slot holds none.


def _read_moved(directory: DataDirectory, report: VerifyReport) -> None:
    try:
        MovedPositions(directory.disk, directory.moved)
    except Corrupt as error:
        report.damage.append(str(error))


def _read_erasures(directory: DataDirectory, report: VerifyReport) -> int:
    """Erasures listed; the headstones beside them are read, too."""
    erasures = 0
    try:
        erasures = sum(1 for _ in read_erasures(directory.disk, directory.keys / ERASURES))
        for _ in read_headstones(directory.disk, directory.keys / HEADSTONES):
            pass
    except Corrupt as error:
        report.damage.append(str(error))
    return erasures


def _read_secrets(directory: DataDirectory, report: VerifyReport) -> None:
    try:
        read_signing_secrets(directory.disk, directory.keys)
    except Corrupt as error:
        report.damage.append(str(error))


def _read_models(directory: DataDirectory, report: VerifyReport) -> int:
    kept = ModelStore(directory.disk, directory.models).list()
    report.damage += [one.damage for one in kept if one.damage]
    return len(kept)


def _read_checkpoints(directory: DataDirectory, report: VerifyReport) -> tuple[int, int]:
    """Checkpoints read, and records of the people whom they say to lie on disk, each once.

    A checkpoint that a running server replaces meanwhile is none, nor are the files that only it named."""
    checkpoints, seen = 0, np.empty(0, np.int64)
    for position in list_checkpoints(directory.disk, directory.checkpoints):
        path = checkpoint_path(directory.checkpoints, position)
        damage: list[Corrupt] = []
        people = np.empty((0, 2), np.int64)
        try:
            people = people_on_disk(directory.disk, path)
        except Corrupt as error:
            damage.append(error)
        except FileNotFoundError:
            continue
        new = people[~np.isin(people[:, 1], seen)]
        damage += islice(check_people(directory.disk, directory.cold, new), DAMAGE_MAX)
        if position not in list_checkpoints(directory.disk, directory.checkpoints):
            continue
        checkpoints, seen = checkpoints + 1, np.concatenate([seen, new[:, 1]])
        report.damage += map(str, damage)
    return checkpoints, len(seen)
