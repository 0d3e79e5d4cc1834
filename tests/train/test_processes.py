"""Two processes that train together end where one does with the same batches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import qtinker
import tiny
import torch
from qtinker import checkpoint
from safetensors.torch import load_file
from training_job import job

pytestmark = pytest.mark.train


@pytest.mark.skipif(sys.platform == "win32", reason="torchrun's rendezvous is not there on Windows")
@pytest.mark.parametrize("name", ["feature"])
def test_two_processes_end_where_one_does(name, tmp_path):
    """Feature has projections, counts tokens and pairs, and has two stages; some labels are missing."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launch, str(Path(__file__).with_name("training_job.py")), name, str(tmp_path), "share"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:3000]
    first, second = (load_file(tmp_path / f"{rank}.safetensors") for rank in range(2))
    alone, _, events = job(name, tmp_path / "alone", dropout=0.0, learning_rate=1e-4)
    for key, weight in tiny.weights(alone).items():
        assert torch.equal(first[key], second[key]), key
        assert torch.allclose(first[key], weight, atol=5e-6, rtol=0), key
    told = [event for event in json.loads((tmp_path / "0.json").read_text(encoding="utf-8")) if event["kind"] == "step"]
    expected = [event for event in events if event["kind"] == "step"]
    assert told[0]["loss"] == pytest.approx(expected[0]["loss"], rel=1e-5)
    assert told[0]["parts"] == pytest.approx(expected[0]["parts"], rel=1e-4)


def models_and_data(home: Path, folder: Path) -> None:
    for name, layers, seed in (("teacher", 2, 1), ("student", 1, 2)):
        made = tiny.bert(layers, 32, 4, seed=seed, dropout=0.0)
        meta = {"name": name, "kind": "finetuned", "task": tiny.task().to_meta()}
        checkpoint.save(made.model, made.tokenizer, home / "bert_models" / "hub" / name, meta=meta)
    examples = tiny.examples(48, seed=5)
    rows = "".join(
        f"{text},{tiny.LABELS[label]}\n" for text, label in zip(examples.texts, examples.labels, strict=True)
    )
    (folder / "data.csv").write_text("text,label\n" + rows)


COMMAND = """
import atexit, os, sys, torch
from qtinker.cli import main

def closed():
    assert not torch.distributed.is_initialized(), "the connections outlived Python's threads"
    os.write(2, b"closed\\n")  # in one piece: both write to the same pipe

atexit.register(closed)
sys.exit(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="torchrun's rendezvous is not there on Windows")
def test_a_whole_run_in_two_processes_is_one_run(qtinker_home, tmp_path):
    """Started by torchrun with the usual command: one run folder, one answer, the models of a run in one process."""
    models_and_data(qtinker_home, tmp_path)
    (tmp_path / "command.py").write_text(COMMAND)
    command = ["command.py", "distill", "--teacher", "teacher", "--student", "student", "--json", "--control",
               "--data", str(tmp_path / "data.csv"), "--method", "patient", "--layer-mapping", "1:1", "--epochs", "2",
               "--batch-size", "8", "--precision", "fp32", "--lr", "1e-4"]  # fmt: skip
    environment = {
        **os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(tiny.ROOT / "app"), "CUDA_VISIBLE_DEVICES": ""
    }  # fmt: skip
    reports = []
    for launch in (["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"], []):
        done = subprocess.run(
            [sys.executable, *launch, *command], env=environment, capture_output=True, text=True, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert done.stderr.count("closed\n") == (2 if len(launch) > 1 else 1)
        (line,) = done.stdout.splitlines()
        reports.append(json.loads(line))
    both, alone = reports
    assert len(list((qtinker_home / "runs").glob("2*"))) == 2
    for key in ("checkpoint", "control_checkpoint"):
        first, second = (load_file(Path(report[key]) / "model.safetensors") for report in reports)
        for name, weight in first.items():
            assert torch.allclose(weight, second[name], atol=5e-6, rtol=0), (key, name)
    assert both["metrics"] == alone["metrics"]


TROUBLE = """
import os, sys
import qtinker
from qtinker.distill.step import Step

gradients, seen = Step.gradients, []

def broken(self, *args, **kwargs):
    seen.append(1)
    if len(seen) == 9 and os.environ["RANK"] == "1":
        raise ValueError("a part of mine broke")
    return gradients(self, *args, **kwargs)

Step.gradients = broken
qtinker.distill(teacher="teacher", student="student", data=sys.argv[1], method="logit", epochs=2, batch_size=8,
                precision="fp32", learning_rate=1e-4, save_every=1)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="torchrun's rendezvous is not there on Windows")
def test_what_ends_another_process_is_named_and_the_run_goes_on_in_one(qtinker_home, tmp_path):
    models_and_data(qtinker_home, tmp_path)
    (tmp_path / "trouble.py").write_text(TROUBLE)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {
        **os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(tiny.ROOT / "app"), "CUDA_VISIBLE_DEVICES": ""
    }  # fmt: skip
    done = subprocess.run(
        [*launch, str(tmp_path / "trouble.py"), str(tmp_path / "data.csv")],
        env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode != 0
    (run,) = qtinker.runs()["runs"]
    log = qtinker_home / "runs" / run["id"] / "log-process-1.txt"
    assert "ValueError: a part of mine broke" in log.read_text(encoding="utf-8")
    assert run["status"] == "failed" and run["error"]["message"] == (
        f"Another process of this run has ended: its words are in {log}."
    )
    assert f"runs resume {run['id']}" in run["error"]["fix"]
    state = json.loads((log.parent / "state.json").read_text(encoding="utf-8"))
    assert 1 <= state["step"] < state["total_steps"] == 12
    report = qtinker.resume_run(run["id"])
    alone = qtinker.distill(teacher="teacher", student="student", data=str(tmp_path / "data.csv"), method="logit",
                            epochs=2, batch_size=8, precision="fp32", learning_rate=1e-4)  # fmt: skip
    first, second = (load_file(Path(each["checkpoint"]) / "model.safetensors") for each in (report, alone))
    for name, weight in first.items():
        assert torch.allclose(weight, second[name], atol=5e-6, rtol=0), name
