"""Which layers of a model are quantized: the encoder's linear layers and the embeddings; and what each part weighs."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from .. import model_folder
from ..errors import InputError
from ..heads import HEAD_NAMES
from ..runtime import extras

if TYPE_CHECKING:
    import torch


FEWEST_ROWS = 16
"""Smaller embeddings (token types) stay float: they weigh nothing, and packings of eight rows can't hold them."""
_FAR = 8
"""Operations between a packed constant and the layer that it is of: unpacking, scaling, reshaping."""


@dataclass(frozen=True)
class Layers:
    """Module names in the model's own order."""

    embeddings: list[str]
    linears: list[str]

    @property
    def all(self) -> list[str]:
        return self.embeddings + self.linears


def select_layers(model: torch.nn.Module, *, needed: bool = True) -> Layers:
    """The encoder's linear layers and the embeddings; the pooler and the head are left alone.

    A head has a handful of rows, which 4-bit packings can't hold and whose rounding goes straight into the answer.

    Args:
        needed: whether the scheme is of layers at all; 16 bits are of every weight.

    Raises:
        InputError: the encoder has no linear layer, and one is needed.
    """
    import torch

    base = getattr(model, str(getattr(model, "base_model_prefix", "")), model)
    found: dict[type, list[str]] = {torch.nn.Embedding: [], torch.nn.Linear: []}
    inside = {id(module) for module in base.modules()}
    for name, module in model.named_modules():
        for kind, names in found.items():
            if isinstance(module, kind) and id(module) in inside and "pooler" not in name.split("."):
                names.append(name)
    if needed and not found[torch.nn.Linear]:
        raise InputError(
            f"{type(model).__name__} has no linear layers in its encoder, so there is nothing to quantize.",
            "GPT-2 keeps its weights in Conv1D layers: halve it with --scheme bf16 or fp16."
            if any(type(module).__name__ == "Conv1D" for module in base.modules())
            else "Choose a model with a Transformer encoder.",
        )
    output: Any = getattr(model, "get_output_embeddings", lambda: None)()
    shared = getattr(output, "weight", None)  # the head that guesses hidden words reads the word embeddings as floats
    embeddings = [
        name
        for name in found[torch.nn.Embedding]
        if model.get_parameter(f"{name}.weight") is not shared
        and model.get_parameter(f"{name}.weight").shape[0] >= FEWEST_ROWS
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
    """Bytes of the weights in a model's files: embeddings, encoder, head (the pooler counts as head).

    Of ONNX files it needs the library; {} where that is not installed, or for forms that don't tell.
    """
    if files := model_folder.safetensors_files(folder):
        found = [
            (part_of(name), int(tensor["data_offsets"][1]) - int(tensor["data_offsets"][0]))
            for file in files
            for name, tensor in model_folder.safetensors_header(file).items()
        ]
    elif (folder / "openvino_model.xml").is_file():
        found = openvino_constants(folder / "openvino_model.xml")
    elif (folder / "model.onnx").is_file() and extras.has("onnx"):
        found = onnx_constants(folder / "model.onnx")
    else:
        return {}
    parts = {"embeddings": 0, "encoder": 0, "head": 0}
    for part, size in found:
        parts[part] += size
    return parts


def onnx_constants(path: Path) -> list[tuple[str, int]]:
    """Part and bytes of each constant of an ONNX graph; matrices that the exporter turned round lost their names, and
    are the encoder's."""
    onnx = extras.load("onnx", "onnx")
    graph = onnx.load(path, load_external_data=False).graph
    found = []
    for entry in graph.initializer:
        bits = onnx.helper.tensor_dtype_to_np_dtype(entry.data_type).itemsize * 8
        bits = 4 if entry.data_type in (onnx.TensorProto.INT4, onnx.TensorProto.UINT4) else bits
        found.append((part_of(entry.name), math.prod(entry.dims) * bits // 8))
    return found


def openvino_constants(path: Path) -> list[tuple[str, int]]:
    """Part and bytes of each constant of an OpenVINO model: by its name, else by that of the first named operation
    that reads it (what NNCF writes has numbers for names)."""
    root = ElementTree.parse(path).getroot()  # noqa: S314  (a graph of the user's own, no entities are expanded)
    names, sizes = {}, {}
    for layer in root.iter("layer"):
        names[layer.get("id")] = str(layer.get("name"))
        if layer.get("type") == "Const" and (data := layer.find("data")) is not None:
            sizes[layer.get("id")] = int(data.get("size") or 0)
    readers: dict[Any, list[Any]] = {}
    for edge in root.iter("edge"):
        readers.setdefault(edge.get("from-layer"), []).append(edge.get("to-layer"))
    found = []
    for number, size in sizes.items():
        at, steps = number, 0
        while "model." not in names[at] and readers.get(at) and steps < _FAR:
            at, steps = readers[at][0], steps + 1
        found.append((part_of(names[at]), size))
    return found


def part_of(name: str) -> str:
    """embeddings, encoder or head, by the name of a tensor."""
    words = re.split(r"[./]", name)
    if any(word in ("embeddings", "wte", "wpe", "embed_tokens") for word in words):
        return "embeddings"
    if any(word in HEAD_NAMES for word in words):
        return "head"
    return "encoder"
