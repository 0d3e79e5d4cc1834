"""The methods, one module each: what each reads of teacher and student, its losses and its stages.

A method is built from its settings (`spec_methods.py`) and the two models, checks once that it suits them, and then
turns outputs into parts of the loss. Adding one is adding a class here and its settings in `spec_methods.METHODS`.
"""

from __future__ import annotations

from typing import Any

import torch

from ...spec_methods import FeatureMethod, LogitMethod, PatientMethod, RelationsMethod, TripleMethod
from .base import Finetune, Part, Stage, count_units
from .feature import Feature
from .logit import Logit
from .patient import Patient
from .relations import Relations, relation_heads
from .triple import Triple

__all__ = [
    "Feature", "Finetune", "Logit", "Part", "Patient", "Relations", "Stage", "Triple", "build", "count_units",
    "relation_heads",
]  # fmt: skip

_METHODS: dict[type, type[Logit]] = {
    LogitMethod: Logit, PatientMethod: Patient, FeatureMethod: Feature, RelationsMethod: Relations, TripleMethod: Triple
}  # fmt: skip


def build(spec: Any, *, task: Any, student: Any, teacher: Any = None, same_tokens: bool = True, seed: int) -> Finetune:
    """The method that the settings name, for these two models (`checkpoint.Loaded`); Finetune without settings.

    Args:
        same_tokens: whether teacher and student cut texts into the same tokens (`data.tokenizer_key`).
        seed: of the learned projections' first weights.

    Raises:
        InputError: the method does not suit the two; the message says why and what would.
    """
    if spec is None:
        return Finetune(task=task)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _METHODS[type(spec)](spec, task=task, student=student, teacher=teacher, same_tokens=same_tokens)
