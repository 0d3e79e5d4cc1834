"""Times QTinker at the job of benchmarks/speed.py, which starts this file.

    python benchmarks/speed_qtinker.py JOB

JOB is JSON: what (steps, teacher, run), method, precision, teacher, student, data, and how much of it. `steps` trains
on all of the data for a sample of steps, the teacher's kept outputs being there already; `teacher` asks the teacher
about a sample of the texts, as a run does before training; `run` is a whole run, phase by phase.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "app"))

from speed_common import BATCH, MAX_LENGTH, Clock, answer, operations, peak_memory, read_rows

WARM_UP = 5
"""Steps before the clock starts."""


def main(job: dict[str, Any]) -> None:
    """Measure and write the row."""
    os.environ["QTINKER_HOME"] = job["home"]
    import torch

    torch.set_num_threads(1)
    if job["what"] == "run":
        return answer(whole_run(job))
    clock, row = (teacher_pass if job["what"] == "teacher" else steps)(job)
    answer({**row, "memory": peak_memory(), "profile": clock.table})


def prepared(job: dict[str, Any], count: int | None) -> dict[str, Any]:
    """Models, task and tokenized texts."""
    import numpy as np
    from qtinker import checkpoint, data
    from qtinker.tasks import Task

    student = checkpoint.load(job["student"])
    teacher = checkpoint.load(job["teacher"]) if job["teacher"] else None
    rows = read_rows(job["data"], count)
    examples = data.Examples([text for text, _ in rows], None, np.asarray([label for _, label in rows]))
    task = Task.from_meta({"type": "classification", "labels": student.labels, "pair": False, "metric": "accuracy"})
    encoded = data.encode(examples, student.tokenizer, MAX_LENGTH, cache=False)
    return {"student": student, "teacher": teacher, "task": task, "encoded": encoded}


def method_of(job: dict[str, Any]) -> Any:
    """The method's settings; attention can't be compared head by head where the numbers of heads differ."""
    from qtinker.spec import METHODS

    more = {"attention_weight": 0.0} if job["method"] == "feature" else {}
    return METHODS[job["method"]](**more) if job["method"] else None


def steps(job: dict[str, Any]) -> tuple[Clock, dict[str, Any]]:
    """Optimizer steps a second, everything that belongs to one counted."""
    import numpy as np
    import torch
    from qtinker.distill import methods, precision, teacher_cache
    from qtinker.distill import train as training_loop
    from qtinker.distill.teacher import Teacher
    from qtinker.spec import TrainingSpec

    found = prepared(job, None)
    student, loaded, task, encoded = (found[name] for name in ("student", "teacher", "task", "encoded"))
    teacher, method = None, method_of(job)
    if loaded is not None:
        teacher = Teacher(loaded, student=student, task=task)
        wanted = methods.build(method, task=task, student=student, teacher=loaded, seed=0).teacher_needs.values()
        names = {name for needs in wanted if needs is not None for name in teacher_cache.names_for(needs) or ()}
        widths = {name: 2 if name == "logits" else loaded.model.config.hidden_size for name in names}
        arrays = {name: np.zeros((len(encoded), width), np.float32) + 0.1 for name, width in widths.items()}
        teacher.cache = teacher_cache.TeacherCache(np.arange(len(encoded)), arrays)
    total = WARM_UP + job["steps"]
    training_loop.EVENT_SECONDS = 0.0  # an event after each step
    chosen = precision.choose(job["precision"], student.model, torch.device("cpu"), size=(BATCH, 128))
    training = TrainingSpec(
        epochs=job["epochs"], max_steps=total, batch_size=BATCH, precision=chosen, threads=1, device="cpu"
    )
    clock = Clock(chosen, profile=job.get("profile", False))
    with tempfile.TemporaryDirectory() as folder:
        generator = training_loop.train(
            student, encoded, task=task, training=training, folder=folder, method=method, teacher=teacher
        )
        timed(generator, clock, after=WARM_UP, last=total)
    lengths = encoded.lengths.tolist()
    count = job["steps"] * BATCH
    row = rates(clock, count, 3 * operations(student.model.config, lengths) * count / len(lengths))
    if loaded is not None and method.name == "feature":  # the teacher is asked along in one of the two stages
        row["operations_per_second"] += (
            0.5 * count / len(lengths) * operations(loaded.model.config, lengths) / (row["seconds"])
        )
    return clock, {**row, "precision": chosen}


def timed(generator: Generator[dict[str, Any], None, Any], clock: Clock, *, after: int, last: int) -> None:
    """Run to the end; the clock runs from after one step to the last."""
    for event in generator:
        if event["kind"] != "step":
            continue
        if event["step"] == after:
            clock.start()
        elif event["step"] == last:
            clock.stop()
        else:
            clock.tick()


def rates(clock: Clock, count: int, work: float) -> dict[str, Any]:
    """What a row tells of its speed; the peak is measured for both kinds of arithmetic."""
    return {
        "seconds": clock.end, "examples": count, "examples_per_second": count / clock.end,
        "operations_per_second": work / clock.end, "peak": clock.peak, "peaks": [min(clock.peaks), max(clock.peaks)],
    }  # fmt: skip


def teacher_pass(job: dict[str, Any]) -> tuple[Clock, dict[str, Any]]:
    """Texts a second that the teacher is asked about, hashing and writing counted."""
    import torch
    from qtinker.distill import methods, precision, teacher_cache
    from qtinker.distill.teacher import Teacher
    from qtinker.home import cache_dir

    found = prepared(job, job["examples"])
    student, loaded, task, encoded = (found[name] for name in ("student", "teacher", "task", "encoded"))
    shutil.rmtree(cache_dir() / "teacher", ignore_errors=True)
    teacher = Teacher(loaded, student=student, task=task)
    device = torch.device("cpu")
    chosen = precision.choose(job["precision"], loaded.model, device, size=precision.ASKING)
    teacher.prepare(device, chosen)
    method = methods.build(method_of(job), task=task, student=student, teacher=loaded, seed=0)
    wanted = [teacher_cache.names_for(needs) for needs in method.teacher_needs.values() if needs is not None]
    names = list(dict.fromkeys(name for each in wanted for name in each or ()))
    clock = Clock(chosen, profile=job.get("profile", False))
    clock.start()
    for event in teacher_cache.fill(teacher, encoded, names, weights=["benchmark"]):
        if event["kind"] == "step":
            clock.tick()
    clock.stop()
    lengths = encoded.lengths.tolist()
    row = rates(clock, len(lengths), operations(loaded.model.config, lengths))
    return clock, {**row, "precision": chosen}


def whole_run(job: dict[str, Any]) -> dict[str, Any]:
    """A run as the command line starts it; seconds of each phase, the peak's left out."""
    from qtinker import runs, worker
    from qtinker.home import cache_dir
    from qtinker.spec import RunSpec

    for name in ("teacher", "tokens"):
        shutil.rmtree(cache_dir() / name, ignore_errors=True)
    clock, marks = Clock("fp32"), []

    def listen(event: dict[str, Any]) -> None:
        if event["kind"] == "phase":
            marks.append((event["phase"], clock.seconds))
        elif event["kind"] == "step":
            clock.tick()

    spec = RunSpec.parse({
        "teacher": {"model": job["teacher"]}, "student": {"model": job["student"]},
        "data": {"train": job["data"], "eval": job["eval"], "max_length": MAX_LENGTH},
        "method": method_of(job).model_dump(),
        "training": {"epochs": job["epochs"], "batch_size": BATCH, "precision": job["precision"], "threads": 1,
                     "device": "cpu"},
    })  # fmt: skip
    clock.start()
    worker.execute(runs.create(spec), emit=listen)
    marks.append(("end", clock.seconds))
    phases = {name: marks[at + 1][1] - since for at, (name, since) in enumerate(marks[:-1])}
    seconds = sum(taken for name, taken in phases.items() if name != "evaluate")
    count = len(read_rows(job["data"]))
    return {
        "phases": phases, "seconds": seconds, "examples": count,
        "examples_per_second": job["epochs"] * count / seconds, "memory": peak_memory(),
        "peak": clock.peak,
    }  # fmt: skip


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
