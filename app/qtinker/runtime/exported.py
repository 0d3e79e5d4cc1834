"""Model folders of torch.export: `model.pt2`, run by PyTorch without the model's code, on the CPU."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import torch

from .. import checkpoint
from ..errors import CheckpointError
from .base import Runtime

FILE = "model.pt2"


class ExportedRuntime(Runtime):
    """An ExportedProgram whose inputs are the tokenizer's outputs in their order, and whose output is the logits."""

    engine = "torch.export"

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        super().__init__(path)
        if threads:
            torch.set_num_threads(threads)
        refuse_pickles(path / FILE)
        try:
            self.module = torch.export.load(path / FILE).module()
        except Exception as error:  # whatever a damaged archive makes the library raise
            raise CheckpointError(
                f"{path / FILE} can't be loaded: {' '.join(str(error).split())[:300]}", "Export it again."
            ) from error
        from types import SimpleNamespace

        self.names = checkpoint.model_inputs(SimpleNamespace(config=SimpleNamespace(**self.config)))
        self.input_names = set(self.names)

    @torch.inference_mode()
    def logits(self, batch: dict[str, torch.Tensor]) -> np.ndarray:
        return self.module(*(batch[name] for name in self.names)).float().numpy()


def refuse_pickles(path: Path) -> None:
    """torch.export.load falls back to executing pickles: only archives without any get there.

    Raises:
        CheckpointError: the archive is damaged, or a part of it is a pickle that holds more than tensors.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".json") and ("/weights/" in name or "/constants/" in name):
                    entries = json.loads(archive.read(name)).get("config") or {}
                    if any(entry.get("use_pickle") for entry in entries.values()):
                        raise CheckpointError(f"{path.name} holds pickled tensors, which are not executed here.")
                if "/sample_inputs/" in name and name.endswith(".pt"):
                    torch.load(io.BytesIO(archive.read(name)), weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(
            f"{path} is no archive of torch.export that is safe to load: {' '.join(str(error).split())[:200]}",
            "Export it again.",
        ) from error
