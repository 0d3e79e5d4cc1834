"""What every method is made of: terms of the loss, stages, and the control, which has no teacher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ...errors import InputError
from ..layers import Needs, Outputs


@dataclass(frozen=True)
class Part:
    """One term of the loss: a mean over `unit`, and its weight.

    Units are counted before the step (`count_units`), so that the gradient of a batch does not depend on how it is
    cut into micro-batches or dealt out to processes.
    """

    value: Tensor
    weight: float
    unit: str


@dataclass(frozen=True)
class Stage:
    """A stretch of the training with its own learning-rate schedule and optimizer state."""

    name: str
    share: float
    """Share of all steps."""
    judged: bool = True
    """Whether the student's answers are trained, so that evaluating them means something."""


def count_units(batch: dict[str, Tensor]) -> dict[str, float]:
    """How much a batch holds of each unit that a part may be a mean over."""
    labels, tokens = batch["labels"], batch["attention_mask"].sum(1)
    known = ~labels.isnan() if labels.is_floating_point() else labels != -100
    if labels.is_floating_point() and labels.ndim > 1:
        known = known.all(-1)
    return {
        "examples": float(len(tokens)),
        "labelled": float(known.sum()),
        "tokens": float(tokens.sum()),
        "token_pairs": float(tokens.square().sum()),
        "answers": float(batch["answer_mask"].sum()) if "answer_mask" in batch else 0.0,
    }


class Finetune:
    """No teacher: the loss against the true labels alone. Also the control of every method."""

    student_needs: dict[str, Needs]
    teacher_needs: dict[str, Needs | None]
    """By stage; None: the teacher isn't asked at all."""

    def __init__(self, *, task: Any) -> None:
        self.task = task
        self.stages: tuple[Stage, ...] = (Stage("train", 1.0),)
        self.projections = nn.ModuleDict()
        self.student_needs, self.teacher_needs = {"train": Needs()}, {"train": None}
        self.answers_throughout = False
        """Whether both of two stages learn the answers."""
        self.progress = 0.0
        """How much of the stage is done (with answers throughout: of the training), 0 to 1; set before each step."""

    def parts(self, stage: str, student: Outputs, teacher: Outputs | None, batch: dict[str, Tensor]) -> dict[str, Part]:
        """The terms of the loss; outputs and batch are of one micro-batch."""
        return {"hard": Part(self.task.hard_loss(student.logits, batch["labels"]), 1.0, "labelled")}


def refuse_other_tokens(method: str, same: bool, *, student: Any, teacher: Any) -> None:
    """What compares the two token by token needs one vocabulary.

    Raises:
        InputError: they cut the same text into different tokens.
    """
    if not same:
        raise InputError(
            f"The method '{method}' compares teacher and student token by token, and their vocabularies differ: "
            f"{teacher.name} and {student.name} cut the same text into different tokens.",
            "Use the method 'logit' or 'patient', or a student with the teacher's vocabulary.",
        )
