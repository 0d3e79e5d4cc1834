"""What each engine gets to work with, and how it is called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Examples
from ..export.companions import write_companions
from ..kinds import KINDS
from ..predict import logits_of
from ..runtime.pytorch import TorchRuntime
from . import half_engine, mixed, packed_engine, torchao_engine
from .layers import Layers
from .rows import CHECK_ROWS, as_rows, rows_to_check
from .schemes import Scheme
from .verify import compare_logits

MIXED_ROWS = 2000
"""Rows on which mixed measures what it loses: with 872, as SST-2 has, one answer is 0.11 points."""


@dataclass
class Work:
    """What an engine gets to work with."""

    runtime: TorchRuntime
    layers: Layers
    scheme: Scheme
    folder: Path
    loss: Callable[[], float]
    check_rows: Examples | Sequence[Any] | None
    calibration: Examples | Sequence[Any] | None
    max_loss: float
    progress: Callable[[str], None]


def _torchao(work: Work) -> dict[str, Any]:
    return torchao_engine.quantize_model(work.runtime.model, work.layers, work.scheme, work.folder)


def _mixed(work: Work) -> dict[str, Any]:
    rows = rows_to_check(work.check_rows, work.runtime, most=MIXED_ROWS)
    lost, measured_by = points_lost(work.runtime, rows)
    few = rows.select(np.unique(np.linspace(0, len(rows) - 1, min(len(rows), 2 * CHECK_ROWS)).astype(int)))
    before = logits_of(work.runtime, few)

    def error() -> float:
        after = logits_of(work.runtime, few)
        return compare_logits(before, after, problem_type=work.runtime.problem_type).logit_error

    notes = mixed.quantize_model(
        work.runtime.model, work.layers, work.folder, error=error, lost=lost, max_loss=work.max_loss,
        progress=work.progress,
    )  # fmt: skip
    return {**notes, "measured_by": measured_by, "measured_rows": len(rows)}


def points_lost(runtime: TorchRuntime, rows: Examples) -> tuple[Callable[[], float], str]:
    """A function that tells how many points the model as it then is loses against what it is now, and by which metric:
    the task's on labelled rows, else the share of answers that change."""
    from ..tasks import Task

    before = logits_of(runtime, rows)
    if rows.labelled.any() and not KINDS[runtime.problem_type].per_token:
        task = Task.from_meta(runtime.task)
        first = task.metrics(before, rows.labels)[task.metric]

        def lost() -> float:
            return 100 * (first - task.metrics(logits_of(runtime, rows), rows.labels)[task.metric])

        return lost, task.metric

    def changed() -> float:
        after = logits_of(runtime, rows)
        return 100 * (1 - compare_logits(before, after, problem_type=runtime.problem_type).agreement)

    return changed, "agreement"


def _packed(work: Work) -> dict[str, Any]:
    if work.scheme.name == "mixed":
        return _mixed(work)
    return packed_engine.quantize_model(work.runtime.model, work.layers, work.scheme, work.folder, loss=work.loss)


def _half(work: Work) -> dict[str, Any]:
    return half_engine.quantize_model(work.runtime.model, work.scheme, work.folder)


def _onnx(work: Work) -> dict[str, Any]:
    from ..export import onnx_format
    from . import onnx_engine

    notes = onnx_engine.quantize_model(work.runtime.model, work.runtime.tokenizer, work.folder)
    write_companions(work.runtime, work.folder, example=onnx_format.EXAMPLE)
    return notes


def _openvino(work: Work) -> dict[str, Any]:
    from ..export import openvino_format
    from . import openvino_engine

    given = work.check_rows if work.calibration is None else work.calibration
    notes = openvino_engine.quantize_model(work.runtime, work.scheme, work.folder, calibration=as_rows(given))
    write_companions(work.runtime, work.folder, example=openvino_format.EXAMPLE)
    return notes


_ENGINES: dict[str, Callable[[Work], dict[str, Any]]] = {
    "torchao": _torchao, "compressed-tensors": _packed, "transformers": _half, "onnxruntime": _onnx,
    "openvino": _openvino,
}  # fmt: skip


def apply(work: Work, engine: str) -> dict[str, Any]:
    """Let an engine write the quantized model into the work's folder; returns what to note about it."""
    return _ENGINES[engine](work)
