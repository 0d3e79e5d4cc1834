"""Data of which only a part has labels: the teacher's answers teach all of it, the labels their part alone."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import task_data
import tiny
from qtinker import api, checkpoint, registry, tasks
from qtinker.check import preflight
from qtinker.spec import RunSpec
from safetensors.torch import load_file

pytestmark = pytest.mark.train
LABELLED, ALL, HELD, BATCH = 40, 160, 24, 8


@pytest.fixture
def files(qtinker_home, tmp_path):
    """Models in the home; `half.csv`, `part.csv` (its labelled rows alone) and `held.csv`."""
    for name, layers, seed in (("teacher", 4, 1), ("small", 2, 3)):
        loaded, teaches = tiny.bert(layers, 32, 4, seed=seed), name == "teacher"
        meta = {"name": name, "kind": "pretrained", "task": tiny.task().to_meta() if teaches else None}
        model = loaded.model if teaches else loaded.model.bert
        checkpoint.save(model, loaded.tokenizer, qtinker_home / "bert_models" / "hub" / name, meta=meta)
    rows = tiny.examples(ALL, seed=5)
    pairs = [(text, tiny.LABELS[label]) for text, label in zip(rows.texts, rows.labels, strict=True)]
    held = tiny.examples(HELD, seed=6)
    for name, content in {
        "half": [(text, label if at % 4 == 0 else "") for at, (text, label) in enumerate(pairs)],
        "part": [pair for at, pair in enumerate(pairs) if at % 4 == 0],
        "held": [(text, tiny.LABELS[label]) for text, label in zip(held.texts, held.labels, strict=True)],
    }.items():
        with open(tmp_path / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text", "label"), *content])
    return tmp_path


def spec(files: Path, name: str, **more) -> RunSpec:
    training = {"epochs": 2, "batch_size": BATCH, "learning_rate": 1e-3, "precision": "fp32", "threads": 1,
                "device": "cpu"}  # fmt: skip
    data = {"train": str(files / f"{name}.csv"), "eval": str(files / "held.csv"), "max_length": 32}
    return RunSpec.parse({"student": {"model": "small"}, "data": data, "training": training, **more})


def weights(report):
    return load_file(Path(report["checkpoint"]) / "model.safetensors")


def test_finetuning_sees_the_labelled_examples_alone(files):
    half, part = (api.run(spec(files, name)) for name in ("half", "part"))
    assert half["training"]["finetune"]["steps"] == 2 * LABELLED // BATCH
    theirs = weights(part)
    assert all((value == theirs[name]).all() for name, value in weights(half).items())


def test_the_control_has_as_many_steps_and_only_labelled_examples(files):
    seen = []
    report = api.distill(spec(files, "half", teacher={"model": "teacher"}, control=True), on_event=seen.append)
    trained = report["training"]
    assert trained["distill"]["steps"] == trained["control"]["steps"] == 2 * ALL // BATCH
    epochs = {phase: [event["epoch"] for event in seen if event["kind"] == "step" and event["phase"] == phase][-1]
              for phase in trained}  # fmt: skip
    assert epochs == {"distill": 2.0, "control": 2.0 * ALL / LABELLED}
    evaluated = {phase: [row["step"] for row in result["history"]] for phase, result in trained.items()}
    assert evaluated["control"] == evaluated["distill"] == [ALL // BATCH, 2 * ALL // BATCH]


def test_without_any_label_there_is_no_control(files):
    """A preset asks for one whatever the data: the run does without, and says so."""
    with open(files / "bare.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *((text, "") for text in tiny.examples(ALL, seed=5).texts)])
    content = spec(files, "bare", teacher={"model": "teacher"}, control=True)
    problems = {problem.field: problem.level for problem in preflight(content).problems}
    assert problems["control"] == "warning" and "error" not in problems.values()
    report = api.distill(content)
    assert set(report["training"]) == {"distill"} and set(report["metrics"]) == {"teacher", "student"}
    assert any("No control is trained" in text for text in report["warnings"])


def test_a_teacher_knows_that_questions_may_have_no_answer(qtinker_home, tmp_path):
    """Data without answers can't tell it: the teacher does, and the student keeps it."""
    task_data.encoder(qtinker_home / "bert_models" / "hub", "small", layers=1, seed=2)
    model = task_data.model_for("question-answering", layers=2)
    bare = task_data.write(tmp_path, "question-answering", 40, labels=False)
    for knows in (True, False):
        task = tasks.TASKS["question-answering"](pair=True, unanswerable=knows)
        checkpoint.save(model.model, model.tokenizer, qtinker_home / "bert_models" / "hub" / f"teacher-{knows}",
                        meta={"name": f"teacher-{knows}", "kind": "finetuned", "task": task.to_meta()})  # fmt: skip
        report = api.run({
            "teacher": {"model": f"teacher-{knows}"}, "student": {"model": "small"}, "method": {"name": "logit"},
            "data": {"train": str(bare), "max_length": 32}, "training": {"max_steps": 2, "device": "cpu"},
        })  # fmt: skip
        assert registry.read_meta(Path(report["checkpoint"]))["task"]["unanswerable"] is knows


def test_what_is_too_long_to_be_read_is_told(files):
    def told(report):
        return [text for text in report["warnings"] if "--max-length" in text]

    content = spec(files, "half").model_dump(exclude_defaults=True)
    assert not told(api.run(content))
    content["data"]["max_length"] = 8
    [text] = told(api.run(content))
    assert "40 training texts are longer than 8 tokens" in text and text.split(" ")[0].isdigit()


def test_answers_that_no_window_holds_are_told(qtinker_home, tmp_path):
    task_data.encoder(qtinker_home / "bert_models" / "hub", "small", layers=1, seed=2)
    path = tmp_path / "asked.json"
    context = "a film was very good but the plot was not"
    asked = [{"question": "is the movie", "id": str(number), "answers": [{"text": text, "answer_start": at}]}
             for number, (text, at) in enumerate([(context, 0), ("good", context.index("good"))] * 8)]  # fmt: skip
    path.write_text(json.dumps({"data": [{"paragraphs": [{"context": context, "qas": asked}]}]}), encoding="utf-8")
    report = api.run({
        "student": {"model": "small"}, "training": {"max_steps": 2, "device": "cpu"},
        "data": {"train": str(path), "eval": str(path), "max_length": 12, "stride": 2},
    })  # fmt: skip
    assert any(text.startswith("8 answers are whole in no part of 12 tokens") for text in report["warnings"])
