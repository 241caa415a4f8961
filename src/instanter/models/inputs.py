"""How the inputs of a trained model meet the columns of an assembler, by name."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from ..features.assemble import Column, Matrix
from ..foundation.errors import Broken, ConfigRejected
from ..state.compiled import Ints, kernel
from .artefact import SHOWN_POSITION, Artefact

NO_COLUMN: Final = -1
FIRST_PLACE: Final = -2


class Wired(msgspec.Struct, frozen=True, eq=False):
    """The inputs of one model over the columns of one assembler."""

    columns: tuple[Column, ...]
    places: Ints
    """Column of each input; `NO_COLUMN` reads not a number, `FIRST_PLACE` reads 1."""
    missing: tuple[str, ...]
    """Inputs without a column: renamed, gone, or of another version."""

    def check(self, columns: Sequence[Column]) -> None:
        """`Broken` for columns that the model was not wired to."""
        if columns is not self.columns and tuple(columns) != self.columns:
            raise Broken("the ranker was made for other columns")


def check_named(columns: Sequence[Column], name: str, *, by: str) -> None:
    """Raise `ConfigRejected` if no column has that name; `by` says who names it."""
    names = [column.name for column in columns]
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        raise ConfigRejected(
            f'{by} has no input "{name}"',
            suggestion=f'did you mean "{close[0]}"?' if close else "there are " + ", ".join(names),
            setting=name,
        )


def wire(columns: Sequence[Column], artefact: Artefact) -> Wired:
    """Find the column of each input. One that was made of another version of its feature is not what was learned."""
    learned = {one.name: one.version for one in artefact.inputs}
    at = {
        column.name: place for place, column in enumerate(columns)
        if not column.version or learned.get(column.name, "") in ("", column.version)
    }  # fmt: skip
    if artefact.position == "fixed":
        at[SHOWN_POSITION] = FIRST_PLACE
    names = [one.name for one in artefact.inputs]
    places = np.array([at.get(name, NO_COLUMN) for name in names], np.int64)
    return Wired(tuple(columns), places, tuple(name for name in names if name not in at))


@kernel
def input_of(matrix: Matrix, row: int, place: int) -> float:
    """What a model reads there."""
    if place >= 0:
        return float(matrix[row, place])
    return 1.0 if place == FIRST_PLACE else np.nan
