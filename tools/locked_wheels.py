"""Hold a lock against the index: is there a wheel among its hashes for every Python and machine that it is for?

    python tools/locked_wheels.py requirements-dev.lock

Nothing is downloaded but the list of files of each package. Exit code 1, and pip's words, if a wheel is missing.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PYTHONS = ("3.11", "3.12", "3.13")
MACHINES = ("x86_64", "aarch64")
PLATFORMS = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")


def missing(lock: Path, python: str, machine: str) -> str:
    """What pip says where a locked package has no wheel for this Python on this machine, or ""."""
    platforms = [word for platform in PLATFORMS for word in ("--platform", f"{platform}_{machine}")]
    with tempfile.TemporaryDirectory() as nowhere:
        ran = subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--dry-run",
             "--ignore-installed", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--target", nowhere,
             "--python-version", python, *platforms, "-r", str(lock)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    return ran.stderr.strip() if ran.returncode else ""


def main(lock: Path) -> int:
    wanted = [(python, machine) for python in PYTHONS for machine in MACHINES]
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda pair: missing(lock, *pair), wanted))
    for (python, machine), answer in zip(wanted, answers, strict=True):
        if answer:
            print(f"Python {python} on {machine}:\n{answer}", file=sys.stderr)
    return 1 if any(answers) else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
