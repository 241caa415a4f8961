"""R32: a data directory is opened with its own keys, or not at all.

All the keys of another installation, its secret alone, one file of keys: each is refused by name and changes nothing.
A directory from before, which does not say whose it is, says it from the first start on at which that is proved.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from instanter.engine.loop import Engine
from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import Broken
from instanter.ops.belonging import installation_of
from instanter.ops.cli.main import main
from instanter.ops.config import load
from instanter.ops.datadir import DataDirectory, secret_in
from instanter.ops.losses import why_refused
from instanter.ops.readiness import data_directory
from instanter.ops.settings import Config

from ..engine.harness import event, take
from .test_r32_lost import content, given_up, serving

pytestmark = [pytest.mark.faults, pytest.mark.about("P1", "P8")]

Printed = pytest.CaptureFixture[str]
OLD = {"format": 2}
MASTER = "11" * 32


@pytest.fixture(autouse=True)
def master(monkeypatch: pytest.MonkeyPatch) -> None:
    """One for all, as where installations are run by the same people."""
    monkeypatch.setenv("INSTANTER_MASTER_KEY", MASTER)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    path = tmp_path_factory.mktemp("config") / "instanter.toml"
    path.write_text("[log]\nsegment_mb = 1\n[state]\nmemory_mb = 64\n")
    return load(path)


@pytest.fixture(scope="module")
def both(config: Config, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Directories of two installations."""
    root = tmp_path_factory.mktemp("both")

    async def fill(engine: Engine) -> None:
        await take(engine, *(event(number, person=f"p{number % 7}") for number in range(60)))
        await engine.credentials.make_signing_secret("default", actor="tests")

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INSTANTER_MASTER_KEY", MASTER)
        for name in ("ours", "theirs"):
            serving(config, root / name, fill)
    return root / "ours", root / "theirs"


@pytest.fixture
def ours(both: tuple[Path, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(both[0], tmp_path / "data"))


def marker(data: Path) -> dict[str, object]:
    return dict(json.loads((data / "instanter.json").read_bytes()))


def files(data: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in data.rglob("*") if path.is_file() and "lock" not in path.name}


def all_keys(data: Path, theirs: Path) -> None:
    shutil.rmtree(data / "keys")
    shutil.copytree(theirs / "keys", data / "keys")


def the_secret(data: Path, theirs: Path) -> None:
    (data / "keys" / "installation.key").write_text("22" * 32)


def keys_of_people(data: Path, theirs: Path) -> None:
    shutil.copy(theirs / "keys" / "subjects.keys", data / "keys")


def keys_of_days(data: Path, theirs: Path) -> None:
    shutil.copy(theirs / "keys" / "days.keys", data / "keys")


Exchange = Callable[[Path, Path], None]


@pytest.mark.parametrize("exchange", [all_keys, the_secret, keys_of_people, keys_of_days])
def test_r32_keys_of_another_installation_are_refused_and_change_nothing(
    exchange: Exchange, both: tuple[Path, Path], ours: Path, config: Config, capsys: Printed
) -> None:  # fmt: skip
    exchange(ours, both[1])
    before = files(ours)
    for accept_loss in (False, True):
        with pytest.raises(Broken) as refused:
            serving(config, ours, content, accept_loss=accept_loss)
        assert str(ours / "keys") in str(refused.value)
        assert "of this installation" in str(refused.value) or "is of installation" in str(refused.value)
    assert files(ours) == before
    assert why_refused(DataDirectory(RealDisk(), ours), serving=False) == [str(refused.value)]
    capsys.readouterr()
    assert main(["verify", "--data", str(ours)]) == 1
    assert str(refused.value) in "".join(capsys.readouterr())
    check = data_directory(config, ours)
    assert (check.status, check.advice) == ("fail", str(refused.value))


def test_r32_keys_that_do_not_belong_to_a_restored_backup_are_refused(
    both: tuple[Path, Path], ours: Path, tmp_path: Path, config: Config
) -> None:
    to, restored = tmp_path / "backup", tmp_path / "restored"
    assert main(["backup", "--data", str(ours), "--to", str(to)]) == 0
    installation = marker(ours)["installation"]
    assert marker(to)["installation"] == installation, "the name of the installation, and not its secret, travels"
    assert main(["restore", "--from", str(to), "--data", str(restored)]) == 0
    shutil.copytree(both[1] / "keys", restored / "keys", dirs_exist_ok=True)
    with pytest.raises(Broken, match=f"is of installation {installation}"):
        serving(config, restored, content)
    shutil.rmtree(restored / "keys")
    shutil.copytree(both[0] / "keys", restored / "keys")
    assert serving(config, restored, content).people == 7
    assert data_directory(config, restored).status == "ok"


def test_r32_a_directory_from_before_takes_up_whose_it_is_where_that_is_proved(ours: Path, config: Config) -> None:
    new = marker(ours)
    (ours / "instanter.json").write_bytes(msgspec.json.encode(OLD))
    before = serving(config, ours, content)
    assert marker(ours) == new
    assert new["installation"] == installation_of(secret_in(RealDisk(), ours / "keys"))
    assert serving(config, ours, content).people == before.people == 7


@pytest.mark.parametrize("without", ["", "audit"])
@pytest.mark.parametrize("exchange", [all_keys, the_secret])
def test_r32_of_a_directory_from_before_foreign_keys_are_found_by_its_records(
    exchange: Exchange, without: str, both: tuple[Path, Path], ours: Path, config: Config
) -> None:
    """The audit record says it by itself; without one, people under a foreign secret are not where they should be, and
    of people who have no keys at all nothing can be proved: then nothing is written down."""
    (ours / "instanter.json").write_bytes(msgspec.json.encode(OLD))
    exchange(ours, both[1])
    (ours / "holdings.json").unlink()
    if without:
        shutil.rmtree(ours / without)
        for one in (ours / "checkpoints").iterdir():
            one.unlink()
    if without and exchange is all_keys:
        serving(config, ours, content, accept_loss=True)
        assert marker(ours) == OLD
        return
    with pytest.raises(Broken, match="keys"):
        serving(config, ours, content, accept_loss=True)
    assert marker(ours) == OLD


def test_r32_keys_that_were_given_up_are_followed_by_new_ones(ours: Path, config: Config) -> None:
    old = marker(ours)
    (ours / "keys" / "subjects.keys").unlink()
    serving(config, ours, content, accept_loss=True)
    assert given_up(ours)
    new = marker(ours)
    assert (new["installation"], new["key_files"] != old["key_files"]) == (old["installation"], True)
    serving(config, ours, content)
    assert marker(ours) == new
