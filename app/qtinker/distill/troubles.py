"""What can go wrong in a step: how it is told apart, and what to say and try."""

from __future__ import annotations

import torch

from ..errors import RunFailed
from ..spec import TrainingSpec


class NotFinite(Exception):
    """Loss or gradient became infinite or NaN; the text says which. The loop knows what to tell (`not_finite`).

    Args:
        step: where, from 1.
    """

    def __init__(self, what: str, *, step: int) -> None:
        super().__init__(what)
        self.step = step


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out; on CPUs torch raises a plain RuntimeError."""
    words = ("can't allocate memory", "not enough memory", "out of memory")
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(word in str(error) for word in words)


def too_big(step: int, where: str) -> RunFailed:
    """Memory ran out and there is nothing left to make smaller."""
    return RunFailed(
        f"Out of memory at step {step} {where}.",
        "Use a smaller student or teacher, a shorter max_length, or another device.",
    )


def not_finite(what: str, *, step: int, kept: str, training: TrainingSpec, precision: str) -> RunFailed:
    """Loss or gradient became infinite or NaN; `kept` says where the last good weights are."""
    tries = [f"a lower learning rate ({training.learning_rate / 3:.0e})"]
    if precision != "fp32":
        tries.append("precision fp32")
    if not training.max_grad_norm:
        tries.append("gradient clipping (max_grad_norm 1)")
    return RunFailed(f"The {what} at step {step}. {kept}", f"Try {', '.join(tries)}.")
