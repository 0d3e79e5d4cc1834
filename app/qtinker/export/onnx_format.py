"""ONNX: the graph by torch.onnx's dynamo exporter, with any batch and length.

Opset 18 has the attention spelled out in basic operators, which every runtime knows and which ONNX Runtime's
quantizer takes; the operator for attention that opset 23 brings is not widely there yet.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..runtime import extras
from ..runtime.onnx import FILE
from .graph import Logits, example_inputs, quiet

OPSET = 18


def write(model: Any, tokenizer: Any, folder: Path) -> dict[str, Any]:
    """Write `model.onnx`, weights inside; returns what to note about it.

    Raises:
        MissingExtra: onnx or onnxscript is not installed.
    """
    import torch

    for module in ("onnx", "onnxscript"):
        extras.load(module, "onnx")
    attention = getattr(model.config, "_attn_implementation", None)
    model.set_attn_implementation("eager")
    graph = Logits(model).eval()
    inputs = example_inputs(graph, tokenizer)
    longest = int(getattr(model.config, "max_position_embeddings", 512) or 512)
    sides = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=longest)}
    try:
        with quiet(), torch.no_grad():
            program = torch.onnx.export(
                graph, inputs, dynamo=True, opset_version=OPSET, input_names=list(graph.names),
                output_names=["logits"], dynamic_shapes=[(sides,) * len(inputs)], verbose=False,
            )  # fmt: skip
            assert program is not None
            program.save(str(folder / FILE), external_data=False)
    finally:
        model.set_attn_implementation(attention or "sdpa")
    return {"opset": OPSET, "inputs": list(graph.names), "dynamic": ["batch", "length"]}


EXAMPLE = '''"""Answers texts with ONNX Runtime:  python example.py {usage}

Needs: pip install onnxruntime tokenizers numpy
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

folder = Path(__file__).parent
labels = json.loads((folder / "config.json").read_text(encoding="utf-8"))["id2label"]
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
tokenizer.enable_padding(pad_id={pad_id}, pad_token={pad_token!r})
session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])

{texts}
{rows}
given = {
    "input_ids": np.array([row.ids for row in rows], np.int64),
    "attention_mask": np.array([row.attention_mask for row in rows], np.int64),
    "token_type_ids": np.array([row.type_ids for row in rows], np.int64),
}
logits = session.run(["logits"], {entry.name: given[entry.name] for entry in session.get_inputs()})[0]
{answers}'''
