"""What a step gets: its stage, learning rate and random seed; and the optimizer."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from ..spec import TrainingSpec

if TYPE_CHECKING:
    from .methods import Stage


def stage_ends(stages: Sequence[Stage], total_steps: int) -> list[int]:
    """How many steps are done when each stage is over; each stage has one step at least, where there are enough."""
    ends, share = [], 0.0
    for number, stage in enumerate(stages):
        share += stage.share
        later = len(stages) - 1 - number
        ends.append(min(max(round(share * total_steps), number + 1), max(total_steps - later, 0)))
    ends[-1] = total_steps
    return ends


def learning_rate(step: int, steps: int, *, peak: float, warmup_ratio: float) -> float:
    """Rises linearly over the first `warmup_ratio` of the steps, then falls linearly towards 0; `step` is from 0."""
    warmup = int(warmup_ratio * steps)
    return peak * ((step + 1) / warmup if step < warmup else (steps - step) / (steps - warmup))


def make_optimizer(
    model: nn.Module, projections: nn.Module, training: TrainingSpec, *, also: Sequence[nn.Parameter] = ()
) -> torch.optim.AdamW:
    """AdamW over the student, the learned projections and `also`; biases and LayerNorm don't decay."""
    parameters = [p for module in (model, projections) for p in module.parameters() if p.requires_grad]
    parameters += also
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": training.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=training.learning_rate, fused=True)


def step_seed(seed: int, step: int, rank: int) -> int:
    """The seed of everything random (dropout) in one step of one process.

    Randomness that depends on nothing else needs no saved generator, and nobody who draws numbers between two steps
    changes the training.
    """
    digest = hashlib.blake2b(f"{seed}/{step}/{rank}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
