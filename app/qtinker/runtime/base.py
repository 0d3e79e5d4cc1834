"""What every engine offers: token ids in, logits out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import model_folder
from ..checkpoint import refuse_foreign_tokenizer, unnamed_head
from ..checkpoint import refuse_without_tokenizer as refuse_without_tokenizer
from ..errors import CheckpointError
from ..hugging_face import SUPPORTED, not_supported
from ..kinds import KINDS, names_of, task_of

if TYPE_CHECKING:
    import torch


class Runtime(ABC):
    """A model opened for inference.

    Attributes:
        engine: torch, onnxruntime, openvino, torch.export, executorch or llama.cpp.
        path: the model folder.
        meta: content of `qtinker.json` ({} where absent).
        config: content of `config.json`.
        tokenizer: of transformers, loaded from the folder.
        labels: names of the outputs in their order.
        input_names: what the model takes of input_ids, attention_mask, token_type_ids.
        max_length: tokens a text is cut to.
        parameters: logical parameters: those of the float model that it stands for.
    """

    engine: str
    tokenizer: Any

    def __init__(self, path: Path, *, with_tokenizer: bool = True) -> None:
        self.path = path
        refuse_without_tokenizer(path)
        self.meta = model_folder.read_meta(path)
        self.config = model_folder.read_json(path / model_folder.CONFIG)
        self.tokenizer = load_tokenizer(path) if with_tokenizer else None
        if self.tokenizer is not None and "vocab_size" in self.config:
            refuse_foreign_tokenizer(self.tokenizer, self.config["vocab_size"], path)
        self.labels = labels_of(path)
        self.input_names: set[str] = {"input_ids", "attention_mask"}

    @abstractmethod
    def logits(self, batch: dict[str, torch.Tensor]) -> np.ndarray:
        """float32 logits of a padded batch of int64 tensors [B, L]: [B, C], or [B, L, C] for a head that answers token
        by token (C is 2 for starts and ends)."""

    @property
    def name(self) -> str:
        """The registry's name, else the folder's."""
        return str(self.meta.get("name") or self.path.name)

    @property
    def task(self) -> dict[str, Any]:
        """The task as in `qtinker.json`, or what the config tells of it."""
        return task_of(self.config, self.meta) or {"type": "classification", "labels": self.labels, "pair": None}

    @property
    def problem_type(self) -> str:
        """The kind of task (`kinds.KINDS`): what the logits mean."""
        return str(self.task["type"])

    @property
    def max_length(self) -> int:
        """The length it was trained with, else what its positions and tokenizer allow, at most 512."""
        limits = [self.meta.get("max_length"), self.config.get("max_position_embeddings"),
                  self.config.get("n_positions"), self.tokenizer.model_max_length, 512]  # fmt: skip
        return min(int(limit) for limit in limits if isinstance(limit, int) and limit > 0)

    @property
    def parameters(self) -> int | None:
        value = self.meta.get("parameters")
        return value if isinstance(value, int) else None

    @property
    def pad_token_id(self) -> int:
        return self.tokenizer.pad_token_id or 0


def untrained(path: Path) -> CheckpointError:
    """The error for a model without a trained head, or with one that QTinker does not know."""
    kind = model_folder.read_json(path / model_folder.CONFIG).get("model_type")
    if kind is not None and kind not in SUPPORTED:
        return not_supported(path / model_folder.CONFIG, kind)
    if unnamed := unnamed_head(path):
        return unnamed
    name = str(model_folder.read_meta(path).get("name") or path.name)
    return CheckpointError(
        f"{name} has no trained head: it would answer at random.",
        f"Train it first: python3 app finetune {name} --data FILE",
    )


def labels_of(path: Path) -> list[str]:
    """Names of a model's outputs in their order, without loading it; [] where they have none."""
    config = model_folder.read_json(path / model_folder.CONFIG)
    task = task_of(config, model_folder.read_meta(path))
    if task is None:
        return names_of(config)
    return [str(label) for label in task.get("labels") or (names_of(config) if KINDS[task["type"]].named else [])]


def load_tokenizer(path: Path) -> Any:
    """The folder's tokenizer.

    Raises:
        CheckpointError: there is none, or its files are damaged.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise CheckpointError(
            f"The tokenizer in {path} can't be loaded: {' '.join(str(error).split())[:300]}",
            "A model folder needs its tokenizer files (tokenizer.json or vocab.txt).",
        ) from error
    if tokenizer.pad_token is None:  # GPT-2 has none; padding is masked, so any token will do
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    return tokenizer
