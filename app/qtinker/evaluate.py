"""Measures models side by side on the same examples: quality, agreement, size, latency, throughput, memory.

Each model is measured in a process of its own, so that its memory can be told, and with its own tokenizer. Answers are
compared by the names of the labels, never by their numbers.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from . import data as data_module
from . import elsewhere, model_folder, registry, seen
from .data import Examples
from .errors import InputError
from .kinds import KINDS, task_of
from .label_order import nameless, order_of
from .measure import Job, Measurement, measure, measure_in_child
from .quantize.layers import bytes_by_part
from .quantize.verify import compare_answers
from .report import ModelReport, Report
from .runtime import engine_of, weight_files, weights_bytes
from .runtime.base import labels_of, untrained
from .spec import DataSpec

SLOWER = 0.95
"""A quantized model below this share of its source's speed is called slower; nearer ones are the clock's noise."""


def evaluate(
    models: Sequence[str | Path],
    data: DataSpec | Examples | None,
    *,
    labels: Sequence[str] | None = None,
    batch_size: int = 32,
    threads: int | None = None,
    device: str = "cpu",
    calls: int = 50,
    throughput_examples: int = 256,
    max_examples: int | None = None,
    max_length: int | None = None,
    isolate: bool = True,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Report:
    """Measure models on the same examples; the first is what the others are compared with.

    Args:
        models: registry names, catalog names or folders, of any engine.
        data: where the examples are (the evaluation file where the spec names one, else all rows of its data), or the
            examples themselves, or None for the bundled sample's texts without their labels.
        labels: names of the label numbers in `Examples`; left out: the first model's. With a DataSpec the file's own
            labels are matched by name.
        calls: timed calls at batch 1; 0 measures no speed.
        throughput_examples: examples timed at `batch_size`.
        max_examples: use only so many examples, chosen by seed.
        max_length: tokens texts are cut to; None: what each model was trained with.
        isolate: measure each model in a fresh process, memory included; False saves starting one.
        progress: called with a line before each model.

    Raises:
        InputError: there is no model, no example, or two models have different labels.
        CheckpointError: a model is damaged or has no trained head.
        MissingExtra: a model needs an engine that is not installed.
    """
    if not models:
        raise InputError("There is no model to measure.", "Name at least one.")
    if any(count is not None and count < 1 for count in (batch_size, max_examples, threads)):
        raise InputError(
            "The batch size, most examples and threads are whole numbers from 1 on.",
            "Leave out what is to have no limit.",
        )
    paths = [registry.resolve(model) for model in models]
    for path in paths:
        if engine_of(path) == "torch" and task_of(_config(path), model_folder.read_meta(path)) is None:
            raise untrained(path)  # before any of the others is measured
    same_kind(paths)
    reference = labels_of(paths[0])
    warnings: list[str] = []
    examples, names, facts = examples_for(
        data, paths[0], reference if labels is None else list(labels), most=max_examples, seed=seed, told=warnings
    )
    if not len(examples):
        raise InputError("There are no examples to measure on.", "Give data with at least one row.")
    if 0 < (missing := int((~examples.labelled).sum())) < len(examples):
        warnings.append(f"{missing:,} of {len(examples):,} evaluation examples have no label and don't count.")
    orders = [label_order(labels_of(path), names, _name(path), warnings) for path in paths]
    for path in paths:
        if text := seen.warning(_name(path), model_folder.read_meta(path), examples):
            warnings.append(text)

    measured = []
    for number, path in enumerate(paths, 1):
        if progress:
            progress(f"Measuring {_name(path)}" + (f" ({number} of {len(paths)})" if len(paths) > 1 else ""))
        job = Job(
            path=str(path), device=device, threads=threads, batch_size=batch_size, calls=calls,
            throughput_examples=min(throughput_examples, 4 * len(examples)), max_length=max_length, seed=seed,
        )  # fmt: skip
        measured.append((measure_in_child if isolate else measure)(job, examples))
    logits = [one.answers[:, order] if names else one.answers for one, order in zip(measured, orders, strict=True)]
    reports = [
        _model_report(path, one, answers, logits[0], examples, names)
        for path, one, answers in zip(paths, measured, logits, strict=True)
    ]
    if not examples.labelled.any() and reports[0].metrics == {}:
        first = reports[0].name
        warnings.append(f"The data has no labels: answers are compared with those of {first}, not with truth.")
    _compare_speed(reports, warnings)
    if text := elsewhere.warning({each.name: each.busy_elsewhere for each in reports}, measured[0].threads):
        warnings.append(text)
    return Report(
        models=reports,
        data=facts | {"examples": len(examples), "labelled": int(examples.labelled.sum()), "labels": names},
        environment=environment(measured[0].threads),
        settings={"batch_size": batch_size, "device": device, "calls": calls, "isolated": isolate, "seed": seed,
                  "max_length": max_length, "throughput_examples": throughput_examples},
        warnings=warnings,
    )  # fmt: skip


def same_kind(paths: Sequence[Path]) -> str:
    """The kind of task that all models answer.

    Raises:
        InputError: they answer different ones.
    """
    kinds = [_kind(path) for path in paths]
    for path, kind in zip(paths, kinds, strict=True):
        if kind != kinds[0]:
            raise InputError(
                f"{_name(path)} was trained for {kind}, and {_name(paths[0])} for {kinds[0]}.",
                "Compare models that were trained for the same task.",
            )
    return kinds[0]


def label_order(own: Sequence[str], reference: Sequence[str], name: str, warnings: list[str]) -> list[int]:
    """For each label of the reference, the number of the model's output that means it.

    Names are compared exactly, then without regard to case. A model whose labels have only numbers (LABEL_0, ...) is
    taken in its own order, with a warning.

    Raises:
        InputError: the labels are different ones.
    """
    found = order_of(own, reference)
    if found is None:
        raise InputError(
            f"{name} answers {_some(own)}, but what it is compared with has {_some(reference)}.",
            "Compare models that were trained for the same labels.",
        )
    by_number = list(own) == [f"LABEL_{label}" for label in reference]
    if nameless(own) != nameless(reference) and not by_number:
        warnings.append(f"{name}: its labels have numbers instead of names; they are taken in order.")
    return found


def environment(threads: int | None) -> dict[str, Any]:
    """What the figures depend on: processor, its features that matter here, threads, versions."""
    import torch

    versions = {}
    for package in ("torch", "transformers", "torchao", "compressed-tensors", "onnxruntime", "openvino", "nncf"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "cpu": cpu_name(), "cores": os.cpu_count(), "threads": threads,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(), "cpu_features": cpu_features(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": platform.platform(), "python": platform.python_version(), "versions": versions,
    }  # fmt: skip


def cpu_name() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def cpu_features() -> list[str]:
    """Which instructions for low precision the processor has, where the system tells (Linux)."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    flags = set(next((line for line in text.splitlines() if line.startswith(("flags", "Features"))), "").split())
    wanted = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimddp", "i8mm")
    return [name for name in wanted if name in flags]


