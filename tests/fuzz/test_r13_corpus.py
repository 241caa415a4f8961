"""R13: every input that fuzzing has kept goes through its target again, without the fuzzer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import thread_time_ns

import pytest

from .fuzz import NAMES, not_covered
from .targets import NEVER_TAKEN, RUN_S_MAX, TARGETS, Refused, TooSlow, run

pytestmark = pytest.mark.about("P5", "P10")

CORPUS = Path(__file__).parent / "corpus"


def refuse(chunk: bytes) -> None:
    raise Refused


def divide(chunk: bytes) -> None:
    divmod(1, len(chunk))


def dawdle(chunk: bytes) -> None:
    began_ns = thread_time_ns()
    while (thread_time_ns() - began_ns) / 1e9 <= RUN_S_MAX:
        chunk.count(b"x")


@pytest.mark.parametrize("name", TARGETS)
def test_r13_what_fuzzing_has_kept_is_taken_or_refused_as_drawn(
    name: str, record_property: Callable[[str, object], None]
) -> None:
    inputs = [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]
    for chunk in inputs:  # Compiles kernels where nobody has, which is not what is bounded.
        with suppress(Refused):
            TARGETS[name](chunk)
    taken = [run(TARGETS[name], chunk) for chunk in inputs]
    record_property("corpus_inputs", len(inputs))
    assert set(taken) == ({False} if name in NEVER_TAKEN else {True, False}), "the corpus reaches both"


def test_r13_a_target_that_lets_something_else_out_or_takes_too_long_is_noticed() -> None:
    assert run(lambda chunk: None, b"") is True
    assert run(refuse, b"") is False
    with pytest.raises(ZeroDivisionError):
        run(divide, b"")
    with pytest.raises(TooSlow):
        run(dawdle, b"")


def test_r13_every_target_is_fuzzed_and_every_one_that_is_fuzzed_is_a_target() -> None:
    assert tuple(TARGETS) == NAMES


def test_r13_what_steers_the_fuzzer_is_there_and_the_kernels_are_not_of_it() -> None:
    others = not_covered()
    assert {"instanter.state.table", "instanter.engine.loop"} <= set(others)
    assert not {"instanter.events.decode", "instanter.log.segments", "instanter.state.checkpoint"} & set(others)
