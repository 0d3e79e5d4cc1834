"""What a comparison of models came to: plain data, as JSON or CSV. Torch-free."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class ModelReport:
    """One measured model.

    Attributes:
        metrics: by the task (accuracy, macro_f1, ...); {} without labelled data.
        agreement: share of the examples with the same answer as the first model; 1.0 for the first.
        max_logit_difference: largest difference of any logit from the first model's.
        bytes: size on disk of the weight files, which `weight_files` names (tokenizer and card not counted).
        parameters: those of the float model, however many bytes each takes.
        latency_ms: p50 and p95 of one example, tokens in, logits out, after warm-up, on real rows.
        batch_latency_ms: the same for a batch of `batch_size`.
        examples_per_second: throughput at `batch_size`.
        peak_memory_bytes: most memory that a fresh process held while loading and running it; None if not measured.
        model_memory_bytes: the part of it that came after the libraries were loaded.
        source: what it was quantized or exported from; `format` is the exported one's.
        speedup: times faster than its source at batch 1 (where that was measured too).
        busy_elsewhere: processors that other programs kept busy while it was measured; None: not known.
    """

    name: str
    path: str
    engine: str
    metrics: dict[str, float]
    agreement: float | None
    max_logit_difference: float | None
    bytes: int
    bytes_by_part: dict[str, int] | None
    weight_files: list[str]
    parameters: int | None
    latency_ms: dict[str, float] | None
    batch_latency_ms: dict[str, float] | None
    examples_per_second: float | None
    load_seconds: float | None
    peak_memory_bytes: int | None
    model_memory_bytes: int | None
    quantization: dict[str, Any] | None
    source: str | None = None
    format: str | None = None
    speedup: float | None = None
    threads: int | None = None
    busy_elsewhere: float | None = None


@dataclass
class Report:
    """Several models on the same examples."""

    models: list[ModelReport]
    data: dict[str, Any]
    environment: dict[str, Any]
    settings: dict[str, Any]
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain data; `findings` are the lines to show below a table."""
        return {**asdict(self), "findings": list(self.warnings)}

    def to_json(self) -> str:
        """One JSON object."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"

    def to_csv(self) -> str:
        """A line a model, with a header; nested values have dotted names."""
        rows = [_flat(asdict(model)) for model in self.models]
        columns = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted names; lists joined by spaces; the quantization's long words left out."""
    flat: dict[str, Any] = {}
    for key, item in value.items():
        if prefix == "" and key == "quantization":
            flat["scheme"] = (item or {}).get("scheme", "")
        elif isinstance(item, dict):
            flat |= _flat(item, f"{prefix}{key}.")
        else:
            flat[prefix + key] = " ".join(map(str, item)) if isinstance(item, list) else item
    return flat
