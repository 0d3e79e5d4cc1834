"""GGUF: a BERT as llama.cpp loads it, in F16, Q8_0 or Q4_0, with its WordPiece vocabulary inside.

llama.cpp has classifiers as rerankers: with the pooling type RANK it puts the pooler and the classification head on the
[CLS] state, and the first values of a text's "embedding" are the logits. Names of tensors and keys are those that
llama.cpp's own converter writes for the architecture `bert`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..runtime import extras
from ..runtime.gguf import FILE

_LAYER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
_OTHERS = {
    "bert.embeddings.word_embeddings": "token_embd",
    "bert.embeddings.token_type_embeddings": "token_types",
    "bert.embeddings.position_embeddings": "position_embd",
    "bert.embeddings.LayerNorm": "token_embd_norm",
    "bert.pooler.dense": "cls",
    "classifier": "cls.output",
}
_PLAIN = ("token_types", "position_embd", "cls.output")
"""Matrices that stay float32: llama.cpp adds the first two as they are, and a head's few rows are no load."""
RANK = 4
_NORMAL, _UNKNOWN, _CONTROL = 1, 2, 3
GROUP = 32
"""Weights that share a scale in Q8_0 and Q4_0; rows that groups don't divide stay in half precision."""
TYPES = {"f16": "F16", "q8_0": "Q8_0", "q4_0": "Q4_0"}


def write(model: Any, tokenizer: Any, folder: Path, *, kind: str = "f16") -> dict[str, Any]:
    """Write `model.gguf`; returns what to note about it.

    Args:
        kind: f16, q8_0 or q4_0: how the matrices are held (groups of 32 weights share a half-precision scale).

    Raises:
        InputError: it is no BERT classifier, its tokenizer no WordPiece, or no row can be cut into groups.
        MissingExtra: gguf is not installed.
    """
    if model.config.model_type != "bert" or not hasattr(model, "classifier"):
        raise InputError(
            f"GGUF export knows BERT classifiers, not {type(model).__name__}: llama.cpp's head is that of BERT.",
            "Export it to onnx instead.",
        )
    if getattr(model.config, "is_decoder", False) or model.config.hidden_act != "gelu":
        raise InputError("llama.cpp's BERT reads both ways and computes with gelu; this model does not.")
    widths = {int(model.config.hidden_size), int(model.config.intermediate_size)}
    if kind != "f16" and not any(width % GROUP == 0 for width in widths):
        raise InputError(
            f"{TYPES[kind]} holds weights in groups of {GROUP}, and this model's layers are "
            f"{' and '.join(map(str, sorted(widths)))} wide: none could be held in it.",
            "Export it to gguf, in half precision.",
        )
    gguf = extras.load("gguf", "gguf")
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    if state["model"].get("type") != "WordPiece":
        raise InputError("GGUF export knows BERT's WordPiece vocabularies, and this tokenizer has another.")
    writer = gguf.GGUFWriter(folder / FILE, "bert")
    _describe(writer, gguf, model.config, kind)
    _vocabulary(writer, tokenizer, state, int(model.config.vocab_size))
    for name, value in normalization(state.get("normalizer")).items():
        writer.add_bool(f"tokenizer.ggml.normalizer.{name}", value)
    writer.add_token_type_count(int(model.config.type_vocab_size))
    wanted = gguf.GGMLQuantizationType[TYPES[kind]]
    plain = []
    for name, tensor in model.state_dict().items():
        new = tensor_name(name)
        if new is None:
            continue
        array = np.ascontiguousarray(tensor.detach().float().cpu().numpy())
        stem = new.rpartition(".")[0]
        held = gguf.GGMLQuantizationType.F32
        if array.ndim == 2 and stem not in _PLAIN:
            held = wanted if kind == "f16" or array.shape[1] % GROUP == 0 else gguf.GGMLQuantizationType.F16
        if held == gguf.GGMLQuantizationType.F32:
            writer.add_tensor(new, array)
            plain.append(new)
        else:
            writer.add_tensor(new, gguf.quants.quantize(array, held), raw_dtype=held)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return {"inputs": ["input_ids"], "dynamic": ["length"], "kind": kind}


