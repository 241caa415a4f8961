"""Configurations are kept by their hash; one that is damaged is named, and written again when it is in force."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from instanter.engine.configuration import Configurations
from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import Corrupt
from instanter.ops.settings import Config
from instanter.ops.wiring import configuration_of


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"\xff"])
def test_a_damaged_configuration_is_named_until_it_is_kept_again(content: bytes, tmp_path: Path) -> None:
    kept, configuration = Configurations(RealDisk(), tmp_path), configuration_of(Config())
    other = msgspec.structs.replace(configuration, exploration=0.5)
    names = [kept.keep(configuration), kept.keep(other)]
    assert list(kept.damaged()) == []
    for name in names:
        (tmp_path / f"{name}.json").write_bytes(content)
    (tmp_path / "unfinished.tmp").write_bytes(b"{")
    assert sorted(found.file for found in kept.damaged()) == sorted(str(tmp_path / f"{name}.json") for name in names)
    kept.keep(configuration)
    assert kept.get(names[0]) == configuration
    assert [found.file for found in kept.damaged()] == [str(tmp_path / f"{names[1]}.json")]
    with pytest.raises(Corrupt, match="not what was kept"):
        kept.get(names[1])
