"""What a model answers to tokenized examples, batch by batch, in their order, whatever the task and the engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from . import data
from .data import Encoded, Examples
from .errors import InputError
from .tasks import Task

SEED = 0
"""Of what a task hides: the same words in every evaluation."""
TOKENS = 4096
"""Positions asked at once where nobody says how many examples, padding included."""


@dataclass
class Answers:
    """Rows of numbers, float32 [R, ...], and how many each tokenized example has, int64 [N]."""

    rows: np.ndarray
    counts: np.ndarray
    encoded: Encoded

    def settled(self, task: Task, examples: Examples) -> np.ndarray:
        """As answers to the examples; see `Task.settle`."""
        return task.settle(self.rows, self.counts, self.encoded, examples)


def answer(
    run: Callable[[dict[str, torch.Tensor]], Any],
    encoded: Encoded,
    task: Task,
    *,
    pad_token_id: int,
    model_inputs: set[str] | None = None,
    batch_size: int | None = None,
) -> Answers:
    """Ask a model about all of `encoded`.

    Args:
        run: a padded batch to logits (a tensor or an array).
        model_inputs: names of the inputs that the model takes; None: all.
        batch_size: examples at a time; at most what suits the task. Left out: as many as `TOKENS` positions hold.
    """
    parts: list[np.ndarray | None] = [None] * len(encoded)
    counts = np.zeros(len(encoded), np.int64)
    if batch_size is None and not task.per_token:
        groups = data.budget_batches(encoded.lengths, tokens=TOKENS, most=8 * task.batch_size)
    else:
        groups = length_batches(encoded.lengths, min(batch_size or task.batch_size, task.batch_size))
    for indices in groups:
        batch = data.collate(encoded, indices, model_inputs=model_inputs, pad_token_id=pad_token_id)
        batch = task.prepare(batch, seed=SEED, epoch=0)
        rows, each = task.rows(torch.as_tensor(run(batch)), batch)
        counts[indices] = each
        for number, part in zip(indices, np.split(rows, np.cumsum(each)[:-1]), strict=True):
            parts[number] = part
    return Answers(_joined([part for part in parts if part is not None], task), counts, encoded)


def logits_of(
    runtime: Any, examples: data.Examples, *, batch_size: int = 32, max_length: int | None = None
) -> np.ndarray:
    """float32 logits of N examples in their order, [N, C]; for other tasks the rows that `Task.rows` makes of them."""
    return answers_of(runtime, examples, batch_size=batch_size, max_length=max_length).rows


def answers_of(
    runtime: Any, examples: data.Examples, *, batch_size: int = 32, max_length: int | None = None
) -> Answers:
    """What an open model answers to examples."""
    if batch_size < 1:
        raise InputError(f"The batch size is {batch_size}.", "Give at least 1.")
    encoded = data.encode(examples, runtime.tokenizer, max_length or runtime.max_length, cache=False)
    return answer(
        runtime.logits, encoded, task_of(runtime), model_inputs=runtime.input_names, pad_token_id=runtime.pad_token_id,
        batch_size=batch_size,
    )  # fmt: skip


def task_of(runtime: Any) -> Task:
    """The task of an open model."""
    return Task.from_meta({**runtime.task, "labels": runtime.labels, "metric": ""})


def length_batches(lengths: Sequence[int] | np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Batches of example numbers, longest first: the most memory is asked for at once, and padding is small."""
    order = np.argsort(-np.asarray(lengths), kind="stable")
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def _joined(parts: list[np.ndarray], task: Task) -> np.ndarray:
    """All rows; those of windows are filled up to the longest."""
    if not parts:
        return np.zeros((0, task.num_outputs), np.float32)
    longest = max(part.shape[-1] for part in parts)
    if any(part.shape[-1] != longest for part in parts):
        room = [(0, 0)] * (parts[0].ndim - 1)
        parts = [np.pad(part, [*room, (0, longest - part.shape[-1])], constant_values=np.nan) for part in parts]
    return np.concatenate(parts)
