"""What the tests of this room share: one enricher (its lists take a tenth of a second to load) and a door."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from instanter.events.admitted import Admitted
from instanter.events.decode import Door
from instanter.events.enrich import Enricher
from instanter.events.subjects import HashedSubjects
from instanter.foundation.ids import Ids, PersonKeys

RECEIVED_MS = 1_750_000_000_000
SECRET = b"0123456789abcdef"
SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def enricher() -> Enricher:
    return Enricher()


@pytest.fixture(scope="session")
def keys() -> PersonKeys:
    return PersonKeys(SECRET)


@pytest.fixture(scope="session")
def door(enricher: Enricher, keys: PersonKeys) -> Door:
    return Door(subjects=HashedSubjects(SECRET), ids=Ids(lambda size: b"\x07" * size), enrich=enricher)


@pytest.fixture(scope="session")
def admit(door: Door) -> Callable[..., Admitted]:
    """Admits a map as if it had come as JSON; `**how` goes to the door."""

    def admit_map(event: dict[str, Any], **how: Any) -> Admitted:
        how = {"kind": None, "received_ms": RECEIVED_MS, "tenant": "default"} | how
        return door.admit(msgspec.json.encode(event), **how)

    return admit_map


@pytest.fixture(scope="session")
def labelled() -> Callable[[str], Path]:
    """The path of a file of labelled cases, or a skip that says which one is missing."""

    def find(name: str) -> Path:
        path = SHARED_DATA / name
        if not path.exists():
            pytest.skip(f"no labelled cases at ../shared/data/{name}")
        return path

    return find
