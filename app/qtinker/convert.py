"""Turns one of Google's BERT checkpoints into an ordinary Hugging Face folder, without TensorFlow and without torch.

Variables keep their values bit for bit (float16 and bfloat16 are widened); kernels are transposed, since TensorFlow
stores [inputs, outputs] and torch [outputs, inputs]. Tensors go from the mapped checkpoint to the file one by one, so
memory stays near the size of what is mapped. The names are those of google-research/bert, modeling.py and
run_classifier.py. `hidden_act` stays what bert_config.json says: "gelu" is the exact one, with which the 2018 weights
were trained.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .errors import CheckpointError
from .model_folder import WEIGHTS, read_json
from .tf_checkpoint import Checkpoint, find_prefix
from .tokenizer_files import PAD, lower_cases, read_vocabulary, write_tokenizer

Progress = Callable[[int, int], None]
_SIZES = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
    "max_position_embeddings", "type_vocab_size",
)  # fmt: skip
_DEFAULTS: dict[str, Any] = {
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "initializer_range": 0.02,
    "type_vocab_size": 16,
    "max_position_embeddings": 512,
}  # fmt: skip  (those of Google's BertConfig)
_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_SHOWN = 5
_ELSEWHERE = "Save the model as a Hugging Face folder with the library that wrote it, and import that."


@dataclass(frozen=True)
class _Tensor:
    """Where one tensor of the result comes from."""

    name: str
    variable: str
    shape: tuple[int, ...]  # of the variable
    transposed: bool = False

    @property
    def final_shape(self) -> tuple[int, ...]:
        return self.shape[::-1] if self.transposed else self.shape


def convert(
    source: str | Path,
    out: str | Path,
    *,
    do_lower_case: bool | None = None,
    labels: list[str] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Convert the checkpoint in `source` (folder, or prefix as `.../bert_model.ckpt`) into the existing folder `out`.

    Beside the checkpoint lie bert_config.json and vocab.txt. What comes out is complete for the heads that are there:
    BertForPreTraining, BertForMaskedLM, BertForSequenceClassification (`labels` names its classes),
    BertForQuestionAnswering or BertModel.

    Args:
        do_lower_case: whether the model ignores case; None: decided by Google's name of the folder, else by vocab.txt.
        progress: is told the bytes of weights that are written, and all that there will be.

    Returns:
        Provenance for qtinker.json: kind, source, architecture, task, max_length, parameters, do_lower_case.

    Raises:
        CheckpointError: something is missing, damaged, or does not fit the config; `out` then holds nothing new.
    """
    prefix, out = find_prefix(Path(source)), Path(out)
    folder = prefix.parent
    config = read_google_config(folder)
    vocabulary = read_vocabulary(folder / "vocab.txt")
    if len(vocabulary) > config["vocab_size"]:
        raise CheckpointError(
            f"{folder / 'vocab.txt'} has {len(vocabulary)} tokens, but the model knows {config['vocab_size']}.",
            "Give the vocab.txt that came with the checkpoint.",
        )
    if do_lower_case is None:
        do_lower_case = lower_cases(vocabulary, folder.name)
    written = [out / name for name in (WEIGHTS, "config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt")]
    fresh = [path for path in written if not path.exists()]
    try:
        with Checkpoint.open(prefix) as checkpoint:
            architecture, tensors = _plan(checkpoint, config)
            classes = next((t.shape[0] for t in tensors if t.name == "classifier.weight"), None)
            names = _class_names(classes, labels)
            _write_safetensors(out / WEIGHTS, tensors, checkpoint, progress)
        full = _hugging_face_config(config, architecture, names, vocabulary.index(PAD))
        (out / "config.json").write_text(json.dumps(full, indent=2) + "\n", encoding="utf-8")
        write_tokenizer(out, vocabulary, do_lower_case=do_lower_case, max_length=config["max_position_embeddings"])
    except BaseException:
        for path in fresh:
            path.unlink(missing_ok=True)
        raise
    return {
        "kind": "finetuned" if names else "pretrained",
        "source": {"kind": "google", "checkpoint": folder.name},
        "architecture": architecture,
        "task": {"type": "classification", "labels": names, "pair": False} if names else None,
        "max_length": config["max_position_embeddings"],
        "parameters": sum(math.prod(tensor.shape) for tensor in tensors),
        "do_lower_case": do_lower_case,
    }


def read_google_config(folder: Path) -> dict[str, Any]:
    """bert_config.json with Google's defaults filled in and every size checked to be a positive whole number.

    Raises:
        CheckpointError: missing, damaged, or with a value that can't be.
    """
    path = folder / "bert_config.json"
    if not path.is_file():
        raise CheckpointError(f"{path} is missing.", "Put the bert_config.json that belongs to the checkpoint there.")
    try:
        config = _DEFAULTS | read_json(path)
    except CheckpointError as error:
        raise CheckpointError(f"{folder}: {error.message}", "Fetch the checkpoint again.") from None
    for key in _SIZES:
        if key not in config:
            raise CheckpointError(
                f"{path} does not say {key}.", "Give the bert_config.json that came with the weights."
            )
        if type(config[key]) is not int or config[key] < 1:
            raise CheckpointError(f"{path}: {key} is {config[key]!r}, not a positive whole number.")
    if config["hidden_size"] % config["num_attention_heads"]:
        raise CheckpointError(
            f"{path}: hidden_size {config['hidden_size']} can't be split among "
            f"{config['num_attention_heads']} attention heads."
        )
    if config["hidden_act"] not in ("gelu", "relu", "tanh"):
        raise CheckpointError(f"{path}: hidden_act {config['hidden_act']!r} is none of gelu, relu, tanh.")
    return config


