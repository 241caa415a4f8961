"""How far each import has been taken: control state, a function of the log alone.

Repetitions of messageIds are told for a day and per person, and an archive is years long. So a file that is imported
has an identity, a hash of what it holds, and each piece of it says in the log which lines it is. A file that is sent
again goes on where the log says that it stopped; see `docs/decisions/0036-imports-that-go-on.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

import msgspec

from ..events.envelope import Imported, Record
from ..events.folding import Change, Prepare, Rows
from ..foundation.limits import IMPORTS_MAX, IMPORTS_PER_TENANT_MAX


class ImportRow(msgspec.Struct, frozen=True, array_like=True):
    """One import as the log has it. New fields go last and have defaults."""

    tenant: str
    id: bytes
    begun_ms: int
    at_ms: int
    """Of its newest piece."""
    taken: int
    of: int
    size_bytes: int
    behind: int = 0
    """The position behind the record of its newest piece, where the events of that begin."""
    lines: tuple[int, ...] = ()
    messages: tuple[int, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether the whole file has been taken."""
        return 0 < self.of <= self.taken


class Imports:
    """Imports by tenant and id. Bounded: the oldest finished one goes first."""

    def __init__(self, rows: Iterable[ImportRow] = ()) -> None:
        self._rows = {(row.tenant, row.id): row for row in rows}

    def apply(self, record: Imported, position: int) -> None:
        """Fold a piece; `position` is that behind its record."""
        key = record.tenant, record.id
        before = self._rows.pop(key, None)
        self._rows[key] = ImportRow(
            record.tenant, record.id, before.begun_ms if before else record.at_ms, record.at_ms, record.taken,
            record.of or (before.of if before else 0), record.size_bytes or (before.size_bytes if before else 0),
            position, record.lines, record.messages,
        )  # fmt: skip
        if before is None:
            self._forget(record.tenant)

    def get(self, tenant: str, import_id: bytes) -> ImportRow | None:
        """An import, None where nothing is known of it (any more)."""
        return self._rows.get((tenant, import_id))

    def of_tenant(self, tenant: str) -> list[ImportRow]:
        """The tenant's imports, the one that went on last first."""
        return [row for row in reversed(self._rows.values()) if row.tenant == tenant]

    def hears(self) -> Mapping[type[Record], Prepare]:
        return {Imported: self._prepare}

    def rows(self) -> Rows:
        return {"imports": list(self._rows.values())}

    def restore(self, rows: Rows) -> None:
        imports = msgspec.convert(rows.get("imports", []), list[ImportRow])
        self._rows = {(row.tenant, row.id): row for row in imports}

    def hashed(self) -> Iterable[object] | None:
        return self._rows.values() or None

    def _prepare(self, record: Imported, end: int) -> Change:
        return partial(self.apply, record, end)

    def _forget(self, tenant: str) -> None:
        """The newest one stays; of the others the oldest that is finished goes, else the oldest."""
        ours = [key for key in self._rows if key[0] == tenant]
        if len(ours) > IMPORTS_PER_TENANT_MAX:
            self._drop(ours[:-1])
        elif len(self._rows) > IMPORTS_MAX:
            self._drop(list(self._rows)[:-1])

    def _drop(self, keys: list[tuple[str, bytes]]) -> None:
        del self._rows[next((key for key in keys if self._rows[key].finished), keys[0])]
