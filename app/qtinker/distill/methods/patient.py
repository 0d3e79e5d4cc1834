"""Patient knowledge distillation: the [CLS] states of matched layers beside the answers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...errors import InputError
from ...spec_methods import PatientMethod
from .. import layers, losses
from ..layers import Needs, Outputs
from .base import Part
from .logit import Logit


class Patient(Logit):
    """Adds the normalised squared distance of [CLS] states of matched layers (Sun et al. 2019).

    Where widths differ, each matched layer has a learned projection, which is thrown away after training (an addition
    to the paper, whose models have one width). Different vocabularies are fine where [CLS] stands for the whole text,
    not where it stands for a window of one.
    """

    def __init__(self, spec: PatientMethod, *, task: Any, student: Any, teacher: Any, same_tokens: bool) -> None:
        super().__init__(spec, task=task, student=student, teacher=teacher, same_tokens=same_tokens)
        if task.form == "spans" and not same_tokens:
            raise InputError(
                "The method 'patient' compares [CLS] states, which stand for a window of a context, and "
                f"{teacher.name} and {student.name} cut contexts into different windows.",
                "Use the method 'logit', or a student with the teacher's vocabulary.",
            )
        for loaded in (student, teacher):
            if loaded.tokenizer.cls_token_id is None:
                raise InputError(
                    f"The method 'patient' compares [CLS] states, and {loaded.name} has no [CLS] token.",
                    "Use the method 'logit'.",
                )
        self.pairs = layers.patient_pairs(
            spec.layer_mapping,
            student=layers.layer_count(student.model),
            teacher=layers.layer_count(teacher.model),
        )
        widths = layers.hidden_size(student.model), layers.hidden_size(teacher.model)
        if widths[0] != widths[1]:
            self.projections = nn.ModuleDict({str(layer): nn.Linear(*widths, bias=False) for layer, _ in self.pairs})
        self.student_needs = {"train": Needs(cls_layers=tuple(layer for layer, _ in self.pairs))}
        self.teacher_needs = {"train": Needs(cls_layers=tuple(layer for _, layer in self.pairs))}

    def parts(self, stage: str, student: Outputs, teacher: Outputs | None, batch: dict[str, Tensor]) -> dict[str, Part]:
        """The logit method's parts and the patient part."""
        assert teacher is not None
        parts = super().parts(stage, student, teacher, batch)
        pulled = [self._projected(layer, student.cls_states[layer]) for layer, _ in self.pairs]
        target = [teacher.cls_states[layer] for _, layer in self.pairs]
        value = losses.patient_mse(torch.stack(pulled, 1), torch.stack(target, 1), form=self.spec.beta_form)
        parts["patient"] = Part(value, self.spec.beta, "examples")
        return parts

    def _projected(self, layer: int, states: Tensor) -> Tensor:
        return self.projections[str(layer)](states.float()) if len(self.projections) else states
