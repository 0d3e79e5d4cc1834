"""Token classification: a class for each word, such as the entity it is part of."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from ..data import Encoded, Examples, Ragged
from ..distill import losses
from .base import NO_LABEL, Task, array, no_examples
from .classification import class_weights, weighted_cross_entropy

Entity = tuple[str, int, int]
"""Type, first word, last word."""


@dataclass(frozen=True)
class TokenClassification(Task):
    """A class for each word, answered at its first token. Logits [B, L, C], labels int64 [B, L], -100 elsewhere."""

    type: ClassVar[str] = "token-classification"
    soft_unit: ClassVar[str] = "answers"

    def hard_loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Cross-entropy, mean over labelled words; each times its class's weight."""
        return weighted_cross_entropy(logits, labels, self.weights)

    def soft_loss(
        self,
        student_logits: torch.Tensor,
        teacher_logits: torch.Tensor,
        temperature: float,
        *,
        attention_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """`T^2 * KL(softmax(z_T / T) || softmax(z_S / T))`, sum over classes, mean over words (their first tokens)."""
        return masked_soft_target_kl(student_logits, teacher_logits, temperature, attention_mask)

    def rows(self, logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
        """The logits of each word, [words, C]."""
        mask = batch["answer_mask"].bool().to(logits.device)
        return array(logits[mask]).astype(np.float32), array(mask.sum(1))

    def settle(self, rows: np.ndarray, counts: np.ndarray, encoded: Encoded, examples: Examples) -> np.ndarray:
        """Logits of all words of the examples, [words, C]; NaN where a sentence was cut before the word."""
        offsets = examples.labels.offsets
        words = np.asarray(encoded.extras["word_ids"])
        owner = np.repeat(np.arange(len(encoded)), encoded.lengths)
        first = words >= 0
        answers = np.full((int(offsets[-1]), rows.shape[1]), np.nan, np.float32)
        answers[offsets[owner[first]] + words[first]] = rows
        return answers

    def predictions(self, answers: np.ndarray) -> np.ndarray:
        """int64 [words]: the class with the highest logit; `O`, or the first class, where a word was cut off."""
        outside = self.labels.index("O") if "O" in self.labels else 0
        cut = np.isnan(answers).any(axis=1)
        return np.where(cut, outside, np.nan_to_num(answers).argmax(axis=1)).astype(np.int64)

    def labels_from(self, answers: np.ndarray, examples: Examples) -> Examples:
        """Each word's class; none where the sentence was cut before it."""
        cut = np.isnan(answers).any(axis=1)
        labels = Ragged(np.where(cut, NO_LABEL, self.predictions(answers)), examples.labels.offsets)
        return dataclasses.replace(examples, labels=labels)

    def metrics(self, answers: Any, labels: Any) -> dict[str, float]:
        """Entity-level precision, recall and F1 (micro), macro-F1 over the types, and the share of right words.

        An entity is right if its type, first and last word are: as the CoNLL script and seqeval count (their default
        mode). Tags without B- and I- are taken as they are: neighbouring words of one tag are one entity.

        Args:
            answers: logits [words, C] or classes [words], of all words of the sentences.
            labels: `Ragged`, a class a word, -100 where missing; sentences without any label are left out.

        Raises:
            InputError: no sentence has labels.
        """
        given = array(answers)
        predicted = self.predictions(given) if given.ndim == 2 else given
        names = np.asarray(self.labels, object)
        found: list[tuple[set[Entity], set[Entity]]] = []
        right = words = 0
        for number in range(len(labels)):
            known = labels[number] != NO_LABEL
            if not known.any():
                continue
            truth = labels[number][known]
            answer = predicted[labels.offsets[number] : labels.offsets[number + 1]][known]
            right, words = right + int((truth == answer).sum()), words + len(truth)
            found.append((set(entities(names[truth])), set(entities(names[answer]))))
        if not found:
            raise no_examples()
        hits, true, guessed = (Counter[str]() for _ in range(3))
        for wanted, got in found:
            true.update(entity[0] for entity in wanted)
            guessed.update(entity[0] for entity in got)
            hits.update(entity[0] for entity in wanted & got)
        every = sorted({*true, *guessed})
        scores = [_f1(hits[kind], true[kind], guessed[kind]) for kind in every]
        precision = hits.total() / guessed.total() if guessed else 0.0
        recall = hits.total() / true.total() if true else 0.0
        return {
            "f1": _f1(hits.total(), true.total(), guessed.total()),
            "precision": precision,
            "recall": recall,
            "macro_f1": float(np.mean(scores)) if scores else 0.0,
            "accuracy": right / words,
            "examples": len(found),
        }

    def balanced(self, examples: Examples) -> tuple[float, ...]:
        """`n / (C * n_c)` over the labelled words; 1 for a class that never occurs."""
        return class_weights(examples.labels.values, len(self.labels))


def masked_soft_target_kl(
    student_logits: torch.Tensor, teacher_logits: torch.Tensor, temperature: float, mask: torch.Tensor | None
) -> torch.Tensor:
    """The soft-target loss over the tokens that `mask` [B, L] names; logits [B, L, C]. 0 (with gradient) of none."""
    if mask is None:
        mask = torch.ones(student_logits.shape[:-1], device=student_logits.device)
    if not bool(mask.any()):
        return student_logits.float().sum() * 0
    chosen = mask.bool()
    return losses.soft_target_kl(student_logits[chosen], teacher_logits[chosen], temperature=temperature)


def entities(tags: Sequence[str]) -> list[Entity]:
    """The entities of one sentence: (type, first word, last word).

    A new one begins at B- (or S-, U-), after the end of another (E-, L-, S-, U-), where the type changes, and at an I-
    after O: the CoNLL script's rules, so that IOB1, IOB2, IOE, BIOES and BILOU tags all come out right.
    """
    found: list[Entity] = []
    before, kind_before, start = "O", "", 0
    for number, tag in enumerate([*tags, "O"]):
        prefix, kind = parts(str(tag))
        ends = before in "ESLU" or prefix in "BSUO" or kind != kind_before
        if before != "O" and ends:
            found.append((kind_before, start, number - 1))
        if prefix != "O" and (before == "O" or ends):
            start = number
        before, kind_before = prefix, kind
    return found


def parts(tag: str) -> tuple[str, str]:
    """Prefix and type of a tag; a tag without a prefix counts as I- of itself, and the M- of BMES is an I-."""
    if tag == "O":
        return "O", ""
    prefix, dash, kind = tag.partition("-")
    if dash and prefix == "M":
        return "I", kind
    if dash and prefix in ("B", "I", "E", "S", "L", "U"):
        return prefix, kind
    return ("I", tag) if tag not in ("B", "I", "E", "S", "L", "U") else (tag, "")


def _f1(right: int, true: int, guessed: int) -> float:
    return 2 * right / (true + guessed) if true + guessed else 0.0
