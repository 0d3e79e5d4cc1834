"""Model folders of llama.cpp: `model.gguf`, a BERT classifier by RANK pooling, on the CPU."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import CheckpointError
from . import extras
from .base import Runtime

if TYPE_CHECKING:
    import torch

FILE = "model.gguf"


class LlamaRuntime(Runtime):
    """Gives llama.cpp the token ids of the folder's own tokenizer, a text at a time.

    llama.cpp's tricks for AMX crash on quantized BERTs (0.3.36), so the extra buffer types are off.
    """

    engine = "llama.cpp"

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        super().__init__(path)
        lib = self.lib = extras.load("llama_cpp", "llama")
        _be_quiet(lib)
        lib.llama_backend_init()
        settings = lib.llama_model_default_params()
        settings.use_extra_bufts = False
        settings.n_gpu_layers = 0
        self.model = lib.llama_model_load_from_file(str(path / FILE).encode(), settings)
        if not self.model:
            raise CheckpointError(f"{path / FILE} can't be loaded by llama.cpp.", "Export it again.")
        length = super().max_length
        context = lib.llama_context_default_params()
        context.n_ctx = context.n_batch = context.n_ubatch = length
        context.embeddings = True
        context.pooling_type = lib.LLAMA_POOLING_TYPE_RANK
        context.n_threads = context.n_threads_batch = threads or _cores()
        self.context = lib.llama_init_from_model(self.model, context)
        if not self.context:
            raise CheckpointError(f"llama.cpp can't run {path / FILE}.", "Export it again.")
        self.batch = lib.llama_batch_init(length, 0, 1)
        self.outputs = len(self.labels) or len(self.config.get("id2label") or {}) or 1  # a number has no label
        self.input_names = {"input_ids", "attention_mask"}

    def logits(self, batch: dict[str, torch.Tensor]) -> np.ndarray:
        ids, mask = batch["input_ids"].numpy(), batch["attention_mask"].numpy()
        return np.stack([self._one(row[: int(real.sum())]) for row, real in zip(ids, mask, strict=True)])

    def _one(self, ids: np.ndarray) -> np.ndarray:
        lib, batch = self.lib, self.batch
        batch.n_tokens = len(ids)
        for at, number in enumerate(ids):
            batch.token[at], batch.pos[at] = int(number), at
            batch.n_seq_id[at], batch.seq_id[at][0], batch.logits[at] = 1, 0, True
        if (memory := lib.llama_get_memory(self.context)) is not None:
            lib.llama_memory_clear(memory, True)
        if lib.llama_encode(self.context, batch) != 0:
            raise CheckpointError(f"llama.cpp can't compute {self.path.name} for a text of {len(ids)} tokens.")
        found = lib.llama_get_embeddings_seq(self.context, 0)
        return np.array(found[: self.outputs], np.float32)


def _cores() -> int:
    """As many threads as PyTorch takes: llama.cpp's wait by spinning, and more than there are cores stand still."""
    import torch

    return torch.get_num_threads()


_SILENT: list[Any] = []


def _be_quiet(lib: Any) -> None:
    """llama.cpp tells at length on standard error how it loads a model."""
    if not _SILENT:
        _SILENT.append(lib.llama_log_callback(lambda level, text, data: None))
        lib.llama_log_set(_SILENT[0], ctypes.c_void_p(0))
