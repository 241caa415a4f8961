"""What installing is tested with: the wheels that the locks name, and checkouts as `git clone` would make them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .environment import LOCKED, Requirement, pip, requirements_of

ROOT = Path(__file__).parents[2]
WHEELS = ROOT / "build" / "wheels"
"""Where `make wheels` puts them too."""
DOWNLOAD_S_MAX = 600.0


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def locked() -> dict[str, Requirement]:
    """What the lock for development names, which holds the lock for running."""
    return requirements_of(ROOT / "requirements-dev.lock")


@pytest.fixture(scope="session")
def wheels() -> Path:
    """A folder that has a wheel of every locked package; they are downloaded once, and the hashes compared always."""
    downloaded = pip(
        sys.executable, "download", *LOCKED, "-d", str(WHEELS), "-r", str(ROOT / "requirements-dev.lock"),
        timeout_s=DOWNLOAD_S_MAX,
    )  # fmt: skip
    if downloaded.returncode:
        pytest.skip(f"installing is tested with the wheels that the locks name. They are not all in {WHEELS}, and "
                    f"no index has them: run `make wheels` where one can be reached ({downloaded.stderr[-300:]})")
    return WHEELS


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what git tracks or would track, and nothing of what was built here."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True, text=True).stdout
    target = tmp_path / "checkout"
    for name in listed.split("\0"):
        if name and (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)
    return target
