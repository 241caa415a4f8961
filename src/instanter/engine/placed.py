"""Which model ranks where: control state, folded from `ModelPlaced`. Where none was placed it is the built-in one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from ..events.envelope import ModelPlaced, Record
from ..events.folding import Prepare, Rows, always


class PlacedModels(dict[tuple[str, str], ModelPlaced]):
    """By tenant and placement."""

    def hears(self) -> Mapping[type[Record], Prepare]:
        return {ModelPlaced: always(self.place)}

    def place(self, event: ModelPlaced) -> None:
        """From here on this model ranks for the placement, or none that was placed."""
        if event.model:
            self[event.tenant, event.placement] = event
        else:
            self.pop((event.tenant, event.placement), None)

    def rows(self) -> Rows:
        return {"models": list(self.values())}

    def restore(self, rows: Rows) -> None:
        self.clear()
        for placed in msgspec.convert(rows.get("models", []), list[ModelPlaced]):
            self[placed.tenant, placed.placement] = placed

    def hashed(self) -> Iterable[object] | None:
        return self.values() or None
