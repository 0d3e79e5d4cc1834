"""Loads and saves model folders: an ordinary Hugging Face folder plus `qtinker.json`.

Importing this module costs no torch: it is imported where it is used.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import heads, model_folder
from .errors import CheckpointError, InputError
from .kinds import KINDS, names_of, task_of
from .label_order import order_of
from .model_card import model_card

WORD_HEADS = ("cls.predictions.", "lm_head.", "vocab_transform.", "vocab_projector.", "predictions.")
"""How the names of the weights begin that answer which word was hidden."""
TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model")
PADDED = -1e4
"""The logit of a start or end at padding: no probability, and still a number."""


@dataclass
class Loaded:
    """A model in memory with all that belongs to it."""

    model: Any
    tokenizer: Any
    meta: dict[str, Any] = field(default_factory=dict)
    path: Path | None = None
    new_head: bool = False
    """The head was made anew: it has learned nothing yet."""

    @property
    def name(self) -> str:
        """The registry's name, else the folder's."""
        return str(self.meta.get("name") or (self.path.name if self.path else type(self.model).__name__))

    @property
    def labels(self) -> list[str]:
        """Names of the model's outputs, in order."""
        names = self.model.config.id2label
        return [names[index] for index in range(len(names))]


def tensor_names(path: str | Path) -> list[str]:
    """Names of the tensors of a model folder, from the headers alone, without torch; [] where there is no safetensors.

    Raises:
        CheckpointError: a file is truncated or no safetensors file.
    """
    return [
        name for file in model_folder.safetensors_files(Path(path)) for name in model_folder.safetensors_header(file)
    ]


def task_in(path: str | Path) -> dict[str, Any] | None:
    """The task that the folder's model has a trained head for: type, labels, pair; None where it has none.

    A pretrained encoder comes with the head that it was pretrained with: its task is then `masked-lm`.

    Raises:
        CheckpointError: no model folder, or a damaged one.
    """
    folder = Path(path)
    found = task_of(_config(folder), model_folder.read_meta(folder))
    if found is None:
        return None
    names = tensor_names(folder)
    if not names:  # pytorch_model.bin, ONNX, OpenVINO: the config's word must do
        return found
    if found["type"] == "masked-lm":
        return found if any(name.startswith(WORD_HEADS) for name in names) else None
    return found if _has_head(names) else None


def unnamed_head(path: str | Path) -> CheckpointError | None:
    """The error for a folder whose weights have a head of which `config.json` does not say what it is for; else None.

    Raises:
        CheckpointError: no model folder, or a damaged one.
    """
    folder = Path(path)
    if _config(folder).get("architectures") or not _has_head(tensor_names(folder)):
        return None
    return CheckpointError(
        f"{folder / model_folder.CONFIG} does not say what the model's head is for: it names no architectures.",
        'Add its class, for example "architectures": ["BertForSequenceClassification"]; if it was imported, add it in '
        "the folder that it came from and import that again.",
    )


def _has_head(names: list[str]) -> bool:
    """Whether the last layer of a task is among the tensors."""
    last = {*heads.NAMES, "qa_outputs"}
    return any(name.split(".")[-2:-1] and name.split(".")[-2] in last for name in names)


def has_trained_head(path: str | Path) -> bool:
    """Whether the folder's model answers a task: its architecture names one, and the head's weights are there.

    The head of a pretrained encoder, which guesses hidden words, counts only where QTinker trained it.

    Raises:
        CheckpointError: no model folder, or a damaged one.
    """
    found = task_in(path)
    return found is not None and (found["type"] != "masked-lm" or _chosen(Path(path)))


def _chosen(folder: Path) -> bool:
    """Whether masked language modelling is what the model is for, not just what it was pretrained with."""
    return bool(model_folder.read_meta(folder).get("task"))


