"""A checkpoint of bert-tiny's exact shape with random weights, zipped as Google's storage has it."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1] / "unit"))
from tf_bundle import write_bundle

PATH = "/bert_models/2020_02_20/uncased_L-2_H-128_A-2.zip"
LAYERS, HIDDEN, HEADS, WORDS, POSITIONS = 2, 128, 2, 30_522, 512


def shapes() -> dict[str, tuple[int, ...]]:
    """The variables of a pretraining checkpoint."""

    def dense(name: str, rows: int, columns: int) -> dict[str, tuple[int, ...]]:
        return {f"{name}/kernel": (rows, columns), f"{name}/bias": (columns,)}

    def norm(name: str) -> dict[str, tuple[int, ...]]:
        return {f"{name}/gamma": (HIDDEN,), f"{name}/beta": (HIDDEN,)}

    start = "bert/embeddings/"
    found = {
        f"{start}word_embeddings": (WORDS, HIDDEN), f"{start}position_embeddings": (POSITIONS, HIDDEN),
        f"{start}token_type_embeddings": (2, HIDDEN), **norm(f"{start}LayerNorm"),
        **dense("bert/pooler/dense", HIDDEN, HIDDEN), "cls/predictions/output_bias": (WORDS,),
        **dense("cls/predictions/transform/dense", HIDDEN, HIDDEN), **norm("cls/predictions/transform/LayerNorm"),
        "cls/seq_relationship/output_weights": (2, HIDDEN), "cls/seq_relationship/output_bias": (2,),
    }  # fmt: skip
    for layer in range(LAYERS):
        inside = f"bert/encoder/layer_{layer}/"
        for part in ("query", "key", "value"):
            found |= dense(f"{inside}attention/self/{part}", HIDDEN, HIDDEN)
        found |= dense(f"{inside}attention/output/dense", HIDDEN, HIDDEN) | norm(f"{inside}attention/output/LayerNorm")
        found |= dense(f"{inside}intermediate/dense", HIDDEN, 4 * HIDDEN) | norm(f"{inside}output/LayerNorm")
        found |= dense(f"{inside}output/dense", 4 * HIDDEN, HIDDEN)
    return found


def bert_tiny_zip(folder: Path) -> bytes:
    """The zip's bytes; `folder` is for what is made on the way."""
    random = np.random.default_rng(0)
    weights = {name: random.normal(0, 0.02, shape).astype(np.float32) for name, shape in shapes().items()}
    write_bundle(folder / "bert_model.ckpt", weights)
    config = {
        "hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "vocab_size": WORDS,
        "intermediate_size": 4 * HIDDEN, "max_position_embeddings": POSITIONS, "type_vocab_size": 2,
        "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
        "initializer_range": 0.02,
    }  # fmt: skip
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [*special, *(f"word{number}" for number in range(WORDS - len(special)))]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as zipped:
        for path in sorted(folder.glob("bert_model.ckpt.*")):
            zipped.write(path, path.name)
        zipped.writestr("bert_config.json", json.dumps(config))
        zipped.writestr("vocab.txt", "".join(f"{word}\n" for word in words))
    return packed.getvalue()
