"""ExecuTorch: one `.pte` file for phones and small devices, its matrix products by XNNPACK, for one text at a time.

A device wants fixed shapes: a batch of one, padded to the length the model was trained with. With `int8`, linear
layers compute in INT8 (weights a scale a channel, activations a scale a call), by torchao's PT2E quantization.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..runtime import extras
from ..runtime.executorch import FILE, LENGTH
from .graph import quiet
from .masked import Masked


def fixed_inputs(graph: Masked, tokenizer: Any, length: int) -> tuple[Any, ...]:
    """One text padded to `length`, int64 [1, length] each."""
    import torch

    batch = tokenizer("one two three", padding="max_length", truncation=True, max_length=length, return_tensors="pt")
    filled = {"token_type_ids": torch.zeros(1, length, dtype=torch.int64), **batch}
    return tuple(filled[name] for name in graph.names)


def write(model: Any, tokenizer: Any, folder: Path, *, int8: bool = False, length: int = 128) -> dict[str, Any]:
    """Write `model.pte`; returns what to note about it.

    Raises:
        InputError: a family other than BERT and DistilBERT.
        MissingExtra: executorch is not installed.
    """
    import torch

    extras.load("executorch.exir", "executorch")
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    graph = Masked(model, "ExecuTorch").eval()
    inputs = fixed_inputs(graph, tokenizer, length)
    attention = getattr(model.config, "_attn_implementation", None)
    model.set_attn_implementation("eager")
    try:
        with quiet(), torch.no_grad():
            exported = torch.export.export(graph, inputs, strict=False)
            if int8:
                exported = _in_int8(exported, inputs)
            lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
            (folder / FILE).write_bytes(lowered.to_executorch().buffer)
    finally:
        model.set_attn_implementation(attention or "sdpa")
    return {"inputs": list(graph.names), "dynamic": [], LENGTH: length, "int8": int8}


def write_int8(model: Any, tokenizer: Any, folder: Path, *, length: int = 128) -> dict[str, Any]:
    """`write` with INT8 linear layers."""
    return write(model, tokenizer, folder, int8=True, length=length)


def _in_int8(exported: Any, inputs: tuple[Any, ...]) -> Any:
    import torch
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    quantizer = XNNPACKQuantizer()
    settings = get_symmetric_quantization_config(is_per_channel=True, is_dynamic=True)
    quantizer.set_module_type(torch.nn.Linear, settings)
    prepared = prepare_pt2e(exported.module(), quantizer)
    with torch.no_grad():
        prepared(*inputs)
        return torch.export.export(convert_pt2e(prepared), inputs, strict=False)


EXAMPLE = '''"""Answers texts with ExecuTorch:  python example.py {usage}

Needs: pip install executorch tokenizers torch numpy
On a phone the same file runs by ExecuTorch's Android and iOS libraries.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from executorch.runtime import Runtime
from tokenizers import Tokenizer

folder = Path(__file__).parent
config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
tokenizer.enable_padding(length={max_length}, pad_id={pad_id}, pad_token={pad_token!r})
method = Runtime.get().load_program(folder / "model.pte").load_method("forward")

labels = config["id2label"]
{texts}
{rows}
logits = []
for row in rows:
    given = [torch.tensor([row.ids]), torch.tensor([row.attention_mask])]
    if config.get("type_vocab_size", 0) > 1:
        given.append(torch.tensor([row.type_ids]))
    logits.append(method.execute(given)[0][0].numpy().copy())
{answers}'''
