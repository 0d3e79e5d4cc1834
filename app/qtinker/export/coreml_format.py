"""Core ML: an `.mlpackage` for macOS and iOS, for one text of a few lengths. Made anywhere, run on Apple's only.

The precision is float16, as Apple's neural engine computes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..runtime import extras
from .graph import quiet
from .masked import Masked

FILE = "model.mlpackage"
LENGTHS = (16, 32, 64, 128)


def write(model: Any, tokenizer: Any, folder: Path, *, length: int = 128) -> dict[str, Any]:
    """Write `model.mlpackage` for lengths up to `length`; returns what to note about it.

    Raises:
        InputError: the family is not one whose attention takes a ready-made mask.
        MissingExtra: coremltools is not installed.
    """
    import numpy as np
    import torch

    masked = Masked(model, "Core ML").eval()
    names = masked.names
    with quiet():  # it warns of every version newer than those it was tested with
        coremltools = extras.load("coremltools", "coreml")
    lengths = sorted({*(each for each in LENGTHS if each < length), length})
    attention = getattr(model.config, "_attn_implementation", None)
    model.set_attn_implementation("eager")
    try:
        with quiet(), torch.no_grad():
            example = tuple(torch.ones(1, lengths[-1], dtype=torch.int32) for _ in names)
            traced = torch.jit.trace(masked, example, check_trace=False)
            shape: Any = (1, lengths[-1])
            if len(lengths) > 1:
                shape = coremltools.EnumeratedShapes([(1, each) for each in lengths], default=shape)
            made = coremltools.convert(
                traced, inputs=[coremltools.TensorType(name, shape, dtype=np.int32) for name in names],
                outputs=[coremltools.TensorType("logits", dtype=np.float32)], convert_to="mlprogram",
                minimum_deployment_target=coremltools.target.iOS18, skip_model_load=True,
            )  # fmt: skip
    finally:
        model.set_attn_implementation(attention or "sdpa")
    made.save(str(folder / FILE))
    return {"inputs": list(names), "dynamic": [], "lengths": lengths, "precision": "float16"}


EXAMPLE = '''"""Answers texts with Core ML, on a Mac:  python example.py {usage}

Needs: pip install coremltools tokenizers numpy
"""

import json
import sys
from pathlib import Path

import coremltools
import numpy as np
from tokenizers import Tokenizer

folder = Path(__file__).parent
config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
lengths = json.loads((folder / "qtinker.json").read_text(encoding="utf-8"))["export"]["lengths"]
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
model = coremltools.models.MLModel(str(folder / "model.mlpackage"))

labels = config["id2label"]
{texts}
{rows}
logits = []
for row in rows:
    row.pad(next(each for each in lengths if each >= len(row.ids)), pad_id={pad_id}, pad_token={pad_token!r})
    given = {
        "input_ids": np.array([row.ids], np.int32),
        "attention_mask": np.array([row.attention_mask], np.int32),
        "token_type_ids": np.array([row.type_ids], np.int32),
    }
    taken = [entry.name for entry in model.get_spec().description.input]
    logits.append(model.predict({name: given[name] for name in taken})["logits"][0])
{answers}'''