def load(
    path: str | Path,
    *,
    device: str = "cpu",
    num_labels: int | None = None,
    labels: list[str] | None = None,
    task: Any = None,
    kind: str | None = None,
    seed: int = 42,
) -> Loaded:
    """Load a model folder, in fp32 and in eval mode.

    With `labels`, `num_labels` or a `task` (`tasks.Task`), the model gets a head for them: the folder's own where it
    was trained for the same labels, its outputs brought into their order (or for as many, where only a number is
    given), else a new one whose random weights come from `seed`. Without them the folder's own head is kept; a folder
    without one gives the bare encoder.

    Args:
        kind: "masked-lm" keeps the head that an encoder was pretrained with, which is left away otherwise.

    Raises:
        CheckpointError: the folder is incomplete, damaged, or needs code that is not part of transformers.
    """
    import torch
    import transformers

    # Set by Pinokio for its own apps: with it torch would execute pickles.
    os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
    folder = Path(path)
    config_json = _config(folder)
    refuse_without_tokenizer(folder)
    own = task_in(folder)
    if task is None and own is not None and own["type"] == "masked-lm" and kind is None and not _chosen(folder):
        own = None
    if labels is None and task is not None:
        labels = list(task.labels)
    if labels and num_labels is None:
        num_labels = len(labels)

    wanted = task.type if task is not None else "classification" if num_labels is not None else None
    options: dict[str, Any] = {}
    if wanted is None:
        kept = own is not None
    else:
        kept = own is not None and _same_head(own, wanted, labels, num_labels, config_json, strict=task is not None)
        if not kept:
            names = labels if labels is not None else [f"LABEL_{index}" for index in range(num_labels or 0)]
            options = {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}
            if task is not None:
                options = task.head_config()
    if wanted is not None and (not kept or task is not None):
        auto_class = KINDS[wanted].auto_class
    else:
        auto_class = KINDS[own["type"]].auto_class if own is not None else "AutoModel"
    auto = getattr(transformers, auto_class)

    with torch.random.fork_rng(devices=[]), _quiet(transformers):
        torch.manual_seed(seed)
        try:
            model, info = auto.from_pretrained(
                folder, dtype=torch.float32, local_files_only=True, trust_remote_code=False,
                ignore_mismatched_sizes=True, output_loading_info=True, **options,
            )  # fmt: skip
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        except Exception as error:  # whatever a foreign or damaged folder makes the library raise
            raise CheckpointError(
                f"{folder} can't be loaded as a model: {' '.join(str(error).split())[:300]}",
                "Fetch or import the model again.",
            ) from error
        new_head = wanted is not None and not kept
        _complete(folder, model, info, new_head=new_head)
        if new_head and wanted != "masked-lm":  # that one's output layer is the word embeddings
            heads.draw(model)
        if kept and labels:
            heads.bring_into_order(model, labels)
    refuse_foreign_tokenizer(tokenizer, model.config.vocab_size, folder)
    _pad_token(model, tokenizer)
    own_memory(model)
    model.eval()
    return Loaded(model.to(device), tokenizer, model_folder.read_meta(folder), folder, new_head=new_head)


def refuse_without_tokenizer(folder: Path) -> None:
    """transformers makes an empty tokenizer of a folder without one, which knows no word.

    Raises:
        CheckpointError: the folder has no tokenizer files.
    """
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise CheckpointError(
            f"{folder.name} has no tokenizer: none of {', '.join(TOKENIZERS[:2])} is there.",
            "Copy the tokenizer files of the model that it was made from into its folder.",
        )


def refuse_foreign_tokenizer(tokenizer: Any, vocab_size: int, folder: Path) -> None:
    """A tokenizer with ids that the model has no embedding for would end in an IndexError at the first such word.

    Raises:
        CheckpointError: it is one.
    """
    tokens = 1 + max(tokenizer.get_vocab().values())  # ids may be left out, as by a line that comes twice
    if tokens > vocab_size:
        raise CheckpointError(
            f"{folder}: the tokenizer has {tokens} tokens, the model {vocab_size}.",
            "Give the tokenizer files that belong to the model.",
        )


def head_logits(outputs: Any, attention_mask: Any = None) -> Any:
    """The head's answer among a model's outputs: its logits, or starts and ends side by side, [B, L, 2].

    Where `attention_mask` is 0 there is no start and no end, so that padding changes nothing.
    """
    if "start_logits" not in outputs:
        return outputs.logits
    import torch

    both = torch.stack((outputs.start_logits, outputs.end_logits), dim=-1)
    if attention_mask is None:
        return both
    return both.float().masked_fill(attention_mask[..., None] == 0, PADDED)


def _same_head(
    own: dict[str, Any], wanted: str, labels: list[str] | None, count: int | None, config: dict[str, Any], *,
    strict: bool,
) -> bool:  # fmt: skip
    """Whether a folder's trained head answers what is wanted: the same kind of task, the same labels in any order."""
    if strict and own["type"] != wanted:
        return False
    if not strict and KINDS[own["type"]].auto_class != KINDS[wanted].auto_class:
        return False
    names = [str(label) for label in own.get("labels") or []] or names_of(config)
    if labels:
        return order_of(names, labels) is not None
    return count is None or len(names) == count


