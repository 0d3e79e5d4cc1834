"""How long a run will take and what it will need: rough, from the models' shapes and this machine's speed."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from .data import Examples
from .shapes import Shape
from .spec import DataSpec, RunSpec

CHARACTERS_A_TOKEN = 4.2
"""Of English in BERT's vocabulary; CJK has about one a token."""
EFFICIENCY = 0.35
"""Share of a plain matrix product's speed that a training step of small models reaches."""
ACTIVATIONS = 34
"""Bytes of activations kept a token, layer and hidden unit, over the attention's own (fp32)."""


@dataclass(frozen=True)
class Estimate:
    """What a run will take; right within a factor of two or three."""

    steps: int
    examples: int
    tokens_an_example: int
    seconds: float
    memory_bytes: int
    disk_bytes: int
    student_parameters: int
    teacher_parameters: int | None
    speed_up: float | None
    """How many times fewer operations a text costs the student than the teacher."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def estimate(
    spec: RunSpec, *, student: Shape, teacher: Shape | None, examples: Examples, variants: Shape | None = None
) -> Estimate:
    """Time on this machine's processor, peak memory, and bytes on disk.

    Args:
        examples: to learn from, those without labels among them.
        variants: the model that makes variants of the labelled ones, if any.
    """
    training, tokens = spec.training, token_count(examples, spec.data.max_length)
    labelled = int(examples.labelled.sum())
    texts, count = examples_read(spec.data, examples, variants=variants is not None, pairs=spec.teacher is not None)
    if examples.form == "blocks":
        tokens = spec.data.max_length
    steps = math.ceil(training.epochs * math.ceil(count / training.batch_size))
    steps = max(1, min(steps, training.max_steps or steps))
    seen = steps * training.batch_size * tokens
    work = 3.0 * _operations(student, tokens) * seen  # forward and backward
    memory = 16 * student.parameters + _activations(student, training.batch_size, tokens, spec)
    disk = 4 * student.parameters * 8 + texts * (tokens * 4 + 16)
    if variants:  # each word that a variant replaces is hidden alone, in a text of its own
        replaced = 1 - (1 - spec.data.augment_share) ** spec.data.augment_variants
        work += _operations(variants, tokens) * labelled * tokens * tokens * replaced
        disk += texts * tokens * 5
    if spec.control:
        work += 3.0 * _operations(student, tokens) * seen
        disk += 4 * student.parameters
    if spec.teacher and teacher:
        asked = seen if spec.method.asks_along else texts * tokens
        work += _operations(teacher, tokens) * asked
        memory += 4 * teacher.parameters
        if spec.teacher.finetune:
            work += 3.0 * _operations(teacher, tokens) * spec.teacher.epochs * labelled * tokens
            memory = max(memory, 16 * teacher.parameters + _activations(teacher, training.batch_size, tokens, spec))
            disk += 4 * teacher.parameters * 8
    disk += sum(4 * student.parameters for _ in spec.quantize)
    return Estimate(
        steps=steps, examples=len(examples), tokens_an_example=tokens,
        seconds=round(work / (EFFICIENCY * operations_a_second()) + 10, 1), memory_bytes=memory + 500_000_000,
        disk_bytes=disk, student_parameters=student.parameters,
        teacher_parameters=teacher.parameters if teacher else None,
        speed_up=round(_operations(teacher, tokens) / _operations(student, tokens), 1) if teacher else None,
    )  # fmt: skip


def examples_read(data: DataSpec, examples: Examples, *, variants: bool, pairs: bool = True) -> tuple[int, int]:
    """How many texts a training takes, with those that are made of the given ones, and how many examples it reads:
    running text is cut into blocks of the longest length.

    Args:
        variants: whether variants of labelled examples are made.
        pairs: whether new pairs are.
    """
    count = len(examples) + (data.augment_variants * int(examples.labelled.sum()) if variants else 0)
    if pairs and examples.pairs is not None and examples.form == "texts":
        count += data.new_pairs * len(examples)
    if examples.form != "blocks":
        return count, count
    return count, max(1, round(count * token_count(examples, 10**9) / data.max_length))


def token_count(examples: Examples, max_length: int) -> int:
    """Tokens of a padded example, roughly, from the first texts' characters."""
    texts = list(examples.texts[:500])
    pairs = [""] * len(texts) if examples.pairs is None else list(examples.pairs[:500])
    lengths = []
    for text, pair in zip(texts, pairs, strict=True):
        both = text + pair
        wide = sum(char > "\u2e80" for char in both)
        lengths.append(min(2 + wide + (len(both) - wide) / CHARACTERS_A_TOKEN, max_length))
    return max(2, round(sum(lengths) / max(len(lengths), 1) * 1.1))


def _operations(shape: Shape, tokens: int) -> float:
    """Multiplications a token costs in a forward pass."""
    return shape.encoder + 2.0 * shape.layers * tokens * shape.hidden


def _activations(shape: Shape, batch_size: int, tokens: int, spec: RunSpec) -> int:
    micro = math.ceil(batch_size / spec.training.gradient_accumulation)
    longest = min(spec.data.max_length, 3 * tokens)
    return micro * longest * shape.layers * (ACTIVATIONS * shape.hidden + 10 * shape.heads * longest)


@lru_cache(maxsize=1)
def operations_a_second() -> float:
    """Multiply-adds a second of a plain fp32 matrix product here, as fast as numpy does it."""
    matrix = np.ones((512, 512), np.float32)
    matrix @ matrix
    best = math.inf
    for _ in range(3):
        start = time.perf_counter()
        matrix @ matrix
        best = min(best, time.perf_counter() - start)
    return 512**3 / max(best, 1e-6)
