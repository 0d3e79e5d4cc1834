"""Small trainings, to be run here or in a process that kills itself: python training_job.py NAME FOLDER WHEN."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

if __name__ == "__main__":
    root = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(root / "app"), str(root / "tests")]

import tiny
import torch
from qtinker import checkpoint, model_folder, together
from qtinker.data import collate
from qtinker.distill.teacher import Teacher
from qtinker.distill.train import TrainResult, train
from qtinker.spec import METHODS, TrainingSpec
from safetensors.torch import save_file

SETTINGS: dict[str, dict[str, Any]] = {
    "finetune": {"gradient_accumulation": 2},
    "logit": {"early_stopping": 20},
    "patient": {"method": {"layer_mapping": "1:1,2:4"}},
    "feature": {"gradient_accumulation": 2, "method": {"ce_weight": 0.5}},
}


def accuracy(loaded: Any, data: Any) -> Callable[[Any], dict[str, float]]:
    def evaluate(model: Any) -> dict[str, float]:
        torch.manual_seed(0)  # whoever draws numbers between steps must not change the training
        batch = collate(data, np.arange(len(data)), pad_token_id=0)
        logits = model(**{name: batch[name] for name in checkpoint.model_inputs(model)}).logits
        return tiny.task().metrics(logits, batch["labels"])

    return evaluate


def job(
    name: str, folder: Path, *, dropout: float = 0.1, should_stop: Callable[[], bool] = lambda: False, **more: Any
) -> tuple[Any, TrainResult, list[dict[str, Any]]]:
    """Train as SETTINGS says; 13 steps of dropout in two epochs and a bit. Returns model, result and events."""
    settings = dict(SETTINGS[name])
    method = None if name == "finetune" else METHODS[name](**settings.pop("method", {}))
    student = tiny.bert(2, 32, 4, seed=2, dropout=dropout)
    teacher = Teacher(tiny.bert(4, 64, 4, seed=1), student=student, task=tiny.task()) if method else None
    data = tiny.encoded(40, unlabelled=3)
    settings = {"epochs": 2.5, "save_every": 2, "eval_every": 5, **settings, **more}
    result, events = go(
        student, folder, method=method, teacher=teacher, data=data, evaluate=accuracy(student, data),
        should_stop=should_stop, **settings,
    )  # fmt: skip
    return student.model, result, events


def go(
    student: Any, folder: Path, *, method: Any = None, teacher: Any = None, data: Any = None, evaluate: Any = None,
    should_stop: Callable[[], bool] = lambda: False, task: Any = None, **training: Any,
) -> tuple[TrainResult, list[dict[str, Any]]]:  # fmt: skip
    """Train; returns (result, events)."""
    settings = {"epochs": 1, "batch_size": 8, "learning_rate": 1e-3, "precision": "fp32", "device": "cpu",
                "threads": 1, **training}  # fmt: skip
    data = data if data is not None else tiny.encoded(24)
    task = task or tiny.task()
    if teacher is not None and not isinstance(teacher, Teacher):
        teacher = Teacher(teacher, student=student, task=task)
    steps = train(
        student, data, task=task, training=TrainingSpec(**settings), folder=folder, method=method, teacher=teacher,
        evaluate=evaluate, should_stop=should_stop,
    )  # fmt: skip
    events = []
    while True:
        try:
            events.append(next(steps))
        except StopIteration as end:
            return end.value, events


def first(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The event of the first step."""
    return next(event for event in events if event["kind"] == "step")


def same(first: dict, second: dict, tolerance: float) -> None:
    for key, weight in first.items():
        assert torch.allclose(weight, second[key], atol=tolerance, rtol=0), (key, (weight - second[key]).abs().max())


def main() -> None:
    """Run a job and die by SIGKILL: after step N (`step:N`), or at the Nth small file written (`write:N`); or, with
    `share`, as one of several processes that train together without dropout and write what they end with."""
    name, folder, when = sys.argv[1], Path(sys.argv[2]), sys.argv[3].split(":")
    count = 0
    if when[0] == "share":
        model, _, events = job(name, folder / "state", dropout=0.0, learning_rate=1e-4)
        rank = os.environ["RANK"]
        save_file(tiny.weights(model), folder / f"{rank}.safetensors")
        (folder / f"{rank}.json").write_text(json.dumps(events), encoding="utf-8")
        together.part_at_exit()
        return

    def tick() -> bool:
        nonlocal count
        count += 1
        if count == int(when[1]):
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
        return False

    if when[0] == "write":
        write = model_folder.write_text
        model_folder.write_text = lambda *arguments: (tick(), write(*arguments))[1]
    job(name, folder, should_stop=tick if when[0] == "step" else lambda: False)


if __name__ == "__main__":
    main()
