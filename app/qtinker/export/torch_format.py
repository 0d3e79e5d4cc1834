"""torch.export: the model as an ExportedProgram, which PyTorch alone runs, compiles ahead of time or lowers further."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..runtime.exported import FILE
from .graph import Logits, example_inputs, quiet


def write(model: Any, tokenizer: Any, folder: Path) -> dict[str, Any]:
    """Write `model.pt2`; returns what to note about it."""
    import torch

    graph = Logits(model).eval()
    inputs = example_inputs(graph, tokenizer)
    longest = int(getattr(model.config, "max_position_embeddings", 512) or 512)
    sides = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=longest)}
    attention = getattr(model.config, "_attn_implementation", None)
    model.set_attn_implementation("eager")
    try:
        with quiet(), torch.no_grad():
            program = torch.export.export(graph, inputs, dynamic_shapes=[(sides,) * len(inputs)], strict=False)
            torch.export.save(program, folder / FILE)
    finally:
        model.set_attn_implementation(attention or "sdpa")
    return {"inputs": list(graph.names), "dynamic": ["batch", "length"]}


EXAMPLE = '''"""Answers texts with PyTorch alone:  python example.py {usage}

Needs: pip install torch tokenizers numpy
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

folder = Path(__file__).parent
config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
tokenizer.enable_padding(pad_id={pad_id}, pad_token={pad_token!r})
model = torch.export.load(folder / "model.pt2").module()

labels = config["id2label"]
{texts}
{rows}
given = [torch.tensor([row.ids for row in rows]), torch.tensor([row.attention_mask for row in rows])]
if config.get("type_vocab_size", 0) > 1:
    given.append(torch.tensor([row.type_ids for row in rows]))
with torch.inference_mode():
    logits = np.asarray(model(*given))
{answers}'''