# --- which variable becomes which tensor ---------------------------------------------------------------------------


def _plan(checkpoint: Checkpoint, config: dict[str, Any]) -> tuple[str, list[_Tensor]]:
    """The architecture, and every tensor that it needs, each found in the checkpoint with the right shape."""
    found = _weights(checkpoint)
    where = checkpoint.prefix
    if _OBJECT_GRAPH in found:
        raise CheckpointError(
            f"{where} is an object-based checkpoint of TensorFlow 2, whose names are not those of Google's BERT.",
            _ELSEWHERE,
        )
    if "bert/embeddings/word_embeddings" not in found:
        shown = ", ".join(sorted(found)[:_SHOWN]) or "nothing"
        raise CheckpointError(
            f"{where} is not a BERT checkpoint of Google's: bert/embeddings/word_embeddings is missing "
            f"(it holds {shown}{', ...' if len(found) > _SHOWN else ''}).",
            _ELSEWHERE,
        )
    architecture, tensors = _expected(set(found), found, config, where)
    for tensor in tensors:
        if tensor.variable not in found:
            raise CheckpointError(f"{where} lacks the variable {tensor.variable}.", "Fetch the checkpoint again.")
        if found[tensor.variable] != tensor.shape:
            raise CheckpointError(
                f"{tensor.variable} in {where} has the shape {list(found[tensor.variable])}; by bert_config.json it "
                f"should be {list(tensor.shape)} ({_reason(tensor, config)}).",
                "Give the bert_config.json that belongs to the checkpoint.",
            )
    if unknown := sorted(set(found) - {tensor.variable for tensor in tensors}):
        shown = ", ".join(unknown[:_SHOWN]) + (f", ... ({len(unknown)})" if len(unknown) > _SHOWN else "")
        deeper = any(name.startswith("bert/encoder/layer_") for name in unknown)
        raise CheckpointError(
            f"{where} holds variables that have no place in the model: {shown}."
            + (f" bert_config.json says num_hidden_layers {config['num_hidden_layers']}." if deeper else ""),
            "Give the bert_config.json that belongs to the checkpoint." if deeper else _ELSEWHERE,
        )
    return architecture, tensors


def _weights(checkpoint: Checkpoint) -> dict[str, tuple[int, ...]]:
    """Without what training leaves: an optimizer's slots, named below their weight, and counters, which are scalars."""
    variables = checkpoint.variables()
    return {
        name: shape for name, (shape, _) in variables.items()
        if name.rpartition("/")[0] not in variables and (shape or name == _OBJECT_GRAPH)
    }  # fmt: skip


def _expected(
    names: set[str], shapes: dict[str, tuple[int, ...]], config: dict[str, Any], where: Path
) -> tuple[str, list[_Tensor]]:
    hidden = config["hidden_size"]
    mlm = any(name.startswith("cls/predictions/") for name in names)
    nsp = any(name.startswith("cls/seq_relationship/") for name in names)
    classifier, squad = (bool(names & {f"{root}output_weights", f"{root}output_bias"}) for root in ("", "cls/squad/"))
    pooler = any(name.startswith("bert/pooler/") for name in names)
    tensors = list(_encoder(config))
    if pooler or nsp or classifier:
        tensors += _dense("bert.pooler.dense", "bert/pooler/dense", hidden, hidden)
    if classifier:
        classes = (shapes.get("output_weights") or shapes.get("output_bias") or (0,))[0]
        tensors += [
            _Tensor("classifier.weight", "output_weights", (classes, hidden)),
            _Tensor("classifier.bias", "output_bias", (classes,)),
        ]
    if squad:
        tensors += [
            _Tensor("qa_outputs.weight", "cls/squad/output_weights", (2, hidden)),
            _Tensor("qa_outputs.bias", "cls/squad/output_bias", (2,)),
        ]
    if mlm:
        tensors += _dense("cls.predictions.transform.dense", "cls/predictions/transform/dense", hidden, hidden)
        tensors += _norm("cls.predictions.transform.LayerNorm", "cls/predictions/transform/LayerNorm", hidden)
        tensors.append(_Tensor("cls.predictions.bias", "cls/predictions/output_bias", (config["vocab_size"],)))
    if nsp:
        tensors += [
            _Tensor("cls.seq_relationship.weight", "cls/seq_relationship/output_weights", (2, hidden)),
            _Tensor("cls.seq_relationship.bias", "cls/seq_relationship/output_bias", (2,)),
        ]
    if classifier and squad:
        raise CheckpointError(
            f"{where} has two heads, output_weights and cls/squad/output_weights: which one is meant?"
        )
    if classifier:
        return "BertForSequenceClassification", tensors
    if squad:
        return "BertForQuestionAnswering", tensors
    if mlm:
        return "BertForPreTraining" if nsp else "BertForMaskedLM", tensors
    return "BertForNextSentencePrediction" if nsp else "BertModel", tensors


