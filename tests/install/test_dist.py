"""A wheel and an sdist hold all that is needed, and run where there is no checkout."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from .environment import LOCKED, clean, make_empty, pip

DEMO_S_MAX = 600.0
BUILD_S_MAX = 600.0


def build(checkout: Path, target: Path) -> tuple[Path, Path]:
    """An sdist, and a wheel made from that sdist alone; the build tools are those that the lock names."""
    ran = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(target), str(checkout)],
        capture_output=True, text=True, check=False, timeout=BUILD_S_MAX, env=clean(),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    (wheel,), (sdist,) = target.glob("*.whl"), target.glob("*.tar.gz")
    return wheel, sdist


@pytest.fixture
def built(checkout: Path, tmp_path: Path) -> tuple[Path, Path]:
    return build(checkout, tmp_path / "dist")


def names_in(archive: Path) -> set[str]:
    """The paths of all files; those of an sdist without the folder that they all lie in."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return set(wheel.namelist())
    with tarfile.open(archive) as sdist:
        return {name.partition("/")[2] for name in sdist.getnames() if "/" in name}


def package_files(checkout: Path) -> set[str]:
    """All files of the package that are tracked, sources and data alike."""
    source = checkout / "src"
    return {path.relative_to(source).as_posix() for path in (source / "instanter").rglob("*") if path.is_file()}


def test_a_wheel_and_an_sdist_hold_the_whole_package_its_licence_and_no_tests(
    checkout: Path, tmp_path: Path
) -> None:
    wanted = package_files(checkout)
    wheel, sdist = (names_in(archive) for archive in build(checkout, tmp_path / "dist"))
    assert wanted - wheel == set(), "package-data of pyproject.toml leaves these out of the wheel"
    assert {f"src/{name}" for name in wanted} - sdist == set()
    information = {name for name in wheel if ".dist-info/" in name}
    assert wheel - information == wanted
    assert [name for name in information if PurePosixPath(name).name == "LICENSE"] != []
    assert {"LICENSE", "README.md", "pyproject.toml", "PKG-INFO", "requirements.lock"} <= sdist
    assert {name for name in wheel | sdist if PurePosixPath(name).parts[0] == "tests"} == set()


def empty_with_runtime(folder: Path, wheels: Path, root: Path) -> Path:
    """An environment with what the lock for running names, and not us."""
    python = make_empty(folder)
    ran = pip(python, "install", *LOCKED, "-r", str(root / "requirements.lock"), folders=(wheels,))
    assert ran.returncode == 0, ran.stderr
    return python


def run_demo(python: Path, folder: Path) -> str:
    """The demo to its end, started in a folder in which nothing lies; returns what it printed."""
    folder.mkdir()
    ran = subprocess.run(
        [str(python.with_name("instanter")), "demo", "--exit"], cwd=folder, capture_output=True, text=True,
        check=False, timeout=DEMO_S_MAX, env=clean(),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert list(folder.iterdir()) == []
    return ran.stdout


def hashes_of(python: Path) -> dict[str, str]:
    """Of each file of the installed package, the hash that pip wrote down."""
    (record,) = python.parents[1].glob("lib/python*/site-packages/instanter-*.dist-info/RECORD")
    rows = (line.split(",") for line in record.read_text().splitlines())
    return {name: digest for name, digest, _ in rows if name.startswith("instanter/") and "__pycache__" not in name}


def test_the_demo_runs_from_a_wheel_and_an_sdist_installs_the_same(
    built: tuple[Path, Path], wheels: Path, root: Path, tmp_path: Path, full: bool
) -> None:
    """Cut short, the demo runs from the wheel alone, and the files that the sdist installs are compared with its."""
    wheel, sdist = built
    python = empty_with_runtime(tmp_path / "of-the-wheel", wheels, root)
    assert pip(python, "install", "--no-deps", str(wheel), folders=(tmp_path,)).returncode == 0
    assert pip(python, "check").returncode == 0
    assert "View 3 of 3" in run_demo(python, tmp_path / "elsewhere")
    of_wheel = hashes_of(python)
    assert of_wheel
    if full:
        shutil.rmtree(tmp_path / "of-the-wheel")
        python = empty_with_runtime(tmp_path / "of-the-sdist", wheels, root)
    else:
        assert pip(python, "uninstall", "--yes", "instanter").returncode == 0
    installed = pip(python, "install", "--no-deps", "--no-build-isolation", str(sdist), folders=(tmp_path,))
    assert installed.returncode == 0, installed.stderr
    assert pip(python, "check").returncode == 0
    assert hashes_of(python) == of_wheel
    if full:
        run_demo(python, tmp_path / "elsewhere-too")
