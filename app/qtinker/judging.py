"""A trained teacher's answers as the labels of examples that have none: scores against them are agreement with it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from . import checkpoint, data
from .answers import Answers, answer
from .checkpoint import Loaded
from .data import Encoded, Examples
from .tasks import Task


def judged(
    examples: Examples, teacher: Path, task: Task, *, max_length: int, device: str | torch.device
) -> tuple[Examples, Task]:
    """The same examples, each with the teacher's answer as its label; and the task with what the teacher knows of it,
    which data without labels can't tell (whether questions may have no answer).

    Args:
        teacher: a model folder whose head is trained for `task`.
        max_length: tokens that texts are cut to; the teacher must have as many positions.
    """
    own = checkpoint.task_in(teacher) or {}
    task = dataclasses.replace(task, **{name: own[name] for name in task.options if name in own})
    loaded = checkpoint.load(teacher, kind=task.type)
    encoded = data.encode(examples, loaded.tokenizer, max_length)
    found = answers_where_it_is(loaded, loaded.model.to(device).eval(), encoded, task)
    return task.labels_from(found.settled(task, examples), examples), task


def answers_where_it_is(loaded: Loaded, model: torch.nn.Module, encoded: Encoded, task: Task) -> Answers:
    """What a model answers on its own device to examples in its tokens.

    Args:
        loaded: whose tokenizer and inputs count.
        model: its model, or that model in training.
    """
    device, inputs = next(model.parameters()).device, set(checkpoint.model_inputs(loaded.model))

    def run(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        with torch.no_grad():
            return task.logits(model(**{name: tensor.to(device) for name, tensor in batch.items() if name in inputs}))

    return answer(run, encoded, task, pad_token_id=loaded.tokenizer.pad_token_id)
