"""What is done in the process of a job, by kind."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final

import msgspec

from ...api.decide import EXPLAIN, REPLAY, WHY, ExplainedReply, ReplayReply, WhyReply, asked_why
from ...api.jobs import Progress, Refusal
from ...api.whatif import WHATIF, asked_whatif
from ...engine.decision_ids import find_decision
from ...engine.replay import Again, Made
from ...foundation.clock import elapsed_ns
from ...foundation.errors import Broken, InstanterError, Rejected, RequestRejected, Unavailable
from ...foundation.limits import JOB_MEMORY_MB_MAX
from .. import training
from ..otherwise import decided_otherwise
from ..reading import Reading, reading
from ..replaying import made_at
from .child import Defect, Told, Work
from .placing import TRAIN

PROGRESS_EVERY_S: Final = 1.0
FRAMES_MAX: Final = 20


def do(order: bytes, answers: int) -> None:
    """Do what an order says, and write to the descriptor how it goes and how it ended."""
    out = os.fdopen(answers, "wb")

    def tell(told: Told) -> None:
        out.write(msgspec.json.encode(told) + b"\n")
        out.flush()

    def defect(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        frames = [f"{one.filename}:{one.lineno} {one.name}" for one in traceback.extract_tb(trace)]
        tell(Told(defect=Defect(kind.__name__, frames[-FRAMES_MAX:])))

    sys.excepthook = defect
    work = msgspec.json.decode(order, type=Work)
    try:
        tell(Told(outcome=msgspec.Raw(KINDS[work.order.kind](work, tell))))
    except InstanterError as error:
        tell(Told(refusal=refusal_of(error)))


def refusal_of(error: InstanterError) -> Refusal:
    """An error of ours as the server is told it."""
    if isinstance(error, Rejected):
        return Refusal(error.code, error.message, error.status)
    if isinstance(error, Unavailable):
        return Refusal(error.code, error.message)
    return Refusal("broken" if isinstance(error, Broken) else "configuration", str(error))


def _replay(work: Work, tell: Callable[[Told], None]) -> bytes:
    """A decision made again."""
    began_ns, decision_id = elapsed_ns(), work.order.subject
    with _read(work) as read, _progressing(lambda: Progress(read.replay.folded), tell):
        again = _again(read, decision_id)
        reply = ReplayReply(
            decision_id, again.identical, again.differences, read.replay.folded, _ms_since(began_ns)
        )
    return msgspec.json.encode(reply)


def _why(work: Work, tell: Callable[[Told], None]) -> bytes:
    """What became of an item in a decision."""
    began_ns, (decision_id, item_id) = elapsed_ns(), asked_why(work.order.subject)
    with _read(work) as read, _progressing(lambda: Progress(read.replay.folded), tell):
        again = _again(read, decision_id)
        receipt, state = again.made.receipt, again.partition.state
        decider, _ = read.replay.footing(receipt.config_hash)
        told = decider.why(receipt, again.slates, item_id, state=state)
        reply = WhyReply(
            decision_id, item_id, state.catalogue.holds(receipt.tenant, item_id), again.identical, again.differences,
            told, read.replay.folded, _ms_since(began_ns),
        )  # fmt: skip
    return msgspec.json.encode(reply)


def _explain(work: Work, tell: Callable[[Told], None]) -> bytes:
    """A decision with its reasons."""
    began_ns, decision_id = elapsed_ns(), work.order.subject
    with _read(work) as read, _progressing(lambda: Progress(read.replay.folded), tell):
        again = _again(read, decision_id)
        decider, _ = read.replay.footing(again.made.receipt.config_hash)
        told = decider.explained(again.made.receipt, again.slates, state=again.partition.state)
        reply = ExplainedReply(
            decision_id, again.identical, again.differences, told, read.replay.folded, _ms_since(began_ns)
        )
    return msgspec.json.encode(reply)


def _whatif(work: Work, tell: Callable[[Told], None]) -> bytes:
    """A decision beside what it would have been."""
    decision_id, tried = asked_whatif(work.order.subject)
    with _read(work) as read, _progressing(lambda: Progress(read.replay.folded), tell):
        reply = decided_otherwise(read, _made(read, decision_id), tried)
    return msgspec.json.encode(reply)


def _again(read: Reading, decision_id: str) -> Again:
    """The decision of an id, made again."""
    return read.replay.decision(_made(read, decision_id))


def _made(read: Reading, decision_id: str) -> Made:
    """The decision of an id, as the log holds it."""
    named = find_decision(decision_id, read.log, read.moved)
    if named is None:
        raise RequestRejected("unknown_decision", "the log holds no such decision", status=404)
    return made_at(read, named[0])


def _ms_since(began_ns: int) -> float:
    return round((elapsed_ns() - began_ns) / 1e6, 3)


def _train(work: Work, tell: Callable[[Told], None]) -> bytes:
    """A model trained, kept, and measured on the newest lists."""
    order, reached = work.order, [Progress(0)]

    def progress(done: int, of: int) -> None:
        reached[0] = Progress(done, of)

    wanted = training.Job(order.tenant, order.subject, {}, gated=True, incumbent=order.incumbent)
    with _read(work) as read, _progressing(lambda: reached[0], tell):
        report = training.trained(read, work.config, wanted, progress)
    return msgspec.json.encode(report)


@contextmanager
def _read(work: Work) -> Iterator[Reading]:
    """The data directory, within the memory that a job may take."""
    config = work.config
    memory_mb = min(config.state.memory_mb, JOB_MEMORY_MB_MAX)
    state = msgspec.structs.replace(config.state, memory_mb=memory_mb)
    with reading(msgspec.structs.replace(config, state=state), Path(work.data)) as read:
        yield read


@contextmanager
def _progressing(progress: Callable[[], Progress], tell: Callable[[Told], None]) -> Iterator[None]:
    """Tell once a second how far it is, where that has changed."""
    over = threading.Event()

    def watch() -> None:
        last = Progress(0)
        while not over.wait(PROGRESS_EVERY_S):
            now = progress()
            if now != last:
                tell(Told(progress=now))
                last = now

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


KINDS: Final[Mapping[str, Callable[[Work, Callable[[Told], None]], bytes]]] = {
    REPLAY: _replay, WHY: _why, EXPLAIN: _explain, WHATIF: _whatif, TRAIN: _train,
}  # fmt: skip
