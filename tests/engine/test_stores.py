"""The one way to open what an engine keeps its data in."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from instanter.engine.stores import Places, Stores, open_stores
from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import LogClosed, Lost
from instanter.privacy.erasures import ERASURES
from instanter.privacy.subjects import SUBJECTS

from .harness import SECRET


def opened_stores(places: Places, opened: ExitStack, **reaching: int) -> Stores:
    return open_stores(places, disk=RealDisk(), secret=SECRET, master=SECRET, opened=opened, reaching=reaching)


def test_whoever_has_a_store_open_keeps_others_out(tmp_path: Path) -> None:
    with ExitStack() as opened, ExitStack() as others:
        opened_stores(Places(tmp_path), opened)
        with pytest.raises(LogClosed):
            opened_stores(Places(tmp_path), others)


@pytest.mark.parametrize("name", ["log", "quarantine", "audit", "erasures", "headstones"])
def test_a_store_that_is_too_short_closes_those_opened_before_it(tmp_path: Path, name: str) -> None:
    places = Places(tmp_path)
    with pytest.raises(Lost, match=name), ExitStack() as opened:
        opened_stores(places, opened, **{name: 1_000_000})
    with ExitStack() as opened:
        opened_stores(places, opened)  # Nothing is locked any more.


def test_keys_may_lie_elsewhere_and_the_erasures_with_them(tmp_path: Path) -> None:
    places = Places(tmp_path / "data", keys=tmp_path / "keys")
    with ExitStack() as opened:
        opened_stores(places, opened)
    assert not (tmp_path / "data" / "keys").exists()
    assert {SUBJECTS, ERASURES} <= {path.name for path in (tmp_path / "keys").iterdir()}
