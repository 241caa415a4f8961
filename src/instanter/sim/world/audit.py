"""The engine against the books, and against itself: a rebuild from the log, its own decisions, a damaged copy."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from ...decisions.decide import Decider, Decision
from ...decisions.receipt import decode_receipt
from ...decisions.request import DecideRequest
from ...engine.partition import Partition
from ...engine.recovery import beginning, catch_up, open_checkpoint
from ...events.sent import kept_fields
from ...events.subjects import Sealed, Subjects
from ...foundation.deadline import Deadline
from ...foundation.disk import Disk
from ...foundation.ids import References
from ...foundation.measure import NoMeter
from ...log.segments import SegmentReader
from ...state.checkpoint import checkpoint_path, list_checkpoints
from ...state.layout import (
    CELL_EVENTS,
    CELL_FIRST_MS,
    CELL_LATE,
    CELL_NEWEST_MS,
    CELL_SESSION,
    ITEM_KEY,
    SESSION_END_MS,
    SESSION_EVENTS,
    SESSION_START_MS,
)
from ...state.memory import State
from ...state.schema import Schema
from ...state.table import CELLS, ITEMS, SESSIONS, address, rows_of
from .accounts import (
    CARTS,
    DAY_MS,
    ITEM_VIEWS,
    LATEST,
    SESSION_VIEWS,
    SPENT,
    TENANT,
    VIEWS,
    Accounts,
    Cell,
    Shown,
    insist,
)

_NEVER_LATE_MS: Final = 3_600_000.0
EVENTS_KEPT_MS: Final = 89 * DAY_MS
"""Until here retention destroys no key of an event."""


class Remembered:
    """A decision as the client got it."""

    def __init__(self, request: DecideRequest, decision: Decision) -> None:
        self.request = request
        self.decision = decision


def compare(partition: Partition, accounts: Accounts) -> None:
    """Nothing acknowledged is missing, everything there has had one effect, and there is nothing else."""
    insist(partition.position == accounts.position, "P1",
           f"folded up to {partition.position}, the log has {accounts.position}")  # fmt: skip
    lost = [accounts.sent[one].message_id for one in sorted(accounts.acked - accounts.present.keys())]
    insist(not lost, "P1", f"acknowledged and not in the log: {lost}")
    state = partition.state
    insist(state.cells_used == len(accounts.cells), "P2", f"{state.cells_used} cells, not {len(accounts.cells)}")
    names = {cell: who for who, cell in accounts.cell_of.items()}
    for key, cell in accounts.cells.items():
        _compare_cell(state, key, cell, names.get(key, "?"), accounts)
        _compare_links(partition, key, accounts)
    _compare_items(state, accounts)
    for one in sorted(accounts.agreed.keys() | accounts.cells.keys()):
        found = partition.consents.of([one])
        said = {"personalization": accounts.agreed[one][1]} if one in accounts.agreed else {}
        insist(found == said, "P2", f"cell {one} agreed to {found}, not {said}")
    _compare_control(partition, accounts)
    insist(state.epoch == accounts.epoch, "P3", f"epoch {state.epoch}, not {accounts.epoch}")


def _compare_control(partition: Partition, accounts: Accounts) -> None:
    """Access keys, models, learners' switches and imports are those that the records say."""
    keys = {key.id for key in partition.access_keys.kept() if key.counts}
    insist(keys == accounts.keys, "P2", f"the keys {keys} count, not {accounts.keys}")
    models = {placed.placement: placed.model for placed in partition.models.values()}
    insist(models == accounts.models, "P2", f"{models} rank, not {accounts.models}")
    declared = {name: msgspec.structs.replace(one, at_ms=0) for name, one in partition.learners.declared.items()}
    insist(declared == accounts.declared, "P2", f"the learners {declared} are declared, not {accounts.declared}")
    frozen = {placement for _, placement in partition.learners.frozen}
    insist(frozen == accounts.frozen, "P2", f"the learners of {frozen} are frozen, not {accounts.frozen}")
    imports = {row.id: row.taken for row in partition.imports.of_tenant(TENANT)}
    insist(imports == accounts.imports, "P2", f"of imports {imports} are taken, not {accounts.imports}")