def _encoder(config: dict[str, Any]) -> Iterator[_Tensor]:
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    rows = {
        "word": config["vocab_size"],
        "position": config["max_position_embeddings"],
        "token_type": config["type_vocab_size"],
    }
    for kind, count in rows.items():
        variable = f"bert/embeddings/{kind}_embeddings"
        yield _Tensor(f"bert.embeddings.{kind}_embeddings.weight", variable, (count, hidden))
    yield from _norm("bert.embeddings.LayerNorm", "bert/embeddings/LayerNorm", hidden)
    for number in range(config["num_hidden_layers"]):
        ours, theirs = f"bert.encoder.layer.{number}", f"bert/encoder/layer_{number}"
        for part in ("query", "key", "value"):
            yield from _dense(f"{ours}.attention.self.{part}", f"{theirs}/attention/self/{part}", hidden, hidden)
        yield from _dense(f"{ours}.attention.output.dense", f"{theirs}/attention/output/dense", hidden, hidden)
        yield from _norm(f"{ours}.attention.output.LayerNorm", f"{theirs}/attention/output/LayerNorm", hidden)
        yield from _dense(f"{ours}.intermediate.dense", f"{theirs}/intermediate/dense", hidden, inner)
        yield from _dense(f"{ours}.output.dense", f"{theirs}/output/dense", inner, hidden)
        yield from _norm(f"{ours}.output.LayerNorm", f"{theirs}/output/LayerNorm", hidden)


def _dense(name: str, variable: str, inputs: int, outputs: int) -> Iterator[_Tensor]:
    yield _Tensor(f"{name}.weight", f"{variable}/kernel", (inputs, outputs), transposed=True)
    yield _Tensor(f"{name}.bias", f"{variable}/bias", (outputs,))


def _norm(name: str, variable: str, size: int) -> Iterator[_Tensor]:
    yield _Tensor(f"{name}.weight", f"{variable}/gamma", (size,))
    yield _Tensor(f"{name}.bias", f"{variable}/beta", (size,))


def _reason(tensor: _Tensor, config: dict[str, Any]) -> str:
    """The sizes in the config that explain an expected shape: `vocab_size 30522, hidden_size 768`."""
    named = {config[key]: key for key in reversed(_SIZES)}
    return ", ".join(f"{named[size]} {size}" for size in dict.fromkeys(tensor.shape) if size in named) or "fixed"


# --- writing -------------------------------------------------------------------------------------------------------


def _write_safetensors(path: Path, tensors: list[_Tensor], checkpoint: Checkpoint, progress: Progress | None) -> None:
    """Header first, then each tensor straight from the map; never two of them in memory."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    total = 0
    ordered = sorted(tensors, key=lambda tensor: tensor.name)
    for tensor in ordered:
        size = 4 * math.prod(tensor.shape)
        header[tensor.name] = {
            "dtype": "F32", "shape": list(tensor.final_shape), "data_offsets": [total, total + size]
        }  # fmt: skip
        total += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        done = 0
        for tensor in ordered:
            values = checkpoint.read(tensor.variable)
            if values.dtype.kind != "f":
                raise CheckpointError(
                    f"{tensor.variable} in {checkpoint.prefix} holds {values.dtype} values where weights belong."
                )
            file.write(np.ascontiguousarray(values.T if tensor.transposed else values, dtype="<f4").data.cast("B"))
            done += 4 * values.size
            del values
            checkpoint.release()
            if progress is not None:
                progress(done, total)


def _class_names(classes: int | None, labels: list[str] | None) -> list[str] | None:
    """The classes' names; without a classifier there are none."""
    if classes is None:
        return None
    if labels is None:
        return [f"LABEL_{number}" for number in range(classes)]
    if len(labels) != classes:
        raise CheckpointError(f"The classifier has {classes} classes, but {len(labels)} labels were given.")
    return list(labels)


def _hugging_face_config(
    config: dict[str, Any], architecture: str, labels: list[str] | None, pad_token_id: int
) -> dict[str, Any]:
    full = {
        "architectures": [architecture],
        "model_type": "bert",
        **{key: config[key] for key in _SIZES},
        "hidden_act": config["hidden_act"],
        "hidden_dropout_prob": config["hidden_dropout_prob"],
        "attention_probs_dropout_prob": config["attention_probs_dropout_prob"],
        "initializer_range": config["initializer_range"],
        "layer_norm_eps": 1e-12,
        "position_embedding_type": "absolute",
        "pad_token_id": pad_token_id,
        "tie_word_embeddings": True,
        "use_cache": True,
        "dtype": "float32",
    }
    if labels is not None:
        full["id2label"] = {str(number): label for number, label in enumerate(labels)}
        full["label2id"] = {label: number for number, label in enumerate(labels)}
        full["problem_type"] = "single_label_classification"
    return full
