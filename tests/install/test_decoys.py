"""Installed is what the locks name, whatever else lies in reach by then.

Of every locked package a newer version lies beside the locked one here: a decoy, which holds nothing. It stands for
what an index has in a year. An install that asks which version would do takes decoys, or fails.
"""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import pytest

from .environment import LOCKED, Requirement, clean, installed, make_empty, only, pip

NEWER = "99999.0"
RUN_S_MAX = 1_200.0


def make_decoy(folder: Path, name: str) -> None:
    """A wheel of this package that is newer than any, fits everywhere, and holds nothing."""
    stem = f"{name.replace('-', '_')}-{NEWER}"
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{stem}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {NEWER}\n")
        wheel.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{stem}.dist-info/RECORD", "")


@pytest.fixture(scope="module")
def decoys(tmp_path_factory: pytest.TempPathFactory, locked: dict[str, Requirement]) -> Path:
    folder = tmp_path_factory.mktemp("decoys")
    for name in locked:
        make_decoy(folder, name)
    return folder


def make(checkout: Path, target: str, *folders: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", target], cwd=checkout, capture_output=True, text=True, check=False, timeout=RUN_S_MAX,
        env=clean(**only(*folders)),
    )  # fmt: skip


def test_newer_versions_in_reach_change_nothing(
    checkout: Path, wheels: Path, decoys: Path, locked: dict[str, Requirement]
) -> None:
    made = make(checkout, "setup", wheels, decoys)
    assert made.returncode == 0, made.stderr
    python = checkout / ".venv" / "bin" / "python"
    found = installed(python)
    assert found.pop("instanter")
    assert found == {name: lock.version for name, lock in locked.items()}
    checked = pip(python, "check")
    assert checked.returncode == 0, checked.stdout


def mend(checkout: Path, before: str, after: str) -> None:
    """Put something else into the Makefile of a checkout."""
    makefile = checkout / "Makefile"
    text = makefile.read_text()
    assert before in text
    makefile.write_text(text.replace(before, after))


def test_an_install_that_resolves_takes_the_newer_versions(checkout: Path, wheels: Path, decoys: Path) -> None:
    """So the test above can fail: the decoys are found, and preferred by whatever has a choice."""
    mend(checkout, "install $(LOCKED) -r requirements.lock", "--version")
    mend(checkout, "install --no-deps --no-build-isolation -e .", "install -e .")
    made = make(checkout, ".venv/.runtime", wheels, decoys)
    assert made.returncode != 0, "a decoy of the build tool is taken, and builds nothing"
    python = checkout / ".venv" / "bin" / "python"
    chosen = pip(python, "install", "--dry-run", "--report", "-", "pytest", "numpy", folders=(wheels, decoys))
    assert chosen.returncode == 0, chosen.stderr
    assert chosen.stdout.count(f'"version": "{NEWER}"') == 2


def test_hashes_alone_do_not_keep_pip_23_2_from_resolving(checkout: Path, wheels: Path, decoys: Path) -> None:
    mend(checkout, "LOCKED := --no-deps", "LOCKED := --dry-run")
    made = make(checkout, ".venv/.development", wheels, decoys)
    bundled = installed(checkout / ".venv" / "bin" / "python")["pip"]
    if not bundled.startswith("23.2"):
        pytest.skip(f"this Python brings pip {bundled}, which takes what is locked for coverage[toml]")
    assert made.returncode != 0
    assert "coverage" in made.stderr


def test_a_lock_that_leaves_out_what_is_required_is_said(checkout: Path, wheels: Path) -> None:
    lock = checkout / "requirements.lock"
    text = lock.read_text()
    lock.write_text(text[text.index("setuptools==") :])
    made = make(checkout, ".venv/.runtime", wheels)
    assert made.returncode != 0
    assert "requires numpy, which is not installed" in made.stdout
    assert not (checkout / ".venv" / ".runtime").exists()


def test_an_empty_folder_of_packages_is_an_error_that_names_the_package(tmp_path: Path, root: Path) -> None:
    python = make_empty(tmp_path / "empty")
    ran = pip(python, "install", *LOCKED, "-r", str(root / "requirements.lock"), folders=(tmp_path,))
    assert ran.returncode != 0
    assert "No matching distribution found for anyio==" in ran.stderr
