"""Once a server is ready nothing is compiled or loaded any more, whatever it is asked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_nothing_is_compiled_or_loaded_once_warmed_up(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.engine.warm_serving", str(tmp_path)], cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout.splitlines()[-1]) == []
