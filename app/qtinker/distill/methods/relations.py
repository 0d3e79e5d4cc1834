"""MiniLMv2: relations among queries, keys and values of one teacher layer, then the answers."""

from __future__ import annotations

import math
from typing import Any

from ...errors import InputError
from ...spec_methods import RelationsMethod
from .. import layers, losses
from ..layers import Needs, Outputs
from .base import Part, refuse_other_tokens
from .two_stages import TwoStages


class Relations(TwoStages):
    """Query, key and value relations of one teacher layer first, then the answer (MiniLMv2, Wang et al. 2021).

    The student's last layer learns from the teacher's last (21 of 24, as the paper finds best for Large). The paper's
    is a stage of its own, on unlabelled text; here it is on the texts of the task, and the logit method follows, with
    a learning-rate schedule and optimizer state of its own. Nothing is projected: widths and heads may differ.
    """

    def __init__(self, spec: RelationsMethod, *, task: Any, student: Any, teacher: Any, same_tokens: bool) -> None:
        super().__init__(spec, task=task, student=student, teacher=teacher, same_tokens=same_tokens)
        refuse_other_tokens(spec.name, same_tokens, student=student, teacher=teacher)
        depth = layers.layer_count(teacher.model)
        self.layer = layers.layer_count(student.model)
        self.teacher_layer = spec.teacher_layer or (21 if depth == 24 else depth)
        if self.teacher_layer > depth:
            raise InputError(
                f"The teacher has no layer {self.teacher_layer}: its layers are numbered 1 to {depth}.",
                "Correct teacher_layer, or leave it out.",
            )
        widths = [layers.attention_width(loaded.model) for loaded in (student, teacher)]
        self.heads = spec.relation_heads or relation_heads(*widths)
        if any(width % self.heads for width in widths):
            raise InputError(
                f"{self.heads} relation heads don't divide the widths of student ({widths[0]}) and teacher "
                f"({widths[1]}).",
                f"Use a divisor of {math.gcd(*widths)}, or leave relation_heads out.",
            )
        reads, targets = (
            Needs(attention_layers=(layer,), attention_parts="qkv") for layer in (self.layer, self.teacher_layer)
        )
        self.two_stages(reads, targets)

    def inside(self, student: Outputs, teacher: Outputs) -> dict[str, Part]:
        """Relations among queries, keys and values."""
        assert student.attention is not None and teacher.attention is not None
        mine, its = student.attention.taken, teacher.attention.taken
        values = {
            part: losses.relation_kl(
                mine[part][self.layer], its[part][self.teacher_layer], student.attention_mask,
                relation_heads=self.heads,
            )
            for part in "qkv"
        }  # fmt: skip
        return {f"{part}-{part}": Part(value, self.spec.relation_weight, "tokens") for part, value in values.items()}


def relation_heads(student_width: int, teacher_width: int) -> int:
    """The most relation heads that divide both widths, up to the paper's 48 (64 for teachers wider than 768)."""
    most, common = (64 if teacher_width > 768 else 48), math.gcd(student_width, teacher_width)
    return max(heads for heads in range(1, most + 1) if common % heads == 0)
