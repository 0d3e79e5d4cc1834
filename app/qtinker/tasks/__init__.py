"""What a model's outputs mean: the head, the losses, the metric, one module a task.

The loop knows a task by the methods of `Task` only, so a new task is one class here, an entry in `kinds.KINDS`, and its
reader in `data/`. Losses are computed in fp32 whatever the model's precision. Definitions: docs/tasks.md; Hinton et al.
2015, https://arxiv.org/abs/1503.02531.
"""

from __future__ import annotations

from .base import NO_LABEL, Task
from .classification import SequenceClassification
from .masked_lm import MaskedLM
from .multi_label import MultiLabel
from .regression import Regression
from .spans import QuestionAnswering
from .tokens import TokenClassification

__all__ = [
    "NO_LABEL",
    "TASKS",
    "MaskedLM",
    "MultiLabel",
    "QuestionAnswering",
    "Regression",
    "SequenceClassification",
    "Task",
    "TokenClassification",
]

TASKS: dict[str, type[Task]] = {
    kind.type: kind
    for kind in (SequenceClassification, MultiLabel, Regression, TokenClassification, QuestionAnswering, MaskedLM)
}
