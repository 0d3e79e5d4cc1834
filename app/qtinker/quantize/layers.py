"""Which layers of a model are quantized: the encoder's linear layers and the embeddings; and what each part weighs."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .. import model_folder
from ..errors import InputError

if TYPE_CHECKING:
    import torch


FEWEST_ROWS = 16
"""Smaller embeddings (token types) stay float: they weigh nothing, and packings of eight rows can't hold them."""


@dataclass(frozen=True)
class Layers:
    """Module names in the model's own order."""

    embeddings: list[str]
    linears: list[str]

    @property
    def all(self) -> list[str]:
        return self.embeddings + self.linears


def select_layers(model: torch.nn.Module) -> Layers:
    """The encoder's linear layers and the embeddings; the pooler and the head are left alone.

    A head has a handful of rows, which 4-bit packings can't hold and whose rounding goes straight into the answer.

    Raises:
        InputError: the encoder has no linear layer.
    """
    import torch

    base = getattr(model, str(getattr(model, "base_model_prefix", "")), model)
    found: dict[type, list[str]] = {torch.nn.Embedding: [], torch.nn.Linear: []}
    inside = {id(module) for module in base.modules()}
    for name, module in model.named_modules():
        for kind, names in found.items():
            if isinstance(module, kind) and id(module) in inside and "pooler" not in name.split("."):
                names.append(name)
    if not found[torch.nn.Linear]:
        raise InputError(
            f"{type(model).__name__} has no linear layers in its encoder, so there is nothing to quantize.",
            "GPT-2 keeps its weights in Conv1D layers, which no scheme here takes."
            if any(type(module).__name__ == "Conv1D" for module in base.modules())
            else "Choose a model with a Transformer encoder.",
        )
    embeddings = [
        name for name in found[torch.nn.Embedding] if model.get_parameter(f"{name}.weight").shape[0] >= FEWEST_ROWS
    ]
    return Layers(embeddings, found[torch.nn.Linear])


def patterns(names: list[str]) -> list[str]:
    """Regular expressions that match exactly these modules, one for all layers' copies of a module."""
    return list(dict.fromkeys(re.sub(r"(?<=\\\.)\d+(?=\\\.)", r"\\d+", re.escape(name)) for name in names))


def group_size(columns: list[int], preferred: int) -> int:
    """The largest even group up to `preferred` that divides the width of every layer.

    Raises:
        InputError: only groups below 8 would, whose scales would cost more than the weights.
    """
    common = math.gcd(*columns)
    fitting = [size for size in range(preferred, 7, -1) if common % size == 0 and size % 2 == 0]
    if not fitting:
        raise InputError(
            f"The layers are {', '.join(map(str, sorted(set(columns))))} wide: no group of 8 to {preferred} weights "
            "divides them all, so they can't be packed into 4 bits.",
            "Use int8-dynamic, or a model whose hidden size is a multiple of 8.",
        )
    return fitting[0]


def bytes_by_part(folder: Path) -> dict[str, int]:
    """Bytes of the weights in safetensors files: embeddings, encoder, head (the pooler counts as head)."""
    parts = {"embeddings": 0, "encoder": 0, "head": 0}
    for file in model_folder.safetensors_files(folder):
        for name, tensor in model_folder.safetensors_header(file).items():
            start, end = tensor["data_offsets"]
            parts[part_of(name)] += int(end) - int(start)
    return parts


def part_of(name: str) -> str:
    """embeddings, encoder or head, by the name of a tensor."""
    words = name.split(".")
    if any(word in ("embeddings", "wte", "wpe", "embed_tokens") for word in words):
        return "embeddings"
    if any(word in ("pooler", "classifier", "pre_classifier", "score", "cls", "qa_outputs") for word in words):
        return "head"
    return "encoder"
