"""Items and rows from Parquet, batch by batch. Needs the extra instanter[parquet]."""

from __future__ import annotations

import datetime
import decimal
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from .columns import FeedColumns, Renamer, check_count, repeated
from .found import Broken, Finds, refused

_ROWS: Final = 512


def read_parquet(source: Path | BinaryIO, given: Mapping[str, str]) -> tuple[str, Finds]:
    """The items of a Parquet file; `RequestRejected` where it is none, or pyarrow is not installed."""
    names, rows = rows_of_parquet(source)
    check_count(names)
    FeedColumns(names, given, tables=True).require_id(names)
    return "Parquet", _items(rows, given)


def rows_of_parquet(
    source: Path | BinaryIO, only: Sequence[str] | None = None
) -> tuple[list[str], Iterator[dict[str, Any] | Broken]]:
    """The names of the columns of a Parquet file, and its rows as JSON has them; `RequestRejected` as above. Of the
    rows these columns `only`, where they are said."""
    if not isinstance(source, Path):
        raise refused("a Parquet file is read from a file, not from standard input")
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise refused("a Parquet file needs pyarrow: pip install 'instanter[parquet]'") from None
    try:
        file = parquet.ParquetFile(source)
    except (arrow.ArrowException, OSError) as error:
        raise refused(f"the Parquet file cannot be read: {error}") from None
    names = list(file.schema_arrow.names)
    if twice := repeated(names):
        file.close()
        raise refused(f'two columns are called "{twice}": rename one of them')
    return names, _rows(file, (arrow.ArrowException, OSError), only)


def _items(rows: Iterator[dict[str, Any] | Broken], given: Mapping[str, str]) -> Finds:
    renamer = Renamer(given, tables=True)
    for number, row in enumerate(rows, start=1):
        if isinstance(row, Broken):
            yield f"behind row {number - 1}", row
        else:
            yield f"row {number}", renamer.item(row)


def _rows(
    file: Any, errors: tuple[type[Exception], ...], only: Sequence[str] | None
) -> Iterator[dict[str, Any] | Broken]:
    with file:
        batches = file.iter_batches(batch_size=_ROWS, columns=only)
        while True:
            try:
                batch = next(batches, None)
            except errors as error:
                yield Broken(f"the Parquet file cannot be read on: {error}")
                return
            if batch is None:
                return
            for row in batch.to_pylist():
                yield {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime.datetime | datetime.date):
        return value.isoformat()
    if isinstance(value, datetime.time | datetime.timedelta):
        return str(value)
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    return value