def save(model: Any, tokenizer: Any, folder: str | Path, *, meta: dict[str, Any]) -> Path:
    """Write a Hugging Face folder: config, safetensors, tokenizer, README.md and `qtinker.json`.

    `AutoModel.from_pretrained(folder)` loads it with QTinker not installed.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    import transformers

    with _quiet(transformers):
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text(model_card(meta, config=model.config.to_dict()), encoding="utf-8")
    model_folder.write_meta(folder, meta)
    return folder


def own_memory(model: Any) -> None:
    """Give every tensor that lies askew in a mapped file memory of its own, as torch aligns it.

    Matrix kernels add up in another order where memory is not aligned: the same weights would give answers that differ
    in the last bits, and a resumed training would not repeat the uninterrupted one. It also lets go of the file.
    """
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.device.type == "cpu" and tensor.data_ptr() % 64:
            tensor.data = tensor.data.clone()


def model_inputs(model: Any) -> tuple[str, ...]:
    """The names of tokenizer outputs that the model's forward takes.

    DistilBERT takes no `token_type_ids`, and GPT-2 would add them as words: only a model with embeddings for them
    gets them.
    """
    segments = int(getattr(model.config, "type_vocab_size", 0) or 0) > 1
    return ("input_ids", "attention_mask", "token_type_ids") if segments else ("input_ids", "attention_mask")


def _complete(folder: Path, model: Any, info: dict[str, Any], *, new_head: bool) -> None:
    """Refuse a folder that lacks weights, has them in other sizes, or more layers of them than are read.

    Without a word the first two would stay random, the last be left out.

    The head may be missing (it is made anew), and so may a pooler (MLM checkpoints have none). A head that is replaced
    may have any size.
    """
    prefix = f"{model.base_model_prefix}."

    def of_encoder(name: str) -> bool:
        return name.startswith(prefix) or model.base_model is model

    missing = sorted(name for name in info["missing_keys"] if of_encoder(name) and "pooler" not in name)
    if missing:
        ending = f".{missing[0].removeprefix(prefix)}"
        if other := next((name for name in info["unexpected_keys"] if name.endswith(ending)), None):
            raise CheckpointError(
                f"{folder}: the weights have {other} where {missing[0]} is expected.",
                "Save the model itself by its save_pretrained, not what your program wraps it in.",
            )
        raise CheckpointError(
            f"{folder} is incomplete: it has no {missing[0]}" + (f" and {len(missing) - 1} more" * (len(missing) > 1)),
            "Fetch or import the model again.",
        )
    for name, found, expected in sorted(info["mismatched_keys"]):
        if of_encoder(name) or not new_head:
            raise CheckpointError(
                f"{folder}: {name} is {_sides(found)} in the weights, and {_sides(expected)} by {model_folder.CONFIG}.",
                "Give the config.json that belongs to the weights: its sizes and its id2label must be theirs.",
            )
    own = {name.removeprefix(prefix) for name in model.state_dict()}
    for name in sorted(info["unexpected_keys"]):
        if (first := re.sub(r"\.\d+\.", ".0.", name.removeprefix(prefix), count=1)) != name and first in own:
            raise CheckpointError(
                f"{folder}: the weights have {name}, a layer beyond those that {model_folder.CONFIG} tells of.",
                "Give the config.json that belongs to the weights: its number of layers must be theirs.",
            )


def _sides(shape: Any) -> str:
    return " x ".join(map(str, shape))


def _pad_token(model: Any, tokenizer: Any) -> None:
    """GPT-2 has no pad token: its end of text serves, and the model must know it, to classify at the last real token.

    Padding goes to the right, so that positions count from the first token.
    """
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise InputError("The tokenizer has neither a pad token nor an end-of-text token.", "Use another model.")
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id


def _config(folder: Path) -> dict[str, Any]:
    if not (folder / model_folder.CONFIG).is_file():
        raise CheckpointError(f"{folder} is no model folder: it has no {model_folder.CONFIG}.")
    return model_folder.read_json(folder / model_folder.CONFIG)


class _quiet:
    """Keeps transformers' table of missing heads off the terminal: what it tells is told by our own words."""

    def __init__(self, transformers: Any) -> None:
        self.logging = transformers.utils.logging

    def __enter__(self) -> None:
        self.level = self.logging.get_verbosity()
        self.bars = self.logging.is_progress_bar_enabled()
        self.logging.set_verbosity_error()
        self.logging.disable_progress_bar()

    def __exit__(self, *_: object) -> None:
        self.logging.set_verbosity(self.level)
        if self.bars:
            self.logging.enable_progress_bar()
