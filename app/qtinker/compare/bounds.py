"""What a student costs, known before it is trained: parameters, operations, and bytes under each scheme."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from .. import registry, shapes
from ..data import Examples
from ..errors import InputError
from ..estimate import token_count
from ..kinds import KINDS
from ..quantize.schemes import SCHEMES
from ..shapes import Shape
from ..spec import SHAPE, RunSpec, StudentSpec

FLOAT = "float"
TENSOR_HEADER = 100
"""Bytes that the header of a safetensors file takes for one tensor, roughly."""
QUANTIZED_HEADER = {"torchao": 850, "compressed-tensors": 300}
"""The same for a quantized one, which is several tensors, and with torchao a description."""


def shape_of(student: StudentSpec, teacher: Path) -> Shape:
    """The student's shape, from config files and headers."""
    whole = shapes.read(teacher)
    if student.shape:
        return shapes.named(student.shape, whole)
    source = shapes.read(registry.resolve(student.model)) if student.model else whole
    return shapes.cut(source, len(student.layers)) if student.layers else source


def operations(shape: Shape, tokens: int) -> float:
    """Multiply-adds of one example of so many tokens."""
    return float(tokens * (shape.encoder + 2.0 * shape.layers * tokens * shape.hidden))


def cost(spec: RunSpec, examples: Examples) -> dict[str, Any]:
    """`parameters`, and `operations` of one typical example of the data."""
    assert spec.teacher is not None
    shape = shape_of(spec.student, registry.resolve(spec.teacher.model))
    tokens = token_count(examples, spec.data.max_length)
    return {"parameters": shape.parameters, "operations": operations(shape, tokens)}


def skeleton(student: StudentSpec, teacher: Path, *, task: Any) -> Any:
    """The student as a module without weights (torch's meta device), with the head of a `tasks.Task`.

    Raises:
        InputError: transformers has no such head for this architecture.
    """
    import torch

    with torch.device("meta"):
        return build(student, teacher, task=task)


def build(student: StudentSpec, teacher: Path, *, task: Any) -> Any:
    """The student with weights that nobody has set.

    Raises:
        InputError: transformers has no such head for this architecture.
    """
    import transformers

    source = registry.resolve(student.model) if student.model else teacher
    config = copy.deepcopy(transformers.AutoConfig.from_pretrained(source, local_files_only=True))
    if match := SHAPE.match(student.shape or ""):
        hidden = int(match["hidden"])
        config = transformers.BertConfig(
            vocab_size=config.vocab_size, hidden_size=hidden, num_hidden_layers=int(match["layers"]),
            num_attention_heads=int(match["heads"]), intermediate_size=4 * hidden,
            max_position_embeddings=int(getattr(config, "max_position_embeddings", 512)),
        )  # fmt: skip
    elif student.layers:
        config.num_hidden_layers = len(student.layers)
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[: len(student.layers)]
    for name, value in task.head_config().items():
        setattr(config, name, value)
    head = getattr(transformers, task.head_class)
    if type(config) not in head._model_mapping:
        raise InputError(
            f"{config.model_type} has no head for {KINDS[task.type].words}.", "Use a BERT, DistilBERT or MobileBERT."
        )
    return head.from_config(config)


def weight_bytes(model: Any, scheme: str = FLOAT) -> int:
    """Bytes of the weight file by the scheme's formula; of a skeleton as of a real model.

    Raises:
        InputError: the scheme can't be applied to this architecture.
    """
    from ..quantize.layers import group_size, part_of, select_layers

    sizes = {name: tensor.shape for name, tensor in model.named_parameters()}
    header = TENSOR_HEADER * len(sizes)
    if scheme == FLOAT:
        return header + 4 * sum(shape.numel() for shape in sizes.values())
    known = SCHEMES[scheme]
    if known.bits == 16:
        return header + 2 * sum(shape.numel() for shape in sizes.values())
    touched = {f"{name}.weight" for name in select_layers(model).all}
    group = group_size([sizes[name][1] for name in touched], known.group) if known.group else None
    half = known.bits == 4 and known.engines[0] == "compressed-tensors"  # its head is written in half precision
    total = header + QUANTIZED_HEADER.get(known.engines[0], 0) * len(touched)
    for name, shape in sizes.items():
        if name in touched:
            total += known.weight_bytes(int(shape[0]), int(shape[1]), group=group)
        else:
            total += shape.numel() * (2 if half and part_of(name) == "head" else 4)
    return total
