"""One optimizer step: the gradients of a batch, cut into micro-batches, and the update from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from .. import checkpoint
from ..checkpoint import Loaded
from ..spec import TrainingSpec
from . import methods, precision, schedule, troubles
from .layers import run
from .processes import Processes
from .teacher import Teacher
from .teachers import Teachers

Batch = dict[str, Tensor]
KINDS = ("examples", "labelled", "tokens", "token_pairs", "answers")
"""What parts of a loss are means over (`methods.count_units`)."""


class Step:
    """What a step needs, whatever its number. Knows nothing of epochs, stages' lengths, saving or events.

    Args:
        cut: makes a batch of the training examples with these numbers.
        arithmetic: fp32, bf16 or fp16.
    """

    def __init__(
        self, student: Loaded, *, method: methods.Finetune, teacher: Teacher | Teachers | None, training: TrainingSpec,
        processes: Processes, cut: Callable[[np.ndarray], Batch], arithmetic: str,
    ) -> None:  # fmt: skip
        self.model, self.method, self.teacher = student.model, method, teacher
        self.training, self.processes, self.device = training, processes, processes.device
        self.cut, self.precision = cut, arithmetic
        self.inputs = checkpoint.model_inputs(self.model)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=arithmetic == "fp16")

    def new_optimizer(self, also: Sequence[nn.Parameter]) -> None:
        """Fresh moments, over the student, the method's projections and `also`."""
        self.optimizer = schedule.make_optimizer(self.model, self.method.projections, self.training, also=also)
        self.trainable = [p for group in self.optimizer.param_groups for p in group["params"]]

    def gradients(self, indices: np.ndarray, *, stage: str, seed: int, micro_batch: int) -> dict[str, float]:
        """Gradients of the loss of the whole batch, of which `indices` are this process's examples.

        Args:
            seed: of dropout.
            micro_batch: at most so many examples at once; the sum of their gradients is the batch's.

        Returns:
            This process's share in the parts of the loss, unweighted, and in the weighted sum, "loss".
        """
        torch.manual_seed(seed)
        self.optimizer.zero_grad(set_to_none=True)
        self.model.train()
        cuts = [indices[at : at + micro_batch] for at in range(0, len(indices), micro_batch)]
        micro_batches = [self.cut(each) for each in cuts]
        units = [methods.count_units(batch) for batch in micro_batches]
        counts = self.processes.sum([sum(unit[kind] for unit in units) for kind in KINDS])
        whole = dict(zip(KINDS, counts, strict=True))
        totals: dict[str, float] = {"loss": 0.0}
        for numbers, batch, unit in zip(cuts, micro_batches, units, strict=True):
            batch = {name: tensor.to(self.device, non_blocking=True) for name, tensor in batch.items()}
            parts = self._parts(stage, numbers, batch)
            shares = {name: unit[part.unit] / max(whole[part.unit], 1.0) for name, part in parts.items()}
            loss: Tensor = sum(
                (part.value * (part.weight * shares[name]) for name, part in parts.items()),
                start=torch.zeros((), device=self.device),
            )
            if not loss.requires_grad:  # nothing in this micro-batch to learn from
                continue
            self.scaler.scale(loss).backward()
            values = torch.stack([part.value.detach().float() for part in parts.values()] + [loss.detach().float()])
            for (name, share), value in zip([*shares.items(), ("loss", 1.0)], values.tolist(), strict=True):
                totals[name] = totals.get(name, 0.0) + share * value
        return totals

    def _parts(self, stage: str, numbers: np.ndarray, batch: Batch) -> dict[str, methods.Part]:
        """The parts of the loss of one micro-batch: ask the teacher, run the student, compare."""
        needs = self.method.teacher_needs[stage]
        targets = self.teacher.outputs(numbers, batch, needs) if self.teacher and needs is not None else None
        with precision.autocast(self.device, self.precision):
            inputs = {name: batch[name] for name in self.inputs}
            outputs = run(self.model, inputs, self.method.student_needs[stage])
        return self.method.parts(stage, outputs, targets, batch)

    def update(self, loss: float, rate: float) -> None:
        """Clip and step; the optimizer is left alone where loss or gradient are not finite.

        Raises:
            NotFinite: they are not, and no other scale would help.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.processes.sum_gradients(self.trainable)
        self.scaler.unscale_(self.optimizer)
        gradients = [parameter.grad for parameter in self.trainable if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        size = float(norm)
        finite = math.isfinite(size)
        if not math.isfinite(loss):
            raise troubles.NotFinite(f"loss became {loss}")
        if not finite and not self.scaler.is_enabled():
            raise troubles.NotFinite("gradient is not finite")
        if finite and self.training.max_grad_norm and size + 1e-6 > self.training.max_grad_norm:
            torch.nn.utils.clip_grads_with_norm_(self.trainable, self.training.max_grad_norm, norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.scaler.is_enabled() and self.scaler.get_scale() < 2**-14:
            raise troubles.NotFinite("gradient overflows fp16 at every scale")

    def forget(self) -> None:
        """Give back the memory of a step that did not fit."""
        self.optimizer.zero_grad(set_to_none=True)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
