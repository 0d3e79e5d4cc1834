"""What training would see: columns, rows, class balance, lengths, examples. What `data FILE` prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..spec import DataSpec
from .examples import Examples
from .loading import load_examples
from .tokens import encode

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PERCENTILES = (5, 25, 50, 75, 95, 99, 100)


@dataclass
class ClassBalance:
    """How often one class occurs."""

    label: str
    train: int
    eval: int


@dataclass
class Lengths:
    """Percentiles of the lengths of training examples; `unit` is tokens (special ones included) or words.

    `histogram` holds [greatest length, examples] of up to 24 bins of equal width.
    """

    unit: str
    percentiles: dict[str, int]
    mean: float
    cut: int | None = None
    max_length: int | None = None
    histogram: list[list[int]] = field(default_factory=list)


@dataclass
class DataReport:
    """Everything `data FILE` shows; plain data."""

    source: str
    task: str
    pair: bool
    columns: dict[str, str | None]
    rows: int
    dropped: int
    train: int
    eval: int
    unlabelled: int
    classes: list[ClassBalance]
    lengths: Lengths
    examples: list[dict[str, Any]]
    findings: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    available_columns: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def inspect(
    spec: DataSpec,
    tokenizer: PreTrainedTokenizerBase | None = None,
    *,
    seed: int = 42,
    labels: Sequence[str] | None = None,
    shown: int = 5,
) -> DataReport:
    """Read the data as training would and describe it.

    Args:
        tokenizer: lengths are counted in its tokens; left out, in words.
        seed: as in training; decides the split and which examples are shown.
        shown: how many examples to show, of different classes as far as possible.

    Raises:
        InputError: as `data.load`.
    """
    loaded = load_examples(spec, seed=seed, labels=labels)
    train, held, names = loaded.train, loaded.eval, loaded.labels
    in_train = np.bincount(train.labels[train.labelled], minlength=len(names))
    in_eval = np.bincount(held.labels[held.labelled], minlength=len(names))
    return DataReport(
        source=spec.train,
        task=loaded.task_type,
        pair=train.pairs is not None,
        columns={"text": loaded.columns.text, "text_pair": loaded.columns.pair, "label": loaded.columns.label},
        rows=loaded.rows,
        dropped=loaded.dropped,
        train=len(train),
        eval=len(held),
        unlabelled=int((~train.labelled).sum()),
        classes=[
            ClassBalance(name, int(a), int(b)) for name, a, b in zip(names, in_train, in_eval, strict=True)
        ],
        lengths=_lengths(train, tokenizer, spec.max_length),
        examples=_examples(train, names, shown, seed),
        findings=loaded.findings,
        warnings=loaded.warnings,
        available_columns=list(loaded.columns.available),
    )  # fmt: skip


def _lengths(examples: Examples, tokenizer: PreTrainedTokenizerBase | None, max_length: int) -> Lengths:
    if tokenizer is None:
        lengths = np.fromiter((len(text.split()) for text in examples.texts), np.int64, len(examples))
        if examples.pairs is not None:
            lengths += np.fromiter((len(text.split()) for text in examples.pairs), np.int64, len(examples))
        return Lengths("words", _percentiles(lengths), round(float(lengths.mean()), 1), histogram=_histogram(lengths))
    encoded = encode(examples, tokenizer, max_length)
    return Lengths(
        "tokens",
        _percentiles(encoded.lengths),
        round(float(encoded.lengths.mean()), 1),
        encoded.truncated,
        max_length,
        _histogram(encoded.lengths),
    )


def _percentiles(lengths: np.ndarray) -> dict[str, int]:
    found = np.percentile(lengths, _PERCENTILES, method="inverted_cdf").astype(int)
    return {f"p{name}" if name < 100 else "max": int(value) for name, value in zip(_PERCENTILES, found, strict=True)}


def _histogram(lengths: np.ndarray, bins: int = 24) -> list[list[int]]:
    """[greatest length, examples] of bins of equal width from 0 on."""
    width = max(1, -(-int(lengths.max(initial=1)) // bins))
    counts = np.bincount((np.maximum(lengths, 1) - 1) // width)
    return [[(place + 1) * width, int(count)] for place, count in enumerate(counts)]


def _examples(examples: Examples, names: Sequence[str], count: int, seed: int) -> list[dict[str, Any]]:
    """A few examples, a class at a time."""
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(examples))
    labels = examples.labels[order]
    _, rank = np.unique(labels, return_inverse=True)
    turn = np.zeros(len(order), np.int64)
    for value in range(int(rank.max(initial=0)) + 1):
        turn[rank == value] = np.arange(int((rank == value).sum()))
    chosen = order[np.lexsort((rank, turn))][:count]
    return [
        {
            "text": examples.texts[i],
            "text_pair": None if examples.pairs is None else examples.pairs[i],
            "label": names[examples.labels[i]] if examples.labels[i] >= 0 else None,
        }
        for i in chosen
    ]
