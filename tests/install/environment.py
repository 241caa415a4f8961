"""Virtual environments that are made, filled and looked into by the tests of installing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

LOCKED = ("--no-deps", "--require-hashes", "--only-binary", ":all:")
"""How the Makefile installs what a lock names."""
RUN_S_MAX = 900.0


class Requirement(NamedTuple):
    """One entry of a lock."""

    version: str
    marker: str
    """When it is installed, or "" for always."""


def named(name: str) -> str:
    """A package's name as all its spellings are compared.

    >>> named("Types_PyYAML")
    'types-pyyaml'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements_of(lock: Path) -> dict[str, Requirement]:
    """What a lock names, by the name of the package."""
    found = re.findall(r"^([\w.-]+)==([^\s;]+)(?: ; (.*?))? \\$", lock.read_text(), re.MULTILINE)
    return {named(name): Requirement(version, marker) for name, version, marker in found}


def clean(**more: str) -> dict[str, str]:
    """The surroundings of a process that knows of no virtual environment and no folder of packages but those given.

    No bytecode is written ahead: compiling it takes three times as long as unpacking.
    """
    kept = {name: value for name, value in os.environ.items() if name not in (
        "PIP_FIND_LINKS", "PIP_NO_INDEX", "VIRTUAL_ENV", "PYTHONPATH", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    return {**kept, "PIP_NO_COMPILE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", **more}


def only(*folders: Path) -> dict[str, str]:
    """What tells pip to look into these folders and nowhere else."""
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": " ".join(map(str, folders))}


def pip(
    python: str | Path, *arguments: str, folders: tuple[Path, ...] = (), timeout_s: float = RUN_S_MAX
) -> subprocess.CompletedProcess[str]:
    """Run pip in the environment of `python`; with `folders`, packages come from there alone."""
    return subprocess.run(
        [str(python), "-m", "pip", arguments[0], "--quiet", *arguments[1:]], capture_output=True, text=True,
        check=False, timeout=timeout_s, env=clean(**only(*folders)) if folders else None,
    )  # fmt: skip


def make_empty(folder: Path) -> Path:
    """A virtual environment with nothing but the pip that this Python brings; returns its Python."""
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    subprocess.run([str(base), "-m", "venv", str(folder)], check=True, env=clean())
    return folder / "bin" / "python"


def installed(python: Path) -> dict[str, str]:
    """The version of everything that is installed beside `python`."""
    listed = subprocess.run(
        [str(python), "-m", "pip", "list", "--format", "json"], capture_output=True, text=True, check=True, env=clean())
    return {named(one["name"]): one["version"] for one in json.loads(listed.stdout)}
