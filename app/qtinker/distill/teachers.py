"""Several teachers that answer as one: their answers are averaged."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..checkpoint import Loaded
from ..data import Encoded
from ..errors import InputError
from .layers import Needs, Outputs
from .teacher import Teacher


class Teachers:
    """Asked like one `Teacher`. States and attention are the first one's; answers are the weighted mean of all.

    Each teacher may have a tokenizer of its own where the task has one answer for each text.

    Args:
        members: the first is the one whose states count.
        weights: one for each, of the answers; they need not add up to 1. Left out: all alike.

    Raises:
        InputError: the weights are not as many as the teachers, or none is above 0.
    """

    def __init__(self, members: Sequence[Teacher], weights: Sequence[float] | None = None) -> None:
        weights = list(weights) if weights else [1.0] * len(members)
        if len(weights) != len(members) or min(weights) < 0 or sum(weights) <= 0:
            shown = ", ".join(f"{weight:g}" for weight in weights)
            raise InputError(
                f"{len(weights)} weights were given for {len(members)} teachers: {shown}.",
                "Give one weight for each teacher, none below 0 and not all of them 0.",
            )
        self.members = list(members)
        self.weights = [weight / sum(weights) for weight in weights]
        self.task = members[0].task

    @property
    def loaded(self) -> Loaded:
        """The first teacher's model."""
        return self.members[0].loaded

    @property
    def same_tokens(self) -> bool:
        """Whether the first teacher reads the student's tokens."""
        return self.members[0].same_tokens

    @property
    def encoded(self) -> Encoded | None:
        """The texts in the first teacher's tokens, where they are not the student's."""
        return self.members[0].encoded

    def prepare(self, device: torch.device, precision: str) -> None:
        """Move all to the device and take the arithmetic of the training."""
        for member in self.members:
            member.prepare(device, precision)

    def outputs(self, indices: np.ndarray, batch: dict[str, Tensor], needs: Needs) -> Outputs:
        """What the teachers say to the training examples `indices`; the others only where an answer is asked for."""
        first = self.members[0].outputs(indices, batch, needs)
        if first.logits is None or not needs.answers:
            return first
        every = [first, *(member.outputs(indices, batch, Needs()) for member in self.members[1:])]
        known = [each.answer_mask for each in every if each.answer_mask is not None]
        return dataclasses.replace(
            first, logits=average([each.logits for each in every], self.weights, task=self.task),
            answer_mask=torch.stack(known).amin(0) if known else None,  # where all of them have an answer
        )  # fmt: skip


def average(answers: Sequence[Any], weights: Sequence[float], *, task: Any) -> Tensor:
    """One answer of several, as the task averages them.

    Args:
        answers: one tensor for each teacher, all of one shape, in the task's order of labels; of words of a vocabulary
            as many as the narrowest output layer has, since each may be padded beyond the vocabulary.
        weights: one for each, with the sum 1.
    """
    if task.rewrites:
        size = min(answer.shape[-1] for answer in answers)
        answers = [answer[..., :size] for answer in answers]
    stacked = torch.stack([answer.float() for answer in answers])
    shares = torch.tensor(weights, device=stacked.device).view(-1, *[1] * (stacked.ndim - 1))
    averaged: Tensor = task.average(stacked, shares)
    return averaged
