"""Regression: a number for each text or pair of texts, such as how alike two sentences are."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from ..data import Examples
from .base import Task, array, no_examples


@dataclass(frozen=True)
class Regression(Task):
    """A number for each example. Logits [B, 1], labels float32 [B] with NaN where missing."""

    type: ClassVar[str] = "regression"

    @property
    def num_outputs(self) -> int:
        """One number."""
        return 1

    def head_config(self) -> dict[str, Any]:
        """One output without a name."""
        return {"num_labels": 1, "id2label": {0: "LABEL_0"}, "label2id": {"LABEL_0": 0}, "problem_type": "regression"}

    def hard_loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Squared error, mean over labelled examples."""
        known = ~labels.isnan()
        difference = logits.float().reshape(-1) - labels.nan_to_num().float()
        return (difference.square() * known).sum() / known.sum().clamp(min=1)

    def soft_loss(
        self,
        student_logits: torch.Tensor,
        teacher_logits: torch.Tensor,
        temperature: float,
        *,
        attention_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Squared error to the teacher's number, mean over examples. A number has no temperature."""
        return (student_logits.float() - teacher_logits.float()).square().sum(-1).mean()

    def labels_from(self, answers: np.ndarray, examples: Examples) -> Examples:
        """The numbers themselves."""
        return dataclasses.replace(examples, labels=array(answers).reshape(-1).astype(np.float32))

    def metrics(self, answers: Any, labels: Any) -> dict[str, float]:
        """Pearson's and Spearman's correlation with the labels (0 where one side is all the same), and the RMSE.

        Args:
            answers: [N, 1] or [N].
            labels: [N], NaN where missing.

        Raises:
            InputError: no example has a label.
        """
        given, truth = array(answers).reshape(-1).astype(np.float64), array(labels).astype(np.float64)
        given, truth = given[~np.isnan(truth)], truth[~np.isnan(truth)]
        if not len(truth):
            raise no_examples()
        return {
            "pearson": correlation(given, truth),
            "spearman": correlation(ranks(given), ranks(truth)),
            "rmse": float(np.sqrt(np.square(given - truth).mean())),
            "examples": len(truth),
        }


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's correlation; 0 where one side does not vary."""
    first, second = first - first.mean(), second - second.mean()
    size = float(np.sqrt(np.square(first).sum() * np.square(second).sum()))
    return float((first * second).sum() / size) if size > 0 else 0.0


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, equal values sharing their mean rank."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[which]
