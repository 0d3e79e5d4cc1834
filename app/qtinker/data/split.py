"""Splits examples into training and evaluation: by class, by seed, equal texts on one side."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from .examples import NO_LABEL


def text_keys(texts: Sequence[str], pairs: Sequence[str] | None) -> np.ndarray:
    """int64 [N]: equal numbers for equal inputs; case and spacing aside. Numbered by first occurrence."""
    hashes = text_hashes(texts, pairs)
    _, first, which = np.unique(hashes, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[which]


def text_hashes(texts: Sequence[str], pairs: Sequence[str] | None) -> np.ndarray:
    """int64 [N]: equal for equal inputs, case and spacing aside; eight bytes each instead of the texts themselves."""
    both = texts if pairs is None else map("\0".join, zip(texts, pairs, strict=True))
    return np.fromiter((_hash(text) for text in both), np.int64, len(texts))


def _hash(text: str) -> int:
    plain = " ".join(text.casefold().split()).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(plain, digest_size=8).digest(), "little", signed=True)


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
