"""The last layer of a model with names for its outputs: found, drawn anew, put into another order of labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .label_order import order_of

NAMES = ("classifier", "score")
"""What transformers calls a classification head: GPT-2's is `score`, everyone else's `classifier`."""
HEAD_NAMES = ("pooler", "classifier", "pre_classifier", "score", "qa_outputs", "cls", "lm_head", "vocab_transform",
              "vocab_projector", "predictions")  # fmt: skip
"""Modules of the head, which stay float."""


def replace(model: Any, labels: Sequence[str], *, seed: int) -> None:
    """Give a model a new head for other labels, with random weights from `seed`."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        name = _last(model)
        last = model.get_submodule(name)
        model.set_submodule(name, torch.nn.Linear(last.in_features, len(labels), bias=last.bias is not None))
        model.num_labels = len(labels)
        rename(model, labels)
        draw(model)


def draw(model: Any) -> None:
    """Draw all layers of the head anew (transformers keeps matching ones, such as DistilBERT's pre_classifier)."""
    import torch

    for name, child in model.named_children():
        if name == model.base_model_prefix:
            continue
        for part in child.modules():
            if isinstance(part, torch.nn.Linear):
                torch.nn.init.normal_(part.weight, std=model.config.initializer_range)
                if part.bias is not None:
                    torch.nn.init.zeros_(part.bias)


def bring_into_order(model: Any, labels: Sequence[str]) -> bool:
    """Put a trained head's outputs into the order of `labels`, by name, and name them so.

    Returns:
        False where the head is for other labels: the model is left as it is.
    """
    own = model.config.id2label
    order = order_of([own[number] for number in range(len(own))], labels)
    if order is None:
        return False
    if order != list(range(len(order))):
        last = model.get_submodule(_last(model))
        for tensor in (last.weight, last.bias):
            if tensor is not None:
                tensor.data = tensor.data[order].clone()
    rename(model, labels)
    return True


def rename(model: Any, labels: Sequence[str]) -> None:
    """Write the labels' names into the model's config."""
    model.config.id2label = dict(enumerate(labels))
    model.config.label2id = {name: number for number, name in enumerate(labels)}


def _last(model: Any) -> str:
    """Where the layer stands that gives one number for each label: the head itself, or the last layer in it."""
    import torch

    head = next(name for name in NAMES if hasattr(model, name))
    inside = [name for name, part in getattr(model, head).named_modules() if isinstance(part, torch.nn.Linear)]
    return f"{head}.{inside[-1]}".rstrip(".")
