"""The verbs `compare`, `compress` and those about sweeps, as Python functions; `qtinker.api` exposes them. Torch-free.

qtinker.compare(data="reviews.csv", mode="quick", budget="2h")
qtinker.compress(teacher="my-teacher", data="reviews.csv", max_size="20MB", min_retention=0.97)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .. import anchor, model_folder, tables, together
from ..errors import InputError
from ..given import several
from ..options import SettingOption, option, option_of, part_options, to_data
from . import store
from .spec import SweepSpec, TargetSpec
from .store import Sweep

OnEvent = Callable[[dict[str, Any]], None] | None
SweepLike = SweepSpec | dict[str, Any] | str | Path
AS_WRITTEN = ("budget", "max_size", "max_latency", "min_retention")
"""Settings that people write with a unit."""
COMPARE = ("mode", "methods", "schemes", "engine", "teacher_epochs", "teacher_learning_rate", "budget", "halving",
           "control", "download", "name")  # fmt: skip
COMPRESS = ("teacher", "students", "candidates", *COMPARE[1:])


def sweep_options(kind: str) -> list[SettingOption]:
    """Every option of a verb but for the pairs, which are a list."""
    own = [
        _written(option((name,), SweepSpec.model_fields[name])) for name in (COMPARE if kind == "compare" else COMPRESS)
    ]
    if kind == "compress":
        own = [_written(option(("target", name), field)) for name, field in TargetSpec.model_fields.items()] + own
    return [*part_options("data"), *own, *part_options("task"), *part_options("training")]


def _written(each: SettingOption) -> SettingOption:
    """A setting as an option: with a unit where people write one, and nothing shown where the default is none."""
    kind = str if each.path[-1] in AS_WRITTEN else each.type
    return dataclasses.replace(each, type=kind, default=None if isinstance(each.default, list) else each.default)


def compare(spec: SweepLike | None = None, *, on_event: OnEvent = None, **settings: Any) -> dict[str, Any]:
    """Train many teacher-student pairs, quantize and measure them, here and now; the settings are the options.

    Returns the report: `sweep`, `points` (a row each: `id`, `teacher`, `student`, `method`, `scheme`, `score`,
    `retention`, `agreement`, `parameters`, `bytes`, `latency_ms`, `examples_per_second`, `training_seconds`,
    `checkpoint`, ...), `teachers`, `front` (ids), `advice`, `others` (what came to nothing, with the reason),
    `reports` (paths of the files) and more.

    Raises:
        SpecError: with every problem of the settings at once.
        RunStopped: Ctrl-C, a signal or `stop_sweep`; `resume_sweep` goes on.
        QTinkerError: there was nothing to compare.
    """
    return _go(given("compare", settings, spec), on_event)


def compress(spec: SweepLike | None = None, *, on_event: OnEvent = None, **settings: Any) -> dict[str, Any]:
    """Search the student, method and scheme that keep to a target (max_size, max_latency, min_retention) best.

    Returns the report of `compare` and `met`, `best` (a point's id, or None), `nearest`, `misses` and `ruled_out`.
    """
    return _go(given("compress", settings, spec), on_event)


def sweeps() -> dict[str, Any]:
    """All sweeps, newest first, each with its state."""
    return {"sweeps": [each.state() for each in store.list_sweeps()]}


def show_sweep(sweep_id: str) -> dict[str, Any]:
    """One sweep: its state, and its report (or None)."""
    found = store.open(sweep_id)
    return {**found.state(), "folder": str(found.folder), "report": found.report()}


def resume_sweep(sweep_id: str, *, budget: str | float | None = None, on_event: OnEvent = None) -> dict[str, Any]:
    """Go on with a sweep that was stopped, interrupted or failed. Returns the report.

    Args:
        budget: a new one for all attempts together; what was left out for lack of time is then taken up again.
    """
    _refuse_several()
    found = store.open(sweep_id)
    if found.state()["status"] == "done" and budget is None:
        raise InputError(f"Sweep {found.id} is done.", f"See it with: python3 app sweeps show {found.id}")
    if budget is not None:
        with found.held():
            _enlarge(found, budget)
    return _execute(found, on_event)


def stop_sweep(sweep_id: str) -> dict[str, Any]:
    """Ask a sweep that goes on to finish its step, save and end."""
    found = store.open(sweep_id)
    if found.state()["status"] != "running":
        raise InputError(f"Sweep {found.id} is not going on.")
    found.request_stop()
    return found.state()


def remove_sweeps(sweep_ids: str | Sequence[str]) -> dict[str, Any]:
    """Delete sweeps' folders; all are looked up before any is deleted. Runs and models stay."""
    found = {each.id: each for each in map(store.open, several(sweep_ids))}  # several names may be one sweep's
    for each in found.values():
        each.delete()
    return {"removed": list(found)}


def create_sweep(spec: SweepSpec) -> Sweep:
    """Make a sweep's folder, its files and folders as absolute paths; nothing is started."""
    return store.create(anchored(spec))


def anchored(spec: SweepSpec) -> SweepSpec:
    """The same spec with files and folders as absolute paths, for a process that starts elsewhere."""
    spec = spec.model_copy(deep=True)
    anchor.anchor_data(spec.data)
    if spec.teacher:
        spec.teacher = anchor.model(spec.teacher)
    spec.students = [_student(each) for each in spec.students]
    pairs = [each.partition(",") for each in spec.custom_pairs]
    spec.custom_pairs = [
        f"{anchor.model(teacher.strip())},{_student(student.strip())}" for teacher, _, student in pairs
    ]
    return spec


def _student(text: str) -> str:
    model, at, layers = text.partition("@")
    return (anchor.model(model) if model else "") + at + layers


def _go(spec: SweepSpec, on_event: OnEvent) -> dict[str, Any]:
    _refuse_several()
    return _execute(create_sweep(spec), on_event)


def _execute(sweep: Sweep, on_event: OnEvent) -> dict[str, Any]:
    from . import sweep as driver

    return driver.execute(sweep, emit=on_event)


def _refuse_several() -> None:
    if together.count() > 1:
        raise InputError(
            "A sweep is executed by one process.",
            "Start it without torchrun or accelerate; several processes can share a run (finetune, distill).",
        )


def _enlarge(found: Sweep, budget: str | float) -> None:
    """More time: candidates that were out of it wait again, from where they stood."""
    spec = SweepSpec.parse({**found.spec().model_dump(mode="json", exclude_none=True), "budget": budget})
    state = found.state()
    for entry in state["candidates"].values():
        if entry["status"] == "out of time":
            entry |= {"status": "waiting", "reason": None}
        entry["schemes"] = {s: why for s, why in (entry.get("schemes") or {}).items() if why != "out of time"}
        if entry["status"] == "done":
            entry["status"] = "trained"
    if state["phase"] in ("measure", "done"):
        state["phase"] = "train"
    model_folder.write_text(found.folder / "sweep.yaml", spec.to_yaml(full=True))
    found.write(state)


def given(kind: str, settings: dict[str, Any], spec: SweepLike | None = None) -> SweepSpec:
    """The spec that settings, named as the options, amount to; or the given one.

    Raises:
        InputError: there is no such setting.
        SpecError: with every problem at once.
    """
    if spec is not None:
        if settings:
            raise InputError("Both a spec and settings were given.", "Put the settings into the spec.")
        if isinstance(spec, SweepSpec):
            return spec
        return SweepSpec.parse(tables.in_spec(spec)) if isinstance(spec, dict) else SweepSpec.load(spec)
    options = sweep_options(kind)
    custom = settings.pop("custom_pairs", None)
    values: dict[str, Any] = {}
    for name, value in settings.items():
        values[option_of(name, options, "custom_pairs").parameter] = str(value) if isinstance(value, Path) else value
    data = tables.in_spec(to_data(options, values)) | {"kind": kind}
    return SweepSpec.parse(data | ({"custom_pairs": custom} if custom else {}))
