"""Splits examples into training and evaluation: by class, by seed, equal texts on one side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .examples import NO_LABEL


def text_keys(texts: Sequence[str], pairs: Sequence[str] | None) -> np.ndarray:
    """int64 [N]: equal numbers for equal inputs; case and spacing aside."""
    seen: dict[str, int] = {}
    seconds: Sequence[str] | None = pairs
    out = np.empty(len(texts), np.int64)
    for number, text in enumerate(texts if seconds is None else map("\0".join, zip(texts, seconds, strict=True))):
        out[number] = seen.setdefault(" ".join(text.casefold().split()), len(seen))
    return out


def stratified_split(
    labels: np.ndarray, keys: np.ndarray, fraction: float, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split N examples in two.

    Examples with equal keys stay together. Of each class about `fraction` goes to the second part, and at least one
    distinct text to each part where the class has two. Examples without a label go to the first part (with a labelled
    twin: where that goes).

    Args:
        labels: int64 [N], -100 where missing.
        keys: int64 [N], from `text_keys`.
        fraction: share of the second part, 0 to 1.

    Returns:
        Two sorted int64 arrays of example numbers, together each of them once.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    count = int(keys.max()) + 1 if len(keys) else 0
    group_label = np.full(count, NO_LABEL, np.int64)
    labelled = np.flatnonzero(labels != NO_LABEL)[::-1]
    group_label[keys[labelled]] = labels[labelled]  # reversed: the first label of a text decides
    held_out = np.zeros(count, bool)
    for label in np.unique(group_label[group_label != NO_LABEL]):
        groups = np.flatnonzero(group_label == label)
        share = min(max(round(len(groups) * fraction), 1), len(groups) - 1)
        held_out[random.permutation(groups)[:share]] = True
    second = held_out[keys] if count else np.zeros(0, bool)
    return np.flatnonzero(~second), np.flatnonzero(second)


def stratified_sample(labels: np.ndarray, count: int, *, seed: int) -> np.ndarray:
    """`count` of N example numbers, sorted; each class in its share, and at least once where `count` allows."""
    if count >= len(labels):
        return np.arange(len(labels))
    random = np.random.Generator(np.random.PCG64(seed))
    order = random.permutation(len(labels))
    # Rank each example within its class; taking by relative rank keeps the shares, and the firsts come first.
    rank = np.empty(len(labels), np.float64)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        rank[members] = (np.arange(len(members)) + (0.5 if label == NO_LABEL else 0.0)) / len(members)
    by_rank = order[np.argsort(rank[order], kind="stable")]
    return np.sort(by_rank[:count])
