"""Model folders that OpenVINO runs: `openvino_model.xml` and `.bin`, float or quantized, on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import CheckpointError
from . import extras
from .base import Runtime

if TYPE_CHECKING:
    import torch

FILE = "openvino_model.xml"


class OpenVinoRuntime(Runtime):
    """An OpenVINO model with inputs named as the tokenizer's outputs, and one output, the logits.

    OpenVINO computes in the precision it finds fastest on this processor (bfloat16 where that is native).
    """

    engine = "openvino"

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        super().__init__(path)
        openvino = extras.load("openvino", "openvino")
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
        try:
            core = openvino.Core()
            self.compiled = core.compile_model(core.read_model(path / FILE), "CPU", settings)
        except RuntimeError as error:
            raise CheckpointError(
                f"{path / FILE} can't be loaded: {' '.join(str(error).split())[:300]}", "Export it again."
            ) from error
        self.request = self.compiled.create_infer_request()
        self.input_names = {entry.get_any_name() for entry in self.compiled.inputs}

    def logits(self, batch: dict[str, torch.Tensor]) -> np.ndarray:
        inputs = {name: batch[name].numpy() for name in self.input_names}
        results = self.request.infer(inputs, share_inputs=True)
        return np.array(results[0], np.float32)
