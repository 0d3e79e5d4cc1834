"""How a training computes: its arithmetic, its kernel of attention, and how little of its batches is padding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..data import Encoded, epoch_batches, padding_waste
from ..spec import TrainingSpec
from . import precision

WORTH_MEASURING = 200
"""Steps from which on it pays to try which kernel of attention is the faster."""


@dataclass(frozen=True)
class How:
    """What was settled before the first step; a resumed training goes on with it."""

    precision: str
    kernel: str | None
    """Of attention, where it was chosen by measuring; None: the model's own."""
    words: str
    """For the user."""

    def take(self, model: Any) -> str | None:
        """Give the model the kernel; returns the name of its own, for `give_back`."""
        own = precision.attention_of(model)
        if self.kernel is not None:
            model.set_attn_implementation(self.kernel)
        return own

    def give_back(self, model: Any, own: str | None) -> None:
        """Give the model its own kernel back."""
        if self.kernel is not None:
            model.set_attn_implementation(own)


def settle(
    model: Any, device: torch.device, data: Encoded, training: TrainingSpec, *, steps: int,
    saved: dict[str, Any] | None, told: Callable[[Any], Any],
) -> How:  # fmt: skip
    """Measure what is to be measured, or take what a saved training had.

    Args:
        saved: the counters of a saved state.
        told: gives every process what the first one says.
    """
    if saved is not None:
        return How(saved["precision"], saved.get("attention"), "")
    lengths = data.lengths
    batches = epoch_batches(lengths, training.batch_size, seed=training.seed, epoch=0)
    middle = int(np.median([lengths[batch].max() for batch in batches]))
    size = (-(-min(training.batch_size, len(lengths)) // training.gradient_accumulation), middle)
    chosen = told(precision.choose(training.precision, model, device, size=size))
    words, kernel = f"Computing in {precision.reason(training.precision, model, device, size=size)}.", None
    if training.attention != "auto":
        kernel = training.attention if precision.attention_of(model) in precision.KERNELS else None
    elif steps >= WORTH_MEASURING:
        kernel = told(precision.attention_kernel(model, device, chosen, size=size))
        if kernel is not None:
            words += f" Attention by {kernel}, the faster one at {middle} tokens."
    return How(chosen, kernel, f"{words} Padding is {padding_waste(lengths, batches):.1%} of the batches.")
