"""The locks hold all that is needed, on each Python and machine that they are for. No index is asked here."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from importlib import metadata
from itertools import product
from pathlib import Path

import pytest
from packaging.requirements import Requirement as Declared

from .environment import Requirement, named, requirements_of

PYTHONS = ("3.11", "3.12", "3.13")
MACHINES = ("x86_64", "aarch64")
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-fuzz.lock")


def required(declared: Iterable[Declared], environment: dict[str, str]) -> Iterator[Declared]:
    """All that is required, directly or by what is required, where `environment` is what markers are held against."""
    waiting, seen = list(declared), set()
    while waiting:
        one = waiting.pop()
        for extra in ("", *one.extras):
            if (named(one.name), extra) in seen:
                continue
            seen.add((named(one.name), extra))
            yield one
            try:
                texts = metadata.requires(one.name) or []
            except metadata.PackageNotFoundError:
                continue
            waiting += [
                needed for needed in map(Declared, texts)
                if needed.marker is None or needed.marker.evaluate({**environment, "extra": extra})
            ]


def missing(
    declared: Iterable[Declared], locked: dict[str, Requirement], python: str, machine: str
) -> list[str]:
    """What is required there and not locked, or locked in a version that does not do."""
    environment = {
        "python_version": python, "python_full_version": f"{python}.1", "platform_machine": machine,
        "sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }  # fmt: skip
    wrong = []
    for one in required(declared, environment):
        lock = locked.get(named(one.name))
        if lock is None or not one.specifier.contains(lock.version, prereleases=True):
            wrong.append(f"{one} (locked: {lock.version if lock else 'no'})")
    return sorted(set(wrong))


@pytest.fixture(scope="module")
def project(root: Path) -> dict[str, list[Declared]]:
    """What pyproject.toml asks for, by lock."""
    told = tomllib.loads((root / "pyproject.toml").read_text())
    runtime = [*told["project"]["dependencies"], *told["build-system"]["requires"]]
    extras = told["project"]["optional-dependencies"]
    return {
        "requirements.lock": [Declared(one) for one in runtime],
        "requirements-dev.lock": [Declared(one) for one in (*runtime, *extras["dev"], *extras["geo"])],
        "requirements-fuzz.lock": [Declared(one) for one in (*runtime, *extras["fuzz"])],
    }


@pytest.mark.parametrize(("python", "machine"), list(product(PYTHONS, MACHINES)))
def test_the_locks_hold_all_that_a_python_on_a_machine_requires(
    root: Path, project: dict[str, list[Declared]], python: str, machine: str
) -> None:
    for lock in LOCKS:
        assert missing(project[lock], requirements_of(root / lock), python, machine) == [], f"{lock}: run `make lock`"


def test_what_is_not_locked_is_found(root: Path) -> None:
    locked = requirements_of(root / "requirements-dev.lock")
    without = {name: lock for name, lock in locked.items() if name not in ("numpy", "typing-extensions")}
    wrong = missing([Declared("scipy"), Declared("referencing"), Declared("gone")], without, "3.11", "x86_64")
    assert [one.split("<")[0].split(">")[0].split(" ")[0] for one in wrong] == ["gone", "numpy", "typing-extensions"]
    assert not any("typing" in one for one in missing([Declared("referencing")], without, "3.13", "x86_64"))
    assert missing([Declared("numpy>=9000")], locked, "3.11", "x86_64")


def test_a_package_has_one_version_in_all_locks(root: Path) -> None:
    runtime, development, fuzz = (requirements_of(root / lock) for lock in LOCKS)
    assert runtime.items() <= development.items()
    assert {name: lock for name, lock in fuzz.items() if name in development}.items() <= development.items()
    assert "atheris" not in development


def test_this_environment_holds_what_the_lock_names(locked: dict[str, Requirement]) -> None:
    there = {named(one.metadata["Name"]): one.version for one in metadata.distributions()}
    other = {name: (lock.version, there.get(name)) for name, lock in locked.items() if there.get(name) != lock.version}
    assert other == {}, "run `make setup`"
