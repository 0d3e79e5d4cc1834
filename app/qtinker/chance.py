"""What a model scores that has learned nothing, and whether another is clearly better. Torch-free."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from .data.examples import Examples

_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[\u3002\uff01\uff1f])")


def baseline(task: Any, held: Examples, metric: str) -> float | None:
    """The score of a model that answers the same always, the commonest; None for metrics where that says little.

    No correlation with anything for numbers, no name found for tags; for several labels an example the best of so many
    of the commonest; for questions the best of no answer, the context's first sentence and all of it.

    Args:
        task: `tasks.Task`.
    """
    if not held.labelled.any():
        return None
    if task.type == "regression" or (task.type == "token-classification" and metric != "accuracy"):
        return 0.0
    if task.type == "classification":
        counts = np.bincount(held.labels[held.labelled], minlength=len(task.labels))
        same = np.zeros((len(held), len(task.labels)), np.float32)
        same[:, int(counts.argmax())] = 1.0
        return float(task.metrics(same, held.labels)[metric])
    if task.type == "multi-label":
        return _commonest_labels(held.labels, metric)
    if task.type == "question-answering" and held.pairs is not None and held.answers is not None:
        known = np.flatnonzero(held.labelled)
        contexts, right = [held.pairs[int(n)] for n in known], [held.answers[int(n)] for n in known]
        sentences = [_SENTENCE.split(context, maxsplit=1)[0] for context in contexts]
        every = ([""] * len(contexts), sentences, contexts)
        return float(max(task.metrics(each, right)[metric] for each in every))
    return None


def _commonest_labels(labels: np.ndarray, metric: str) -> float:
    """The best that `tasks.MultiLabel.metrics` gives for so many of the commonest labels (or none), said of every one.

    Each label adds to the sums of those before it, so all C numbers of labels take no longer than one.

    Args:
        labels: float32 [N, C] of 0 and 1, rows of NaN where missing.
    """
    order = np.argsort(-np.nansum(labels, axis=0), kind="stable")
    truth = labels[~np.isnan(labels).any(axis=1)][:, order] > 0.5
    count, right = len(truth), truth.sum(0)
    if metric == "subset_accuracy":
        wanted = truth.sum(1)  # all right where these are the first ones
        first = truth[:, ::-1].argmax(1) == len(order) - wanted
        scores = np.bincount(wanted[first | (wanted == 0)], minlength=len(order) + 1) / count  # none too
    elif metric == "macro_f1":
        scores = np.cumsum(2 * right / (count + right)) / len(order)
    else:
        said = count * np.arange(1, len(order) + 1)
        scores = 2 * np.cumsum(right) / (said + right.sum())
    return float(scores.max())


def commonest_token(tokens: np.ndarray, special: Sequence[int]) -> float | None:
    """The share of the commonest token of a text, special ones aside: what guessing it always would find of hidden
    ones. None for no text.

    Args:
        tokens: int [N], the text's tokens.
    """
    counts = np.bincount(tokens)
    counts[[each for each in special if each < len(counts)]] = 0
    return float(counts.max() / counts.sum()) if counts.sum() else None


def at_chance(score: float, base: float | None, count: int, *, kind: str = "classification") -> bool:
    """Whether a score on so many examples is not clearly above the baseline: by two standard errors of it.

    Args:
        kind: the task's type; of tags any name that is found shows that something was learned.
    """
    if base is None:
        return False
    if kind == "token-classification":
        return score <= base
    share = min(max(base, 0.0), 1.0)
    spread = 1.0 if kind == "regression" else share * (1 - share)  # of a correlation that is none: 1 / sqrt(count)
    return score <= base + 2 * math.sqrt(spread / max(count, 1))


def warning(who: str, score: float, base: float, metric: str) -> str:
    """The sentence about a model that is at chance."""
    better = "no better" if score <= base else "not clearly better"
    return (
        f"{who} ({metric.replace('_', '-')} {score:.4f}) is {better} than giving the same answer always ({base:.4f}): "
        "it has learned too little."
    )
