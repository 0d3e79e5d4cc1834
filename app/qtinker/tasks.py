"""What a model's outputs mean: the head, the losses, the metric, one class a task.

The loop knows a task by these methods only, so a new task is one class here (and its columns in `data/`). Losses are
computed in fp32 whatever the model's precision. Definitions: docs/architecture.md; Hinton et al. 2015,
https://arxiv.org/abs/1503.02531.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from .distill import losses
from .errors import InputError

NO_LABEL = -100


@dataclass(frozen=True)
class Task:
    """Base of all tasks.

    Attributes:
        labels: names of the outputs in their order; () where outputs have no names.
        pair: whether an example is two texts.
        metric: name of the metric that chooses the best checkpoint and gives the retention; higher is better.
        type: the name of the task in a spec and in `qtinker.json`.
        head_class: the class of transformers whose head this task needs.
        problem_type: what transformers calls it in `config.json`.
    """

    labels: tuple[str, ...] = ()
    pair: bool = False
    metric: str = ""

    type: ClassVar[str]
    head_class: ClassVar[str]
    problem_type: ClassVar[str | None] = None
    metrics_known: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.labels))
        if self.metric in ("", "auto"):
            object.__setattr__(self, "metric", self.metrics_known[0])
        if self.metric not in self.metrics_known:
            raise InputError(
                f"The metric {self.metric!r} does not suit the task {self.type}.",
                f"Choose one of: {', '.join(self.metrics_known)}.",
            )

    @property
    def num_outputs(self) -> int:
        """How many numbers the head gives per example (or token)."""
        return len(self.labels)

    def logits(self, outputs: Any) -> torch.Tensor:
        """The head's answer among a model's outputs."""
        return outputs.logits

    def prepare(self, batch: dict[str, torch.Tensor], *, seed: int, epoch: int) -> dict[str, torch.Tensor]:
        """Last change to a collated training batch (masked language modelling masks here); by default none."""
        return batch

    def hard_loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Loss against the true labels: scalar, mean over what has a label, 0 (with gradient) if nothing has."""
        raise NotImplementedError

    def soft_loss(
        self,
        student_logits: torch.Tensor,
        teacher_logits: torch.Tensor,
        temperature: float,
        *,
        attention_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Loss against the teacher's answer, times temperature^2: scalar, mean over examples (or real tokens).

        `attention_mask` [B, L] tells tasks on tokens which are real; others ignore it.
        """
        raise NotImplementedError

    def predictions(self, logits: Any) -> np.ndarray:
        """What the model answers: for classification int64 [B], the class indices."""
        raise NotImplementedError

    def metrics(self, answers: Any, labels: Any) -> dict[str, float]:
        """Metrics of logits or predictions against labels; "examples" is how many had a label."""
        raise NotImplementedError

    def head_config(self) -> dict[str, Any]:
        """What goes into the model's config: num_labels, id2label, label2id, problem_type."""
        config: dict[str, Any] = {
            "num_labels": self.num_outputs,
            "id2label": dict(enumerate(self.labels)),
            "label2id": {name: number for number, name in enumerate(self.labels)},
        }
        if self.problem_type:
            config["problem_type"] = self.problem_type
        return config

    def to_meta(self) -> dict[str, Any]:
        """Plain data for `qtinker.json`."""
        return {"type": self.type, "labels": list(self.labels), "pair": self.pair, "metric": self.metric}

    @staticmethod
    def from_meta(meta: dict[str, Any]) -> Task:
        """The task that `to_meta` described.

        Raises:
            InputError: the type is unknown, or the metric does not suit it.
        """
        kind = TASKS.get(meta.get("type", ""))
        if kind is None:
            raise InputError(
                f"The task {meta.get('type')!r} is unknown here.", f"Tasks are: {', '.join(TASKS)}; is QTinker too old?"
            )
        return kind(tuple(meta.get("labels") or ()), bool(meta.get("pair")), meta.get("metric") or "")


@dataclass(frozen=True)
class SequenceClassification(Task):
    """One class for each text or pair of texts. Logits [B, C], labels int64 [B] with -100 where missing."""

    type: ClassVar[str] = "classification"
    head_class: ClassVar[str] = "AutoModelForSequenceClassification"
    problem_type: ClassVar[str | None] = "single_label_classification"
    metrics_known: ClassVar[tuple[str, ...]] = ("accuracy", "macro_f1")

    def hard_loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Cross-entropy, mean over labelled examples."""
        total = F.cross_entropy(logits.float(), labels, ignore_index=NO_LABEL, reduction="sum")
        return total / (labels != NO_LABEL).sum().clamp(min=1)

    def soft_loss(
        self,
        student_logits: torch.Tensor,
        teacher_logits: torch.Tensor,
        temperature: float,
        *,
        attention_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """`T^2 * KL(softmax(z_T / T) || softmax(z_S / T))`, sum over classes, mean over examples."""
        return losses.soft_target_kl(student_logits, teacher_logits, temperature=temperature)

    def predictions(self, logits: Any) -> np.ndarray:
        """int64 [B]: the class with the highest logit (the first of equal ones)."""
        return _array(logits).argmax(axis=-1).astype(np.int64)

    def metrics(self, answers: Any, labels: Any) -> dict[str, float]:
        """Accuracy and macro-F1 over the labelled examples.

        Macro-F1 is scikit-learn's `f1_score(average="macro", zero_division=0)`: the plain mean of F1 over the classes
        that occur among labels or predictions.

        Args:
            answers: logits [N, C] or predicted classes [N].
            labels: [N], -100 where missing.

        Raises:
            InputError: no example has a label.
        """
        given, truth = _array(answers), _array(labels)
        predicted = self.predictions(given) if given.ndim == 2 else given
        predicted, truth = predicted[truth != NO_LABEL], truth[truth != NO_LABEL]
        if not len(truth):
            raise InputError("There is no labelled example to measure on.", "Give evaluation data with labels.")
        size = max(int(truth.max()), int(predicted.max())) + 1
        right = np.bincount(truth[truth == predicted], minlength=size)
        seen = np.bincount(truth, minlength=size) + np.bincount(predicted, minlength=size)
        scores = 2 * right[seen > 0] / seen[seen > 0]
        return {
            "accuracy": float((truth == predicted).mean()),
            "macro_f1": float(scores.mean()),
            "examples": len(truth),
        }


TASKS: dict[str, type[Task]] = {kind.type: kind for kind in (SequenceClassification,)}


def same_labels(first: Sequence[str], second: Sequence[str]) -> bool:
    """Whether two models' outputs mean the same, in the same order."""
    return tuple(first) == tuple(second)


def _array(values: Any) -> np.ndarray:
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        return (values.float() if values.is_floating_point() else values).numpy()
    return np.asarray(values)
