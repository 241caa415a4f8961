"""The runners are scripts, not a package: each is loaded from its file under a name of its own."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


def load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def ranklens() -> ModuleType:
    return load("example_ranklens", EXAMPLES / "ranklens" / "run.py")


@pytest.fixture(scope="session")
def rees46() -> ModuleType:
    return load("example_rees46", EXAMPLES / "rees46" / "run.py")


@pytest.fixture(scope="session")
def trivago() -> ModuleType:
    return load("example_trivago", EXAMPLES / "trivago" / "run.py")


@pytest.fixture(scope="session")
def furniture() -> ModuleType:
    return load("example_furniture", EXAMPLES / "furniture" / "run.py")


@pytest.fixture(scope="session")
def ranking(ranklens: ModuleType) -> ModuleType:
    return sys.modules["ranking"]


@pytest.fixture(scope="session")
def runner(ranklens: ModuleType) -> ModuleType:
    return sys.modules["runner"]


@pytest.fixture(scope="session")
def ranklens_data() -> Path:
    return _existing("ranklens")


@pytest.fixture(scope="session")
def rees46_data() -> Path:
    return _existing("rees46_night")


@pytest.fixture(scope="session")
def trivago_data() -> Path:
    return _existing("trivago_hotels")


def _existing(name: str) -> Path:
    folder = ROOT.parent / "shared" / "data" / name
    if not folder.is_dir():
        pytest.skip(f"the data set {name} is not here: there is no folder ../shared/data/{name}")
    return folder


@pytest.fixture(scope="session")
def next_item() -> ModuleType:
    return load("example_next_item", EXAMPLES / "next_item" / "run.py")


@pytest.fixture(scope="session")
def similar() -> ModuleType:
    return load("example_similar", EXAMPLES / "similar" / "run.py")