def examples_for(
    data: DataSpec | Examples | None, path: Path, names: list[str], *, most: int | None = None, seed: int = 42,
    told: list[str] | None = None,
) -> tuple[Examples, list[str], dict[str, Any]]:  # fmt: skip
    """What a model is measured on, the labels' names, and the facts that the report tells of the data.

    Args:
        data: as `evaluate` takes it.
        path: the model's folder.
        names: its labels.
        most: only so many examples, chosen by `seed`.
        told: as `data.load_eval` takes it.

    Raises:
        InputError: as `data.load_eval`.
    """
    examples, names, facts = _all_examples(data, path, names, told)
    if most is not None and most < len(examples):
        chosen = np.sort(np.random.Generator(np.random.PCG64(seed)).permutation(len(examples))[:most])
        examples = examples.select(chosen)
    return examples, names, facts


def _all_examples(
    data: DataSpec | Examples | None, path: Path, names: list[str], told: list[str] | None
) -> tuple[Examples, list[str], dict[str, Any]]:
    if isinstance(data, Examples):
        return data, names, {"source": "examples"}
    if data is None:
        sample = data_module.load_eval("sample")
        form = KINDS[_kind(path)].form
        pairs = sample.texts if form == "spans" else sample.pairs
        return Examples(sample.texts, pairs, form=form), names, {"source": "sample, without its labels"}
    source = data.eval or data.train
    task = task_of(_config(path), model_folder.read_meta(path)) or {}
    if nameless(names):
        names = [name.removeprefix("LABEL_") for name in names]  # data without names counts from 0 as well
    examples = data_module.load_eval(
        source, text_column=data.text_column, text_pair_column=data.text_pair_column, label_column=data.label_column,
        labels=names, pair=task.get("pair"),
        task=task.get("type", "auto"), unlabelled=True, told=told,
    )  # fmt: skip
    return examples, names, {"source": source}


