"""Nets by onnxruntime, on one thread: in this process, for jobs and commands, where nobody waits.

Loads little, since the process that a server asks begins with it.
"""

from __future__ import annotations

from collections import OrderedDict
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from ...foundation.errors import Broken, ConfigRejected

if TYPE_CHECKING:
    from ...models.bodies import Attention, Logits, Places

INSTALL: Final = 'pip install "instanter[torch]"'
_TOLERANCE: Final = 1e-3
"""By how much a net may tell another number on another machine, of numbers about 1 to 10."""
_NETS_KEPT: Final = 4


def session_of(graph: bytes) -> Any:
    """What runs a graph."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def run(session: Any, recent: npt.NDArray[np.int32], candidates: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    """What a graph tells of candidates."""
    (told,) = session.run(["told"], {"recent": recent, "candidates": candidates})
    return np.asarray(told, np.float32)


def run_once(
    graph: bytes, recent: npt.NDArray[np.int32], candidates: npt.NDArray[np.int32]
) -> npt.NDArray[np.float32]:
    """What a graph tells of candidates."""
    return run(session_of(graph), recent, candidates)


def errors() -> tuple[type[Exception], ...]:
    """What onnxruntime raises on a graph that does not fit or fails: it has no base of its own for them."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = (one for one in vars(state).values() if isinstance(one, type) and issubclass(one, Exception))
    return (RuntimeError, ValueError, TypeError, *own)


def is_installed() -> bool:
    """Whether there is something that runs nets."""
    return find_spec("onnxruntime") is not None


def check_installed() -> None:
    """`ConfigRejected` where nothing runs nets."""
    if not is_installed():
        raise ConfigRejected("what runs the nets of the extra `torch` is not installed", suggestion=INSTALL)


def check_told(told: Logits, known: Logits) -> None:
    """`Broken` unless a net told of the known question what it told when it was made."""
    if told.shape != known.shape or not np.allclose(told, known, rtol=_TOLERANCE, atol=_TOLERANCE):
        raise Broken("the net gives a known question another answer than it gave")


class NetsHere:
    """The `Nets` of a job or a command: whoever asks waits, as long as it takes."""

    def __init__(self) -> None:
        self._sessions = OrderedDict[str, Any]()

    def prepare(self, model: str, net: Attention) -> None:
        """As `Nets.prepare`, but only once it is asked does it have to be installed: a decision that was made is made
        again without."""
        if not is_installed():
            return
        try:
            session = session_of(net.graph)
            told = run(session, net.known_recent, net.known_candidates)
        except errors() as error:
            raise Broken(f"the net does not run: {error}") from None
        check_told(told, net.known_told)
        while len(self._sessions) >= _NETS_KEPT:
            self._sessions.popitem(last=False)
        self._sessions[model] = session

    def ask(self, model: str, recent: Places, candidates: Places, within_ms: float) -> Logits:
        """As `Nets.ask`; `ConfigRejected` where nothing is installed."""
        check_installed()
        session = self._sessions.get(model)
        if session is None:
            raise Broken(f"the net of {model} was not prepared")
        return run(session, recent, candidates)

    def close(self) -> None:
        """As `Nets.close`."""
        self._sessions.clear()
