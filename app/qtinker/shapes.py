"""The shape of a model from its folder's config.json and safetensors headers: no torch, no weights read."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import checkpoint, model_folder
from .spec import SHAPE
from .tokenizer_files import token_rules

# Some families call the same things otherwise.
_NAMES = {
    "layers": ("num_hidden_layers", "n_layers", "n_layer"),
    "hidden": ("hidden_size", "dim", "n_embd"),
    "heads": ("num_attention_heads", "n_heads", "n_head"),
    "intermediate": ("intermediate_size", "hidden_dim", "n_inner"),
    "positions": ("max_position_embeddings", "n_positions"),
    "vocabulary": ("vocab_size",),
}


@dataclass(frozen=True)
class Shape:
    """What costs and limits follow from. `encoder` counts the parameters that every token passes through."""

    name: str
    model_type: str
    layers: int
    hidden: int
    heads: int
    positions: int | None
    vocabulary: int
    parameters: int
    encoder: int
    labels: tuple[str, ...] = ()
    trained: bool = False
    quantized: bool = False
    vocabulary_key: str | None = None
    task: dict[str, Any] | None = None
    """The task that its head is trained for (`checkpoint.task_in`)."""


def read(folder: Path) -> Shape:
    """The shape of a model folder.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    config = model_folder.read_json(folder / model_folder.CONFIG)
    meta = model_folder.read_meta(folder)
    numbers = {key: _number(config, names) for key, names in _NAMES.items()}
    hidden, layers = numbers["hidden"] or 768, numbers["layers"] or 12
    encoder = layers * (4 * hidden * hidden + 2 * hidden * (numbers["intermediate"] or 4 * hidden))
    vocabulary = numbers["vocabulary"] or 30522
    recorded = meta.get("parameters")
    parameters = recorded if isinstance(recorded, int) else model_folder.count_parameters(folder)
    task = checkpoint.task_in(folder)
    trained = checkpoint.has_trained_head(folder)
    return Shape(
        name=str(meta.get("name") or folder.name), model_type=str(config.get("model_type")), layers=layers,
        hidden=hidden, heads=numbers["heads"] or 12, positions=numbers["positions"], vocabulary=vocabulary,
        parameters=parameters or encoder + vocabulary * hidden, encoder=encoder,
        labels=tuple(map(str, task.get("labels") or ())) if trained and task else (), task=task,
        trained=trained, quantized=bool(meta.get("quantization") or config.get("quantization_config")),
        vocabulary_key=vocabulary_key(folder),
    )  # fmt: skip


def cut(source: Shape, layers: int) -> Shape:
    """The shape of a model made of some layers of another."""
    share = layers / source.layers
    encoder = round(source.encoder * share)
    return replace(
        source, name=f"{source.name}, {layers} layers", layers=layers, encoder=encoder,
        parameters=source.parameters - source.encoder + encoder, trained=False, labels=(), task=None,
    )  # fmt: skip


def named(text: str, teacher: Shape) -> Shape:
    """The shape that `L-2_H-128_A-2` stands for, with the teacher's vocabulary."""
    match = SHAPE.match(text)
    assert match is not None, text
    layers, hidden, heads = (int(match[key]) for key in ("layers", "hidden", "heads"))
    encoder = layers * 12 * hidden * hidden
    return replace(
        teacher, name=text, model_type="bert", layers=layers, hidden=hidden, heads=heads, encoder=encoder,
        parameters=encoder + (teacher.vocabulary + (teacher.positions or 512)) * hidden, trained=False, labels=(),
        task=None,
    )  # fmt: skip


def vocabulary_key(folder: Path) -> str | None:
    """A hash of vocabulary and normaliser, to compare two models' tokens; None where tokenizer.json is absent.

    Equal keys mean equal tokens. `data.tokenizer_key`, which needs the tokenizer loaded, decides in doubt.
    """
    try:
        content: dict[str, Any] = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        model = content["model"]
        vocab = model["vocab"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    ordered = sorted(vocab.items()) if isinstance(vocab, dict) else vocab
    rules = token_rules({**content, "model": {**model, "vocab": None}})
    return hashlib.sha256(json.dumps([ordered, rules], sort_keys=True).encode()).hexdigest()[:32]


def _number(config: dict[str, Any], names: tuple[str, ...]) -> int | None:
    return next((int(config[name]) for name in names if isinstance(config.get(name), int | float)
                 and math.isfinite(config[name])), None)  # fmt: skip
