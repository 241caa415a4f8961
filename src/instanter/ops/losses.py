"""What a data directory proves to have held and does not hold any more, in sentences. Only reads.

The proofs: `holdings.json`, which says what there was; checkpoints of positions that the log does not hold; keys that
a log with records cannot be without; acts that the log knows of; entries of the quarantine and moved positions that
point to records which are not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Final

from ..engine.holdings import AUDIT, LOG, QUARANTINE, Extent, Holdings, read_holdings
from ..events.envelope import CONTROL_PARTITION, ModelPlaced
from ..events.reject import decode_quarantined
from ..foundation.disk import Disk
from ..foundation.errors import Corrupt, InstanterError
from ..foundation.limits import QUARANTINE_BYTES_MAX
from ..log.beside import end_by_size, holds_records
from ..log.moved import MovedPositions
from ..log.recovery import recover
from ..log.segment_log import shortened
from ..log.segments import SegmentReader, list_segments, segment_path
from ..privacy.erasures import ERASURES, HEADSTONES, read_erasures, read_headstones
from ..privacy.subjects import DAYS, SUBJECTS
from ..privacy.user_tokens import FILE as SECRETS
from ..privacy.user_tokens import read_signing_secrets
from ..privacy.vault import SLOT_BYTES, scan
from ..state.checkpoint import list_checkpoints
from .datadir import KEY_FILES, DataDirectory

NAMED_MAX: Final = 20
"""Sentences that are told of one kind; what more there are is counted."""


def missing(
    directory: DataDirectory, *, whole_frames: bool = False, quarantine_bytes_max: int = QUARANTINE_BYTES_MAX
) -> list[str]:
    """What is missing by what can be seen before anything is opened.

    The ends of logs are judged by the sizes of their files, which costs nothing; with `whole_frames` by what can be
    read, as `SegmentLog` does when it is told how far a log `reaches`.
    """
    disk = directory.disk
    starts = {name: min(list_segments(disk, folder), default=None) for name, folder in _logs(directory).items()}
    try:
        held = read_holdings(disk, directory.holdings) or Holdings()
    except Corrupt as error:
        return [f"{error}; what else is missing cannot be told"]
    found: list[str] = []
    for name, extent in held.logs.items():
        folder = _logs(directory).get(name)
        if folder is not None and holds_records(extent):
            end = _end_read(disk, folder) if whole_frames else end_by_size(disk, folder)
            found += _of_log(name, folder, starts[name], end, extent, quarantine_bytes_max)
    found += _of_keys(directory, held)
    found += _few(_of_files(directory, held))
    return found


def why_refused(directory: DataDirectory, *, serving: bool) -> list[str]:
    """Why a start would refuse the directory, as far as can be told without opening it; empty where it would not.

    While a server is `serving` it the ends of logs are judged by the sizes of their files."""
    try:
        directory.check_startable()
        if not directory.is_there():
            return []  # It is migrated first.
        read_signing_secrets(directory.disk, directory.keys)
        MovedPositions(directory.disk, directory.moved)
        for _ in chain(read_erasures(directory.disk, directory.keys / ERASURES),
                       read_headstones(directory.disk, directory.keys / HEADSTONES)):  # fmt: skip
            pass
        return [*damaged_keys(directory), *missing(directory, whole_frames=not serving)]
    except InstanterError as error:
        return [str(error)]


def damaged_keys(directory: DataDirectory) -> list[str]:
    """What is wrong with the files of keys that are there, read as an opening reads them but without a master key."""
    disk, found = directory.disk, []
    for name in sorted({*KEY_FILES} & {*disk.list(directory.keys)}):
        try:
            for _ in scan(disk, directory.keys / name):
                pass
        except Corrupt as error:
            found.append(str(error))
    return found or directory.strange_key_files()


def reaches(directory: DataDirectory) -> dict[str, int]:
    """How far logs are known to reach, by name; those of which nothing is known are not in it."""
    held = read_holdings(directory.disk, directory.holdings) or Holdings()
    return {name: end for name, (_, end) in held.logs.items()}


def pointing_beyond(directory: DataDirectory, log_end: int) -> list[str]:
    """Entries of the quarantine, and the moved position that lies last, which point to records behind the log's end.

    Of the quarantine the newest entries are looked at.
    """
    disk, found = directory.disk, []
    quarantine = SegmentReader(disk, directory.quarantine)
    furthest = max((decode_quarantined(frame.payload, offset=frame.position).position
                    for frame in quarantine.read_back()[0]), default=-1)  # fmt: skip
    if furthest >= log_end:
        found.append(f"the quarantine in {directory.quarantine} has an entry about position {furthest}, and "
                     f"{directory.log} ends at position {log_end}: at least {furthest - log_end} bytes are missing")
    moved = MovedPositions(disk, directory.moved).newest()
    if moved is not None and moved >= log_end:
        found.append(f"{directory.moved / 'positions'} names position {moved}, and {directory.log} ends at position "
                     f"{log_end}: at least {moved - log_end} bytes are missing")
    return found


def acts_missing(directory: DataDirectory, *, there: int, known: int) -> list[str]:
    """The acts that the log knows of and the audit record does not hold."""
    if there >= known:
        return []
    return [f"the audit record in {directory.audit} ends with act {there}, and the log knows of {known}: "
            f"the last {known - there} acts are missing"]


def models_missing(directory: DataDirectory, in_charge: Iterable[ModelPlaced]) -> list[str]:
    """The models that were in charge when the directory was written down, still are, and are not there."""
    try:
        held = read_holdings(directory.disk, directory.holdings) or Holdings()
    except Corrupt:
        return []
    there = set(directory.disk.list(directory.models))
    placed = [(one.placement, model) for one in in_charge for model in (one.model, one.stand_in)]
    return [
        f"{directory.models / f'{model_id}.model'} is missing: it is the model of the placement {placement}"
        for placement, model in placed
        if (model_id := model.partition("@")[2]) in held.models and f"{model_id}.model" not in there
    ]


def knows_people(directory: DataDirectory) -> bool:
    """Whether anything of people was kept: access keys can be made before, and without keys of people."""
    if list_checkpoints(directory.disk, directory.checkpoints):
        return True
    newest, _ = SegmentReader(directory.disk, directory.log).read_back()
    return any(frame.partition != CONTROL_PARTITION for frame in newest)


def _logs(directory: DataDirectory) -> dict[str, Path]:
    keys = directory.keys
    return {
        LOG: directory.log, QUARANTINE: directory.quarantine, AUDIT: directory.audit, ERASURES: keys / ERASURES,
        HEADSTONES: keys / HEADSTONES,
    }  # fmt: skip


def _end_read(disk: Disk, folder: Path) -> int:
    try:
        return recover(disk, folder).end
    except Corrupt:
        return end_by_size(disk, folder)  # Damage is named where the log is read.


def _of_log(
    name: str, folder: Path, start: int | None, end: int, held: Extent, quarantine_bytes_max: int
) -> Iterator[str]:
    began, reached = held
    if end < reached:
        yield shortened(folder, end, reached)
    if start is not None and start > began and not _goes_by_itself(name, end - began, quarantine_bytes_max):
        first = segment_path(folder, began)
        gone = start - began
        yield f"{folder} begins at position {start} and began at {began}, in {first.name}: {gone} bytes are missing"


def _goes_by_itself(name: str, reached_bytes: int, quarantine_bytes_max: int) -> bool:
    """Whether what a log began with may have gone: headstones that are over, what the quarantine has no room for."""
    return name == HEADSTONES or (name == QUARANTINE and reached_bytes > quarantine_bytes_max)


def _of_keys(directory: DataDirectory, held: Holdings) -> Iterator[str]:
    disk, keys = directory.disk, directory.keys
    there = disk.list(keys)
    for name in (SUBJECTS, DAYS):
        slots, path = held.slots.get(name, 0), keys / name
        if name not in there:
            if slots > 1:
                yield f"{path} is missing: it held {slots - 1} keys, and what is sealed under them cannot be read"
            elif knows_people(directory):
                yield f"{path} is missing: {directory.root} knows people, and these keys open what is sealed"
        elif (found := disk.size(path) // SLOT_BYTES) < slots:
            yield f"{path} ends with key {found - 1} and held {slots - 1}: the last {slots - found} keys are missing"
    if held.secrets and SECRETS not in there:
        yield f"{keys / SECRETS} is missing: it held the signing secrets of user tokens"


def _of_files(directory: DataDirectory, held: Holdings) -> Iterator[str]:
    disk = directory.disk
    for path in map(Path, held.files):
        size_bytes, file = held.files[str(path)], directory.root / path
        if file.name not in disk.list(file.parent):
            yield f"{file} is missing: it held {size_bytes} bytes"
        elif (found := disk.size(file)) < size_bytes:
            yield f"{file} ends at byte {found} and held {size_bytes}: the last {size_bytes - found} are missing"


def _few(losses: Iterable[str]) -> list[str]:
    told = list(losses)
    more = len(told) - NAMED_MAX
    return [*told[:NAMED_MAX], *([f"and {more} more files"] if more > 0 else [])]
