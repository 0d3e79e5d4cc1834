"""One optimizer step: the gradients of a batch, cut into micro-batches, and the update from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .. import checkpoint
from ..checkpoint import Loaded
from ..spec import TrainingSpec
from . import methods, precision, schedule, troubles
from .device import moved
from .layers import run
from .processes import Processes
from .teacher import Teacher
from .teachers import Teachers

Batch = dict[str, Tensor]
KINDS = ("examples", "labelled", "tokens", "token_pairs", "answers")
"""What parts of a loss are means over (`methods.count_units`)."""
MICRO_TOKENS = 32_768
"""Positions, padding included, that a micro-batch has at most: more fill the memory and gain nothing."""


class Step:
    """What a step needs, whatever its number. Knows nothing of epochs, stages' lengths, saving or events.

    Args:
        cut: makes a batch of the training examples with these numbers.
        lengths: tokens of each training example.
        arithmetic: fp32, bf16 or fp16.
    """

    def __init__(
        self, student: Loaded, *, method: methods.Finetune, teacher: Teacher | Teachers | None, training: TrainingSpec,
        processes: Processes, cut: Callable[[np.ndarray], Batch], lengths: np.ndarray, arithmetic: str,
    ) -> None:  # fmt: skip
        self.model, self.method, self.teacher = student.model, method, teacher
        self.training, self.processes, self.device = training, processes, processes.device
        self.cut, self.lengths, self.precision = cut, lengths, arithmetic
        self.inputs = checkpoint.model_inputs(self.model)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=arithmetic == "fp16")
        self._trouble: Tensor | None = None
        """Of the first step where loss or gradient were not finite, else of the last: 1 or 0, number, loss, norm."""

    def new_optimizer(self, also: Sequence[nn.Parameter]) -> None:
        """Fresh moments, over the student, the method's projections and `also`."""
        self.optimizer = schedule.make_optimizer(self.model, self.method.projections, self.training, also=also)
        self.trainable = [p for group in self.optimizer.param_groups for p in group["params"]]

    def gradients(self, indices: np.ndarray, *, stage: str, seed: int, micro_batch: int) -> dict[str, Tensor]:
        """Gradients of the loss of the whole batch, of which `indices` are this process's examples.

        Args:
            seed: of dropout.
            micro_batch: at most so many examples at once; the sum of their gradients is the batch's.

        Returns:
            This process's share in the parts of the loss, unweighted, and in the weighted sum, "loss": numbers that
            stay on the device, so that nobody has to wait for it.
        """
        torch.manual_seed(seed)
        self.optimizer.zero_grad(set_to_none=True)
        self.model.train()
        cuts = self._cuts(indices, micro_batch)
        micro_batches = [self.cut(each) for each in cuts]
        units = [methods.count_units(batch) for batch in micro_batches]
        counts = self.processes.sum([sum(unit[kind] for unit in units) for kind in KINDS])
        whole = dict(zip(KINDS, counts, strict=True))
        totals: dict[str, Tensor] = {"loss": torch.zeros((), device=self.device)}
        for numbers, batch, unit in zip(cuts, micro_batches, units, strict=True):
            batch = {name: moved(tensor, self.device) for name, tensor in batch.items()}
            parts = self._parts(stage, numbers, batch)
            shares = {name: unit[part.unit] / max(whole[part.unit], 1.0) for name, part in parts.items()}
            loss: Tensor = sum(
                (part.value * (part.weight * shares[name]) for name, part in parts.items()),
                start=torch.zeros((), device=self.device),
            )
            if not loss.requires_grad:  # nothing in this micro-batch to learn from
                continue
            self.scaler.scale(loss).backward()
            totals["loss"] = totals["loss"] + loss.detach().float()
            for name, part in parts.items():
                totals[name] = totals.get(name, 0.0) + shares[name] * part.value.detach().float()
        return totals

    def _cuts(self, indices: np.ndarray, micro_batch: int) -> list[np.ndarray]:
        """The batch in micro-batches of so many examples, fewer where texts are long."""
        if len(indices):
            micro_batch = max(1, min(micro_batch, MICRO_TOKENS // int(self.lengths[indices].max(initial=1))))
        return [indices[at : at + micro_batch] for at in range(0, len(indices), micro_batch)]

    def _parts(self, stage: str, numbers: np.ndarray, batch: Batch) -> dict[str, methods.Part]:
        """The parts of the loss of one micro-batch: ask the teacher, run the student, compare."""
        needs = self.method.teacher_needs[stage]
        targets = self.teacher.outputs(numbers, batch, needs) if self.teacher and needs is not None else None
        with precision.autocast(self.device, self.precision):
            inputs = {name: batch[name] for name in self.inputs}
            outputs = run(self.model, inputs, self.method.student_needs[stage])
        return self.method.parts(stage, outputs, targets, batch)

    def update(self, loss: Tensor, rate: float, *, number: int) -> None:
        """Clip and step, without waiting for the device.

        Where loss or gradient are not finite, the optimizer's kernel leaves weights and moments alone, in this step and
        in all that follow, until `check` tells; so the weights are those of before that step, whenever one looks.

        Args:
            number: of the step, from 1, for `check` to name.

        Raises:
            NotFinite: at once, where the arithmetic or the device makes waiting necessary anyway.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.processes.sum_gradients(self.trainable)
        if self.scaler.is_enabled() or self.device.type not in ("cpu", "cuda"):
            return self._update_at_once(float(loss), number)
        gradients = [parameter.grad for parameter in self.trainable if parameter.grad is not None]
        if not gradients:
            return None
        norm = torch.nn.utils.get_total_norm(gradients)
        bad = (~(norm.isfinite() & loss.isfinite())).float()
        seen = torch.stack([bad, torch.full_like(bad, number), loss.float(), norm.float()])
        self._trouble = seen if self._trouble is None else torch.where(self._trouble[0] > 0, self._trouble, seen)
        # the fused kernel divides by the one while it steps, and does nothing where the other is 1
        most = self.training.max_grad_norm
        optimizer: Any = self.optimizer
        optimizer.grad_scale = ((norm + 1e-6) / most).clamp(min=1.0).float() if most else None
        optimizer.found_inf = self._trouble[0]
        self.optimizer.step()
        return None

    def check(self) -> None:
        """Wait for the device and look whether all went well so far.

        Raises:
            NotFinite: it did not; with the first step where loss or gradient were not finite.
        """
        if self._trouble is None:
            return
        bad, number, loss, _ = self._trouble.tolist()
        if bad:
            what = "gradient is not finite" if math.isfinite(loss) else f"loss became {loss}"
            raise troubles.NotFinite(what, step=int(number))

    def _update_at_once(self, loss: float, number: int) -> None:
        """Clip and step where the scale of fp16 must be known first; the optimizer is left alone as in `update`."""
        self.scaler.unscale_(self.optimizer)
        gradients = [parameter.grad for parameter in self.trainable if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        size = float(norm)
        finite = math.isfinite(size)
        if not math.isfinite(loss):
            raise troubles.NotFinite(f"loss became {loss}", step=number)
        if not finite and not self.scaler.is_enabled():
            raise troubles.NotFinite("gradient is not finite", step=number)
        if finite and self.training.max_grad_norm and size + 1e-6 > self.training.max_grad_norm:
            torch.nn.utils.clip_grads_with_norm_(self.trainable, self.training.max_grad_norm, norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.scaler.is_enabled() and self.scaler.get_scale() < 2**-14:
            raise troubles.NotFinite("gradient overflows fp16 at every scale", step=number)

    def forget(self) -> None:
        """Give back the memory of a step that did not fit."""
        self.optimizer.zero_grad(set_to_none=True)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
