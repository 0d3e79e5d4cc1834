"""Writes the README.md of a saved model: what it is, where it comes from, how well it does, how to load it."""

from __future__ import annotations

from typing import Any

import yaml

from .kinds import KINDS


def model_card(meta: dict[str, Any], *, config: dict[str, Any]) -> str:
    """A Hugging Face model card (front matter and Markdown) from a model's provenance.

    Args:
        meta: what `qtinker.json` holds.
        config: what `config.json` holds.
    """
    name, kind = str(meta.get("name") or "model"), str(meta.get("kind") or "model")
    task = meta.get("task") or None
    kind_of = KINDS.get(str(task.get("type"))) if task else None
    front: dict[str, Any] = {"library_name": "transformers", "tags": ["qtinker", kind]}
    if licence := meta.get("licence"):
        front["license"] = str(licence).lower()
    if task:
        front["pipeline_tag"] = kind_of.tag if kind_of else "text-classification"
    lines = ["---", yaml.safe_dump(front, sort_keys=False).strip(), "---", "", f"# {name}", ""]
    lines.append(_sentence(kind, meta))
    lines += ["", "| | |", "|---|---|", f"| Architecture | {config.get('model_type', 'unknown')} |"]
    if meta.get("parameters"):
        lines.append(f"| Parameters | {meta['parameters']:,} |")
    for title, value in _facts(meta):
        lines.append(f"| {title} | {value} |")
    if metrics := {key: value for key, value in (meta.get("metrics") or {}).items() if isinstance(value, (int, float))}:
        lines += ["", "## Measured", ""]
        if judge := meta.get("judge"):
            lines += [f"On data without labels: how well its answers agree with those of {judge}.", ""]
        lines += ["| Metric | Value |", "|---|---|"]
        lines += [f"| {key} | {value:.4f} |" for key, value in metrics.items()]
    auto = (kind_of.auto_class if kind_of else "AutoModelForSequenceClassification") if task else "AutoModel"
    lines += ["", "## Load it", "", "```python", f"from transformers import AutoTokenizer, {auto}", ""]
    lines += ['tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")']
    lines += [f'model = {auto}.from_pretrained("path/to/this/folder")', "```", ""]
    return "\n".join(lines)


def _sentence(kind: str, meta: dict[str, Any]) -> str:
    teacher = f" from {meta['teacher']}" if meta.get("teacher") else ""
    words = {
        "pretrained": "A pretrained encoder, without a head.",
        "finetuned": "Finetuned on labelled examples with QTinker.",
        "distilled": f"Distilled{teacher} with QTinker.",
        "control": "The same student trained without a teacher, to show what distilling gave. Made with QTinker.",
        "quantized": "Quantized with QTinker.",
        "imported": "Imported into QTinker.",
    }
    return words.get(kind, "Made with QTinker.")


def _facts(meta: dict[str, Any]) -> list[tuple[str, str]]:
    facts = []
    if task := meta.get("task"):
        facts.append(("Task", str(task.get("type"))))
        if labels := task.get("labels"):
            shown = ", ".join(map(str, labels[:20])) + (f", ... ({len(labels)})" if len(labels) > 20 else "")
            facts.append(("Labels", shown.replace("|", "\\|").replace("\n", " ")))
    for key, title in (("max_length", "Longest text in training (tokens)"), ("licence", "Licence"), ("run", "Run")):
        if meta.get(key):
            facts.append((title, str(meta[key])))
    if bits := meta.get("quantization_aware"):
        facts.append(("Trained with its weights rounded to", str(bits).upper()))
    if source := meta.get("source"):
        facts += [(f"Source: {key}", str(value)) for key, value in source.items() if value is not None]
    return facts
