"""Rewrites a model folder for fewer tokens: tokenizer files, config and the tensors with a row (or column) a token."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from .. import model_folder
from ..errors import CheckpointError

_BY_ROW = re.compile(
    r"(^|\.)(word_embeddings\.weight"
    r"|(cls\.)?predictions\.(decoder\.weight|decoder\.bias|bias)"
    r"|vocab_projector\.(weight|bias)"
    r"|generator_lm_head\.(weight|bias))$"
)
"""Tensors with a row a token: embeddings, and the decoders of masked language models that are tied to them."""
_BY_COLUMN = re.compile(r"(^|\.)predictions\.dense\.weight$")
"""MobileBERT's decoder has a part with a column a token."""


def trim_state(state: dict[str, Any], kept: list[int]) -> dict[str, Any]:
    """A `tokenizer.json` that holds only the tokens `kept` (old ids, ascending), numbered anew from 0 in that order."""
    new = {old: number for number, old in enumerate(kept)}
    state = json.loads(json.dumps(state))
    model = state["model"]
    model["vocab"] = {token: new[old] for token, old in sorted(model["vocab"].items(), key=_id) if old in new}
    for token in state["added_tokens"]:
        token["id"] = new[token["id"]]
    if state.get("padding"):
        state["padding"]["pad_id"] = new[state["padding"]["pad_id"]]
    state["truncation"] = None
    _renumber(state.get("post_processor"), new)
    return state


def _id(item: tuple[str, int]) -> int:
    return item[1]


def _renumber(processor: dict[str, Any] | None, new: dict[int, int]) -> None:
    """The ids of the special tokens that a post-processor puts around texts."""
    if not processor:
        return
    for each in processor.get("processors") or []:
        _renumber(each, new)
    for special in (processor.get("special_tokens") or {}).values():
        special["ids"] = [new[number] for number in special["ids"]]
    for key in ("sep", "cls"):
        if isinstance(processor.get(key), list):
            token, number = processor[key]
            processor[key] = [token, new[number]]


def write_tokenizer(tokenizer: Any, folder: Path, kept: list[int]) -> None:
    """Write the trimmed tokenizer: `tokenizer.json`, `vocab.txt`, and transformers' own files with the new ids."""
    tokenizer.save_pretrained(folder)
    state = trim_state(json.loads(tokenizer.backend_tokenizer.to_str()), kept)
    _write_json(folder / "tokenizer.json", state)
    tokens = sorted(state["model"]["vocab"].items(), key=_id)
    (folder / "vocab.txt").write_bytes("".join(f"{token}\n" for token, _ in tokens).encode())
    new = {old: number for number, old in enumerate(kept)}
    config = folder / "tokenizer_config.json"
    if config.is_file():
        content = model_folder.read_json(config)
        if isinstance(decoder := content.get("added_tokens_decoder"), dict):
            content["added_tokens_decoder"] = {str(new[int(key)]): value for key, value in decoder.items()}
        _write_json(config, content)
    (folder / "added_tokens.json").unlink(missing_ok=True)  # the older form of what tokenizer.json holds


def write_config(source: Path, folder: Path, kept: list[int]) -> None:
    """Write `config.json` with the new size of the vocabulary and the new ids of the special tokens."""
    new = {old: number for number, old in enumerate(kept)}
    config = model_folder.read_json(source / model_folder.CONFIG)
    config["vocab_size"] = len(kept)
    for key, value in config.items():
        if key.endswith("_token_id") and isinstance(value, int):
            config[key] = new.get(value)
    _write_json(folder / model_folder.CONFIG, config)


def write_weights(source: Path, folder: Path, kept: list[int]) -> None:
    """Write `model.safetensors` with the kept rows, all else bit for bit.

    Raises:
        CheckpointError: the folder holds no safetensors file, or no embeddings of a name that is known here.
    """
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    files = model_folder.safetensors_files(source)
    if not files:
        raise CheckpointError(
            f"{source.name} has no safetensors file.", f"Bring it in first: python3 app import {source}"
        )
    rows = torch.tensor(kept)
    tensors: dict[str, torch.Tensor] = {}
    touched = 0
    for file in files:
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118  (no mapping)
                tensor = opened.get_tensor(name)
                side = 0 if _BY_ROW.search(name) else 1 if _BY_COLUMN.search(name) else None
                if side is not None:
                    if tensor.shape[side] <= kept[-1]:
                        raise CheckpointError(
                            f"{name} has {tensor.shape[side]:,} tokens, the tokenizer more than {kept[-1]:,}.",
                            "Tokenizer and weights are not of the same model.",
                        )
                    tensor = tensor.index_select(side, rows)
                    touched += 1
                tensors[name] = tensor.contiguous()
    if not touched:
        raise CheckpointError(f"{source.name} has no embeddings of a name that is known here (word_embeddings.weight).")
    save_file(tensors, folder / model_folder.WEIGHTS, metadata={"format": "pt"})


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
