from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .shop import told, told_often

SCRIPT = Path(__file__).with_name("plain_fold.py")
EVENTS = 400


def plain(seed: int, *, hash_seed: str) -> list[str]:
    """The story told without the compiler; any warning of numpy's, such as an overflow, ends it."""
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONHASHSEED": hash_seed}
    run = subprocess.run(
        [sys.executable, "-W", "error", str(SCRIPT), str(seed), str(EVENTS)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    hashes: list[str] = json.loads(run.stdout)
    return hashes


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_compiled_and_plain_kernels_come_to_the_same_hashes(seed: int) -> None:
    assert [*told(seed, EVENTS), *told_often(seed, 5 * EVENTS)] == plain(seed, hash_seed=str(seed))


def test_the_story_holds_every_verdict() -> None:
    duplicates, late, very_late, _, again = (int(text) for text in told(1, EVENTS)[-5:])
    assert duplicates
    assert late
    assert very_late
    assert again


def test_many_messages_of_one_person_are_told_again_and_forgotten() -> None:
    verdicts, _, forgotten = told_often(1, 5 * EVENTS)
    assert verdicts.count("1") > 100
    assert int(forgotten) > 100


def test_another_story_comes_to_another_hash() -> None:
    assert told(1, 40) != told(2, 40)
