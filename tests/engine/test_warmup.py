"""Once a server is ready nothing is compiled or loaded any more, whatever it is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
WARM_UP = """
from tempfile import TemporaryDirectory
from pathlib import Path

from instanter.ops.settings import Config, StateSettings
from instanter.ops.wiring import open_engine

with TemporaryDirectory() as directory:
    open_engine(Config(state=StateSettings(memory_mb=64)), Path(directory), may_make_master_key=True)
"""

FORMS = WARM_UP + """
    from instanter.state.compiling import compiled
    print([kernel.py_func.__qualname__ for kernel in compiled.kernels if len(kernel.signatures) > 1])
"""


def test_nothing_is_compiled_or_loaded_once_warmed_up(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.engine.warm_serving", str(tmp_path)], cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout.splitlines()[-1]) == []


def test_no_kernel_is_compiled_for_two_kinds_of_the_same() -> None:
    """An array that can be written and one that cannot are two kinds to the compiler."""
    run = subprocess.run([sys.executable, "-c", FORMS], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == "[]"


def test_warming_up_stays_within_its_tables() -> None:
    """Compiled kernels write behind the end of an array without a word; as plain Python they raise."""
    run = subprocess.run(
        [sys.executable, "-c", WARM_UP], cwd=ROOT, capture_output=True, text=True, check=False,
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
