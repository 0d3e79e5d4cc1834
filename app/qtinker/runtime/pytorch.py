"""Model folders that PyTorch runs: float, torchao and packed 4-bit ones."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import numpy as np
import torch

from .. import checkpoint
from ..devices import pick_device
from .base import Runtime, untrained
from .int8_layers import speed_up

# Said once per import, of no use to anybody: kernels for other processors are absent, enums are registered twice.
logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
logging.getLogger("torchao").setLevel(logging.ERROR)


class TorchRuntime(Runtime):
    """A Hugging Face folder, loaded as `from_pretrained` does.

    Args:
        as_float: compute in float32 what is stored in 16 bits too, even where those are faster: for what is made of it.
    """

    engine = "torch"

    def __init__(self, path: Path, *, device: str = "cpu", threads: int | None = None, as_float: bool = False) -> None:
        super().__init__(path, with_tokenizer=False)
        if checkpoint.task_in(path) is None:
            raise untrained(path)
        if threads:
            torch.set_num_threads(threads)
        self.device = pick_device(device)
        loaded = checkpoint.load(path, device=str(self.device), kind="masked-lm")
        self.model, self.tokenizer = loaded.model, loaded.tokenizer
        self._parameters = sum(weight.numel() for weight in self.model.parameters())
        dtype = getattr(torch, str(self.config.get("dtype")), None)
        if not as_float and dtype in (torch.bfloat16, torch.float16) and computes_faster(dtype, self.device):
            self.model.to(dtype)
        if self.device.type == "cpu":
            speed_up(self.model)
        self.input_names = set(checkpoint.model_inputs(self.model))

    @property
    def parameters(self) -> int | None:
        """Packed weights count as what they unpack to, since a tensor of torchao has the float tensor's shape."""
        return super().parameters or self._parameters

    @torch.inference_mode()
    def logits(self, batch: dict[str, torch.Tensor]) -> np.ndarray:
        inputs = {name: batch[name].to(self.device) for name in self.input_names if name in batch}
        return checkpoint.head_logits(self.model(**inputs)).float().cpu().numpy()


def computes_faster(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether a model saved in 16 bits should run in them: always on a GPU; on a CPU if a small trial says so."""
    if device.type != "cpu":
        return True
    times = {}
    for kind in (torch.float32, dtype):
        x, weight = torch.ones(128, 768, dtype=kind), torch.ones(768, 768, dtype=kind)
        torch.nn.functional.linear(x, weight)
        started = time.perf_counter()
        for _ in range(5):
            torch.nn.functional.linear(x, weight)
        times[kind] = time.perf_counter() - started
    return times[dtype] < times[torch.float32]