def compare_bodies(subjects: Subjects, accounts: Accounts, *, retained_ms: int) -> None:
    """What people sent can be read back, unless they were erased: then never again. What was old when retention was
    at work last, at `retained_ms`, may be gone too."""
    for kept in accounts.kept.values():
        plain = subjects.unseal(kept.subject, Sealed.EVENT, kept.received_ms, kept.body)
        if kept.subject in accounts.erased_twice:
            insist(plain is None, "P8", f"{kept.message_id} can be read though its person was erased")
        elif plain is None:
            aged = retained_ms - kept.received_ms > EVENTS_KEPT_MS or kept.subject in accounts.erased
            insist(aged, "P1", f"{kept.message_id} cannot be read any more")
        else:
            found = kept_fields(plain)["messageId"]
            insist(found == kept.message_id, "P5", f"{kept.message_id} reads as {found}")


def compare_rebuilt(partition: Partition, accounts: Accounts, *, disk: Disk, root: Path) -> None:
    """A replay from the beginning comes to the same state.

    An epoch's hash goes over the records of items as the configuration of its time lays them out, so it can be
    compared only where there was one configuration.
    """
    references = References(hashed=accounts.hashed)
    rebuilt = replayed(partition, disk=disk, root=root, until=partition.position, references=references)
    insist(rebuilt.position == partition.position, "P3", f"a rebuild ends at {rebuilt.position}")
    passed_over = [one for one in accounts.passed_over if one >= partition_begins(rebuilt, disk=disk, root=root)]
    insist(rebuilt.passed_over == len(passed_over), "P3",
           f"a rebuild passes over {rebuilt.passed_over} records, not {passed_over}")  # fmt: skip
    insist(rebuilt.hash() == partition.hash(), "P3", f"a rebuild comes to another state at {partition.position}")
    insist(published(rebuilt.state) == published(partition.state), "P3", "a rebuild publishes other items")
    declared = frozenset(partition.state.schema.declared())
    if accounts.configurations == 1 and accounts.active == declared:
        hashes = (rebuilt.state.epoch_hash, partition.state.epoch_hash)
        insist(hashes[0] == hashes[1], "P3", f"a rebuild comes to another epoch: {hashes}")


def partition_begins(rebuilt: Partition, *, disk: Disk, root: Path) -> int:
    """The position from which a rebuild folds."""
    log = SegmentReader(disk, root / "log")
    return beginning(rebuilt.state.schema, log, disk=disk, checkpoints=root / "checkpoints").position


def read_everything(disk: Disk, root: Path, schema: Schema) -> None:
    """Read every frame of every log and every checkpoint; `Corrupt` if one is damaged."""
    for directory in ("log", "quarantine", "audit", "keys/erasures", "keys/headstones"):
        for _ in SegmentReader(disk, root / directory).read():
            pass
    for position in list_checkpoints(disk, root / "checkpoints"):
        open_checkpoint(schema, disk, checkpoint_path(root / "checkpoints", position))


def published(state: State) -> dict[int, bytes]:
    """The item records that decisions read, by item; those left out that say nothing."""
    words, memory = state.schema.layout.item_words, state.tables.memory
    keys = rows_of(memory, ITEMS)[:, ITEM_KEY].tolist()
    rows = state.published.reshape(-1, words)[: len(keys), ITEM_KEY + 1 :]
    return {key: row.tobytes() for key, row in zip(keys, rows, strict=True) if row.any()}


def replayed(
    partition: Partition, *, disk: Disk, root: Path, until: int, references: References | None = None
) -> Partition:
    """Another partition of the same schema, brought from the beginning of the log to `until`."""
    log = SegmentReader(disk, root / "log")
    rebuilt = beginning(
        partition.state.schema, log, disk=disk, checkpoints=root / "checkpoints", references=references
    )
    catch_up(rebuilt, log, until=until)
    return rebuilt


