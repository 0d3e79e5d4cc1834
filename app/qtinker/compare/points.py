"""The points of a sweep: finished students, float and quantized, measured side by side and kept in its folder.

All models of one teacher are measured in one go, so that their times compare; what was measured is written down
(`measured/<teacher>.json`) and not measured again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import model_folder, pipeline, registry
from ..data import Examples
from ..evaluate import environment, evaluate
from ..keeping import weights_key
from ..registry import RegistryEntry
from ..runs import read_json, write_json

CALLS, THROUGHPUT_EXAMPLES = 30, 128


def quantized(source: Path, scheme: str, *, engine: str, examples: Examples, progress: Callable[[str], None]) -> Path:
    """The quantized version of a student: the one that an interrupted attempt made, else a new one.

    Args:
        engine: the one that makes it, or auto.

    Raises:
        QTinkerError: the scheme can't be applied, or changes the model too much.
    """
    name = registry.plain_name(f"{source.name}-{scheme}")
    for entry in registry.list_models():
        if entry.group == "quantized" and entry.name.startswith(name) and made_of(entry, source, scheme, engine):
            return entry.path
    made = pipeline.quantize_model(
        source, scheme=scheme, engine=engine, check_rows=examples, fresh=False, progress=progress
    )
    return Path(made["path"])


def made_of(entry: RegistryEntry, source: Path, scheme: str, engine: str = "auto") -> bool:
    """Whether a quantized model was made by the scheme (and the engine, if not any will do) of the weights that a
    folder has now: another model may have had that folder before."""
    record = entry.quantization or {}
    place = str(record.get("source_path") or "")
    if entry.broken or record.get("scheme") != scheme or Path(place).resolve() != source.resolve():
        return False
    if engine not in ("auto", record.get("engine")):
        return False
    if "source_key" in record:
        return bool(record["source_key"] == weights_key(source))
    since = model_folder.read_meta(source).get("created")  # records without a key: of before there was one
    return isinstance(since, str) and entry.created is not None and since <= entry.created


def measured(
    folder: Path, key: str, teacher: Path, models: dict[str, Path], *, examples: Examples, labels: list[str],
    threads: int | None, progress: Callable[[str], None],
) -> dict[str, Any]:  # fmt: skip
    """Figures of a teacher (under `key`) and of the models that learned from it, by name, measured once.

    `path`, `bytes`, `parameters`, `latency_ms` and `latency_p95_ms` at batch 1, `examples_per_second` at batch 32,
    `metrics`, `agreement` (with the teacher) and `engine` of each.

    Args:
        progress: called with a line before each model; it may raise RunStopped.
    """
    record = folder / f"{key}.json"
    wanted = {key: str(teacher), **{name: str(path) for name, path in models.items()}}
    if record.is_file():
        known: dict[str, Any] = read_json(record)
        if {name: each["path"] for name, each in known.items()} == wanted:
            return known
    paths = list(dict.fromkeys(wanted.values()))
    found = evaluate(
        [Path(path) for path in paths], examples, labels=labels, threads=threads, isolate=False, calls=CALLS,
        throughput_examples=THROUGHPUT_EXAMPLES, progress=progress,
    )  # fmt: skip
    by_path = dict(zip(paths, found.models, strict=True))
    figures = {name: _figures(path, by_path[path]) for name, path in wanted.items()}
    write_json(record, figures)
    return figures


def _figures(path: str, one: Any) -> dict[str, Any]:
    latency = one.latency_ms or {}
    return {
        "path": path, "bytes": one.bytes, "parameters": one.parameters, "latency_ms": latency.get("p50"),
        "latency_p95_ms": latency.get("p95"), "examples_per_second": one.examples_per_second, "engine": one.engine,
        "metrics": {name: value for name, value in one.metrics.items() if name != "examples"},
        "agreement": one.agreement, "busy_elsewhere": one.busy_elsewhere,
    }  # fmt: skip


def surroundings(folder: Path, threads: int | None) -> dict[str, Any]:
    """What the figures depend on, as it was when the first model was measured."""
    record = folder / "environment.json"
    try:
        found: dict[str, Any] = read_json(record)
    except (OSError, ValueError):
        import torch

        write_json(record, found := environment(threads or torch.get_num_threads()))
    return found
