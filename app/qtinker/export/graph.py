"""What every exporter starts from: a module that takes token tensors in a fixed order and gives the logits alone."""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import torch

from .. import checkpoint


class Logits(torch.nn.Module):
    """A model with its head as a function of tensors, in the order of `names`."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.names = checkpoint.model_inputs(model)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """int64 [B, L] each to float32 [B, C], or [B, L, C] where the head answers token by token."""
        return checkpoint.head_logits(self.model(**dict(zip(self.names, inputs, strict=True)), return_dict=True))


def example_inputs(graph: Logits, tokenizer: Any) -> tuple[torch.Tensor, ...]:
    """Two short texts of different length: a batch and a length that no shape of the model equals."""
    batch = tokenizer(
        ["one", "one two three four five six seven"], padding=True, truncation=True,
        max_length=int(getattr(graph.model.config, "max_position_embeddings", 512) or 512), return_tensors="pt",
    )  # fmt: skip
    width = batch["input_ids"].shape[1]
    filled = {"token_type_ids": torch.zeros(2, width, dtype=torch.int64), **batch}
    return tuple(filled[name] for name in graph.names)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Exporters warn at length about things that are checked afterwards."""
    noisy = [
        logging.getLogger(name)
        for name in ("torch", "torch.onnx", "onnxscript", "nncf", "transformers", "coremltools", "executorch", "root")
    ]
    levels = [logger.level for logger in noisy]
    root = logging.getLogger()
    root_level = root.level
    # Their progress bars go where progress belongs: standard output is for results.
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        for logger in noisy:
            logger.setLevel(logging.ERROR)
        root.setLevel(logging.ERROR)
        try:
            yield
        finally:
            root.setLevel(root_level)
            for logger, level in zip(noisy, levels, strict=True):
                logger.setLevel(level)
