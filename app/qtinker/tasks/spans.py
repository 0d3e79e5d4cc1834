"""Extractive question answering: where in a context the answer to a question stands."""

from __future__ import annotations

import dataclasses
import re
import string
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from ..checkpoint import PADDED
from ..data import Encoded, Examples
from ..distill import losses
from .base import Task, array, no_examples
from .classification import weighted_cross_entropy

LONGEST = 30
"""Tokens of an answer, as in BERT's own script."""
BEST = 20
"""So many starts and ends are combined."""


@dataclass(frozen=True)
class QuestionAnswering(Task):
    """Start and end of an answer in a context. Logits [B, L, 2], labels int64 [B, 2], -100 where missing.

    A window that does not hold the whole answer has its start and end at [CLS] (Devlin et al. 2019, section 4.3).
    """

    unanswerable: bool = False
    """Whether a question may have no answer in its context, as in SQuAD 2.0."""

    type: ClassVar[str] = "question-answering"
    batch_size: ClassVar[int] = 32
    options: ClassVar[tuple[str, ...]] = ("unanswerable",)

    @property
    def num_outputs(self) -> int:
        """A start and an end."""
        return 2

    def head_config(self) -> dict[str, Any]:
        """Two outputs without names."""
        return {"num_labels": 2}

    def hard_loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Cross-entropy over the tokens, mean over starts and ends of the labelled windows."""
        return weighted_cross_entropy(logits.transpose(1, 2), labels, ())

    def soft_loss(
        self,
        student_logits: torch.Tensor,
        teacher_logits: torch.Tensor,
        temperature: float,
        *,
        attention_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """`T^2 * KL` over the tokens, mean of starts and ends, mean over windows."""
        student, teacher = (each.transpose(1, 2).flatten(0, 1) for each in (student_logits, teacher_logits))
        return losses.soft_target_kl(student, teacher, temperature=temperature)

    def average(self, answers: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
        """Of the averaged probabilities of the places: where one teacher sees no answer, the others' count."""
        return (answers.log_softmax(-2) + shares.log()).logsumexp(0).clamp(min=PADDED)

    def rows(self, logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
        """Logits of starts and ends of each window, [B, 2, L]; NaN where no answer can be."""
        mask = batch["answer_mask"].bool().to(logits.device)
        masked = logits.float().masked_fill(~mask[..., None], torch.nan)
        return array(masked.transpose(1, 2)), np.ones(len(logits), np.int64)

    def settle(self, rows: np.ndarray, counts: np.ndarray, encoded: Encoded, examples: Examples) -> np.ndarray:
        """Of each example: first character, end and score of the best answer, float64 [N, 3]; (0, 0) for none."""
        answers = np.full((len(examples), 3), -np.inf)
        answers[:, :2] = 0
        empty = np.full(len(examples), np.inf)
        for window, example in enumerate(np.asarray(encoded.extras["example"])):
            where = slice(int(encoded.offsets[window]), int(encoded.offsets[window + 1]))
            starts = np.asarray(encoded.extras["char_starts"][where])
            ends = np.asarray(encoded.extras["char_ends"][where])
            first, last = rows[window][:, : len(starts)].astype(np.float64)
            empty[example] = min(empty[example], first[0] + last[0])
            first, last = np.where(starts >= 0, first, -np.inf), np.where(starts >= 0, last, -np.inf)
            best = [np.argsort(-each, kind="stable")[:BEST] for each in (first, last)]
            sums = first[best[0]][:, None] + last[best[1]][None, :]
            length = best[1][None, :] - best[0][:, None]
            sums[(length < 0) | (length >= LONGEST)] = -np.inf
            row, column = np.unravel_index(int(sums.argmax()), sums.shape)
            if sums[row, column] > answers[example, 2]:
                answers[example] = starts[best[0][row]], ends[best[1][column]], sums[row, column]
        none = np.isneginf(answers[:, 2])  # a context without a token
        answers[none, 2] = empty[none]
        if self.unanswerable:
            answers[empty > answers[:, 2], :2] = 0
        return answers

    def score(self, answers: np.ndarray, examples: Examples) -> dict[str, float]:
        """Exact match and F1 of the answers' texts, as SQuAD's script, from 0 to 1."""
        known = np.flatnonzero(examples.labelled)
        if examples.answers is None or not len(known) or examples.pairs is None:
            raise no_examples()
        given = [examples.pairs[int(i)][int(answers[i, 0]) : int(answers[i, 1])] for i in known]
        return self.metrics(given, [examples.answers[i] for i in known])

    def labels_from(self, answers: np.ndarray, examples: Examples) -> Examples:
        """Where each answer begins and ends, and its text as the one that counts as right."""
        assert examples.pairs is not None
        places = answers[:, :2].astype(np.int64)
        texts = [[context[start:end]] for context, (start, end) in zip(examples.pairs, places, strict=True)]
        return dataclasses.replace(examples, labels=places, answers=texts)

    def metrics(self, answers: Any, labels: Any) -> dict[str, float]:
        """Exact match and F1, the best over each question's right answers, mean over questions.

        Args:
            answers: texts.
            labels: lists of right texts.
        """
        pairs = list(zip(answers, labels, strict=True))
        if not pairs:
            raise no_examples()
        exact = [max(float(normalized(text) == normalized(right)) for right in rights) for text, rights in pairs]
        overlap = [max(word_f1(text, right) for right in rights) for text, rights in pairs]
        return {"f1": float(np.mean(overlap)), "exact_match": float(np.mean(exact)), "examples": len(pairs)}


def normalized(text: str) -> str:
    """Lower case, no punctuation, no articles, single spaces: how SQuAD's script compares answers."""
    kept = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", kept).split())


def word_f1(given: str, right: str) -> float:
    """F1 over the words of two answers; where one is empty, whether both are."""
    mine, its = normalized(given).split(), normalized(right).split()
    if not mine or not its:
        return float(mine == its)
    common = (_counted(mine) & _counted(its)).total()
    return 2 * common / (len(mine) + len(its))


def _counted(words: Iterable[str]) -> Counter[str]:
    return Counter(words)
