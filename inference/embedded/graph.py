"""The encoder's layers as an ONNX graph without weights, kept beside the head: ``python -m inference.embedded.graph``.

Only what writes it needs the package onnx, which takes 46 MB; a reader takes the file.
"""

from importlib.resources import as_file
from itertools import pairwise
from typing import Any

from onnx import NodeProto, TensorProto, helper

from inference.embedded.encoder import FILE, LAYERS
from inference.embedded.weights import BLOCK, SCALES, Shape, WeightsFile

_DOMAIN = "com.microsoft"
_OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid(_DOMAIN, 1)]
_IR_VERSION = 8
_EIGHT_BITS = 4
"""The accuracy level at which a block of activations is rounded to eight bits, and the products are whole numbers."""


def build_graph(shape: Shape) -> bytes:
    """The layers of a BERT, from embedded tokens to the states of the last layer.

    In go ``states`` (texts, tokens, width) and ``lengths``, the tokens of each text; the weights are to be given with
    it, as :meth:`WeightsFile.layers` names them.
    """
    layers = _Layers(shape)
    names = ["states", *(f"l{n}.out" for n in range(shape.layers - 1)), "out"]
    for n, (states, out) in enumerate(pairwise(names)):
        layers.add(f"l{n}", states, out)
    states, out = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["texts", "tokens", shape.width])
        for name in ("states", "out")
    )
    lengths = helper.make_tensor_value_info("lengths", TensorProto.INT32, ["texts"])
    graph = helper.make_graph(layers.nodes, "layers", [states, lengths], [out], layers.weights)
    written: bytes = helper.make_model(graph, opset_imports=_OPSETS, ir_version=_IR_VERSION).SerializeToString()
    return written


class _Layers:
    def __init__(self, shape: Shape) -> None:
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []
        self._shape = shape

    def add(self, name: str, states: str, out: str) -> None:
        """A layer: attention and feed-forward, each added to what came in."""
        width, inner = self._shape.width, self._shape.inner
        queries, keys, values = (self._linear(f"{name}.{part}", states, width, width) for part in "qkv")
        read = [queries, keys, values, "", "lengths"]
        seen = self._node("MultiHeadAttention", read, f"{name}.seen", num_heads=self._shape.heads)
        attended = self._norm(f"{name}.aln", self._linear(f"{name}.ao", seen, width, width), states, f"{name}.attended")
        bent = self._node("Gelu", [self._linear(f"{name}.fi", attended, width, inner)], f"{name}.bent")
        self._norm(f"{name}.oln", self._linear(f"{name}.fo", bent, inner, width), attended, out)

    def _linear(self, name: str, states: str, inputs: int, outputs: int) -> str:
        blocks = inputs // BLOCK
        weights = [
            self._given(f"{name}.w", TensorProto.UINT8, outputs, blocks, BLOCK // 2),
            self._given(f"{name}.w{SCALES}", TensorProto.FLOAT, outputs * blocks),
        ]
        bias = self._given(f"{name}.b", TensorProto.FLOAT, outputs)
        sizes = {"K": inputs, "N": outputs, "bits": 4, "block_size": BLOCK, "accuracy_level": _EIGHT_BITS}
        return self._node("MatMulNBits", [states, *weights, "", "", bias], name, **sizes)

    def _norm(self, name: str, added: str, states: str, out: str) -> str:
        own = [self._given(f"{name}.{part}", TensorProto.FLOAT, self._shape.width) for part in ("w", "b")]
        return self._node("SkipLayerNormalization", [added, states, *own], out, epsilon=self._shape.epsilon)

    def _given(self, name: str, kind: int, *dimensions: int) -> str:
        weight = TensorProto(name=name, data_type=kind, dims=dimensions, data_location=TensorProto.EXTERNAL)
        weight.external_data.add(key="location", value="given")
        self.weights.append(weight)
        return name

    def _node(self, kind: str, inputs: list[str], out: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [out], domain=_DOMAIN, **attributes))
        return out


if __name__ == "__main__":
    with as_file(LAYERS) as path:
        path.write_bytes(build_graph(WeightsFile(FILE.read_bytes()).shape))
