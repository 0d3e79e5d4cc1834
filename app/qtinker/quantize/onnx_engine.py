"""Engine onnxruntime: INT8 weights and embeddings in `model.onnx`, activations quantized on the fly, on the CPU.

Exported first (see export/onnx_format.py), then rewritten: matrix products by ONNX Runtime's quantizer (signed weights
with a scale an output), embeddings here (its own quantizer gives a whole table one scale, which costs accuracy). The
head is left alone.
"""

from __future__ import annotations

import ast
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ..export import onnx_format
from ..export.graph import quiet
from ..heads import HEAD_NAMES
from ..runtime import extras
from ..runtime.onnx import FILE
from .layers import FEWEST_ROWS

ONE_A_TOKEN = ("classifier", "qa_outputs", "score")
"""Heads that answer token by token, with a few outputs each."""


def quantize_model(model: Any, tokenizer: Any, folder: Path) -> dict[str, Any]:
    """Write the quantized `model.onnx`; returns what to note about it.

    Raises:
        MissingExtra: onnx or onnxruntime is not installed.
    """
    onnx = extras.load("onnx", "onnx")
    quantization = extras.load("onnxruntime.quantization", "onnx")
    with tempfile.TemporaryDirectory(prefix="qtinker-onnx-") as name:
        onnx_format.write(model, tokenizer, Path(name))
        graph = onnx.load(Path(name) / FILE)
        # Shapes noted by the exporter contradict those that the quantizer infers, and it gives up.
        del graph.graph.value_info[:]
        turn_weights(onnx, graph.graph)
        tables = pack_tables(onnx, graph.graph)
        heads = [node.name for node in graph.graph.node if in_head(node)]
        with quiet():
            quantization.quantize_dynamic(
                graph, folder / FILE, per_channel=True, weight_type=quantization.QuantType.QInt8,
                op_types_to_quantize=["MatMul"], extra_options={"MatMulConstBOnly": True},
                # The quantizer first splits Gemm into MatMul and Add, and renames it so.
                nodes_to_exclude=heads + [f"{head}_MatMul" for head in heads],
            )  # fmt: skip
    return {"opset": onnx_format.OPSET, "activations": "int8, one scale a batch", "tables": tables}


def in_head(node: Any) -> bool:
    """Whether a node computes for the head: by a weight's name, else (the exporter turns some round and numbers them)
    by the modules that it is of; but not the matrix of a masked language model's words, as large as the embeddings."""
    scopes = next((each.value for each in node.metadata_props if each.key == "pkg.torch.onnx.name_scopes"), "[]")
    modules = {part for scope in ast.literal_eval(scopes) for part in scope.split(".")}
    named = any(part in HEAD_NAMES for given in node.input for part in given.split("."))
    return named or bool(modules & set(ONE_A_TOKEN))


def turn_weights(onnx: Any, graph: Any) -> None:
    """Put turned constants for matrices that the graph turns round when it runs, as the exporter leaves those that
    several layers share (ALBERT's): the quantizer takes constants alone."""
    constants = {entry.name: entry for entry in graph.initializer}
    for node in list(graph.node):
        if node.op_type != "Transpose" or node.input[0] not in constants:
            continue
        order = next((list(attribute.ints) for attribute in node.attribute if attribute.name == "perm"), None)
        turned = np.ascontiguousarray(onnx.numpy_helper.to_array(constants[node.input[0]]).transpose(order))
        graph.initializer.append(onnx.numpy_helper.from_array(turned, node.output[0]))
        graph.node.remove(node)
    used = {name for node in graph.node for name in node.input}
    for name in constants.keys() - used:
        graph.initializer.remove(constants[name])


def pack_tables(onnx: Any, graph: Any) -> int:
    """Put int8 tables with a scale a row for float embeddings: `Gather(q) * Gather(scale)`. Returns how many."""
    floats = {
        entry.name: entry
        for entry in graph.initializer
        if entry.data_type == onnx.TensorProto.FLOAT and len(entry.dims) == 2 and entry.dims[0] >= FEWEST_ROWS
    }
    uses = [name for node in graph.node for name in node.input]
    count = 0
    for node in list(graph.node):
        name = node.input[0] if node.op_type == "Gather" else None
        axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
        if name not in floats or axis != 0 or uses.count(name) > 1:
            continue
        table = onnx.numpy_helper.to_array(floats[name])
        scale = np.maximum(np.abs(table).max(axis=1, keepdims=True) / 127, np.finfo(np.float32).tiny)
        packed = np.clip(np.rint(table / scale), -127, 127).astype(np.int8)
        graph.initializer.remove(floats[name])
        graph.initializer.extend([
            onnx.numpy_helper.from_array(packed, f"{name}_int8"),
            onnx.numpy_helper.from_array(scale.astype(np.float32), f"{name}_scale"),
        ])  # fmt: skip
        ids, out = node.input[1], node.output[0]
        place = list(graph.node).index(node)
        graph.node.remove(node)
        new = [
            onnx.helper.make_node("Gather", [f"{name}_int8", ids], [f"{out}_int8"], f"{node.name}_int8"),
            onnx.helper.make_node("Gather", [f"{name}_scale", ids], [f"{out}_scale"], f"{node.name}_scale"),
            onnx.helper.make_node(
                "Cast", [f"{out}_int8"], [f"{out}_cast"], f"{node.name}_cast", to=onnx.TensorProto.FLOAT
            ),
            onnx.helper.make_node("Mul", [f"{out}_cast", f"{out}_scale"], [out], f"{node.name}_mul"),
        ]
        for offset, part in enumerate(new):
            graph.node.insert(place + offset, part)
        count += 1
    return count
