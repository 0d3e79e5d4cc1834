"""What methods have in common that have a stage on the teacher's inside before its answers."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from ..layers import Needs, Outputs
from .base import Part, Stage
from .logit import Logit


class TwoStages(Logit):
    """A stage on the teacher's inside, with or without its answers beside, and then the answers alone."""

    def two_stages(self, reads: Needs, targets: Needs) -> None:
        """Set the stages and what each reads of student and teacher; no share of the first leaves it out."""
        share, throughout = self.spec.intermediate_share, self.spec.answers_throughout
        self.answers_throughout = throughout and share > 0
        inside = (Stage("intermediate", share, judged=throughout),) if share else ()
        self.stages = (*inside, Stage("prediction", 1.0 - share))
        self.student_needs = {"intermediate": reads, "prediction": Needs()}
        targets = dataclasses.replace(targets, answers=throughout)
        self.teacher_needs = {"intermediate": targets, "prediction": self.teacher_needs["train"]}

    def parts(self, stage: str, student: Outputs, teacher: Outputs | None, batch: dict[str, Tensor]) -> dict[str, Part]:
        """The parts of the stage."""
        answers = stage == "prediction" or self.spec.answers_throughout
        parts = super().parts(stage, student, teacher, batch) if answers else {}
        if stage == "prediction":
            return parts
        assert teacher is not None
        return parts | self.inside(student, teacher)

    def inside(self, student: Outputs, teacher: Outputs) -> dict[str, Part]:
        """The intermediate stage's own parts."""
        raise NotImplementedError
