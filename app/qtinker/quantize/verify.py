"""Shows that a saved model loads back and still answers as its source does, before it may enter the registry."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Examples
from ..errors import QTinkerError, SchemeUnfit
from ..measure import Job, measure, measure_in_child


@dataclass(frozen=True)
class Verdict:
    """A model against its source on the same rows.

    Attributes:
        rows: how many rows.
        agreement: share of the rows with the same answer (the same side of each threshold for several labels).
        max_logit_difference: largest difference of any logit.
        logit_error: root mean square of the differences over that of the source's logits, each row's mean taken out.
    """

    rows: int
    agreement: float
    max_logit_difference: float
    logit_error: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"{self.agreement:.1%} of {self.rows} answers agree, the largest logit difference is "
            f"{self.max_logit_difference:.3f}, the relative error of the logits {self.logit_error:.3f}"
        )


def compare_logits(source: np.ndarray, result: np.ndarray, *, problem_type: str = "classification") -> Verdict:
    """A model's rows of logits against its source's: [N, C], a row an example or word; [N, 2, L] for starts and ends,
    NaN where no answer can be; for hidden words as `tasks.MaskedLM.rows` gives them.
    """
    source, result = source.astype(np.float64), result.astype(np.float64)
    same = same_answers(source, result, problem_type)
    if problem_type == "masked-lm":  # beside the logits there is the best word's number, and whether it is right
        kept = [0, *range(3, source.shape[1])]
        source, result = source[:, kept], result[:, kept]
    # What all classes of a row share leaves the softmax as it is.
    known = ~np.isnan(source)
    if source.shape[-1] > 1:
        middle = np.where(known, source, 0).sum(-1, keepdims=True) / np.maximum(known.sum(-1, keepdims=True), 1)
    else:
        middle = source[known].mean() if known.any() else 0.0
    size = float(np.sqrt(np.square((source - middle)[known]).mean())) if known.any() else 1.0
    difference = np.abs(result - source)
    difference = difference[known]
    return Verdict(
        rows=len(source),
        agreement=float(same.mean()) if len(same) else 1.0,
        max_logit_difference=float(difference.max(initial=0.0)),
        logit_error=float(np.sqrt(np.square(difference).mean())) / (size or 1.0) if difference.size else 0.0,
    )


def same_answers(source: np.ndarray, result: np.ndarray, problem_type: str) -> np.ndarray:
    """bool [N]: which rows stand for the same answer."""
    if problem_type == "multi-label":
        return ((source > 0) == (result > 0)).all(axis=-1)
    if problem_type == "regression":
        return np.abs(source - result)[:, 0] <= 0.05 * max(float(np.ptp(source)), 1e-9)
    if problem_type == "masked-lm":
        return source[:, 1] == result[:, 1]
    if problem_type == "question-answering":
        best = [np.nan_to_num(each, nan=-np.inf).argmax(axis=-1) for each in (source, result)]
        return (best[0] == best[1]).all(axis=-1)
    return np.nan_to_num(source).argmax(axis=-1) == np.nan_to_num(result).argmax(axis=-1)


def compare_answers(first: np.ndarray, own: np.ndarray, problem_type: str) -> tuple[float | None, float | None]:
    """Two models' settled answers: the share that agrees, and the largest difference; None if they read other tokens.

    Answers to questions agree where they are the same characters; their difference is that of their scores.
    """
    if first.shape != own.shape:
        return None, None
    if problem_type == "question-answering":
        same = (first[:, :2] == own[:, :2]).all(axis=1)
        return float(same.mean()) if len(same) else 1.0, float(np.abs(first[:, 2] - own[:, 2]).max(initial=0.0))
    verdict = compare_logits(first, own, problem_type=problem_type)
    return verdict.agreement, verdict.max_logit_difference


def verify_folder(
    folder: Path,
    source_logits: np.ndarray,
    rows: Examples,
    *,
    expected: np.ndarray | None = None,
    device: str = "cpu",
    max_length: int | None = None,
    fresh: bool = True,
    tolerance: float = 1e-4,
    calls: int = 0,
) -> tuple[Verdict, float | None]:
    """Load a saved model again, in a fresh process, and compare it with its source.

    Args:
        source_logits: the source's logits on `rows`, as `compare_logits` takes them.
        expected: the logits the model gave before it was saved; the loaded one must give the same.
        fresh: False loads it in this process instead: faster by the time a process takes to start.
        calls: timed calls at batch 1.
        tolerance: most that a loaded logit may differ from `expected`, relative to their size.

    Returns:
        The verdict, and the median milliseconds for one example (None without `calls`).

    Raises:
        QTinkerError: it can't be loaded, gives NaN, or is not the model that was saved.
    """
    job = Job(path=str(folder), device=device, calls=calls, throughput_examples=0, max_length=max_length)
    measured = (measure_in_child if fresh else measure)(job, rows)
    logits = measured.logits
    if logits.shape != source_logits.shape:
        raise QTinkerError(f"The saved model gives logits of shape {logits.shape}, its source {source_logits.shape}.")
    if not np.isfinite(logits[~np.isnan(source_logits)]).all():
        raise SchemeUnfit("The saved model gives NaN or infinite logits.", "Choose another scheme.")
    apart = (
        0.0
        if expected is None
        else compare_logits(expected, logits, problem_type=measured.problem_type).max_logit_difference
    )
    if expected is not None and apart > tolerance * (1 + float(np.nanmax(np.abs(expected), initial=0.0))):
        raise QTinkerError(
            f"The saved model does not load back to what was saved: a logit differs by {apart:.4f}.",
            "Please report this as a bug, with the model's architecture.",
        )
    milliseconds = measured.latency_ms["p50"] if measured.latency_ms else None
    return compare_logits(source_logits, logits, problem_type=measured.problem_type), milliseconds
