"""What a compiled kernel is kept under, and where; and that it serves on without a place to be kept."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

from instanter.state.compiling import can_keep, kernel_folder, kernel_places, stamp
from instanter.state.trusted import fault_of_folder

SOURCE = '''
FACTOR = {factor}
def helper(x):
    """{text}"""
    return x * FACTOR
{kernel}
def outer(x):
    {comment}
    return helper(x) + {added}
'''
PROGRAM = """
import logging, sys
logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s")
from instanter.state.aggregations.fixed_point import bounded
print(bounded(2e9))
"""


def made(*, factor: float = 2.0, text: str = "", added: int = 1, comment: str = "pass") -> FunctionType:
    """A kernel that takes in another one and a constant."""
    from instanter.state.compiled import kernel

    names: dict[str, Any] = {"kernel": kernel, "__name__": "made"}
    source = SOURCE.format(factor=factor, text=text, added=added, comment=comment, kernel="helper = kernel(helper)")
    exec(source, names)
    found = names["outer"]
    assert isinstance(found, FunctionType)
    return found


@pytest.mark.parametrize("other", [made(factor=3.0), made(added=2)])
def test_what_a_kernel_takes_in_changes_its_stamp(other: FunctionType) -> None:
    assert stamp(other) != stamp(made())


def test_comments_and_docstrings_do_not() -> None:
    assert stamp(made(text="Times two.", comment="pass  # Why not?")) == stamp(made())


def test_kernels_are_kept_where_one_can_write_else_found_where_one_can_read(tmp_path: Path) -> None:
    nowhere = Path("/proc/nowhere")
    assert kernel_folder([nowhere, tmp_path / "new"]) == tmp_path / "new" / "kernels"
    assert not can_keep(nowhere)
    assert kernel_folder([nowhere]) is None


def run_without_place(environment: dict[str, str]) -> str:
    run = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.slow
def test_without_a_place_a_kernel_runs_and_one_sentence_names_the_remedy() -> None:
    said = run_without_place({"PATH": os.environ["PATH"], "NUMBA_CACHE_DIR": "/proc/nowhere"}).splitlines()
    assert said[-1] == "1000000000.0"
    assert len(said) == 2
    assert said[0].startswith("WARNING")
    assert "NUMBA_CACHE_DIR" in said[0]


def test_without_a_home_the_package_is_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> Path:
        raise RuntimeError("could not determine home directory")

    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    home: Callable[[], Path] = nobody
    monkeypatch.setattr(Path, "home", home)
    assert [place.name for place in kernel_places()] == ["__pycache__"]


def test_a_folder_that_others_can_write_to_is_passed_over_for_the_next(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shared, own = tmp_path / "shared", tmp_path / "own"
    (shared / "kernels").mkdir(parents=True)
    assert kernel_folder([shared, own]) == shared / "kernels"
    for mode in (0o775, 0o757, 0o1777):
        (shared / "kernels").chmod(mode)
        assert kernel_folder([shared, own]) == own / "kernels"
        assert kernel_folder([shared]) is None
    assert [record.getMessage() for record in caplog.records] == [
        "compiled kernels are not loaded from where others can write"
    ], "said once"


def test_nor_is_one_taken_whose_place_others_could_take(tmp_path: Path) -> None:
    above = tmp_path / "above"
    (above / "place" / "kernels").mkdir(parents=True)
    above.chmod(0o777)
    assert kernel_folder([above / "place"]) is None
    above.chmod(0o1777)
    assert kernel_folder([above / "place"]) is not None, "a sticky folder, as /tmp is"
    (tmp_path / "link").symlink_to(above / "place")
    assert kernel_folder([tmp_path / "link"]) is not None
    above.chmod(0o777)
    assert kernel_folder([tmp_path / "link"]) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_nor_one_that_belongs_to_another_user(tmp_path: Path) -> None:
    (tmp_path / "kernels").mkdir()
    os.chown(tmp_path / "kernels", 12345, 12345)
    assert kernel_folder([tmp_path]) is None
    assert fault_of_folder(tmp_path / "kernels").endswith("belongs to another user")


def kept(root: Path) -> list[Path]:
    return sorted((root / "kernels").iterdir())


@pytest.mark.slow
def test_a_kernel_file_that_others_can_write_is_not_loaded_but_compiled_anew(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "NUMBA_CACHE_DIR": str(tmp_path)}
    assert run_without_place(environment) == "1000000000.0\n"
    good = {file: file.read_bytes() for file in kept(tmp_path)}
    assert {file.stat().st_mode & 0o022 for file in good} == {0}
    spoilt = next(file for file in good if file.suffix == ".nbc" and "bounded" in file.name)
    # Opened, this would make a file: behind the stamp of the kernel it is a pickle that calls.
    stamp = good[spoilt][:32]
    spoilt.write_bytes(stamp + f"cos\nsystem\n(S'touch {tmp_path}/taken'\ntR.".encode())
    spoilt.chmod(0o666)
    said = run_without_place(environment).splitlines()
    assert said[-1] == "1000000000.0"
    assert said[0] == "WARNING compiled kernels are not loaded from where others can write"
    assert not (tmp_path / "taken").exists()
    assert [file.name for file in kept(tmp_path)] == [file.name for file in good], "kept anew"
    assert run_without_place(environment) == "1000000000.0\n"
