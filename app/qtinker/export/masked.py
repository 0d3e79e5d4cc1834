"""A model that takes its attention mask ready-made: converters for devices can't follow how transformers makes it."""

from __future__ import annotations

from typing import Any

import torch

from .. import checkpoint
from ..errors import InputError

FAMILIES = ("bert", "distilbert")


class Masked(torch.nn.Module):
    """A classification model as a function of tensors, in the order of `names`; the 4-D mask that the attention adds
    to its scores is worked out here.

    Raises:
        InputError: the family is not one whose attention takes such a mask.
    """

    def __init__(self, model: Any, target: str) -> None:
        super().__init__()
        if model.config.model_type not in FAMILIES:
            raise InputError(
                f"{target} export knows BERT and DistilBERT, not {model.config.model_type}.",
                "Export it to onnx instead.",
            )
        self.model = model
        self.names = checkpoint.model_inputs(model)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Integers [B, L] each to float32 [B, C]."""
        given = dict(zip(self.names, inputs, strict=True))
        given["attention_mask"] = (1.0 - given["attention_mask"][:, None, None, :].float()) * -10000.0
        return checkpoint.head_logits(self.model(**given, return_dict=True))
