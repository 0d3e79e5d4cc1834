"""What a run does, phase by phase, and the report at its end. What each phase does is in phases.py.

A phase that is done is written down in the run's phases.json with what it made, so that a resumed run goes on with
the first that is not. Free of torch until a phase runs.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from . import runs, together
from .errors import RunStopped
from .kinds import KINDS
from .runs import Run
from .spec import RunSpec

Event = dict[str, Any]
COUNTED = ("train", "unlabelled", "variants", "new_pairs", "eval")
"""How many examples of which kind a report tells."""
TOGETHER = ("prepare", "finetune-teacher", "teacher-outputs", "distill", "finetune", "control")
"""Phases that all processes of a run go through; the main one alone does the others."""
LIBRARIES = ("torch", "transformers", "tokenizers", "accelerate", "torchao", "numpy")


@dataclass(frozen=True)
class Phase:
    """One phase; `weight` is its expected share of the time, for the progress of the whole run."""

    name: str
    title: str
    weight: float


def plan(spec: RunSpec) -> list[Phase]:
    """The phases of a run in their order.

    Weights are in passes of the teacher over the data; a training step of a student is taken for 0.75 of one (a
    quarter of the teacher's size, forward and backward).
    """
    epochs = spec.training.epochs
    found = [Phase("prepare", "Preparing", 0.1)]
    if spec.teacher is None:
        found.append(Phase("finetune", "Finetuning", 3 * epochs))
    else:
        if spec.teacher.finetune:
            found.append(Phase("finetune-teacher", "Finetuning the teacher", 3 * spec.teacher.epochs))
        if asks_once(spec):
            found.append(Phase("teacher-outputs", "Asking the teacher", 1))
        cost = 1.25 if spec.method.asks_along else 0.75
        found.append(Phase("distill", f"Distilling ({spec.method.name})", epochs * cost))
        if spec.control:
            found.append(Phase("control", "Training the control, without the teacher", epochs * 0.75))
    if spec.quantize:
        found.append(Phase("quantize", "Quantizing", 0.3 * len(spec.quantize)))
    return [*found, Phase("evaluate", "Measuring", 0.5)]


def asks_once(spec: RunSpec) -> bool:
    """Whether the teacher is asked once beforehand: where a stage of the method reads no more than can be kept."""
    if spec.task.type in KINDS and KINDS[spec.task.type].form == "blocks":
        return False  # other words are hidden in each epoch
    return spec.teacher is not None and (spec.method.asks_before or spec.teacher.cache_gb is not None)


class Record:
    """phases.json: what each finished phase made, and the seconds that all attempts took together."""

    def __init__(self, run: Run) -> None:
        self.path = run.files.phases
        self.done: dict[str, dict[str, Any]]
        self.done, self.seconds = together.from_main(self._read)
        self._since = time.monotonic()

    def _read(self) -> tuple[dict[str, dict[str, Any]], float]:
        try:
            saved = runs.read_json(self.path)
            return dict(saved["done"]), float(saved["seconds"])
        except (OSError, ValueError, TypeError, KeyError):
            return {}, 0.0

    def holds(self, phase: str) -> bool:
        """Whether a phase is done and what it made is still there: else it is made again, from its saved state."""
        if phase not in self.done:
            return False
        made = self.done[phase]
        models = [made] if "path" in made else made["models"] if phase == "quantize" else []
        return all(Path(each["path"]).is_dir() for each in models)

    def finish(self, phase: str, result: dict[str, Any]) -> None:
        """A phase is done: it is not done again, whatever happens to the process."""
        self.done[phase] = result
        self.save()

    def save(self) -> None:
        """Write down what is done and the time so far; the main process does."""
        if not together.is_main():
            return
        now = time.monotonic()
        self.seconds += now - self._since
        self._since = now
        runs.write_json(self.path, {"done": self.done, "seconds": self.seconds})


def execute(
    run: Run, spec: RunSpec, *, emit: Callable[[Event], None], should_stop: Callable[[], bool]
) -> dict[str, Any]:
    """Go through the phases that are not done yet, write report.json, and return it.

    Raises:
        RunStopped: `should_stop` said so; calling again goes on.
        QTinkerError: a phase can't do its work, in words.
    """
    from . import phases

    record = Record(run)
    work = phases.Work(run=run, spec=spec, record=record, emit=emit, should_stop=should_stop)
    ordered = plan(spec)
    try:
        for index, phase in enumerate(ordered, 1):
            if phase.name != "prepare" and together.from_main(partial(record.holds, phase.name)):
                continue
            if together.from_main(should_stop):
                raise RunStopped(f"Stopped before: {phase.title}.")
            work.phase = phase.name
            emit({"kind": "phase", "phase": phase.name, "index": index, "count": len(ordered), "title": phase.title,
                  "total_steps": None})  # fmt: skip
            do = phases.PHASES[phase.name]
            made = do(work) if phase.name in TOGETHER else together.from_main(partial(do, work))
            record.finish(phase.name, made)
    finally:
        record.save()
    report = together.from_main(lambda: _report(run, spec, work, last=ordered[-1].name))
    together.part_at_exit()
    return report


def _report(run: Run, spec: RunSpec, work: Any, *, last: str) -> dict[str, Any]:
    """Write the report and tell that it is there."""
    record, emit = work.record, work.emit
    report = make_report(run, spec, record, warnings=work.warnings())
    runs.write_json(run.files.report, report)
    emit({"kind": "result", "phase": last, "report": str(run.files.report)})
    work.forget_states()
    return report


def make_report(run: Run, spec: RunSpec, record: Record, *, warnings: list[str]) -> dict[str, Any]:
    """What came of the run: plain data, ready for JSON."""
    done = record.done
    trained = done["distill"] if spec.teacher else done["finetune"]
    rows: list[dict[str, Any]] = done["evaluate"]["models"]
    metric = done["prepare"]["metric"]
    by_path = {Path(row["path"]).resolve(): row for row in rows}  # either may be a link
    made = {"student": trained["path"]}
    if spec.teacher:
        made["teacher"] = done["prepare"].get("teacher") or done["finetune-teacher"]["path"]
    if "path" in done.get("control", {}):
        made["control"] = done["control"]["path"]
    metrics = {role: by_path[Path(path).resolve()]["metrics"] for role, path in made.items()}
    report: dict[str, Any] = {
        "run": run.id,
        "status": "done",
        "name": Path(trained["path"]).name,
        "spec": spec.model_dump(mode="json", exclude_none=True),
        "checkpoint": trained["path"],
        "metric": metric,
        "metrics": metrics,
        "examples": {name: done["prepare"].get(name, 0) for name in COUNTED},
        "judge": done["prepare"].get("judge"),
        "retention": None,
        "examples_per_second": trained["examples_per_second"],
        "training": {phase: done[phase] for phase in ("finetune-teacher", "finetune", "distill", "control")
                     if "path" in done.get(phase, {})},
        "models": rows,
        "quantized": done.get("quantize", {}).get("models", []),
        "seconds": round(record.seconds, 2),
        "warnings": warnings,
        "environment": environment(spec),
    }  # fmt: skip
    if spec.teacher:
        report["teacher"] = made["teacher"]
        if metrics["teacher"][metric] > 0:
            report["retention"] = metrics["student"][metric] / metrics["teacher"][metric]
    if "control" in made:
        report["control_checkpoint"] = made["control"]
    return report


def environment(spec: RunSpec) -> dict[str, Any]:
    """Where the run was made: versions, system, processor."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": spec.training.threads,
        "executable": sys.executable,
        **versions,
    }


def quantize_model(model: str | Path, *, scheme: str, name: str | None = None, **options: Any) -> dict[str, Any]:
    """Quantize one model of the registry; what came of it as plain data."""
    from .quantize import quantize

    return quantized(Path(quantize(model, scheme, name=name, **options)), scheme)


def quantized(path: Path, scheme: str) -> dict[str, Any]:
    """A quantized model as plain data."""
    from . import model_folder

    record = model_folder.read_meta(path).get("quantization") or {}
    return {
        "name": path.name,
        "path": str(path),
        "scheme": scheme,
        "engine": record.get("engine"),
        "source": record.get("source_path"),
        "bytes": (record.get("bytes_after") or {}).get("total"),
        "source_bytes": (record.get("bytes_before") or {}).get("total"),
        "findings": record.get("findings", []),
        "speedup": record.get("speedup"),
        "bytes_before": record.get("bytes_before"),
        "bytes_after": record.get("bytes_after"),
        "check": record.get("check"),
    }
