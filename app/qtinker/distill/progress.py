"""What a training knows of itself: how far it is, and how it ended."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import nn

from ..data import Encoded
from ..spec import TrainingSpec
from .state import weights_of


@dataclass
class TrainResult:
    """How a training ended; the student itself was trained in place and holds its best weights."""

    steps: int
    total_steps: int
    best_step: int | None
    metrics: dict[str, float] | None
    """Of the best evaluation, or None where nothing was evaluated."""
    history: list[dict[str, Any]]
    """Every evaluation: step, metrics."""
    precision: str
    device: str
    examples_per_second: float
    stopped_early: bool


@dataclass
class Progress:
    """Everything that a resumed training must know beside tensors."""

    step: int = 0
    epoch: int = 0
    batch_in_epoch: int = 0
    stage: int = 0
    micro_batch: int = 0
    best: float | None = None
    best_step: int | None = None
    best_file: str | None = None
    best_metrics: dict[str, float] | None = None
    without_improvement: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    examples: int = 0
    finished: bool = False
    stopped_early: bool = False


def fingerprint(training: TrainingSpec, method: Any, data: Encoded, *, task: Any, model: nn.Module) -> str:
    """Hash of all that decides a training's result, to tell a resumed training from another one.

    How many processes share the batch is no part of it: a training may go on in more or fewer.

    Settings at their defaults stay out: one that an update brings does not cut off the runs that were stopped before.
    (A run's file names every value that is not empty, so a default that an update changes does tell.)
    """
    labels = hashlib.sha256(np.ascontiguousarray(data.labels).tobytes()).hexdigest()
    content = [
        training.model_dump(exclude={"threads", "device", "save_every"}, exclude_defaults=True),
        [method.name, method.model_dump(exclude_defaults=True)] if method is not None else None,
        data.key,
        labels,
        task.to_meta(),
        {name: list(tensor.shape) for name, tensor in weights_of(model).items()},
        1,  # where the number of processes once stood
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
