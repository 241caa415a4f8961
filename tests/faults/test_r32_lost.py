"""R32: whatever of a data directory is removed or cut, a start is whole, or is refused with what is missing.

The cases are made of what is really there, so a new kind of file is one more case.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import pytest

from instanter.engine.loop import Engine
from instanter.events.envelope import ModelPlaced
from instanter.foundation.deadline import Deadline
from instanter.foundation.disk import RealDisk
from instanter.foundation.errors import Broken, ConfigRejected, Lost
from instanter.log.moved import MovedWriter
from instanter.log.segments import SegmentReader, list_segments, segment_path
from instanter.models.store import ModelStore
from instanter.ops.cli.main import main
from instanter.ops.config import load
from instanter.ops.datadir import DataDirectory
from instanter.ops.settings import Config
from instanter.ops.wiring import open_engine
from instanter.privacy.access import Grant
from instanter.privacy.audit import read_entries
from instanter.state.checkpoint import checkpoint_path, list_checkpoints

from ..engine.harness import event, stock_shop, take
from ..models.examples import small_artefact
from .accountant import Accountant, ask
from .conftest import Figures, MakeSite

pytestmark = [pytest.mark.faults, pytest.mark.about("P1", "P5")]

T = TypeVar("T")
SEGMENT_MB = 1
NOTHING_LOST = {
    "checkpoints": "the log says the same",
    "cold": "the log says the same, from an older checkpoint on or from its beginning",
    "holdings.json": "it holds nothing itself, and is written again",
    "lock": "it is empty",
    "subjects.lock": "it is empty",
}
"""Kinds of files, by their name or their folder, without which a start is whole, and why."""


class Content(NamedTuple):
    """What a directory can tell."""

    state: str
    people: int
    quarantined: int
    acts: int
    secrets: int
    models: int
    erasures: int
    moved: int
    configurations: int


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    path = tmp_path_factory.mktemp("config") / "instanter.toml"
    path.write_text(f"[log]\nsegment_mb = {SEGMENT_MB}\n[state]\nmemory_mb = 64\n")
    return load(path)


def serving(config: Config, data: Path, work: Callable[[Engine], Awaitable[T]], *, accept_loss: bool = False) -> T:
    """Start as `serve --dev` does, do something, and end well."""
    make = open_engine(config, data, may_make_master_key=True, accept_loss=accept_loss)

    async def run() -> T:
        engine = make()
        await engine.start()
        try:
            return await work(engine)
        finally:
            await engine.stop(Deadline(10_000))

    return asyncio.run(run())


async def content(engine: Engine) -> Content:
    listing = await engine.quarantine.listing("default")
    stores, disk = engine._stores, RealDisk()
    root = stores.places.checkpoints.parent
    return Content(
        engine.partition.state.hash(), engine.subjects.count, sum(group.count for group in listing.groups),
        engine.audit.head.number,
        len(engine.signing.of_tenant("default")), len(disk.list(root / "models")), len(list(stores.erasures)),
        len(stores.moved), len(disk.list(root / "configurations")),
    )  # fmt: skip


def shelve(engine: Engine, count: int) -> None:
    """Write so many people to a cold file, as when memory is nearly full."""
    state = engine.partition.state
    cold, memory = state.cold, state.tables.memory
    assert cold is not None
    rows = cold._idle_longest(memory, count, np.empty(0, np.int64))
    moved = cold._move_out(
        memory, state.tables.cell_index, rows, state.configured, int(state.tables.idle[0]), lambda: None
    )  # fmt: skip
    assert (moved, state.cells_cold) == (True, count)


@pytest.fixture(scope="module")
def whole(config: Config, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Content]:
    """A directory with a file of each kind, and what it can tell."""
    data = tmp_path_factory.mktemp("whole") / "data"

    async def fill(engine: Engine) -> None:
        await stock_shop(engine)
        for first in range(0, 3_000, 250):
            await take(engine, *(
                event(number, person=f"p{number % 40}", properties={"product_id": f"sku-{number % 20}", "x": "y" * 700})
                for number in range(first, first + 250)
            ))  # fmt: skip
            if first == 1_000:
                await engine.checkpoint()
        await take(engine, b'{"type": "track"}', b"{")
        await engine.credentials.issue_key(Grant("shop", ("admin",)), tenant="default", actor="tests")
        await engine.credentials.make_signing_secret("default", actor="tests")
        await engine.eraser.erase("default", "anonymous:p7")
        shelve(engine, 12)
        await engine.checkpoint()
        await take(engine, *(event(number, person="later") for number in range(5_000, 5_020)))
        kept = ModelStore(RealDisk(), data / "models").put(small_artefact(made_ms=1))
        placed = ModelPlaced(engine.clock.now_ms(), "default", "home.recommended", f"lambdamart@{kept}", "", "placed")
        await engine.journal.write([placed], engine.clock.now_ms())

    serving(config, data, fill)
    positions = [frame.position for frame in SegmentReader(RealDisk(), data / "log").read()]
    (data / "moved").mkdir(exist_ok=True)
    moved = MovedWriter(RealDisk(), data / "moved")
    for old, new in enumerate(positions[:50]):
        moved.add(old, new)
    moved.finish()
    return data, serving(config, data, content)


def files(data: Path) -> list[str]:
    return sorted(path.relative_to(data).as_posix() for path in data.rglob("*") if path.is_file())


def one_of_each(names: Sequence[str]) -> list[str]:
    """Of files that differ in their numbers alone the first and the last."""
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(re.sub(r"[0-9a-f]{8,}", "#", name), []).append(name)
    return [name for kind in kinds.values() for name in dict.fromkeys((kind[0], kind[-1]))]


def removed(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    """The last third is gone, in whole slots where there are such."""
    size_bytes = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(size_bytes * 2 // 3 // 128 * 128)


def emptied(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(0)


def zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def garbled(path: Path) -> None:
    path.write_bytes(np.random.default_rng(1).bytes(path.stat().st_size))


def doubled(path: Path) -> None:
    path.write_bytes(path.read_bytes() * 2)


def opened_only(path: Path) -> None:
    """A file of JSON that ends where it begins."""
    path.write_bytes(b"{")


def of_nothing(path: Path) -> None:
    path.write_bytes(b"{}")


def folder_removed(path: Path) -> None:
    shutil.rmtree(path.parent)


def refusal(config: Config, data: Path) -> str:
    """Why a start is refused; "" if it is not."""
    try:
        serving(config, data, content)
    except (Broken, ConfigRejected) as error:
        return str(error)
    return ""


def is_there(data: Path) -> bool:
    """Whether there is a directory to verify; one whose own description is damaged is there."""
    try:
        return DataDirectory(RealDisk(), data).is_there()
    except Broken:
        return True


def is_named(why: str, data: Path, file: Path) -> bool:
    return str(file) in why or (str(file.parent) in why and file.parent != data) or file.name in why


def verified(data: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What `instanter verify` finds to be wrong."""
    capsys.readouterr()
    assert main(["verify", "--data", str(data), "--json"]) == 1
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    return told["error"]["message"] if "error" in told else "; ".join((*told["missing"], *told["damage"]))


