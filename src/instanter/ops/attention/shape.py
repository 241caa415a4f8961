"""What a net consists of: the names and sizes of its weights, which learning, the graph and tests agree on.

One reads the other with nothing in between: `learning` makes the weights, `graph` writes them down as ONNX.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Weights = dict[str, npt.NDArray[np.float32]]


class Shape(NamedTuple):
    """Sizes of a net."""

    items: int
    """Known items; number 0 is none."""
    recent: int
    """Items that it reads."""
    width: int = 64
    layers: int = 2
    heads: int = 2

    def sizes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Each weight by name, in the order in which they are drawn."""
        width = self.width
        yield "items", (self.items + 1, width)
        yield "places", (self.recent, width)
        for layer in range(self.layers):
            yield f"{layer}.norm", (width,)
            yield f"{layer}.norm_bias", (width,)
            for name in ("query", "key", "value", "out"):
                yield f"{layer}.{name}", (width, width)
            yield f"{layer}.norm_2", (width,)
            yield f"{layer}.norm_2_bias", (width,)
            yield f"{layer}.widen", (width, 4 * width)
            yield f"{layer}.widen_bias", (4 * width,)
            yield f"{layer}.narrow", (4 * width, width)
            yield f"{layer}.narrow_bias", (width,)
        yield "norm", (width,)
        yield "norm_bias", (width,)


def begun(shape: Shape, draw: Callable[[tuple[int, ...]], npt.NDArray[Any]]) -> Weights:
    """Weights to begin with: small, of what is drawn from a standard normal distribution; those of item 0 are zeros."""
    weights = Weights()
    for name, size in shape.sizes():
        if name.endswith("_bias"):
            weights[name] = np.zeros(size, np.float32)
        elif "norm" in name:
            weights[name] = np.ones(size, np.float32)
        else:
            scale = shape.width**-0.5 if len(size) == 2 and "." in name else 0.05
            weights[name] = (draw(size) * scale).astype(np.float32)
    weights["items"][0] = 0.0
    return weights
