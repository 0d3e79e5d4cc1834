"""The points of a sweep: finished students, float and quantized, measured on the same rows and kept in its folder.

What is measured is written down at once (`measured/<key>.json` and its logits), so that a resumed sweep measures only
what is missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .. import pipeline, registry
from ..data import Examples
from ..evaluate import environment, label_order
from ..measure import Job, measure
from ..quantize.verify import compare_logits
from ..runs import read_json, write_json
from ..runtime import weights_bytes

CALLS, THROUGHPUT_EXAMPLES = 30, 128


def quantized(source: Path, scheme: str, *, examples: Examples, progress: Callable[[str], None]) -> Path:
    """The quantized version of a student: the one that an interrupted attempt made, else a new one.

    Raises:
        QTinkerError: the scheme can't be applied, or changes the model too much.
    """
    name = f"{source.name}-{scheme}"
    known = registry.find(f"quantized/{name}")
    if known and not known.broken and (known.quantization or {}).get("source_path") == str(source):
        return known.path
    made = pipeline.quantize_model(source, scheme=scheme, check_rows=examples, fresh=False, progress=progress)
    return Path(made["path"])


def measured(
    folder: Path, key: str, path: Path, *, examples: Examples, task: Any, threads: int | None
) -> dict[str, Any]:
    """Figures of one model on the evaluation data, measured once.

    Returns `path`, `bytes`, `parameters`, `latency_ms` (p50, p95 at batch 1), `examples_per_second` (at batch 32),
    `metrics`, `engine` and `warnings`.
    """
    record = folder / f"{key}.json"
    if record.is_file():
        known: dict[str, Any] = read_json(record)
        if known["path"] == str(path):
            return known
    job = Job(path=str(path), threads=threads, calls=CALLS,
              throughput_examples=min(THROUGHPUT_EXAMPLES, 4 * len(examples)))  # fmt: skip
    one = measure(job, examples)
    warnings: list[str] = []
    logits = one.logits[:, label_order(one.labels, task.labels, path.name, warnings)]
    np.save(folder / f"{key}.npy", logits.astype(np.float32), allow_pickle=False)
    metrics = task.metrics(logits, examples.labels)
    found = {
        "path": str(path), "bytes": weights_bytes(path), "parameters": one.parameters, "latency_ms": one.latency_ms,
        "batch_latency_ms": one.batch_latency_ms, "examples_per_second": one.examples_per_second,
        "metrics": {name: value for name, value in metrics.items() if name != "examples"}, "engine": one.engine,
        "threads": one.threads, "warnings": warnings,
    }  # fmt: skip
    write_json(record, found)
    return found


def agreement(folder: Path, key: str, teacher: str, *, task: Any) -> float | None:
    """Share of the evaluation rows on which a model answers as its teacher."""
    try:
        mine, its = (np.load(folder / f"{each}.npy", allow_pickle=False) for each in (key, teacher))
    except (OSError, ValueError):
        return None
    return compare_logits(its, mine, problem_type=task.type).agreement


def surroundings(folder: Path, threads: int | None) -> dict[str, Any]:
    """What the figures depend on, as it was when the first model was measured."""
    record = folder / "environment.json"
    if not record.is_file():
        record.write_text(json.dumps(environment(threads)), encoding="utf-8")
    found: dict[str, Any] = read_json(record)
    return found
