"""The teacher's answers and the labels: what every method with a teacher does."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ...errors import InputError
from .. import losses
from ..layers import Needs, Outputs
from .base import Finetune, Part


class Logit(Finetune):
    """Soft targets and hard labels: `kd_weight * T^2 * KL + ce_weight * CE` (Hinton et al. 2015)."""

    def __init__(self, spec: Any, *, task: Any, student: Any, teacher: Any, same_tokens: bool) -> None:
        super().__init__(task=task)
        if task.type == "masked-lm" and not same_tokens:
            raise InputError(
                f"The task {task.type} is answered with tokens of the vocabulary, and {teacher.name} and "
                f"{student.name} have different ones.",
                "Take a student with the teacher's vocabulary.",
            )
        self.spec = spec
        self.teacher_needs = {"train": Needs() if spec.kd_weight else None}
        if unfit := spec.unfit(task.type, task.num_outputs):
            raise InputError(*unfit)

    def parts(self, stage: str, student: Outputs, teacher: Outputs | None, batch: dict[str, Tensor]) -> dict[str, Part]:
        """Soft targets, and hard labels where they weigh something."""
        parts = {}
        if self.spec.kd_weight:
            assert teacher is not None
            mask = counted = batch.get("answer_mask", student.attention_mask)
            if teacher.answer_mask is not None:  # some words, cut off in the teacher's tokens, have no answer
                mask = counted * teacher.answer_mask
            value = self._soft(student.logits, teacher.logits, mask)
            if mask is not counted:
                value = value * (mask.sum() / counted.sum().clamp(min=1))
            parts["soft"] = Part(value, self.spec.kd_weight, self.task.soft_unit)
        if self.spec.ce_weight:
            value = self.task.hard_loss(student.logits, batch["labels"])
            parts["hard"] = Part(value, self.spec.ce_weight, "labelled")
        return parts

    @property
    def temperature(self) -> float:
        """The temperature of the next step."""
        first, last = self.spec.temperature, self.spec.temperature_end
        return first if last is None else first + (last - first) * self.progress

    def _soft(self, student: Any, teacher: Any, mask: Tensor) -> Tensor:
        if self.task.rewrites:  # the output layer of either model may be padded beyond the vocabulary
            size = min(student.shape[-1], teacher.shape[-1])
            student, teacher = student[..., :size], teacher[..., :size]
        if self.spec.soft_loss == "kl" and not self.spec.standardize_logits:
            return self.task.soft_loss(student, teacher, self.temperature, attention_mask=mask)
        if student.ndim == 3:  # a class for each token
            if not bool(mask.any()):
                return student.float().sum() * 0
            student, teacher = student[mask.bool()], teacher[mask.bool()]
        if self.spec.soft_loss == "mse":
            return losses.logit_mse(student, teacher)
        if self.spec.soft_loss == "dist":
            return losses.dist_relations(student, teacher, temperature=self.temperature)
        student, teacher = losses.standardized(student), losses.standardized(teacher)
        return losses.soft_target_kl(student, teacher, temperature=self.temperature)
