"""Tables and text to token batches; the bundled sample."""

from __future__ import annotations

from .examples import NO_LABEL, Examples, Ragged, TextColumn, join_words, joined
from .loading import Dataset, load, load_eval
from .report import DataReport, inspect
from .tokens import Encoded, budget_batches, collate, encode, epoch_batches, padding_waste, tokenizer_key

__all__ = [
    "NO_LABEL",
    "DataReport",
    "Dataset",
    "Encoded",
    "Examples",
    "Ragged",
    "TextColumn",
    "budget_batches",
    "collate",
    "encode",
    "epoch_batches",
    "inspect",
    "join_words",
    "joined",
    "load",
    "load_eval",
    "padding_waste",
    "tokenizer_key",
]
