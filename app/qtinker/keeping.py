"""How what a run makes is named, recognised and kept: names of models, hashes of content, entries of the registry."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import checkpoint, model_folder, registry, seen, together
from .checkpoint import Loaded
from .home import home
from .spec import RunSpec

if TYPE_CHECKING:
    from .distill.train import TrainResult
    from .work import Work

_UPLOADED = re.compile(r"-[0-9a-f]{8,12}$")


def keep(
    work: Work, loaded: Loaded, group: str, base: str, *, kind: str, result: TrainResult, source: Path | None,
    **more: Any,
) -> Path:  # fmt: skip
    """Put a trained model into the registry; one that a killed attempt put there is found again."""
    return Path(together.from_main(lambda: str(_keep(
        work, loaded, group, base, kind=kind, result=result, source=source, more=more
    ))))  # fmt: skip


def _keep(
    work: Work, loaded: Loaded, group: str, base: str, *, kind: str, result: TrainResult, source: Path | None,
    more: dict[str, Any],
) -> Path:  # fmt: skip
    name = registry.unique_name(group, base)
    if (known := made_before(work, group, kind, base)) is not None:
        return known
    meta = {
        "name": name, "kind": kind, "run": work.run.id, "task": work.task.to_meta(), "max_length": work.max_length,
        "metrics": result.metrics, "judge": work.judge, "licence": loaded.meta.get("licence"),
        "source": {"model": known_name(source) if source else loaded.name},
        "teacher": known_name(work.teacher_path) if kind == "distilled" else None,
        "trained_on": seen.sketch(work.learned_from(labelled=kind != "distilled")),
        "training": summary(result) | {"method": work.spec.method.model_dump() if kind == "distilled" else None},
        **more,
    }  # fmt: skip
    bits = work.spec.training.quantization_aware
    if bits != "none" and "finetune_key" not in more:  # a teacher is finetuned as it is
        meta["quantization_aware"] = bits
    with registry.staged(group, name) as folder:
        checkpoint.save(loaded.model.to("cpu"), loaded.tokenizer, folder, meta=meta)
    if name != (plain := registry.plain_name(base)):
        work.say(f"There was a model {plain} already: this one is {name}.", level="warning")
    return next(entry.path for entry in registry.list_models() if (entry.group, entry.name) == (group, name))


def made_before(
    work: Work, group: str, kind: str, base: str, *, scheme: str | None = None, engine: str = "auto"
) -> Path | None:
    """What an earlier attempt of this run kept just before it was killed; `scheme` and `engine` of a quantized one."""
    for entry in registry.list_models():
        mine = entry.group == group and entry.run == work.run.id and entry.kind == kind
        record = entry.quantization or {}
        same = record.get("scheme") == scheme and engine in ("auto", record.get("engine"))
        if mine and same and entry.name.startswith(registry.plain_name(base)) and not entry.broken:
            return entry.path
    return None


def known_name(path: Path | None) -> str | None:
    """A model's name in the registry, else its folder."""
    if path is None:
        return None
    return next((entry.full_name for entry in registry.list_models() if entry.path == path), str(path))


def data_name(spec: RunSpec) -> str:
    """A short name of the data for the names of models; without the hash that an upload or a table in memory got."""
    file = Path(spec.data.train)
    name = file.name.split(".")[0]
    return (_UPLOADED.sub("", name) if file.parent == home() / "data" else name) or "data"


def student_name(work: Work) -> str:
    spec, teacher = work.spec.student, work.teacher_path.name
    layers = f"-L{'-'.join(map(str, spec.layers))}" if spec.layers else ""
    if spec.layers and not spec.model:
        return f"{teacher}{layers}-{work.spec.method.name}"
    base = spec.shape or registry.resolve(str(spec.model)).name
    return f"{base}{layers}-from-{teacher}-{work.spec.method.name}"


def summary(result: TrainResult) -> dict[str, Any]:
    """A training in a few figures."""
    return {
        "steps": result.steps, "total_steps": result.total_steps, "best_step": result.best_step,
        "metrics": result.metrics, "history": result.history, "precision": result.precision,
        "device": result.device, "examples_per_second": round(result.examples_per_second, 2),
        "stopped_early": result.stopped_early,
    }  # fmt: skip


def content_key(*parts: Any) -> str:
    """A hash of everything that decides a result."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.tobytes() if isinstance(part, np.ndarray) else json.dumps(part, sort_keys=True).encode()
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.hexdigest()[:32]


def weights_key(path: Path) -> list[str]:
    """What tells a model's weights from all others: the hashes of its files, recorded or computed."""
    recorded = model_folder.recorded_files(model_folder.read_meta(path))
    keys = []
    for file in model_folder.safetensors_files(path):
        known = recorded.get(file.name, {})
        fresh = known.get("bytes") == file.stat().st_size and known.get("sha256")
        keys.append(str(known["sha256"]) if fresh else model_folder.sha256(file))
    return keys
