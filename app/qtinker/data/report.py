"""What training would see: columns, rows, class balance, lengths, examples. What `data FILE` prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..spec import DataSpec
from .examples import Examples, Ragged, word_count, words_in
from .loading import label_counts, load_examples
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
    scores: dict[str, float] | None = None
    """Of labels that are numbers: least, mean, greatest."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def inspect(
    spec: DataSpec,
    tokenizer: PreTrainedTokenizerBase | None = None,
    *,
    seed: int = 42,
    labels: Sequence[str] | None = None,
    task: str = "auto",
    shown: int = 5,
) -> DataReport:
    """Read the data as training would and describe it.

    Args:
        tokenizer: lengths are counted in its tokens; left out, in words.
        task: auto, or a task type.
        seed: as in training; decides the split and which examples are shown.
        shown: how many examples to show, of different classes as far as possible.

    Raises:
        InputError: as `data.load`.
    """
    loaded = load_examples(spec, seed=seed, labels=labels, task=task, preview=True)
    train, held, names = loaded.train, loaded.eval, loaded.labels
    counts = zip(names, label_counts(train, names), label_counts(held, names), strict=True)
    findings = list(loaded.findings)
    if loaded.columns.label is None and loaded.task_type != "masked-lm":
        findings.append("no labels: these rows can learn from a trained teacher, or as text (--task masked-lm)")
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
        classes=[ClassBalance(name, int(a), int(b)) for name, a, b in counts],
        lengths=_lengths(train, tokenizer, spec.max_length),
        examples=_examples(train, names, shown, seed),
        findings=findings,
        warnings=loaded.warnings,
        available_columns=list(loaded.columns.available),
        scores=_scores(train),
    )  # fmt: skip


def _scores(examples: Examples) -> dict[str, float] | None:
    """Where labels are numbers: the least, the mean, the greatest."""
    if not isinstance(examples.labels, np.ndarray) or examples.labels.dtype.kind != "f" or examples.labels.ndim != 1:
        return None
    known = examples.labels[examples.labelled].astype(np.float64)
    if not len(known):
        return None
    return {"least": float(known.min()), "mean": float(known.mean()), "greatest": float(known.max())}


def _lengths(examples: Examples, tokenizer: PreTrainedTokenizerBase | None, max_length: int) -> Lengths:
    if tokenizer is None:
        count = words_in if examples.form == "words" else word_count
        lengths = np.fromiter(map(count, examples.texts), np.int64, len(examples))
        if examples.pairs is not None:
            lengths += np.fromiter(map(word_count, examples.pairs), np.int64, len(examples))
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
    if not len(examples):
        return []
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(examples))
    labels = examples.labels
    if isinstance(labels, np.ndarray) and labels.ndim == 1 and labels.dtype.kind != "f" and len(names):
        groups = labels[order]
        _, rank = np.unique(groups, return_inverse=True)
        turn = np.zeros(len(order), np.int64)
        for value in range(int(rank.max(initial=0)) + 1):
            turn[rank == value] = np.arange(int((rank == value).sum()))
        order = order[np.lexsort((rank, turn))]
    return [
        {
            "text": examples.texts[i],
            "text_pair": None if examples.pairs is None else examples.pairs[i],
            "label": label_words(examples, int(i), names),
        }
        for i in order[:count]
    ]


def label_words(examples: Examples, number: int, names: Sequence[str]) -> str | None:
    """An example's label in words, whatever the task; None where it has none."""
    if not examples.labelled[number] or examples.form == "blocks":
        return None
    labels = examples.labels
    if examples.form == "spans":
        return (examples.answers[number][0] if examples.answers else "") or "(no answer)"
    if isinstance(labels, Ragged):
        words = examples.texts[number].split(" ")
        tagged = [
            f"{word}={names[tag]}" for word, tag in zip(words, labels[number], strict=True)
            if tag >= 0 and names[tag] != "O"
        ]  # fmt: skip
        return ", ".join(tagged) or "O"
    if labels.ndim == 2:
        return ", ".join(name for name, on in zip(names, labels[number], strict=True) if on) or "(none)"
    return f"{labels[number]:g}" if labels.dtype.kind == "f" else names[labels[number]]
