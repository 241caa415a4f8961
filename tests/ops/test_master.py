"""The master key: where it comes from, and that none is made unasked."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import ConfigRejected
from instanter.ops.master import MADE_NAME, VARIABLE, master_key

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
