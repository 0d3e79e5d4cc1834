"""Classification: one class for each text or pair of texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from ..data import Examples
from ..distill import losses
from .base import NO_LABEL, Task, array, no_examples


@dataclass(frozen=True)
class SequenceClassification(Task):
    """One class for each text or pair of texts. Logits [B, C], labels int64 [B] with -100 where missing."""

    type: ClassVar[str] = "classification"

    def hard_loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Cross-entropy, mean over labelled examples; each times its class's weight."""
        return weighted_cross_entropy(logits, labels, self.weights)

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
        return array(logits).argmax(axis=-1).astype(np.int64)

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
        given, truth = array(answers), array(labels)
        predicted = self.predictions(given) if given.ndim == 2 else given
        predicted, truth = predicted[truth != NO_LABEL], truth[truth != NO_LABEL]
        if not len(truth):
            raise no_examples()
        size = max(int(truth.max()), int(predicted.max())) + 1
        right = np.bincount(truth[truth == predicted], minlength=size)
        seen = np.bincount(truth, minlength=size) + np.bincount(predicted, minlength=size)
        scores = 2 * right[seen > 0] / seen[seen > 0]
        return {
            "accuracy": float((truth == predicted).mean()),
            "macro_f1": float(scores.mean()),
            "examples": len(truth),
        }

    def balanced(self, examples: Examples) -> tuple[float, ...]:
        """`n / (C * n_c)`, as scikit-learn's `class_weight="balanced"`; 1 for a class that never occurs."""
        return class_weights(examples.labels, len(self.labels))


def weighted_cross_entropy(logits: torch.Tensor, labels: torch.Tensor, weights: tuple[float, ...]) -> torch.Tensor:
    """Cross-entropy of logits [..., C] with labels [...]: the sum of each label's times its weight, over their number.

    The number, not the sum of the weights: so a batch in parts gives the mean of the whole.
    """
    weight = torch.tensor(weights, device=logits.device) if weights else None
    flat = logits.float().reshape(-1, logits.shape[-1])
    total = F.cross_entropy(flat, labels.reshape(-1), weight=weight, ignore_index=NO_LABEL, reduction="sum")
    return total / (labels != NO_LABEL).sum().clamp(min=1)


def class_weights(labels: np.ndarray, classes: int) -> tuple[float, ...]:
    """Weights whose mean over the labels is 1, the rarer the class the greater."""
    counts = np.bincount(labels[labels != NO_LABEL], minlength=classes)
    occurring = int((counts > 0).sum())
    return tuple(float(counts.sum() / (occurring * count)) if count else 1.0 for count in counts)
