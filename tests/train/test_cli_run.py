"""The contract of the training and measuring verbs, through the real program in processes of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
from qtinker import checkpoint

pytestmark = pytest.mark.train
ROOT = Path(__file__).resolve().parents[2]


def command(*arguments: str) -> dict:
    """The program on one thread; returns what Popen takes."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "app"), "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    return {"args": [sys.executable, "-m", "qtinker", *map(str, arguments)], "env": environment, "text": True}


def run(*arguments: str, status: int = 0) -> dict:
    """Its last line on standard output as an object; nothing else may be there."""
    done = subprocess.run(**command(*arguments, "--json"), capture_output=True)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stdout.splitlines()) == 1
    return json.loads(done.stdout)


@pytest.fixture
def material(tmp_path) -> dict[str, Path]:
    """A tiny model with a random head, and labelled files."""
    paths = {"model": tmp_path / "tiny-bert", "train": tmp_path / "train.csv", "eval": tmp_path / "eval.csv"}
    loaded = tiny.bert(layers=2, hidden=32)
    headless = loaded.model.bert
    checkpoint.save(headless, loaded.tokenizer, paths["model"], meta={"name": "tiny-bert", "kind": "pretrained"})
    for name, count, seed in (("train", 64, 0), ("eval", 24, 1)):
        examples = tiny.examples(count, seed=seed)
        rows = [f"{text},{tiny.LABELS[label]}" for text, label in zip(examples.texts, examples.labels, strict=True)]
        paths[name].write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    return paths


def test_from_model_to_answers(material, qtinker_home):
    data = ["--data", material["train"], "--eval-data", material["eval"], "--max-length", "16", "--precision", "fp32"]
    teacher = run("finetune", material["model"], *data, "--epochs", "3", "--lr", "1e-3", "--name", "teacher")
    assert set(teacher["metrics"]["student"]) >= {"accuracy", "macro_f1"}

    distilled = run(
        "distill", "--teacher", "teacher", "--student-layers", "0", *data, "--epochs", "2", "--lr", "1e-3",
        "--control", "--name", "small",
    )  # fmt: skip
    for role in ("teacher", "student", "control"):
        assert 0 <= distilled["metrics"][role]["accuracy"] <= 1
        assert 0 <= distilled["metrics"][role]["macro_f1"] <= 1
    assert distilled["metrics"]["teacher"]["accuracy"] == teacher["metrics"]["student"]["accuracy"]
    ratio = distilled["metrics"]["student"][distilled["metric"]] / distilled["metrics"]["teacher"][distilled["metric"]]
    assert distilled["retention"] == pytest.approx(ratio)
    assert distilled["examples_per_second"] > 0
    assert (Path(distilled["checkpoint"]) / "model.safetensors").is_file()
    assert (qtinker_home / "runs" / distilled["run"] / "report.json").is_file()

    measured = run("evaluate", "teacher", "small", "--data", material["eval"])["models"]
    assert [row["name"] for row in measured] == ["teacher", "small"]
    for row in measured:
        assert row["metrics"]["accuracy"] is not None
        assert row["bytes"] > 0 and row["parameters"] > 0 and row["examples_per_second"] > 0
        assert 0 < row["latency_ms"]["p50"] <= row["latency_ms"]["p95"]
        assert Path(row["path"]).is_dir()
    assert measured[1]["metrics"]["accuracy"] == pytest.approx(distilled["metrics"]["student"]["accuracy"])

    answers = run("predict", "small", "a great movie", "an awful film")["predictions"]
    assert [answer["text"] for answer in answers] == ["a great movie", "an awful film"]
    assert {answer["label"] for answer in answers} <= set(tiny.LABELS)
    assert [state["status"] for state in run("runs")["runs"]] == ["done", "done"]
    assert {entry["name"] for entry in run("models")["models"]} >= {"teacher", "small", "small-control"}


def test_a_model_that_learned_nothing_is_told(material):
    """A training too short to learn anything: teacher and student answer the same always, and the run says so."""
    data = ["--data", material["train"], "--eval-data", material["eval"], "--max-length", "16", "--max-steps", "1",
            "--lr", "1e-9"]  # fmt: skip
    told = run("finetune", material["model"], *data, "--name", "teacher")["warnings"]
    (line,) = [text for text in told if "too little" in text]
    assert line.startswith("The model (accuracy 0.") and "than giving the same answer always (0." in line
    told = run("distill", "--teacher", "teacher", "--student-layers", "0", *data)["warnings"]
    lines = [text for text in told if "too little" in text]
    assert [text.split(" (")[0] for text in lines] == ["The teacher", "The student"]
    assert "Retention over it says nothing" in lines[0] and "(--epochs, --lr)" in lines[1]
    again = run("finetune", material["model"], *data, "--name", "teacher")
    assert "There is a model teacher already: this one will be teacher-2." in again["warnings"]
    assert Path(again["checkpoint"]).name == "teacher-2"


def test_an_untrained_teacher_is_refused_in_one_line(material):
    error = run(
        "distill", "--teacher", material["model"], "--student-layers", "0", "--data", material["train"], status=2
    )["error"]
    assert "no trained head" in error["message"]
    assert "finetune" in error["message"] + error["fix"]
    assert run("runs")["runs"] == []


@pytest.mark.skipif(os.name == "nt", reason="a console's Ctrl-C can't be sent to a child alone on Windows")
def test_ctrl_c_saves_and_resume_goes_on(material):
    long = ["finetune", material["model"], "--data", material["train"], "--epochs", "2000", "--max-length", "16"]
    process = subprocess.Popen(**command(*long, "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for line in process.stderr:
        if "Finetuning" in line:
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    told = json.loads(out.splitlines()[-1])["error"]
    assert told["exit_status"] == 130
    [state] = run("runs")["runs"]
    assert state["status"] == "stopped"
    assert f"runs resume {state['id']}" in told["fix"]

    process = subprocess.Popen(**command("runs", "resume", state["id"]), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for line in process.stderr:
        if "Finetuning" in line:
            break
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    [again] = run("runs")["runs"]
    assert again["status"] == "stopped"
    assert again["attempt"] == 2
    assert run("runs", "remove", state["id"], "--yes")["removed"] == [state["id"]]
