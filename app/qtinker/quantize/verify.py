"""Shows that a saved model loads back and still answers as its source does, before it may enter the registry."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Examples
from ..errors import QTinkerError
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
    """Logits [N, C] of a model against its source's."""
    source, result = source.astype(np.float64), result.astype(np.float64)
    if problem_type == "multi-label":
        same = ((source > 0) == (result > 0)).all(axis=-1)
    elif problem_type == "regression":
        same = np.abs(source - result)[:, 0] <= 0.05 * max(float(np.ptp(source)), 1e-9)
    else:
        same = source.argmax(axis=-1) == result.argmax(axis=-1)
    # What all classes of a row share leaves the softmax as it is.
    centred = source - source.mean(axis=-1, keepdims=True) if source.shape[-1] > 1 else source - source.mean()
    size = float(np.sqrt(np.square(centred).mean())) or 1.0
    difference = result - source
    return Verdict(
        rows=len(source),
        agreement=float(same.mean()) if len(same) else 1.0,
        max_logit_difference=float(np.abs(difference).max(initial=0.0)),
        logit_error=float(np.sqrt(np.square(difference).mean())) / size if difference.size else 0.0,
    )


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
        source_logits: the source's logits on `rows`, [N, C].
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
    if not np.isfinite(logits).all():
        raise QTinkerError("The saved model gives NaN or infinite logits.", "Choose another scheme.")
    if expected is not None and np.abs(logits - expected).max(initial=0.0) > tolerance * (1 + np.abs(expected).max()):
        raise QTinkerError(
            f"The saved model does not load back to what was saved: a logit differs by "
            f"{np.abs(logits - expected).max():.4f}.",
            "Please report this as a bug, with the model's architecture.",
        )
    milliseconds = measured.latency_ms["p50"] if measured.latency_ms else None
    return compare_logits(source_logits, logits, problem_type=measured.problem_type), milliseconds
