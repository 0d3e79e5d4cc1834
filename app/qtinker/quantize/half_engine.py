"""Engine transformers: the same model in 16 bits, saved as `save_pretrained` does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import InputError
from .schemes import Scheme


def quantize_model(model: Any, scheme: Scheme, folder: Path) -> dict[str, Any]:
    """Write the model in bfloat16 or half precision, and leave `model` with the rounded weights as float32.

    Raises:
        InputError: a weight is too large for half precision.
    """
    import torch

    from .torchao_engine import quiet

    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[scheme.name]
    for name, weight in model.named_parameters():
        if weight.detach().abs().max() > torch.finfo(dtype).max:
            raise InputError(f"{name} has a weight too large for {scheme.title}.", "Use bf16.")
    model.to(dtype)
    with quiet():
        model.save_pretrained(folder)
    model.float()
    return {"dtype": str(dtype).removeprefix("torch.")}
