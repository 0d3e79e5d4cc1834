"""Answers about tokens, told in another tokenizer's tokens: by words, or by characters.

A teacher that cuts a text in its own way answers at its own tokens. For a label a word its answer is taken from the
first token of the word and stands at the student's first token of it. For the place of an answer in a context, the
probability that it begins (ends) at a token goes to the student's token that holds the same first (last) character; a
token of the teacher that has none, such as one outside the student's window, counts for [CLS], as a wrong window does.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..data import Encoded

NEVER = -1e4
"""The logit of a token that cannot be it: its probability is 0 at every temperature."""


class Aligned:
    """Between the teacher's and the student's tokens of the same examples, in the form words or spans.

    Args:
        teacher: the examples in the teacher's tokens.
        student: the same in the student's.
    """

    def __init__(self, teacher: Encoded, student: Encoded) -> None:
        self.teacher, self.student = teacher, student

    def own(self, indices: np.ndarray) -> np.ndarray:
        """Which of the teacher's rows to ask for the student's rows `indices`; int64, as many.

        They are the same for sentences. Of a context's windows, the teacher's that shares most characters with it.
        """
        if self.teacher.form != "spans":
            return indices
        owners = np.asarray(self.teacher.extras["example"])
        asked = np.asarray(self.student.extras["example"])[indices]
        first, last = np.searchsorted(owners, asked, "left"), np.searchsorted(owners, asked, "right")
        found = first.copy()
        for place in np.flatnonzero(last - first > 1):
            begin, end = _reach(self.student, int(indices[place]))
            reaches = [_reach(self.teacher, int(row)) for row in range(first[place], last[place])]
            shared = [min(end, its_end) - max(begin, its_begin) for its_begin, its_end in reaches]
            found[place] += int(np.argmax(shared))
        return found

    def answers(
        self, logits: Tensor, own: np.ndarray, indices: np.ndarray, length: int
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        """The teacher's answers at the student's tokens.

        Args:
            logits: (B, its tokens, C), to the teacher's rows `own`.
            indices: the student's rows.
            length: of the student's padded batch.

        Returns:
            (B, length, C); and for words (B, length), 1 where the teacher has an answer: not where its text was cut.
        """
        if self.teacher.form == "spans":
            return self._spans(logits, own, indices, length), None
        return self._words(logits, own, indices, length)

    def _words(self, logits: Tensor, own: np.ndarray, indices: np.ndarray, length: int) -> tuple[Tensor, Tensor]:
        source = np.full((len(indices), length), -1, np.int64)
        for place, (its, mine) in enumerate(zip(own, indices, strict=True)):
            there, here = _of(self.teacher, "word_ids", its), _of(self.student, "word_ids", mine)
            at = np.full(max(there.max(initial=-1), here.max(initial=-1)) + 1, -1, np.int64)
            at[there[there >= 0]] = np.flatnonzero(there >= 0)
            source[place, : len(here)][here >= 0] = at[here[here >= 0]]
        taken = torch.from_numpy(source).to(logits.device)
        rows = torch.arange(len(indices), device=logits.device)[:, None]
        return logits[rows, taken.clamp(min=0)], (taken >= 0).long()

    def _spans(self, logits: Tensor, own: np.ndarray, indices: np.ndarray, length: int) -> Tensor:
        batch, its_length, _ = logits.shape
        target = np.full((batch, its_length, 2), length, np.int64)  # one place more, for padding
        for place, (its, mine) in enumerate(zip(own, indices, strict=True)):
            starts, ends = _of(self.teacher, "char_starts", its), _of(self.teacher, "char_ends", its)
            here = _of(self.student, "char_starts", mine), _of(self.student, "char_ends", mine)
            target[place, : len(starts), 0] = _holding(starts, *here)
            target[place, : len(starts), 1] = _holding(np.where(starts >= 0, ends - 1, -1), *here)
        into = torch.from_numpy(target).to(logits.device)
        most = torch.full((batch, length + 1, 2), NEVER, dtype=logits.dtype, device=logits.device)
        most = most.scatter_reduce(1, into, logits, "amax")
        sums = torch.zeros_like(most).scatter_add(1, into, (logits - most.gather(1, into)).exp())
        return (most + sums.clamp(min=torch.finfo(sums.dtype).tiny).log()).clamp(min=NEVER)[:, :length]


def _of(encoded: Encoded, name: str, row: int) -> np.ndarray:
    return np.asarray(encoded.extras[name][int(encoded.offsets[row]) : int(encoded.offsets[row + 1])])


def _reach(encoded: Encoded, row: int) -> tuple[int, int]:
    """First character and end of a window's part of the context."""
    starts, ends = _of(encoded, "char_starts", row), _of(encoded, "char_ends", row)
    inside = starts >= 0
    return (int(starts[inside].min()), int(ends[inside].max())) if inside.any() else (0, 0)


def _holding(characters: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """The token that holds each character, given where tokens start and end (-1 outside the context); 0 if none."""
    inside = np.flatnonzero(starts >= 0)
    if not len(inside):
        return np.zeros(len(characters), np.int64)
    before = np.searchsorted(starts[inside], characters, "right") - 1
    token = inside[before.clip(min=0)]
    return np.where((characters >= 0) & (before >= 0) & (characters < ends[token]), token, 0)