def _model_report(
    path: Path, one: Measurement, logits: np.ndarray, first: np.ndarray, examples: Examples, names: list[str]
) -> ModelReport:
    from .tasks import Task

    meta = model_folder.read_meta(path)
    metrics: dict[str, float] = {}
    if examples.labelled.any():
        task = Task.from_meta({**one.task, "labels": names, "metric": ""})
        metrics = task.score(logits, examples)
    agreement, difference = compare_answers(first, logits, one.problem_type)
    quantization, made_from = meta.get("quantization"), meta.get("quantization") or meta.get("export") or {}
    return ModelReport(
        name=_name(path), path=str(path), engine=one.engine, metrics=metrics, agreement=agreement,
        max_logit_difference=difference, bytes=weights_bytes(path),
        bytes_by_part=bytes_by_part(path),
        weight_files=[file.name for file in weight_files(path)], parameters=one.parameters,
        latency_ms=one.latency_ms, batch_latency_ms=one.batch_latency_ms,
        examples_per_second=one.examples_per_second, load_seconds=one.load_seconds,
        peak_memory_bytes=one.peak_memory_bytes, model_memory_bytes=one.model_memory_bytes,
        quantization=quantization, source=made_from.get("source"), format=(meta.get("export") or {}).get("format"),
        threads=one.threads, busy_elsewhere=one.busy_elsewhere,
    )  # fmt: skip


def _compare_speed(reports: list[ModelReport], warnings: list[str]) -> None:
    """Set against its source each quantized or exported model, and say it where one is slower: never silently."""
    for report in reports:
        if not (report.quantization or report.format) or report.latency_ms is None:
            continue
        floats = [other for other in reports if not (other.quantization or other.format) and other.latency_ms]
        source = next((other for other in floats if report.source in (other.name, other.path)), None)
        if source is None or source.latency_ms is None:
            continue
        report.speedup = source.latency_ms["p50"] / report.latency_ms["p50"]
        throughput = (report.examples_per_second or 0) / (source.examples_per_second or 1)
        slow = [
            f"{1 / ratio:.1f} times slower {where}"
            for ratio, where in ((report.speedup, "for one example"), (throughput, "in batches"))
            if ratio < SLOWER
        ]
        if slow:
            warnings.append(f"{report.name} is {' and '.join(slow)} than its source {source.name} on this processor.")


def _config(path: Path) -> dict[str, Any]:
    return model_folder.read_json(path / model_folder.CONFIG)


def _kind(path: Path) -> str:
    return str((task_of(_config(path), model_folder.read_meta(path)) or {"type": "classification"})["type"])


def _name(path: Path) -> str:
    return str(model_folder.read_meta(path).get("name") or path.name)


def _some(labels: Sequence[str]) -> str:
    return ", ".join(labels[:6]) + (f", ... ({len(labels)})" if len(labels) > 6 else "")
