"""The master key: where it comes from, and that none is made unasked."""

from __future__ import annotations

import itertools
import logging
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import ConfigRejected
from instanter.ops.datadir import DataDirectory
from instanter.ops.master import MADE_NAME, VARIABLE, master_key
from instanter.privacy.subjects import KeyStore

KEY = bytes(range(32))
OTHER = bytes(range(32, 64))
DISK = RealDisk()


def asked(keys: Path, *, file: str = "", may_make: bool = False, variable: str = "") -> bytes:
    return master_key(DISK, keys, file=file, may_make=may_make, environment={VARIABLE: variable} if variable else {})


def test_the_environment_stands_over_the_file_and_the_file_over_one_that_was_made(tmp_path: Path) -> None:
    file = tmp_path / "given"
    file.write_text(f"{KEY.hex().upper()}\n")
    made = asked(tmp_path / "keys", may_make=True)
    assert asked(tmp_path / "keys") == made
    assert asked(tmp_path / "keys", file=str(file)) == KEY
    assert asked(tmp_path / "keys", file=str(file), variable=OTHER.hex()) == OTHER


def test_one_that_is_made_is_told_of_and_is_the_same_at_the_next_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="instanter.serve"):
        first = asked(tmp_path / "keys", may_make=True)
        again = asked(tmp_path / "keys", may_make=True)
    assert first == again
    assert ["good for trying out only" in record.message for record in caplog.records] == [True]
    assert first.hex() not in caplog.text
    assert (tmp_path / "keys" / MADE_NAME).stat().st_mode & 0o077 == 0


def test_without_one_nothing_is_opened_and_nothing_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigRejected, match=VARIABLE):
        asked(tmp_path / "keys")
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize("text", ["", "00", "zz" * 32, "00" * 33, "0x" + "00" * 31])
def test_what_is_no_key_is_refused_and_not_repeated(text: str, tmp_path: Path) -> None:
    file = tmp_path / "given"
    file.write_text(text)
    with pytest.raises(ConfigRejected, match="64 hexadecimal digits") as refused:
        asked(tmp_path / "keys", file=str(file))
    assert len(text) < 8 or text not in str(refused.value)
    with pytest.raises(ConfigRejected, match="cannot be read"):
        asked(tmp_path / "keys", file=str(tmp_path / "gone"))


class Way(NamedTuple):
    """How a command opens a directory: whether it may make a key, as `serve --dev` and `import`, and what is given."""

    may_make: bool
    variable: str = ""
    in_file: bool = False


WAYS = (
    Way(False), Way(True), Way(False, KEY.hex()), Way(True, KEY.hex()), Way(True, OTHER.hex()), Way(False, "", True),
    Way(True, "", True),
)  # fmt: skip


def opened(data: Path, way: Way) -> bytes:
    """Open a directory as the server does, and seal something; the master key it was opened with."""
    directory = DataDirectory(DISK, data)
    file = data.parent / "given"
    file.write_text(KEY.hex())
    if not way.may_make:
        asked(directory.keys, file=str(file) if way.in_file else "", variable=way.variable)
    secret = directory.open()
    master = asked(
        directory.keys, file=str(file) if way.in_file else "", may_make=way.may_make, variable=way.variable
    )
    with closing(KeyStore(DISK, directory.keys, secret=secret, master=master)) as subjects:
        subjects.subject("default", "ada")
        subjects.flush()
    return master


@pytest.mark.parametrize("ways", list(itertools.permutations(WAYS, 3)))
def test_in_any_order_a_directory_opens_with_the_key_it_was_begun_with_and_no_other(
    ways: tuple[Way, ...], tmp_path: Path
) -> None:
    begun: bytes | None = None
    for way in ways:
        before = {path: path.read_bytes() for path in sorted((tmp_path / "data").rglob("*.key"))}
        try:
            master = opened(tmp_path / "data", way)
        except ConfigRejected as refused:
            told = str(refused)
            assert VARIABLE in told, "the remedy is named"
            assert begun is not None or not way.may_make, "a new directory is refused only where no key may be made"
            assert {path: path.read_bytes() for path in sorted((tmp_path / "data").rglob("*.key"))} == before
        else:
            assert begun in (None, master)
            begun = master


def test_who_gives_another_key_than_the_one_that_was_made_is_told_where_that_lies(tmp_path: Path) -> None:
    opened(tmp_path / "data", Way(True))
    with pytest.raises(ConfigRejected, match="unset INSTANTER_MASTER_KEY") as refused:
        opened(tmp_path / "data", Way(False, KEY.hex()))
    assert str(tmp_path / "data" / "keys" / MADE_NAME) in str(refused.value)
