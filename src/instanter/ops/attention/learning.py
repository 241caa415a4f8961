"""The process in which a net is learned: `python -m instanter.ops.attention.learning`, begun by `fitting` alone.

It reads paths of people, MessagePack of a `Task`, from its standard input, and writes a `Fitted` to the descriptor that
was its standard output. PyTorch runs on one thread and by its deterministic algorithms: on one machine the same paths
give the same bytes.

Each place of a path is asked what comes next: softmax over the wanted item and items drawn alike for all of a batch
(sampled softmax), or over all where there are few.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from ...foundation.limits import NET_TRAINING_MEMORY_MB_MAX, NET_TRAINING_S_MAX
from .graph import graph_of
from .running import run_once
from .shape import Shape, Weights, begun

NICENESS: Final = 15
BATCH: Final = 128
DRAWN: Final = 512
"""Items beside the wanted one, of a batch."""
_KNOWN: Final = 16
"""Candidates of the known question."""
_MIB: Final = 1_048_576
Paths = npt.NDArray[np.int32]


class Task(msgspec.Struct, frozen=True, array_like=True):
    """What is to be learned."""

    windows: bytes
    """int32, [windows, recent + 1]: numbers of items one after another, the newest last, zeros before."""
    items: int
    recent: int
    epochs: int
    steps_max: int
    seed: int
    width: int
    dropout: float
    learning_rate: float


class Fitted(msgspec.Struct, frozen=True, array_like=True):
    """What was learned, with a question and its answer."""

    graph: bytes
    known_recent: bytes
    known_candidates: bytes
    known_told: bytes
    steps: int
    loss: float
    torch: str


def main() -> int:
    """Take the task, learn, and answer."""
    os.nice(NICENESS)
    signal.alarm(NET_TRAINING_S_MAX)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (NET_TRAINING_MEMORY_MB_MAX * _MIB, hard))
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Libraries print, and are none of our answers.
    task = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Task)
    out.write(msgspec.msgpack.encode(learned(task)))
    out.close()
    return 0


def learned(task: Task) -> Fitted:
    """The net of a task."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(task.seed)
    torch.use_deterministic_algorithms(True)
    shape = Shape(task.items, task.recent, task.width)
    windows = np.frombuffer(task.windows, "<i4").reshape(-1, task.recent + 1).astype(np.int64)
    chance = torch.Generator().manual_seed(task.seed)
    first = begun(shape, lambda size: torch.randn(size, generator=chance).numpy())
    weights = {name: torch.nn.Parameter(torch.from_numpy(value)) for name, value in first.items()}
    optimizer = torch.optim.Adam(weights.values(), lr=task.learning_rate, betas=(0.9, 0.98))
    steps, loss = 0, 0.0
    steps_max = min(task.steps_max, task.epochs * -(-len(windows) // BATCH))
    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps_max))
    for batch in _batches(len(windows), chance, steps_max):
        optimizer.zero_grad()
        told = _loss(weights, shape, torch.from_numpy(windows[batch]), chance, task.dropout)
        told.backward()
        optimizer.step()
        rate.step()
        steps, loss = steps + 1, 0.99 * loss + 0.01 * float(told.detach()) if steps else float(told.detach())
    final: Weights = {name: value.detach().numpy() for name, value in weights.items()}
    final["items"][0] = 0.0
    graph = graph_of(shape, final)
    recent = windows[0, 1:].astype(np.int32)
    candidates = np.linspace(1, task.items, min(_KNOWN, task.items)).astype(np.int32)
    known = run_once(graph, recent, candidates)
    with torch.no_grad():
        stream = _stream(weights, shape, torch.from_numpy(recent[None, :].astype(np.int64)), 0.0)[0, -1]
        ours = (weights["items"][torch.from_numpy(candidates.astype(np.int64))] @ stream).numpy()
    if not np.allclose(ours, known, rtol=1e-3, atol=1e-3):
        raise RuntimeError(f"the graph tells other numbers than the net, by up to {np.abs(ours - known).max():.3g}")
    return Fitted(
        graph, recent.astype("<i4").tobytes(), candidates.astype("<i4").tobytes(), known.astype("<f4").tobytes(),
        steps, loss, str(torch.__version__),
    )  # fmt: skip


def _rate(step: int, steps: int) -> float:
    """Of the learning rate: it rises at first and falls to nothing."""
    return min(1.0, (step + 1) / (0.05 * steps + 1), max(0.02, 1.0 - step / steps))


def _batches(windows: int, chance: Any, steps: int) -> Iterator[npt.NDArray[np.int64]]:
    import torch

    taken = 0
    while taken < steps:
        order = torch.randperm(windows, generator=chance).numpy()
        for first in range(0, windows, BATCH):
            if taken == steps:
                return
            yield order[first : first + BATCH]
            taken += 1


def _loss(weights: Any, shape: Shape, windows: Any, chance: Any, dropout: float) -> Any:
    """How surprised the net is at what came next, in nats."""
    import torch
    from torch.nn import functional

    before, after = windows[:, :-1], windows[:, 1:]
    asked = (after > 0) & (before > 0)
    stream, wanted = _stream(weights, shape, before, dropout)[asked], after[asked]
    if shape.items <= 2 * DRAWN:
        return functional.cross_entropy(stream @ weights["items"][1:].T, wanted - 1)
    drawn = torch.randint(1, shape.items + 1, (DRAWN,), generator=chance)
    others = stream @ weights["items"][drawn].T
    others = others.masked_fill(drawn[None, :] == wanted[:, None], -1e9)
    own = (stream * weights["items"][wanted]).sum(-1, keepdim=True)
    return functional.cross_entropy(torch.cat([own, others], 1), torch.zeros_like(wanted))


def _stream(weights: Any, shape: Shape, before: Any, dropout: float) -> Any:
    """[batch, recent, width], as `graph` has it."""
    import torch
    from torch.nn import functional

    def norm(values: Any, name: str) -> Any:
        return functional.layer_norm(values, (shape.width,), weights[name], weights[f"{name}_bias"])

    def dropped(values: Any) -> Any:
        return functional.dropout(values, dropout) if dropout else values

    batch = len(before)
    later = torch.triu(torch.full((shape.recent, shape.recent), -1e9), 1)
    unseen = later[None, None] + torch.where(before == 0, -1e9, 0.0)[:, None, None, :]
    stream = dropped(functional.embedding(before, weights["items"]) + weights["places"])
    for layer in range(shape.layers):
        normed = norm(stream, f"{layer}.norm")
        query, key, value = (
            (normed @ weights[f"{layer}.{name}"]).view(batch, shape.recent, shape.heads, -1).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        looked = torch.softmax(query @ key.transpose(-1, -2) * (shape.width // shape.heads) ** -0.5 + unseen, -1)
        read = (looked @ value).transpose(1, 2).reshape(batch, shape.recent, shape.width)
        stream = stream + dropped(read @ weights[f"{layer}.out"])
        normed = norm(stream, f"{layer}.norm_2")
        wide = torch.relu(normed @ weights[f"{layer}.widen"] + weights[f"{layer}.widen_bias"])
        stream = stream + dropped(wide @ weights[f"{layer}.narrow"] + weights[f"{layer}.narrow_bias"])
    return norm(stream, "norm")


if __name__ == "__main__":
    sys.exit(main())
