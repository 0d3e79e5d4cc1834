"""Model folders of ExecuTorch: `model.pte`, one text of a fixed length at a time, on the CPU by XNNPACK."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np

from .. import checkpoint
from ..errors import CheckpointError
from . import extras
from .base import Runtime

if TYPE_CHECKING:
    import torch

FILE, LENGTH = "model.pte", "length"


class ExecutorchRuntime(Runtime):
    """A program with inputs int64 [1, length] and one output, the logits; longer texts are cut, shorter ones padded."""

    engine = "executorch"

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        super().__init__(path)
        runtime = extras.load("executorch.runtime", "executorch")
        try:
            self.program = runtime.Runtime.get().load_program(path / FILE)
            self.method = self.program.load_method("forward")
        except Exception as error:
            raise CheckpointError(
                f"{path / FILE} can't be loaded: {' '.join(str(error).split())[:300]}", "Export it again."
            ) from error
        self.length = int((self.meta.get("export") or {}).get(LENGTH) or self.meta.get("max_length") or 128)
        self.names = checkpoint.model_inputs(SimpleNamespace(config=SimpleNamespace(**self.config)))
        self.input_names = set(self.names)

    @property
    def max_length(self) -> int:
        """The length it was exported for."""
        return self.length

    def logits(self, batch: dict[str, torch.Tensor]) -> np.ndarray:
        import torch

        rows = []
        for at in range(len(batch["input_ids"])):
            given = []
            for name in self.names:
                row = batch[name][at : at + 1, : self.length]
                fill = self.pad_token_id if name == "input_ids" else 0
                given.append(torch.nn.functional.pad(row, (0, self.length - row.shape[1]), value=fill).contiguous())
            rows.append(self.method.execute(given)[0][0].float().numpy().copy())
        return np.stack(rows)
