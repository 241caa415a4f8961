from __future__ import annotations

import fcntl
import json
import socket
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from instanter.foundation.limits import FILES_RESERVED
from instanter.ops import readiness
from instanter.ops.cli import main as frame
from instanter.ops.settings import Config, GeoSettings


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_an_old_python_is_refused() -> None:
    assert readiness.python_version((3, 10, 9)).status == "fail"
    assert readiness.python_version((3, 11, 0)).status == "ok"
    assert readiness.python_version((4, 0, 0)).status == "ok"


def test_a_configuration_that_cannot_be_used_is_told_and_the_defaults_stand_in(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text("[log]\npartitons = 3")
    check, config = readiness.configuration(path)
    assert check.status == "fail"
    assert f"{path}:2" in check.advice
    assert config == Config()


def test_a_weight_that_changes_no_list_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text('[ranker.weights]\n"person.orders" = 0.4')
    check, _ = readiness.configuration(path)
    assert check.status == "warn"
    assert "person.orders" in check.advice


def test_an_event_name_that_is_perhaps_misspelt_is_a_warning_and_one_that_is_mapped_is_none(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    feature = '[[features]]\nname = "v"\naggregate = "count"\nunit = "views"\nowner = "shop"\non = ["{}"]\n'
    path.write_text(feature.format("Product Viwed"))
    check, _ = readiness.configuration(path)
    assert check.status == "warn"
    assert '"Product Viwed" (did you mean "Product Viewed"?)' in check.advice
    path.write_text('[events.names]\n"Quiz" = "Quiz Ended"\n' + feature.format("Quiz Ended"))
    assert readiness.configuration(path)[0].status == "ok"


def test_a_mapping_to_a_name_that_no_feature_hears_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text('[events.names]\nquiz = "Sofa Assembled in AR"\n')
    check, _ = readiness.configuration(path)
    assert check.status == "warn"
    assert 'mapped to names that no feature hears: "Sofa Assembled in AR"' in check.advice


def test_room_is_measured_where_the_folder_will_be(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "yet"
    assert readiness.nearest_existing(folder) == tmp_path
    assert readiness.disk_room(folder, 64).found == readiness.disk_room(tmp_path, 64).found
    assert readiness.disk_room(folder, 1_000_000_000).status == "fail"
    assert not folder.exists()


def test_syncing_is_measured_and_leaves_nothing_behind(tmp_path: Path) -> None:
    check = readiness.disk_sync(tmp_path)
    assert check.status in ("ok", "warn")
    assert "p99" in check.found
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_fails() -> None:
    assert readiness.disk_sync(Path("/proc")).status == "fail"


def test_a_log_is_free_until_someone_holds_its_lock(tmp_path: Path) -> None:
    assert "none yet" in readiness.log_folder(tmp_path).found
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "0.segment").write_bytes(bytes(1000))
    lock = tmp_path / "log" / "lock"
    lock.touch()
    assert readiness.log_folder(tmp_path).status == "ok"
    with lock.open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert readiness.log_folder(tmp_path).status == "warn"
    assert readiness.log_folder(tmp_path).status == "ok"


def test_a_log_that_cannot_be_opened_fails(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "0.segment").symlink_to(tmp_path / "gone")
    assert readiness.log_folder(tmp_path).status == "fail"


def test_memory_has_to_hold_the_state_and_the_program() -> None:
    assert readiness.memory(1_000, machine_mb=1_100).status == "ok"
    assert readiness.memory(1_000, machine_mb=1_099).status == "warn"


def test_fewer_open_files_than_connections_and_the_engine_take_are_warned_of() -> None:
    assert readiness.open_files(1_000, 1_000 + FILES_RESERVED).status == "ok"
    assert readiness.open_files(1_000, 999 + FILES_RESERVED).status == "warn"


def test_the_kernel_cache_is_the_first_place_that_can_be_written(tmp_path: Path) -> None:
    assert readiness.kernel_cache([Path("/proc"), tmp_path]).found == f"in {tmp_path / 'kernels'}"
    assert not list(tmp_path.iterdir())
    assert readiness.kernel_cache([Path("/proc")]).status == "warn"


def test_a_database_that_is_not_there_fails(tmp_path: Path) -> None:
    assert readiness.extras(Config()).status == "ok"
    wanted = msgspec.structs.replace(Config(), geo=GeoSettings(database=str(tmp_path / "gone.mmdb")))
    assert readiness.extras(wanted).status == "fail"


def test_a_taken_port_fails_unless_the_server_itself_has_it(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    assert readiness.free_port("127.0.0.1", port, serving=False).status == "fail"
    assert readiness.free_port("127.0.0.1", port, serving=True).status == "warn"
    listener.close()
    assert readiness.free_port("127.0.0.1", port, serving=False).status == "ok"


def test_an_address_that_is_not_ours_fails() -> None:
    assert readiness.free_port("192.0.2.1", 8080, serving=False).status == "fail"


def test_every_extra_is_known_to_the_doctor() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert set(readiness.EXTRAS) == set(project["optional-dependencies"]) - {"dev", "fuzz"}


def test_the_doctor_answers_every_question_and_fails_for_one(
    tmp_path: Path, listener: socket.socket, capsys: pytest.CaptureFixture[str],
) -> None:
    port = str(listener.getsockname()[1])
    assert frame.main(["doctor", "--data", str(tmp_path), "--port", port, "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False
    assert [check["name"] for check in answer["checks"]] == [
        "python", "configuration", "extras", "disk room", "disk sync", "log", "data directory", "memory", "open files",
        "kernel cache", "port"]
    assert [check["name"] for check in answer["checks"] if check["status"] == "fail"] == ["port"]


def test_the_doctor_prints_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame.main(["doctor", "--data", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ok    python")