def found(data: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What `instanter verify` finds, if anything, ends that a start takes away among it."""
    capsys.readouterr()
    main(["verify", "--data", str(data), "--json"])
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    if "error" in told:
        return str(told["error"]["message"])
    return "; ".join((*told["missing"], *told["damage"], *told["unfinished"]))


def given_up(data: Path) -> list[str]:
    """What the audit record says was given up."""
    entries = read_entries(SegmentReader(RealDisk(), data / "audit"))
    return [str(entry.details["missing"]) for entry in entries if entry.act == "loss.accepted"]


@pytest.mark.parametrize(
    "damage", [removed, cut, emptied, folder_removed, zeros, garbled, doubled, opened_only, of_nothing],
    ids=lambda damage: damage.__name__,
)
def test_r32_a_start_is_whole_or_names_what_is_missing(
    damage: Callable[[Path], None], whole: tuple[Path, Content], config: Config, tmp_path: Path, full: bool,
    capsys: pytest.CaptureFixture[str], figures: Figures,
) -> None:  # fmt: skip
    base, before = whole
    refused = came = 0
    names = files(base) if full else one_of_each(files(base))
    for number, name in enumerate(names):
        data = tmp_path / f"case-{number}"
        shutil.copytree(base, data)
        file = data / name
        if (damage is folder_removed and file.parent == data) or (damage is not removed and not file.stat().st_size):
            continue
        damage(file)
        if (data / name).exists() and (data / name).read_bytes() == (base / name).read_bytes():
            continue
        told = found(data, capsys)
        if file.parent.name == "cold" and damage is not doubled:  # A start leaves none that no checkpoint names.
            assert is_named(told, data, file), name
        why = refusal(config, data)
        if why:
            refused += 1
            assert is_named(why, data, file), f"{name}: {why}"
            assert not full or refusal(config, data) == why, f"{name}: a refused start leaves all as it was"
            if is_there(data) and "master.key" not in why:
                assert is_named(verified(data, capsys), data, file), name
        else:
            came += 1
            after = serving(config, data, content)
            assert after == before, f"{name}: {after} instead of {before}"
            if not is_named(told, data, file):  # What a start needs not read, or makes anew, is named by verify.
                assert {file.name, file.parent.name} & set(NOTHING_LOST), f"{name}: say why nothing is lost"
        shutil.rmtree(data)
    assert refused > 5
    figures(**{damage.__name__: {"files": len(names), "refused": refused, "whole": came}})


LOSSES: dict[str, Callable[[Path], None]] = {
    "the log's newest segment": lambda data: segment_path(data / "log", newest(data)).unlink(),
    "the log's oldest segment": lambda data: segment_path(data / "log", 0).unlink(),
    "the audit record": lambda data: shutil.rmtree(data / "audit"),
    "the quarantine": lambda data: shutil.rmtree(data / "quarantine"),
    "the keys of people": lambda data: (data / "keys" / "subjects.keys").unlink(),
    "some keys of people": lambda data: cut(data / "keys" / "subjects.keys"),
    "the keys of days": lambda data: (data / "keys" / "days.keys").unlink(),
    "the erasure list": lambda data: shutil.rmtree(data / "keys" / "erasures"),
    "the signing secrets": lambda data: (data / "keys" / "signing.secrets").unlink(),
    "the model in charge": lambda data: shutil.rmtree(data / "models"),
    "the moved positions": lambda data: (data / "moved" / "positions").unlink(),
    "what is held": lambda data: cut(data / "holdings.json"),
}


def newest(data: Path) -> int:
    return list_segments(RealDisk(), data / "log")[-1]


@pytest.mark.parametrize("what", LOSSES)
def test_r32_what_is_given_up_is_in_the_audit_record(
    what: str, whole: tuple[Path, Content], config: Config, tmp_path: Path
) -> None:  # fmt: skip
    data = shutil.copytree(whole[0], tmp_path / "data")
    LOSSES[what](data)
    with pytest.raises(Lost) as refused:
        serving(config, data, content)
    log_end = segment_path(data / "log", newest(data)).stat().st_size + newest(data)
    ahead = [one for one in list_checkpoints(RealDisk(), data / "checkpoints") if one > log_end]
    serving(config, data, content, accept_loss=True)
    assert set(refused.value.losses) <= set(given_up(data))
    assert not set(ahead) & set(list_checkpoints(RealDisk(), data / "checkpoints")), "none of them is stood on"
    told = given_up(data)
    serving(config, data, content)
    assert given_up(data) == told, "it is given up once"


def test_r32_a_log_that_was_cut_and_has_grown_past_its_checkpoints_is_refused(
    whole: tuple[Path, Content], config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    """As it was left by a program that took no notice: the newest checkpoint lies within the log, and is not of it."""
    data = shutil.copytree(whole[0], tmp_path / "data")
    checkpoints = list_checkpoints(RealDisk(), data / "checkpoints")
    segment_path(data / "log", newest(data)).unlink()
    shutil.move(data / "checkpoints", tmp_path / "checkpoints")
    (data / "holdings.json").unlink()

    async def grow(engine: Engine) -> None:
        number = 10_000
        while engine.partition.position < checkpoints[0] + 50_000:
            await take(engine, *(
                event(one, person="new", properties={"x": "z" * 333}) for one in range(number, number + 100)
            ))  # fmt: skip
            number += 100

    serving(config, data, grow, accept_loss=True)
    (data / "holdings.json").unlink()
    shutil.rmtree(data / "checkpoints")
    shutil.copytree(tmp_path / "checkpoints", data / "checkpoints")
    why = refusal(config, data)
    assert checkpoint_path(data / "checkpoints", checkpoints[0]).name in why
    assert checkpoint_path(data / "checkpoints", checkpoints[0]).name in verified(data, capsys)
    after = serving(config, data, content, accept_loss=True)
    assert any("written on" in one for one in given_up(data))
    assert serving(config, data, content).state == after.state


def test_r32_a_directory_that_is_empty_while_its_keys_lie_elsewhere_is_not_made_anew(
    whole: tuple[Path, Content], tmp_path: Path
) -> None:  # fmt: skip
    data, keys = shutil.copytree(whole[0], tmp_path / "data"), tmp_path / "keys"
    shutil.move(data / "keys", keys)
    path = tmp_path / "instanter.toml"
    path.write_text(f'[log]\nsegment_mb = {SEGMENT_MB}\n[state]\nmemory_mb = 64\n[privacy]\nkeys = "{keys}"\n')
    config, secret = load(path), (keys / "installation.key").read_bytes()
    assert serving(config, data, content).state == whole[1].state
    shutil.rmtree(data)
    assert str(keys) in refusal(config, data)
    assert (keys / "installation.key").read_bytes() == secret


@pytest.mark.about("P8")
def test_r32_a_checkpoint_that_is_ahead_is_set_aside_until_somebody_is_erased(config: Config, tmp_path: Path) -> None:
    data = tmp_path / "data"

    async def fill(engine: Engine) -> None:
        await stock_shop(engine)
        await take(engine, *(event(number, person=f"p{number % 9}") for number in range(100)))

    async def erase(engine: Engine) -> None:
        await engine.eraser.erase("default", "anonymous:p1")

    serving(config, data, fill)
    (ahead,) = list_checkpoints(RealDisk(), data / "checkpoints")
    cut(segment_path(data / "log", 0))
    serving(config, data, content, accept_loss=True)
    aside = checkpoint_path(data / "checkpoints", ahead).with_suffix(".aside")
    assert aside.exists()
    serving(config, data, erase)
    assert not aside.exists()


def moved_away(data: Path) -> None:
    data.rename(data.with_name("elsewhere"))


def taken_away(data: Path) -> None:
    shutil.rmtree(data)


def replaced(data: Path) -> None:
    moved_away(data)
    shutil.copytree(data.with_name("elsewhere"), data)


def unmounted(data: Path) -> None:
    """Files that are open can be written still; nobody finds them any more."""
    subprocess.run(["umount", "--lazy", str(data)], check=True)


@pytest.fixture
def mount() -> Iterator[Callable[[Path], None]]:
    """Mounts a file system of its own for a data directory; skips where that is not allowed."""
    mounted: list[Path] = []

    def make(path: Path) -> None:
        path.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(path)], capture_output=True, text=True
        )
        if done.returncode != 0:
            pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
        mounted.append(path)

    yield make
    for path in mounted:
        if path.is_mount():
            unmounted(path)


@pytest.mark.parametrize("vanish", [moved_away, taken_away, replaced, unmounted], ids=lambda vanish: vanish.__name__)
@pytest.mark.parametrize("busy", [True, False], ids=["while events come in", "while nothing happens"])
def test_r32_nothing_is_acknowledged_once_the_directory_is_gone(
    vanish: Callable[[Path], None], busy: bool, make_site: MakeSite, accountant: Accountant,
    mount: Callable[[Path], None],
) -> None:  # fmt: skip
    site, stop = make_site(), threading.Event()
    if vanish is unmounted:
        mount(site.data)
    server = site.start()
    accountant.send(server.port, stop=stop, events_max=200)
    acked = len(accountant.acked)
    if busy:
        sending = threading.Thread(target=accountant.send, args=(server.port,), kwargs={"stop": stop})
        sending.start()
        while len(accountant.acked) < acked + 200:
            stop.wait(0.01)
    vanish(site.data)
    stop.wait(1.0)
    acked = len(accountant.acked)
    shift = accountant.send(server.port, stop=threading.Event(), events_max=60)
    assert (shift.acked, set(shift.refused), len(accountant.acked)) == (0, {503}, acked)
    assert ask(server.port, "POST", "/v1/items", {"id": "sku-1", "price": 1}).status == 503
    decided = ask(server.port, "POST", "/v1/decide", {"anonymousId": "p1", "placements": [{"id": "home.recommended"}]})
    assert decided.status == 200
    told = ask(server.port, "GET", "/readyz")
    assert (told.status, "is gone" in told.json["warnings"][0]) == (200, True)
    stop.set()
    if busy:
        sending.join()