def tensor_name(name: str) -> str | None:
    """llama.cpp's name of a tensor of transformers' BERT; None for what it has no use for."""
    stem, _, last = name.rpartition(".")
    if stem in _OTHERS:
        return f"{_OTHERS[stem]}.{last}"
    parts = stem.split(".", 4)
    if parts[:3] == ["bert", "encoder", "layer"] and len(parts) == 5 and parts[4] in _LAYER:
        return f"blk.{parts[3]}.{_LAYER[parts[4]]}.{last}"
    return None


def _describe(writer: Any, gguf: Any, config: Any, kind: str) -> None:
    writer.add_type("model")
    writer.add_name(Path(str(config.name_or_path)).name or "bert")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_layer_norm_eps(config.layer_norm_eps)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType(RANK))
    writer.add_classifier_output_labels([str(config.id2label[number]) for number in sorted(config.id2label)])
    writer.add_file_type(
        {"f16": gguf.LlamaFileType.MOSTLY_F16, "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0}.get(
            kind, gguf.LlamaFileType.MOSTLY_Q4_0
        )
    )


def _vocabulary(writer: Any, tokenizer: Any, state: dict[str, Any], size: int) -> None:
    """llama.cpp marks beginnings of words where BERT marks their continuations."""
    tokens, types = [f"[PAD{number}]" for number in range(size)], [_NORMAL] * size
    special = set(tokenizer.all_special_ids)
    for token, number in tokenizer.get_vocab().items():
        if number in special:
            tokens[number] = token
            types[number] = _UNKNOWN if number == tokenizer.unk_token_id else _CONTROL
        elif token.startswith("##"):
            tokens[number] = token[2:]
        else:
            tokens[number] = "\u2581" + token
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    ids = (
        ("bos", tokenizer.cls_token_id), ("eos", tokenizer.sep_token_id), ("sep", tokenizer.sep_token_id),
        ("pad", tokenizer.pad_token_id), ("unk", tokenizer.unk_token_id), ("mask", tokenizer.mask_token_id),
    )  # fmt: skip
    for name, number in ids:
        if number is not None:
            getattr(writer, f"add_{name}_token_id")(number)


def normalization(normalizer: dict[str, Any] | None) -> dict[str, bool]:
    """Whether a tokenizer's normalizer lower-cases and strips accents: llama.cpp does both unless it is told."""
    if normalizer is None:
        return {"lowercase": False, "strip_accents": False}
    parts = [normalization(part) for part in normalizer.get("normalizers", [])]
    lowercase = normalizer["type"] == "Lowercase" or bool(normalizer.get("lowercase"))
    accents = normalizer.get("strip_accents")  # BERT's left open: as it lower-cases
    stripped = normalizer["type"] == "StripAccents" or (
        lowercase and "strip_accents" in normalizer if accents is None else bool(accents)
    )
    return {
        "lowercase": lowercase or any(part["lowercase"] for part in parts),
        "strip_accents": stripped or any(part["strip_accents"] for part in parts),
    }


def write_q8(model: Any, tokenizer: Any, folder: Path) -> dict[str, Any]:
    """`write` in Q8_0."""
    return write(model, tokenizer, folder, kind="q8_0")


def write_q4(model: Any, tokenizer: Any, folder: Path) -> dict[str, Any]:
    """`write` in Q4_0."""
    return write(model, tokenizer, folder, kind="q4_0")


EXAMPLE = '''"""Answers texts with llama.cpp:  python example.py {usage}

Needs: pip install llama-cpp-python numpy
"""

import json
import sys
from pathlib import Path

import numpy as np
from llama_cpp import LLAMA_POOLING_TYPE_RANK, Llama

folder = Path(__file__).parent
labels = json.loads((folder / "config.json").read_text(encoding="utf-8"))["id2label"]
model = Llama(
    str(folder / "model.gguf"), embedding=True, pooling_type=LLAMA_POOLING_TYPE_RANK, n_ctx={max_length},
    n_batch={max_length}, n_ubatch={max_length}, verbose=False,
)

{texts}
logits = [np.array(model.embed(text, normalize=False)[: len(labels)]) for text in texts]
{answers}'''
