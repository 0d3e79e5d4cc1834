"""DistilBERT: answers, the task's own loss and the direction of the last hidden states."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ...spec_methods import TripleMethod
from .. import layers, losses
from ..layers import Needs, Outputs
from .base import Part, refuse_other_tokens
from .logit import Logit


class Triple(Logit):
    """Soft targets, the task's own loss and the direction of the last hidden states (DistilBERT, Sanh et al. 2019).

    Where widths differ, the student's states go through a learned projection (an addition to the paper, whose models
    have one width).
    """

    def __init__(self, spec: TripleMethod, *, task: Any, student: Any, teacher: Any, same_tokens: bool) -> None:
        super().__init__(spec, task=task, student=student, teacher=teacher, same_tokens=same_tokens)
        refuse_other_tokens(spec.name, same_tokens, student=student, teacher=teacher)
        widths = layers.hidden_size(student.model), layers.hidden_size(teacher.model)
        if widths[0] != widths[1]:
            self.projections = nn.ModuleDict({"hidden": nn.Linear(*widths, bias=False)})
        self.student_needs = {"train": Needs(hidden_states=True)}
        self.teacher_depth = layers.layer_count(teacher.model)
        self.teacher_needs = {"train": Needs(hidden_states=True, hidden_layers=(self.teacher_depth,))}

    def parts(self, stage: str, student: Outputs, teacher: Outputs | None, batch: dict[str, Tensor]) -> dict[str, Part]:
        """The logit method's parts and the cosine part."""
        assert teacher is not None
        parts = super().parts(stage, student, teacher, batch)
        states = student.hidden_states[-1]
        if len(self.projections):
            states = self.projections["hidden"](states.float())
        value = losses.hidden_cosine(states, teacher.hidden_states[self.teacher_depth], student.attention_mask)
        parts["cosine"] = Part(value, self.spec.cosine_weight, "tokens")
        return parts
