"""Model folders that ONNX Runtime runs: `model.onnx`, float or quantized, on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import CheckpointError
from . import extras
from .base import Runtime

if TYPE_CHECKING:
    import torch

FILE = "model.onnx"


class OnnxRuntime(Runtime):
    """An ONNX graph with inputs named as the tokenizer's outputs, and one output, `logits`."""

    engine = "onnxruntime"

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        super().__init__(path)
        ort = extras.load("onnxruntime", "onnx")
        options = ort.SessionOptions()
        options.log_severity_level = 3
        if threads:
            options.intra_op_num_threads = threads
        try:
            self.session = ort.InferenceSession(path / FILE, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has no common exception
            raise CheckpointError(
                f"{path / FILE} can't be loaded: {' '.join(str(error).split())[:300]}", "Export it again."
            ) from error
        self.input_names = {entry.name for entry in self.session.get_inputs()}

    def logits(self, batch: dict[str, torch.Tensor]) -> np.ndarray:
        [logits] = self.session.run(["logits"], {name: batch[name].numpy() for name in self.input_names})
        return np.asarray(logits, np.float32)
