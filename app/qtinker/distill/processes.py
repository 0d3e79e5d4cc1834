"""One training over several processes, as started by `accelerate launch` or `torchrun`; nothing to do in one process.

The gradients of a step are summed over the processes after all micro-batches, not while they are computed: the step
stays readable, a step that ran out of memory can be redone by all, and learned projections need no wrapper.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from accelerate.utils import broadcast, broadcast_object_list, reduce
from torch import Tensor, nn

from .. import together
from ..devices import pick_device


class Processes:
    """Who trains: how many processes, which of them this one is, and what they tell each other."""

    def __init__(self, device: str = "auto") -> None:
        self._state = together.state(device)
        self.count, self.rank = self._state.num_processes, self._state.process_index
        self.is_main = self._state.is_main_process
        self.device = self._state.device if self.count > 1 else pick_device(device)

    def sum(self, numbers: Sequence[float]) -> list[float]:
        """Sum of each number over the processes."""
        if self.count == 1:
            return list(numbers)
        told = torch.tensor(numbers, dtype=torch.float64 if self.device.type != "mps" else torch.float32)
        return reduce(told.to(self.device), "sum").tolist()

    def any(self, *flags: bool) -> list[bool]:
        """For each flag, whether it is up in any process."""
        return [total > 0 for total in self.sum([float(flag) for flag in flags])]

    def from_main(self, value: Any) -> Any:
        """The main process's value, in every process."""
        return value if self.count == 1 else broadcast_object_list([value])[0]

    def share_weights(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors with the main process's."""
        if self.count > 1:
            for tensor in tensors:
                tensor.data.copy_(broadcast(tensor.data))

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace each gradient by its sum over the processes; a parameter that none has a gradient for keeps none."""
        if self.count == 1:
            return
        used = self.sum([float(parameter.grad is not None) for parameter in parameters])
        for parameter, users in zip(parameters, used, strict=True):
            if users:
                grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                parameter.grad = reduce(grad, "sum")

    def wait(self) -> None:
        """Return when all processes are here."""
        self._state.wait_for_everyone()
