"""TinyBERT: embeddings, hidden states and attention scores, then the answers."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import InputError
from ...spec_methods import FeatureMethod
from .. import layers, losses
from ..layers import Needs, Outputs
from .base import Part, refuse_other_tokens
from .two_stages import TwoStages


class Feature(TwoStages):
    """Embeddings, hidden states and attention scores first, then the answer (TinyBERT, Jiao et al. 2020).

    The intermediate stage sums the losses of the matched layers, as the paper does; the prediction stage is the logit
    method. Each stage has its own learning-rate schedule and optimizer state, as the paper trains them one after the
    other. Where widths differ, one learned projection serves the embeddings and one all layers (the paper's W_e, W_h).
    """

    def __init__(self, spec: FeatureMethod, *, task: Any, student: Any, teacher: Any, same_tokens: bool) -> None:
        super().__init__(spec, task=task, student=student, teacher=teacher, same_tokens=same_tokens)
        refuse_other_tokens(spec.name, same_tokens, student=student, teacher=teacher)
        self.pairs = layers.feature_pairs(
            spec.layer_mapping,
            student=layers.layer_count(student.model),
            teacher=layers.layer_count(teacher.model),
        )
        compared = (0, *(layer for _, layer in self.pairs))
        reads = Needs(hidden_states=True)
        targets = Needs(hidden_states=True, hidden_layers=compared)
        if spec.attention_weight and spec.intermediate_share:
            heads = layers.head_count(student.model), layers.head_count(teacher.model)
            if heads[0] != heads[1]:
                raise InputError(
                    f"The student has {heads[0]} attention heads and the teacher {heads[1]}: their attention scores "
                    "can't be compared head by head.",
                    "Use the method 'relations', set attention_weight to 0, or use a student with as many heads.",
                )
            reads = Needs(hidden_states=True, attention_layers=tuple(layer for layer, _ in self.pairs))
            targets = dataclasses.replace(targets, attention_layers=tuple(layer for _, layer in self.pairs))
            for loaded, needs in ((student, reads), (teacher, targets)):
                layers.AttentionReader(loaded.model, needs.attention_layers)  # raises where it can't be read
        widths = layers.hidden_size(student.model), layers.hidden_size(teacher.model)
        if spec.intermediate_share:
            if not (spec.embedding_weight or spec.hidden_weight or spec.attention_weight):
                raise InputError(
                    "All weights of the intermediate stage are 0: nothing would be learned in it.",
                    "Raise embedding_weight, hidden_weight or attention_weight, or set intermediate_share to 0.",
                )
            if widths[0] != widths[1]:
                self.projections = nn.ModuleDict(
                    {name: nn.Linear(*widths, bias=False) for name in ("embedding", "hidden")}
                )
        self.two_stages(reads, targets)

    def inside(self, student: Outputs, teacher: Outputs) -> dict[str, Part]:
        """Embeddings, hidden states and attention scores of the matched layers."""
        parts, mask = {}, student.attention_mask
        if self.spec.embedding_weight:
            value = losses.hidden_mse(
                self._projected("embedding", student.hidden_states[0]), teacher.hidden_states[0], mask
            )
            parts["embedding"] = Part(value, self.spec.embedding_weight, "tokens")
        if self.spec.hidden_weight:
            values = [
                losses.hidden_mse(self._projected("hidden", student.hidden_states[s]), teacher.hidden_states[t], mask)
                for s, t in self.pairs
            ]
            parts["hidden"] = Part(torch.stack(values).sum(), self.spec.hidden_weight, "tokens")
        if self.spec.attention_weight:
            assert student.attention is not None and teacher.attention is not None
            values = [
                losses.attention_score_mse(student.attention.scores(s), teacher.attention.scores(t), mask)
                for s, t in self.pairs
            ]
            parts["attention"] = Part(torch.stack(values).sum(), self.spec.attention_weight, "token_pairs")
        return parts

    def _projected(self, name: str, states: Tensor) -> Tensor:
        return self.projections[name](states.float()) if len(self.projections) else states
