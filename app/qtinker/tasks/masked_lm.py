"""Masked language modelling: which words were hidden? For general distillation on plain text, without labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from ..data import Examples
from ..errors import InputError
from .base import NO_LABEL, Task, array
from .tokens import masked_soft_target_kl

PROBES = 32
"""So many logits of each masked token are kept, evenly spread over the vocabulary, to compare two models by."""


@dataclass(frozen=True)
class MaskedLM(Task):
    """The hidden tokens of a text. Logits [B, L, V], labels int64 [B, L], -100 where nothing is hidden.

    Of the tokens that are no special ones a share is chosen anew in each epoch; of those 80 % become [MASK], 10 % any
    token, and 10 % stay as they are (Devlin et al. 2019, appendix A.1). The choice depends on the seed, the epoch and
    the block's number alone.
    """

    mask_share: float = 0.15

    type: ClassVar[str] = "masked-lm"
    rewrites: ClassVar[bool] = True
    soft_unit: ClassVar[str] = "answers"
    batch_size: ClassVar[int] = 8
    options: ClassVar[tuple[str, ...]] = ("mask_share",)

    def head_config(self) -> dict[str, Any]:
        """The vocabulary decides everything."""
        return {}

    def prepare(self, batch: dict[str, torch.Tensor], *, seed: int, epoch: int) -> dict[str, torch.Tensor]:
        """Hide tokens: new `input_ids`, and `labels` and `answer_mask` at the hidden ones."""
        ids, maskable = batch["input_ids"].clone(), batch["answer_mask"].bool().numpy()
        mask_id, vocabulary = (int(number) for number in batch["mask"])
        hidden, shown = np.zeros(maskable.shape, bool), ids.numpy()
        truth = shown.copy()
        for row, number in enumerate(batch["example_ids"].tolist()):
            random = np.random.Generator(np.random.PCG64([seed, epoch, number]))
            places = np.flatnonzero(maskable[row])
            if not len(places):
                continue
            chosen = random.permutation(places)[: max(1, round(len(places) * self.mask_share))]
            fate, others = random.random(len(chosen)), random.integers(0, vocabulary, len(chosen))
            hidden[row, chosen] = True
            shown[row, chosen] = np.where(fate < 0.8, mask_id, np.where(fate < 0.9, others, truth[row, chosen]))
        return {
            **{name: tensor for name, tensor in batch.items() if name != "mask"},
            "input_ids": ids,
            "labels": torch.from_numpy(np.where(hidden, truth, NO_LABEL)),
            "answer_mask": torch.from_numpy(hidden.astype(np.int64)),
        }

    def hard_loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Cross-entropy with the hidden tokens, mean over them."""
        hidden = labels != NO_LABEL
        total = F.cross_entropy(logits[hidden].float(), labels[hidden], reduction="sum")
        return total / hidden.sum().clamp(min=1)

    def soft_loss(
        self,
        student_logits: torch.Tensor,
        teacher_logits: torch.Tensor,
        temperature: float,
        *,
        attention_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """`T^2 * KL(softmax(z_T / T) || softmax(z_S / T))` over the vocabulary, mean over the hidden tokens."""
        return masked_soft_target_kl(student_logits, teacher_logits, temperature, attention_mask)

    def rows(self, logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
        """Of each hidden token: log-probability of the true one, the best one's number, whether it is right, logits.

        The logits are `PROBES` of the vocabulary: whole ones would be 30,000 numbers a token.
        """
        hidden = batch["answer_mask"].bool().to(logits.device)
        chosen, truth = logits[hidden].float(), batch["labels"].to(logits.device)[hidden]
        true = chosen.log_softmax(-1).gather(1, truth[:, None])
        best = chosen.argmax(-1, keepdim=True)
        probes = torch.linspace(0, chosen.shape[-1] - 1, PROBES, device=chosen.device).long()
        rows = torch.cat([true, best.float(), (best == truth[:, None]).float(), chosen[:, probes]], dim=1)
        return array(rows).astype(np.float32), array(hidden.sum(1))

    def score(self, answers: np.ndarray, examples: Examples) -> dict[str, float]:
        """See `metrics`."""
        return self.metrics(answers, None)

    def metrics(self, answers: Any, labels: Any = None) -> dict[str, float]:
        """Share of hidden tokens that were found, perplexity, and mean log-likelihood, over the hidden tokens.

        Args:
            answers: as `rows` gives.

        Raises:
            InputError: nothing was hidden.
        """
        if not len(answers):
            raise InputError("There is no text to measure on.", "Give evaluation data with text.")
        likelihood = float(array(answers)[:, 0].astype(np.float64).mean())
        return {
            "masked_accuracy": float(array(answers)[:, 2].mean()),
            "perplexity": math.exp(min(-likelihood, 700)),
            "log_likelihood": likelihood,
            "examples": len(answers),
        }
