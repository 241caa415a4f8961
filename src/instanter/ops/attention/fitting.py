"""A net learned of what people did, in a process of its own that is bounded in time and memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Final

import msgspec
import numpy as np

from ...engine.paths import Windows
from ...foundation.errors import ConfigRejected, RequestRejected, Unavailable
from ...foundation.limits import NET_STEPS_MAX, NET_TRAINING_S_MAX, STEPS_READ_MAX
from ...models.attention_training import NetOptions
from ...models.bodies import Attention, LinearWeights
from .running import INSTALL

COMMAND: Final = (sys.executable, "-m", "instanter.ops.attention.learning")
LENGTH: Final = STEPS_READ_MAX + 1
"""Acts of a piece of a path: what is read, and what comes next of it."""
WINDOWS_LEAST: Final = 50
ITEMS_LEAST: Final = 20
_OVER_S: Final = 30
"""Beyond its own alarm, until the process is ended from here."""
_LAST_WORDS: Final = 2_000


class Net(msgspec.Struct, frozen=True, eq=False):
    """A net with nothing around it, and what it was made with."""

    attention: Attention
    """Its share is 0, and it moves no linear order yet."""
    libraries: dict[str, str]
    steps: int
    loss: float


def check_learning() -> None:
    """`ConfigRejected` where the extra is not installed."""
    missing = [name for name in ("torch", "onnx", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise ConfigRejected(f"a net needs {', '.join(missing)}, which is not installed", suggestion=INSTALL)


def fitted(windows: Windows, options: NetOptions, command: Sequence[str] = COMMAND) -> Net:
    """The net that these pieces of paths teach. `RequestRejected` where they are too few, `Unavailable` where the
    process took too long, too much memory, or failed."""
    if len(windows.numbers) < WINDOWS_LEAST or len(windows.items) < ITEMS_LEAST:
        raise RequestRejected(
            "no_examples", f"{len(windows.numbers)} paths over {len(windows.items)} items are too few for a net")
    from .learning import Fitted, Task

    task = Task(
        windows.numbers.astype("<i4").tobytes(), len(windows.items), STEPS_READ_MAX, options.epochs, NET_STEPS_MAX,
        options.seed, options.width, options.dropout, options.learning_rate,
    )  # fmt: skip
    try:
        done = subprocess.run(
            command, input=msgspec.msgpack.encode(task), capture_output=True, timeout=NET_TRAINING_S_MAX + _OVER_S,
            check=False, env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Unavailable(f"the net was not learned within {NET_TRAINING_S_MAX} s") from None
    if done.returncode != 0:
        words = done.stderr[-_LAST_WORDS:].decode("utf-8", "replace").strip().rsplit("\n", 1)[-1]
        raise Unavailable(f"the net was not learned: exit code {done.returncode} {words}".strip())
    try:
        told = msgspec.msgpack.decode(done.stdout, type=Fitted)
    except msgspec.MsgspecError as error:
        raise Unavailable(f"the net was not learned: {error}") from None
    net = Attention(
        LinearWeights(np.zeros(0), np.zeros(0, np.uint8)), 0.0, told.graph, windows.items, STEPS_READ_MAX,
        np.frombuffer(told.known_recent, "<i4").astype(np.int32),
        np.frombuffer(told.known_candidates, "<i4").astype(np.int32),
        np.frombuffer(told.known_told, "<f4").astype(np.float32),
    )  # fmt: skip
    return Net(net, {"torch": told.torch}, told.steps, told.loss)
