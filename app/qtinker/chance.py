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
        order = np.argsort(-np.nansum(held.labels, axis=0), kind="stable")
        answers = (np.isin(np.arange(len(order)), order[:kept]) for kept in range(1, len(order) + 1))
        return float(max(task.metrics(np.tile(each, (len(held), 1)), held.labels)[metric] for each in answers))
    if task.type == "question-answering" and held.pairs is not None and held.answers is not None:
        known = np.flatnonzero(held.labelled)
        contexts, right = [held.pairs[int(n)] for n in known], [held.answers[int(n)] for n in known]
        sentences = [_SENTENCE.split(context, maxsplit=1)[0] for context in contexts]
        every = ([""] * len(contexts), sentences, contexts)
        return float(max(task.metrics(each, right)[metric] for each in every))
    return None


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
    spread = share * (1 - share) if share > 0 else 1.0  # of a correlation that is none: 1 / sqrt(count)
    return score <= base + 2 * math.sqrt(spread / max(count, 1))


def warning(who: str, score: float, base: float, metric: str) -> str:
    """The sentence about a model that is at chance."""
    better = "no better" if score <= base else "not clearly better"
    return (
        f"{who} ({metric.replace('_', '-')} {score:.4f}) is {better} than giving the same answer always ({base:.4f}): "
        "it has learned too little."
    )
