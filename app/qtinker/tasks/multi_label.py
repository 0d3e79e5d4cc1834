"""Multi-label classification: any number of labels for each text or pair of texts."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from ..data import Examples
from .base import Task, array, no_examples

MOST_WEIGHT = 100.0
"""A label that hardly ever occurs would drown all others."""


@dataclass(frozen=True)
class MultiLabel(Task):
    """Each label applies or does not. Logits [B, C], labels float32 [B, C] of 0 and 1, rows of NaN where missing.

    `weights` are those of the positive side of each label.
    """

    type: ClassVar[str] = "multi-label"

    def hard_loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Binary cross-entropy, mean over labels and over labelled examples."""
        known = ~labels.isnan().any(-1, keepdim=True)
        weight = torch.tensor(self.weights, device=logits.device) if self.weights else None
        each = F.binary_cross_entropy_with_logits(
            logits.float(), labels.nan_to_num().float(), pos_weight=weight, reduction="none"
        )
        return (each * known).sum() / logits.shape[-1] / known.sum().clamp(min=1)

    def soft_loss(
        self,
        student_logits: torch.Tensor,
        teacher_logits: torch.Tensor,
        temperature: float,
        *,
        attention_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """`T^2 * BCE(sigmoid(z_S / T), sigmoid(z_T / T))`, mean over labels and examples."""
        targets = torch.sigmoid(teacher_logits.float() / temperature)
        return F.binary_cross_entropy_with_logits(student_logits.float() / temperature, targets) * temperature**2

    def average(self, answers: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
        """Logits of the averaged probability of each label."""
        weights = shares.log()
        yes, no = ((F.logsigmoid(each) + weights).logsumexp(0) for each in (answers, -answers))
        return yes - no

    def predictions(self, logits: Any) -> np.ndarray:
        """bool [B, C]: the labels whose probability is above one half."""
        return array(logits) > 0

    def labels_from(self, answers: np.ndarray, examples: Examples) -> Examples:
        """Every label whose probability is above one half."""
        return dataclasses.replace(examples, labels=self.predictions(answers).astype(np.float32))

    def metrics(self, answers: Any, labels: Any) -> dict[str, float]:
        """Micro- and macro-F1 and the share of examples whose labels are all right.

        As scikit-learn's with `zero_division=0`: a label without truth and prediction counts 0 in macro-F1.

        Args:
            answers: logits [N, C], or bool [N, C].
            labels: [N, C], rows of NaN where missing.

        Raises:
            InputError: no example has labels.
        """
        given, truth = array(answers), array(labels)
        given = given if given.dtype == bool else self.predictions(given)
        known = ~np.isnan(truth).any(axis=1)
        given, truth = given[known], truth[known] > 0.5
        if not len(truth):
            raise no_examples()
        right, seen = (given & truth).sum(0), given.sum(0) + truth.sum(0)
        return {
            "micro_f1": float(2 * right.sum() / seen.sum()) if seen.sum() else 0.0,
            "macro_f1": float(np.where(seen > 0, 2 * right / np.maximum(seen, 1), 0.0).mean()),
            "subset_accuracy": float((given == truth).all(1).mean()),
            "examples": len(truth),
        }

    def balanced(self, examples: Examples) -> tuple[float, ...]:
        """Of each label: examples without it over examples with it, at most 100."""
        labels = examples.labels[examples.labelled]
        positive = labels.sum(0)
        weights = np.where(positive > 0, (len(labels) - positive) / np.maximum(positive, 1), 1.0)
        return tuple(float(weight) for weight in np.clip(weights, 1 / MOST_WEIGHT, MOST_WEIGHT))