def compare_decision(remembered: Remembered, decider: Decider, partition: Partition) -> None:
    """On a partition as of the position that it stood on, the decision is the same."""
    was = remembered.decision
    receipt = decode_receipt(was.receipt)
    again = decider.decide(
        remembered.request, state=partition.state, keys=receipt.keys, tenant=TENANT, now_ms=receipt.at_ms,
        position=receipt.position, decision_id=was.id, deadline=Deadline(_NEVER_LATE_MS, stopwatch=lambda: 0),
        meter=NoMeter(), learned=partition.learners,
    )  # fmt: skip
    insist(again.receipt == was.receipt, "P3", f"decision {was.id} has another receipt when it is recomputed")
    insist(again.reply.placements == was.reply.placements, "P3", f"decision {was.id} is another when it is recomputed")


def _compare_cell(state: State, key: int, cell: Cell, name: str, accounts: Accounts) -> None:
    row = state.cell_row(key)
    insist(row >= 0, "P2", f"{name} has no cell")
    memory = state.tables.memory
    ints, at = memory.ints, address(memory.regions, CELLS, row)
    found = [int(ints[at + word]) for word in (CELL_EVENTS, CELL_LATE, CELL_FIRST_MS, CELL_NEWEST_MS)]
    expected = [cell.events, cell.late, cell.first_ms, cell.newest_ms]
    insist(found == expected, "P2", f"{name} has (events, late, first, newest) {found}, not {expected}")
    for feature in (VIEWS, CARTS, SPENT):
        if (word := _word(state, feature, accounts)) >= 0:
            count = int(ints[at + word])
            insist(count == cell.counts[feature], "P2", f"{name} has {feature} {count}, not {cell.counts[feature]}")
    if (word := _word(state, LATEST, accounts)) >= 0:
        latest_ms, latest = int(ints[at + word]), int(ints[at + word + 1])
        agreed = latest_ms == cell.latest_ms and (latest in cell.latest or not cell.latest)
        insist(agreed, "P2", f"{name} viewed {latest} last, at {latest_ms}, not one of {cell.latest}")
    _compare_session(state, int(ints[at + CELL_SESSION]) - 1, cell, name, accounts)


def _compare_session(state: State, row: int, cell: Cell, name: str, accounts: Accounts) -> None:
    visits = cell.session()
    insist((row >= 0) == bool(visits), "P2", f"{name} has a session: {row >= 0}, not {bool(visits)}")
    if not visits:
        return
    memory = state.tables.memory
    ints, at = memory.ints, address(memory.regions, SESSIONS, row)
    found = [int(ints[at + word]) for word in (SESSION_START_MS, SESSION_END_MS, SESSION_EVENTS)]
    expected = [visits[0].at_ms, visits[-1].at_ms, len(visits)]
    if (word := _word(state, SESSION_VIEWS, accounts)) >= 0:
        found.append(int(ints[at + word]))
        expected.append(sum(one.viewed for one in visits))
    insist(found == expected, "P2", f"{name} has the session (start, end, events, views) {found}, not {expected}")


def _compare_links(partition: Partition, key: int, accounts: Accounts) -> None:
    found, expected = set(partition.links.cells(key)), accounts.profile(key)
    insist(found == expected, "P2", f"the profile of cell {key} is {found}, not {expected}")


def _compare_items(state: State, accounts: Accounts) -> None:
    found = {ref: Shown(item.tenant, item.id, item.fields) for ref, item in state.catalogue.items.items()}
    insist(found == accounts.items, "P2", f"the catalogue holds {found}, not {accounts.items}")
    word, memory = _word(state, ITEM_VIEWS, accounts), state.tables.memory
    if word < 0:
        return
    for ref, count in accounts.item_views.items():
        row = state.find_item(ref)
        views = int(memory.ints[address(memory.regions, ITEMS, row) + word]) if row >= 0 else 0
        insist(views == count, "P2", f"item {ref} has {views} views, not {count}")


def _word(state: State, feature: str, accounts: Accounts) -> int:
    """Where in its record a feature stands; -1 if it does not count, or is not of this configuration."""
    placed = [one.offset for one in state.schema.layout.features if one.spec.name == feature]
    return placed[0] if placed and accounts.is_active(feature) else -1
