"""The whole job on the bundled sample, offline: teacher, students by each method, control, INT8 and INT4, one table.

Every step is what a user would type: `finetune`, `distill`, `quantize`, `evaluate`. Only the teacher's start is
special, a BERT with random weights and the sample's vocabulary: nothing may be downloaded. Same seed, same table
(timings aside).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import api, registry
from .home import cache_dir, home
from .spec import SHAPE

Event = dict[str, Any]
DATA = "sample"
TEACHER_SHAPE, STUDENT_SHAPE = "L-4_H-128_A-2", "L-2_H-64_A-2"
SHOWN = ("logit", "patient", "feature")
SCHEMES = {"int8-dynamic": "torchao", "int4-weight-only": "compressed-tensors"}
"""Each with an engine that is always there: the same table, whatever else is installed."""
TEACHER: dict[str, Any] = {"epochs": 10, "learning_rate": 1e-3}
STUDENT: dict[str, Any] = {"epochs": 6, "learning_rate": 2e-3}
MAX_LENGTH, BATCH_SIZE = 64, 32
THREADS = 1  # models this small gain nothing from more, and so the table does not depend on the number of cores
PREFIX = "demo-"


def demo(*, seed: int = 42, on_event: Callable[[Event], None] | None = None) -> dict[str, Any]:
    """Run the demo; its models replace those of the last one.

    Returns `models` (a row each: name, role, path, metrics, retention, bytes, parameters, latency_ms,
    examples_per_second), `best` (the best student's name), `warnings` (what is slower than its source),
    `runs`, `folders` and `seed`.
    """
    tell = on_event or (lambda event: None)
    replaced = [entry.full_name for entry in registry.list_models() if is_ours(entry)]
    if replaced:
        say(tell, f"Replacing the models of the last demo: {', '.join(replaced)}.")
        api.remove(replaced)
    common: dict[str, Any] = {
        "data": DATA, "seed": seed, "max_length": MAX_LENGTH, "batch_size": BATCH_SIZE, "threads": THREADS,
        "precision": "fp32", "attention": "sdpa",
        "on_event": tell,
    }  # fmt: skip
    say(tell, f"A teacher ({TEACHER_SHAPE}, random weights) learns the sample.")
    start = untrained(seed=seed)
    reports = [api.finetune(str(start), name=f"{PREFIX}teacher", **TEACHER, **common)]
    teacher = reports[0]["checkpoint"]
    roles = {teacher: "teacher"}
    for method in SHOWN:
        first = len(reports) == 1
        say(tell, f"A student ({STUDENT_SHAPE}) learns from it: {method}{', and alone: the control' if first else ''}.")
        options: dict[str, Any] = {"control": first, "student_shape": STUDENT_SHAPE, "method": method}
        report = api.distill(teacher=teacher, name=f"{PREFIX}{method}", **options, **STUDENT, **common)
        if first:
            roles[report["control_checkpoint"]] = "control, no teacher"
        roles[report["checkpoint"]] = f"student, {method}"
        reports.append(report)
    best = max(reports[1:], key=lambda report: report["metrics"]["student"][report["metric"]])
    say(tell, f"The best student is {best['name']}; it is quantized.")
    for scheme, engine in SCHEMES.items():
        made = api.quantize(
            best["checkpoint"], scheme=scheme, name=f"{best['name']}-{scheme}", engine=engine, fresh=False
        )  # fmt: skip
        roles[made["path"]] = f"quantized, {scheme}"
    say(tell, "All are measured side by side.")
    measured = api.evaluate(list(roles), data=DATA, max_length=MAX_LENGTH, threads=THREADS, isolate=False)
    rows = [row | {"role": roles[row["path"]]} for row in measured["models"]]
    whole = rows[0]["metrics"]["accuracy"]
    for row in rows:
        row["retention"] = row["metrics"]["accuracy"] / whole if whole else None
    return {
        "seed": seed,
        "best": best["name"],
        "models": rows,
        "warnings": measured["findings"],
        "runs": [report["run"] for report in reports],
        "folders": {"home": str(home()), "best": best["checkpoint"]},
    }


def is_ours(entry: registry.RegistryEntry) -> bool:
    """Whether a model was made by a demo: called as one of its models, and no pretrained or imported one."""
    students = [f"{PREFIX}{method}" for method in SHOWN]
    names = {f"{PREFIX}teacher", *students, *(f"{each}-control" for each in students)}
    names |= {f"{each}-{scheme}" for each in students for scheme in SCHEMES}
    return entry.name in names and entry.kind in ("finetuned", "distilled", "control", "quantized")


def say(tell: Callable[[Event], None], text: str) -> None:
    """A heading between the runs."""
    tell({"kind": "heading", "text": text})


def untrained(*, seed: int) -> Path:
    """A BERT with random weights and the sample's vocabulary, in the cache."""
    import torch
    import transformers

    from . import checkpoint
    from .data import sample

    folder = cache_dir() / "demo" / f"untrained-{TEACHER_SHAPE}-{seed}"
    tokenizer = sample.tokenizer(MAX_LENGTH)
    shape = SHAPE.match(TEACHER_SHAPE)
    assert shape is not None
    hidden = int(shape["hidden"])
    config = transformers.BertConfig(
        vocab_size=len(tokenizer), hidden_size=hidden, num_hidden_layers=int(shape["layers"]),
        num_attention_heads=int(shape["heads"]), intermediate_size=4 * hidden, max_position_embeddings=MAX_LENGTH,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = transformers.BertModel(config)
    meta = {"name": folder.name, "kind": "pretrained", "source": {"name": "random weights"}, "licence": "Apache-2.0"}
    return checkpoint.save(model.eval(), tokenizer, folder, meta=meta)
