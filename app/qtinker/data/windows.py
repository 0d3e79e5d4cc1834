"""Answers in long contexts: where each window of a context has them, and which are whole in none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .examples import NO_LABEL, Examples

if TYPE_CHECKING:
    from .tokens import Encoded


def window_labels(examples: Examples, encoded: Encoded) -> np.ndarray:
    """Where each window's answer begins and ends, in tokens, int64 [N, 2]; (0, 0), the [CLS], where it is not whole in
    the window.

    An answer that is whole in none of its windows would teach that there is none: these have no label (-100).
    """
    labels = np.zeros((len(encoded), 2), np.int64)
    owners = np.asarray(encoded.extras["example"])
    edges = _edges(encoded, owners)
    for number, example in enumerate(owners):
        begin, end = (int(value) for value in examples.labels[example])
        if begin == NO_LABEL:
            labels[number] = NO_LABEL
            continue
        where = slice(int(encoded.offsets[number]), int(encoded.offsets[number + 1]))
        starts, ends = np.asarray(encoded.extras["char_starts"][where]), np.asarray(encoded.extras["char_ends"][where])
        inside = starts >= 0
        if end > begin:  # spaces and signs at the ends of a context are in no token
            begin, end = max(begin, edges[example][0]), min(end, edges[example][1])
        if end <= begin or not inside.any() or starts[inside].min() > begin or ends[inside].max() < end:
            continue
        first = np.flatnonzero(inside & (ends > begin))
        last = np.flatnonzero(inside & (starts < end))
        if len(first) and len(last) and first[0] <= last[-1]:
            labels[number] = first[0], last[-1]
    labels[np.isin(owners, _lost(examples, owners, labels))] = NO_LABEL
    return labels


def lost_answers(examples: Examples, encoded: Encoded) -> int:
    """How many answers are whole in none of their windows."""
    return len(_lost(examples, np.asarray(encoded.extras["example"]), encoded.labels))


def _lost(examples: Examples, owners: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Numbers of the examples that have an answer, and no window with it."""
    places = np.asarray(examples.labels)
    return np.setdiff1d(np.flatnonzero(places[:, 1] > places[:, 0]), owners[labels[:, 1] > 0])


def _edges(encoded: Encoded, owners: np.ndarray) -> dict[int, tuple[int, int]]:
    """Where the first token of each example's context begins and the last one ends, in characters."""
    found: dict[int, tuple[int, int]] = {}
    for number, example in enumerate(owners.tolist()):
        where = slice(int(encoded.offsets[number]), int(encoded.offsets[number + 1]))
        starts, ends = np.asarray(encoded.extras["char_starts"][where]), np.asarray(encoded.extras["char_ends"][where])
        if (inside := starts >= 0).any():
            first, last = found.get(example, (int(starts[inside].min()), 0))
            found[example] = min(first, int(starts[inside].min())), max(last, int(ends[inside].max()))
        else:
            found.setdefault(example, (0, 0))
    return found
