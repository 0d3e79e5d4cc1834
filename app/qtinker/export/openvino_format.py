"""OpenVINO IR: converted straight from the PyTorch model, with any batch and length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..runtime import extras
from ..runtime.openvino import FILE
from .graph import Logits, example_inputs, quiet


def convert(model: Any, tokenizer: Any) -> Any:
    """The model as an `openvino.Model` in memory.

    Raises:
        MissingExtra: openvino is not installed.
    """
    import torch

    openvino = extras.load("openvino", "openvino")
    graph = Logits(model).eval()
    cached = getattr(model.config, "use_cache", None)
    model.config.use_cache = False  # what GPT-2 keeps for the next token OpenVINO can't hold
    try:
        with quiet(), torch.no_grad():
            converted = openvino.convert_model(graph, example_input=example_inputs(graph, tokenizer))
    finally:
        model.config.use_cache = cached
    for port, name in zip(converted.inputs, graph.names, strict=True):
        port.get_tensor().set_names({name})
        port.get_node().set_partial_shape(openvino.PartialShape([-1, -1]))
        port.get_node().set_friendly_name(name)
    converted.outputs[0].get_tensor().set_names({"logits"})
    converted.validate_nodes_and_infer_types()
    return converted


def save(converted: Any, folder: Path) -> None:
    """Write `openvino_model.xml` and `.bin`, weights in the precision they have."""
    openvino = extras.load("openvino", "openvino")
    openvino.save_model(converted, folder / FILE, compress_to_fp16=False)


def write(model: Any, tokenizer: Any, folder: Path) -> dict[str, Any]:
    """Convert and save; returns what to note about it."""
    converted = convert(model, tokenizer)
    save(converted, folder)
    return {"inputs": [port.get_any_name() for port in converted.inputs], "dynamic": ["batch", "length"]}


EXAMPLE = '''"""Answers texts with OpenVINO:  python example.py {usage}

Needs: pip install openvino tokenizers numpy
"""

import json
import sys
from pathlib import Path

import numpy as np
import openvino
from tokenizers import Tokenizer

folder = Path(__file__).parent
labels = json.loads((folder / "config.json").read_text(encoding="utf-8"))["id2label"]
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
tokenizer.enable_padding(pad_id={pad_id}, pad_token={pad_token!r})
model = openvino.Core().compile_model(folder / "openvino_model.xml", "CPU")

{texts}
{rows}
given = {
    "input_ids": np.array([row.ids for row in rows], np.int64),
    "attention_mask": np.array([row.attention_mask for row in rows], np.int64),
    "token_type_ids": np.array([row.type_ids for row in rows], np.int64),
}
logits = model({entry.get_any_name(): given[entry.get_any_name()] for entry in model.inputs})[0]
{answers}'''
