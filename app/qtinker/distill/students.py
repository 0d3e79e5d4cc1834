"""Builds the student: from a checkpoint, from chosen layers of one, or from random weights of a shape."""

from __future__ import annotations

import copy
import re
from typing import Any

import torch

from .. import checkpoint, heads, registry
from ..checkpoint import Loaded
from ..errors import InputError
from ..spec import SHAPE, StudentSpec
from .distilbert import cut_distilbert

_LAYER = re.compile(r"^(?P<stem>.*\.(?:encoder\.layer|transformer\.layer|h))\.(?P<index>\d+)\.(?P<rest>.+)$")


def build_student(spec: StudentSpec, teacher: Loaded | None, *, task: Any, seed: int) -> Loaded:
    """The student that the spec names, in fp32 on the CPU, with a head for the task's labels.

    A head is copied where the source has one trained for the same labels, in any order, else made anew from `seed`.
    The teacher is left as it is.

    Args:
        task: `tasks.Task`.

    Raises:
        InputError: a layer that is not there, an architecture whose layers can't be cut, a shape without a teacher.
        CheckpointError: the named model can't be loaded.
    """
    if spec.shape:
        return _from_shape(spec.shape, teacher, task=task, seed=seed)
    if spec.layers is None:
        if not spec.model:
            raise InputError("No student is named.", "Give a model, the teacher's layers to keep, or a shape.")
        return checkpoint.load(registry.resolve(spec.model), task=task, seed=seed)
    if spec.model:
        source = checkpoint.load(registry.resolve(spec.model), task=task, seed=seed)
    elif teacher is not None:
        source = teacher
    else:
        raise InputError("Layers are given, but no model to cut them from.", "Name the student's model or a teacher.")
    if spec.architecture == "distilbert":
        return cut_distilbert(source, spec.layers, task=task, seed=seed)
    return cut_layers(source, spec.layers, task=task, seed=seed)


def cut_layers(source: Loaded, layers: list[int], *, task: Any = None, seed: int = 42) -> Loaded:
    """A model made of chosen layers of another (numbered from 0): embeddings, those layers, pooler and head are copied.

    DistilBERT's students are cut in this way (Sanh et al. 2019, section 3).

    Raises:
        InputError: a layer is not there, or the architecture shares its layers (ALBERT).
    """
    model = source.model
    count = int(model.config.num_hidden_layers)
    if model.config.model_type == "albert":
        raise InputError(
            f"{source.name} is an ALBERT: all its layers are one and the same set of weights, so none can be left out.",
            "Take it whole as the student, or another model.",
        )
    if wrong := [layer for layer in layers if not 0 <= layer < count]:
        raise InputError(
            f"{source.name} has no layer {wrong[0]}: its {count} layers are numbered 0 to {count - 1}.",
            "Correct the layers to keep.",
        )
    places = {layer: place for place, layer in enumerate(layers)}
    weights: dict[str, torch.Tensor] = {}
    found: set[int] = set()
    for name, tensor in model.state_dict().items():
        if match := _LAYER.match(name):
            layer = int(match["index"])
            found.add(layer)
            if layer not in places:
                continue
            name = f"{match['stem']}.{places[layer]}.{match['rest']}"
        weights[name] = tensor
    if found != set(range(count)):
        raise InputError(
            f"The layers of {type(model).__name__} can't be told apart: this architecture is not known here.",
            "Use a BERT, DistilBERT, MobileBERT or GPT-2, or take the model whole.",
        )
    config = copy.deepcopy(model.config)
    config.num_hidden_layers = len(layers)
    if getattr(config, "layer_types", None):
        config.layer_types = [config.layer_types[layer] for layer in layers]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        student = type(model)._from_config(config, dtype=torch.float32)
        student.load_state_dict(weights)
    result = Loaded(student.eval(), copy.deepcopy(source.tokenizer), dict(source.meta), None, source.new_head)
    result.meta["name"] = f"{source.name}-L{'-'.join(map(str, layers))}"
    if task is not None and task.labels and not heads.bring_into_order(student, task.labels):
        heads.replace(student, task.labels, seed=seed)
        result.new_head = True
    return result


def _from_shape(shape: str, teacher: Loaded | None, *, task: Any, seed: int) -> Loaded:
    """A BERT with random weights and the teacher's tokenizer; the feed-forward part is four times as wide as it."""
    import transformers

    if teacher is None:
        raise InputError(
            f"The shape {shape} needs a teacher, whose vocabulary it takes.", "Name a teacher, or a model as student."
        )
    tokenizer = copy.deepcopy(teacher.tokenizer)
    if tokenizer.cls_token_id is None:
        raise InputError(
            f"The tokenizer of {teacher.name} has no [CLS], which a BERT of the shape {shape} answers at.",
            "Name a model as student.",
        )
    match = SHAPE.match(shape)
    if match is None:
        raise InputError(f"{shape!r} is no shape.", "Write it as L-2_H-128_A-2: layers, hidden units, heads.")
    hidden = int(match["hidden"])
    source = teacher.model.config
    config = transformers.BertConfig(
        vocab_size=max(int(source.vocab_size), len(tokenizer)),
        hidden_size=hidden,
        num_hidden_layers=int(match["layers"]),
        num_attention_heads=int(match["heads"]),
        intermediate_size=4 * hidden,
        max_position_embeddings=int(getattr(source, "max_position_embeddings", 512)),
        pad_token_id=tokenizer.pad_token_id,
        **task.head_config(),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = getattr(transformers, task.head_class).from_config(config, dtype=torch.float32)
    return Loaded(model.eval(), tokenizer, {"name": shape, "kind": "pretrained"}, None, new_head=True)
