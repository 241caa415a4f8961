"""What two unknown files are, and what stands where in them: all that is shown before anything is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from ...events.kinds import KNOWN, canonical_name
from ...foundation.errors import RequestRejected
from .catalogue import Catalogue, Items, describing, joining
from .columns import (
    ALSO_CALLED,
    ITEM,
    RATING,
    ROLES,
    SESSION,
    TIME,
    USER,
    VISITOR,
    ClickGuess,
    Guess,
    Guesses,
    clicked_values,
    columns_of,
    guess_id,
    likeness_to_log,
    text_of,
)
from .history import KINDS, Reader, Taken
from .rows import Sample, opened_rows

SAMPLE_ROWS: Final = 5_000
_CLICKED_MAX: Final = 2_000


class Said(NamedTuple):
    """What the caller says of the files."""

    columns: Mapping[str, str] = {}
    """Role of a click, or field of an item, -> column."""
    kinds: Mapping[str, str] = {}
    """Kind of event -> what it means."""


class Prepared(NamedTuple):
    """What the files were taken for."""

    catalogue: Catalogue | None
    items: Items
    """Of the catalogue; none where there is none."""
    items_guess: Guess | None
    """Of the column of ids, where its name does not say it."""
    items_path: Path | None
    items_kind: str
    clicks_path: Path | None
    clicks_format: str
    guesses: Guesses
    described: dict[str, str]
    """Column -> field of what a click log says of the items, where there is no catalogue."""
    notes: list[str]
    sample: Sample
    """Of the clicks."""


_NO_SAMPLE: Final = Sample("", [], [], [])


def prepared(paths: Sequence[Path], said: Said) -> Prepared:
    """Look at the files, and read the catalogue. `RequestRejected` where they cannot be what is needed."""
    samples = [_sampled(path) for path in paths]
    notes: list[str] = []
    catalogue_at, clicks_at = _which(samples, said.columns)
    if (catalogue_at, clicks_at) == (1, 0):
        notes.append(f"{paths[0].name} holds clicks and {paths[1].name} items: they are taken so")
    clicks = samples[clicks_at] if clicks_at is not None else None
    of_items, of_clicks = _parted(said.columns, samples[catalogue_at] if catalogue_at is not None else None, clicks)
    catalogue, items, guess, items_kind = None, dict[str, dict[str, object]](), None, ""
    if catalogue_at is not None:
        path, sample = paths[catalogue_at], samples[catalogue_at]
        if sample is not None and "id" not in of_items:
            guess = guess_id(sample, _clicked(clicks, of_clicks))
        catalogue = Catalogue(path, {**({"id": guess.column} if guess else {}), **of_items})
        items = catalogue.read()
        items_kind = sample.export if sample is not None else ""
        items_kind = f"{items_kind} ({catalogue.format})" if items_kind else catalogue.format
    if clicks is None or clicks_at is None:
        return Prepared(catalogue, items, guess, paths[0], items_kind, None, "", Guesses([], {}), {}, notes, _NO_SAMPLE)
    guesses = ClickGuess(clicks, items.keys(), of_clicks).guess()
    described = describing(clicks, guesses) if catalogue is None else {}
    guesses = guesses._replace(left={name: why for name, why in guesses.left.items() if name not in described})
    kind = clicks.export
    return Prepared(
        catalogue, items, guess, paths[catalogue_at] if catalogue_at is not None else None, items_kind,
        paths[clicks_at], f"{kind} ({clicks.format})" if kind else clicks.format, guesses, described,
        [*notes, *clicks.notes], clicks,
    )  # fmt: skip


def taken_history(ready: Prepared, said: Said, *, now_ms: int) -> tuple[Taken, Items, list[str]]:
    """The acts of the click log, the items that are known of then, and sentences on how both are joined."""
    assert ready.clicks_path is not None, "asked where there are clicks"
    notes: list[str] = []
    clicked = _values(ready.sample, ready.guesses.column(ITEM))
    find, note = joining(ready.items.keys(), clicked)
    notes += [note] if note else []
    rated = _values(ready.sample, ready.guesses.column(RATING)) if ready.guesses.column(RATING) else set()
    reader = Reader(
        opened_rows(ready.clicks_path), ready.guesses, now_ms=now_ms, named=_kinds(said.kinds), item_of=find,
        ratings=[float(one.replace(",", ".")) for one in rated if _is_number(one)], described=ready.described,
    )  # fmt: skip
    taken = reader.read()
    items = ready.items
    if ready.catalogue is None:
        named = taken.history.item_names
        fields = [*reader.fields, *({} for _ in range(len(named) - len(reader.fields)))]
        there = np.bincount(taken.history.items, minlength=len(named)) > 0
        items = {name: fields[number] for number, name in enumerate(named) if there[number]}
    return taken, items, notes


def _sampled(path: Path) -> Sample | None:
    """The first rows; None for XML, which is a catalogue."""
    rows = opened_rows(path)
    try:
        return rows.sample(SAMPLE_ROWS)
    except RequestRejected as error:
        if "XML" in error.message:
            return None
        raise RequestRejected(error.code, f"{path.name}: {error.message}") from None


def _which(samples: Sequence[Sample | None], said: Mapping[str, str]) -> tuple[int | None, int | None]:
    """The places of catalogue and clicks among one or two files. One of which roles of clicks are said holds clicks."""
    logs = [0 if sample is None else likeness_to_log(sample) for sample in samples]
    if len(samples) == 1:
        roles = {ALSO_CALLED.get(name.casefold(), name.casefold()) for name in said}
        return (None, 0) if logs[0] or roles & {ITEM, USER, VISITOR, SESSION, TIME} else (0, None)
    return (1, 0) if logs[0] > logs[1] else (0, 1)


def _parted(
    said: Mapping[str, str], items: Sample | None, clicks: Sample | None
) -> tuple[dict[str, str], dict[str, str]]:
    """What is said of the items and what of the clicks: by the role, and by who has such a column."""
    of_items: dict[str, str] = {}
    of_clicks: dict[str, str] = {}
    for name, column in said.items():
        role = ALSO_CALLED.get(name.casefold(), name.casefold())
        if role in ROLES and clicks is not None and column in clicks.names:
            of_clicks[role] = column
        elif items is not None and column in items.names and name != ITEM:
            of_items[name] = column
        elif role in ROLES and clicks is None and items is None:
            continue
        else:
            known = [*(clicks.names if clicks else []), *(items.names if items else [])]
            what = f"{name!r} is no role: those of clicks are {', '.join(ROLES)}" if (
                role not in ROLES and column in known
            ) else f"no file has a column {column!r}; there are {', '.join(dict.fromkeys(known))[:400]}"
            raise RequestRejected("map", f"--map {name}={column}: {what}")
    return of_items, of_clicks


def _clicked(clicks: Sample | None, said: Mapping[str, str]) -> set[str]:
    """Values of clicks among which the items are."""
    if clicks is None:
        return set()
    if ITEM in said:
        return _values(clicks, said[ITEM])
    if not (column := ClickGuess(clicks, (), said).guess().column(ITEM)):
        return clicked_values(clicks, _CLICKED_MAX)
    return _values(clicks, column)


def _values(sample: Sample, name: str) -> set[str]:
    return {text_of(value) for column in columns_of(sample) if column.name == name for value in column.values}


def _kinds(said: Mapping[str, str]) -> dict[str, str]:
    """Kinds as they were said, under the names of the specification; `RequestRejected` for one that is none."""
    found = {}
    for kind, name in said.items():
        meant = canonical_name(name)
        if meant not in KNOWN or meant not in KINDS:
            turned = f"--event {f'{name}={canonical_name(kind)}'!r}: " if canonical_name(kind) in KINDS else ""
            raise RequestRejected("map", f"{turned}your own name stands first; {name!r} is no event that is taken of a "
                                         f"history: there are {', '.join(KINDS)}")  # fmt: skip
        found[kind] = meant
    return found


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True
