"""A net as ONNX, written node by node: so it depends on no exporter, and the same weights give the same bytes.

    recent      int32, [recent]       numbers of the items acted on last, the newest last, zeros before
    candidates  int32, [candidates]   numbers of the items that are asked about
    told        float32, [candidates]
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from .shape import Shape, Weights

OPSET: Final = 17
IR: Final = 8
NOT_SEEN: Final = -1e9
"""Added where a place must not look: at what comes later, and at none."""
_EPSILON: Final = 1e-5


def graph_of(shape: Shape, weights: Weights) -> bytes:
    """The bytes of the graph."""
    import onnx
    from onnx import TensorProto, helper

    graph = _Graph()
    for name, _ in shape.sizes():
        graph.constant(name, weights[name])
    told = _told(graph, shape)
    graph.node("Identity", [told], "told")
    made = helper.make_graph(
        graph.nodes, "attention",
        [
            helper.make_tensor_value_info("recent", TensorProto.INT32, [shape.recent]),
            helper.make_tensor_value_info("candidates", TensorProto.INT32, ["candidates"]),
        ],
        [helper.make_tensor_value_info("told", TensorProto.FLOAT, ["candidates"])],
        graph.constants,
    )  # fmt: skip
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="instanter")
    model.ir_version = IR
    onnx.checker.check_model(model)
    raw: bytes = model.SerializeToString(deterministic=True)
    return raw


class _Graph:
    """Nodes and constants, as they come."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, value: Any) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def node(self, kind: str, inputs: list[str], name: str = "", **attributes: Any) -> str:
        from onnx import helper

        name = name or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=f"node_{len(self.nodes)}", **attributes))
        return name


def _told(graph: _Graph, shape: Shape) -> str:
    add = graph.node
    width, heads, recent = shape.width, shape.heads, shape.recent
    graph.constant("split", np.array([recent, heads, width // heads], np.int64))
    graph.constant("joined", np.array([recent, width], np.int64))
    graph.constant("scale", np.array((width // heads) ** -0.5, np.float32))
    graph.constant("none", np.array(0, np.int32))
    graph.constant("not_seen", np.array(NOT_SEEN, np.float32))
    graph.constant("later", np.triu(np.full((recent, recent), NOT_SEEN, np.float32), k=1))
    is_none = add("Cast", [add("Equal", ["recent", "none"])], to=1)
    unseen = add("Add", ["later", add("Mul", [is_none, "not_seen"])])
    stream = add("Add", [add("Gather", ["items", "recent"]), "places"])
    for layer in range(shape.layers):
        normed = _norm(graph, stream, f"{layer}.norm")
        query, key, value = (
            add("Reshape", [add("MatMul", [normed, f"{layer}.{name}"]), "split"]) for name in ("query", "key", "value")
        )
        likeness = add("MatMul", [
            add("Transpose", [query], perm=[1, 0, 2]), add("Transpose", [key], perm=[1, 2, 0])
        ])  # fmt: skip
        looked = add("Softmax", [add("Add", [add("Mul", [likeness, "scale"]), unseen])], axis=-1)
        read = add("MatMul", [looked, add("Transpose", [value], perm=[1, 0, 2])])
        read = add("Reshape", [add("Transpose", [read], perm=[1, 0, 2]), "joined"])
        stream = add("Add", [stream, add("MatMul", [read, f"{layer}.out"])])
        normed = _norm(graph, stream, f"{layer}.norm_2")
        wide = add("Relu", [add("Add", [add("MatMul", [normed, f"{layer}.widen"]), f"{layer}.widen_bias"])])
        narrow = add("Add", [add("MatMul", [wide, f"{layer}.narrow"]), f"{layer}.narrow_bias"])
        stream = add("Add", [stream, narrow])
    graph.constant("newest", np.array(recent - 1, np.int64))
    newest = add("Gather", [_norm(graph, stream, "norm"), "newest"], axis=0)
    return add("MatMul", [add("Gather", ["items", "candidates"]), newest])


def _norm(graph: _Graph, stream: str, name: str) -> str:
    return graph.node("LayerNormalization", [stream, name, f"{name}_bias"], axis=-1, epsilon=_EPSILON)
