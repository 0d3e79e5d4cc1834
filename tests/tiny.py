"""Tiny random models, a tiny tokenizer and tiny data, for tests that need the real thing in small."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
import transformers
from qtinker.checkpoint import Loaded
from qtinker.data import Examples, encode
from qtinker.tasks import SequenceClassification

ROOT = Path(__file__).resolve().parents[1]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [
    *["good", "great", "fine", "bad", "awful", "poor"],
    *["the", "a", "movie", "film", "was", "is", "very", "not", "quite", "plot", "actor", "scene", "and", "but"],
]
LABELS = ("bad", "good")


def tokenizer(words: list[str] = WORDS, kind: str = "BertTokenizer") -> Any:
    vocab = {word: number for number, word in enumerate([*SPECIAL, *words])}
    return getattr(transformers, kind)(vocab=vocab)


def byte_level(words: list[str] = WORDS) -> Any:
    """A tokenizer as GPT-2's: tokens of bytes, which hold the space before their word."""
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE())
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=600, special_tokens=["<|endoftext|>"], show_progress=False,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    bpe.train_from_iterator([" ".join(words)] * 3, trainer)
    end = "<|endoftext|>"
    return transformers.PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=end, pad_token=end)


def task(labels: tuple[str, ...] = LABELS) -> SequenceClassification:
    return SequenceClassification(labels)


def bert(
    layers: int = 2, hidden: int = 32, heads: int = 4, *, seed: int = 0, dropout: float = 0.1, labels=LABELS,
    words: list[str] = WORDS, kind: str = "Bert",
) -> Loaded:  # fmt: skip
    """A random classification model of a family, with the tiny tokenizer."""
    tok = tokenizer(words)
    common = {"vocab_size": len(tok), "pad_token_id": tok.pad_token_id, **task(labels).head_config()}
    if kind == "DistilBert":
        shape = {"dim": hidden, "n_layers": layers, "n_heads": heads, "hidden_dim": 2 * hidden,
                 "dropout": dropout, "attention_dropout": dropout, "max_position_embeddings": 64}  # fmt: skip
    elif kind == "GPT2":
        shape = {"n_embd": hidden, "n_layer": layers, "n_head": heads, "n_positions": 64,
                 "bos_token_id": 1, "eos_token_id": 1}  # fmt: skip
    else:
        shape = {"hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
                 "intermediate_size": 2 * hidden, "hidden_dropout_prob": dropout,
                 "attention_probs_dropout_prob": dropout, "max_position_embeddings": 64}  # fmt: skip
    if kind == "Albert":
        shape |= {"embedding_size": 16}
    if kind == "MobileBert":
        shape |= {"embedding_size": 16, "intra_bottleneck_size": 16}
    torch.manual_seed(seed)
    config = getattr(transformers, f"{kind}Config")(**common, **shape)
    model = getattr(transformers, f"{kind}ForSequenceClassification")(config).eval()
    return Loaded(model, tok, {"name": f"tiny-{kind.lower()}-{layers}"}, None)


def examples(count: int = 24, *, seed: int = 0, unlabelled: int = 0) -> Examples:
    """Sentences of uneven length whose label is the sign of their words; the first `unlabelled` have none."""
    generator = random.Random(seed)
    texts, labels = [], []
    for _ in range(count):
        label = generator.randrange(2)
        words = [generator.choice(WORDS[6:]) for _ in range(generator.randrange(1, 9))]
        words.insert(generator.randrange(len(words) + 1), generator.choice(WORDS[:3] if label else WORDS[3:6]))
        texts.append(" ".join(words))
        labels.append(label)
    labels[:unlabelled] = [-100] * unlabelled
    return Examples(texts, None, np.asarray(labels, np.int64))


def encoded(count: int = 24, *, loaded: Loaded | None = None, seed: int = 0, unlabelled: int = 0) -> Any:
    tok = loaded.tokenizer if loaded else tokenizer()
    return encode(examples(count, seed=seed, unlabelled=unlabelled), tok, 32, cache=False)


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
